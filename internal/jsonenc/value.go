package jsonenc

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

const (
	// maxDepth is how many containers may be inside each other.
	maxDepth = 128

	// keyDepth is what a key that is no string counts as towards maxDepth.
	// Such a key is JSON text within a string, and each level of that doubles
	// the backslashes of the ones within, so there must be few.
	keyDepth = 32
)

// encoder is what stays the same, or adds up, while one value is written.
// Its methods take the text written so far and the place in src where to go
// on, and return both; a place below 0 means that err is set.
type encoder struct {
	src []byte
	err error

	// The form of the text. q is the number of backslashes before a quotation
	// mark of the JSON text: 1 if the text is to stand in a JSON string
	// itself, else 0. mark is the number of quotation marks on either side of
	// a string: 0 to write its content alone.
	q, mark int

	// extra counts the bytes written only because of the JSON string around
	// the text: they are not part of the message.
	extra int

	// dots is written for every "." of a key, if replace is set.
	dots    string
	replace bool

	memo *Memo // of the values in the outermost map, or nil
}

func (e *encoder) fail(dst []byte, err error) ([]byte, int) {
	e.err = err
	return dst, -1
}

// value writes the value at i, which has depth containers around it.
func (e *encoder) value(dst []byte, i, depth int) ([]byte, int) {
	if i >= len(e.src) {
		return e.fail(dst, ErrBroken)
	}
	c := e.src[i]
	switch {
	case c <= 0x7f: // positive fixint
		return strconv.AppendUint(dst, uint64(c), 10), i + 1
	case c >= 0xe0: // negative fixint
		return strconv.AppendInt(dst, int64(int8(c)), 10), i + 1
	case c >= 0xa0 && c <= 0xbf: // fixstr
		return e.str(dst, i+1, int(c&0x1f))
	case c <= 0x8f: // fixmap
		return e.entries(dst, i+1, int(c&0x0f), depth)
	case c <= 0x9f: // fixarray
		return e.elements(dst, i+1, int(c&0x0f), depth)
	}
	switch c {
	case 0xc0:
		return append(dst, "null"...), i + 1
	case 0xc2:
		return append(dst, "false"...), i + 1
	case 0xc3:
		return append(dst, "true"...), i + 1
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // fixext 1, 2, 4, 8, 16
		return e.ext(dst, i+1, 1<<(c-0xd4))
	case 0xc1:
		return e.fail(dst, ErrBroken)
	}

	// The rest has a number of 1, 2, 4 or 8 bytes behind the lead byte.
	n, next := e.number(i)
	if next < 0 {
		return e.fail(dst, ErrBroken)
	}
	switch c {
	case 0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6: // str, bin
		return e.str(dst, next, int(n))
	case 0xde, 0xdf:
		return e.entries(dst, next, int(n), depth)
	case 0xdc, 0xdd:
		return e.elements(dst, next, int(n), depth)
	case 0xc7, 0xc8, 0xc9:
		return e.ext(dst, next, int(n))
	case 0xcc, 0xcd, 0xce, 0xcf: // uint
		return strconv.AppendUint(dst, n, 10), next
	case 0xd0:
		return strconv.AppendInt(dst, int64(int8(n)), 10), next
	case 0xd1:
		return strconv.AppendInt(dst, int64(int16(n)), 10), next
	case 0xd2:
		return strconv.AppendInt(dst, int64(int32(n)), 10), next
	case 0xd3:
		return strconv.AppendInt(dst, int64(n), 10), next
	case 0xca:
		return appendFloat(dst, float64(math.Float32frombits(uint32(n))), 32), next
	default: // 0xcb
		return appendFloat(dst, math.Float64frombits(n), 64), next
	}
}

// number reads the big endian number behind the lead byte at i, which is one
// of those that have one, and returns the place behind it, or -1.
func (e *encoder) number(i int) (n uint64, next int) {
	b := e.src[i+1:]
	switch e.src[i] {
	case 0xc4, 0xc7, 0xcc, 0xd0, 0xd9:
		if len(b) >= 1 {
			return uint64(b[0]), i + 2
		}
	case 0xc5, 0xc8, 0xcd, 0xd1, 0xda, 0xdc, 0xde:
		if len(b) >= 2 {
			return uint64(binary.BigEndian.Uint16(b)), i + 3
		}
	case 0xc6, 0xc9, 0xca, 0xce, 0xd2, 0xdb, 0xdd, 0xdf:
		if len(b) >= 4 {
			return uint64(binary.BigEndian.Uint32(b)), i + 5
		}
	default: // 0xcb, 0xcf, 0xd3
		if len(b) >= 8 {
			return binary.BigEndian.Uint64(b), i + 9
		}
	}
	return 0, -1
}

// entries writes a map of n entries, the first of which is at i.
func (e *encoder) entries(dst []byte, i, n, depth int) ([]byte, int) {
	if depth >= maxDepth {
		return e.fail(dst, ErrTooDeep)
	}
	dst = append(dst, '{')
	for k := 0; k < n; k++ {
		if k > 0 {
			dst = append(dst, ',')
		}
		if dst, i = e.key(dst, i, depth+1); i < 0 {
			return dst, i
		}
		dst = append(dst, ':')
		if depth == 0 {
			dst, i = e.entry(dst, i, k)
		} else {
			dst, i = e.value(dst, i, depth+1)
		}
		if i < 0 {
			return dst, i
		}
	}
	return append(dst, '}'), i
}

