package awsx

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// What a Digest has is the hash of the body, or it says that it has none.
func TestDigest(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), DigestPiece)
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
	add(DigestPiece - 1)
	has("too little", DigestPiece-1, false)
	add(DigestPiece)
	has("just enough", DigestPiece, true)
	has("just enough, again", DigestPiece, false)
	add(DigestPiece, DigestPiece+1, 3*DigestPiece, 3*DigestPiece+5)
	has("pieces", 3*DigestPiece+7, true)
	add(2*DigestPiece, 3*DigestPiece)
	d.Changed()
	d.Add(text[:5*DigestPiece])
	has("changed", 5*DigestPiece, false)
	add(10)
	d.Changed() // what has not been hashed may change
	d.Add(text[:DigestPiece])
	has("changed before", DigestPiece, true)
}

// It is to cost nothing where bodies are small, and hash none of them twice.
func TestDigestIsLazy(t *testing.T) {
	var d Digest
	d.Reset()
	d.Add(make([]byte, DigestPiece-1))
	if d.hash != nil {
		t.Error("there is a hash of too little")
	}
	d.Add(make([]byte, DigestPiece))
	of := d.hash
	d.Reset()
	d.Add(make([]byte, DigestPiece))
	if d.hash != of {
		t.Error("another body has another hash, and not the same one reset")
	}
	d.Add(make([]byte, 2*DigestPiece-1))
	if d.n != DigestPiece {
		t.Errorf("%d bytes are hashed, want %d", d.n, DigestPiece)
	}
}
