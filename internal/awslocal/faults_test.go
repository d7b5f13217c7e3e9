package awslocal

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// faultServer has one log stream, one Kinesis stream of two shards and one
// delivery stream, all called s.
func faultServer(t testing.TB, cfg Config) *Server {
	cfg.KinesisStreams = map[string]int{"s": 2}
	cfg.DeliveryStreams = []string{"s"}
	s := start(t, cfg)
	s.Logs().CreateStream("g", "s")
	return s
}

// puts are the calls that carry records, with 3 records each.
func puts(t testing.TB, s *Server) map[string]func(context.Context) error {
	cfg := sdkConfig(t, s)
	l, k, f := cloudwatchlogs.NewFromConfig(cfg), kinesisClient(t, s), firehoseClient(t, s)
	return map[string]func(context.Context) error{
		"PutLogEvents": func(ctx context.Context) error {
			_, err := l.PutLogEvents(ctx, putTo("g", "s", manyEvents(3, "x")...))
			return err
		},
		"PutRecords": func(ctx context.Context) error {
			_, err := k.PutRecords(ctx, putRecords("s", kinesisEntries(3, 1)...))
			return err
		},
		"PutRecordBatch": func(ctx context.Context) error {
			_, err := f.PutRecordBatch(ctx, putBatch("s", firehoseRecords(3, 1)...))
			return err
		},
	}
}

// TestRefusals plays each fault that is an answer, for each of the three calls,
// and looks at what the SDK makes of it.
func TestRefusals(t *testing.T) {
	tests := []struct {
		fault                   Fault
		logs, kinesis, firehose string // code and status
	}{
		{Fault{Kind: Throttle}, "ThrottlingException 400", "ProvisionedThroughputExceededException 400", "ServiceUnavailableException 503"},
		{Fault{Kind: Error}, "ServiceUnavailableException 500", "InternalFailure 500", "InternalFailure 500"},
		{Fault{Kind: Error, Status: 400, Code: "OddException", Message: "odd"}, "OddException 400", "OddException 400", "OddException 400"},
		{Fault{Kind: Throttle, Status: 429, Code: "TooManyRequestsException"}, "TooManyRequestsException 429", "TooManyRequestsException 429", "TooManyRequestsException 429"},
		{Fault{Kind: ExpiredToken}, "ExpiredTokenException 400", "ExpiredTokenException 400", "ExpiredTokenException 400"},
		{Fault{Kind: AccessDenied}, "AccessDeniedException 400", "AccessDeniedException 400", "AccessDeniedException 400"},
		{Fault{Kind: HTML}, " 502", " 502", " 502"},
		{Fault{Kind: HTML, Status: 504}, " 504", " 504", " 504"},
		{Fault{Kind: HTML, Status: 200}, " 200", " 200", " 200"},
	}
	s := faultServer(t, Config{})
	ctx := testContext(t)
	for op, put := range puts(t, s) {
		for _, tt := range tests {
			want := map[string]string{"PutLogEvents": tt.logs, "PutRecords": tt.kinesis, "PutRecordBatch": tt.firehose}[op]
			s.Script(op, tt.fault)
			err := put(ctx)
			if err == nil {
				t.Errorf("%s: %+v went well", op, tt.fault)
				continue
			}
			// The SDK makes codes of its own of what is not JSON.
			got := code(err)
			if tt.fault.Kind == HTML {
				got = ""
			}
			var resp *awshttp.ResponseError
			if errors.As(err, &resp) {
				got += fmt.Sprint(" ", resp.HTTPStatusCode())
				if resp.ServiceRequestID() == "" {
					t.Errorf("%s: %+v: no request id", op, tt.fault)
				}
			} else if tt.fault.Status == 200 {
				got += " 200"
			}
			if got != want {
				t.Errorf("%s: %+v: got %q, want %q (%v)", op, tt.fault, got, want, err)
			}
			if tt.fault.Message != "" {
				var api smithy.APIError
				if !errors.As(err, &api) || api.ErrorMessage() != tt.fault.Message {
					t.Errorf("%s: message in %v, want %q", op, err, tt.fault.Message)
				}
			}
			if r := last(s, op); r.Fault != tt.fault.Kind || r.Accepted != 0 || r.Lost || r.Target == "" {
				t.Errorf("%s: %+v: noted as %+v", op, tt.fault, r)
			}
		}
		noError(t, put(ctx))
	}
	if s.Logs().Total() != 3 || s.Kinesis().Total() != 3 || s.Firehose().Total() != 3 || s.LostRecords() != 0 {
		t.Errorf("accepted %+v, want 3 each: refused calls must leave nothing", s.State().Totals)
	}
}

