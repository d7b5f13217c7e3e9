package awsx

import (
	"crypto/sha256"
	"hash"
)

// Digest is the SHA-256 of a request's body, for its signature, made piece by piece
// while the body is being written: a full one is no longer in the processor's
// nearest cache when it has its end. The zero Digest is ready for use.
type Digest struct {
	hash hash.Hash
	n    int // bytes of the body that are in it; -1: they have changed since, or its end is in it
}

// DigestPiece is how many bytes are hashed at a time.
const DigestPiece = 16 << 10

// Reset makes the Digest ready for another body.
func (d *Digest) Reset() {
	if d.n != 0 {
		d.hash.Reset()
	}
	d.n = 0
}

// Changed says that what was written before may have changed. There is no hash of
// this body any more then, but for what was too little to be hashed yet.
func (d *Digest) Changed() {
	if d.n > 0 {
		d.n = -1
	}
}

// Add hashes what is there of a body, if it is enough. Its bytes are to stay as
// they are.
func (d *Digest) Add(body []byte) {
	if d.n < 0 || len(body)-d.n < DigestPiece {
		return
	}
	if d.hash == nil {
		d.hash = sha256.New()
	}
	d.hash.Write(body[d.n:])
	d.n = len(body)
}

// Sum returns the hash of the whole body, or false where there is none: for a small
// body, one that has changed, and one whose hash was returned before.
func (d *Digest) Sum(body []byte) (sum [sha256.Size]byte, ok bool) {
	if d.n <= 0 {
		return sum, false
	}
	d.hash.Write(body[d.n:])
	d.n = -1
	d.hash.Sum(sum[:0])
	return sum, true
}
