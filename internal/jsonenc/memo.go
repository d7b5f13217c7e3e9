package jsonenc

import "bytes"

// Memo remembers the maps and arrays within the last record, by their place in
// it, and their text: what the kubernetes filter adds to a record is the same in
// all of a chunk, and most of its bytes. Where the same bytes come again, so
// does the text, at the cost of a comparison and a copy instead of an encoding.
//
// The zero value is ready for use, by one goroutine at a time, and a nil one
// remembers nothing. It keeps copies, so what it has seen may go away.
type Memo struct {
	q      int    // the form of the texts; see encoder
	shape  *Shape // and what changed their keys
	values [8]remembered
}

type remembered struct {
	src, text []byte
	extra     int // see encoder
	misses    int // since the last time it was of use
}

const (
	minRemembered = 32       // bytes of msgpack for which comparing is worth it
	maxRemembered = 32 << 10 // and for which keeping copies is
)

// AppendJSON is the function AppendJSON.
func (m *Memo) AppendJSON(dst, v []byte) (out, rest []byte, err error) {
	e := encoder{src: clip(v), mark: 1, memo: m.of(0, nil)}
	out, i := e.value(dst, 0, 0)
	if i < 0 {
		return dst, v, e.err
	}
	return out, v[i:], nil
}

// AppendEscaped is the function AppendEscaped.
func (m *Memo) AppendEscaped(dst, v []byte) (out []byte, size int, rest []byte, err error) {
	e := encoder{src: clip(v), mark: 1, q: 1, memo: m.of(1, nil)}
	out, i := e.value(dst, 0, 0)
	if i < 0 {
		return dst, 0, v, e.err
	}
	return out, len(out) - len(dst) - e.extra, v[i:], nil
}

// AppendShaped is Shape.AppendJSON.
func (m *Memo) AppendShaped(dst, body, timeText []byte, s *Shape) ([]byte, error) {
	return s.append(m.of(0, s), dst, body, timeText)
}

// of returns m for texts of one form, and forgets those of another.
func (m *Memo) of(q int, shape *Shape) *Memo {
	if m != nil && (m.q != q || m.shape != shape) {
		*m = Memo{q: q, shape: shape}
	}
	return m
}

// entry writes the value at i, which is that of the k-th entry of the outermost
// map.
func (e *encoder) entry(dst []byte, i, k int) ([]byte, int) {
	if e.memo == nil || i >= len(e.src) || !isContainer(e.src[i]) {
		return e.value(dst, i, 1)
	}
	r := &e.memo.values[k%len(e.memo.values)]
	if len(r.src) > 0 && bytes.HasPrefix(e.src[i:], r.src) {
		r.misses = 0
		e.extra += r.extra
		return append(dst, r.text...), i + len(r.src)
	}
	start, at, extra := i, len(dst), e.extra
	dst, i = e.value(dst, i, 1)
	if n := i - start; n < minRemembered || n > maxRemembered {
		return dst, i
	}
	r.misses++
	if r.misses > 8 && r.misses%64 != 0 {
		return dst, i // a value that is another one each time
	}
	r.src = append(r.src[:0], e.src[start:i]...)
	r.text = append(r.text[:0], dst[at:]...)
	r.extra = e.extra - extra
	return dst, i
}

// isContainer tells whether c begins a map or an array.
func isContainer(c byte) bool { return c >= 0x80 && c <= 0x9f || c >= 0xdc && c <= 0xdf }
