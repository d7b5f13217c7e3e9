package cloudwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// TestWholeRecord sends records as JSON, keys in the order in which they came.
func TestWholeRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{})
	body := kubernetesRecord(t)
	r.flush(delivery.OK, chunkOf(record{-5, msgp.Raw(body)}, record{0, map[string]any{}}))
	events := r.srv.Logs().Stream("g", "s").Events()
	if len(events) != 2 || events[0].Timestamp != now.UnixMilli()-5 || events[1].Message != "{}" {
		t.Fatalf("got %+v", events)
	}
	got := events[0].Message
	if !json.Valid([]byte(got)) || !strings.HasPrefix(got, `{"log":"10.1.128.166 - - [19/Dec/2019:17:41:12 +0000] \"GET /api/v1/items/00000000?limit=20 HTTP/1.1\" 200 612`) ||
		!strings.HasSuffix(got, `"annotations":{"fluentbit.io/parser":"nginx","kubernetes.io/psp":"eks.privileged"}}}`) {
		t.Errorf("got %s", got)
	}
	r.account(2, 2, 0)
}

// TestLogKey sends one key's value: text as it is, all else as JSON.
func TestLogKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	values := []struct {
		value any
		want  string
	}{
		{"plain", "plain"},
		{`with "quotes", \ and ` + "\ttab", `with "quotes", \ and ` + "\ttab"},
		{"  indented\n", "  indented\n"},
		{" ", " "},
		{[]byte("binary \xff"), "binary \ufffd"},
		{"héllo 😀 \x01", "héllo 😀 \x01"},
		{12, "12"},
		{-1.5, "-1.5"},
		{true, "true"},
		{nil, "null"},
		{map[string]any{"a": map[string]any{"b": `"`}}, `{"a":{"b":"\""}}`},
		{map[string]any{}, "{}"},
		{[]any{1, "a", nil}, `[1,"a",null]`},
	}
	var records []record
	var want []string
	for i, v := range values {
		records = append(records, record{int64(i), map[string]any{"log": v.value}})
		want = append(want, v.want)
	}
	records = append(records,
		record{50, map[string]any{"log": ""}}, // nothing to send
		record{51, map[string]any{"log": []byte{}}},
		record{52, map[string]any{"message": "x"}}, // no such key
		record{53, "log"},                          // not a map
		record{54, map[string]any{"log": "last"}})
	r.flush(delivery.OK, chunkOf(records...))
	want = append(want, "last")
	if got := r.messages("g", "s"); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r.account(len(records), len(want), 0, delivery.Empty, 2, delivery.MissingKey, 2)
	r.log.Want(t, "warning", `it has no key "log", which option log_key names`)
}

// TestNothingToSend makes no call.
func TestNothingToSend(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_retention_days", "1")
	r.flush(delivery.OK, nil)
	r.flush(delivery.OK, chunkOf(record{0, line("")}))
	r.flush(delivery.OK, chunkOf(record{0, line("")}, record{0, map[string]any{"a": "b"}}))
	if n := r.srv.Counts("").Requests; n != 0 {
		t.Errorf("%d calls were made", n)
	}
	r.account(3, 0, 0, delivery.Empty, 2, delivery.MissingKey, 1)
}

// element is what stands in a chunk in the place of an event.
func element(v any) []byte {
	b, err := msgp.AppendIntf(nil, v)
	if err != nil {
		panic(err)
	}
	return b
}

// TestBadRecords has elements that are no events, or cannot be written, cost
// themselves.
func TestBadRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{})
	deep := bytes.Repeat([]byte{0x91}, 1000)
	c := slices.Concat(
		numbered(0, 1),
		element("no event"),
		element([]any{"no time", map[string]any{}}),
		numbered(1, 2),
		chunkOf(record{0, msgp.Raw(append(deep, 0xc0))}), // more levels than JSON should have
		numbered(2, 3))
	r.flush(delivery.OK, c)
	if got := r.messages("g", "s"); !slices.Equal(got, []string{`{"log":"message 000000"}`, `{"log":"message 000001"}`, `{"log":"message 000002"}`}) {
		t.Errorf("got %q", got)
	}
	r.account(6, 3, 0, delivery.Malformed, 3)
	r.log.Want(t, "warning", `a record of tag "tag" was dropped`)
	r.log.None(t, "no time\"") // record contents
}

