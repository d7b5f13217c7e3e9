package chunk

import "bytes"

// repeats remembers the maps and arrays within the last event's body, by their
// place in it. What the kubernetes filter adds to records is the same in all of
// a chunk, and most of its bytes: where the same bytes come again the same value
// ends, and need not be walked again. They alias the chunk.
type repeats [8][]byte

// maxEntries bounds what a header alone can make us do twice.
const maxEntries = 1 << 10

// minRepeat is how many bytes a value has for which a comparison is worth it.
const minRepeat = 32

// skip is the function skip, for a body.
func (r *repeats) skip(b []byte, i int) (end int, bad string) {
	if end, ok := r.entries(b, i); ok {
		return end, ""
	}
	// Not a map, or a broken one: then this tells what is wrong and where.
	return skip(b, i)
}

func (r *repeats) entries(b []byte, i int) (end int, ok bool) {
	i, n := mapHeader(b, i)
	if n < 0 || n > maxEntries {
		return 0, false
	}
	for k := range n {
		var bad string
		if i < len(b) && b[i]&0xe0 == 0xa0 { // fixstr
			i = min(i+1+int(b[i]&0x1f), len(b)) // cut off, it has no value
		} else if i, bad = skip(b, i); bad != "" {
			return 0, false
		}
		last := &r[k%len(r)]
		if len(*last) > 0 && bytes.HasPrefix(b[i:], *last) {
			i += len(*last)
			continue
		}
		start := i
		if i, bad = skip(b, i); bad != "" {
			return 0, false
		}
		// The numbers below and above these lead bytes are too short anyway.
		if c := b[start]; i-start >= minRepeat && (c <= 0x9f || c >= 0xdc) {
			*last = b[start:i]
		}
	}
	return i, true
}
