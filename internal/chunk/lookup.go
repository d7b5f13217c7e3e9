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
		if i, ok = findKey(body, i, name); !ok {
			return nil, false
		}
	}
	end, bad := skip(body, i)
	if bad != "" {
		return nil, false
	}
	return body[i:end:end], true
}

// findKey returns the place of the value under name in the map at i.
func findKey(b []byte, i int, name string) (value int, ok bool) {
	i, n := mapHeader(b, i)
	for ; n > 0; n-- {
		var bad string
		start, h := i, 1
		if i < len(b) && b[i]&0xe0 == 0xa0 { // fixstr, as nearly all keys are
			i = min(i+1+int(b[i]&0x1f), len(b))
		} else if i, bad = skip(b, i); bad != "" {
			return 0, false
		} else {
			h = stringHeader(b[start])
		}
		if h > 0 && string(b[start+h:i]) == name {
			return i, true
		}
		if i, bad = skip(b, i); bad != "" {
			return 0, false
		}
	}
	return 0, false
}

// mapHeader returns the place of the first key and the number of entries of the
// map at i, or -1 if there is no map there, or not even all of its header.
func mapHeader(b []byte, i int) (next, n int) {
	if i < len(b) {
		c := b[i]
		switch {
		case c&0xf0 == 0x80:
			return i + 1, int(c & 0x0f)
		case c == 0xde && len(b)-i >= 3:
			return i + 3, int(binary.BigEndian.Uint16(b[i+1:]))
		case c == 0xdf && len(b)-i >= 5:
			return i + 5, int(binary.BigEndian.Uint32(b[i+1:]))
		}
	}
	return i, -1
}

// stringHeader returns how many bytes come before the content of the string, other
// than a fixstr, or binary that begins with c, or 0 if something else does.
func stringHeader(c byte) int {
	switch c {
	case 0xd9, 0xc4:
		return 2
	case 0xda, 0xc5:
		return 3
	case 0xdb, 0xc6:
		return 5
	}
	return 0
}
