package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// totals are what a sink has seen.
type totals struct {
	Requests int64 // that carry records
	Bytes    int64 // of their bodies
	Wire     int64 // bytes that came in by TCP: TLS and heads too
	Records  int64
	Others   int64  // requests that carry none
	Refused  int64  // requests that no service would take
	Why      string `json:",omitempty"` // the last one was refused
	Last     int64  `json:",omitempty"` // when records were acknowledged last, in Unix nanoseconds
}

// sink is a process that plays the services over TLS: it counts the records of
// a call and accepts them all. Each run has one of its own, so that what it has
// counted is of one plugin.
type sink struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	addr   string
	caFile string
}

// startSink starts a sink whose certificate's CA is written to a file in dir.
// latency is milliseconds from a request to its answer.
func startSink(dir string, latency int) (*sink, error) {
	s := &sink{caFile: dir + "/ca.pem"}
	s.cmd = exec.Command(os.Args[0], "sink", s.caFile, strconv.Itoa(latency))
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(out)
	if s.addr, err = r.ReadString('\n'); err != nil {
		s.kill()
		return nil, fmt.Errorf("cannot start the sink: %w", err)
	}
	s.addr = strings.TrimSpace(s.addr)
	s.out = json.NewDecoder(r)
	return s, nil
}

// now asks the sink what it has seen so far.
func (s *sink) now() (t totals, err error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return t, fmt.Errorf("cannot ask the sink: %w", err)
	}
	if err := s.out.Decode(&t); err != nil {
		return t, fmt.Errorf("cannot read the sink's answer: %w", err)
	}
	return t, nil
}

// stop ends the sink and returns what it saw.
func (s *sink) stop() (t totals, err error) {
	s.in.Close()
	if err := s.out.Decode(&t); err != nil {
		return t, fmt.Errorf("cannot read the sink's answer: %w", err)
	}
	return t, s.cmd.Wait()
}

// kill ends a sink that has not been stopped.
func (s *sink) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}
