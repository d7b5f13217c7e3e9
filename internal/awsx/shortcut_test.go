package awsx

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"aws-for-fluent-bit/internal/awslocal"
)

// known returns how many ways the session's clients keep.
func (s *Session) known() int {
	r := &s.config.HTTPClient.(*httpClient).routes
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// oneEvent returns what puts one event into a log stream that is there.
func oneEvent(t *testing.T) (srv *awslocal.Server, s *Session, put func() error) {
	srv = local(t, awslocal.Config{})
	s = load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	prepare(t, client)
	return srv, s, func() error {
		_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)))
		return err
	}
}

// A call by the shortcut differs in nothing from one by all of the SDK, but for
// the headers by which the SDK counts its own tries.
func TestShortcutIsTheSame(t *testing.T) {
	for name, setting := range map[string]func(srv *awslocal.Server) Options{
		"plain":  func(*awslocal.Server) Options { return Options{ExtraUserAgent: "extra"} },
		"region": func(*awslocal.Server) Options { return Options{Region: "eu-west-1"} },
		"token": func(srv *awslocal.Server) Options {
			return Options{RoleARN: "arn:aws:iam::123456789012:role/r", STSEndpoint: srv.URL}
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := local(t, awslocal.Config{})
			o := setting(srv)
			o.Endpoint = srv.URL
			s := load(t, o)
			logs, kin, fh := s.CloudWatchLogs(), s.Kinesis(), s.Firehose()
			prepare(t, logs)
			ctx := testContext(t)
			for op, put := range map[string]func() error{
				"PutLogEvents": func() error {
					_, err := PutLogEvents(ctx, logs, "group", "log", NewBody(logEvents("group", "log", 2)), Header("x-amzn-logs-format", "json/emf"))
					return err
				},
				"PutRecords": func() error {
					_, err := PutRecords(ctx, kin, "stream", 1, NewBody([]byte(`{"StreamName":"stream","Records":[{"Data":"YQ==","PartitionKey":"k"}]}`)))
					return err
				},
				"PutRecordBatch": func() error {
					_, err := PutRecordBatch(ctx, fh, "delivery", 1, NewBody([]byte(`{"DeliveryStreamName":"delivery","Records":[{"Data":"YQ=="}]}`)))
					return err
				},
			} {
				before := s.known()
				if err := errors.Join(put(), put()); err != nil {
					t.Fatal(err)
				}
				if s.known() != before+1 {
					t.Errorf("%s: %d ways are known", op, s.known())
				}
				r := srv.Requests(op)
				long, short := r[0], r[1]
				if long.Header.Get("Amz-Sdk-Invocation-Id") == "" || short.Header.Get("Amz-Sdk-Invocation-Id") != "" {
					t.Errorf("%s: the calls went other ways", op)
				}
				if !short.Auth.Verified {
					t.Errorf("%s: the signature does not hold", op)
				}
				want, got := stable(long), stable(short)
				want.Del("Amz-Sdk-Request")
				if !reflect.DeepEqual(want, got) || long.Path != short.Path || long.Host != short.Host || long.Method != short.Method {
					t.Errorf("%s: got %s %s %s %v\nwant %s %s %s %v", op, short.Method, short.Host, short.Path, got, long.Method, long.Host, long.Path, want)
				}
				if signed := strings.Join(short.Auth.SignedHeaders, ";"); strings.ReplaceAll(strings.Join(long.Auth.SignedHeaders, ";"), "amz-sdk-invocation-id;amz-sdk-request;", "") != signed {
					t.Errorf("%s: signed are %s", op, signed)
				}
			}
		})
	}
}

// The options of a call are its own, also by the shortcut.
func TestShortcutOptions(t *testing.T) {
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	prepare(t, client)
	formats := [][]BodyOption{nil, {Header("x-amzn-logs-format", "json/emf")}, nil, {Header("x-amzn-logs-format", "json/emf")}}
	for _, opts := range formats {
		if _, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)), opts...); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range srv.Requests("PutLogEvents") {
		got = append(got, fmt.Sprintf("%q", r.Header.Get("X-Amzn-Logs-Format")))
	}
	if strings.Join(got, " ") != `"" "json/emf" "" "json/emf"` {
		t.Errorf("got %s", got)
	}
}

