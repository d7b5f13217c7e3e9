package jsonenc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// slack is how much more room than the bytes still to come quoted needs: whole
// words of 8 bytes are written, and blocks of 32, escapes are such words too, and
// the quotation marks come on top.
const slack = 40

// quoted writes s as a string, in the form that e.q and e.mark ask for. s may
// be the end of dst.
func (e *encoder) quoted(dst, s []byte) []byte {
	j := len(dst)
	dst = room(dst, len(s)+slack)
	e.extra += 2 * e.q
	dst[j] = '\\' // stays only if q is 1
	j += e.q
	dst[j] = '"' // stays only if mark is 1
	j += e.mark
	if len(s) >= blockBytes {
		dst, j, s = e.blocks(dst, j, s, 0)
	}
	k := copyPlain(dst[j:], s, 0)
	j += k
	if k < len(s) {
		dst = e.escaped(dst[:j], s[k:])
		j = len(dst)
		dst = room(dst, slack)
	}
	dst[j] = '\\'
	j += e.q
	dst[j] = '"'
	j += e.mark
	return dst[:j]
}

// escaped is quoted from the first byte on that cannot just be copied, without
// quotation marks. It copies words as copyPlain does. Where it meets a byte to
// be escaped, the bytes before it stay, the escape is written over the rest of
// the word, and the copy goes on behind that byte.
func (e *encoder) escaped(dst, s []byte) []byte {
	table := &escapes[e.q]
	i, j, extra := 0, len(dst), 0
	dst = dst[:cap(dst)] // quoted has made room
	for i < len(s) {
		var w, m uint64
		if i <= len(s)-8 {
			w = binary.LittleEndian.Uint64(s[i : i+8 : i+8])
			m = special(w)
		} else {
			w = partWord(s, i)
			m = special(w) & (1<<(8*(len(s)-i)) - 1)
		}
		binary.LittleEndian.PutUint64(dst[j:j+8:j+8], w)
		if m == 0 {
			i += 8
			j += 8
			continue
		}
		k := bits.TrailingZeros64(m) / 8
		i += k
		j += k
		c := s[i]
		if c >= utf8.RuneSelf {
			e.extra += extra
			return e.unicode(dst[:j], s[i:])
		}
		esc := table[c]
		binary.LittleEndian.PutUint64(dst[j:j+8:j+8], esc)
		j += int(esc >> 56 & 0xf)
		extra += int(esc >> 60)
		i++
		if len(dst)-j < len(s)-i+slack {
			dst = room(dst[:j], len(s)-i+slack)
		}
	}
	e.extra += extra
	return dst[:j-(i-len(s))]
}

// unicode writes s, which begins with a byte that is not ASCII, without
// quotation marks.
func (e *encoder) unicode(dst, s []byte) []byte {
	pass := uint64(0)
	if utf8.Valid(s) {
		pass = highBits
	}
	for len(s) > 0 {
		j := len(dst)
		dst = room(dst, len(s)+slack)
		if len(s) >= blockBytes {
			dst, j, s = e.blocks(dst, j, s, pass)
		}
		k := copyPlain(dst[j:], s, pass)
		j += k
		if s = s[k:]; len(s) > 0 {
			if c := s[0]; c < utf8.RuneSelf {
				j += e.escape(dst[j:], c)
				s = s[1:]
			} else {
				r, size := utf8.DecodeRune(s) // U+FFFD for an invalid byte
				j += utf8.EncodeRune(dst[j:], r)
				s = s[size:]
			}
		}
		dst = dst[:j]
	}
	return dst
}

// escape writes the escape for c and returns its length.
func (e *encoder) escape(dst []byte, c byte) int {
	esc := escapes[e.q][c&0x7f]
	binary.LittleEndian.PutUint64(dst, esc)
	e.extra += int(esc >> 60)
	return int(esc >> 56 & 0xf)
}

