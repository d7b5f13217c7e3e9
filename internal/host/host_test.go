package host

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/delivery"
)

// These are the tests of the C boundary: loaders, internal/flb and the host
// itself, with the output "probe" (plugins_hosttest.go) in place of a plugin.

// start starts a host with the probe and exits it at the test's end.
func start(t *testing.T, c Config) *Host {
	t.Helper()
	if c.Loaders == nil {
		c.Loaders = []string{filepath.Join(build(t, Variant{Probe: true}), "probe.so")}
	}
	h, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", h.LogText())
		}
	})
	return h
}

func build(t testing.TB, v Variant) string {
	t.Helper()
	dir, err := Build(v)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func initProbe(t *testing.T, h *Host, workers int, options ...string) *Instance {
	t.Helper()
	m := make(map[string]string)
	for i := 0; i < len(options); i += 2 {
		m[options[i]] = options[i+1]
	}
	in, err := h.Init("probe", m, workers)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func wantFlush(t *testing.T, in *Instance, tag string, want delivery.Result) {
	t.Helper()
	if got, err := in.Flush(tag, []byte("chunk")); got != want || err != nil {
		t.Errorf("flush of %s: got %v, %v, want %v", tag, got, err, want)
	}
}

// waitLog waits for a line that matches: what is logged comes by another pipe
// than answers.
func waitLog(t *testing.T, h *Host, pattern string) Line {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for range 1000 {
		for _, l := range h.Log() {
			if re.MatchString(l.Text) {
				return l
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no line matches %s in:\n%s", pattern, h.LogText())
	return Line{}
}

func TestResults(t *testing.T) {
	for _, workers := range []int{0, 1, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			in := initProbe(t, start(t, Config{}), workers)
			wantFlush(t, in, "ok", delivery.OK)
			wantFlush(t, in, "retry", delivery.Retry)
			wantFlush(t, in, "error", delivery.Error)
			wantFlush(t, in, "odd", delivery.Error)
		})
	}
}

func TestDeliverRetriesAsTheEngine(t *testing.T) {
	in := initProbe(t, start(t, Config{}), 1)
	for _, test := range []struct {
		tag     string
		retries int
		want    delivery.Result
		flushes int
	}{
		{"ok", 5, delivery.OK, 1},
		{"error", 5, delivery.Error, 1},
		{"twice:a", 5, delivery.OK, 3},
		{"twice:b", 1, delivery.Retry, 2},
		{"retry", 0, delivery.Retry, 1},
	} {
		got, flushes, err := in.Deliver(test.tag, []byte("chunk"), test.retries, time.Millisecond)
		if got != test.want || flushes != test.flushes || err != nil {
			t.Errorf("%s with %d retries: got %v after %d flushes, %v, want %v after %d",
				test.tag, test.retries, got, flushes, err, test.want, test.flushes)
		}
	}
}

// The bytes arrive as they are, without a copy that could be checked for here:
// the host unmaps each chunk after its flush, and maps nothing behind it.
func TestChunkIsBorrowed(t *testing.T) {
	h := start(t, Config{})
	in := initProbe(t, h, 2, "log_level", "debug")
	for _, size := range []int{0, 1, 4095, 4096, 4097, 3 << 20} {
		chunk := bytes.Repeat([]byte{0xa5, 0, '%', 'x'}, size/4+1)[:size]
		if got, err := in.Flush("echo", chunk); got != delivery.OK || err != nil {
			t.Fatalf("%d bytes: got %v, %v", size, got, err)
		}
		waitLog(t, h, fmt.Sprintf(`echo %d bytes crc32 %08x `, size, crc32.ChecksumIEEE(chunk)))
	}
}

func TestOptions(t *testing.T) {
	h := start(t, Config{LogLevel: "debug"})
	initProbe(t, h, 0, "say", "one 100 %s")
	initProbe(t, h, 0, "SAY", "two", "alias", "second")
	initProbe(t, h, 0)
	waitLog(t, h, `\[ info\] \[output:probe:probe\.0\] started, say is "one 100 %s"$`)
	waitLog(t, h, `\[ info\] \[output:probe:second\] started, say is "two"$`)
	waitLog(t, h, `\[ info\] \[output:probe:probe\.2\] started, say is ""$`)
	// One struct stands for all instances of a plugin; a getter that is used
	// too late must not answer with another instance's options.
	waitLog(t, h, `\[debug\] \[output:probe:probe\.2\] say is ""$`)
}

func TestRefusesToStart(t *testing.T) {
	for start_, wants := range map[string][]string{
		"refuse": {`\[error\] \[output:probe:probe\.0\] cannot start: option start: cannot use "refuse"$`,
			`\[error\] \[output:probe:probe\.0\] cannot start: option other: cannot use "this" either$`},
		"panic": {`\[error\] .*panic in start: no start for 100 %s reasons$`, `plugins_hosttest\.go:\d+`,
			`cannot start: a fault of this plugin`},
		"nil": {`panic in start: runtime error: invalid memory address or nil pointer dereference$`},
	} {
		t.Run(start_, func(t *testing.T) {
			h := start(t, Config{})
			if _, err := h.Init("probe", map[string]string{"start": start_}, 1); err == nil {
				t.Error("it started")
			}
			for _, want := range wants {
				waitLog(t, h, want)
			}
			// The library goes on, and so does an instance beside it.
			wantFlush(t, initProbe(t, h, 1), "ok", delivery.OK)
		})
	}
}

// Fluent Bit says nothing of options that it does not know either, so the plugin
// does, which finds them in Fluent Bit's own list.
func TestUnknownOptions(t *testing.T) {
	for _, symbols := range []Symbols{AllSymbols, NoSymbols} {
		h := start(t, Config{Symbols: symbols})
		if _, err := h.Init("probe", map[string]string{"strat": "x", "say": "y", "Wrokers": "2"}, 1); err == nil {
			t.Error("it started with misspelt options")
		}
		waitLog(t, h, `\[error\] \[output:probe:probe\.\d\] cannot start: option strat: there is no such option, the nearest is start$`)
		waitLog(t, h, `\[error\] \[output:probe:probe\.\d\] cannot start: option Wrokers: there is no such option, the nearest is workers$`)

		in := initProbe(t, h, 1, "codec", "json", "say", "y", "SAY", "y", "tls", "on", "net.keepalive", "on")
		wantFlush(t, in, "ok", delivery.OK)
		waitLog(t, h, `\[ warn\] \[output:probe:probe\.\d\] option codec: there is no such option, it has no effect$`)
		waitLog(t, h, `\[ warn\] \[output:probe:probe\.\d\] option say: it is set more than once, the first one counts$`)
		if log := h.LogText(); strings.Contains(log, "tls") || strings.Contains(log, "keepalive") || strings.Contains(log, "option start") {
			t.Errorf("Fluent Bit's own or known options are called unknown:\n%s", log)
		}
	}
}

func TestPanics(t *testing.T) {
	h := start(t, Config{})
	in := initProbe(t, h, 2)
	chunk, other := []byte("one chunk"), []byte("other chunk")
	for i, step := range []struct {
		tag   string
		chunk []byte
		want  delivery.Result
	}{
		{"panic", chunk, delivery.Retry},
		{"panic", other, delivery.Retry},
		{"panic:b", chunk, delivery.Retry},
		{"panic", chunk, delivery.Error}, // the second time: given up
		{"panic", other, delivery.Error},
		{"panic", chunk, delivery.Retry}, // the account of it is closed
		{"nil", chunk, delivery.Retry},
		{"nil", chunk, delivery.Error},
		{"once", chunk, delivery.Retry},
		{"once", chunk, delivery.OK},
	} {
		if got, err := in.Flush(step.tag, step.chunk); got != step.want || err != nil {
			t.Errorf("step %d, %s: got %v, %v, want %v", i, step.tag, got, err, step.want)
		}
	}
	waitLog(t, h, `\[error\] .*panic in flush of a chunk of tag "panic", which is answered with FLB_RETRY: injected$`)
	waitLog(t, h, `main\.\(\*probe\)\.Flush`)
	waitLog(t, h, `tag "nil", which is answered with FLB_ERROR: runtime error: invalid memory`)
	waitLog(t, h, `given up: 9 bytes of tag "nil", a panic in its flush: runtime error: invalid memory`)
	if n := strings.Count(h.LogText(), "given up: "); n != 3 {
		t.Errorf("%d chunks are given up, want 3", n)
	}
	if strings.Contains(h.LogText(), "one chunk") {
		t.Error("the log has a chunk's contents")
	}
}

// More chunks than are remembered: the bound costs attempts, not memory.
func TestPanicsAreForgotten(t *testing.T) {
	in := initProbe(t, start(t, Config{LogLevel: "off"}), 1)
	for i := range 1000 {
		if got, err := in.Flush("panic", fmt.Append(nil, i)); got != delivery.Retry || err != nil {
			t.Fatalf("chunk %d: got %v, %v", i, got, err)
		}
	}
}

// At a SIGCONT or SIGHUP Fluent Bit takes SIGSEGV back, and a nil pointer in Go
// would end the process.
func TestPanicsAfterHostTookSignals(t *testing.T) {
	h := start(t, Config{})
	in := initProbe(t, h, 1)
	wantFlush(t, in, "nil", delivery.Retry)
	if err := h.TakeSignals(); err != nil {
		t.Fatal(err)
	}
	wantFlush(t, in, "nil", delivery.Error)
}

func TestFatalDoesNotEndTheHost(t *testing.T) {
	h := start(t, Config{})
	in := initProbe(t, h, 1)
	wantFlush(t, in, "exit", delivery.OK)
	waitLog(t, h, `\[error\] \[output:probe:probe\.0\] the end$`)
}

func TestEngineThread(t *testing.T) {
	notice := `\[ warn\] \[output:probe:probe\.0\] flushes run on fluent bit's engine thread.* set workers`
	t.Run("workers 0", func(t *testing.T) {
		h := start(t, Config{})
		in := initProbe(t, h, 0)
		for range 3 {
			wantFlush(t, in, "echo", delivery.OK)
		}
		waitLog(t, h, `time 3 on engine true`)
		if n := len(regexp.MustCompile(notice).FindAllString(h.LogText(), -1)); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
	t.Run("workers 1", func(t *testing.T) {
		h := start(t, Config{})
		wantFlush(t, initProbe(t, h, 1), "echo", delivery.OK)
		waitLog(t, h, `time 1 on engine false`)
		if regexp.MustCompile(notice).MatchString(h.LogText()) {
			t.Error("said though there is a worker")
		}
	})
}

func TestEnding(t *testing.T) {
	for _, symbols := range []Symbols{AllSymbols, LogSymbols} {
		h := start(t, Config{Symbols: symbols})
		in := initProbe(t, h, 1)
		wantFlush(t, in, "ending", delivery.OK)
		waitLog(t, h, `\] ending false$`)
		if err := h.TellToEnd(); err != nil {
			t.Fatal(err)
		}
		wantFlush(t, in, "ending", delivery.OK)
		if symbols == AllSymbols {
			waitLog(t, h, `\] ending true$`)
		}
	}
}

func TestWorkersFlushAtOnce(t *testing.T) {
	for _, workers := range []int{0, 1, 4} {
		h := start(t, Config{})
		in := initProbe(t, h, workers)
		tag := fmt.Sprintf("meet:%d", max(workers, 1))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				wantFlush(t, in, tag, delivery.OK)
				wantFlush(t, in, "busy:5ms", delivery.OK)
			})
		}
		all.Wait()
		waitLog(t, h, fmt.Sprintf(`most at once %d$`, max(workers, 1)))
		if tooMany := fmt.Sprintf("most at once %d", max(workers, 1)+1); strings.Contains(h.LogText(), tooMany) {
			t.Errorf("workers %d: %s", workers, tooMany)
		}
	}
}

// Lines of goroutines reach the log by way of Fluent Bit's threads: a line that
// does not is stray.
func TestLog(t *testing.T) {
	for _, symbols := range []Symbols{AllSymbols, LogSymbols} {
		t.Run(fmt.Sprint(symbols), func(t *testing.T) {
			h := start(t, Config{Symbols: symbols, Env: []string{"FLB_LOG_LEVEL="}})
			in := initProbe(t, h, 1)
			wantFlush(t, in, "goroutine", delivery.OK)
			wantFlush(t, in, "flood", delivery.OK)
			waitLog(t, h, `^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}\] \[error\] \[output:probe:probe\.0\] error 100 %s %n from a goroutine$`)
			waitLog(t, h, `\[error\] \[output:probe:probe\.0\] and its second line\?\[0m$`)
			waitLog(t, h, `\[ warn\] \[output:probe:probe\.0\] warn$`)
			waitLog(t, h, `flood line 2999$`)
			for i, l := range floodLines(h) {
				if !strings.HasSuffix(l, fmt.Sprintf("flood line %d", i)) {
					t.Fatalf("line %d of the flood is %q", i, l)
				}
			}
			for _, l := range h.Log() {
				if l.Stray {
					t.Fatalf("stray: %s", l.Text)
				}
			}
		})
	}
}

func floodLines(h *Host) (lines []string) {
	for _, l := range h.Log() {
		if strings.Contains(l.Text, "flood line") {
			lines = append(lines, l.Text)
		}
	}
	return lines
}

func TestLogWithoutSymbols(t *testing.T) {
	h := start(t, Config{Symbols: NoSymbols, Env: []string{"FLB_LOG_LEVEL="}})
	a, b := initProbe(t, h, 1), initProbe(t, h, 1)
	wantFlush(t, a, "goroutine", delivery.OK)
	wantFlush(t, b, "echo", delivery.OK)
	l := waitLog(t, h, `^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}\] \[ warn\] \[output:probe:probe\.0\] warn$`)
	if !l.Stray {
		t.Error("it reached a log that is not there")
	}
	waitLog(t, h, `\[ info\] \[output:probe:probe\.1\] echo`) // names are counted
	if m, err := a.Metrics(); len(m) != 0 || err != nil {
		t.Errorf("metrics: got %v, %v", m, err)
	}
}

func TestLogLevels(t *testing.T) {
	for _, test := range []struct {
		symbols                  Symbols
		service, output, env     string
		error, warn, info, debug bool
	}{
		{AllSymbols, "info", "", "", true, true, true, false},
		{AllSymbols, "info", "debug", "", true, true, true, true},
		{AllSymbols, "debug", "error", "", true, false, false, false},
		{AllSymbols, "debug", "", "", true, true, true, true},
		{AllSymbols, "error", "warn", "", true, true, false, false},
		{AllSymbols, "off", "", "", false, false, false, false},
		{AllSymbols, "warn", "", "debug", true, true, true, true},
		{AllSymbols, "warn", "", "info", true, true, false, false},
		{NoSymbols, "info", "", "", true, true, true, false},
		{NoSymbols, "info", "", "error", true, false, false, false},
		{NoSymbols, "info", "", "warn", true, true, false, false},
		{NoSymbols, "info", "", "debug", true, true, true, true},
		{NoSymbols, "info", "", "nonsense", true, true, true, false},
		{LogSymbols, "info", "", "debug", true, true, true, true},
	} {
		name := fmt.Sprintf("symbols %d service %s output %s env %s", test.symbols, test.service, test.output, test.env)
		t.Run(name, func(t *testing.T) {
			h := start(t, Config{Symbols: test.symbols, LogLevel: test.service, Env: []string{"FLB_LOG_LEVEL=" + test.env}})
			options := []string{"say", "x"}
			if test.output != "" {
				options = append(options, "log_level", test.output)
			}
			in := initProbe(t, h, 1, options...)
			wantFlush(t, in, "goroutine", delivery.OK)
			if err := in.Exit(); err != nil {
				t.Fatal(err)
			}
			if err := h.Close(); err != nil { // after it the log is complete
				t.Fatal(err)
			}
			for line, want := range map[string]bool{
				"] error 100 ": test.error, "] warn\n": test.warn, "] started": test.info, "] debug\n": test.debug} {
				if got := strings.Contains(h.LogText(), line); got != want {
					t.Errorf("%q is logged: %v, want %v", line, got, want)
				}
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	h := start(t, Config{})
	a := initProbe(t, h, 4)
	b := initProbe(t, h, 0, "alias", "second")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				wantFlush(t, a, "ok", delivery.OK)
			}
		})
	}
	all.Wait()
	wantFlush(t, b, "ok", delivery.OK)
	wantFlush(t, b, "retry", delivery.Retry)
	for in, want := range map[*Instance]map[string]uint64{
		a: {"fluentbit_aws_records_in_total{probe.0}": 400, "fluentbit_aws_records_sent_total{probe.0}": 400,
			"fluentbit_aws_records_pending{probe.0}": 0, "fluentbit_aws_records_dropped_total{probe.0,too_old}": 0},
		b: {"fluentbit_aws_records_in_total{second}": 2, "fluentbit_aws_records_sent_total{second}": 1,
			"fluentbit_aws_records_pending{second}": 1, "fluentbit_aws_chunks_retried_total{second}": 1},
	} {
		got, err := in.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		new(delivery.Counters).Each(func(delivery.Metric) { n++ })
		if len(got) != n {
			t.Errorf("got %d series, want %d", len(got), n)
		}
		for series, value := range want {
			if v, ok := got[series]; !ok || v != value {
				t.Errorf("%s: got %d, %v, want %d", series, v, ok, value)
			}
		}
	}
}

// A scrape in the middle of a long flush sees what the flush has done so far.
func TestMetricsDuringAFlush(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as metrics wait")
	}
	h := start(t, Config{})
	in := initProbe(t, h, 1)
	var long sync.WaitGroup
	long.Go(func() { wantFlush(t, in, "busy:4s", delivery.OK) })
	defer long.Wait()
	for range 400 {
		m, err := in.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if m["fluentbit_aws_records_in_total{probe.0}"] == 1 {
			if m["fluentbit_aws_records_sent_total{probe.0}"] != 0 {
				t.Error("the flush was over already")
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("nothing was shown during the flush")
}

func TestSeveralPluginsInOneProcess(t *testing.T) {
	dir := build(t, Variant{Probe: true})
	var loaders []string
	for _, name := range []string{"cloudwatch", "probe", "kinesis", "firehose"} {
		loaders = append(loaders, filepath.Join(dir, name+".so"))
	}
	h := start(t, Config{Loaders: loaders})
	if want := "[cloudwatch probe kinesis firehose]"; fmt.Sprint(h.plugins) != want {
		t.Errorf("loaded %v, want %v", h.plugins, want)
	}
	for _, name := range []string{"cloudwatch", "kinesis", "firehose"} {
		// Without its required options each refuses, in its own name.
		if _, err := h.Init(name, nil, 1); err == nil {
			t.Errorf("%s started without options", name)
		}
		waitLog(t, h, fmt.Sprintf(`\[error\] \[output:%s:%s\.0\] cannot start: `, name, name))
	}
	wantFlush(t, initProbe(t, h, 1), "ok", delivery.OK)
}

func TestExitAndReload(t *testing.T) {
	h := start(t, Config{LogLevel: "debug"})
	a, b := initProbe(t, h, 2), initProbe(t, h, 2)
	wantFlush(t, a, "ok", delivery.OK)
	if err := a.Exit(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Flush("ok", nil); err != ErrExited {
		t.Errorf("flush after exit: %v", err)
	}
	wantFlush(t, b, "ok", delivery.OK) // the other goes on
	if err := b.ExitToReload(); err != nil {
		t.Fatal(err)
	}
	wantFlush(t, initProbe(t, h, 2), "ok", delivery.OK)
	waitLog(t, h, `\[debug\] \[output:probe:probe\.0\] exit: fluent bit ends$`)
	waitLog(t, h, `\[debug\] \[output:probe:probe\.1\] exit: fluent bit reloads its configuration$`)
	waitLog(t, h, `\[output:probe:probe\.0\] account: in 1, sent 1`)
}

func TestContextOfAStranger(t *testing.T) {
	h := start(t, Config{})
	a, err := h.call('?', new(request).number(0))
	if err != nil || a.text != "0 0" { // FLB_ERROR
		t.Errorf("got %q, %v", a.text, err)
	}
	waitLog(t, h, `\[error\] \[aws-for-fluent-bit\] fluent bit called with a context that is not ours`)
}

func TestCrashIsReported(t *testing.T) {
	for tag, want := range map[string]string{"kill": "signal: killed", "abort": "signal: aborted"} {
		c := Config{Loaders: []string{filepath.Join(build(t, Variant{Probe: true}), "probe.so")}}
		h, err := Start(c)
		if err != nil {
			t.Fatal(err)
		}
		in := initProbe(t, h, 1)
		if _, err := in.Flush(tag, nil); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "started, say is") {
			t.Errorf("%s: got %v, want %s and the last lines", tag, err, want)
		}
		if _, err := in.Flush("ok", nil); err == nil {
			t.Errorf("%s: another flush went well", tag)
		}
		if err := h.Close(); err == nil {
			t.Errorf("%s: close knows nothing of it", tag)
		}
	}
}

func TestHangIsKilled(t *testing.T) {
	c := Config{Loaders: []string{filepath.Join(build(t, Variant{Probe: true}), "probe.so")}, Deadline: 3 * time.Second}
	h, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	in := initProbe(t, h, 1)
	if _, err := in.Flush("busy:10m", nil); err == nil || !strings.Contains(err.Error(), "no answer within 3s") {
		t.Errorf("got %v", err)
	}
	if err := h.Close(); err == nil {
		t.Error("close knows nothing of it")
	}
}

// Whoever drives the host may die: the host ends with it, whatever hangs.
func TestHostEndsWithItsDriver(t *testing.T) {
	h, err := Start(Config{Loaders: []string{filepath.Join(build(t, Variant{Probe: true}), "probe.so")}})
	if err != nil {
		t.Fatal(err)
	}
	in := initProbe(t, h, 0)
	hung := make(chan bool)
	go func() {
		in.Flush("busy:10m", nil)
		close(hung)
	}()
	time.Sleep(100 * time.Millisecond)
	h.stdin.Close()
	select {
	case <-hung:
	case <-time.After(30 * time.Second):
		t.Error("it goes on without a driver")
		h.Kill()
	}
}

func TestLoaderWithoutLibrary(t *testing.T) {
	lone := filepath.Join(t.TempDir(), "cloudwatch.so")
	data, err := os.ReadFile(filepath.Join(build(t, Variant{Probe: true}), "cloudwatch.so"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lone, data, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Start(Config{Loaders: []string{lone}})
	want := "libaws-for-fluent-bit.so: cannot open shared object file: No such file or directory"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := Start(Config{Loaders: []string{"/nonexistent/x.so"}}); err == nil || !strings.Contains(err.Error(), "/nonexistent/x.so") {
		t.Errorf("got %v", err)
	}
	// The library itself registers nothing: it does not know which name is meant.
	library := filepath.Join(build(t, Variant{Probe: true}), "libaws-for-fluent-bit.so")
	if _, err := Start(Config{Loaders: []string{library}}); err == nil || !strings.Contains(err.Error(), "FLBPluginRegister is missing") {
		t.Errorf("got %v", err)
	}
	h := start(t, Config{})
	if _, err := h.Init("other", nil, 0); err == nil || !strings.Contains(err.Error(), "loaded are [probe]") {
		t.Errorf("got %v", err)
	}
}

// 1,000 instances made, used and exited leave nothing behind.
func TestRoundsDoNotGrow(t *testing.T) {
	rounds, part := 1000, 250
	if testing.Short() {
		rounds, part = 40, 10
	}
	h := start(t, Config{LogLevel: "warn"})
	var usage []Usage
	for i := range rounds {
		in := initProbe(t, h, i%3+1, "say", "something")
		wantFlush(t, in, "panic", delivery.Retry)
		wantFlush(t, in, "busy:0", delivery.OK)
		if err := in.Exit(); err != nil {
			t.Fatal(err)
		}
		if (i+1)%part == 0 {
			u, err := h.Usage()
			if err != nil {
				t.Fatal(err)
			}
			usage = append(usage, u)
		}
	}
	first, last := usage[0], usage[len(usage)-1]
	t.Logf("after %d rounds %+v, after %d %+v", part, first, rounds, last)
	// The collector lets a small heap double before it looks.
	if last.Anonymous > first.Anonymous+4<<20 {
		t.Errorf("anonymous memory grew from %d to %d bytes", first.Anonymous, last.Anonymous)
	}
	if last.Threads > first.Threads+2 || last.Files > first.Files+2 {
		t.Errorf("threads grew from %d to %d, open files from %d to %d", first.Threads, last.Threads, first.Files, last.Files)
	}
}

// Starting leaves less resident than loading brought in.
func TestStartGivesMemoryBack(t *testing.T) {
	h := start(t, Config{})
	loaded, err := h.Usage()
	if err != nil {
		t.Fatal(err)
	}
	in := initProbe(t, h, 1)
	started, err := h.Usage()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded %+v, started %+v", loaded, started)
	if started.Resident > loaded.Resident-2<<20 {
		t.Errorf("resident are %d bytes when loaded and %d when started", loaded.Resident, started.Resident)
	}
	wantFlush(t, in, "panic", delivery.Retry) // and what was given back works
	wantFlush(t, in, "ok", delivery.OK)
}

// What only the first flushes needed is resident no more some time after them.
func TestFirstFlushesGiveMemoryBack(t *testing.T) {
	h := start(t, Config{})
	in := initProbe(t, h, 1)
	wantFlush(t, in, "panic", delivery.Retry) // whose stack is read and logged
	resident := func() int64 {
		u, err := h.Usage()
		if err != nil {
			t.Fatal(err)
		}
		return u.Resident
	}
	const most = 256 << 10
	used, now := resident(), int64(0)
	for range 500 {
		if now = resident(); now < used-most {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("resident are %d bytes after the first flush, and then %d", used, now)
	if now >= used-most {
		t.Error("nothing is given back")
	}
	wantFlush(t, in, "ok", delivery.OK)
}

// What each file shows is checked by the script behind `make symbols`.
func TestSymbols(t *testing.T) {
	dir := build(t, Variant{Probe: true})
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, "loader", "symbols.sh")
	if out, err := exec.Command("sh", script, dir).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
	// And the script can fail: a library without the version script shows more.
	bad := t.TempDir()
	cc := exec.Command("cc", "-shared", "-o", filepath.Join(bad, "libaws-for-fluent-bit.so"), "-x", "c", "-")
	cc.Stdin = strings.NewReader("int FLBPluginInit(void *p) { return p != 0; } int stray;")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command("sh", script, bad).CombinedOutput(); err == nil || !strings.Contains(string(out), "FAIL") {
		t.Errorf("the script accepts a bad library:\n%s", out)
	}
}

func TestRaceDetector(t *testing.T) {
	if testing.Short() || runtime.NumCPU() < 2 {
		t.Skip("builds the library a second time")
	}
	h, err := Start(Config{Race: true, Loaders: []string{filepath.Join(build(t, Variant{Probe: true, Race: true}), "probe.so")}})
	if err != nil {
		t.Fatal(err)
	}
	in := initProbe(t, h, 4)
	var all sync.WaitGroup
	for _, tag := range []string{"ok", "panic", "goroutine", "flood", "busy:10ms", "twice"} {
		for range 4 {
			all.Go(func() {
				for range 10 {
					if _, err := in.Flush(tag, []byte(tag)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	if text := h.LogText(); strings.Contains(text, "DATA RACE") {
		t.Errorf("a race in the boundary:\n%s", text)
	}
	wantFlush(t, in, "race", delivery.OK)
	if err := h.Close(); err == nil || !strings.Contains(err.Error(), "data race") {
		t.Errorf("the race that is there was not found: %v", err)
	}
}
