package main

import (
	"context"
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
	CPU      float64 // seconds of user and system time of the whole process
	Wall     float64 // seconds
	MaxRSS   float64 // MB
	Requests int64
	Bytes    int64 // of request bodies
	Records  int64
	Others   int64 // requests that carry no records
}

// plugin is what is measured: an output section's lines.
type plugin struct {
	Kind    string // null, c, ours or the name of another one
	service string
	so      string // to be loaded, "" for what Fluent Bit has itself
	name    string
}

// cNames are Fluent Bit's own plugins.
var cNames = map[string]string{"cloudwatch": "cloudwatch_logs", "kinesis": "kinesis_streams", "firehose": "kinesis_firehose"}

// section is the plugin's [OUTPUT].
func (p plugin) section(c caseOf, s *sink) string {
	if p.Kind == "null" {
		return "[OUTPUT]\n    Name null\n    Match *\n"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	b.WriteString("[OUTPUT]\n")
	line("Name %s", p.name)
	line("Match *")
	line("workers %d", c.workers)
	line("region us-east-1")
	line("Retry_Limit no_limits")
	host, port, _ := net.SplitHostPort(s.addr)
	if p.Kind == "c" {
		line("endpoint %s", host)
		line("port %s", port)
		line("tls.ca_file %s", s.caFile)
		line("tls.vhost localhost")
	} else {
		line("endpoint https://%s", s.addr)
	}
	switch p.service {
	case "cloudwatch":
		line("log_group_name bench")
		line("log_stream_prefix bench-")
	case "kinesis":
		line("stream bench")
		if p.Kind != "c" {
			line("append_newline true") // which the C plugin always does
		}
	case "firehose":
		line("delivery_stream bench")
	}
	return b.String()
}

// ship runs fluent-bit with one plugin until all records of the case are read
// and delivered.
func (b *benchmark) ship(ctx context.Context, p plugin, c caseOf) (f figures, err error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	s, err := startSink(dir, c.latency)
	if err != nil {
		return f, err
	}
	conf := filepath.Join(dir, "fluent-bit.conf")
	input, err := b.input(c.shape, dir)
	if err != nil {
		return f, err
	}
	const service = "[SERVICE]\n    Flush 0.2\n    Grace 120\n    Log_Level warn\n    Parsers_File %s\n"
	parsers := filepath.Join(dir, "parsers.conf")
	text := fmt.Sprintf(service, parsers) + input + p.section(c, s)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return f, err
	}
	if err := os.WriteFile(parsers, []byte("[PARSER]\n    Name json\n    Format json\n"), 0o600); err != nil {
		return f, err
	}
	args := []string{"-c", conf}
	if p.so != "" {
		args = append([]string{"-e", p.so}, args...)
	}
	cmd := exec.CommandContext(ctx, b.fluentBit, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CA_BUNDLE="+s.caFile, "SSL_CERT_FILE="+s.caFile)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return f, err
	}
	if c.shape == "trickle" {
		err = trickle(ctx, dir)
		time.Sleep(2 * time.Second) // for the last lines to be read
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	if waitErr := cmd.Wait(); err == nil && waitErr != nil {
		err = fmt.Errorf("%w\n%s", waitErr, log.String())
	}
	f.Wall = time.Since(start).Seconds()
	t, sinkErr := s.stop()
	if err == nil {
		err = sinkErr
	}
	if err != nil {
		return f, err
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	f.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	f.MaxRSS = float64(u.Maxrss) / 1024
	f.Requests, f.Bytes, f.Records, f.Others = t.Requests, t.Bytes, t.Records, t.Others
	if want := int64(countOf(c.shape, b.records)); p.Kind != "null" && f.Records != want {
		return f, fmt.Errorf("%s %s (%v) delivered %d of %d records\n%s", p.Kind, p.service, c, f.Records, want, log.String())
	}
	return f, nil
}

// input is the [INPUT] for a shape.
func (b *benchmark) input(shape, dir string) (string, error) {
	const tail = "[INPUT]\n    Name tail\n    Path %s\n    Parser json\n    Tag kube.*\n    Read_from_Head true\n    Mem_Buf_Limit 64MB\n    Buffer_Chunk_Size 256k\n    Buffer_Max_Size 1M\n"
	if shape == "trickle" {
		return fmt.Sprintf(tail, filepath.Join(dir, "pod-*.log")) + "    Refresh_Interval 1\n", nil
	}
	path := filepath.Join(b.dir, shape+".log")
	if err := writeInput(path, shape, countOf(shape, b.records)); err != nil {
		return "", err
	}
	return fmt.Sprintf(tail, path) + "    Exit_On_Eof true\n", nil
}
