package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/host"
)

// The same records by way of a real fluent-bit, which takes them apart and puts
// them together again: in_forward, its storage, and its own calls of the plugins.

// fluentBit is a running fluent-bit.
type fluentBit struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    string
	exited chan error
}

// program is the fluent-bit to test with, FLUENT_BIT or the one on the PATH.
func program(t *testing.T) string {
	t.Helper()
	name := os.Getenv("FLUENT_BIT")
	if name == "" {
		name = "fluent-bit"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("SKIP: no fluent-bit on the PATH")
	}
	return path
}

// startFluentBit runs it with a configuration until the test ends.
func startFluentBit(t *testing.T, config string, plugins ...string) *fluentBit {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fluent-bit.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", file}
	for _, p := range plugins {
		args = append(args, "-e", p)
	}
	f := &fluentBit{t: t, cmd: exec.Command(program(t), args...), log: filepath.Join(dir, "log"), exited: make(chan error, 1)}
	log, err := os.Create(f.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	f.cmd.Dir, f.cmd.Stdout, f.cmd.Stderr = dir, log, log
	f.cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey, "AWS_SESSION_TOKEN=",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PROFILE=", "AWS_CA_BUNDLE=")
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.exited <- f.cmd.Wait() }()
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		if t.Failed() {
			text := f.text()
			t.Logf("end of the log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return f
}

func (f *fluentBit) text() string {
	text, _ := os.ReadFile(f.log)
	return regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(text), "")
}

// stop ends it in good order.
func (f *fluentBit) stop() {
	f.t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		f.t.Fatal(err)
	}
	select {
	case err := <-f.exited:
		if err != nil {
			f.t.Errorf("fluent-bit: %v", err)
		}
	case <-time.After(time.Minute):
		f.t.Fatal("fluent-bit does not end")
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := awslocal.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// forward sends chunks in the Forward protocol's PackedForward mode, each
// acknowledged before the next.
// https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
func forward(t *testing.T, port int, tag string, chunks [][]byte) {
	t.Helper()
	var conn net.Conn
	var err error
	for range 200 {
		if conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	must(conn.SetDeadline(time.Now().Add(time.Minute)))
	answers := msgpack.NewDecoder(conn)
	for i, c := range chunks {
		id := fmt.Sprint("chunk-", i)
		message, err := msgpack.Marshal([]any{tag, c, map[string]any{"chunk": id}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(message); err != nil {
			t.Fatal(err)
		}
		ack, err := answers.DecodeMap()
		if err != nil || ack["ack"] != id {
			t.Fatalf("chunk %d: %v, %v", i, ack, err)
		}
	}
}

func TestFluentBitForwardIntoMoto(t *testing.T) {
	program(t)
	moto := startMoto(t)
	dir, err := host.Build(host.Variant{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	l := newLoad(9, n)
	client := kinesisClient(t, moto, "flb")
	makeDeliveryStream(t, moto, "flb")
	port := freePort(t)
	output := func(name string, lines ...string) string {
		return fmt.Sprintf("[OUTPUT]\n  Name %s\n  Match *\n  workers 1\n  concurrency 1\n  region %s\n  endpoint %s\n  Retry_Limit no_limits\n  %s\n",
			name, region, moto, strings.Join(lines, "\n  "))
	}
	f := startFluentBit(t, fmt.Sprintf("[SERVICE]\n  Flush 0.2\n  Grace 30\n[INPUT]\n  Name forward\n  Listen 127.0.0.1\n  Port %d\n", port)+
		output("cloudwatch", "log_group_name flb", "log_stream_name all", "auto_create_group true")+
		output("kinesis", "stream flb")+output("firehose", "delivery_stream flb"),
		filepath.Join(dir, "cloudwatch.so"), filepath.Join(dir, "kinesis.so"), filepath.Join(dir, "firehose.so"))
	forward(t, port, "app.odd", l.chunks(100))
	f.stop()
	for _, name := range []string{"cloudwatch", "kinesis", "firehose"} {
		want := fmt.Sprintf("[output:%s:%s.", name, name)
		if !regexp.MustCompile(regexp.QuoteMeta(want) + fmt.Sprintf(`\d\] account: in %d, sent %d\b`, n, n)).MatchString(f.text()) {
			t.Errorf("the log has no account of %s with %d records", name, n)
		}
	}
	texts, times := readLogs(t, moto, "flb", "all")
	l.check(t, texts)
	for i, ms := range times {
		if i < n && ms != l.millis(i) {
			t.Fatalf("event %d has the time %d, want %d", i, ms, l.millis(i))
		}
	}
	l.check(t, dataOf(readStream(t, client, "flb")))
	l.checkLines(t, readBucket(t, moto, "flb"))
}
