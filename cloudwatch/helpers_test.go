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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// TestMain gives all tests the same credentials, whatever the environment has.
func TestMain(m *testing.M) {
	if os.Getenv(sinkEnv) != "" {
		serveSink()
		return
	}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "ECS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") || name == "EKS_POD_EXECUTION_ROLE" {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":           testKey,
		"AWS_SECRET_ACCESS_KEY":       awslocal.DefaultKeys[testKey],
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED":   "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// Most of the tests wait rather than work.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const testKey = "AKIDEXAMPLE"

// LOG

// lines is a log that can be looked at.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Levels() []logrus.Level { return logrus.AllLevels }

func (l *lines) Fire(e *logrus.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e.Level.String()+" "+e.Message)
	return nil
}

// all returns the lines that hold every one of the texts.
func (l *lines) all(texts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			found = append(found, line)
		}
	}
	return found
}

// want has exactly one line hold every one of the texts.
func (l *lines) want(t testing.TB, texts ...string) {
	t.Helper()
	if found := l.all(texts...); len(found) != 1 {
		t.Errorf("got %d lines with %q, want 1, in\n%s", len(found), texts, strings.Join(l.all(), "\n"))
	}
}

// none has no line hold the text.
func (l *lines) none(t testing.TB, text string) {
	t.Helper()
	if found := l.all(text); len(found) != 0 {
		t.Errorf("got %q, want no line with %q", found, text)
	}
}

// errors returns the lines that are errors.
func (l *lines) errors() (found []string) {
	for _, line := range l.all() {
		if strings.HasPrefix(line, "error ") {
			found = append(found, line)
		}
	}
	return found
}

// noErrors has no line be an error.
func (l *lines) noErrors(t testing.TB) {
	t.Helper()
	if found := l.errors(); len(found) != 0 {
		t.Errorf("got %q", found)
	}
}

// THE PLUGIN AND A SERVICE

// rig is an output instance and the service behind it.
type rig struct {
	*Plugin
	t   testing.TB
	srv *awslocal.Server // nil if the service is another one
	log *lines
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
func open(url string, opts ...string) (*Plugin, *lines, error) {
	all := map[string]string{
		// Of its own for each, or outputs would share what is known of their credentials.
		"no_proxy": fmt.Sprintf("output-%d.example.com", opened.Add(1)),
		"region":   "us-east-1", "endpoint": url, "log_group_name": "g", "log_stream_name": "s", "auto_create_group": "true",
	}
	for i := 0; i < len(opts); i += 2 {
		all[opts[i]] = opts[i+1]
	}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	log := new(lines)
	logger.AddHook(log)
	p, err := New(delivery.Env{Name: "cloudwatch.0", Log: logrus.NewEntry(logger), Counters: new(delivery.Counters)}, optionsOf(all))
	return p, log, err
}

// flush delivers a chunk and wants a result.
func (r *rig) flush(want delivery.Result, data []byte) {
	r.t.Helper()
	if got := r.Flush(delivery.Chunk{Tag: "tag", Data: data}); got != want {
		r.t.Errorf("got %v, want %v; log:\n%s", got, want, strings.Join(r.log.all(), "\n"))
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

// account wants the counters to be these, and with them that everything taken
// in is sent, dropped or pending. What is sent is held against what the service
// has, less what it got in calls whose answer was lost.
func (r *rig) account(in, sent, pending int, dropped ...any) {
	r.t.Helper()
	c := r.Counters
	all := uint64(0)
	for i := 0; i < len(dropped); i += 2 {
		why, n := dropped[i].(delivery.Reason), uint64(dropped[i+1].(int))
		all += n
		if got := c.Dropped(why); got != n {
			r.t.Errorf("%d records are dropped as %v, want %d", got, why, n)
		}
	}
	if got := c.DroppedAll(); got != all {
		r.t.Errorf("%d records are dropped, want %d", got, all)
	}
	if c.Get(delivery.In) != uint64(in) || c.Get(delivery.Sent) != uint64(sent) || c.Pending() != uint64(pending) {
		r.t.Errorf("in %d, sent %d, pending %d, want %d, %d and %d", c.Get(delivery.In), c.Get(delivery.Sent), c.Pending(), in, sent, pending)
	}
	if uint64(in) != uint64(sent)+all+uint64(pending) {
		r.t.Errorf("the account does not add up: %v", c)
	}
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

// messages are those of a stream, in the order of their arrival.
func (r *rig) messages(group, stream string) []string {
	return r.srv.Logs().Stream(group, stream).Messages()
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

// parallel runs f for 0 to n-1 at the same time.
func parallel(n int, f func(i int)) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { f(i) })
	}
	wait.Wait()
}

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
