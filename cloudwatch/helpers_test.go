package cloudwatch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

func TestMain(m *testing.M) {
	// Most of the tests wait rather than work.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	recordstest.Main(m)
}

const testKey = recordstest.TestKey

// THE PLUGIN AND A SERVICE

// rig is an output instance and the service behind it.
type rig struct {
	*Plugin
	t   testing.TB
	srv *awslocal.Server // nil if the service is another one
	log *recordstest.Lines
}

// newRig starts an output that writes to log group "g", stream "s" of a service
// on loopback, unless the options (name, value, name, value) say otherwise.
func newRig(t testing.TB, cfg awslocal.Config, opts ...string) *rig {
	t.Helper()
	srv := startServer(t, cfg)
	return newRigOn(t, srv, srv.URL, opts...)
}

func newRigOn(t testing.TB, srv *awslocal.Server, url string, opts ...string) *rig {
	t.Helper()
	p, log, err := open(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &rig{Plugin: p, t: t, srv: srv, log: log}
}

var opened atomic.Int32

// open starts an output. An option given twice has the later value.
func open(url string, opts ...string) (*Plugin, *recordstest.Lines, error) {
	all := map[string]string{
		// Of its own for each, or outputs would share what is known of their credentials.
		"no_proxy": fmt.Sprintf("output-%d.example.com", opened.Add(1)),
		"region":   "us-east-1", "endpoint": url, "log_group_name": "g", "log_stream_name": "s", "auto_create_group": "true",
	}
	for i := 0; i < len(opts); i += 2 {
		all[opts[i]] = opts[i+1]
	}
	log := new(recordstest.Lines)
	p, err := New(recordstest.Env("cloudwatch", log, new(delivery.Counters)), optionsOf(all))
	return p, log, err
}

// optionsOf is a configuration as a map.
func optionsOf(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

// quietEnv is an environment whose log goes nowhere.
func quietEnv() delivery.Env {
	return recordstest.Env("cloudwatch", nil, new(delivery.Counters))
}

// kubernetesChunk is n records of about 1 KB as the kubernetes filter makes them.
func kubernetesChunk(n int) []byte {
	return recordstest.KubernetesChunkAt(uint32(time.Now().Unix()), n)
}

// kubernetesRecord is the body of one.
func kubernetesRecord(t testing.TB) []byte {
	r := chunk.NewReader(kubernetesChunk(1))
	ev, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return ev.Body
}

// flush delivers a chunk and wants a result.
func (r *rig) flush(want delivery.Result, data []byte) {
	r.t.Helper()
	r.flushChunk(want, delivery.Chunk{Tag: "tag", Data: data})
}

// flushBeside does the same as one of several workers.
func (r *rig) flushBeside(want delivery.Result, data []byte) {
	r.t.Helper()
	r.flushChunk(want, delivery.Chunk{Tag: "tag", Data: data, AnyOrder: true})
}

func (r *rig) flushChunk(want delivery.Result, c delivery.Chunk) {
	r.t.Helper()
	if got := r.Flush(c); got != want {
		r.t.Errorf("got %v, want %v; log:\n%s", got, want, strings.Join(r.log.All(), "\n"))
	}
}

// count is how often an operation was called.
func (r *rig) count(operation string) int { return r.srv.Counts(operation).Requests }

// wantCalls wants an operation to have been called n times so far.
func (r *rig) wantCalls(operation string, n int) {
	r.t.Helper()
	if got := r.count(operation); got != n {
		r.t.Errorf("%s was called %d times, want %d", operation, got, n)
	}
}

// wantCount wants a counter to have a value.
func (r *rig) wantCount(c delivery.Counter, want int) {
	r.t.Helper()
	if got := r.Get(c); got != uint64(want) {
		r.t.Errorf("counter %d is %d, want %d; account: %v", c, got, want, r.Counters)
	}
}

// account wants the counters to be these. What is sent is held against what the
// service has, less what it got in calls whose answer was lost.
func (r *rig) account(in, sent, pending int, dropped ...any) {
	r.t.Helper()
	recordstest.CheckAccount(r.t, r.Counters, in, sent, pending, dropped...)
	if r.srv != nil {
		// The service may need a moment to see that an answer did not arrive.
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			got := r.srv.Logs().Total() - r.srv.LostRecords()
			if got == sent {
				break
			}
			if time.Now().After(end) {
				r.t.Errorf("the service has %d events, want the %d that count as sent", got, sent)
				break
			}
		}
	}
}

// messages are those of a stream as the service gives them out: by time, and those of
// one millisecond as they arrived.
func (r *rig) messages(group, stream string) (messages []string) {
	for _, e := range r.srv.Logs().Stream(group, stream).ByTime() {
		messages = append(messages, e.Message)
	}
	return messages
}

// wantOnce wants records first to last-1 (see numbered) to be in the stream, each
// as often as twice says, by default once.
func (r *rig) wantOnce(group, stream string, first, last int, twice ...int) {
	r.t.Helper()
	got := make(map[string]int)
	for _, m := range r.messages(group, stream) {
		got[m]++
	}
	want := make(map[string]int)
	for i := first; i < last; i++ {
		want[message(i)] = 1
	}
	for _, i := range twice {
		want[message(i)] = 2
	}
	if !maps.Equal(got, want) {
		r.t.Errorf("%s/%s has %d different messages, want %d", group, stream, len(got), len(want))
		for m, n := range want {
			if got[m] != n {
				r.t.Errorf("%s is there %d times, want %d", m, got[m], n)
				return
			}
		}
	}
}

// scripted is a service that answers each call by a function, which gets the
// operation, how many calls of it came before, and the body.
func scripted(t testing.TB, answer func(operation string, n int, body []byte, w http.ResponseWriter)) (url string, calls func(operation string) int) {
	t.Helper()
	var mu sync.Mutex
	counts := make(map[string]int)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went
		}
		mu.Lock()
		n := counts[operation]
		counts[operation]++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Requestid", "id")
		answer(operation, n, body, w)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func(operation string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[operation]
	}
}

