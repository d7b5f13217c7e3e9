package delivery

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/options"
)

// Each of these is a change of one character in the code that no other test had
// noticed.
func TestEdges(t *testing.T) {
	if got := Done.String(); got != "done" {
		t.Errorf("the first action is called %q", got)
	}
	// A bit behind the last record, in another word than the first.
	settled := make([]byte, 16)
	settled[100/8] = 1 << (100 % 8)
	dir := t.TempDir()
	d, got := open(t, "out.0", config{"ledger_path", dir})
	write(t, d.carry.file(), fmt.Sprintf(`{"chunks":[{"tag":"a","size":300,"sum":1,"records":70,"settled":%q,"kept":"2026-01-02T03:04:05Z"}]}`,
		base64.StdEncoding.EncodeToString(settled)))
	flush(d, chunkOf("a", 300), 70, all)
	want(t, d, In, 70, Sent, 70)
	if line, ok := got.find("cannot take over a ledger"); !ok {
		t.Errorf("logged %q, want a warning", line)
	}

	// And the last record's bit alone is as good as any.
	dir = t.TempDir()
	d, got = open(t, "out.0", config{"ledger_path", dir})
	write(t, d.carry.file(), `{"chunks":[{"tag":"a","size":30,"sum":1,"records":10,"settled":"AAI=","kept":"2026-01-02T03:04:05Z"}]}`)
	flush(d, chunkOf("b", 30), 10, all)
	if line, ok := got.find("cannot take over a ledger"); ok {
		t.Error(line)
	}
	want(t, d, In, 10+9, Sent, 10, Abandoned, 9) // its time was over long ago

	// What another configuration of the same output has left is taken away at the
	// end, and what is another output's is not.
	own := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(d.carry.file()), "out.0-"), ".ledger")
	stale, others := filepath.Join(dir, "out.0-"+strings.Repeat("x", len(own))+".ledger"), filepath.Join(dir, "out.0-second-"+own+".ledger")
	alsoStale := filepath.Join(dir, "out.0-"+strings.Repeat("y", len(own))+".ledger")
	write(t, stale, "{}")
	write(t, alsoStale, "{}")
	write(t, others, "{}")
	d.Close()
	for _, file := range []string{stale, alsoStale} {
		if _, err := os.Stat(file); err == nil {
			t.Errorf("the file of another configuration is still there: %s", file)
		}
	}
	if _, err := os.Stat(others); err != nil {
		t.Errorf("the file of another output: %v", err)
	}

	t.Setenv(failFastEnv, "90s")
	s := options.New(func(string) string { return "" })
	New(Env{Name: "o.0"}, s)
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}
