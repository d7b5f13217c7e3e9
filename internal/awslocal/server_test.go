package awslocal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "10.0.0.1:0", "[::]:0", "example.com:0", "192.168.1.1:80", "nonsense", "127.0.0.1"} {
		if s, err := Start(Config{Addr: addr}); err == nil {
			s.Close()
			t.Errorf("listens on %s", addr)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.0.0.2:0"} {
		s := start(t, Config{Addr: addr})
		for _, u := range []string{s.URL, s.PlainURL, s.ControlURL} {
			parsed, err := url.Parse(u)
			noError(t, err)
			if ip := net.ParseIP(parsed.Hostname()); !ip.IsLoopback() || parsed.Port() == "0" {
				t.Errorf("%s: URL %s", addr, u)
			}
		}
	}
	s := start(t, Config{})
	if _, err := Start(Config{Addr: strings.TrimPrefix(s.URL, "http://")}); err == nil {
		t.Error("listens where another server does")
	}
}

func TestBadInitialStreams(t *testing.T) {
	for _, cfg := range []Config{{KinesisStreams: map[string]int{"a b": 1}}, {KinesisStreams: map[string]int{"a": 0}}, {DeliveryStreams: []string{"a b"}}, {DeliveryStreams: []string{"a", "a"}}} {
		if s, err := Start(cfg); err == nil {
			s.Close()
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func TestTLS(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := faultServer(t, Config{TLS: true, HTTP2: http2})
		if !strings.HasPrefix(s.URL, "https://") || !strings.HasPrefix(s.PlainURL, "http://") {
			t.Errorf("URLs %s and %s", s.URL, s.PlainURL)
		}
		noError(t, puts(t, s)["PutLogEvents"](testContext(t)))
		want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
		if r := last(s, "PutLogEvents"); r.Proto != want || !r.Auth.Verified {
			t.Errorf("came over %s, want %s", r.Proto, want)
		}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{ServerName: "127.0.0.1"})
		if err == nil {
			conn.Close()
			t.Error("the certificate is trusted without the authority")
		}
		cfg := sdkConfig(t, s)
		cfg.BaseEndpoint = &s.PlainURL
		_, err = cloudwatchlogs.NewFromConfig(cfg).PutLogEvents(testContext(t), putTo("g", "s", manyEvents(1, "x")...))
		noError(t, err)
	}
}

func TestMalformedCalls(t *testing.T) {
	s := faultServer(t, Config{})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const put = "Logs_20140328.PutLogEvents"
	tests := []struct {
		name, target, body string
		change             func(*http.Request)
		status             int
		code               string
	}{
		{"unknown operation", "Logs_20140328.PutEvents", "{}", nil, 400, "UnknownOperationException"},
		{"unknown service", "Logs_20200101.PutLogEvents", "{}", nil, 400, "UnknownOperationException"},
		{"operation of another service", "Kinesis_20131202.PutLogEvents", "{}", nil, 400, "UnknownOperationException"},
		{"CBOR", put, "{}", header("Content-Type", "application/x-amz-cbor-1.1"), 404, "UnknownOperationException"},
		{"half of CBOR", "Kinesis_20131202.PutRecords", "\xbf\x6aStreamName", header("Content-Type", typeCBOR), 400, ""},
		{"JSON 1.0", put, "{}", header("Content-Type", "application/x-amz-json-1.0"), 404, "UnknownOperationException"},
		{"GET", put, "{}", func(r *http.Request) { r.Method = http.MethodGet }, 405, "UnknownOperationException"},
		{"chunked", put, "{}", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), -1 }, 411, "MissingContentLength"},
		{"no body", put, "", nil, 400, "SerializationException"},
		{"more than 16 MiB", put, strings.Repeat(" ", maxBodyBytes+1), nil, 413, "RequestEntityTooLargeException"},
	}
	for _, tt := range tests {
		status, code := rawCall(t, s, tt.target, tt.body, tt.change)
		if status != tt.status || code != tt.code {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, status, code, tt.status, tt.code)
		}
	}
	// awsQuery
	for _, tt := range []struct{ contentType, body, want string }{
		{"application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15", "MissingAuthenticationToken"},
		{"application/x-www-form-urlencoded; charset=utf-8", "Action=GetCallerIdentity&Version=2011-06-15", "MissingAuthenticationToken"},
		{"application/x-www-form-urlencoded", "Action=GetCallerIdentity", "InvalidAction"},
		{"application/x-www-form-urlencoded", "Action=GetUser&Version=2011-06-15", "InvalidAction"},
		{"application/x-www-form-urlencoded", "Action=%zz", "MalformedQueryString"},
		{"text/plain", "Action=GetCallerIdentity&Version=2011-06-15", "UnknownOperationException"},
		{"application/x-www-form-urlencoded", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&Nonsense=1", "ValidationError"},
		{"application/x-www-form-urlencoded", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a&RoleArn=b", "ValidationError"},
	} {
		resp, err := http.Post(s.URL, tt.contentType, strings.NewReader(tt.body))
		noError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		noError(t, err)
		if !strings.Contains(string(body), tt.want) || resp.StatusCode < 400 {
			t.Errorf("%s: got %d %s, want %s", tt.body, resp.StatusCode, body, tt.want)
		}
	}
	if s.Counts("").Succeeded != 0 {
		t.Error("something succeeded")
	}
}

// TestEveryOperation sends each operation what it cannot read, what lacks all it
// needs, and what names nothing that exists.
func TestEveryOperation(t *testing.T) {
	s := start(t, Config{})
	missing := `"logGroupName":"none","logStreamName":"none"`
	kinesis := `"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/none"`
	firehose := `"DeliveryStreamName":"none"`
	bodies := map[string]string{ // of existing things' names; empty where there is nothing to be missing
		"CreateLogGroup": "", "DescribeLogGroups": "", "CreateStream": "", "CreateDeliveryStream": "", "ListDeliveryStreams": "",
		"DeleteLogGroup": `{"logGroupName":"none"}`, "CreateLogStream": "{" + missing + "}", "DeleteLogStream": "{" + missing + "}",
		"DescribeLogStreams": `{"logGroupName":"none"}`, "PutRetentionPolicy": `{"logGroupName":"none","retentionInDays":1}`,
		"AssociateKmsKey":               `{"logGroupName":"none","kmsKeyId":"` + testKMSKey + `"}`,
		"PutLogGroupDeletionProtection": `{"logGroupIdentifier":"none","deletionProtectionEnabled":true}`,
		"TagResource":                   `{"resourceArn":"arn:aws:logs:us-east-1:123456789012:log-group:none","tags":{"a":"b"}}`, "TagLogGroup": `{"logGroupName":"none","tags":{"a":"b"}}`,
		"PutLogEvents": "{" + missing + `,"logEvents":[{"timestamp":1,"message":"m"}]}`, "GetLogEvents": "{" + missing + "}",
		"DeleteStream": "{" + kinesis + "}", "DescribeStreamSummary": "{" + kinesis + "}", "ListShards": "{" + kinesis + "}",
		"UpdateMaxRecordSize": "{" + kinesis + `,"MaxRecordSizeInKiB":1024}`, "PutRecords": "{" + kinesis + `,"Records":[{"Data":"","PartitionKey":"k"}]}`,
		"GetShardIterator":     "{" + kinesis + `,"ShardId":"shardId-000000000000","ShardIteratorType":"LATEST"}`,
		"GetRecords":           `{"ShardIterator":"bm9uZXxzaGFyZElkLTB8MA=="}`, // none|shardId-0|0
		"DeleteDeliveryStream": "{" + firehose + "}", "DescribeDeliveryStream": "{" + firehose + "}",
		"PutRecordBatch": "{" + firehose + `,"Records":[{"Data":""}]}`,
	}
	needNothing := []string{"DescribeLogGroups", "ListDeliveryStreams"}
	for _, svc := range services {
		if svc.protocol != awsJSON {
			continue
		}
		for name := range svc.operations {
			target := svc.target + "." + name
			body, ok := bodies[name]
			if !ok {
				t.Errorf("%s is not tested", name)
			}
			if _, got := rawCall(t, s, target, `{"nonsense":1}`, nil); got != "SerializationException" {
				t.Errorf("%s with nonsense: %q", name, got)
			}
			status, got := rawCall(t, s, target, "{}", nil)
			if wantOK := slices.Contains(needNothing, name); wantOK != (status == 200) || !wantOK && (status != 400 || got == "SerializationException") {
				t.Errorf("%s without members: %d %q", name, status, got)
			}
			if body == "" {
				continue
			}
			if _, got := rawCall(t, s, target, body, nil); got != "ResourceNotFoundException" {
				t.Errorf("%s of what does not exist: %q", name, got)
			}
		}
	}
}

// TestClientGone: answers that cannot be given are lost, if something was done
// for them.
func TestClientGone(t *testing.T) {
	s := faultServer(t, Config{})
	body := fmt.Sprintf(`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":%d,"message":"m"}]}`, time.Now().UnixMilli())
	serve := func(w http.ResponseWriter, ctx context.Context, body string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(body))
		rawHeaders(r, "Logs_20140328.PutLogEvents")
		defer func() { _ = recover() }() // a recorder cannot be hijacked, so what cannot be cut is aborted
		s.serveAll(w, r)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		fault  Fault
		w      http.ResponseWriter
		ctx    context.Context
		body   string
		lost   bool
		status int
	}{
		{"gone before the answer", Fault{Kind: None}, httptest.NewRecorder(), gone, body, true, 0},
		{"gone before a refusal", Fault{Kind: None}, httptest.NewRecorder(), gone, "{}", true, 0},
		{"gone before a refusal for nothing", Fault{Kind: Throttle}, httptest.NewRecorder(), gone, body, false, 0},
		{"gone while answering", Fault{Kind: None}, brokenWriter{http.Header{}}, t.Context(), body, true, 200},
		{"gone while trickling", Fault{Kind: Trickle}, brokenWriter{http.Header{}}, t.Context(), body, true, 200},
	}
	for _, tt := range tests {
		s.Script("PutLogEvents", tt.fault)
		before := s.Counts("PutLogEvents")
		serve(tt.w, tt.ctx, tt.body)
		after, r := s.Counts("PutLogEvents"), last(s, "PutLogEvents")
		if r.Lost != tt.lost || r.Status != tt.status || after.LostAnswers-before.LostAnswers != map[bool]int{true: 1}[tt.lost] || after.Succeeded != 0 ||
			after.LostRecords-before.LostRecords != r.Accepted {
			t.Errorf("%s: %+v, noted as status %d, lost %v, accepted %d", tt.name, after, r.Status, r.Lost, r.Accepted)
		}
	}
}

