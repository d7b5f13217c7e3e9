// Package fields says what of a record is sent: the values of some keys, and
// records without some of theirs. Options name keys in any of three ways:
//
//	log                          a key at the top of the record
//	kubernetes->pod_name         keys of nested maps, as AWS's Go plugins have it
//	$kubernetes['labels'][0]     Fluent Bit's record accessor (src/record_accessor/ra.l)
package fields

import (
	"encoding/binary"
	"strconv"
	"strings"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// Allowed says how keys are named, for the message about one that is not.
const Allowed = "a key, keys of nested maps as kubernetes->pod_name, or a record accessor as $kubernetes['pod_name']"

// maxIndex bounds the element of an array that can be asked for.
const maxIndex = 9999

// Path leads to a value in a record.
type Path struct {
	steps []step
}

// step goes along keys of nested maps, or, where keys is nil, to an element of
// an array.
type step struct {
	keys  []string
	index int
}

// Keys returns the keys of nested maps that the path consists of; ok is false if
// it goes through an array.
func (p Path) Keys() (keys []string, ok bool) {
	if len(p.steps) != 1 || p.steps[0].keys == nil {
		return nil, false
	}
	return p.steps[0].keys, true
}

// Parse reads a path.
func Parse(text string) (p Path, ok bool) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "$") {
		return parseAccessor(text[1:])
	}
	for key := range strings.SplitSeq(text, "->") {
		if key = strings.TrimSpace(key); key == "" {
			return Path{}, false
		}
		p.addKey(key)
	}
	return p, true
}

func (p *Path) addKey(key string) {
	if n := len(p.steps); n > 0 && p.steps[n-1].keys != nil {
		p.steps[n-1].keys = append(p.steps[n-1].keys, key)
		return
	}
	p.steps = append(p.steps, step{keys: []string{key}})
}

// parseAccessor reads what stands behind the "$". Quotation marks may be single
// or double; a single one within single ones is written twice.
func parseAccessor(text string) (p Path, ok bool) {
	n := 0
	for n < len(text) && isNameByte(text[n], n == 0) {
		n++
	}
	if n == 0 {
		return Path{}, false
	}
	p.addKey(text[:n])
	for rest := text[n:]; rest != ""; {
		inner, ok := strings.CutPrefix(rest, "[")
		if !ok {
			return Path{}, false
		}
		if key, after, ok := quoted(inner); ok {
			p.addKey(key)
			rest = after
			continue
		}
		digits, after, ok := strings.Cut(inner, "]")
		index, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || index > maxIndex {
			return Path{}, false
		}
		p.steps = append(p.steps, step{index: int(index)})
		rest = after
	}
	return p, true
}

// quoted reads 'key'] or "key"].
func quoted(text string) (key, rest string, ok bool) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		return "", "", false
	}
	mark := text[0]
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != mark:
		case mark == '\'' && strings.HasPrefix(text[i+1:], "'"):
			i++
		default:
			key = strings.ReplaceAll(text[1:i], "''", "'")
			if mark == '"' {
				key = text[1:i]
			}
			rest, ok = strings.CutPrefix(text[i+1:], "]")
			return key, rest, ok && key != ""
		}
	}
	return "", "", false
}

func isNameByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		return true
	case c >= '0' && c <= '9', c == '-', c == '.', c == '/':
		return !first
	}
	return false
}

// Find returns the value that the path leads to. It aliases body and is one
// msgpack value. It does not allocate.
func (p Path) Find(body []byte) (value []byte, ok bool) {
	value = body
	for i := range p.steps {
		if s := &p.steps[i]; s.keys != nil {
			value, ok = chunk.Lookup(value, s.keys)
		} else {
			value, ok = element(value, s.index)
		}
		if !ok {
			return nil, false
		}
	}
	return value, len(p.steps) > 0
}

// element returns the n-th element of an array.
func element(array []byte, n int) ([]byte, bool) {
	size, rest, ok := arrayHeader(array)
	if !ok || n >= size {
		return nil, false
	}
	for {
		after, err := chunk.Skip(rest)
		if err != nil {
			return nil, false
		}
		if n == 0 {
			return rest[: len(rest)-len(after) : len(rest)-len(after)], true
		}
		n--
		rest = after
	}
}

func arrayHeader(b []byte) (size int, rest []byte, ok bool) {
	switch {
	case len(b) >= 1 && b[0]&0xf0 == 0x90:
		return int(b[0] & 0x0f), b[1:], true
	case len(b) >= 3 && b[0] == 0xdc:
		return int(binary.BigEndian.Uint16(b[1:])), b[3:], true
	case len(b) >= 5 && b[0] == 0xdd:
		return int(binary.BigEndian.Uint32(b[1:])), b[5:], true
	}
	return 0, nil, false
}

// List are paths, of which the first that a record has counts.
type List struct {
	text  string
	paths []Path
}

// ParseList reads an option with paths between commas; a comma within quotation
// marks is part of a key.
func ParseList(s *options.Set, option string) List {
	text, _ := s.Lookup(option)
	l := List{text: text}
	for _, part := range split(text) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		p, ok := Parse(part)
		if !ok {
			s.Fail(option, part, Allowed)
			continue
		}
		l.paths = append(l.paths, p)
	}
	return l
}

// split cuts a text at its commas, save those in ['...'].
func split(text string) (parts []string) {
	start, mark := 0, byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case mark == 0 && c == ',':
			parts = append(parts, text[start:i])
			start = i + 1
		case mark == 0 && (c == '\'' || c == '"') && i > 0 && text[i-1] == '[':
			mark = c
		case c == mark && strings.HasPrefix(text[i+1:], "]"):
			mark = 0
		}
	}
	return append(parts, text[start:])
}

// Empty says whether there are no paths.
func (l List) Empty() bool { return len(l.paths) == 0 }

// String returns the option's text.
func (l List) String() string { return l.text }

// Find returns the value of the first path that leads to one, as Path.Find.
func (l List) Find(body []byte) (value []byte, ok bool) {
	for i := range l.paths {
		if value, ok = l.paths[i].Find(body); ok {
			return value, true
		}
	}
	return nil, false
}
