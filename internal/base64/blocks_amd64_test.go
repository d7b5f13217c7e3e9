package base64

import (
	"testing"

	"golang.org/x/sys/cpu"
)

// All but what makes no whole group is encoded fast, from the first block on.
func TestBlocks(t *testing.T) {
	if !cpu.X86.HasAVX2 {
		t.Skip("SKIP: this processor has no AVX2")
	}
	for n := range 300 {
		want := n - n%3
		if want < blockBytes {
			want = 0
		}
		if got := blocks(make([]byte, EncodedLen(n)), make([]byte, n)); got != want {
			t.Errorf("of %d bytes %d are encoded, want %d", n, got, want)
		}
	}
}

// Too little room is a panic, and nothing is written.
func TestBlocksNeedRoom(t *testing.T) {
	if !cpu.X86.HasAVX2 {
		t.Skip("SKIP: this processor has no AVX2")
	}
	src := make([]byte, 2*blockBytes)
	blocks(make([]byte, 64), src)
	func() {
		dst := make([]byte, 64)
		defer func() {
			if recover() == nil || dst[0] != 0 {
				t.Errorf("no panic, or written: %q", dst)
			}
		}()
		blocks(dst[:63], src)
	}()
}