// copyPlain copies s to dst up to the first byte that has to be looked at: one
// that a JSON string cannot hold as it is, or that is not ASCII, unless pass is
// highBits. It returns how many bytes come before that. dst must have room for
// s and 8 bytes more; what is written behind the bytes that count has no
// meaning.
//
// It takes 8 bytes at a time, and copies before it looks; blocks, where it can be
// had, takes 32. The slices with three indexes are there for the compiler,
// which then knows that most of them are within bounds.
func copyPlain(dst, s []byte, pass uint64) int {
	dst = dst[:len(s)+8]
	i := 0
	for ; i <= len(s)-8; i += 8 {
		w := binary.LittleEndian.Uint64(s[i : i+8 : i+8])
		binary.LittleEndian.PutUint64(dst[i:i+8:i+8], w)
		if m := special(w) &^ (w & pass); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	if i == len(s) {
		return i
	}
	w := partWord(s, i)
	binary.LittleEndian.PutUint64(dst[i:i+8:i+8], w)
	if m := special(w) &^ (w & pass) & (1<<(8*(len(s)-i)) - 1); m != 0 {
		return i + bits.TrailingZeros64(m)/8
	}
	return len(s)
}

// partWord returns the last bytes of s, from i on, as the low end of a word.
// There are fewer than 8; what the rest of the word holds is left open.
func partWord(s []byte, i int) uint64 {
	if i+8 <= cap(s) {
		// What follows s is in the same buffer, and may as well be read.
		return binary.LittleEndian.Uint64(s[i : i+8])
	}
	var w uint64
	for j, c := range s[i:] {
		w |= uint64(c) << (8 * j)
	}
	return w
}

// room returns dst with n bytes of capacity behind its length, and all of its
// capacity as its length.
func room(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		dst = grow(dst, n)
	}
	return dst[:cap(dst)]
}

// grow is apart from room so that room is inlined without it.
//
//go:noinline
func grow(dst []byte, n int) []byte { return slices.Grow(dst, n) }

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special returns a word whose lowest bit that is set is the high bit of the
// first byte of w that is a control character, a quotation mark, a backslash,
// or not ASCII. Bits above that one may be set for no reason.
//
// In each byte, a subtraction sets the high bit if the byte is ASCII and below
// what is subtracted. What it borrows then can only spoil bytes above. The
// control characters and the quotation mark take one subtraction together:
// XOR with 2 makes the quotation mark 0x20, moves the space out of the way to
// 0x22, and keeps the control characters among themselves.
func special(w uint64) uint64 {
	control := (w ^ 2*lowBits) - '!'*lowBits
	backslash := (w ^ '\\'*lowBits) - lowBits
	return (control | backslash | w) & highBits
}

// escapes has what is written for the ASCII bytes that need an escape, as a
// word to be stored in little endian order. Its high byte has the number of
// bytes to keep, and in the upper four bits how many of them are extra (see
// encoder). The first index is encoder.q.
var escapes = makeEscapes()

func makeEscapes() (t [2][utf8.RuneSelf]uint64) {
	const hex = "0123456789abcdef"
	short := map[byte]byte{'"': '"', '\\': '\\', '\n': 'n', '\r': 'r', '\t': 't', '\b': 'b', '\f': 'f'}
	for c := range byte(utf8.RuneSelf) {
		once := []byte{'\\', 'u', '0', '0', hex[c>>4], hex[c&15]}
		if s, ok := short[c]; ok {
			once = []byte{'\\', s}
		} else if c >= ' ' {
			continue
		}
		twice := bytes.ReplaceAll(once, []byte(`\`), []byte(`\\`))
		twice = bytes.ReplaceAll(twice, []byte(`"`), []byte(`\"`))
		// In the plain form, the message is the text that was quoted, and this
		// byte one of its bytes. Else it is the JSON text, with its escapes.
		t[0][c] = pack(once, 1)
		t[1][c] = pack(twice, len(once))
	}
	return t
}

// pack makes an entry of escapes: text is written for what counts as this
// many bytes of the message.
func pack(text []byte, counted int) uint64 {
	var w [8]byte
	copy(w[:], text)
	w[7] = byte(len(text) | (len(text)-counted)<<4)
	return binary.LittleEndian.Uint64(w[:])
}

// quoteTail replaces what is in dst from at on by that text as a string.
func (e *encoder) quoteTail(dst []byte, at int) []byte {
	n := len(dst)
	if e.replace {
		dst = e.dotted(dst, dst[at:])
	} else {
		dst = e.quoted(dst, dst[at:])
	}
	return moveDown(dst, at, n)
}

// moveDown takes the bytes between at and n out of dst.
func moveDown(dst []byte, at, n int) []byte {
	return append(dst[:at], dst[n:]...)
}