func last(s *Server, op string) *Request {
	all := s.Requests(op)
	return all[len(all)-1]
}

func TestRefusalsOfOtherOperations(t *testing.T) {
	s := faultServer(t, Config{})
	ctx := testContext(t)
	s.SetFaults(AnyOperation, []Fault{{Kind: Throttle, Probability: 1}})
	_, err := logsClient(t, s).CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: ptr("g"), LogStreamName: ptr("t")})
	wantCode(t, "CreateLogStream", err, "ThrottlingException")
	_, err = kinesisClient(t, s).ListShards(ctx, ptr(kinesisList("s")))
	wantCode(t, "ListShards", err, "LimitExceededException")
	_, err = stsClient(t, s).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wantCode(t, "GetCallerIdentity", err, "Throttling")
	s.ClearFaults()
	s.Script("AssumeRole", Fault{Kind: AccessDenied}, Fault{Kind: ExpiredToken}, Fault{Kind: Error}, Fault{Kind: HTML}, Fault{Kind: Reset})
	for _, want := range []string{"AccessDenied", "ExpiredToken", "InternalFailure", "", "no answer"} {
		_, err = stsClient(t, s).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: ptr(roleARN), RoleSessionName: ptr("session")})
		if err == nil || want != "" && code(err) != want {
			t.Errorf("AssumeRole: got %v, want %q", err, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: Throttle, RetryAfter: "7"}, Fault{Kind: HTML, RetryAfter: "8"})
	for _, want := range []string{"7", "8"} {
		_, err := logsClient(t, s).PutLogEvents(testContext(t), putTo("g", "s", manyEvents(1, "x")...))
		var resp *awshttp.ResponseError
		if !errors.As(err, &resp) || resp.Response.Header.Get("Retry-After") != want {
			t.Errorf("got %v, want Retry-After %s", err, want)
		}
	}
}

// TestBrokenConnections plays each fault that takes the answer away, for each of
// the three calls. Those that process the call say so.
func TestBrokenConnections(t *testing.T) {
	tests := []struct {
		fault     Fault
		processed bool
		status    int
	}{
		{Fault{Kind: Reset}, false, 0},
		{Fault{Kind: Reset, Target: "s"}, false, 0},
		{Fault{Kind: Reset, Delay: time.Millisecond}, false, 0},
		{Fault{Kind: LostAnswer}, true, 0},
		{Fault{Kind: CutAnswer}, true, 200},
		{Fault{Kind: Error, Processed: true}, true, 500},
		{Fault{Kind: HTML, Processed: true}, true, 502},
		{Fault{Kind: Throttle, Processed: true}, true, 0},
	}
	for _, cfg := range []Config{{}, {TLS: true}, {TLS: true, HTTP2: true}} {
		s := faultServer(t, cfg)
		lost := 0
		for op, put := range puts(t, s) {
			for _, tt := range tests {
				before := s.Counts(op)
				s.Script(op, tt.fault)
				if err := put(testContext(t)); err == nil {
					t.Errorf("%s: %+v went well", op, tt.fault)
				}
				// The client sees its connection end before the server notes why.
				if !waitFor(10*time.Second, func() bool { return s.Counts(op).Requests == before.Requests+1 }) {
					t.Fatalf("%s: %+v: call not noted", op, tt.fault)
				}
				after, r := s.Counts(op), last(s, op)
				accepted := 0
				if tt.processed {
					accepted = 3
				}
				lost += accepted
				if after.Accepted-before.Accepted != accepted || after.LostRecords-before.LostRecords != accepted || r.Lost != tt.processed || after.Succeeded != before.Succeeded {
					t.Errorf("%s: %+v: before %+v, after %+v", op, tt.fault, before, after)
				}
				if tt.status != 0 && r.Status != tt.status || r.Fault != tt.fault.Kind {
					t.Errorf("%s: %+v: noted as status %d, fault %s", op, tt.fault, r.Status, r.Fault)
				}
			}
			noError(t, put(testContext(t)))
		}
		if got := s.LostRecords(); got != lost || s.State().Totals.LostRecords != lost {
			t.Errorf("%d records lost, want %d", got, lost)
		}
	}
}

