package awsx

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	fhtypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"aws-for-fluent-bit/internal/awslocal"
)

// A request with a ready body differs from the SDK's own in nothing but what
// must differ from call to call, and its signature holds.
func TestSameAsSDK(t *testing.T) {
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL, ExtraUserAgent: "extra"})
	ctx := testContext(t)
	logs, kin, fh := s.CloudWatchLogs(), s.Kinesis(), s.Firehose()
	prepare(t, logs)
	const nasty = "a \"quoted\" \\ line\t\x01 <b>&amp;</b> é € 😀"
	now := time.Now().UnixMilli()
	data := base64.StdEncoding.EncodeToString([]byte(nasty))
	text, _ := json.Marshal(nasty)
	entry := `{"Data":"` + data + `","PartitionKey":` + string(text) + `}`

	for op, c := range map[string]struct {
		sdk, ready func() error
	}{
		"PutLogEvents": {func() error {
			_, err := logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
				LogGroupName: aws.String("group"), LogStreamName: aws.String("log"),
				LogEvents: []cwtypes.InputLogEvent{{Message: aws.String(nasty), Timestamp: &now}},
			})
			return err
		}, func() error {
			_, err := PutLogEvents(ctx, logs, "group", "log", NewBody([]byte(
				`{"logEvents":[{"timestamp":`+itoa(now)+`,"message":`+string(text)+`}],"logStreamName":"log","logGroupName":"group"}`)))
			return err
		}},
		"PutRecords": {func() error {
			_, err := kin.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String("stream"),
				Records: []ktypes.PutRecordsRequestEntry{{Data: []byte(nasty), PartitionKey: aws.String(nasty)}}})
			return err
		}, func() error {
			_, err := PutRecords(ctx, kin, "stream", 1, NewBody([]byte(`{"StreamName":"stream","Records":[`+entry+`]}`)))
			return err
		}},
		"PutRecordBatch": {func() error {
			_, err := fh.PutRecordBatch(ctx, &firehose.PutRecordBatchInput{DeliveryStreamName: aws.String("delivery"),
				Records: []fhtypes.Record{{Data: []byte(nasty)}}})
			return err
		}, func() error {
			_, err := PutRecordBatch(ctx, fh, "delivery", 1, NewBody([]byte(`{"DeliveryStreamName":"delivery","Records":[{"Data":"`+data+`"}]}`)))
			return err
		}},
	} {
		if err := errors.Join(c.sdk(), c.ready()); err != nil {
			t.Errorf("%s: %v", op, err)
			continue
		}
		r := srv.Requests(op)
		theirs, ours := r[0], r[1]
		if !theirs.Auth.Verified || !ours.Auth.Verified {
			t.Errorf("%s: signatures hold: %v, %v", op, theirs.Auth.Verified, ours.Auth.Verified)
		}
		if a, b := stable(theirs), stable(ours); !reflect.DeepEqual(a, b) {
			t.Errorf("%s: headers\n%v\nwant\n%v", op, b, a)
		}
		if !reflect.DeepEqual(theirs.Auth.SignedHeaders, ours.Auth.SignedHeaders) {
			t.Errorf("%s: signed are %v, want %v", op, ours.Auth.SignedHeaders, theirs.Auth.SignedHeaders)
		}
		if theirs.Method != ours.Method || theirs.Path != ours.Path || theirs.Host != ours.Host {
			t.Errorf("%s: %s %s %s, want %s %s %s", op, ours.Method, ours.Path, ours.Host, theirs.Method, theirs.Path, theirs.Host)
		}
		var a, b any
		if err := errors.Join(json.Unmarshal(theirs.Body, &a), json.Unmarshal(ours.Body, &b)); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: the body is %s, want %s (%v)", op, ours.Body, theirs.Body, err)
		}
		if !strings.Contains(ours.UserAgent(), "aws-fluent-bit-plugin-extra/"+Version) {
			t.Errorf("%s: User-Agent %q", op, ours.UserAgent())
		}
	}
}

// stable returns the headers that do not change from call to call.
func stable(r *awslocal.Request) http.Header {
	h := r.Header.Clone()
	for _, name := range []string{"Authorization", "X-Amz-Date", "Amz-Sdk-Invocation-Id", "Content-Length"} {
		h.Del(name)
	}
	return h
}