// TestBrokenChunk sends what comes before the place from which on the chunk
// cannot be read, and gives the chunk up.
func TestBrokenChunk(t *testing.T) {
	t.Parallel()
	good := numbered(0, 100)
	for name, rest := range map[string][]byte{
		"cut":        numbered(100, 101)[:20],
		"no msgpack": append([]byte{0xc1}, numbered(100, 200)...),
	} {
		r := newRig(t, awslocal.Config{}, logKey, "log")
		r.flush(delivery.Error, slices.Concat(good, rest))
		r.wantOnce("g", "s", 0, 100)
		r.account(100, 100, 0)
		// Of a record that is cut the message names the value that is not whole.
		r.log.Want(t, "error", `a chunk of tag "tag" is given up`, fmt.Sprintf("which begins at byte %d", len(good)))
		if name == "no msgpack" {
			r.log.WantOne(t, fmt.Sprintf("cannot read msgpack at byte %d", len(good)))
		}
	}
}

// TestBrokenChunkRetried gives such a chunk up only when what could be read of it is delivered.
func TestBrokenChunkRetried(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	c := append(numbered(0, 10), 0xc1)
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.AccessDenied})
	r.flush(delivery.Retry, c)
	r.account(10, 0, 10)
	r.flush(delivery.Error, c)
	r.wantOnce("g", "s", 0, 10)
	r.account(10, 10, 0)
}

// TestGroupMarkers has those of OpenTelemetry inputs not become events.
func TestGroupMarkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	start := append([]byte{0x92, 0x92, 0xd7, 0x00, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x80}, 0x80)
	end := append([]byte{0x92, 0x92, 0xd7, 0x00, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0x80}, 0x80)
	r.flush(delivery.OK, slices.Concat(start, numbered(0, 3), end, numbered(3, 4)))
	r.wantOnce("g", "s", 0, 4)
	r.account(4, 4, 0)
}

// TestTargetsApart has groups and streams whose names come to the same text
// when put together stay apart, with the records of each in their order.
func TestTargetsApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_group_name", "$(group)", "log_stream_name", "$(stream)")
	names := []target{{"a", "bc"}, {"ab", "c"}, {"abc", "a"}, {"a", "b"}}
	var c []byte
	for i := range 400 {
		n := names[i%len(names)]
		c = appendRecord(c, now, map[string]any{"group": n.group, "stream": n.stream, "log": message(i)})
	}
	r.flush(delivery.OK, c)
	for k, n := range names {
		got := r.messages(n.group, n.stream)
		if len(got) != 100 {
			t.Fatalf("%v has %d messages", n, len(got))
		}
		for i, m := range got {
			if m != message(i*len(names)+k) {
				t.Fatalf("%v has %q at %d", n, m, i)
			}
		}
	}
	if len(r.srv.Logs().Streams()) != len(names) {
		t.Errorf("there are %d streams", len(r.srv.Logs().Streams()))
	}
	r.account(400, 400, 0)
}

