package chunk

import "encoding/binary"

// Lookup finds a value in nested maps: path {"kubernetes", "labels"} is the
// value of "labels" in the map that is the value of "kubernetes" in body. An
// empty path is body itself. Keys match as strings or as binary. Of duplicate
// keys the first counts, also when the rest of the path leads nowhere in it.
//
// The value aliases body and is exactly one msgpack value. It is not found if
// something on the way is not a map, or if body is broken before its end.
func Lookup(body []byte, path []string) (value []byte, ok bool) {
	i := 0
	for _, name := range path {
		if i = findKey(body, i, name); i < 0 {
			return nil, false
		}
	}
	end, bad := skip(body, i)
	if bad != "" {
		return nil, false
	}
	return body[i:end:end], true
}

// findKey returns the place of the value under name in the map at i, or -1.
func findKey(b []byte, i int, name string) int {
	i, n := mapHeader(b, i)
	for ; n > 0; n-- {
		start, end := stringAt(b, i)
		if end > len(b) {
			return -1
		}
		bad := ""
		if start < 0 { // not a string: it can only be passed over
			end, bad = skip(b, i)
		} else if string(b[start:end]) == name {
			return end
		}
		if bad != "" {
			return -1
		}
		if i, bad = skip(b, end); bad != "" {
			return -1
		}
	}
	return -1
}

// mapHeader returns the place of the first key and the number of entries of
// the map at i, or -1 if there is none.
func mapHeader(b []byte, i int) (next, n int) {
	if i >= len(b) {
		return i, -1
	}
	c := b[i]
	switch {
	case c&0xf0 == 0x80:
		return i + 1, int(c & 0x0f)
	case c == 0xde && len(b)-i >= 3:
		return i + 3, int(binary.BigEndian.Uint16(b[i+1:]))
	case c == 0xdf && len(b)-i >= 5:
		return i + 5, int(binary.BigEndian.Uint32(b[i+1:]))
	}
	return i, -1
}

// stringAt returns where the content of the string or binary at i begins and
// ends; start is -1 if something else is there. The end may be behind that of
// b, if the value is cut off.
func stringAt(b []byte, i int) (start, end int) {
	if i >= len(b) {
		return -1, i
	}
	c := b[i]
	switch {
	case c&0xe0 == 0xa0: // fixstr
		return i + 1, i + 1 + int(c&0x1f)
	case (c == 0xd9 || c == 0xc4) && len(b)-i >= 2:
		return i + 2, i + 2 + int(b[i+1])
	case (c == 0xda || c == 0xc5) && len(b)-i >= 3:
		return i + 3, i + 3 + int(binary.BigEndian.Uint16(b[i+1:]))
	case (c == 0xdb || c == 0xc6) && len(b)-i >= 5:
		return i + 5, i + 5 + int(binary.BigEndian.Uint32(b[i+1:]))
	}
	return -1, i
}