func TestPutLogEventsOptions(t *testing.T) {
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	prepare(t, client)

	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(logEvents("group", "log", 3))
	w.Close()
	if _, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(packed.Bytes()), Gzip(), Header("x-amzn-logs-format", "json/emf")); err != nil {
		t.Fatal(err)
	}
	r := srv.Requests("PutLogEvents")[0]
	if r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("X-Amzn-Logs-Format") != "json/emf" || !r.Auth.Verified || r.Accepted != 3 {
		t.Errorf("got %v, verified %v, accepted %d", r.Header, r.Auth.Verified, r.Accepted)
	}
	signed := strings.Join(r.Auth.SignedHeaders, ";")
	if !strings.Contains(signed, "content-encoding") || !strings.Contains(signed, "x-amzn-logs-format") {
		t.Errorf("signed are %s", signed)
	}
}

func TestAnswers(t *testing.T) {
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL})
	ctx := testContext(t)
	logs, kin, fh := s.CloudWatchLogs(), s.Kinesis(), s.Firehose()
	prepare(t, logs)

	srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.RejectEvents, TooOld: 1, Expired: 2, TooNew: 3})
	a, err := PutLogEvents(ctx, logs, "group", "log", NewBody(logEvents("group", "log", 9)))
	if err != nil || aws.ToInt(a.Rejected.TooOldEnd) != 1 || aws.ToInt(a.Rejected.ExpiredEnd) != 2 || aws.ToInt(a.Rejected.TooNewStart) != 6 {
		t.Errorf("rejected events: got %+v, %v", a, err)
	}
	srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.RejectEntity})
	if a, err = PutLogEvents(ctx, logs, "group", "log", NewBody(logEvents("group", "log", 1))); err != nil || a.RejectedEntity != "InvalidEntity" {
		t.Errorf("rejected entity: got %+v, %v", a, err)
	}

	entries := strings.TrimSuffix(strings.Repeat(`{"Data":"YQ==","PartitionKey":"k"},`, 4), ",")
	body := func() *Body { return NewBody([]byte(`{"StreamName":"stream","Records":[` + entries + `]}`)) }
	put := func() (RecordsAnswer, error) { return PutRecords(ctx, kin, "stream", 4, body()) }
	if a, err := put(); err != nil || a.Failed != nil {
		t.Errorf("all delivered: got %+v, %v", a, err)
	}
	srv.Script("PutRecords", awslocal.Fault{Kind: awslocal.Partial, Entries: []int{1, 3}}, awslocal.Fault{Kind: awslocal.ShortAnswer, Entries: []int{2}})
	if a, err := put(); err != nil || len(a.Failed) != 2 || a.Failed[0].Index != 1 || a.Failed[1].Index != 3 || ClassOf(a.Failed[0].Code) != Throttled || a.Failed[0].Message == "" {
		t.Errorf("two refused: got %+v, %v", a, err)
	}
	if a, err := put(); err != nil || len(a.Failed) != 2 || a.Failed[0].Index != 2 || a.Failed[0].Code != CodeNoResult || a.Failed[1].Index != 3 {
		t.Errorf("two missing in the answer: got %+v, %v", a, err)
	}
	arn := "arn:aws:kinesis:us-east-1:123456789012:stream/stream"
	if a, err := PutRecords(ctx, kin, arn, 4, NewBody([]byte(`{"StreamARN":"`+arn+`","Records":[`+entries+`]}`))); err != nil || a.Failed != nil {
		t.Errorf("stream by its ARN: got %+v, %v", a, err)
	}

	srv.Script("PutRecordBatch", awslocal.Fault{Kind: awslocal.Partial, Entries: []int{0}})
	records := NewBody([]byte(`{"DeliveryStreamName":"delivery","Records":[{"Data":"YQ=="},{"Data":"YQ=="}]}`))
	if a, err := PutRecordBatch(ctx, fh, "delivery", 2, records); err != nil || len(a.Failed) != 1 || a.Failed[0].Index != 0 || a.Failed[0].Code == "" {
		t.Errorf("one refused: got %+v, %v", a, err)
	}
	if a, err := PutRecordBatch(ctx, fh, "delivery", 2, records); err != nil || a.Failed != nil {
		t.Errorf("the same body again: got %+v, %v", a, err)
	}
}

