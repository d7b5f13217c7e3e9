package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// figures are what one run took.
type figures struct {
	CPU  float64 // seconds of user and system time of the whole process
	Own  float64 // of them those of all threads but the pipeline's, see ownCPU; 0: not known
	Wall float64 // seconds until the last record was acknowledged; of null, until the end
	Peak float64 // MB of resident memory
	Anon float64 // the most of it that was seen not to be a file's pages, which the kernel takes back when it needs them
	totals
}

// Kinds of plugins. One of somebody else's has its path as its kind.
const (
	kindNull     = "null"
	kindC        = "c"
	kindCDefault = "c-default" // with the number of workers that it has when none is set, which is 1
	kindOurs     = "ours"
)

// plugin is what is measured: an output section's lines.
type plugin struct {
	kind    string
	service string
	name    string
	so      string // to be loaded, "" for what Fluent Bit has itself
}

// cNames are Fluent Bit's own plugins.
var cNames = map[string]string{"cloudwatch": "cloudwatch_logs", "kinesis": "kinesis_streams", "firehose": "kinesis_firehose"}

func (p plugin) isC() bool { return p.kind == kindC || p.kind == kindCDefault }

// section is the plugin's [OUTPUT]. What is not set is the plugin's default. With
// workers 0 either kind of plugin runs on Fluent Bit's engine thread, together
// with the inputs; a C plugin gives way there while it waits for an answer, and a
// Go plugin cannot.
func (p plugin) section(c caseOf, match, addr, caFile string) string {
	var b strings.Builder
	b.WriteString("[OUTPUT]\n")
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	line("Match %s", match)
	if p.kind == kindNull {
		line("Name null")
		return b.String()
	}
	line("Name %s", p.name)
	if p.kind != kindCDefault {
		line("workers %d", c.workers)
	}
	line("region us-east-1")
	line("Retry_Limit no_limits")
	if p.isC() {
		host, port, _ := net.SplitHostPort(addr)
		line("endpoint %s", host)
		line("port %s", port)
		line("tls.ca_file %s", caFile)
		line("tls.vhost localhost")
	} else {
		line("endpoint https://%s", addr)
	}
	switch p.service {
	case "cloudwatch":
		line("log_group_name bench")
		line("log_stream_prefix bench-")
	case "kinesis":
		line("stream bench")
		if !p.isC() {
			line("append_newline true") // which the C plugin always does
			line("request_format cbor") // as at AWS's own endpoints
		}
	case "firehose":
		line("delivery_stream bench")
	}
	return b.String()
}

// shipper is a running fluent-bit.
type shipper struct {
	cmd     *exec.Cmd
	log     strings.Builder
	started time.Time
	done    chan struct{} // closed when the process has ended, with err
	err     error
}

// startShipper starts fluent-bit with a configuration and plugins.
func (b *benchmark) startShipper(ctx context.Context, dir, conf, caFile string, plugins ...plugin) (*shipper, error) {
	path, parsers := filepath.Join(dir, "fluent-bit.conf"), filepath.Join(dir, "parsers.conf")
	conf = fmt.Sprintf("[SERVICE]\n    Grace 120\n    Log_Level warn\n    Parsers_File %s\n", parsers) + conf
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(parsers, []byte("[PARSER]\n    Name json\n    Format json\n"), 0o600); err != nil {
		return nil, err
	}
	var args []string
	for _, p := range plugins {
		if p.so != "" {
			args = append(args, "-e", p.so)
		}
	}
	s := &shipper{started: time.Now(), done: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, b.fluentBit, append(args, "-c", path)...)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 10 * time.Second
	s.cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CA_BUNDLE="+caFile, "SSL_CERT_FILE="+caFile)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// end tells fluent-bit to end, where it has not yet, and waits for it, but not for
// ever.
func (s *shipper) end() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	if s.err != nil {
		return fmt.Errorf("fluent-bit: %w\n%s", s.err, tail(s.log.String(), 2000))
	}
	return nil
}