// TestReset: the client is told by the network, not by a close in good order.
func TestReset(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: Reset}, Fault{Kind: LostAnswer})
	for range 2 {
		conn := dial(t, s)
		rawOver(t, conn)
		if all, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q and %v, want a reset", all, err)
		}
	}
}

// dial connects to the server. Nothing on the connection takes more than 10 s.
func dial(t testing.TB, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.URL[strings.LastIndexByte(s.URL, '/')+1:])
	noError(t, err)
	t.Cleanup(func() { conn.Close() })
	noError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	if s.CAPEM == nil {
		return conn
	}
	return tls.Client(conn, tlsConfig(t, s))
}

// TestResetUnread: a reset takes the request away before it is read.
func TestResetUnread(t *testing.T) {
	s := faultServer(t, Config{KeepBodies: true})
	s.Script("PutLogEvents", Fault{Kind: Reset})
	_, err := logsClient(t, s).PutLogEvents(testContext(t), putTo("g", "s", manyEvents(1, strings.Repeat("x", 900_000))...))
	if err == nil {
		t.Error("went well")
	}
	if !s.WaitRequests("PutLogEvents", 1, 10*time.Second) {
		t.Fatal("call not noted")
	}
	if r := last(s, "PutLogEvents"); r.BodyBytes != 0 || r.Body != nil {
		t.Errorf("%d bytes were read", r.BodyBytes)
	}
}

func TestCutAnswer(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: CutAnswer})
	err := puts(t, s)["PutLogEvents"](testContext(t))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the end of the body to be missing", err)
	}
}

func TestHang(t *testing.T) {
	for _, processed := range []bool{false, true} {
		s := faultServer(t, Config{})
		for op, put := range puts(t, s) {
			s.Script(op, Fault{Kind: Hang, Processed: processed})
			ctx, cancel := context.WithCancel(testContext(t))
			ended := make(chan error, 1)
			go func() { ended <- put(ctx) }()
			if !s.WaitRequests(op, 1, 10*time.Second) {
				t.Fatalf("%s did not come", op)
			}
			select {
			case err := <-ended:
				t.Errorf("%s ended: %v", op, err)
			default:
			}
			cancel()
			if err := <-ended; err == nil {
				t.Errorf("%s went well", op)
			}
			want := map[bool]int{false: 0, true: 3}[processed]
			if n := s.Counts(op); n.Accepted != want || n.LostRecords != want {
				t.Errorf("%s: %+v, want %d accepted and lost", op, n, want)
			}
		}
	}
}

