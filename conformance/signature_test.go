package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/options"
)

// request is a request as it came in, for testdata/verify.py.
type request struct {
	Method, URL, Body string
	Headers           [][2]string
}

// signed is an endpoint that keeps what it gets. The first calls of each
// operation are answered with what fail says.
type signed struct {
	*httptest.Server
	mu    sync.Mutex // guards the following
	all   []request
	fail  []int // statuses, by number of the call to put records
	calls int
}

func newSigned(t *testing.T, fail ...int) *signed {
	s := &signed{fail: fail}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *signed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	q := request{Method: r.Method, URL: "http://" + r.Host + r.URL.RequestURI(), Body: base64.StdEncoding.EncodeToString(body)}
	for k, vs := range r.Header {
		for _, v := range vs {
			q.Headers = append(q.Headers, [2]string{k, v})
		}
	}
	s.mu.Lock()
	s.all = append(s.all, q)
	status := http.StatusOK
	target := r.Header.Get("X-Amz-Target")
	if strings.Contains(target, ".Put") && !strings.HasSuffix(target, "Policy") {
		if s.calls < len(s.fail) {
			status = s.fail[s.calls]
		}
		s.calls++
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "1")
	w.WriteHeader(status)
	if status != http.StatusOK {
		fmt.Fprint(w, `{"__type":"InternalFailure"}`)
		return
	}
	var in struct{ Records []struct{} }
	if r.Header.Get("Content-Type") == "application/x-amz-cbor-1.1" {
		body, _ = awslocal.JSONOf(body)
	}
	_ = json.Unmarshal(body, &in) // other calls have none, and a compressed body cannot be read so
	answer := map[string]any{}
	switch {
	case strings.HasSuffix(target, ".PutRecords"):
		records := make([]map[string]string, len(in.Records))
		for i := range records {
			records[i] = map[string]string{"ShardId": "shardId-0", "SequenceNumber": "1"}
		}
		answer = map[string]any{"FailedRecordCount": 0, "Records": records}
	case strings.HasSuffix(target, ".PutRecordBatch"):
		records := make([]map[string]string, len(in.Records))
		for i := range records {
			records[i] = map[string]string{"RecordId": "1"}
		}
		answer = map[string]any{"FailedPutCount": 0, "RequestResponses": records}
	}
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone wants none
}

// verify has botocore compute the signature of every request anew.
func (s *signed) verify(t *testing.T) []request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	in, err := json.Marshal(s.all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python(t), "testdata/verify.py", accessKey, secretKey)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	results := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(results) != len(s.all) || len(s.all) == 0 {
		t.Fatalf("%d requests, %d results", len(s.all), len(results))
	}
	for i, r := range results {
		if r != "ok" {
			t.Errorf("request %d: %s\n%v", i, r, s.all[i].Headers)
		}
	}
	return s.all
}

func (r request) header(name string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

func TestSignatures(t *testing.T) {
	python(t)
	l := newLoad(6, 200)
	odd := "a/b c+日本*:é😀%25~'\"" // what a log stream's name may hold, and a header or URL would trip over
	for _, c := range []struct {
		name, plugin string
		options      map[string]string
		env          []string
		fail         []int
		calls        int // at least
	}{
		{"cloudwatch", "cloudwatch", map[string]string{"log_group_name": "g", "log_stream_name": "s", "auto_create_group": "true", "log_retention_days": "7", "new_log_group_tags": "a=b"}, nil, nil, 1},
		{"cloudwatch, odd stream", "cloudwatch", map[string]string{"log_group_name": "g/.-_#", "log_stream_name": odd}, nil, nil, 1},
		{"cloudwatch, session token", "cloudwatch", map[string]string{"log_group_name": "g", "log_stream_name": "s"}, []string{"AWS_SESSION_TOKEN=FwoGZXIvYXdzE+/=token"}, nil, 1},
		{"cloudwatch, embedded metrics", "cloudwatch", map[string]string{"log_group_name": "g", "log_stream_name": "s", "log_format": "json/emf"}, nil, nil, 1},
		{"cloudwatch, again after 500 and 503", "cloudwatch", map[string]string{"log_group_name": "g", "log_stream_name": "s"}, nil, []int{500, 503}, 3},
		{"kinesis", "kinesis", map[string]string{"stream": "s", "request_format": "cbor"}, nil, nil, 1},
		{"kinesis, again, session token, ARN", "kinesis", map[string]string{"stream": "arn:aws:kinesis:us-east-2:123456789012:stream/a.b_c-D", "request_format": "cbor"}, []string{"AWS_SESSION_TOKEN=abc/+=="}, []int{500, 500}, 3},
		{"kinesis, JSON", "kinesis", map[string]string{"stream": "s"}, nil, nil, 1},
		{"cloudwatch, gzip, again", "cloudwatch", map[string]string{"log_group_name": "g", "log_stream_name": "s", "request_compression": "gzip"}, nil, []int{500}, 2},
		{"kinesis, zstd", "kinesis", map[string]string{"stream": "s", "compression": "zstd"}, nil, nil, 1},
		{"kinesis, user agent", "kinesis", map[string]string{"stream": "s", "extra_user_agent": "x/1 (y; z)"}, nil, nil, 1},
		{"firehose", "firehose", map[string]string{"delivery_stream": "a.b_c-D"}, nil, nil, 1},
		{"firehose, again, session token", "firehose", map[string]string{"delivery_stream": "s", "compression": "gzip"}, []string{"AWS_SESSION_TOKEN=abc"}, []int{503}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSigned(t, c.fail...)
			ship(t, shipped{plugin: c.plugin, chunks: l.chunks(200), records: 200, options: with(s.URL, c.options), env: c.env})
			all := s.verify(t)
			if s.calls < c.calls {
				t.Errorf("%d calls to put records, want %d", s.calls, c.calls)
			}
			bodies := make(map[string]bool)
			for _, r := range all {
				if len(c.env) > 0 && r.header("X-Amz-Security-Token") != strings.TrimPrefix(c.env[0], "AWS_SESSION_TOKEN=") {
					t.Errorf("the session token is %q", r.header("X-Amz-Security-Token"))
				}
				if strings.Contains(r.header("X-Amz-Target"), ".PutRecord") || strings.HasSuffix(r.header("X-Amz-Target"), ".PutLogEvents") {
					bodies[r.Body] = true
				}
			}
			if len(c.fail) > 0 && len(bodies) != 1 {
				t.Errorf("%d different bodies were sent, want the same one again", len(bodies))
			}
		})
	}
}

