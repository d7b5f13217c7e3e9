package awsx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
)

// Each row goes over the wire, through the SDK's own reading of errors.
func TestClassifyAnswers(t *testing.T) {
	type row struct {
		status int
		header http.Header
		body   string
		class  Class
		code   string
	}
	page := "<html><body><h1>502 Bad Gateway</h1></body></html>"
	rows := map[string]row{
		"namespace":            {400, nil, `{"__type":"com.amazonaws.logs#ThrottlingException","message":"Rate exceeded"}`, Throttled, "ThrottlingException"},
		"suffix":               {400, nil, `{"__type":"ThrottlingException:http://internal.amazon.com/coral/"}`, Throttled, "ThrottlingException"},
		"header":               {400, http.Header{"X-Amzn-Errortype": {"ThrottlingException:http://x/"}}, `{}`, Throttled, "ThrottlingException"},
		"header over a page":   {400, http.Header{"X-Amzn-Errortype": {"ns#ThrottlingException:http://x/"}}, page, Throttled, "ThrottlingException"},
		"code field":           {400, nil, `{"code":"ThrottlingException"}`, Throttled, "ThrottlingException"},
		"unknown code, 400":    {400, nil, `{"__type":"BrandNewException"}`, Invalid, "BrandNewException"},
		"unknown code, 500":    {500, nil, `{"__type":"BrandNewException"}`, ServerError, "BrandNewException"},
		"unknown code, 429":    {429, nil, `{"__type":"BrandNewException"}`, Throttled, "BrandNewException"},
		"no code, 400":         {400, nil, `{}`, Unknown, ""},
		"empty, 400":           {400, nil, ``, Unknown, ""},
		"page, 400":            {400, nil, page, Unknown, ""},
		"page, 401":            {401, nil, page, AccessDenied, ""},
		"page, 403":            {403, nil, page, AccessDenied, ""},
		"page, 404":            {404, nil, page, Unknown, ""},
		"page, 407":            {407, nil, page, AccessDenied, ""},
		"page, 408":            {408, nil, page, ServerError, ""},
		"page, 413":            {413, nil, page, TooLarge, ""},
		"page, 429":            {429, nil, page, Throttled, ""},
		"page, 500":            {500, nil, page, ServerError, ""},
		"page, 502":            {502, nil, page, ServerError, ""},
		"page, 503":            {503, nil, page, ServerError, ""},
		"text, 504":            {504, nil, "upstream timed out", ServerError, ""},
		"empty, 503":           {503, nil, "", ServerError, ""},
		"no namespace":         {400, nil, `{"__type":"#ThrottlingException"}`, Throttled, "ThrottlingException"},
		"choices":              {300, nil, `{}`, Unknown, ""},
		"redirect":             {302, http.Header{"Location": {"http://login.example.com/"}}, page, Unknown, ""},
		"code with wrong JSON": {400, http.Header{"X-Amzn-Errortype": {"ResourceNotFoundException"}}, `{"message":`, NotFound, "ResourceNotFoundException"},
	}
	for code, class := range codes {
		rows["code "+code] = row{400, nil, `{"__type":"com.amazonaws#` + code + `","message":"m"}`, class, code}
	}
	var now row
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for k, v := range now.header {
			w.Header()[k] = v
		}
		w.Header().Set("X-Amzn-Requestid", "id-1")
		w.WriteHeader(now.status)
		io.WriteString(w, now.body)
	}))
	defer srv.Close()
	s := load(t, Options{Endpoint: srv.URL})
	logs, kin, fh := s.CloudWatchLogs(), s.Kinesis(), s.Firehose()
	for name, r := range rows {
		now = r
		_, err1 := PutLogEvents(testContext(t), logs, "g", "s", NewBody([]byte("{}")))
		_, err2 := PutRecords(testContext(t), kin, "s", 1, NewBody([]byte("{}")))
		_, err3 := PutRecordBatch(testContext(t), fh, "s", 1, NewBody([]byte("{}")))
		_, err4 := kin.ListShards(testContext(t), &kinesis.ListShardsInput{}) // the SDK's own way, whole
		for i, err := range []error{err1, err2, err3, err4} {
			f := Classify(err)
			want := Failure{Class: r.class, Code: r.code, Status: r.status, RequestID: "id-1"}
			if f != want {
				t.Errorf("%s: call %d: got %+v, want %+v (%v)", name, i, f, want, err)
			}
		}
	}
}