// TestCloseEndsHang: a test that forgets its hanging call must not hang itself.
func TestCloseEndsHang(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: Hang}, Fault{Kind: Slow, Delay: time.Hour})
	ended := make(chan error, 2)
	put := puts(t, s)["PutLogEvents"]
	for range 2 {
		go func() { ended <- put(context.Background()) }()
	}
	if !waitFor(10*time.Second, func() bool { n := s.FaultsPlayed()["PutLogEvents"]; return n[Hang]+n[Slow] == 2 }) {
		t.Fatal("the calls did not come")
	}
	s.Close()
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a call to a closed server went well")
		}
	}
}

func TestSlow(t *testing.T) {
	s := faultServer(t, Config{Latency: 20 * time.Millisecond})
	put := puts(t, s)["PutLogEvents"]
	s.Script("PutLogEvents", Fault{Kind: Slow, Delay: 30 * time.Millisecond}, Fault{Kind: Throttle, Delay: 30 * time.Millisecond}, Fault{Kind: None})
	for i, want := range []time.Duration{50 * time.Millisecond, 50 * time.Millisecond, 20 * time.Millisecond} {
		began := time.Now()
		err := put(testContext(t))
		if took := time.Since(began); took < want {
			t.Errorf("call %d took %v, want at least %v", i, took, want)
		}
		wantCode(t, fmt.Sprint("call ", i), err, []string{"", "ThrottlingException", ""}[i])
	}

	// A client that does not wait that long has sent nothing.
	s.Script("PutLogEvents", Fault{Kind: Slow, Delay: time.Hour})
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error, 1)
	go func() { ended <- put(ctx) }()
	if !waitFor(10*time.Second, func() bool { return s.FaultsPlayed()["PutLogEvents"][Slow] == 2 }) {
		t.Fatal("the call did not come")
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("an hour passed")
	}
	if !s.WaitRequests("PutLogEvents", 4, 10*time.Second) {
		t.Fatal("call not noted")
	}
	if n := s.Counts("PutLogEvents"); n.Accepted != 6 || n.LostRecords != 0 {
		t.Errorf("%+v, want 6 accepted and none lost", n)
	}
}

func TestTrickle(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: Trickle, Delay: time.Microsecond})
	conn := dial(t, s)
	rawOver(t, conn)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	noError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	noError(t, err)
	if !strings.Contains(string(body), "nextSequenceToken") || int64(len(body)) != resp.ContentLength {
		t.Errorf("trickled %q", body)
	}
	if n := s.Counts("PutLogEvents"); n.LostAnswers != 0 || n.Succeeded != 1 {
		t.Errorf("%+v", n)
	}

	for op, put := range puts(t, s) {
		before := s.Counts(op)
		s.Script(op, Fault{Kind: Trickle, Delay: time.Hour})
		ctx, cancel := context.WithCancel(testContext(t))
		ended := make(chan error, 1)
		go func() { ended <- put(ctx) }()
		if !s.WaitRequests(op, before.Requests+1, 10*time.Second) {
			t.Fatalf("%s did not come", op)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Errorf("%s: hours passed", op)
		}
		if !waitFor(10*time.Second, func() bool { return s.Counts(op).LostRecords == 3 }) {
			t.Errorf("%s: %+v, want 3 lost", op, s.Counts(op))
		}
		if n := s.Counts(op); n.Accepted-before.Accepted != 3 || n.Succeeded != before.Succeeded || n.LostAnswers != 1 {
			t.Errorf("%s: before %+v, after %+v", op, before, n)
		}
	}
}

func TestCloseAfter(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: CloseAfter})
	conn := dial(t, s)
	rawOver(t, conn)
	all, err := io.ReadAll(conn) // ends with the connection
	noError(t, err)
	if !strings.HasPrefix(string(all), "HTTP/1.1 200") || strings.Contains(string(all), "Connection: close") {
		t.Errorf("answer %q", all)
	}
}

// rawOver writes a PutLogEvents call to a connection.
func rawOver(t testing.TB, conn net.Conn) {
	t.Helper()
	now := time.Now().UTC()
	body := fmt.Sprintf(`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":%d,"message":"m"}]}`, now.UnixMilli())
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	noError(t, err)
	rawHeaders(req, "Logs_20140328.PutLogEvents")
	noError(t, req.Write(conn))
}

