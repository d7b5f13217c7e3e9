//go:build !race

package records

import (
	"testing"
	"unsafe"
)

// TestBodyHasRoom: a body is not copied while it grows, gives its memory back when
// told to, and one that has outgrown its room is not kept.
func TestBodyHasRoom(t *testing.T) {
	b := newBatch(asJSON)
	if cap(b.body) != maxPooled {
		t.Fatalf("room for %d, want %d", cap(b.body), maxPooled)
	}
	at := unsafe.SliceData(b.body)
	data := make([]byte, 10_000)
	for b.tryAdd(Limits{Records: 500, Bytes: 4 << 20}, data, nil, nil) {
	}
	if b.request(); unsafe.SliceData(b.body) != at || len(b.body) < 4<<20 {
		t.Errorf("the body of %d bytes has moved", len(b.body))
	}
	b.body = append(b.body, make([]byte, maxPooled)...)
	b.Free()
	if b = newBatch(asJSON); unsafe.SliceData(b.body) != at || cap(b.body) != maxPooled {
		t.Errorf("the next body has %d bytes, or is another one", cap(b.body))
	}
	if b.buffer.Empty(); string(b.body[:4]) != "\x00\x00\x00\x00" {
		t.Errorf("it still has its memory: %q", b.body[:4])
	}
}