// The SDK's own types of errors come through.
func TestErrorsAs(t *testing.T) {
	srv := local(t, awslocal.Config{SequenceTokens: true})
	s := load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)))
	var missing *cwtypes.ResourceNotFoundException
	var resp *awshttp.ResponseError
	if !errors.As(err, &missing) || !errors.As(err, &resp) || resp.RequestID == "" || Classify(err).RequestID != resp.RequestID {
		t.Errorf("got %v", err)
	}
	prepare(t, client)
	a, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)))
	if err != nil || a.NextSequenceToken == "" {
		t.Fatalf("got %+v, %v", a, err)
	}
	_, err = PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 2)))
	var token *cwtypes.InvalidSequenceTokenException
	if !errors.As(err, &token) || aws.ToString(token.ExpectedSequenceToken) != a.NextSequenceToken {
		t.Errorf("got %v, want an error with token %q", err, a.NextSequenceToken)
	}
}

// A success that makes no sense is no success.
func TestUselessAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"empty":       "",
		"page":        "<html>welcome to this hotel</html>",
		"cut":         `{"nextSequenceToken":"1`,
		"two":         `{}{}`,
		"not a map":   `[]`,
		"null":        `null`,
		"wrong field": `{"rejectedLogEventsInfo":5,"Records":5,"RequestResponses":5}`,
	} {
		rt := roundTripper(func(req *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, req.Body)
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer))}, nil
		})
		s := load(t, Options{Endpoint: "http://127.0.0.1:9"})
		s.config.HTTPClient = &httpClient{transport: rt}
		_, err1 := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		_, err2 := PutRecords(testContext(t), s.Kinesis(), "s", 2, NewBody([]byte("{}")))
		_, err3 := PutRecordBatch(testContext(t), s.Firehose(), "s", 2, NewBody([]byte("{}")))
		for i, err := range []error{err1, err2, err3} {
			if f := Classify(err); f.Class != ConnectionLost || f.Status != 200 {
				t.Errorf("%s: call %d: got %+v, %v", name, i, f, err)
			}
		}
	}
}

// What is no success is none, on the SDK's way and on the shorter one.
func TestAnswerOfNoSuccess(t *testing.T) {
	status := 300
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Amzn-Requestid", "id")
		w.WriteHeader(status)
		io.WriteString(w, "{}")
	}))
	defer srv.Close()
	s := load(t, Options{Endpoint: srv.URL})
	for _, status = range []int{300, 200, 300} { // from the second on the way is known
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		if f := Classify(err); (err == nil) != (status == 200) || err != nil && (f.Class != Unknown || f.Status != 300) {
			t.Errorf("status %d: got %+v, %v", status, f, err)
		}
	}
}

// The room for an answer is made at once, where its length is told and believable.
func TestAnswerBuffer(t *testing.T) {
	for _, c := range []struct {
		room, want int
		length     int64
	}{{0, 1, 0}, {0, 11, 10}, {11, 11, 10}, {10, 11, 10}, {100, 100, 10}, {0, 512, -1}, {0, 512, maxAnswer}} {
		b := answerBuffer{data: make([]byte, 0, c.room)}
		text := strings.Repeat("x", max(0, int(c.length%maxAnswer)))
		resp := &http.Response{Body: io.NopCloser(strings.NewReader(text)), ContentLength: c.length}
		if err := b.readFrom(resp); err != nil || string(b.data) != text || cap(b.data) != c.want && cap(b.data) > 512 || cap(b.data) != c.want && c.want < 512 {
			t.Errorf("%+v: got %d bytes in %d, %v", c, len(b.data), cap(b.data), err)
		}
	}
	again := func(n int) bool {
		answers.put(&answerBuffer{data: make([]byte, 0, n)})
		b, ok := answers.Get()
		return ok && cap(b.data) == n
	}
	if !again(12345) || again(1<<20+1) {
		t.Error("small buffers are not used again, or large ones are")
	}
}

