package digest

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"sync"
)

// Pairs says whether AddPair hashes two bodies in little more time than one. Of the
// processor's instructions for SHA-256 each waits for the one before, so that there
// is time for those of another body between them (BenchmarkPair).
func Pairs() bool { return pairs() }

// It is not used where Go is to use nothing but its own validated module, and not
// before it has been seen to come to what that does.
var pairs = sync.OnceValue(func() bool { return hasBlocks2() && !fips140.Enabled() && agrees(blocks2) })

// AddPair is Add for two bodies of which each has its Digest, as far as they both
// go; Pairs must be true. What one of them has more is hashed by its Add or its Sum.
func AddPair(d *Digest, body []byte, e *Digest, other []byte) {
	if d.n < 0 || e.n < 0 {
		return
	}
	blocks := min(len(body)-d.n, len(other)-e.n) / sha256.BlockSize
	if blocks < Piece/sha256.BlockSize {
		return
	}
	addBlocks(blocks2, d, body, e, other, blocks)
}

// twoStates is what blocks2 is.
type twoStates func(a, b *[8]uint32, p, q *byte, n int)

// addBlocks has so many blocks more of two bodies in their hashes.
func addBlocks(f twoStates, d *Digest, body []byte, e *Digest, other []byte, blocks int) {
	d.take()
	e.take()
	f(&d.state, &e.state, &body[d.n], &other[e.n], blocks)
	d.give(blocks)
	e.give(blocks)
}

// The state of crypto/sha256's hash, as its AppendBinary writes it: four bytes that
// say what it is, the state, what there is of a block, and the number of bytes.
const (
	stateAt  = 4
	lengthAt = stateAt + sha256.Size + sha256.BlockSize
	stateLen = lengthAt + 8
)

// take has the hash's state in d.state.
func (d *Digest) take() {
	d.open()
	d.text, _ = d.hash.(encoding.BinaryAppender).AppendBinary(d.text[:0])
	for i := range d.state {
		d.state[i] = binary.BigEndian.Uint32(d.text[stateAt+4*i:])
	}
}

// give has the hash go on with d.state, after so many blocks more.
func (d *Digest) give(blocks int) {
	for i, word := range d.state {
		binary.BigEndian.PutUint32(d.text[stateAt+4*i:], word)
	}
	d.n += blocks * sha256.BlockSize
	binary.BigEndian.PutUint64(d.text[lengthAt:], uint64(d.n))
	_ = d.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(d.text)
}

// agrees says whether two hashes can be taken over, and given back with what comes
// to the same as with crypto/sha256 alone.
func agrees(f twoStates) bool {
	one, two := bytes.Repeat([]byte("one body"), 30), bytes.Repeat([]byte("and the other"), 20) // three blocks and more
	hash := sha256.New()
	hash.Write(one[:sha256.BlockSize])
	text, err := hash.(encoding.BinaryAppender).AppendBinary(nil)
	if err != nil || len(text) != stateLen {
		return false
	}
	d, e := Digest{hash: hash, n: sha256.BlockSize}, Digest{}
	addBlocks(f, &d, one, &e, two, 2)
	same := func(d *Digest, text []byte) bool {
		want := sha256.Sum256(text)
		got, ok := d.Sum(text)
		return ok && bytes.Equal(got[:], want[:])
	}
	return same(&d, one) && same(&e, two)
}