// refusal answers with an error of the service.
func refusal(w http.ResponseWriter, status int, code string, extra ...string) {
	members := map[string]string{"__type": code, "message": "told by the test"}
	for i := 0; i < len(extra); i += 2 {
		members[extra[i]] = extra[i+1]
	}
	body, _ := json.Marshal(members)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// CHUNKS

// now is the time of events whose time does not matter.
var now = time.Now().Truncate(time.Millisecond)

// record is an element of a chunk. millis counts from now.
type record struct {
	millis int64
	body   any
}

// chunkOf is a chunk of these records.
func chunkOf(records ...record) (c []byte) {
	for _, r := range records {
		c = appendRecord(c, now.Add(time.Duration(r.millis)*time.Millisecond), r.body)
	}
	return c
}

func appendRecord(c []byte, at time.Time, body any) []byte {
	c = append(c, 0x92, 0x92, 0xd7, 0x00)
	c = binary.BigEndian.AppendUint32(c, uint32(at.Unix()))
	c = binary.BigEndian.AppendUint32(c, uint32(at.Nanosecond()))
	c = append(c, 0x80)
	if raw, ok := body.(msgp.Raw); ok {
		return append(c, raw...)
	}
	c, err := msgp.AppendIntf(c, body)
	if err != nil {
		panic(err)
	}
	return c
}

// line is a record's body with one key, which the tests send as log_key.
func line(text string) map[string]any { return map[string]any{"log": text} }

// message is the text of a numbered record.
func message(i int) string { return fmt.Sprintf("message %06d", i) }

// numbered is a chunk of records first to last-1, a millisecond apart.
func numbered(first, last int) (c []byte) {
	for i := first; i < last; i++ {
		c = appendRecord(c, now.Add(time.Duration(i-first)*time.Millisecond/100), line(message(i)))
	}
	return c
}

// logKey has the text of line be the message.
const logKey = "log_key"

// peak is the largest number of things that went on at the same time.
type peak struct{ now, most atomic.Int32 }

func (p *peak) begin() {
	n := p.now.Add(1)
	for m := p.most.Load(); n > m && !p.most.CompareAndSwap(m, n); m = p.most.Load() {
	}
}

func (p *peak) end() { p.now.Add(-1) }

func startServer(t testing.TB, cfg awslocal.Config) *awslocal.Server {
	t.Helper()
	srv, err := awslocal.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

func writeFile(t testing.TB, data []byte) (path string) {
	t.Helper()
	path = t.TempDir() + "/file"
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lateReader is a service that reads of its first request the head alone, until
// rest is called; it answers all others. rest returns what is there of the first
// request's body by then.
func lateReader(t testing.TB) (url string, rest func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan net.Conn, 1)
	others := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write([]byte("{}"))
	}))
	_ = others.Listener.Close()
	others.Listener = &firstApart{Listener: l, first: first}
	others.Start()
	t.Cleanup(others.Close)
	return "http://" + l.Addr().String(), func() []byte {
		conn := <-first
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		all, _ := io.ReadAll(conn) // ends with the client's reset, or its close
		_, body, _ := bytes.Cut(all, []byte("\r\n\r\n"))
		return body
	}
}

// firstApart keeps the first connection for itself.
type firstApart struct {
	net.Listener
	first chan<- net.Conn
	taken bool
}

func (l *firstApart) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil && !l.taken {
		l.taken = true
		l.first <- conn
		return l.Listener.Accept()
	}
	return conn, err
}
