package fields

import (
	"encoding/binary"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// Filter makes records of records: only with some keys, or without some. It does
// not change and may be used by several goroutines. A nil Filter changes nothing.
type Filter struct {
	keep, drop node // nil: all is kept, nothing is dropped
}

// node is the keys of a map that are meant. An empty one stands for all of a
// value.
type node map[string]node

// ParseFilter reads two options: keys to keep, and keys to leave out of what is
// kept. It returns nil if neither is set. Paths through arrays are refused.
func ParseFilter(s *options.Set, keep, drop string) *Filter {
	f := &Filter{keep: tree(s, keep), drop: tree(s, drop)}
	if f.keep == nil && f.drop == nil {
		return nil
	}
	return f
}

// Without returns the filter that leaves out these keys, each with the keys of the
// maps that lead to it.
func Without(keys ...[]string) *Filter {
	root := node{}
	for _, k := range keys {
		root.add(k)
	}
	return &Filter{drop: root}
}

func tree(s *options.Set, option string) (root node) {
	if option == "" {
		return nil
	}
	l := ParseList(s, option)
	for _, p := range l.paths {
		keys, ok := p.Keys()
		if !ok {
			s.Fail(option, l.text, "keys of maps, not elements of arrays")
			return nil
		}
		if root == nil {
			root = node{}
		}
		root.add(keys)
	}
	return root
}

// add notes that what the keys lead to is meant, with all that is in it.
func (n node) add(keys []string) {
	for i, key := range keys {
		next, known := n[key]
		switch {
		case known && len(next) == 0:
			return // a whole that this is a part of
		case i == len(keys)-1:
			n[key] = node{}
			return
		case !known:
			next = node{}
			n[key] = next
		}
		n = next
	}
}

// Append appends body, one msgpack value, with the keys that are to be there. If
// it is no map, or broken, it comes as it is. It allocates only for dst to grow.
func (f *Filter) Append(dst, body []byte) []byte {
	start := len(dst)
	out, rest, ok := appendMap(dst, body, f.keep, f.drop)
	if !ok || len(rest) > 0 {
		return append(out[:start], body...)
	}
	return out
}

// appendMap appends the map at the start of b. keep nil keeps all, drop nil drops
// nothing. ok is false if there is no whole map.
func appendMap(dst, b []byte, keep, drop node) (out, rest []byte, ok bool) {
	n, b, ok := mapHeader(b)
	if !ok {
		return dst, nil, false
	}
	at := len(dst)
	dst = append(dst, 0xdf, 0, 0, 0, 0) // their number is known at the end
	kept := uint32(0)
	for ; n > 0; n-- {
		entry := len(dst)
		value, err := chunk.Skip(b)
		if err != nil {
			return dst, nil, false
		}
		key := b[:len(b)-len(value)]
		dst = append(dst, key...)
		var count bool
		if dst, b, count, ok = appendEntry(dst, key, value, keep, drop); !ok {
			return dst, nil, false
		}
		if count {
			kept++
		} else {
			dst = dst[:entry]
		}
	}
	binary.BigEndian.PutUint32(dst[at+1:], kept)
	return dst, b, true
}

// appendEntry appends the value of a key that is written already. kept says
// whether the two are to be there.
func appendEntry(dst, key, value []byte, keep, drop node) (out, rest []byte, kept, ok bool) {
	rest, err := chunk.Skip(value)
	if err != nil {
		return dst, nil, false, false
	}
	name, isText := text(key)
	var keepIn, dropIn node
	if keep != nil {
		in, known := keep[string(name)]
		if !known || !isText {
			return dst, rest, false, true
		}
		if len(in) > 0 {
			keepIn = in
		}
	}
	if in, known := drop[string(name)]; known && isText {
		if len(in) == 0 {
			return dst, rest, false, true
		}
		dropIn = in
	}
	whole := value[:len(value)-len(rest)]
	if _, _, isMap := mapHeader(whole); !isMap || keepIn == nil && dropIn == nil {
		// What is to be kept of a value that is no map is not there.
		return append(dst, whole...), rest, keepIn == nil, true
	}
	at := len(dst)
	if dst, _, ok = appendMap(dst, whole, keepIn, dropIn); !ok {
		return dst, nil, false, false
	}
	// Of a map of which nothing was found nothing is told; one that was emptied is.
	empty := binary.BigEndian.Uint32(dst[at+1:]) == 0
	return dst, rest, keepIn == nil || !empty, true
}

func mapHeader(b []byte) (size int, rest []byte, ok bool) {
	switch {
	case len(b) >= 1 && b[0]&0xf0 == 0x80:
		return int(b[0] & 0x0f), b[1:], true
	case len(b) >= 3 && b[0] == 0xde:
		return int(binary.BigEndian.Uint16(b[1:])), b[3:], true
	case len(b) >= 5 && b[0] == 0xdf:
		return int(binary.BigEndian.Uint32(b[1:])), b[5:], true
	}
	return 0, nil, false
}

// text returns the content of a whole string or binary.
func text(v []byte) ([]byte, bool) {
	switch c := v[0]; {
	case c&0xe0 == 0xa0:
		return v[1:], true
	case c == 0xd9 || c == 0xc4:
		return v[2:], true
	case c == 0xda || c == 0xc5:
		return v[3:], true
	case c == 0xdb || c == 0xc6:
		return v[5:], true
	}
	return nil, false
}
