// Package digest has the SHA-256 of a request's body ready when the body is: for
// its signature, each byte that is sent is hashed, which costs more than anything
// else that is done with it.
package digest

import (
	"crypto/sha256"
	"hash"
)

// Digest is the SHA-256 of a body, made piece by piece while the body is being
// written: a full one is no longer in the processor's nearest cache when it has its
// end. The zero Digest is ready for use.
type Digest struct {
	hash hash.Hash
	n    int // bytes of the body that are in it, in whole blocks; -1: they have changed since, or its end is in it

	state [8]uint32 // see AddPair
	text  []byte    // the hash's state as it gives and takes it
}

// Piece is how many bytes are hashed at a time.
const Piece = 16 << 10

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
	if d.n < 0 || len(body)-d.n < Piece {
		return
	}
	d.open()
	to := len(body) - len(body)%sha256.BlockSize
	d.hash.Write(body[d.n:to])
	d.n = to
}

func (d *Digest) open() {
	if d.hash == nil {
		d.hash = sha256.New()
	}
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
