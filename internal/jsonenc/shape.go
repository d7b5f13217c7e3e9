package jsonenc

import (
	"bytes"

	"aws-for-fluent-bit/internal/chunk"
)

// Shape is what the options data_keys, replace_dots and time_key of the
// Kinesis and Firehose plugins ask of a record. A nil or empty Shape asks for
// nothing. It can be used from several goroutines.
type Shape struct {
	// Keys are the top-level keys to keep, in the order of the record; all if
	// there are none. They are compared before dots are replaced.
	Keys []string

	// ReplaceDots, if not nil, is written for each "." in the keys of all
	// maps, also of those in arrays. Keys that become the same are all
	// written: nothing is lost.
	ReplaceDots *string

	// TimeKey, if not empty, is a key that the record gets behind all others,
	// whatever Keys says; a key of that name in the record is left out.
	TimeKey string
}

// AppendJSON appends body, one msgpack value, as JSON in this shape. timeText
// is the value of TimeKey, as text that is not escaped. Of a body that is not
// a map only the keys of the maps within it are changed. The errors are
// ErrTooDeep and ErrBroken; then dst is returned as it was.
func (s *Shape) AppendJSON(dst, body, timeText []byte) ([]byte, error) {
	return s.append(nil, dst, body, timeText)
}

func (s *Shape) append(m *Memo, dst, body, timeText []byte) ([]byte, error) {
	if s == nil {
		s = &Shape{}
	}
	e := encoder{src: clip(body), mark: 1, memo: m}
	if s.ReplaceDots != nil {
		e.dots, e.replace = *s.ReplaceDots, true
	}
	var out []byte
	var i int
	if first, n := mapHeader(body); n >= 0 && (len(s.Keys) > 0 || s.TimeKey != "") {
		out, i = s.top(&e, dst, first, n, timeText)
	} else {
		out, i = e.value(dst, 0, 0)
	}
	if i < 0 {
		return dst, e.err
	}
	return out, nil
}

// top writes the outermost map, whose n entries begin at i.
func (s *Shape) top(e *encoder, dst []byte, i, n int, timeText []byte) ([]byte, int) {
	dst = append(dst, '{')
	first := len(dst)
	for k := range n {
		if !s.keeps(e.src[i:]) {
			for range 2 {
				rest, err := chunk.Skip(e.src[i:])
				if err != nil {
					return e.fail(dst, ErrBroken)
				}
				i = len(e.src) - len(rest)
			}
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		if dst, i = e.key(dst, i, 1); i < 0 {
			return dst, i
		}
		dst = append(dst, ':')
		if dst, i = e.entry(dst, i, k); i < 0 {
			return dst, i
		}
	}
	if s.TimeKey != "" {
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = e.quoteTail(append(dst, s.TimeKey...), len(dst))
		dst = append(dst, ':')
		dst = e.quoted(dst, clip(timeText))
	}
	return append(dst, '}'), i
}

// keeps tells whether the entry whose key is at the start of v is written.
func (s *Shape) keeps(v []byte) bool {
	start, end := text(v)
	if start == 0 || end > len(v) { // no text, or an error that is found later
		return len(s.Keys) == 0
	}
	name := v[start:end]
	if s.TimeKey != "" && string(name) == s.TimeKey {
		return false
	}
	for _, key := range s.Keys {
		if key == string(name) {
			return true
		}
	}
	return len(s.Keys) == 0
}

// dotted writes s as a key, with its dots replaced. s may be the end of dst.
func (e *encoder) dotted(dst, s []byte) []byte {
	dot := bytes.IndexByte(s, '.')
	if dot < 0 {
		return e.quoted(dst, s)
	}
	at := len(dst)
	for dot >= 0 {
		dst = append(dst, s[:dot]...)
		dst = append(dst, e.dots...)
		s = s[dot+1:]
		dot = bytes.IndexByte(s, '.')
	}
	dst = append(dst, s...)
	return moveDown(e.quoted(dst, dst[at:]), at, len(dst))
}

// mapHeader returns where the first entry of the map v is and how many it has,
// or -1 if v is no map, or not even its header is there.
func mapHeader(v []byte) (first, n int) {
	if len(v) > 0 {
		c := v[0]
		if c&0xf0 == 0x80 {
			return 1, int(c & 0x0f)
		}
		if c == 0xde || c == 0xdf {
			e := encoder{src: v}
			if n, next := e.number(0); next > 0 {
				return next, int(n)
			}
		}
	}
	return 0, -1
}
