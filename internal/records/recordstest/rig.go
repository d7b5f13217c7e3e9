// Package recordstest holds the tests that the plugins kinesis and firehose
// share, as they share package records: what a record looks like, the limits,
// and above all what happens when the service does not take everything.
//
// The tests go the whole way: a chunk goes into a plugin's Flush, the SDK's real
// client sends it, and internal/awslocal takes it, strictly, or another server
// where a test needs an answer that awslocal does not give. After each of them
// the plugin's account has to add up, and to agree with what has arrived.
package recordstest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
)

// Plugin is an output instance.
type Plugin interface {
	Flush(delivery.Chunk) delivery.Result
	Room() delivery.Room
	Close()
}

// Subject is a plugin under test.
type Subject struct {
	Name        string
	Operation   string   // that carries records
	Options     []string // that must be set, beside region and endpoint: name, value and so on
	Open        func(delivery.Env, options.Getter) (Plugin, error)
	Newline     bool                                               // each record ends with one, without being asked to
	Keys        bool                                               // records have partition keys
	CallBytes   int                                                // the most that one call takes
	RecordBytes int                                                // the most that one record may have by default
	Received    func(srv *awslocal.Server, stream string) []Record // in the order in which they came

	// Deaggregate returns the records out of one that may hold several by a form
	// of the plugin's own, and any other record as it is; nil: there is none.
	Deaggregate func(t testing.TB, r Record) []string

	// How the service words its answers.
	FailedCount, Responses, ID string
	Throttled                  string   // the code of a record that it holds back
	Later                      []string // codes of calls that only a person can put right
}

// Record is what a service has got.
type Record struct{ Key, Data, Shard string }

// TestKey is the access key that tests run with; awslocal knows its secret.
const TestKey = "AKIDEXAMPLE"

// Main is for TestMain: it gives all tests the same credentials, whatever the
// environment has, and makes the process a sink where a benchmark asks for one.
func Main(m *testing.M) {
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
		"AWS_ACCESS_KEY_ID":           TestKey,
		"AWS_SECRET_ACCESS_KEY":       awslocal.DefaultKeys[TestKey],
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED":   "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// LOG

// Lines is a log that can be looked at.
type Lines struct {
	mu   sync.Mutex
	list []string
}

// Levels and Fire make it a hook of logrus.
func (l *Lines) Levels() []logrus.Level { return logrus.AllLevels }

func (l *Lines) Fire(e *logrus.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e.Level.String()+" "+e.Message)
	return nil
}

// All returns the lines that hold every one of the texts.
func (l *Lines) All(texts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			found = append(found, line)
		}
	}
	return found
}

// Want has exactly one line of a level hold every one of the texts.
func (l *Lines) Want(t testing.TB, level string, texts ...string) {
	t.Helper()
	n := 0
	for _, line := range l.All(texts...) {
		if strings.HasPrefix(line, level+" ") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("got %d lines of level %s with %q, want 1, in\n%s", n, level, texts, strings.Join(l.All(), "\n"))
	}
}

// WantOne has exactly one line hold every one of the texts, whatever its level.
func (l *Lines) WantOne(t testing.TB, texts ...string) {
	t.Helper()
	if found := l.All(texts...); len(found) != 1 {
		t.Errorf("got %d lines with %q, want 1, in\n%s", len(found), texts, strings.Join(l.All(), "\n"))
	}
}

// Errors are the lines of level error.
func (l *Lines) Errors() (found []string) {
	for _, line := range l.All() {
		if strings.HasPrefix(line, "error ") {
			found = append(found, line)
		}
	}
	return found
}

// NoErrors has no line be of level error.
func (l *Lines) NoErrors(t testing.TB) {
	t.Helper()
	if found := l.Errors(); len(found) != 0 {
		t.Errorf("got %q, want no error", found)
	}
}

// None has no line hold the text.
func (l *Lines) None(t testing.TB, text string) {
	t.Helper()
	if found := l.All(text); len(found) != 0 {
		t.Errorf("got %q, want no line with %q", found, text)
	}
}

// THE PLUGIN AND A SERVICE