// brokenWriter is a connection that takes a head and no more.
type brokenWriter struct{ header http.Header }

func (b brokenWriter) Header() http.Header         { return b.header }
func (b brokenWriter) WriteHeader(int)             {}
func (b brokenWriter) Write(p []byte) (int, error) { return 0, net.ErrClosed }
func (b brokenWriter) FlushError() error           { return nil }

// TestClientGoesWhileSending: half a request is not a request.
func TestClientGoesWhileSending(t *testing.T) {
	s := faultServer(t, Config{})
	conn := dial(t, s)
	_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Logs_20140328.PutLogEvents\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 1000\r\n\r\n{")
	noError(t, err)
	noError(t, conn.Close())
	if !s.WaitRequests("PutLogEvents", 1, 10*time.Second) {
		t.Fatal("call not noted")
	}
	if r := last(s, "PutLogEvents"); r.Status != 0 || r.Accepted != 0 || r.Lost || r.BodyBytes != 1 {
		t.Errorf("noted as %+v", r)
	}
}

func TestDownAndUp(t *testing.T) {
	for _, cfg := range []Config{{}, {TLS: true}} {
		s := faultServer(t, cfg)
		put := puts(t, s)["PutLogEvents"]
		noError(t, put(testContext(t)))
		before := s.URL
		s.Down()
		s.Down()
		err := put(testContext(t)) // may use the connection that was cut
		if err == nil {
			t.Error("a call went well while down")
		}
		if !waitFor(10*time.Second, func() bool { err = put(testContext(t)); return errors.Is(err, syscall.ECONNREFUSED) }) {
			t.Errorf("while down: %v, want refused", err)
		}
		if status, _ := get(t, s.ControlURL+"/awslocal/state"); status != 200 {
			t.Errorf("state while down: %d", status)
		}
		if !s.State().Down {
			t.Error("the state does not say that it is down")
		}
		noError(t, s.Up())
		noError(t, s.Up())
		if s.URL != before {
			t.Errorf("came up at %s, was at %s", s.URL, before)
		}
		noError(t, put(testContext(t)))
		if n := s.Counts("PutLogEvents"); n.Requests != 2 || s.State().Down {
			t.Errorf("%+v, down: %v", n, s.State().Down)
		}
	}
}

func TestDownFor(t *testing.T) {
	s := faultServer(t, Config{})
	put := puts(t, s)["PutLogEvents"]
	s.DownFor(20 * time.Millisecond)
	if !waitFor(10*time.Second, func() bool { return put(testContext(t)) == nil }) {
		t.Error("did not come up")
	}
	s.DownFor(time.Hour)
	s.DownFor(time.Millisecond) // the latest counts
	if !waitFor(10*time.Second, func() bool { return !s.State().Down }) {
		t.Error("did not come up again")
	}
	s.DownFor(time.Hour)
	s.Close()
}

// TestPortTaken: Up says so when the port is not to be had, and DownFor tries on.
func TestPortTaken(t *testing.T) {
	s := faultServer(t, Config{})
	s.Down()
	ln, err := net.Listen("tcp", strings.TrimPrefix(s.URL, "http://"))
	noError(t, err)
	if s.Up() == nil {
		t.Error("came up where another listens")
	}
	s.DownFor(time.Millisecond)
	time.Sleep(20 * time.Millisecond) // let it fail once or more
	noError(t, ln.Close())
	if !waitFor(10*time.Second, func() bool { return !s.State().Down }) {
		t.Error("did not come up once the port was free")
	}
	noError(t, puts(t, s)["PutLogEvents"](testContext(t)))
}

// TestDownCutsCalls: connections in use end too.
func TestDownCutsCalls(t *testing.T) {
	s := faultServer(t, Config{})
	s.Script("PutLogEvents", Fault{Kind: Hang})
	ended := make(chan error, 1)
	put := puts(t, s)["PutLogEvents"]
	ctx := testContext(t)
	go func() { ended <- put(ctx) }()
	if !s.WaitRequests("PutLogEvents", 1, 10*time.Second) {
		t.Fatal("the call did not come")
	}
	s.Down()
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("call ended with %v", err)
	}
}

func TestNoGoroutinesLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		s, err := Start(Config{TLS: true, KinesisStreams: map[string]int{"s": 2}})
		noError(t, err)
		s.Logs().CreateStream("g", "s")
		s.Script("PutLogEvents", Fault{Kind: Stale}, Fault{Kind: Hang})
		conn := dial(t, s)
		rawOver(t, conn)
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		rawOver(t, dial(t, s))
		if !s.WaitRequests("PutLogEvents", 2, 10*time.Second) {
			t.Error("a call did not come")
		}
		s.Close()
		s.Close()
	}
	if !waitFor(10*time.Second, func() bool { return runtime.NumGoroutine() <= before }) {
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
	}
}

func TestDiscard(t *testing.T) {
	s := start(t, Config{Discard: true})
	ctx := testContext(t)
	// Names need not exist, and text that looks like members is not counted.
	_, err := logsClient(t, s).PutLogEvents(ctx, putTo("any", "one", manyEvents(7, `{"timestamp":1,"Data":"x"}`)...))
	noError(t, err)
	_, err = logsClient(t, s).PutLogEvents(ctx, putTo("any", "one", manyEvents(5, "x")...), asGzip)
	noError(t, err)
	entries := kinesisEntries(9, 10)
	entries[0].PartitionKey = ptr(`"Data":`)
	k, err := kinesisClient(t, s).PutRecords(ctx, putRecords("any", entries...))
	noError(t, err)
	f, err := firehoseClient(t, s).PutRecordBatch(ctx, putBatch("any", firehoseRecords(11, 10)...))
	noError(t, err)
	if len(k.Records) != 9 || *k.FailedRecordCount != 0 || *k.Records[8].ShardId == "" || len(f.RequestResponses) != 11 || *f.FailedPutCount != 0 || *f.RequestResponses[10].RecordId == "" {
		t.Errorf("answers %+v and %+v", k, f)
	}
	if got := s.State().Totals; got.LogEvents != 12 || got.KinesisRecords != 9 || got.FirehoseRecords != 11 {
		t.Errorf("totals %+v", got)
	}
	if n := s.Counts("PutLogEvents"); n.Accepted != 12 || n.Records != 12 || n.Succeeded != 2 || n.BodyBytes == 0 {
		t.Errorf("counts %+v", n)
	}
	_, err = logsClient(t, s).CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: ptr("none"), LogStreamName: ptr("s")})
	wantCode(t, "other operations are as ever", err, "ResourceNotFoundException")
	s.Script("PutRecords", Fault{Kind: Throttle})
	_, err = kinesisClient(t, s).PutRecords(ctx, putRecords("any", entries...))
	wantCode(t, "faults play", err, "ProvisionedThroughputExceededException")
}

