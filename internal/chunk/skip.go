package chunk

import "encoding/binary"

// What can be wrong with msgpack, for SyntaxError.Reason.
const (
	reasonEnd   = "the data ends where a value has to begin"
	reasonShort = "the value that begins here runs past the end of the data"
	reasonByte  = "0xc1 begins no msgpack value"
)

// Skip returns what follows the first msgpack value of b. The only error is a
// *SyntaxError, with offsets counted from the start of b.
//
// It does not recurse, and a length that promises more than is there fails at
// once, so hostile bytes cost no more than their number.
func Skip(b []byte) (rest []byte, err error) {
	end, bad := skip(b, 0)
	if bad != "" {
		return nil, &SyntaxError{Offset: end, Reason: bad}
	}
	return b[end:], nil
}

// skip returns the end of the value that begins at i. If bad is not empty, it
// says what is wrong, and end is where.
func skip(b []byte, i int) (end int, bad string) {
	// pending counts the values still to come; a container adds what is in it.
	for pending := 1; pending > 0; pending-- {
		if i >= len(b) {
			return len(b), reasonEnd
		}
		start := i
		values := 0
		c := b[i]
		switch {
		case c <= 0x7f || c >= 0xe0: // fixint
			i++
			continue
		case c >= 0xa0 && c <= 0xbf: // fixstr
			i += 1 + int(c&0x1f)
		case c <= 0x8f: // fixmap
			i++
			values = 2 * int(c&0x0f)
		case c <= 0x9f: // fixarray
			i++
			values = int(c & 0x0f)
		case c == 0xc1:
			return start, reasonByte
		default:
			i, values = afterHeader(b, i)
		}
		// Every value takes a byte at least, so more than the bytes left
		// cannot be there.
		if i+values > len(b) {
			return start, reasonShort
		}
		pending += values
	}
	return i, ""
}

// afterHeader deals with the lead bytes 0xc0 to 0xdf for skip: next is the end
// of the scalar at i, or of the header of the container, which holds this many
// values. If the header itself is cut off, next is behind the end of b.
func afterHeader(b []byte, i int) (next, values int) {
	h := b[i:]
	short := i + len(h) + 1
	switch h[0] {
	case 0xc0, 0xc2, 0xc3: // nil, false, true
		return i + 1, 0
	case 0xcc, 0xd0: // 8 bits
		return i + 2, 0
	case 0xcd, 0xd1: // 16 bits
		return i + 3, 0
	case 0xce, 0xd2, 0xca: // 32 bits
		return i + 5, 0
	case 0xcf, 0xd3, 0xcb: // 64 bits
		return i + 9, 0
	case 0xd4: // fixext 1: lead byte, type, data
		return i + 3, 0
	case 0xd5:
		return i + 4, 0
	case 0xd6:
		return i + 6, 0
	case 0xd7:
		return i + 10, 0
	case 0xd8:
		return i + 18, 0
	case 0xd9, 0xc4: // str 8, bin 8
		if len(h) < 2 {
			return short, 0
		}
		return i + 2 + int(h[1]), 0
	case 0xc7: // ext 8
		if len(h) < 3 {
			return short, 0
		}
		return i + 3 + int(h[1]), 0
	}

	// What is left has a length of 16 or 32 bits.
	if len(h) < 3 {
		return short, 0
	}
	n16 := int(binary.BigEndian.Uint16(h[1:]))
	switch h[0] {
	case 0xda, 0xc5: // str 16, bin 16
		return i + 3 + n16, 0
	case 0xc8: // ext 16
		return i + 4 + n16, 0
	case 0xdc: // array 16
		return i + 3, n16
	case 0xde: // map 16
		return i + 3, 2 * n16
	}
	if len(h) < 5 {
		return short, 0
	}
	n32 := int(binary.BigEndian.Uint32(h[1:]))
	switch h[0] {
	case 0xdb, 0xc6: // str 32, bin 32
		return i + 5 + n32, 0
	case 0xc9: // ext 32
		return i + 6 + n32, 0
	case 0xdd: // array 32
		return i + 5, n32
	default: // 0xdf, map 32
		return i + 5, 2 * n32
	}
}
