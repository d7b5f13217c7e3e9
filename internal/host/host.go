// Package host drives the plugins as Fluent Bit does, without Fluent Bit.
//
// Start runs a small C program (proxy/host.c, compiled on the spot) that loads
// the plugins with dlopen, calls them through Fluent Bit's structs on threads
// and coroutine stacks of its own, and takes chunks from here over a pipe. It
// is a process of its own for two reasons: two Go runtimes in one process are
// not supported, and a plugin that takes its host down is a result to report,
// not the end of the test.
//
//	dir, err := host.Build(host.Variant{})
//	h, err := host.Start(host.Config{Loaders: []string{dir + "/cloudwatch.so"}})
//	out, err := h.Init("cloudwatch", map[string]string{"region": "us-east-1", ...}, 4)
//	result, err := out.Flush("app", chunk) // from as many goroutines as you like
//	err = h.Close()
package host

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"aws-for-fluent-bit/internal/delivery"
)

// Symbols says which of Fluent Bit's own functions a plugin finds in its host.
type Symbols int

const (
	AllSymbols Symbols = iota // as in Fluent Bit 5.1.1
	LogSymbols                // flb_log_print alone, as in Fluent Bit 1.9
	NoSymbols                 // none, as in a binary without exported symbols
)

// Config says what to start.
type Config struct {
	// Loaders are the paths of the plugins to load, in this order.
	Loaders []string
	Symbols Symbols
	// Race is for what Build built with Variant.Race.
	Race bool
	// LogLevel is that of the service: off, error, warn, info (the default),
	// debug or trace.
	LogLevel string
	// Env is added to this process's environment.
	Env []string
	// Deadline is for each call. A call that takes longer ends in an error, and
	// the host is killed. The default is a minute.
	Deadline time.Duration
	// Unguarded hands chunks over in ordinary memory. By default a chunk cannot be
	// written to, ends where readable memory ends, and is unmapped when its
	// flush returns; that costs 10 µs and a copy, which benchmarks may not want.
	Unguarded bool
	// Copy, if set, gets everything that is logged, as it comes.
	Copy io.Writer
}

// Host is a running host. It is safe for concurrent use.
type Host struct {
	config  Config
	cmd     *exec.Cmd
	plugins []string // by number in the host

	send  sync.Mutex // one request at a time into stdin
	stdin io.WriteCloser

	mu        sync.Mutex
	calls     map[uint32]chan answer
	last      uint32
	lines     []Line
	gone      error // why nothing can be asked any more
	instances []*Instance

	ended chan struct{} // closed when the process has ended and gone is set

	close    sync.Once
	closeErr error
}

// Line is a line of the log, with Fluent Bit's time and level at its start.
type Line struct {
	Text string
	// Stray lines went to standard error: they were not logged through Fluent
	// Bit, or not on one of its threads. Fluent Bit's Log_File lacks them.
	Stray bool
}

type answer struct {
	result int32
	text   string
}

// Start compiles the host where necessary, starts it and loads the plugins.
// The caller is to Close it.
func Start(c Config) (*Host, error) {
	if c.Deadline == 0 {
		c.Deadline = time.Minute
	}
	archive := ""
	if c.Race && len(c.Loaders) > 0 {
		archive = filepath.Join(filepath.Dir(c.Loaders[0]), archiveName)
	}
	program, err := compile(c.Symbols, archive)
	if err != nil {
		return nil, err
	}
	h := &Host{config: c, calls: make(map[uint32]chan answer), ended: make(chan struct{})}
	h.cmd = exec.Command(program)
	if c.LogLevel != "" {
		h.cmd.Args = append(h.cmd.Args, c.LogLevel)
	}
	if c.Unguarded {
		h.cmd.Args = append(h.cmd.Args, "unguarded")
	}
	h.cmd.Env = append(os.Environ(), c.Env...)
	if err := h.start(); err != nil {
		return nil, fmt.Errorf("cannot start the host: %w", err)
	}
	for _, path := range c.Loaders {
		full, err := filepath.Abs(path)
		if err != nil {
			h.Kill()
			return nil, err
		}
		if c.Race {
			full = "linked:" + strings.TrimSuffix(filepath.Base(path), ".so")
		}
		a, err := h.call('L', new(request).text(full))
		if err == nil && a.result < 0 {
			err = errors.New(a.text)
		}
		if err != nil {
			h.Kill()
			return nil, fmt.Errorf("cannot load %s: %w", path, err)
		}
		h.plugins = append(h.plugins, a.text)
	}
	return h, nil
}