// TestConcurrentCalls: calls from many sides at once are all there afterwards.
func TestConcurrentCalls(t *testing.T) {
	s := faultServer(t, Config{})
	s.SetFaults(AnyOperation, []Fault{{Kind: Throttle, Probability: 0.1}, {Kind: LostAnswer, Probability: 0.1}, {Kind: Partial, Probability: 0.3, Rate: 0.5}})
	all := puts(t, s)
	const workers, calls = 4, 20
	var wg sync.WaitGroup
	ctx := testContext(t)
	for range workers {
		for _, put := range all {
			wg.Go(func() {
				for range calls {
					_ = put(ctx) // what came of it is looked at below
				}
			})
		}
	}
	wg.Go(func() {
		for range 50 {
			_ = s.State()
			_ = s.Logs().Stream("g", "s").Events()
			_ = s.Requests("")
		}
	})
	wg.Wait()
	if !waitFor(10*time.Second, func() bool { return s.Counts("").Requests == workers*calls*3 }) {
		t.Errorf("%d requests, want %d", s.Counts("").Requests, workers*calls*3)
	}
	kept := map[string]int{"PutLogEvents": s.Logs().Stream("g", "s").Len(), "PutRecords": s.Kinesis().Stream("s").Len(), "PutRecordBatch": s.Firehose().Stream("s").Len()}
	for op, n := range kept {
		if c := s.Counts(op); c.Accepted != n || c.LostAnswers != s.FaultsPlayed()[op][LostAnswer] || c.LostAnswers == 0 {
			t.Errorf("%s: %d kept, counts %+v, played %v", op, n, c, s.FaultsPlayed()[op])
		}
	}
}