// TestTemplates is about names in a flush: which are made is in names_test.go.
func TestTemplates(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log",
		"log_group_name", "/k8s/$(kubernetes['namespace'])", "log_stream_name", "$(tag[1])/$(uuid)/$(kubernetes['pod'])",
		"default_log_group_name", "others", "default_log_stream_name", "rest:of*them")
	pod := func(namespace, name any) map[string]any {
		return map[string]any{"log": "x", "kubernetes": map[string]any{"namespace": namespace, "pod": name}}
	}
	c := chunkOf(record{0, pod("web", "a:1")}, record{0, pod("web", "b")}, record{0, pod("sys tem", "b")},
		record{0, line("x")}, record{0, pod("web", nil)})
	if got := r.Flush(delivery.Chunk{Tag: "kube.var.log", Data: c}); got != delivery.OK {
		t.Fatalf("got %v", got)
	}
	id := r.names.uuid
	want := []string{"/k8s/sys.tem var/" + id + "/b", "/k8s/web rest.of.them", "/k8s/web var/" + id + "/a.1", "/k8s/web var/" + id + "/b", "others rest.of.them"}
	var got []string
	for _, st := range r.srv.Logs().Streams() {
		got = append(got, fmt.Sprintf("%s %s", st.Group, st.Name))
		if st.Len() != 1 {
			t.Errorf("%s %s has %d events", st.Group, st.Name, st.Len())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r.wantCount(delivery.DefaultName, 2)
	r.log.Want(t, "warning", `option log_group_name: "/k8s/$(kubernetes['namespace'])" gives no name`, "option default_log_group_name is used instead")
	r.account(5, 5, 0)
}

// TestStreamPrefix has the tag follow log_stream_prefix.
func TestStreamPrefix(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "log_stream_name", "", "log_stream_prefix", "from:")
	r.flush(delivery.OK, numbered(0, 2))
	if got := r.messages("g", "from.tag"); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

// TestMissingTemplateKey says what it has to say once, not for every record.
func TestMissingTemplateKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "log_group_name", "$(nowhere)")
	for range 5 {
		r.flush(delivery.OK, numbered(0, 1000))
	}
	if got := r.log.All("nowhere"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	r.wantCount(delivery.DefaultName, 5000)
	r.account(5000, 5000, 0)
}

// TestWithoutALog is an output whose host has no log.
func TestWithoutALog(t *testing.T) {
	p, err := New(delivery.Env{Name: "cloudwatch.0"}, optionsOf(map[string]string{"region": "us-east-1", "endpoint": "http://127.0.0.1:1",
		"log_group_name": "$(nowhere)", "log_stream_name": "$(ecs_task_id)", "retry_budget": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got := p.Flush(delivery.Chunk{Tag: "tag", Data: numbered(0, 1)}); got != delivery.Retry {
		t.Errorf("got %v", got)
	}
}

// TestLogFormat sends the header for EMF, and no other.
func TestLogFormat(t *testing.T) {
	t.Parallel()
	for format, want := range map[string][]string{"json/emf": {"json/emf"}, "json": nil, "": nil} {
		r := newRig(t, awslocal.Config{}, "log_format", format)
		r.flush(delivery.OK, numbered(0, 1))
		for _, call := range r.srv.Requests("PutLogEvents") {
			if got := call.Header["X-Amzn-Logs-Format"]; !slices.Equal(got, want) {
				t.Errorf("log_format %q: the header is %q", format, got)
			}
		}
		if got := r.srv.Logs().Stream("g", "s").Format(); got != strings.Join(want, "") {
			t.Errorf("log_format %q: the stream's format is %q", format, got)
		}
	}
}

// A compressed request is the same request, also when it is made again, and with
// the header of metrics.
func TestRequestCompression(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{KeepBodies: true}, "request_compression", "gzip", "log_format", "json/emf", "log_key", "log")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.Error}, awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "InvalidSequenceTokenException"})
	r.flush(delivery.OK, numbered(0, 1000))
	r.wantOnce("g", "s", 0, 1000)
	calls := r.srv.Requests("PutLogEvents")
	for _, call := range calls {
		if got := call.Header.Get("Content-Encoding") + " " + call.Header.Get("X-Amzn-Logs-Format"); got != "gzip json/emf" || len(call.Body) > 20_000 {
			t.Errorf("a call of %d bytes with headers %s", len(call.Body), got)
		}
	}
	if got, want := r.Counters.Get(delivery.Bytes), uint64(len(calls[len(calls)-1].Body)); got != want {
		t.Errorf("%d bytes are counted, want %d, those that went over the wire", got, want)
	}
}

