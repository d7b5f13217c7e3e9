package flb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/delivery"
)

// What needs Fluent Bit's side of the boundary is tested in internal/host.

func TestLogLevel(t *testing.T) {
	for _, test := range []struct {
		known int
		env   string
		want  logrus.Level
	}{
		{0, "", logrus.PanicLevel},
		{1, "", logrus.ErrorLevel},
		{2, "", logrus.WarnLevel},
		{3, "", logrus.InfoLevel},
		{4, "", logrus.DebugLevel},
		{5, "", logrus.TraceLevel},
		{1, "info", logrus.ErrorLevel},
		{1, "DEBUG", logrus.DebugLevel},
		{5, "debug", logrus.TraceLevel},
		{-1, "", logrus.InfoLevel},
		{-1, "off", logrus.PanicLevel},
		{-1, "error", logrus.ErrorLevel},
		{-1, "warn", logrus.WarnLevel},
		{-1, "Warning", logrus.WarnLevel},
		{-1, "debug", logrus.DebugLevel},
		{-1, "trace", logrus.TraceLevel},
		{-1, "nonsense", logrus.InfoLevel},
	} {
		if got := logLevel(test.known, test.env); got != test.want {
			t.Errorf("level %d, FLB_LOG_LEVEL %q: got %v, want %v", test.known, test.env, got, test.want)
		}
	}
}

// captured returns a log like newLog's and what is written to it.
func captured(prefix string) (*logrus.Entry, func() []string) {
	var mu sync.Mutex
	var lines []string
	l := newLog(prefix, logrus.TraceLevel)
	l.Logger.ReplaceHooks(make(logrus.LevelHooks))
	l.Logger.AddHook(hook{prefix: prefix, write: func(level int, line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprint(level, " ", line))
	}})
	return l, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return lines
	}
}

func TestHook(t *testing.T) {
	log, lines := captured("[x] ")
	log.Trace("five")
	log.Debug("four")
	log.Info("three")
	log.Warn("two")
	log.Error("one")
	fatal := log.Fatal // by another name, for what knows that Fatal ends the process
	fatal("one too, and we are still here")
	log.WithFields(logrus.Fields{"b": 2, "a": "one", "error": io.EOF}).Info("fields")
	log.Info("two\nlines")
	log.Info("tab\tbell\a return\r escape\x1b delete\x7f ümlaut ログ")
	want := []string{"5 [x] five", "4 [x] four", "3 [x] three", "2 [x] two", "1 [x] one",
		"1 [x] one too, and we are still here", "3 [x] fields a=one b=2 error=EOF", "3 [x] two", "3 [x] lines",
		"3 [x] tab bell? return? escape? delete? ümlaut ログ"}
	if got := lines(); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestCutLine(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"", ""},
		{strings.Repeat("x", maxLine), strings.Repeat("x", maxLine)},
		{strings.Repeat("x", maxLine+1), strings.Repeat("x", maxLine-6) + " [cut]"},
		{"a" + strings.Repeat("é", maxLine), "a" + strings.Repeat("é", (maxLine-7)/2) + " [cut]"},
	} {
		got := cutLine(test.line)
		if got != test.want || len(got) > maxLine {
			t.Errorf("%d bytes: got %d bytes ending in %q", len(test.line), len(got), got[max(0, len(got)-12):])
		}
	}
}

func TestAppendLine(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 67_999_999, time.UTC)
	for level, want := range map[int]string{
		levelError: "[2026/01/02 03:04:05.067] [error] text\n",
		levelWarn:  "[2026/01/02 03:04:05.067] [ warn] text\n",
		levelInfo:  "[2026/01/02 03:04:05.067] [ info] text\n",
		levelDebug: "[2026/01/02 03:04:05.067] [debug] text\n",
		levelTrace: "[2026/01/02 03:04:05.067] [trace] text\n",
	} {
		if got := string(appendLine(nil, now, level, "text")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPanicVerdicts(t *testing.T) {
	var p panics
	a := delivery.Chunk{Tag: "a", Data: []byte("bc")}
	b := delivery.Chunk{Tag: "ab", Data: []byte("c")} // the same bytes, cut elsewhere
	for i, step := range []struct {
		chunk delivery.Chunk
		want  delivery.Result
	}{{a, delivery.Retry}, {b, delivery.Retry}, {a, delivery.Error}, {a, delivery.Retry}, {b, delivery.Error}} {
		if got := p.verdict(step.chunk); got != step.want {
			t.Errorf("step %d: got %v, want %v", i, got, step.want)
		}
	}
	for i := range 10 * maxPanics {
		p.verdict(delivery.Chunk{Tag: fmt.Sprint(i)})
		if len(p.seen) > maxPanics {
			t.Fatalf("remembers %d chunks", len(p.seen))
		}
	}
}

type badError struct{}

func (badError) Error() string { panic("again") }

func TestLogPanic(t *testing.T) {
	deep := func(f func()) {
		for range 3 {
			f()
		}
	}
	for _, value := range []any{"text", errors.New("an error"), 7, badError{}, []byte("bytes")} {
		log, lines := captured("")
		deep(func() {
			defer func() { logPanic(log, "a test", recover()) }()
			panic(value)
		})
		got := lines()
		if len(got) > 3*(maxStack+2) || !strings.HasPrefix(got[0], "1 panic in a test: ") ||
			!strings.HasPrefix(got[1], "1 panic(") || !strings.Contains(strings.Join(got, "\n"), "flb_test.go:") {
			t.Errorf("panic of %T is logged as\n%s", value, strings.Join(got, "\n"))
		}
	}
}

func TestLogPanicCutsLongStacks(t *testing.T) {
	log, lines := captured("")
	var deep func(n int)
	deep = func(n int) {
		if n == 0 {
			panic("deep")
		}
		deep(n - 1)
	}
	func() {
		defer func() { logPanic(log, "a test", recover()) }()
		deep(200)
	}()
	if got := lines(); len(got) != maxStack+2 || got[len(got)-1] != "1 ..." {
		t.Errorf("got %d lines, the last %q", len(got), got[len(got)-1])
	}
}

// Whatever f does, the thread comes back.
func TestOnBehalf(t *testing.T) {
	process.Store(int64(os.Getpid()) + 1) // as after a fork
	onBehalf("a test", nil, func() { t.Error("ran in a forked process") })
	process.Store(int64(os.Getpid()))
	for name, f := range map[string]func(){
		"returns": func() {},
		"panics":  func() { panic("injected by the test") },
		"logs":    func() { ownLog.Info("a line of the test") },
	} {
		back := make(chan bool)
		go func() {
			onBehalf("a test", nil, f)
			close(back)
		}()
		select {
		case <-back:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: onBehalf did not come back", name)
		}
	}
	if pending.threads != 0 || len(pending.lines) != 0 {
		t.Errorf("%d threads and %d lines are left", pending.threads, len(pending.lines))
	}
	ownLog.Info("a line without a thread of fluent bit") // written on the spot
}
