//go:build e2e

// Package e2e runs the built plugins under a real fluent-bit.
//
// A test starts internal/awslocal, starts fluent-bit with a configuration, waits
// for what is to happen, stops it by a signal, and looks at what arrived, what
// the log says and how the process ended. `make e2e` builds first.
package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// bin is where `make build` put the plugins; E2E_BIN names another place.
var bin = func() string {
	if dir := os.Getenv("E2E_BIN"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../bin")
	if err != nil {
		return "../bin"
	}
	return dir
}()

// process is a running fluent-bit.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	dir     string // its working directory
	metrics string // URL of its HTTP server
	log     *logBuffer
	exited  chan struct{} // closed once the process has ended and its log is complete
}

// run says how a fluent-bit is started.
type run struct {
	// config is the configuration without its [SERVICE] section.
	config string
	// service are further lines of the [SERVICE] section.
	service string
	// plugins are the loaders given by -e; nil means all three of bin.
	plugins []string
	// env is added to the environment.
	env []string
	// dir is the working directory; "" means a new one.
	dir string
}

// awsEnv gives the credentials that awslocal knows, and hides those of the
// machine that the test runs on.
func awsEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "FLB_") && !strings.HasPrefix(e, "ECS_") && !strings.HasPrefix(e, "EKS_") {
			env = append(env, e)
		}
	}
	return append(env,
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null")
}

// start starts fluent-bit and returns as soon as the process runs. The test is
// skipped where no fluent-bit is on the PATH. The process is killed at the end
// of the test if it still runs then.
func start(t *testing.T, r run) *process {
	t.Helper()
	program, err := exec.LookPath("fluent-bit")
	if err != nil {
		t.Skip("SKIP: no fluent-bit on the PATH")
	}
	p := &process{t: t, dir: r.dir, log: newLogBuffer(), exited: make(chan struct{})}
	if p.dir == "" {
		p.dir = t.TempDir()
	}
	port := freePort(t)
	p.metrics = fmt.Sprintf("http://127.0.0.1:%d", port)
	config := fmt.Sprintf(`[SERVICE]
    Flush       0.2
    Grace       20
    HTTP_Server On
    HTTP_Listen 127.0.0.1
    HTTP_Port   %d
    Log_Level   info
%s
%s`, port, indent(r.service), r.config)
	file := filepath.Join(p.dir, "fluent-bit.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if r.plugins == nil {
		r.plugins = []string{filepath.Join(bin, "cloudwatch.so"), filepath.Join(bin, "kinesis.so"), filepath.Join(bin, "firehose.so")}
	}
	var args []string
	for _, so := range r.plugins {
		args = append(args, "-e", so)
	}
	p.cmd = exec.Command(program, append(args, "-c", file)...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append(awsEnv(), r.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test binary die
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", program, err)
	}
	go func() {
		_ = p.cmd.Wait() // its result is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		select {
		case <-p.exited:
		default:
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
		if t.Failed() {
			t.Logf("end of fluent-bit's log:\n%s", p.log.tail(60))
		}
	})
	return p
}

// indent gives the lines of a section the indentation that the format asks for.
func indent(lines string) string {
	var b strings.Builder
	for _, l := range strings.Split(lines, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			b.WriteString("    " + l + "\n")
		}
	}
	return b.String()
}