// elements writes an array of n elements, the first of which is at i.
func (e *encoder) elements(dst []byte, i, n, depth int) ([]byte, int) {
	if depth >= maxDepth {
		return e.fail(dst, ErrTooDeep)
	}
	dst = append(dst, '[')
	for k := 0; k < n; k++ {
		if k > 0 {
			dst = append(dst, ',')
		}
		if dst, i = e.value(dst, i, depth+1); i < 0 {
			return dst, i
		}
	}
	return append(dst, ']'), i
}

// key writes the value at i as the key of a map.
func (e *encoder) key(dst []byte, i, depth int) ([]byte, int) {
	if i < len(e.src) && !e.replace {
		c := e.src[i]
		if c&0xe0 == 0xa0 {
			return e.str(dst, i+1, int(c&0x1f))
		}
	}
	return e.oddKey(dst, i, depth)
}

// oddKey is key for all cases. What is not a string becomes one: its JSON
// text.
func (e *encoder) oddKey(dst []byte, i, depth int) ([]byte, int) {
	if start, end := text(e.src[i:]); start > 0 {
		start, end = i+start, i+end
		if end > len(e.src) {
			return e.fail(dst, ErrBroken)
		}
		if e.replace {
			return e.dotted(dst, e.src[start:end]), end
		}
		return e.str(dst, start, end-start)
	}

	at := len(dst)
	plain := encoder{src: e.src, mark: 1}
	dst, i = plain.value(dst, i, depth+keyDepth)
	if i < 0 {
		return e.fail(dst, plain.err)
	}
	return e.quoteTail(dst, at), i
}

// str writes the string whose n bytes are at i.
func (e *encoder) str(dst []byte, i, n int) ([]byte, int) {
	if n > len(e.src)-i {
		return e.fail(dst, ErrBroken)
	}
	return e.quoted(dst, e.src[i:i+n]), i + n
}

// ext writes the extension whose type byte is at i, followed by n bytes.
func (e *encoder) ext(dst []byte, i, n int) ([]byte, int) {
	if n >= len(e.src)-i {
		return e.fail(dst, ErrBroken)
	}
	typ := int8(e.src[i])
	data := e.src[i+1 : i+1+n]
	if typ == 0 && n == 8 {
		sec := binary.BigEndian.Uint32(data)
		nsec := binary.BigEndian.Uint32(data[4:])
		if nsec < 1e9 { // a time as Fluent Bit writes it
			dst = strconv.AppendUint(dst, uint64(sec), 10)
			dst = append(dst, '.')
			at := len(dst)
			dst = strconv.AppendUint(dst, 1e9+uint64(nsec), 10) // all 9 digits, behind a 1
			copy(dst[at:], dst[at+1:])
			return dst[:len(dst)-1], i + 1 + n
		}
	}
	dst = e.syntax(dst, `{"type":`)
	dst = strconv.AppendInt(dst, int64(typ), 10)
	dst = e.syntax(dst, `,"data":"`)
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return e.syntax(dst, `"}`), i + 1 + n
}

// syntax writes a piece of JSON text in the form that is asked for.
func (e *encoder) syntax(dst []byte, s string) []byte {
	for _, c := range []byte(s) {
		if c == '"' && e.q > 0 {
			dst = append(dst, '\\')
			e.extra++
		}
		dst = append(dst, c)
	}
	return dst
}

// appendFloat writes f in the shortest form that reads back as the same number
// of this many bits, as ECMAScript and encoding/json do it: with an exponent
// only where it is long otherwise, and without needless zeros in it.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < small[bits/64] || abs >= large[bits/64]) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	if n := len(dst); format == 'e' && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 to e-9
		dst = dst[:n-1]
	}
	return dst
}

// From where on appendFloat writes an exponent, for 32 and 64 bits. The
// boundary must be rounded to the same number of bits as the value.
var (
	small = [2]float64{float64(float32(1e-6)), 1e-6}
	large = [2]float64{float64(float32(1e21)), 1e21}
)

// text returns where the content of the string or binary at the start of v
// begins and ends; start is 0 if v begins with something else. end may be
// behind the end of v.
func text(v []byte) (start, end int) {
	if len(v) == 0 {
		return 0, 0
	}
	switch c := v[0]; {
	case c&0xe0 == 0xa0: // fixstr
		return 1, 1 + int(c&0x1f)
	case c == 0xd9 || c == 0xc4:
		if len(v) < 2 {
			break
		}
		return 2, 2 + int(v[1])
	case c == 0xda || c == 0xc5:
		if len(v) < 3 {
			break
		}
		return 3, 3 + int(binary.BigEndian.Uint16(v[1:]))
	case c == 0xdb || c == 0xc6:
		if len(v) < 5 {
			break
		}
		return 5, 5 + int(binary.BigEndian.Uint32(v[1:]))
	}
	return 0, 0
}
