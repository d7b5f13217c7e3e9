package records

import (
	"crypto/sha256"
	"hash"
)

// digest is the SHA-256 of a batch's body, for the signature, made piece by piece
// while the body is being written: a full one is no longer in the processor's
// nearest cache when it has its end.
type digest struct {
	hash hash.Hash
	n    int // bytes of the body that are in it; -1: they have changed since, or its end is in it
}

// digestPiece is how many bytes are hashed at a time.
const digestPiece = 16 << 10

func (d *digest) reset() {
	if d.n != 0 {
		d.hash.Reset()
	}
	d.n = 0
}

// changed has the body hashed anew when it is sent.
func (d *digest) changed() {
	if d.n > 0 {
		d.n = -1
	}
}

// add hashes what is there of a body, if it is enough.
func (d *digest) add(body []byte) {
	if d.n < 0 || len(body)-d.n < digestPiece {
		return
	}
	if d.hash == nil {
		d.hash = sha256.New()
	}
	d.hash.Write(body[d.n:])
	d.n = len(body)
}

// sum returns the hash of the whole body, or false where there is none yet.
func (d *digest) sum(body []byte) (sum [sha256.Size]byte, ok bool) {
	if d.n <= 0 {
		return sum, false
	}
	d.hash.Write(body[d.n:])
	d.n = -1
	d.hash.Sum(sum[:0])
	return sum, true
}