// tail is the last n bytes of a text.
func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// cpu is what the process has used; it must have ended.
func (s *shipper) cpu() float64 {
	u := s.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// pipelineThread is what Fluent Bit calls the thread that reads, parses and hands out
// chunks (src/flb_lib.c). Its cost for the same records differs from run to run by
// more than outputs differ from each other.
const pipelineThread = "flb-pipeline"

// ownCPU is the CPU seconds of a process' threads but the pipeline's, by a folder as
// /proc/PID/task; 0 where the kernel does not say. A thread that has ended before is
// not in it: the outputs' do not.
func ownCPU(tasks string) (seconds float64) {
	threads, _ := filepath.Glob(filepath.Join(tasks, "*"))
	for _, thread := range threads {
		name, err := os.ReadFile(filepath.Join(thread, "comm"))
		if err != nil || strings.TrimSpace(string(name)) == pipelineThread {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(thread, "schedstat"))
		var ns float64
		if _, scanErr := fmt.Sscan(string(stat), &ns); err == nil && scanErr == nil {
			seconds += ns / 1e9
		}
	}
	return seconds
}

const (
	pollEvery = 100 * time.Millisecond
	// stuckAfter is how long a plugin may go without getting a record across. A
	// chunk that Fluent Bit gives again comes after 6 to 11 s.
	stuckAfter = 40 * time.Second
)

var errStuck = errors.New("no record went across any more")

// usage is what was seen of a running process: the most memory that it has taken, in
// MB, how much of it was no file's, and the CPU seconds of an output's threads.
type usage struct{ peak, anon, own float64 }

// lookAt brings what there is of memory up to date.
func (u *usage) lookAt(status []byte) {
	if kb, err := memoryIn(status, "VmHWM"); err == nil {
		u.peak = float64(kb) / 1024
	}
	if kb, err := memoryIn(status, "RssAnon"); err == nil {
		u.anon = max(u.anon, float64(kb)/1024)
	}
}

// watch waits until the sink has all records, or fluent-bit has ended, and returns
// what it took. That is read from the running process: what the kernel says of one
// that has ended counts its parent's memory at the fork too.
func (s *shipper) watch(to *sink, want int64) (u usage, err error) {
	var last totals
	moved := time.Now()
	look := func() {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)); err == nil {
			u.lookAt(status)
		}
	}
	for {
		look()
		select {
		case <-s.done:
			return u, nil
		case <-time.After(pollEvery):
		}
		if to == nil {
			continue
		}
		now, err := to.now()
		if err != nil {
			return u, err
		}
		if now.Records >= want {
			look()
			u.own = ownCPU(fmt.Sprintf("/proc/%d/task", s.cmd.Process.Pid))
			return u, nil
		}
		if now.Records != last.Records {
			last, moved = now, time.Now()
		} else if time.Since(moved) > stuckAfter {
			return u, errStuck
		}
	}
}

// ship runs fluent-bit with one plugin until all records of the case are
// delivered. What goes wrong is an error of this run alone.
func (b *benchmark) ship(ctx context.Context, p plugin, c caseOf) (f figures, err error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	to, err := startSink(dir, c.latency)
	if err != nil {
		return f, err
	}
	defer to.kill()
	input, files, err := b.input(c.shape, dir, p.kind == kindNull)
	for _, file := range files {
		defer file.Close()
	}
	if err != nil {
		return f, err
	}
	want := int64(countOf(c.shape, b.records))
	s, err := b.startShipper(ctx, dir, input+p.section(c, "*", to.addr, to.caFile), to.caFile, p)
	if err != nil {
		return f, err
	}
	if files != nil {
		err = trickle(ctx, files)
	}
	if p.kind == kindNull {
		if files != nil {
			time.Sleep(time.Second) // for the last lines to be read
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
		}
		to, want = nil, 0
	}
	took, watchErr := s.watch(to, want)
	err = errors.Join(err, watchErr, s.end(), ctx.Err())
	f.CPU, f.Own, f.Wall = s.cpu(), took.own, time.Since(s.started).Seconds()
	f.Peak, f.Anon = took.peak, took.anon
	if c.workers == 0 && p.kind != kindCDefault {
		f.Own = 0 // the output runs on the pipeline's thread
	}
	if to == nil {
		return f, err
	}
	t, sinkErr := to.stop()
	f.totals = t
	if t.Last > 0 {
		f.Wall = time.Unix(0, t.Last).Sub(s.started).Seconds()
	}
	return f, errors.Join(err, sinkErr, f.wrong(want, s.log.String()))
}

// wrong is what is wrong with what arrived, nil for nothing.
func (f figures) wrong(want int64, log string) error {
	switch {
	case f.Refused > 0:
		return fmt.Errorf("%d requests were refused, the last one since %s", f.Refused, f.Why)
	case f.Records != want:
		return fmt.Errorf("delivered %d of %d records\n%s", f.Records, want, tail(log, 2000))
	}
	return nil
}

// input is the [SERVICE]'s Flush and the [INPUT] for a shape, and the files to
// write to while it runs. Only null has Fluent Bit end with the file: any other
// output ends when all has arrived.
func (b *benchmark) input(shape, dir string, toEnd bool) (conf string, files []*os.File, err error) {
	const follow = "[INPUT]\n    Name tail\n    Path %s\n    Parser json\n    Tag kube.*\n    Read_from_Head true\n    Mem_Buf_Limit 64MB\n    Buffer_Chunk_Size 256k\n    Buffer_Max_Size 1M\n"
	if shape == "trickle" {
		files, err = openTrickle(dir)
		return "    Flush 1\n" + fmt.Sprintf(follow, filepath.Join(dir, "pod-*.log")), files, err
	}
	path := filepath.Join(b.dir, shape+".log")
	if err := writeInput(path, shape, countOf(shape, b.records)); err != nil {
		return "", nil, err
	}
	// Often, so that the buffer of 64 MB is not what a run waits for.
	conf = "    Flush 0.2\n" + fmt.Sprintf(follow, path)
	if toEnd {
		conf += "    Exit_On_Eof true\n"
	}
	return conf, nil, nil
}
