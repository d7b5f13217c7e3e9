package delivery

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/options"
)

// lines is a log that can be looked at.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Levels() []logrus.Level { return logrus.AllLevels }

func (l *lines) Fire(e *logrus.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf("%s %s", e.Level, e.Message))
	return nil
}

// take returns what was logged since it was last called.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// find returns the first line that holds text.
func (l *lines) find(text string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.list {
		if strings.Contains(line, text) {
			return line, true
		}
	}
	return "", false
}

func newLog() (*logrus.Entry, *lines) {
	l := logrus.New()
	l.SetOutput(io.Discard)
	got := new(lines)
	l.AddHook(got)
	return logrus.NewEntry(l), got
}

// config is options in pairs of name and value. An option of the plugin's own
// is always among them.
type config []string

func (c config) get(name string) string {
	for i := 0; i < len(c); i += 2 {
		if c[i] == name {
			return c[i+1]
		}
	}
	return ""
}

// open returns a Delivery with these options, as a plugin opens it.
func open(t testing.TB, name string, c config) (*Delivery, *lines) {
	t.Helper()
	s := options.New(c.get)
	s.String("stream", "")
	log, got := newLog()
	d := New(Env{Name: name, Log: log, Counters: new(Counters)}, s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return d, got
}

func at(i int) func(int) int { return func(k int) int { return i + k } }

// flush sends a chunk of n records and settles those that sent says.
func flush(d *Delivery, c Chunk, n int, sent func(i int) bool) Result {
	f := d.Begin(c)
	for range n {
		if i, fresh := f.Record(); fresh && sent(i) {
			f.Sent(1, at(i))
		}
	}
	return f.End(nil)
}

func all(int) bool    { return true }
func none(int) bool   { return false }
func even(i int) bool { return i%2 == 0 }

// checkAccount compares the counters with the ledger's own knowledge. No flush
// may be under way.
func checkAccount(t testing.TB, d *Delivery) {
	t.Helper()
	if got, want := d.Pending(), uint64(d.ledger.unsettled()); got != want {
		t.Errorf("pending is %d by the counters and %d by the ledger: %v", got, want, d.Counters)
	}
}

// want compares counters, given as pairs of Counter or Reason and number.
func want(t testing.TB, d *Delivery, pairs ...any) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		var got uint64
		switch c := pairs[i].(type) {
		case Counter:
			got = d.Get(c)
		case Reason:
			got = d.Dropped(c)
		}
		if got != uint64(pairs[i+1].(int)) {
			t.Errorf("counter %#v is %d, want %d: %v", pairs[i], got, pairs[i+1], d.Counters)
		}
	}
	checkAccount(t, d)
}

func chunkOf(tag string, n int) Chunk {
	return Chunk{Tag: tag, Data: []byte(strings.Repeat(tag, n))}
}