// A failure is the same by either way, and what was known is forgotten with an
// answer that is no success.
func TestShortcutFailures(t *testing.T) {
	for name, c := range map[string]struct {
		fault   awslocal.Fault
		forgets bool
	}{
		"throttled":      {awslocal.Fault{Kind: awslocal.Throttle, RetryAfter: "2"}, true},
		"server error":   {awslocal.Fault{Kind: awslocal.Error}, true},
		"page":           {awslocal.Fault{Kind: awslocal.HTML}, true},
		"expired":        {awslocal.Fault{Kind: awslocal.ExpiredToken}, true},
		"denied":         {awslocal.Fault{Kind: awslocal.AccessDenied}, true},
		"lost answer":    {awslocal.Fault{Kind: awslocal.LostAnswer}, false},
		"cut answer":     {awslocal.Fault{Kind: awslocal.CutAnswer}, false},
		"no answer":      {awslocal.Fault{Kind: awslocal.Hang}, false},
		"trickle":        {awslocal.Fault{Kind: awslocal.Trickle, Delay: 200 * time.Millisecond}, false},
		"rejects events": {awslocal.Fault{Kind: awslocal.RejectEvents, TooOld: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := local(t, awslocal.Config{})
			s := load(t, Options{Endpoint: srv.URL, Timeout: 700 * time.Millisecond})
			client := s.CloudWatchLogs()
			prepare(t, client)
			put := func() (LogEventsAnswer, error) {
				return PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 3)))
			}
			srv.Script("PutLogEvents", c.fault)
			wantAnswer, wantErr := put()
			if _, err := put(); err != nil {
				t.Fatal(err)
			}
			if s.known() != 1 {
				t.Fatal("the way is not known")
			}
			srv.Script("PutLogEvents", c.fault)
			answer, err := put()
			if (s.known() == 0) != c.forgets {
				t.Errorf("%d ways are known after %v", s.known(), err)
			}
			want, got := Classify(wantErr), Classify(err)
			if (want.RequestID == "") != (got.RequestID == "") {
				t.Errorf("request id %q, want %q", got.RequestID, want.RequestID)
			}
			want.RequestID, got.RequestID = "", ""
			want.Stale = got.Stale // other connections
			answer.NextSequenceToken = wantAnswer.NextSequenceToken
			if got != want || !reflect.DeepEqual(answer, wantAnswer) {
				t.Errorf("got %+v %+v: %v\nwant %+v %+v: %v", got, answer, err, want, wantAnswer, wantErr)
			}
			if _, err := put(); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// Calls that begin while the first one waits for its answer need not go the long way
// either: at the start there may be many.
func TestShortcutBeforeTheAnswer(t *testing.T) {
	srv, s, put := oneEvent(t)
	srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.Slow, Delay: 500 * time.Millisecond})
	first := make(chan error, 1)
	go func() { first <- put() }()
	for s.known() == 0 {
		select {
		case err := <-first:
			t.Fatalf("its answer came first: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	short := 0
	for _, r := range srv.Requests("PutLogEvents") {
		if r.Header.Get("Amz-Sdk-Invocation-Id") == "" {
			short++
		}
	}
	if short != 1 {
		t.Errorf("%d of the two calls went the short way", short)
	}
}

// On a machine whose clock is wrong nothing is kept, whatever headers a call has of
// its own.
func TestShortcutByAnotherClock(t *testing.T) {
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		if calls++; calls == 1 {
			w.Header().Set("X-Amzn-Errortype", "RequestTimeTooSkewed")
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer srv.Close()
	s := load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	for i := range 3 {
		_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)), Gzip())
		if (err != nil) != (i == 0) || s.known() != 0 {
			t.Errorf("call %d: %v, %d ways are known", i, err, s.known())
		}
	}
}

// The SDK's own types of errors come through.
func TestShortcutErrorsAs(t *testing.T) {
	srv := local(t, awslocal.Config{SequenceTokens: true})
	s := load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	prepare(t, client)
	a, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)))
	if err != nil || s.known() != 1 {
		t.Fatal(err, s.known())
	}
	_, err = PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 2)))
	var token *cwtypes.InvalidSequenceTokenException
	var resp *awshttp.ResponseError
	if !errors.As(err, &token) || aws.ToString(token.ExpectedSequenceToken) != a.NextSequenceToken || !errors.As(err, &resp) || resp.RequestID == "" {
		t.Errorf("got %v", err)
	}
}