func TestKeepRequests(t *testing.T) {
	for keep, want := range map[int]string{-1: "[]", 1: "[5]", 3: "[3 4 5]", 5: "[1 2 3 4 5]", 0: "[1 2 3 4 5]"} {
		s := faultServer(t, Config{KeepRequests: keep})
		for i := range 5 {
			_, err := logsClient(t, s).PutLogEvents(testContext(t), putTo("g", "s", manyEvents(i+1, "x")...))
			noError(t, err)
		}
		got := []int{}
		for _, r := range s.Requests("PutLogEvents") {
			got = append(got, r.Records)
		}
		if fmt.Sprint(got) != want || s.Counts("PutLogEvents").Requests != 5 || len(s.Requests("PutRecords")) != 0 {
			t.Errorf("keeping %d: calls with %v events, want %s", keep, got, want)
		}
	}
	s := faultServer(t, Config{KeepBodies: true})
	noError(t, puts(t, s)["PutLogEvents"](testContext(t)))
	noError(t, puts(t, s)["PutRecords"](testContext(t)))
	if r := s.Requests(""); !strings.Contains(string(r[0].Body), `"logEvents"`) || !strings.Contains(string(r[1].Body), `"PartitionKey"`) || r[0].BodyBytes != len(r[0].Body) {
		t.Errorf("bodies %q and %q", r[0].Body, r[1].Body)
	}
	if s.WaitRequests("PutLogEvents", 2, time.Millisecond) {
		t.Error("waited for a call that did not come")
	}
}

func BenchmarkPutLogEvents(b *testing.B) {
	for _, discard := range []bool{false, true} {
		b.Run(fmt.Sprint("discard=", discard), func(b *testing.B) {
			s := start(b, Config{Discard: discard, KeepRequests: -1, Now: time.Now})
			s.Logs().CreateStream("g", "s")
			now := time.Now().UnixMilli()
			var body strings.Builder
			body.WriteString(`{"logGroupName":"g","logStreamName":"s","logEvents":[`)
			for i := range 1000 {
				fmt.Fprintf(&body, `%s{"timestamp":%d,"message":"%s"}`, map[bool]string{true: ","}[i > 0], now, strings.Repeat(`{\"a\":\"bcdefghij\"}`, 50))
			}
			body.WriteString("]}")
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if status, code := rawCall(b, s, "Logs_20140328.PutLogEvents", body.String(), nil); status != 200 {
					b.Fatal(status, code)
				}
				s.Logs().DeleteStream("g", "s")
				s.Logs().CreateStream("g", "s")
			}
		})
	}
}
