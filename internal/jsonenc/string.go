package jsonenc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// slack is how much more room than the bytes still to come quoted needs: it
// writes whole words of 8 bytes, an escape is such a word too, and the
// quotation marks come on top.
const slack = 24

// quoted writes the n bytes of src at i as a string, in the form that e.q and
// e.mark ask for.
//
// It copies 8 bytes at a time and looks at them on the way. Most words hold
// nothing that needs an escape. Where one does, the bytes before the one in
// question stay, its escape is written over the rest of the word, and the copy
// goes on behind it.
func (e *encoder) quoted(dst, src []byte, i, n int) []byte {
	end := i + n
	j := len(dst)
	dst = room(dst, n+slack)
	q, mark := e.q, e.mark
	e.extra += 2 * q
	dst[j] = '\\' // stays only if q is 1
	j += q
	dst[j] = '"' // stays only if mark is 1
	j += mark

	high := uint64(highBits) // 0 as soon as the rest is known to be UTF-8
	checked := false
	for i < end {
		k := end - i // how many bytes of w belong to the string
		var w, m uint64
		if k >= 8 {
			k = 8
			w = binary.LittleEndian.Uint64(src[i:])
			m = special(w, high)
		} else {
			w = partWord(src, i, k)
			m = special(w, high) & (1<<(8*k) - 1)
		}
		binary.LittleEndian.PutUint64(dst[j:], w)
		if m == 0 {
			i += k
			j += k
			continue
		}

		k = bits.TrailingZeros64(m) / 8
		i += k
		j += k
		if c := src[i]; c < utf8.RuneSelf {
			esc := escapes[q][c]
			binary.LittleEndian.PutUint64(dst[j:], esc)
			j += int(esc >> 56 & 0xf)
			e.extra += int(esc >> 60)
			i++
		} else {
			if !checked {
				checked = true
				if utf8.Valid(src[i:end]) {
					high = 0
					continue
				}
			}
			r, size := utf8.DecodeRune(src[i:end]) // U+FFFD for an invalid byte
			j += utf8.EncodeRune(dst[j:], r)
			i += size
		}
		dst = room(dst[:j], end-i+slack)
	}
	dst[j] = '\\'
	j += q
	dst[j] = '"'
	j += mark
	return dst[:j]
}

// room returns dst with n bytes of capacity behind its length, and all of its
// capacity as its length.
func room(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		dst = slices.Grow(dst, n)
	}
	return dst[:cap(dst)]
}

// partWord returns the k bytes of src at i, fewer than 8, as the low end of a
// word. What the rest of the word holds is left open.
func partWord(src []byte, i, k int) uint64 {
	if i+8 <= len(src) {
		return binary.LittleEndian.Uint64(src[i:])
	}
	if end := i + k; end >= 8 {
		return binary.LittleEndian.Uint64(src[end-8:]) >> (8 * (8 - k))
	}
	var w uint64
	for j := range k {
		w |= uint64(src[i+j]) << (8 * j)
	}
	return w
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special returns a word whose lowest bit that is set is the high bit of the
// first byte of w that a JSON string cannot hold as it is: a quotation mark, a
// backslash or a control character, and with high as highBits also a byte
// that is not ASCII. Higher bits of the result may be wrong.
//
// Per byte: subtracting sets the high bit if the byte was below the
// subtrahend. What it borrows can only spoil the bytes above.
func special(w, high uint64) uint64 {
	control := w - ' '*lowBits
	quote := (w ^ '"'*lowBits) - lowBits
	backslash := (w ^ '\\'*lowBits) - lowBits
	return ((control|quote|backslash)&^w | w&high) & highBits
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
		t[0][c] = escape(once, 1)
		t[1][c] = escape(twice, len(once))
	}
	return t
}

// escape packs an entry of escapes: text is written for what counts as this
// many bytes of the message.
func escape(text []byte, counted int) uint64 {
	var w [8]byte
	copy(w[:], text)
	w[7] = byte(len(text) | (len(text)-counted)<<4)
	return binary.LittleEndian.Uint64(w[:])
}

// quoteTail replaces what is in dst from at on by that text as a string.
func (e *encoder) quoteTail(dst []byte, at int) []byte {
	n := len(dst)
	if e.replace {
		dst = e.dotted(dst, dst, at, n)
	} else {
		dst = e.quoted(dst, dst, at, n-at)
	}
	copy(dst[at:], dst[n:])
	return dst[:len(dst)-(n-at)]
}