func TestUserAgent(t *testing.T) {
	t.Parallel()
	for extra, want := range map[string]string{"": "aws-fluent-bit-plugin/", "fleet-7": "aws-fluent-bit-plugin-fleet-7/"} {
		r := newRig(t, awslocal.Config{}, "extra_user_agent", extra)
		r.flush(delivery.OK, numbered(0, 1))
		for _, call := range r.srv.Requests("") {
			if !strings.Contains(call.UserAgent(), want) {
				t.Errorf("%s: User-Agent %q, want it to have %q", call.Operation, call.UserAgent(), want)
			}
		}
	}
}

// CREDENTIALS: whose they are shows in the access key id of the calls for events.

const role, podRole = "arn:aws:iam::123456789012:role/logs", "arn:aws:iam::123456789012:role/pod"

// signer returns whom the newest PutLogEvents call was signed by.
func (r *rig) signer() awslocal.Credentials {
	r.t.Helper()
	calls := r.srv.Requests("PutLogEvents")
	if len(calls) == 0 {
		r.t.Fatal("no call was made")
	}
	auth := calls[len(calls)-1].Auth
	if !auth.Verified {
		r.t.Error("the signature was not verified")
	}
	c, ok := r.srv.STS().Lookup(auth.AccessKeyID)
	if !ok {
		r.t.Fatalf("access key %s is not known", auth.AccessKeyID)
	}
	return c
}

func TestRole(t *testing.T) {
	t.Parallel()
	srv, sts := startServer(t, awslocal.Config{RefuseUnknownKeys: true}), startServer(t, awslocal.Config{})
	srv.STS().Trust(role, "x-1")
	r := newRigOn(t, srv, srv.URL, "sts_endpoint", srv.URL, "role_arn", role, "external_id", "x-1", "role_session_name", "node-1", "role_duration", "20m")
	r.flush(delivery.OK, numbered(0, 3))
	c := r.signer()
	if c.RoleARN != role || c.ExternalID != "x-1" || c.SessionName != "node-1" || c.CallerKeyID != testKey || c.Duration != 20*time.Minute {
		t.Errorf("signed by %+v", c)
	}
	r.account(3, 3, 0)

	// sts_endpoint is another server than endpoint, and is the one that is asked.
	sts.STS().Trust(role, "")
	r = newRigOn(t, srv, srv.URL, "sts_endpoint", sts.URL, "role_arn", role)
	r.flush(delivery.Retry, numbered(0, 3)) // its keys are not known to the other
	if n := sts.Counts("AssumeRole").Requests; n == 0 {
		t.Error("sts_endpoint was not asked")
	}
	r.log.Want(t, "error", "cannot send events")
}

// TestRoleNotTrusted makes no call for events, and keeps them.
func TestRoleNotTrusted(t *testing.T) {
	t.Parallel()
	srv := startServer(t, awslocal.Config{})
	srv.STS().Trust(role, "x-1")
	r := newRigOn(t, srv, srv.URL, "sts_endpoint", srv.URL, "role_arn", role, "external_id", "another", "retry_budget", "200ms")
	r.flush(delivery.Retry, numbered(0, 3))
	r.wantCalls("PutLogEvents", 0)
	r.log.Want(t, "error", "cannot send events", "AccessDenied")
	r.log.None(t, "another")
	r.account(3, 0, 3)
}