// TestStale: the first call goes well, the next on its connection does not,
// and was never seen.
func TestStale(t *testing.T) {
	for _, cfg := range []Config{{}, {TLS: true}} {
		s := faultServer(t, cfg)
		call := func(conn net.Conn) error {
			rawOver(t, conn)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
			}
			return err
		}
		s.Script("PutLogEvents", Fault{Kind: Stale})
		conn := dial(t, s)
		noError(t, call(conn))
		if err := call(conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("second call on the connection: %v, want a reset", err)
		}
		noError(t, call(dial(t, s)))
		if n := s.Counts("PutLogEvents"); n.Requests != 2 || n.Accepted != 2 || n.LostRecords != 0 {
			t.Errorf("%+v, want two calls", n)
		}
		s.Script("PutLogEvents", Fault{Kind: Stale})
		noError(t, call(dial(t, s)))
		s.Close() // does not wait for the connection that is held
	}
}

func TestIdleTimeout(t *testing.T) {
	s := faultServer(t, Config{IdleTimeout: 30 * time.Millisecond})
	conn := dial(t, s)
	rawOver(t, conn)
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the idle connection was not closed: %v", err)
	}
}

func TestPartialKinesis(t *testing.T) {
	s := faultServer(t, Config{Seed: 3})
	client, ctx := kinesisClient(t, s), testContext(t)
	put := func(n int, f Fault) (failed []int, codes map[string]int, answered int) {
		t.Helper()
		before := s.Kinesis().Total()
		s.Script("PutRecords", f)
		out, err := client.PutRecords(ctx, putRecords("s", kinesisEntries(n, 1)...))
		noError(t, err)
		codes = make(map[string]int)
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				failed = append(failed, i)
				codes[*r.ErrorCode]++
				if r.SequenceNumber != nil || r.ShardId != nil || aws.ToString(r.ErrorMessage) == "" {
					t.Errorf("entry %d is %+v", i, r)
				}
			}
		}
		accepted := len(out.Records) - len(failed)
		if int(*out.FailedRecordCount) != len(failed) || s.Kinesis().Total()-before != accepted || last(s, "PutRecords").Accepted != accepted {
			t.Errorf("%+v: FailedRecordCount %d, %d failed of %d, %d more kept", f, *out.FailedRecordCount, len(failed), len(out.Records), s.Kinesis().Total()-before)
		}
		return failed, codes, len(out.Records)
	}
	if failed, codes, _ := put(500, Fault{Kind: Partial}); len(failed) != 500 || codes["InternalFailure"] < 100 || codes["ProvisionedThroughputExceededException"] < 100 {
		t.Errorf("all: %d failed, %v", len(failed), codes)
	}
	if failed, codes, _ := put(10, Fault{Kind: Partial, Entries: []int{0, 7, 99}, Code: "InternalFailure"}); !slices.Equal(failed, []int{0, 7}) || codes["InternalFailure"] != 2 {
		t.Errorf("0 and 7: %v, %v", failed, codes)
	}
	if failed, _, _ := put(500, Fault{Kind: Partial, Rate: 0.2}); len(failed) < 50 || len(failed) > 150 {
		t.Errorf("a fifth: %d of 500", len(failed))
	}
	const shard = "shardId-000000000001"
	failed, _, _ := put(100, Fault{Kind: Partial, Shards: []string{shard}})
	for i := range 100 {
		in := s.Kinesis().Stream("s").ShardFor(fmt.Sprintf("k%03d", i)) == shard
		if in != slices.Contains(failed, i) {
			t.Errorf("record %d of shard: %v, failed: %v", i, in, !in)
		}
	}
	if _, _, answered := put(5, Fault{Kind: ShortAnswer}); answered != 4 {
		t.Errorf("%d entries in the answer, want 4", answered)
	}
	if _, _, answered := put(5, Fault{Kind: ShortAnswer, Entries: []int{9}}); answered != 0 {
		t.Errorf("%d entries in the answer, want 0", answered)
	}
	if n := s.FaultsPlayed()["PutRecords"]; n[Partial] != 4 || n[ShortAnswer] != 2 {
		t.Errorf("played %v", n)
	}
}

