package recordstest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// CallCode is an error code of a call, and what is to be done about it.
type CallCode struct {
	Status int
	Code   string
	Action delivery.Action
	Slow   bool // the service holds its callers back
}

// allServices are those that AWS documents for all its services, and what proxies
// on the way answer.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html
// https://docs.aws.amazon.com/firehose/latest/APIReference/CommonErrors.html
var allServices = []CallCode{
	{403, "AccessDeniedException", delivery.Later, false},
	{403, "ExpiredTokenException", delivery.Refresh, false},
	{403, "IncompleteSignature", delivery.Refresh, false},
	{500, "InternalFailure", delivery.Again, false},
	{400, "MalformedHttpRequestException", delivery.Again, false},
	{401, "NotAuthorized", delivery.Later, false},
	{403, "OptInRequired", delivery.Later, false},
	{400, "RequestAbortedException", delivery.Again, false},
	{413, "RequestEntityTooLargeException", delivery.Split, false},
	{400, "RequestExpired", delivery.Refresh, false},
	{408, "RequestTimeoutException", delivery.Again, false},
	{503, "ServiceUnavailable", delivery.Again, false},
	{400, "ThrottlingException", delivery.Again, true},
	{403, "UnrecognizedClientException", delivery.Refresh, false},
	{404, "UnknownOperationException", delivery.Later, false},
	{400, "ValidationError", delivery.Split, false},
	{400, "ValidationException", delivery.Split, false},
	{403, "InvalidClientTokenId", delivery.Refresh, false},
	{403, "InvalidSignatureException", delivery.Refresh, false},
	{400, "InvalidAction", delivery.Later, false},
	{400, "SerializationException", delivery.Split, false},

	{400, "NewToUsException", delivery.Split, false},
	{500, "NewToUsException", delivery.Again, false},
	{429, "", delivery.Again, true},
	{413, "", delivery.Split, false},
	{502, "", delivery.Again, false},
	{404, "", delivery.Again, false},
	{301, "", delivery.Again, false},
}

// CallVerdicts has a service answer a call with each of the codes, and those that
// all services have, and wants the verdict on it.
func CallVerdicts(t *testing.T, codes []CallCode, verdict func(error) delivery.Verdict, call func(context.Context, *awsx.Session) error) {
	var now CallCode
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(now.Status)
		if now.Code == "" {
			fmt.Fprint(w, "<html>a proxy's page</html>")
			return
		}
		fmt.Fprintf(w, `{"__type":"com.amazonaws#%s","message":"why"}`, now.Code)
	}))
	defer srv.Close()
	ctx := context.Background()
	session, err := awsx.Load(ctx, awsx.Options{Region: "us-east-1", Endpoint: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, now = range append(codes, allServices...) {
		got := verdict(call(ctx, session))
		if got.Action != now.Action || got.Slow != now.Slow || got.Reason == "" {
			t.Errorf("%d %s: got %v, slow %v, reason %q, want %v, slow %v", now.Status, now.Code, got.Action, got.Slow, got.Reason, now.Action, now.Slow)
		}
	}
}

// RecordVerdicts wants to know of each code of a refused record whether the service
// holds its callers back by it.
func RecordVerdicts(t *testing.T, throttled func(code string) bool, codes map[string]bool) {
	codes["InternalFailure"], codes["NewToUs"], codes[awsx.CodeNoResult] = false, false, false
	for code, want := range codes {
		if got := throttled(code); got != want {
			t.Errorf("%s: got %v, want %v", code, got, want)
		}
	}
}
