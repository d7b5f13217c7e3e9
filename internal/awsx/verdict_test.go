package awsx

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"aws-for-fluent-bit/internal/delivery"
)

// refusal is an error as the SDK makes it of an answer.
func refusal(status int, code, message string, header ...string) error {
	h := http.Header{"X-Amzn-Requestid": {"r-1"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &smithy.OperationError{ServiceID: "S", OperationName: "O", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: h}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}}
}

func TestVerdict(t *testing.T) {
	table := map[string]delivery.Action{"ResourceNotFoundException": delivery.Create, "ThrottlingException": delivery.Again, "AccessDenied": delivery.Create}
	f := func(err error, want delivery.Verdict) {
		t.Helper()
		got := Verdict(err, table)
		if got.Reason == "" {
			t.Errorf("%v: no reason", err)
		}
		got.Reason = ""
		if got != want {
			t.Errorf("%v: got %+v, want %+v", err, got, want)
		}
	}
	f(refusal(400, "ResourceNotFoundException", "m"), delivery.Verdict{Action: delivery.Create})
	f(refusal(400, "ThrottlingException", "m"), delivery.Verdict{Action: delivery.Again, Slow: true})
	f(refusal(400, "LimitExceededException", "m"), delivery.Verdict{Action: delivery.Again, Slow: true})
	f(refusal(429, "", "m"), delivery.Verdict{Action: delivery.Again, Slow: true})
	f(refusal(503, "ServiceUnavailable", "m", "Retry-After", "3"), delivery.Verdict{Action: delivery.Again, Pause: 3 * time.Second})
	f(refusal(500, "", "<html>"), delivery.Verdict{Action: delivery.Again})
	f(refusal(502, "", "<html>"), delivery.Verdict{Action: delivery.Again})
	f(refusal(404, "", "<html>"), delivery.Verdict{Action: delivery.Again})
	f(refusal(400, "ExpiredTokenException", "m"), delivery.Verdict{Action: delivery.Refresh})
	f(refusal(400, "AccessDeniedException", "m"), delivery.Verdict{Action: delivery.Later})
	f(refusal(403, "", "<html>"), delivery.Verdict{Action: delivery.Later})
	f(refusal(400, "InvalidParameterException", "m"), delivery.Verdict{Action: delivery.Split})
	f(refusal(400, "SomethingNewException", "m"), delivery.Verdict{Action: delivery.Split})
	f(refusal(413, "", "m"), delivery.Verdict{Action: delivery.Split})
	f(refusal(400, "ResourceAlreadyExistsException", "m"), delivery.Verdict{Action: delivery.Again})
	f(context.DeadlineExceeded, delivery.Verdict{Action: delivery.Again})
	f(context.Canceled, delivery.Verdict{Action: delivery.Later})
	f(&SendError{Err: errors.New("refused"), NotSent: true}, delivery.Verdict{Action: delivery.Again})
	f(&SendError{Err: errors.New("reset")}, delivery.Verdict{Action: delivery.Again})
	f(&SendError{Err: errors.New("closed"), Reused: true}, delivery.Verdict{Action: delivery.AgainNow})
	f(errors.New("what"), delivery.Verdict{Action: delivery.Again})
	// STS refused, not the service: its code is not the table's.
	f(&CredentialsError{Err: refusal(403, "AccessDenied", "m")}, delivery.Verdict{Action: delivery.Again})
}

// Every class has an action of its own: a class that is forgotten would be Done.
func TestEveryClassHasAnAction(t *testing.T) {
	for c := Throttled; c <= Unknown; c++ {
		if a, ok := actions[c]; !ok || a == delivery.Done {
			t.Errorf("class %v: action %v", c, a)
		}
	}
}

func TestReason(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := Verdict(err, nil).Reason; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(refusal(400, "ThrottlingException", "Rate exceeded"), "ThrottlingException: Rate exceeded (status 400, request id r-1)")
	f(errors.New("what"), "what")
	// What AWS quotes of the request is a part of a record.
	f(refusal(400, "ValidationException", "1 validation error detected: Value 'my ' at ' secret' at 'records.1.member.partitionKey' failed"),
		"ValidationException: 1 validation error detected: Value at 'records.1.member.partitionKey' failed (status 400, request id r-1)")
	f(refusal(400, "ValidationException", "Value '' at 'streamName' failed"), "ValidationException: Value at 'streamName' failed (status 400, request id r-1)")
	f(errors.New(strings.Repeat("x", maxReason)), strings.Repeat("x", maxReason))
	f(refusal(400, "ValidationException", "Value 'secret"), "ValidationException: a value is refused (status 400, request id r-1)")
	long := Verdict(errors.New(strings.Repeat("ä", 400)), nil).Reason
	if len(long) > maxReason+len("…") || !strings.HasSuffix(long, "ä…") {
		t.Errorf("got %d bytes: %q", len(long), long)
	}
}