// New credentials are in force with the next call; without any none is made.
func TestShortcutCredentials(t *testing.T) {
	srv, s, put := oneEvent(t)
	if err := put(); err != nil || s.known() != 1 {
		t.Fatal(err)
	}
	creds := s.shared.creds
	creds.mu.Lock()
	good := creds.current
	creds.current.AccessKeyID = "AKIDOTHER"
	creds.mu.Unlock()
	if f := Classify(put()); f.Class != ExpiredCredentials && f.Class != AccessDenied {
		t.Errorf("with unknown credentials: got %+v", f)
	}
	creds.mu.Lock()
	creds.current = good
	creds.mu.Unlock()
	if err := put(); err != nil || s.known() != 1 {
		t.Fatal(err)
	}
	creds.mu.Lock()
	creds.current = aws.Credentials{}
	creds.chain = aws.AnonymousCredentials{}
	creds.mu.Unlock()
	before := srv.Counts("PutLogEvents").Requests
	if f := Classify(put()); f.Class != NoCredentials || srv.Counts("PutLogEvents").Requests != before {
		t.Errorf("without credentials: got %+v", f)
	}
}

func TestScopeOf(t *testing.T) {
	for in, want := range map[string]string{
		"AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/logs/aws4_request, SignedHeaders=host, Signature=0": "us-east-1 logs true",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102//logs/aws4_request, SignedHeaders=host":                       "  false",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/logs/aws5_request":                                  "  false",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102":                                                              "  false",
		"AWS4-ECDSA-P256-SHA256 Credential=AKID/20260102/logs/aws4_request":                                      "  false",
		"Bearer token": "  false",
		"":             "  false",
	} {
		region, service, ok := scopeOf(in)
		if got := fmt.Sprint(region, " ", service, " ", ok); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if routeOf("no request") != nil {
		t.Error("a way is made of nothing")
	}
}

func TestRoutesAreBounded(t *testing.T) {
	var r routes
	for i := range 2 * maxRoutes {
		r.set(routeKey{stream: fmt.Sprint(i)}, &route{})
	}
	if len(r.all) != maxRoutes {
		t.Errorf("%d are kept", len(r.all))
	}
	r.set(routeKey{stream: "0"}, nil)
	if r.get(routeKey{stream: "0"}) != nil || r.get(routeKey{stream: "1"}) == nil {
		t.Error("the wrong one is forgotten")
	}
}

// With another HTTP client there is no shortcut.
func TestNoShortcut(t *testing.T) {
	s := load(t, Options{Endpoint: "http://127.0.0.1:9"})
	calls := 0
	s.config.HTTPClient = clientFunc(func(req *http.Request) (*http.Response, error) {
		calls++
		if req.Header.Get("Amz-Sdk-Invocation-Id") == "" {
			t.Error("not by the SDK")
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), ContentLength: 2}, nil
	})
	for range 3 {
		if _, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}"))); err != nil {
			t.Error(err)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
}

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }

// On a machine whose clock is wrong the SDK signs with the service's time. What
// it made of a call is not kept then: signed by the clock, each would be refused.
func TestTimely(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for date, want := range map[string]bool{
		"20260102T030405Z": true, "20260102T030355Z": true, "20260102T030415Z": true,
		"20260102T030354Z": false, "20260102T030416Z": false, "": false, "yesterday": false,
	} {
		if got := timely(date, now); got != want {
			t.Errorf("%q: %v", date, got)
		}
	}
}

func TestNoRouteOfAnotherClock(t *testing.T) {
	for shift, want := range map[time.Duration]bool{0: true, time.Hour: false, -time.Hour: false} {
		req := smithyhttp.NewStackRequest().(*smithyhttp.Request)
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/logs/aws4_request, SignedHeaders=host")
		req.Header.Set("X-Amz-Date", time.Now().UTC().Add(shift).Format("20060102T150405Z"))
		if got := routeOf(req) != nil; got != want {
			t.Errorf("signed %v off the clock: kept is %v", shift, got)
		}
	}
}
