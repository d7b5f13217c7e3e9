package chunk_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/jsonenc"
)

// What Fluent Bit's own inputs and filters have written, with what it means as
// other decoders read it: conformance/corpus_test.go makes both, and says how.
func TestFluentBitCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/fluentbit/*/*.msgpack")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/fluentbit/"), ".msgpack"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.Open(strings.TrimSuffix(file, ".msgpack") + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			checkCorpus(t, data, want)
		})
	}
}

func checkCorpus(t *testing.T, data []byte, want io.Reader) {
	r := chunk.NewReader(data)
	lines := bufio.NewScanner(want)
	lines.Buffer(nil, 16<<20)
	var groupMetadata, groupAttributes json.RawMessage
	events := 0
	for lines.Scan() {
		var line struct {
			Time           string
			Metadata, Body json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		switch line.Time {
		case "group":
			groupMetadata, groupAttributes = line.Metadata, line.Body
			continue
		case "end":
			groupMetadata, groupAttributes = nil, nil
			continue
		}
		ev, err := r.Next()
		if err != nil {
			t.Fatalf("event %d: %v", events, err)
		}
		if got := fmt.Sprintf("%d.%09d", ev.Time.Sec, ev.Time.Nsec); got != line.Time {
			t.Errorf("event %d: time %s, want %s", events, got, line.Time)
		}
		same(t, events, "metadata", ev.Metadata, line.Metadata)
		same(t, events, "body", ev.Body, line.Body)
		same(t, events, "group metadata", ev.GroupMetadata, groupMetadata)
		same(t, events, "group attributes", ev.GroupAttributes, groupAttributes)
		events++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after %d events: %v, want the end", events, err)
	}
	if events == 0 {
		t.Error("no events")
	}
}

// same compares a msgpack value, written as JSON, with a JSON text: token by
// token, so that the order of keys and keys that come twice count, and how a
// character is escaped does not.
func same(t *testing.T, event int, what string, value []byte, want json.RawMessage) {
	t.Helper()
	if (value == nil) != (want == nil) {
		t.Errorf("event %d: %s %q, want %s", event, what, value, want)
		return
	}
	if value == nil {
		return
	}
	text, rest, err := jsonenc.AppendJSON(nil, value)
	if err != nil || len(rest) > 0 {
		t.Errorf("event %d: %s: %d bytes left, %v", event, what, len(rest), err)
		return
	}
	got, expected := json.NewDecoder(bytes.NewReader(text)), json.NewDecoder(bytes.NewReader(want))
	got.UseNumber()
	expected.UseNumber()
	for {
		a, errA := got.Token()
		b, errB := expected.Token()
		if errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF) {
			return
		}
		if errA != nil || errB != nil || a != b {
			t.Errorf("event %d: %s: got %v, %v, want %v, %v\n%s\n%s", event, what, a, errA, b, errB, text, want)
			return
		}
	}
}