// start connects the pipes and starts the process.
func (h *Host) start() (err error) {
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := h.cmd.StderrPipe()
	if err != nil {
		return err
	}
	log, logWriter, err := os.Pipe()
	if err != nil {
		return err
	}
	h.cmd.ExtraFiles = []*os.File{logWriter} // descriptor 3
	err = h.cmd.Start()
	logWriter.Close()
	if err != nil {
		log.Close()
		return err
	}
	var readers sync.WaitGroup
	readers.Go(func() { h.readAnswers(stdout) })
	readers.Go(func() { h.readLines(stderr, true) })
	readers.Go(func() { h.readLines(log, false); log.Close() })
	go func() {
		readers.Wait() // before Wait, which closes the pipes
		err := h.cmd.Wait()
		if err == nil {
			err = errors.New("it has ended")
		}
		h.mu.Lock()
		h.gone = err
		for _, c := range h.calls {
			close(c)
		}
		h.calls = nil
		h.mu.Unlock()
		close(h.ended)
	}()
	return nil
}

func (h *Host) readLines(r io.Reader, stray bool) {
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadString('\n')
		if text != "" {
			h.mu.Lock()
			h.lines = append(h.lines, Line{strings.TrimSuffix(text, "\n"), stray})
			if h.config.Copy != nil {
				_, _ = io.WriteString(h.config.Copy, text) // it is kept in any case
			}
			h.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (h *Host) readAnswers(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		var head [12]byte // length, number, result
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		text := make([]byte, binary.NativeEndian.Uint32(head[0:])-8)
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		number := binary.NativeEndian.Uint32(head[4:])
		h.mu.Lock()
		c := h.calls[number]
		delete(h.calls, number)
		h.mu.Unlock()
		c <- answer{int32(binary.NativeEndian.Uint32(head[8:])), string(text)}
	}
}

// request is the arguments of one.
type request struct{ bytes []byte }

func (r *request) number(n int) *request {
	r.bytes = binary.NativeEndian.AppendUint32(r.bytes, uint32(n))
	return r
}

func (r *request) text(s string) *request {
	r.number(len(s))
	r.bytes = append(r.bytes, s...)
	return r
}

// call sends a request, data after its arguments, and waits for the answer.
func (h *Host) call(op byte, r *request, data ...[]byte) (answer, error) {
	c := make(chan answer, 1)
	h.mu.Lock()
	if h.gone != nil {
		defer h.mu.Unlock()
		return answer{}, h.lost()
	}
	h.last++
	number := h.last
	h.calls[number] = c
	h.mu.Unlock()

	length := 5 + len(r.bytes)
	for _, d := range data {
		length += len(d)
	}
	head := make([]byte, 0, 9+len(r.bytes))
	head = binary.NativeEndian.AppendUint32(head, uint32(length))
	head = append(head, op)
	head = binary.NativeEndian.AppendUint32(head, number)
	head = append(head, r.bytes...)
	timer := time.AfterFunc(h.config.Deadline, h.Kill)
	defer timer.Stop()
	h.send.Lock()
	_, err := h.stdin.Write(head)
	for _, d := range data {
		if err == nil {
			_, err = h.stdin.Write(d)
		}
	}
	h.send.Unlock()
	if err != nil {
		<-h.ended // a broken pipe says less than how the host ended
	}
	a, ok := <-c
	if ok {
		return a, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !timer.Stop() {
		return answer{}, fmt.Errorf("no answer within %v: %w", h.config.Deadline, h.lost())
	}
	return answer{}, h.lost()
}

// lost says how the host ended and what it said last. It needs h.mu.
func (h *Host) lost() error {
	const lines = 20
	var last []string
	for _, l := range h.lines[max(0, len(h.lines)-lines):] {
		last = append(last, l.Text)
	}
	return fmt.Errorf("the host is gone: %w; its last lines:\n%s", h.gone, strings.Join(last, "\n"))
}

// Init makes an instance of a plugin, as an [OUTPUT] section does. The options
// alias and log_level are Fluent Bit's own, the plugin does not see them.
// Without workers, flushes run on the host's main thread, one after the other.
func (h *Host) Init(plugin string, options map[string]string, workers int) (*Instance, error) {
	p := -1
	for i, name := range h.plugins {
		if name == plugin {
			p = i
		}
	}
	if p < 0 {
		return nil, fmt.Errorf("cannot init %s: loaded are %v", plugin, h.plugins)
	}
	r := new(request).number(p).number(workers).number(len(options))
	for key, value := range options {
		r.text(key).text(value)
	}
	a, err := h.call('I', r)
	if err == nil && a.result < 0 {
		err = errors.New(a.text)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot init %s: %w", plugin, err)
	}
	in := &Instance{host: h, index: int(a.result)}
	h.mu.Lock()
	h.instances = append(h.instances, in)
	h.mu.Unlock()
	return in, nil
}

// Log returns what was logged so far.
func (h *Host) Log() []Line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Line(nil), h.lines...)
}

