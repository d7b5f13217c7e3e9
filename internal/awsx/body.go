package awsx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
)

var errDetached = errors.New("the request body was taken back")

// Body is the ready body of a request. It does not copy the bytes: they belong
// to the caller, who must leave them alone from the call to Detach.
//
// Why Detach: net/http's Transport, which makes what goes through a proxy, may still
// read a request's body after it has returned an error. It promises only to stop
// once it has closed the body. After Detach no reader of an earlier attempt gets
// another byte, so the caller may write into the buffer again.
//
// One Body serves one call at a time.
type Body struct {
	mu   sync.Mutex
	data []byte
	at   int  // where the SDK's own reading stands
	cut  bool // by Detach; Seek makes it readable again
	turn int  // counts attempts: a reader of an earlier one gets no more
	sent int  // bytes of this attempt the transport has taken
	hash string

	again int // times that httpClient made the request of a call anew
}

// NewBody returns a Body of data.
func NewBody(data []byte) *Body { return &Body{data: data} }

// Reset detaches the Body and gives it new bytes.
func (b *Body) Reset(data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detach()
	b.data = data
	b.at = 0
	b.cut = false
	b.hash = ""
}

// Detach ends all reading of the present attempt. The same bytes may be sent
// again; when they have been changed, call Reset first.
func (b *Body) Detach() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detach()
}

func (b *Body) detach() {
	b.turn++
	b.cut = true
}

// Len returns the bytes that are still to be read, as bytes.Reader does: it is
// where the SDK takes the Content-Length from.
func (b *Body) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.data) - b.at
}

// Read is for a client that does not know about Body's own readers.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut {
		return 0, errDetached
	}
	if b.at >= len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.at:])
	b.at += n
	b.sent = b.at
	return n, nil
}

// Seek starts another reading.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += int64(b.at)
	case io.SeekEnd:
		offset += int64(len(b.data))
	}
	if offset < 0 || offset > int64(len(b.data)) {
		return 0, errors.New("cannot seek outside the request body")
	}
	if whence != io.SeekCurrent {
		b.cut = false
	}
	b.at = int(offset)
	return offset, nil
}

// rewind makes the Body ready for a call.
func (b *Body) rewind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	b.at = 0
	b.sent = 0
	b.again = 0
	b.cut = false
}

// open starts an attempt: the only reader that gets bytes from now on.
func (b *Body) open() *bodyReader {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	b.sent = 0
	return &bodyReader{body: b, turn: b.turn}
}

// whole says whether the transport has taken every byte in this attempt. If
// not, the service cannot have got them all, so it cannot have done anything:
// the signature covers the hash of the whole body.
func (b *Body) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent >= len(b.data)
}

// resent notes that the request is made anew though something of it was written.
func (b *Body) resent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again++
}

// Resent returns how many requests the last call took beyond one: those of which
// a part had left when their connection ended, so that they surely did nothing.
func (b *Body) Resent() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.again
}

// Hashed tells the SHA-256 of the bytes to who would otherwise compute it. With
// another one than theirs the service refuses the request.
func (b *Body) Hashed(sum [sha256.Size]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hashed(sum)
}

func (b *Body) hashed(sum [sha256.Size]byte) {
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	b.hash = string(text[:])
}

// sha256 returns the hash of the bytes in hexadecimal, computed once until Reset.
func (b *Body) sha256() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hash == "" {
		b.hashed(sha256.Sum256(b.data))
	}
	return b.hash
}

// bodyReader reads a Body for one attempt.
type bodyReader struct {
	body *Body
	turn int
	at   int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turn != r.turn {
		return 0, errDetached
	}
	if r.at >= len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[r.at:])
	r.at += n
	b.sent = r.at
	return n, nil
}

func (r *bodyReader) Close() error {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turn == r.turn {
		b.turn++
	}
	return nil
}

// rest returns what is left, where it lies. Who writes it calls took.
func (r *bodyReader) rest() ([]byte, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turn != r.turn {
		return nil, errDetached
	}
	return b.data[r.at:], nil
}

// took notes that n bytes of the rest were written; of a write that failed before
// them n is negative. It returns how many they are.
func (r *bodyReader) took(n int) int64 {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	n = max(n, 0)
	r.at += n
	b.sent = r.at
	return int64(n)
}