// Rig is an output instance and the service behind it.
type Rig struct {
	Plugin
	*delivery.Counters
	AWS *awslocal.Server // nil if the service is another one
	Log *Lines

	t       testing.TB
	s       *Subject
	flushes atomic.Int32
}

// Start starts an output that writes to a stream "s" of four shards, or a
// delivery stream "s". An option (name, value and so on) given twice has the
// later value.
func (s *Subject) Start(t testing.TB, cfg awslocal.Config, opts ...string) *Rig {
	t.Helper()
	srv := s.Serve(t, cfg)
	r := s.StartAt(t, srv.URL, opts...)
	r.AWS = srv
	return r
}

// Serve starts the service.
func (s *Subject) Serve(t testing.TB, cfg awslocal.Config) *awslocal.Server {
	t.Helper()
	if cfg.KinesisStreams == nil {
		cfg.KinesisStreams = map[string]int{"s": 4}
	}
	cfg.DeliveryStreams = []string{"s"}
	srv, err := awslocal.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// StartAt starts an output that writes to a service at url.
func (s *Subject) StartAt(t testing.TB, url string, opts ...string) *Rig {
	t.Helper()
	log := new(Lines)
	counters := new(delivery.Counters)
	p, err := s.Open(Env(s.Name, log, counters), s.Getter(append([]string{"endpoint", url}, opts...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return &Rig{Plugin: p, Counters: counters, Log: log, t: t, s: s}
}

// Env is what a plugin gets from Fluent Bit.
func Env(name string, log *Lines, counters *delivery.Counters) delivery.Env {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	if log != nil {
		logger.AddHook(log)
	}
	return delivery.Env{Name: name + ".0", Log: logrus.NewEntry(logger), Counters: counters}
}

// Getter is a configuration: what must be set, and these options.
func (s *Subject) Getter(opts ...string) options.Getter {
	all := map[string]string{"region": "us-east-1"}
	for _, list := range [][]string{s.Options, opts} {
		for i := 0; i < len(list); i += 2 {
			all[list[i]] = list[i+1]
		}
	}
	return func(name string) string { return all[name] }
}

// Flush flushes a chunk. Every other flush does without its goroutine while it waits, as
// those of Fluent Bit's workers do.
func (r *Rig) Flush(c delivery.Chunk) delivery.Result {
	if r.flushes.Add(1)%2 == 0 {
		return r.Plugin.Flush(c)
	}
	end := make(chan delivery.Result, 1)
	c.Resume = func(rest func() delivery.Result) { end <- rest() }
	if result := r.Plugin.Flush(c); result != delivery.Pending {
		return result
	}
	return <-end
}

// Want flushes a chunk and wants a result.
func (r *Rig) Want(want delivery.Result, data []byte) {
	r.t.Helper()
	if got := r.Flush(delivery.Chunk{Tag: "tag", Data: data}); got != want {
		r.t.Errorf("got %v, want %v; log:\n%s", got, want, strings.Join(r.Log.All(), "\n"))
	}
}

// Fault has the next calls go wrong, one after the other.
func (r *Rig) Fault(faults ...awslocal.Fault) { r.AWS.Script(r.s.Operation, faults...) }

// Calls are those that carried records, in order.
func (r *Rig) Calls() []*awslocal.Request { return r.AWS.Requests(r.s.Operation) }

// WantCalls wants the calls made so far to have had so many records each.
func (r *Rig) WantCalls(records ...int) {
	r.t.Helper()
	got := make([]int, 0, len(records))
	for _, c := range r.Calls() {
		got = append(got, c.Records)
	}
	if !slices.Equal(got, records) {
		r.t.Errorf("got calls of %v records, want %v", got, records)
	}
}

// Received is what has arrived.
func (r *Rig) Received() []Record { return r.s.Received(r.AWS, "s") }

// Data is that of what has arrived.
func (r *Rig) Data() []string {
	var data []string
	for _, rec := range r.Received() {
		data = append(data, rec.Data)
	}
	return data
}

// WantData wants these records to have arrived, in this order.
func (r *Rig) WantData(want ...string) {
	r.t.Helper()
	if got := r.Data(); !slices.Equal(got, want) {
		r.t.Errorf("got  %.300q\nwant %.300q", got, want)
	}
}

// WantCount wants a counter to have a value.
func (r *Rig) WantCount(c delivery.Counter, want int) {
	r.t.Helper()
	if got := r.Get(c); got != uint64(want) {
		r.t.Errorf("counter %d is %d, want %d; account: %v", c, got, want, r.Counters)
	}
}

// Account wants the counters to be these, see CheckAccount.
func (r *Rig) Account(in, sent, pending int, dropped ...any) {
	r.t.Helper()
	CheckAccount(r.t, r.Counters, in, sent, pending, dropped...)
}

// CheckAccount wants counters to be these, and with them that everything taken in
// is sent, dropped or pending. dropped are reasons and numbers in turns.
func CheckAccount(t testing.TB, c *delivery.Counters, in, sent, pending int, dropped ...any) {
	t.Helper()
	all := uint64(0)
	for i := 0; i < len(dropped); i += 2 {
		why, n := dropped[i].(delivery.Reason), uint64(dropped[i+1].(int))
		all += n
		if got := c.Dropped(why); got != n {
			t.Errorf("%d records are dropped as %v, want %d", got, why, n)
		}
	}
	if got := c.DroppedAll(); got != all {
		t.Errorf("%d records are dropped, want %d", got, all)
	}
	if c.Get(delivery.In) != uint64(in) || c.Get(delivery.Sent) != uint64(sent) || c.Pending() != uint64(pending) {
		t.Errorf("in %d, sent %d, pending %d, want %d, %d and %d", c.Get(delivery.In), c.Get(delivery.Sent), c.Pending(), in, sent, pending)
	}
	if uint64(in) != uint64(sent)+all+uint64(pending) {
		t.Errorf("the account does not add up: %v", c)
	}
}

// WantOnce wants records first to last-1 (see Numbered) to have arrived, those
// of twice a second time, and nothing else.
func (r *Rig) WantOnce(first, last int, twice ...string) {
	r.t.Helper()
	r.wantOnce(r.Data(), first, last, twice...)
}

func (r *Rig) wantOnce(data []string, first, last int, twice ...string) {
	r.t.Helper()
	got := make(map[string]int)
	for _, d := range data {
		got[d]++
	}
	want := make(map[string]int)
	for i := first; i < last; i++ {
		want[r.s.Ended(Text(i))] = 1
	}
	for _, d := range twice {
		want[d]++
	}
	if maps.Equal(got, want) {
		return
	}
	r.t.Errorf("%d different records have arrived, want %d", len(got), len(want))
	for d, n := range want {
		if got[d] != n {
			r.t.Errorf("%q has arrived %d times, want %d", d, got[d], n)
			break
		}
	}
	for d, n := range got {
		if want[d] != n {
			r.t.Errorf("%.200q has arrived %d times, want %d", d, n, want[d])
			break
		}
	}
}

// Ended is a record's text with the newline that the plugin puts behind it.
func (s *Subject) Ended(text string) string {
	if s.Newline {
		return text + "\n"
	}
	return text
}

// ANOTHER SERVICE

// Request is the JSON of a call, as somebody reads it who does not know how it
// was written.
type Request struct {
	StreamName, StreamARN, DeliveryStreamName string
	Records                                   []struct {
		Data         []byte
		PartitionKey *string
	}
}

// BodyOf returns the body of a call as JSON.
func BodyOf(t testing.TB, c *awslocal.Request) []byte {
	t.Helper()
	body, err := c.JSON()
	if err != nil {
		t.Fatalf("cannot read a call: %v", err)
	}
	return body
}

// Scripted is a service that answers by a function, which gets the number of
// calls before this one. It fails the test on a body that is not as it should be.
func Scripted(t testing.TB, answer func(n int, in Request, w http.ResponseWriter)) (url string) {
	t.Helper()
	var mu sync.Mutex
	calls := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went
		}
		if r.Header.Get("Content-Type") == typeCBOR {
			if body, err = awslocal.JSONOf(body); err != nil {
				t.Errorf("cannot read the body: %v", err)
			}
			cw := &cborWriter{ResponseWriter: w}
			defer cw.end()
			w = cw
		}
		var in Request
		if err := json.Unmarshal(body, &in); err != nil || len(in.Records) == 0 {
			t.Errorf("got a body of %d records: %v", len(in.Records), err)
		}
		mu.Lock()
		n := calls
		calls++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Requestid", "id")
		answer(n, in, w)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

const typeCBOR = "application/x-amz-cbor-1.1"

// cborWriter makes CBOR of an answer that is JSON, when it ends.
type cborWriter struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (w *cborWriter) WriteHeader(status int) { w.status = status }

func (w *cborWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// end sends the answer. What is no JSON, as a proxy's page, stays as it is.
func (w *cborWriter) end() {
	if json.Valid(w.body) {
		w.Header().Set("Content-Type", typeCBOR)
		w.body = awslocal.CBOROf(w.body)
	}
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	_, _ = w.ResponseWriter.Write(w.body)
}

// Refuse answers with an error of the service.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":%q,"message":"told by the test"}`, code)
}

// Accept answers that n records were taken, save those for which code gives an
// error code.
func (s *Subject) Accept(w http.ResponseWriter, n int, code func(i int) string) {
	failed := 0
	var list []string
	for i := range n {
		c := ""
		if code != nil {
			c = code(i)
		}
		if c == "" {
			list = append(list, fmt.Sprintf(`{%q:"id-%d"}`, s.ID, i))
			continue
		}
		failed++
		list = append(list, fmt.Sprintf(`{"ErrorCode":%q,"ErrorMessage":"told by the test"}`, c))
	}
	s.Answer(w, failed, list...)
}

// Answer answers with a count of failures and a list of results.
func (s *Subject) Answer(w http.ResponseWriter, failed int, list ...string) {
	fmt.Fprintf(w, `{%q:%d,%q:[%s]}`, s.FailedCount, failed, s.Responses, strings.Join(list, ","))
}

// CHUNKS

// Map is a map whose order is kept: key, value, key, value.
type Map []any

// Line is a record's body with one key, which the tests send as log_key.
func Line(text string) Map { return Map{"log", text} }

// LogKey has the text of Line be the record.
var LogKey = []string{"log_key", "log"}

// Second is the time of a chunk's first record; those behind it follow one by
// one. Nanosecond is the same for all.
const (
	Second     = 1_700_000_000
	Nanosecond = 123_456_789
)

// Chunk is a chunk of records with these bodies.
func Chunk(bodies ...any) (c []byte) {
	for i, body := range bodies {
		c = AppendRecord(c, Second+uint32(i), body)
	}
	return c
}

// AppendRecord appends a record as Fluent Bit 2.1 and later write it.
func AppendRecord(c []byte, sec uint32, body any) []byte {
	c = append(c, 0x92, 0x92, 0xd7, 0x00)
	c = binary.BigEndian.AppendUint32(c, sec)
	c = binary.BigEndian.AppendUint32(c, Nanosecond)
	c = append(c, 0x80)
	return appendValue(c, body)
}

func appendValue(c []byte, v any) []byte {
	switch v := v.(type) {
	case Map:
		c = msgp.AppendMapHeader(c, uint32(len(v)/2))
		for _, e := range v {
			c = appendValue(c, e)
		}
		return c
	case []any:
		c = msgp.AppendArrayHeader(c, uint32(len(v)))
		for _, e := range v {
			c = appendValue(c, e)
		}
		return c
	case msgp.Raw:
		return append(c, v...)
	}
	c, err := msgp.AppendIntf(c, v)
	if err != nil {
		panic(err)
	}
	return c
}

// Sized is a chunk of n records of so many bytes, to be sent with LogKey.
func Sized(n, size int) []byte {
	var bodies []any
	for range n {
		bodies = append(bodies, Line(strings.Repeat("x", size)))
	}
	return Chunk(bodies...)
}

// Text is that of a numbered record.
func Text(i int) string { return fmt.Sprintf("record %06d", i) }

// Numbered is a chunk of records first to last-1, to be sent with LogKey.
func Numbered(first, last int) (c []byte) {
	for i := first; i < last; i++ {
		c = AppendRecord(c, Second, Line(Text(i)))
	}
	return c
}

// Parallel runs f for 0 to n-1 at the same time.
func Parallel(n int, f func(i int)) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { f(i) })
	}
	wait.Wait()
}