// LogText returns the same as one text.
func (h *Host) LogText() string {
	var b bytes.Buffer
	for _, l := range h.Log() {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

// TakeSignals has the host take SIGSEGV and SIGFPE for itself, as Fluent Bit
// does whenever it gets a SIGCONT or a SIGHUP.
func (h *Host) TakeSignals() error {
	_, err := h.call('S', new(request))
	return err
}

// TellToEnd has the host say from now on that it was told to end, as Fluent Bit
// does after a SIGTERM. Close is still to be called. Without AllSymbols nothing
// is to be seen of it.
func (h *Host) TellToEnd() error {
	_, err := h.call('E', new(request))
	return err
}

// Usage is what the process has used so far.
type Usage struct {
	Resident  int64         // bytes of memory
	Anonymous int64         // of these, those not backed by a file
	CPU       time.Duration // user and system, in steps of 10 ms
	Threads   int
	Files     int // open descriptors
}

// Usage reads /proc.
func (h *Host) Usage() (Usage, error) {
	var u Usage
	dir := fmt.Sprintf("/proc/%d/", h.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, fmt.Errorf("cannot read the host's usage: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.ParseInt(fields[0], 10, 64)
		switch name {
		case "VmRSS":
			u.Resident = n << 10
		case "RssAnon":
			u.Anonymous = n << 10
		case "Threads":
			u.Threads = int(n)
		}
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, fmt.Errorf("cannot read the host's usage: %w", err)
	}
	// After the command in parentheses: fields 14 and 15, in ticks of 10 ms.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > 12 {
		for _, ticks := range fields[11:13] {
			n, _ := strconv.ParseInt(ticks, 10, 64)
			u.CPU += time.Duration(n) * 10 * time.Millisecond
		}
	}
	files, err := os.ReadDir(dir + "fd")
	u.Files = len(files)
	return u, err
}

// Kill ends the host at once. Calls under way end in an error.
func (h *Host) Kill() {
	_ = h.cmd.Process.Kill() // it may have ended by itself
	<-h.ended
}

// Close exits the instances that are left, in the order of their start,
// unregisters the plugins and ends the host. It returns what went wrong:
// a crash, a host that does not end, or a data race that was reported. After
// the first call it says the same again.
func (h *Host) Close() error {
	h.close.Do(func() { h.closeErr = h.end() })
	return h.closeErr
}

func (h *Host) end() error {
	h.mu.Lock()
	left := h.instances
	h.mu.Unlock()
	var errs []error
	for _, in := range left {
		errs = append(errs, in.exit(false))
	}
	for p := range h.plugins {
		_, err := h.call('U', new(request).number(p))
		errs = append(errs, err)
	}
	if errors.Join(errs...) == nil {
		if _, err := h.call('Q', new(request)); err != nil {
			errs = append(errs, err)
		}
	}
	_ = h.stdin.Close() // the host may have ended by itself
	select {
	case <-h.ended:
	case <-time.After(h.config.Deadline):
		h.Kill()
		errs = append(errs, fmt.Errorf("the host did not end within %v", h.config.Deadline))
	}
	if state := h.cmd.ProcessState; !state.Success() {
		errs = append(errs, fmt.Errorf("the host ended with %v", state))
	}
	if strings.Contains(h.LogText(), "WARNING: DATA RACE") {
		errs = append(errs, fmt.Errorf("a data race:\n%s", h.LogText()))
	}
	for _, err := range errs {
		if err != nil {
			return err // the first says it all
		}
	}
	return nil
}

// Instance is one output. It is safe for concurrent use.
type Instance struct {
	host  *Host
	index int
	use   sync.RWMutex // Fluent Bit does not exit an instance before its flushes are over
	out   bool
}

// ErrExited is returned by calls of an instance that has exited.
var ErrExited = errors.New("the instance has exited")

// Flush has a chunk flushed, by the worker whose turn it is, and returns what
// Fluent Bit makes of the answer: anything unknown is an error.
func (in *Instance) Flush(tag string, chunk []byte) (delivery.Result, error) {
	in.use.RLock()
	defer in.use.RUnlock()
	if in.out {
		return delivery.Error, ErrExited
	}
	a, err := in.host.call('F', new(request).number(in.index).text(tag).number(len(chunk)), chunk)
	if err != nil {
		return delivery.Error, err
	}
	switch result := delivery.Result(a.result); result {
	case delivery.OK, delivery.Retry:
		return result, nil
	}
	return delivery.Error, nil
}

// Deliver flushes a chunk as Fluent Bit's engine does: again and again for as
// long as the answer is FLB_RETRY, at most 1+retries times, with a pause
// between. It returns the last answer and how often the chunk was flushed.
func (in *Instance) Deliver(tag string, chunk []byte, retries int, pause time.Duration) (result delivery.Result, flushes int, err error) {
	for {
		result, err = in.Flush(tag, chunk)
		flushes++
		if err != nil || result != delivery.Retry || flushes > retries {
			return result, flushes, err
		}
		time.Sleep(pause)
	}
}

// Metrics returns what the instance shows on Fluent Bit's metrics endpoint, as
// `fluentbit_aws_records_dropped_total{cloudwatch.0,too_old}` -> 3.
func (in *Instance) Metrics() (map[string]uint64, error) {
	in.use.RLock()
	defer in.use.RUnlock()
	if in.out {
		return nil, ErrExited
	}
	a, err := in.host.call('M', new(request).number(in.index))
	if err != nil {
		return nil, err
	}
	m := make(map[string]uint64)
	for line := range strings.Lines(a.text) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		last := len(fields) - 1
		value, err := strconv.ParseUint(fields[last], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read metric %q: %w", line, err)
		}
		m[fields[0]+"{"+strings.Join(fields[1:last], ",")+"}"] = value
	}
	return m, nil
}

// Exit waits for the instance's flushes, ends its workers and exits it.
func (in *Instance) Exit() error { return in.exit(false) }

// ExitToReload does the same as Fluent Bit does it for a hot reload.
func (in *Instance) ExitToReload() error { return in.exit(true) }

func (in *Instance) exit(reloading bool) error {
	in.use.Lock()
	defer in.use.Unlock()
	if in.out {
		return ErrExited
	}
	in.out = true
	h := in.host
	h.mu.Lock()
	for i := range h.instances {
		if h.instances[i] == in {
			h.instances = append(h.instances[:i:i], h.instances[i+1:]...)
			break
		}
	}
	h.mu.Unlock()
	reload := 0
	if reloading {
		reload = 1
	}
	if _, err := h.call('X', new(request).number(in.index).number(reload)); err != nil {
		return fmt.Errorf("cannot exit: %w", err)
	}
	return nil
}
