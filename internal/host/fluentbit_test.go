//go:build e2e

package host

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The same boundary under the real thing: what the host only plays, Fluent Bit
// has to agree with.

// fluentBit runs a fluent-bit with the probe until the test ends.
type fluentBit struct {
	t       *testing.T
	cmd     *exec.Cmd
	dir     string
	metrics string // URL of its HTTP server
	exited  chan error
}

// startFluentBit takes the lines of the [SERVICE] section, where DIR stands for
// the working directory, and what follows it.
func startFluentBit(t *testing.T, service, config string, loaders ...string) *fluentBit {
	t.Helper()
	program, err := exec.LookPath("fluent-bit")
	if err != nil {
		t.Skip("SKIP: no fluent-bit on the PATH")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	f := &fluentBit{t: t, dir: t.TempDir(), metrics: fmt.Sprintf("http://127.0.0.1:%d", port), exited: make(chan error, 1)}
	text := fmt.Sprintf("[SERVICE]\n  flush 0.2\n  grace 2\n  scheduler.base 1\n  scheduler.cap 2\n"+
		"  http_server on\n  http_listen 127.0.0.1\n  http_port %d\n%s\n%s", port, strings.ReplaceAll(service, "DIR", f.dir), config)
	file := filepath.Join(f.dir, "fluent-bit.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", file}
	for _, l := range loaders {
		args = append(args, "-e", l)
	}
	f.cmd = exec.Command(program, args...)
	stderr, err := os.Create(filepath.Join(f.dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	f.cmd.Dir, f.cmd.Stdout, f.cmd.Stderr = f.dir, stderr, stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.exited <- f.cmd.Wait() }()
	t.Cleanup(func() {
		f.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("stderr:\n%s\nlog:\n%s", f.read("stderr"), f.read("log"))
		}
	})
	return f
}

// read returns a file of the working directory, "" if it is not there.
func (f *fluentBit) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(f.dir, name))
	return string(data)
}

