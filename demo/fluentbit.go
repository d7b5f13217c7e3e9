package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// grace is how long fluent-bit may take to end; its own grace is 10 s.
const grace = 30 * time.Second

// runFluentBit ships the logs below root with the real fluent-bit, until all
// has arrived or ctx ends. It returns fluent-bit's log.
func runFluentBit(ctx context.Context, program string, s setup, arrived func() bool) (string, error) {
	var args []string
	for _, d := range destinations {
		args = append(args, "-e", s.loader(d.plugin))
	}
	logFile := filepath.Join(s.root, "fluent-bit.log")
	log, err := os.Create(logFile)
	if err != nil {
		return "", err
	}
	defer log.Close()

	cmd := exec.Command(program, append(args, "-c", filepath.Join(s.demo, "fluent-bit.conf"))...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.root, log, log
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("cannot start %s: %w", program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	err = nil
	early := false
wait:
	for !arrived() {
		select {
		case err = <-ended:
			early = true
			break wait
		case <-ctx.Done():
			break wait
		case <-time.After(50 * time.Millisecond):
		}
	}
	if !early {
		err = stop(cmd, ended)
	}
	text, readErr := os.ReadFile(logFile)
	switch {
	case early:
		err = fmt.Errorf("fluent-bit ended before everything had arrived (%v); see %s", cmd.ProcessState, logFile)
	case err != nil:
		err = fmt.Errorf("fluent-bit did not end as it should: %w; see %s", err, logFile)
	default:
		err = readErr
	}
	return string(text), err
}

// stop asks the process to end, and makes it end if it does not.
func stop(cmd *exec.Cmd, ended <-chan error) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(grace):
		_ = cmd.Process.Kill() // it may end in this moment
		return fmt.Errorf("it had to be killed: %w", <-ended)
	}
}

// version asks fluent-bit for its version.
func version(program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "fluent-bit of an unknown version"
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	return strings.TrimSpace(string(line))
}