func TestPartialFirehose(t *testing.T) {
	s := faultServer(t, Config{Seed: 3})
	client, ctx := firehoseClient(t, s), testContext(t)
	put := func(n int, f Fault) (failed []int, codes map[string]int, answered int) {
		t.Helper()
		before := s.Firehose().Total()
		s.Script("PutRecordBatch", f)
		out, err := client.PutRecordBatch(ctx, putBatch("s", firehoseRecords(n, 1)...))
		noError(t, err)
		codes = make(map[string]int)
		for i, r := range out.RequestResponses {
			if r.ErrorCode != nil {
				failed = append(failed, i)
				codes[*r.ErrorCode]++
			}
		}
		accepted := len(out.RequestResponses) - len(failed)
		if int(*out.FailedPutCount) != len(failed) || s.Firehose().Total()-before != accepted {
			t.Errorf("%+v: FailedPutCount %d, %d failed, %d more kept", f, *out.FailedPutCount, len(failed), s.Firehose().Total()-before)
		}
		return failed, codes, len(out.RequestResponses)
	}
	if failed, codes, _ := put(500, Fault{Kind: Partial}); len(failed) != 500 || codes["InternalFailure"] < 100 || codes["ServiceUnavailableException"] < 100 {
		t.Errorf("all: %d failed, %v", len(failed), codes)
	}
	if failed, codes, _ := put(10, Fault{Kind: Partial, Entries: []int{2}, Code: "ServiceUnavailableException"}); !slices.Equal(failed, []int{2}) || codes["ServiceUnavailableException"] != 1 {
		t.Errorf("2: %v, %v", failed, codes)
	}
	if _, _, answered := put(5, Fault{Kind: ShortAnswer, Entries: []int{2}}); answered != 3 {
		t.Errorf("%d entries in the answer, want 3", answered)
	}
}

func TestRejectOnOrder(t *testing.T) {
	s := faultServer(t, Config{})
	client, ctx := logsClient(t, s), testContext(t)
	s.Script("PutLogEvents", Fault{Kind: RejectEvents, TooOld: 2, Expired: 3, TooNew: 1}, Fault{Kind: RejectEvents, TooNew: 50}, Fault{Kind: RejectEntity}, Fault{Kind: RejectEntity, Code: "EntitySizeTooLarge"})
	out, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(10, "x")...))
	noError(t, err)
	if r := out.RejectedLogEventsInfo; *r.TooOldLogEventEndIndex != 2 || *r.ExpiredLogEventEndIndex != 3 || *r.TooNewLogEventStartIndex != 9 {
		t.Errorf("rejected %+v", r)
	}
	if n := s.Logs().Stream("g", "s").Len(); n != 6 {
		t.Errorf("%d events accepted, want 6", n)
	}
	out, err = client.PutLogEvents(ctx, putTo("g", "s", manyEvents(10, "x")...))
	noError(t, err)
	if *out.RejectedLogEventsInfo.TooNewLogEventStartIndex != 0 || s.Logs().Stream("g", "s").Len() != 6 {
		t.Errorf("not all rejected: %+v", out.RejectedLogEventsInfo)
	}
	for _, want := range []string{"InvalidEntity", "EntitySizeTooLarge"} {
		out, err = client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
		noError(t, err)
		if out.RejectedEntityInfo == nil || string(out.RejectedEntityInfo.ErrorType) != want {
			t.Errorf("rejected entity %+v, want %s", out.RejectedEntityInfo, want)
		}
	}
}