func TestClassifyOthers(t *testing.T) {
	deadline := fmt.Errorf("x: %w", context.DeadlineExceeded)
	for name, c := range map[string]struct {
		err  error
		want Failure
	}{
		"none":                      {nil, Failure{}},
		"not sent":                  {&SendError{Err: errRefused, NotSent: true}, Failure{Class: ConnectionNotSent}},
		"not sent in time":          {&SendError{Err: deadline, NotSent: true}, Failure{Class: ConnectionNotSent}},
		"lost":                      {&SendError{Err: errReset}, Failure{Class: ConnectionLost}},
		"lost on a kept connection": {&SendError{Err: errReset, Reused: true}, Failure{Class: ConnectionLost, Stale: true}},
		"timeout":                   {deadline, Failure{Class: Timeout}},
		"timeout of the network":    {&SendError{Err: timeoutError{}}, Failure{Class: Timeout}},
		"canceled":                  {&smithy.CanceledError{Err: context.Canceled}, Failure{Class: Canceled}},
		"canceled, not sent":        {&SendError{Err: context.Canceled, NotSent: true}, Failure{Class: Canceled}},
		"no credentials":            {&CredentialsError{Err: errors.New("x")}, Failure{Class: NoCredentials}},
		"no credentials in time":    {&CredentialsError{Err: deadline}, Failure{Class: NoCredentials}},
		"no credentials, canceled":  {&CredentialsError{Err: context.Canceled}, Failure{Class: Canceled}},
		"STS says no": {&CredentialsError{Err: &smithy.GenericAPIError{Code: "AccessDenied"}},
			Failure{Class: NoCredentials, Code: "AccessDenied"}},
		"a code alone":  {&smithy.GenericAPIError{Code: "ResourceNotFoundException"}, Failure{Class: NotFound, Code: "ResourceNotFoundException"}},
		"anything else": {errors.New("x"), Failure{Class: Unknown}},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
		if c.err != nil {
			if got := Classify(fmt.Errorf("around it: %w", c.err)); got != c.want {
				t.Errorf("%s, wrapped: got %+v, want %+v", name, got, c.want)
			}
		}
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// A call that its caller ends says so.
func TestClassifyCanceledCall(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer srv.Close()
	s := load(t, Options{Endpoint: srv.URL})
	_, err := PutLogEvents(ctx, s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != Canceled {
		t.Errorf("got %+v: %v", f, err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		standard, amz string
		want          time.Duration
	}{
		{"", "", 0},
		{"5", "", 5 * time.Second},
		{"0", "", 0},
		{"-5", "", 0},
		{"soon", "", 0},
		{"99999999999999999999", "", 0},
		{"999999999999", "", 24 * time.Hour},
		{"Mon, 23 Nov 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Mon, 23 Nov 2026 11:00:30 GMT", "", 0},
		{"Mon, 23 Nov 2099 11:00:30 GMT", "", 24 * time.Hour},
		{"", "1500", 1500 * time.Millisecond},
		{"1", "1500", 1500 * time.Millisecond},
		{"2", "1500", 2 * time.Second},
		{"", "999999999999999", 24 * time.Hour},
	} {
		h := http.Header{}
		if c.standard != "" {
			h.Set("Retry-After", c.standard)
		}
		if c.amz != "" {
			h.Set("X-Amz-Retry-After", c.amz)
		}
		if got := retryAfter(h, now); got != c.want {
			t.Errorf("%q, %q: got %v, want %v", c.standard, c.amz, got, c.want)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(503)
	}))
	defer srv.Close()
	s := load(t, Options{Endpoint: srv.URL})
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	if f := Classify(err); f.RetryAfter != 7*time.Second || f.Class != ServerError {
		t.Errorf("got %+v", f)
	}
}

func TestClassOf(t *testing.T) {
	for code, want := range map[string]Class{"ProvisionedThroughputExceededException": Throttled, "InternalFailure": ServerError,
		"ServiceUnavailableException": ServerError, CodeNoResult: Unknown, "": Unknown} {
		if got := ClassOf(code); got != want {
			t.Errorf("%s: got %v", code, got)
		}
	}
}

func TestCleanCode(t *testing.T) {
	for in, want := range map[string]string{"Code": "Code", "a.b#Code": "Code", "#Code": "Code", "a#b#Code:http://x/#y": "Code", " Code ": "Code", "UnknownError": "", "": ""} {
		if got := cleanCode(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestClassNames(t *testing.T) {
	seen := map[string]bool{}
	for c := NoFailure; c <= Unknown; c++ {
		if name := c.String(); seen[name] || strings.HasPrefix(name, "class ") {
			t.Errorf("%d: got %q", int(c), name)
		} else {
			seen[name] = true
		}
	}
	if Class(-1).String() != "class -1" || (Unknown+1).String() != "class 15" || Class(99).String() != "class 99" {
		t.Error("unknown classes have odd names")
	}
}
