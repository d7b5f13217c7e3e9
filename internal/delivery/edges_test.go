package delivery

import (
	"encoding/base64"
	"fmt"
	"testing"
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
}