// What is kept of a call for the calls after it: each of many, in several
// seconds, has a signature of its own, which is right.
func TestSignaturesOfManyCalls(t *testing.T) {
	python(t)
	l := newLoad(7, 120)
	for plugin, options := range map[string]map[string]string{
		"cloudwatch": {"log_group_name": "g", "log_stream_name": "s-$(tag)"}, "kinesis": {"stream": "s"}, "firehose": {"delivery_stream": "s"}} {
		t.Run(plugin, func(t *testing.T) {
			s := newSigned(t)
			ship(t, shipped{plugin: plugin, chunks: l.chunks(10), records: 120, options: with(s.URL, options),
				env: []string{"AWS_SESSION_TOKEN=abc"}, pause: 200 * time.Millisecond})
			dates, signatures := make(map[string]bool), make(map[string]bool)
			for _, r := range s.verify(t) {
				dates[r.header("X-Amz-Date")] = true
				signatures[r.header("Authorization")] = true
			}
			if s.calls != 12 || len(dates) < 2 || len(signatures) < 12 {
				t.Errorf("%d calls in %d seconds with %d signatures", s.calls, len(dates), len(signatures))
			}
		})
	}
}

// The check itself can fail: one byte of the body or of a signed header, or
// another secret, and the signature is wrong.
func TestSignaturesOfChangedRequests(t *testing.T) {
	script := python(t)
	s := newSigned(t)
	l := newLoad(6, 10)
	ship(t, shipped{plugin: "kinesis", chunks: l.chunks(10), records: 10, options: with(s.URL, map[string]string{"stream": "s"})})
	f := func(what, secret string, change func(*request)) {
		t.Helper()
		r := s.all[0]
		r.Headers = append([][2]string(nil), r.Headers...)
		change(&r)
		in, err := json.Marshal([]request{r})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(script, "testdata/verify.py", accessKey, secret)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if good := strings.TrimSpace(string(out)) == "ok"; err != nil || good != (what == "nothing") {
			t.Errorf("%s changed: %s, %v", what, out, err)
		}
	}
	f("nothing", secretKey, func(*request) {})
	f("the secret", "x"+secretKey, func(*request) {})
	f("the body", secretKey, func(r *request) { r.Body = base64.StdEncoding.EncodeToString([]byte("{}")) })
	f("a header", secretKey, func(r *request) {
		for i := range r.Headers {
			if r.Headers[i][0] == "X-Amz-Target" {
				r.Headers[i][1] += "x"
			}
		}
	})
}

// A compressed body, with the header that says so signed, sent twice.
func TestSignatureOfCompressedBody(t *testing.T) {
	python(t)
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_SESSION_TOKEN", "token")
	for _, k := range []string{"AWS_PROFILE", "AWS_CA_BUNDLE"} {
		t.Setenv(k, "")
	}
	s := newSigned(t, 500)
	set := options.New(func(name string) string {
		return map[string]string{"region": region, "endpoint": s.URL}[name]
	})
	o := awsx.ParseOptions(set, "logs")
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	session, err := awsx.Load(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	const text = `{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"日本"}]}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	client := session.CloudWatchLogs()
	body := awsx.NewBody(packed.Bytes())
	if _, err := awsx.PutLogEvents(ctx, client, "g", "s", body, awsx.Gzip()); err == nil {
		t.Fatal("the first call is to fail")
	}
	if _, err := awsx.PutLogEvents(ctx, client, "g", "s", body, awsx.Gzip()); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.verify(t) {
		if r.header("Content-Encoding") != "gzip" || !strings.Contains(r.header("Authorization"), "content-encoding") {
			t.Errorf("headers %v", r.Headers)
		}
		data, err := base64.StdEncoding.DecodeString(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(inflate(t, "gzip", data)); got != text {
			t.Errorf("body %q", got)
		}
	}
}