// TestTargets: a fault that names a stream leaves the others alone.
func TestTargets(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"a": 1, "b": 1}, DeliveryStreams: []string{"a", "b"}})
	s.Logs().CreateStream("ga", "sa")
	s.Logs().CreateStream("gb", "sb")
	l, k, f, ctx := logsClient(t, s), kinesisClient(t, s), firehoseClient(t, s), testContext(t)
	logs := func(group, stream string) error {
		_, err := l.PutLogEvents(ctx, putTo(group, stream, manyEvents(1, "x")...))
		return err
	}
	s.Script("PutLogEvents", Fault{Kind: Throttle, Target: "sb"}, Fault{Kind: AccessDenied}, Fault{Kind: ExpiredToken, Target: "ga"})
	wantCode(t, "untargeted fault first", logs("ga", "sa"), "AccessDeniedException")
	wantCode(t, "group ga", logs("ga", "sa"), "ExpiredTokenException")
	wantCode(t, "nothing left for ga", logs("ga", "sa"), "")
	wantCode(t, "stream sb", logs("gb", "sb"), "ThrottlingException")
	wantCode(t, "nothing left for sb", logs("gb", "sb"), "")

	s.SetFaults(AnyOperation, []Fault{{Kind: Error, Code: "Odd", Target: "b", Probability: 1}})
	for name, want := range map[string]string{"a": "", "b": "Odd"} {
		_, err := k.PutRecords(ctx, putRecords(name, kinesisEntries(1, 1)...))
		wantCode(t, "kinesis "+name, err, want)
		byARN := putRecords(name, kinesisEntries(1, 1)...)
		byARN.StreamName, byARN.StreamARN = nil, &s.Kinesis().Stream(name).ARN
		_, err = k.PutRecords(ctx, byARN)
		wantCode(t, "kinesis by ARN "+name, err, want)
		_, err = f.PutRecordBatch(ctx, putBatch(name, firehoseRecords(1, 1)...))
		wantCode(t, "firehose "+name, err, want)
	}
	if got := last(s, "PutRecords").Target; got != "a" && got != "b" {
		t.Errorf("target %q", got)
	}
	s.Script("PutLogEvents", Fault{Kind: Throttle, Target: "x"})
	if status, _ := rawCall(t, s, "Logs_20140328.PutLogEvents", "not JSON", nil); status != 400 {
		t.Errorf("malformed body: %d", status)
	}
}

// TestFaultsByChance: the rate is what was asked for, and a seed repeats it.
func TestFaultsByChance(t *testing.T) {
	const calls = 200
	run := func(seed uint64) (pattern string) {
		s := faultServer(t, Config{Seed: seed})
		put := puts(t, s)["PutRecordBatch"]
		s.SetFaults("PutRecordBatch", []Fault{{Kind: Throttle, Probability: 0.2}, {Kind: Error, Probability: 0.25}, {Kind: AccessDenied}})
		for range calls {
			pattern += code(put(testContext(t))) + " "
		}
		n := s.FaultsPlayed()["PutRecordBatch"]
		if n[Throttle] < 20 || n[Throttle] > 60 || n[Error] < 20 || n[Error] > 60 || n[AccessDenied] != 0 {
			t.Errorf("played %v in %d calls, want some 40 of both", n, calls)
		}
		if c := s.Counts("PutRecordBatch"); c.Requests != calls || c.Succeeded != calls-n[Throttle]-n[Error] || c.Accepted != 3*c.Succeeded {
			t.Errorf("counts %+v, played %v", c, n)
		}
		s.SetFaults("PutRecordBatch", nil)
		noError(t, put(testContext(t)))
		return pattern
	}
	first := run(1)
	if run(1) != first {
		t.Error("the same seed played other faults")
	}
	if run(2) == first {
		t.Error("another seed played the same faults")
	}
}
