//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The built-in host makes the same records of the container logs as Fluent
// Bit's tail input and kubernetes filter do.
func TestNodeIsLikeFluentBit(t *testing.T) {
	program, err := exec.LookPath("fluent-bit")
	if err != nil {
		t.Skip("SKIP: no fluent-bit on the PATH")
	}
	root, lines, places := sampleNode(t)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("fluent-bit.conf")
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(text), "\n[OUTPUT]\n")
	if !ok {
		t.Fatal("fluent-bit.conf has no [OUTPUT]")
	}
	conf := filepath.Join(root, "stdout.conf")
	if err := os.WriteFile(conf, []byte(head+"\n[OUTPUT]\n    Name file\n    Match *\n    File out\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-c", conf)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second
	cmd.Dir, cmd.Env = root, append(os.Environ(), "DEMO_DIR="+here)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for ctx.Err() == nil && bytes.Count(out, []byte("\n")) < len(lines) {
		time.Sleep(50 * time.Millisecond)
		out, _ = os.ReadFile(filepath.Join(root, "out")) // not there at first
	}
	cancel()
	_ = cmd.Wait() // ended by our signal

	theirs := make(map[string]map[string]any)
	for l := range bytes.Lines(out) {
		// tag: [seconds.nanoseconds, {record}]
		at, record, ok := strings.Cut(strings.TrimSuffix(string(l[bytes.Index(l, []byte(": ["))+3:]), "]\n"), ", ")
		var r map[string]any
		if err := json.Unmarshal([]byte(record), &r); err != nil || !ok {
			t.Fatalf("%v: %s", err, l)
		}
		r["at"] = at[:len(at)-6] // milliseconds
		theirs[key(r)] = r
	}
	if len(theirs) != len(lines) {
		t.Fatalf("fluent-bit made %d records of %d lines; its log:\n%s", len(theirs), len(lines), log.String())
	}
	for _, p := range places {
		for _, a := range p.records {
			var ours map[string]any
			if err := json.Unmarshal([]byte(a.text), &ours); err != nil {
				t.Fatal(err)
			}
			ours["at"] = fmt.Sprintf("%d.%03d", a.at.Unix(), a.at.UnixMilli()%1000)
			if !reflect.DeepEqual(ours, theirs[key(ours)]) {
				t.Errorf("ours   %v\ntheirs %v", ours, theirs[key(ours)])
			}
		}
	}
}

// key tells a record from all others, as line.id does.
func key(r map[string]any) string {
	k, _ := r["kubernetes"].(map[string]any)
	return fmt.Sprint(k["docker_id"], " ", r["time"])
}