func TestPodExecutionRole(t *testing.T) {
	t.Setenv("EKS_POD_EXECUTION_ROLE", podRole)
	srv := startServer(t, awslocal.Config{RefuseUnknownKeys: true})
	r := newRigOn(t, srv, srv.URL, "sts_endpoint", srv.URL)
	r.flush(delivery.OK, numbered(0, 3))
	if c := r.signer(); c.RoleARN != podRole || c.CallerKeyID != testKey {
		t.Errorf("signed by %+v", c)
	}
	r.account(3, 3, 0)

	// Both roles: the pod's first, and role_arn with what comes of it.
	r = newRigOn(t, srv, srv.URL, "sts_endpoint", srv.URL, "role_arn", role)
	r.flush(delivery.OK, numbered(3, 6))
	c := r.signer()
	caller, _ := srv.STS().Lookup(c.CallerKeyID)
	if c.RoleARN != role || caller.RoleARN != podRole || caller.CallerKeyID != testKey {
		t.Errorf("signed by %+v, which was asked for by %+v", c, caller)
	}
}

func TestCredentialsEndpoint(t *testing.T) {
	t.Parallel()
	srv := startServer(t, awslocal.Config{RefuseUnknownKeys: true})
	r := newRigOn(t, srv, srv.URL, "credentials_endpoint", srv.CredentialsURI())
	r.flush(delivery.OK, numbered(0, 3))
	if c := r.signer(); c.Source != "ContainerCredentials" {
		t.Errorf("signed by %+v", c)
	}
	r.account(3, 3, 0)

	r = newRigOn(t, srv, srv.URL, "credentials_endpoint", srv.CredentialsURI(), "sts_endpoint", srv.URL, "role_arn", role)
	r.flush(delivery.OK, numbered(3, 6))
	c := r.signer()
	if caller, _ := srv.STS().Lookup(c.CallerKeyID); c.RoleARN != role || caller.Source != "ContainerCredentials" {
		t.Errorf("signed by %+v, which was asked for by %+v", c, caller)
	}
}

// TestProxy sends all calls through proxy_url.
func TestProxy(t *testing.T) {
	t.Parallel()
	srv := startServer(t, awslocal.Config{})
	proxy, through := scripted(t, func(_ string, _ int, _ []byte, w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) })
	r := newRigOn(t, srv, srv.URL, "proxy_url", proxy, "retry_budget", "0")
	r.flush(delivery.Retry, numbered(0, 1))
	if through("PutLogEvents") == 0 || srv.Counts("").Requests != 0 {
		t.Errorf("%d calls went through the proxy, %d past it", through("PutLogEvents"), srv.Counts("").Requests)
	}
	r = newRigOn(t, srv, srv.URL, "proxy_url", proxy, "no_proxy", "127.0.0.0/8")
	r.flush(delivery.OK, numbered(0, 1))
}

// TestTLS sends to an endpoint whose certificate only ca_bundle makes good.
func TestTLS(t *testing.T) {
	t.Parallel()
	srv := startServer(t, awslocal.Config{TLS: true})
	r := newRigOn(t, srv, srv.URL, "retry_budget", "0")
	r.flush(delivery.Retry, numbered(0, 1))
	r = newRigOn(t, srv, srv.URL, "ca_bundle", writeFile(t, srv.CAPEM))
	r.flush(delivery.OK, numbered(0, 1))
	if got := srv.Logs().Total(); got != 1 {
		t.Errorf("%d events arrived", got)
	}
}

// TestCloseTwoOutputs ends one output while another with the same settings goes on.
func TestCloseTwoOutputs(t *testing.T) {
	t.Parallel()
	srv := startServer(t, awslocal.Config{})
	same := []string{logKey, "log", "no_proxy", "two.example.com"}
	a, b := newRigOn(t, srv, srv.URL, same...), newRigOn(t, srv, srv.URL, same...)
	a.flush(delivery.OK, numbered(0, 1))
	a.Close()
	b.flush(delivery.OK, numbered(1, 2))
	b.wantOnce("g", "s", 0, 2)
	a.log.Want(t, "info", "account: in 1, sent 1")
}