// The service may answer PutLogEvents without a word; then its request id shows
// that it was the service.
func TestEmptyAnswer(t *testing.T) {
	for _, id := range []string{"", "id-1"} {
		rt := roundTripper(func(req *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, req.Body)
			return &http.Response{StatusCode: 200, Header: http.Header{"X-Amzn-Requestid": {id}}, Body: http.NoBody}, nil
		})
		s := load(t, Options{Endpoint: "http://127.0.0.1:9"})
		s.config.HTTPClient = &httpClient{transport: rt}
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		if (err == nil) != (id != "") {
			t.Errorf("request id %q: got %v", id, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// After a call its buffer is the caller's again, even when the transport still
// wants to read from it.
func TestDetachAfterCall(t *testing.T) {
	var leftBehind io.Reader
	rt := roundTripper(func(req *http.Request) (*http.Response, error) {
		io.ReadFull(req.Body, make([]byte, 4))
		leftBehind = req.Body
		httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{})
		return nil, io.ErrUnexpectedEOF
	})
	s := load(t, Options{Endpoint: "http://127.0.0.1:9"})
	s.config.HTTPClient = &httpClient{transport: rt}
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("0123456789")))
	if f := Classify(err); f.Class != ConnectionNotSent {
		t.Errorf("got %+v, %v", f, err)
	}
	if n, err := leftBehind.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errDetached) {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// Many calls at once, each with its own body in a reused buffer: under the race
// detector, and each must arrive as it was.
func TestParallelCalls(t *testing.T) {
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL})
	client := s.CloudWatchLogs()
	prepare(t, client)
	srv.SetFaults("PutLogEvents", []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.2}, {Kind: awslocal.Reset, Probability: 0.1}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var buf []byte
			body := NewBody(nil)
			for i := range 25 {
				buf = append(buf[:0], logEvents("group", "log", 1+i)...)
				body.Reset(buf)
				_, err := PutLogEvents(testContext(t), client, "group", "log", body)
				switch f := Classify(err); f.Class {
				case NoFailure, Throttled, ConnectionLost, ConnectionNotSent:
				default:
					t.Errorf("got %+v: %v", f, err)
				}
				for k := range buf {
					buf[k] = 'x' // shows as a bad signature if it is still being sent
				}
			}
		}()
	}
	wg.Wait()
}

// Misuse of the middlewares is an error, not a panic.
func TestMiddlewareMisuse(t *testing.T) {
	if _, _, err := (&readyBody{}).HandleSerialize(testContext(t), middleware.SerializeInput{Request: 5}, nil); err == nil {
		t.Error("a request that is none: no error")
	}
	empty := middleware.NewStack("none", smithyhttp.NewStackRequest)
	if err := WithBody("x", NewBody(nil))(empty); err == nil {
		t.Error("WithBody without a serializer: no error")
	}
	if err := WithAnswer(nil, nil)(empty); err == nil {
		t.Error("WithAnswer without a deserializer: no error")
	}
}

// quiet answers without a network, so that only the call itself is counted.
type quiet struct{ buf [32 << 10]byte }

func (q *quiet) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		if _, err := req.Body.Read(q.buf[:]); err != nil {
			break
		}
	}
	req.Body.Close()
	return &http.Response{StatusCode: 200, Header: http.Header{"X-Amzn-Requestid": {"x"}}, ContentLength: 2, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// The budget of one call with a ready body: the SDK's middlewares and signing,
// whatever the body's size.
func TestCallAllocations(t *testing.T) {
	s := load(t, Options{Endpoint: "http://127.0.0.1:9"})
	s.config.HTTPClient = &httpClient{transport: new(quiet)}
	client := s.CloudWatchLogs()
	ctx := testContext(t)
	body := NewBody(nil)
	data := logEvents("group", "log", 10_000)
	allocs := testing.AllocsPerRun(50, func() {
		body.Reset(data)
		if _, err := PutLogEvents(ctx, client, "group", "log", body); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%.0f allocations", allocs)
	if allocs > 82 {
		t.Errorf("%.0f allocations, want at most 82", allocs)
	}
}