// wait waits until n lines of a file match.
func (f *fluentBit) wait(name, pattern string, n int) {
	f.t.Helper()
	re := regexp.MustCompile(pattern)
	for range 3000 {
		if len(re.FindAllString(f.read(name), -1)) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Fatalf("%s: no %d lines match %s", name, n, pattern)
}

// waitMetrics waits for lines on the metrics endpoint, which Fluent Bit brings up
// to date every few seconds.
func (f *fluentBit) waitMetrics(lines ...string) {
	f.t.Helper()
	var missing string
	for range 300 {
		missing = ""
		answer, err := http.Get(f.metrics + "/api/v2/metrics/prometheus")
		if err != nil {
			f.t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			f.t.Fatal(err)
		}
		for _, l := range lines {
			if !strings.Contains(string(body), l+"\n") {
				missing = l
			}
		}
		if missing == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Errorf("the metrics lack %s", missing)
}

func (f *fluentBit) signal(s syscall.Signal) {
	f.t.Helper()
	if err := f.cmd.Process.Signal(s); err != nil {
		f.t.Fatal(err)
	}
}

// stop has it end in good order.
func (f *fluentBit) stop() {
	f.t.Helper()
	f.signal(syscall.SIGTERM)
	select {
	case err := <-f.exited:
		if err != nil {
			f.t.Errorf("fluent-bit: %v", err)
		}
	case <-time.After(30 * time.Second):
		f.t.Error("fluent-bit does not end")
	}
}

func probeLoader(t *testing.T) string {
	return filepath.Join(build(t, Variant{Probe: true}), "probe.so")
}

func dummy(tag string, samples int) string {
	return fmt.Sprintf("[INPUT]\n  name dummy\n  tag %s\n  samples %d\n", tag, samples)
}

func TestFluentBitLogMetricsAndPanics(t *testing.T) {
	config := dummy("echo", 2) + dummy("goroutine", 1) + dummy("nil", 1) +
		"[OUTPUT]\n  name probe\n  match *\n  workers 2\n  log_level debug\n  say ${SAID}\n" +
		"[OUTPUT]\n  name probe\n  match *\n  alias second\n"
	t.Setenv("SAID", "100 %s")
	t.Setenv("FLB_LOG_LEVEL", "")
	f := startFluentBit(t, "  log_level info\n  log_file DIR/log", config, probeLoader(t),
		// Loaded and not used: one library stands behind all of them.
		filepath.Join(build(t, Variant{Probe: true}), "cloudwatch.so"),
		filepath.Join(build(t, Variant{Probe: true}), "kinesis.so"))

	const at = `(?m)^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}\] `
	f.wait("log", at+`\[ info\] \[output:probe:probe\.0\] started, say is "100 %s"$`, 1)
	f.wait("log", at+`\[ info\] \[output:probe:second\] started, say is ""$`, 1)
	f.wait("log", at+`\[ info\] \[output:probe:probe\.0\] echo \d+ bytes crc32 [0-9a-f]{8} time 2 on engine false any order true$`, 1)
	f.wait("log", at+`\[ info\] \[output:probe:second\] echo \d+ bytes crc32 [0-9a-f]{8} time 2 on engine true any order false$`, 1)
	f.wait("log", at+`\[ warn\] \[output:probe:second\] flushes run on fluent bit's engine thread`, 1)
	f.wait("log", at+`\[error\] \[output:probe:probe\.0\] error 100 %s %n from a goroutine$`, 1)
	f.wait("log", at+`\[debug\] \[output:probe:probe\.0\] debug$`, 1)
	f.wait("log", `tag "nil", which is answered with FLB_RETRY: runtime error: invalid memory address`, 2)
	// Here Fluent Bit takes SIGSEGV for itself, before the chunks come again.
	f.signal(syscall.SIGCONT)
	f.wait("log", `tag "nil", which is answered with FLB_ERROR: runtime error: invalid memory address`, 2)

	f.waitMetrics(
		"# TYPE fluentbit_aws_records_in_total counter",
		`fluentbit_aws_records_in_total{name="probe.0"} 5`,
		`fluentbit_aws_records_in_total{name="second"} 5`,
		`fluentbit_aws_records_sent_total{name="second"} 3`,
		`fluentbit_aws_records_dropped_total{name="second",reason="too_old"} 0`,
		"# TYPE fluentbit_aws_records_pending gauge",
		`fluentbit_aws_records_pending{name="probe.0"} 2`)
	f.stop()
	if log := f.read("log"); strings.Contains(log, "[output:probe:second] debug") || strings.Contains(log, "100 %s %n\n") {
		t.Error("the other instance logs at debug too")
	}
	f.wait("log", `\[output:probe:second\] account: in 5, sent 3`, 1)
	if strings.Contains(f.read("stderr"), "output:probe") {
		t.Error("lines went to standard error, past log_file")
	}
}

// A flush may end without the goroutine that it began on: well, with a panic, or to come
// again.
func TestFluentBitFlushesThatEndLater(t *testing.T) {
	config := "[OUTPUT]\n  name probe\n  match *\n  workers 2\n  retry_limit 5\n"
	for _, tag := range []string{"ok", "once", "nil", "twice", "error"} {
		config += dummy("later:"+tag, 1)
	}
	f := startFluentBit(t, "  log_file DIR/log", config, probeLoader(t))
	f.wait("log", `resumed for "ok"`, 1)
	f.wait("log", `resumed for "error"`, 1)
	f.wait("log", `panic in flush of a chunk of tag "later:once", which is answered with FLB_RETRY: injected once`, 1)
	f.wait("log", `resumed for "once"`, 2)
	f.wait("log", `panic in flush of a chunk of tag "later:nil", which is answered with FLB_ERROR: runtime error`, 1)
	f.wait("log", `given up: \d+ bytes of tag "later:nil"`, 1)
	f.wait("log", `resumed for "twice"`, 3)
	f.waitMetrics(
		`fluentbit_aws_records_in_total{name="probe.0"} 9`,
		`fluentbit_aws_records_sent_total{name="probe.0"} 3`,
		`fluentbit_output_retries_total{name="probe.0"} 4`,
		`fluentbit_output_errors_total{name="probe.0"} 2`)
	f.stop()
}

// With workers, Fluent Bit 5.1.1 itself does not survive this with any Go
// plugin: it starts the threads of a Go output twice (src/flb_plugin_proxy.c,
// flb_proxy_output_cb_init, and src/flb_output.c, flb_output_init_all), stops
// one set, and the other goes on in memory that is gone.
func TestFluentBitHotReload(t *testing.T) {
	f := startFluentBit(t, "  log_level debug\n  hot_reload on", dummy("echo", 1)+
		"[OUTPUT]\n  name probe\n  match *\n[OUTPUT]\n  name probe\n  match *\n  alias second\n", probeLoader(t))
	for round := 1; round <= 4; round++ {
		f.wait("stderr", `\[output:probe:probe\.0\] echo \d+ bytes .* time 1 on engine true`, round)
		f.wait("stderr", `\[output:probe:second\] echo \d+ bytes .* time 1 on engine true`, round)
		if round < 4 {
			f.signal(syscall.SIGHUP)
			f.wait("stderr", `\[output:probe:second\] exit: fluent bit reloads its configuration`, round)
		}
	}
	f.stop()
	f.wait("stderr", `\[output:probe:second\] exit: fluent bit ends`, 1)
}

// A Go runtime does not outlive a fork: without a word Fluent Bit would hang.
//
// It is still so in one start of three: the call into Go may hang before the
// check is reached. So this is run by who works on that, with DAEMON_TEST set.
func TestFluentBitDaemon(t *testing.T) {
	if os.Getenv("DAEMON_TEST") == "" {
		t.Skip("SKIP: in one start of three the call into Go hangs after a fork, before the check; set DAEMON_TEST to try")
	}
	f := startFluentBit(t, "  log_level info\n  log_file DIR/log\n  daemon on",
		dummy("echo", 1)+"[OUTPUT]\n  name probe\n  match *\n", probeLoader(t))
	f.wait("stderr", `switching to background mode \(PID=\d+\)`, 1)
	pid, err := strconv.Atoi(regexp.MustCompile(`PID=(\d+)`).FindStringSubmatch(f.read("stderr"))[1])
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	f.wait("log", `\[error\] \[aws-for-fluent-bit\] cannot start after a fork: .*daemon mode`, 1)
	for range 1000 {
		// The orphan may stay a zombie where nobody waits for orphans.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the daemon does not end")
}

// An option like no other is said and left alone.
func TestFluentBitUnknownOptions(t *testing.T) {
	f := startFluentBit(t, "  log_level info\n  log_file DIR/log", dummy("echo", 1)+
		"[OUTPUT]\n  name probe\n  match *\n  codec json\n  say x\n  SAY y\n  tls.verify off\n  workers 1\n"+
		"[OUTPUT]\n  name probe\n  match *\n  alias second\n  say z\n", probeLoader(t))
	f.wait("log", `\[ warn\] \[output:probe:probe\.0\] option codec: there is no such option, it has no effect`, 1)
	f.wait("log", `\[ warn\] \[output:probe:probe\.0\] option say: it is set more than once, the first one counts`, 1)
	f.wait("log", `\[output:probe:second\] started, say is "z"`, 1)
	f.wait("log", `\[output:probe:second\] echo`, 1)
	f.stop()
	if n := strings.Count(f.read("log"), "] option "); n != 2 {
		t.Errorf("%d lines about options, want 2", n)
	}
}

func TestFluentBitRefusesToStart(t *testing.T) {
	lone := filepath.Join(t.TempDir(), "kinesis.so")
	data, err := os.ReadFile(filepath.Join(build(t, Variant{Probe: true}), "kinesis.so"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lone, data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, config, loader, want string }{
		{"no library", "[OUTPUT]\n  name kinesis\n  match *\n", lone, `error opening plugin .*kinesis\.so: 'libaws-for-fluent-bit\.so: cannot open shared object file`},
		{"bad option", "[OUTPUT]\n  name probe\n  match *\n  start refuse\n", probeLoader(t), `\[output:probe:probe\.0\] cannot start: option start: cannot use "refuse"`},
		{"misspelt option", "[OUTPUT]\n  name probe\n  match *\n  say x\n  strat y\n  net.keepalive on\n", probeLoader(t),
			`\[output:probe:probe\.0\] cannot start: option strat: there is no such option, the nearest is start`},
		{"only misspelt options", "[OUTPUT]\n  name probe\n  match *\n  Retry_Limits 2\n", probeLoader(t),
			`cannot start: option (?i:retry_limits): there is no such option, the nearest is retry_limit`},
		{"panic", "[OUTPUT]\n  name probe\n  match *\n  start nil\n", probeLoader(t), `cannot start: a fault of this plugin`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFluentBit(t, "", dummy("echo", 1)+test.config, test.loader)
			select {
			case err := <-f.exited:
				if err == nil {
					t.Error("fluent-bit ended as if all were well")
				}
			case <-time.After(30 * time.Second):
				t.Error("fluent-bit goes on")
			}
			f.wait("stderr", test.want, 1)
		})
	}
}