// section writes one section of a configuration, from lines of "key value".
func section(name string, lines ...string) string {
	return "[" + name + "]\n" + indent(strings.Join(lines, "\n")) + "\n"
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := awslocal.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// wait waits until good says so. It fails the test after limit, or at once when
// the process ends.
func (p *process) wait(what string, limit time.Duration, good func() bool) {
	p.t.Helper()
	end := time.Now().Add(limit)
	for !good() {
		select {
		case <-p.exited:
			if good() {
				return
			}
			p.t.Fatalf("fluent-bit ended (%v) before %s", p.cmd.ProcessState, what)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			p.t.Fatalf("waited %v in vain for %s", limit, what)
		}
	}
}

// waitLog waits until the log has a match of re.
func (p *process) waitLog(re string, limit time.Duration) {
	p.t.Helper()
	r := regexp.MustCompile(re)
	p.wait("the log says "+re, limit, func() bool { return r.MatchString(p.log.String()) })
}

// stop sends SIGTERM, waits for the end and returns how long it took. It fails
// the test if the process is still there after limit, or did not end with
// status 0.
func (p *process) stop(limit time.Duration) time.Duration {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("cannot stop fluent-bit: %v", err)
	}
	if code := p.end(limit); code != 0 {
		p.t.Errorf("fluent-bit ended with %v", p.cmd.ProcessState)
	}
	return time.Since(began)
}

// end waits for the process to end by itself and returns its exit status, -1 if
// a signal ended it.
func (p *process) end(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		_ = p.cmd.Process.Signal(syscall.SIGABRT) // the Go runtime prints its goroutines
		time.Sleep(time.Second)
		p.t.Fatalf("fluent-bit had not ended after %v", limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// cpu is the processor time that the ended process has used.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// logLine is how a line of Fluent Bit's log begins, colors left out.
var logLine = regexp.MustCompile(`^\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?\] \[ *(\w+)\] (.*)$`)

// said returns the texts of all lines of the log at one of the levels.
func (p *process) said(levels ...string) []string {
	var lines []string
	for _, l := range strings.Split(p.log.String(), "\n") {
		m := logLine.FindStringSubmatch(l)
		for _, level := range levels {
			if m != nil && m[1] == level {
				lines = append(lines, m[2])
			}
		}
	}
	return lines
}

// get returns a page of fluent-bit's HTTP server.
func (p *process) get(path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(p.metrics + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", path, resp.Status)
	}
	return string(body), err
}

// prometheus returns every sample of the metrics endpoint by its series, as
// `fluentbit_output_proc_records_total{name="cloudwatch.0"}`; none as long as
// the endpoint is not there yet.
func (p *process) prometheus() map[string]float64 {
	samples := make(map[string]float64)
	text, err := p.get("/api/v2/metrics/prometheus")
	if err != nil {
		return samples
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), "} ")
		if !ok || strings.HasPrefix(series, "#") {
			continue
		}
		if f, err := strconv.ParseFloat(strings.Fields(value)[0], 64); err == nil {
			samples[series+"}"] = f
		}
	}
	return samples
}

// logBuffer keeps what the process writes, without its colors.
type logBuffer struct {
	mu   sync.Mutex // guards the following
	text bytes.Buffer
}

func newLogBuffer() *logBuffer { return &logBuffer{} }

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return colors.ReplaceAllString(l.text.String(), "")
}

func (l *logBuffer) tail(n int) string {
	lines := strings.Split(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// table collects rows from many tests, to be printed when all have run.
type table struct {
	mu    sync.Mutex // guards the following
	title string
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, row)
}

func (t *table) print(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	width := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, row := range all {
		for i, c := range row {
			width[i] = max(width[i], len(c))
		}
	}
	fmt.Fprintf(w, "\n%s\n", t.title)
	for _, row := range all {
		for i, c := range row {
			fmt.Fprintf(w, "  %-*s", width[i], c)
		}
		fmt.Fprintln(w)
	}
}

// tables are printed at the end, in this order.
var tables []*table

func newTable(title string, head ...string) *table {
	t := &table{title: title, head: head}
	tables = append(tables, t)
	return t
}

func TestMain(m *testing.M) {
	if _, err := os.Stat(filepath.Join(bin, "cloudwatch.so")); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "no plugins in %s: run `make e2e`, which builds them first\n", bin)
		os.Exit(1)
	}
	code := m.Run()
	for _, t := range tables {
		t.print(os.Stdout)
	}
	os.Exit(code)
}
