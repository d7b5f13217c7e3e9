package digest

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// What a Digest has is the hash of the body, or it says that it has none.
func TestDigest(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), Piece)
	var d Digest
	has := func(what string, n int, want bool) {
		t.Helper()
		sum, ok := d.Sum(text[:n])
		if ok != want || ok && sum != sha256.Sum256(text[:n]) {
			t.Errorf("%s: got %x, %v, want %x, %v", what, sum, ok, sha256.Sum256(text[:n]), want)
		}
	}
	add := func(lengths ...int) {
		d.Reset()
		for _, n := range lengths {
			d.Add(text[:n])
		}
	}
	has("nothing", 0, false)
	add(Piece - 1)
	has("too little", Piece-1, false)
	add(Piece)
	has("just enough", Piece, true)
	has("just enough, again", Piece, false)
	add(Piece, Piece+1, 3*Piece, 3*Piece+5)
	has("pieces", 3*Piece+7, true)
	add(2*Piece, 3*Piece)
	d.Changed()
	d.Add(text[:5*Piece])
	has("changed", 5*Piece, false)
	add(10)
	d.Changed() // what has not been hashed may change
	d.Add(text[:Piece])
	has("changed before", Piece, true)
}

// It is to cost nothing where bodies are small, and hash none of them twice.
func TestDigestIsLazy(t *testing.T) {
	var d Digest
	d.Reset()
	d.Add(make([]byte, Piece-1))
	if d.hash != nil {
		t.Error("there is a hash of too little")
	}
	d.Add(make([]byte, Piece))
	of := d.hash
	d.Reset()
	d.Add(make([]byte, Piece))
	if d.hash != of {
		t.Error("another body has another hash, and not the same one reset")
	}
	d.Add(make([]byte, 2*Piece-1))
	if d.n != Piece {
		t.Errorf("%d bytes are hashed, want %d", d.n, Piece)
	}
}
