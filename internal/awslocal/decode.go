package awslocal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// decode reads a request body into v, a pointer to a struct of the request's
// members. It is stricter than encoding/json alone, which mends or ignores what
// would hide a client's mistake: invalid UTF-8 and lone surrogates are errors
// here, and so are duplicate members, members in the wrong case and members
// that the operation does not have.
func decode(body []byte, v any) error {
	if !utf8.Valid(body) {
		return errors.New("the request is not valid UTF-8")
	}
	err := json.Unmarshal(body, v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return err
	}
	w := walker{data: body}
	if err := w.value(reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	return err // a value of the wrong type, or nil
}

// walker goes over JSON text that is known to be valid.
type walker struct {
	data []byte
	pos  int
}

// value checks one value. t is what it will be decoded into, nil if anything goes.
func (w *walker) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	w.space()
	switch w.data[w.pos] {
	case '{':
		return w.object(t)
	case '[':
		return w.array(t)
	case '"':
		_, err := w.str()
		return err
	}
	for w.pos < len(w.data) && strings.IndexByte(",]} \t\r\n", w.data[w.pos]) < 0 {
		w.pos++
	}
	return nil
}

func (w *walker) array(t reflect.Type) error {
	var elem reflect.Type
	if t != nil && t.Kind() == reflect.Slice && t != rawMessage {
		elem = t.Elem()
	}
	w.pos++
	for w.space(); w.data[w.pos] != ']'; w.space() {
		if err := w.value(elem); err != nil {
			return err
		}
		if w.space(); w.data[w.pos] == ',' {
			w.pos++
		}
	}
	w.pos++
	return nil
}

func (w *walker) object(t reflect.Type) error {
	var names map[string]member
	var elem reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		names = membersOf(t)
	} else if t != nil && t.Kind() == reflect.Map {
		elem = t.Elem()
	}
	var seen uint64              // members of a struct, by index
	var seenKeys map[string]bool // keys of anything else
	w.pos++
	for w.space(); w.data[w.pos] != '}'; w.space() {
		raw, err := w.str()
		if err != nil {
			return err
		}
		child := elem
		if names != nil {
			m, ok := names[string(raw)]
			if !ok {
				return fmt.Errorf("unknown member %q", unquote(raw))
			}
			if seen&(1<<m.index) != 0 {
				return fmt.Errorf("duplicate member %q", raw)
			}
			seen |= 1 << m.index
			child = m.typ
		} else {
			key := unquote(raw)
			if seenKeys[key] {
				return fmt.Errorf("duplicate member %q", key)
			}
			if seenKeys == nil {
				seenKeys = make(map[string]bool)
			}
			seenKeys[key] = true
		}
		w.space()
		w.pos++ // the colon
		if err := w.value(child); err != nil {
			return err
		}
		if w.space(); w.data[w.pos] == ',' {
			w.pos++
		}
	}
	w.pos++
	return nil
}

// str passes over a string and returns what is between its quotes.
func (w *walker) str() ([]byte, error) {
	w.pos++
	start := w.pos
	quote := w.nextQuote()
	for {
		escape := bytes.IndexByte(w.data[w.pos:quote], '\\')
		if escape < 0 {
			w.pos = quote + 1
			return w.data[start:quote], nil
		}
		w.pos += escape
		if w.data[w.pos+1] != 'u' {
			w.pos += 2
		} else if err := w.escapedRune(); err != nil {
			return nil, err
		}
		if quote < w.pos { // it was an escaped one
			quote = w.nextQuote()
		}
	}
}

func (w *walker) nextQuote() int { return w.pos + bytes.IndexByte(w.data[w.pos:], '"') }

// escapedRune passes over a \u escape, or the two of a surrogate pair.
func (w *walker) escapedRune() error {
	r := w.hex4(w.pos + 2)
	at := w.pos
	w.pos += 6
	switch {
	case r < 0xD800 || r > 0xDFFF:
		return nil
	case r < 0xDC00 && bytes.HasPrefix(w.data[w.pos:], []byte(`\u`)):
		if low := w.hex4(w.pos + 2); low >= 0xDC00 && low <= 0xDFFF {
			w.pos += 6
			return nil
		}
	}
	return fmt.Errorf("lone surrogate at byte %d", at)
}

func (w *walker) hex4(at int) uint64 {
	n, _ := strconv.ParseUint(string(w.data[at:at+4]), 16, 32) // valid JSON has four hex digits here
	return n
}

func (w *walker) space() {
	for w.pos < len(w.data) {
		switch w.data[w.pos] {
		case ' ', '\t', '\r', '\n':
			w.pos++
		default:
			return
		}
	}
}

func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s string
	_ = json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &s) // known to be valid
	return s
}

type member struct {
	index uint // at most 64 members in a request
	typ   reflect.Type
}

var rawMessage = reflect.TypeOf(json.RawMessage(nil))

var memberCache sync.Map // reflect.Type to map[string]member

// membersOf returns the members of a struct by their name on the wire, which is
// that of the json tag or, without one, of the field.
func membersOf(t reflect.Type) map[string]member {
	if m, ok := memberCache.Load(t); ok {
		return m.(map[string]member)
	}
	m := make(map[string]member)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		m[name] = member{index: uint(len(m)), typ: f.Type}
	}
	memberCache.Store(t, m)
	return m
}

// blob decodes base64 as it must be: standard alphabet, padded, no line breaks,
// no stray bits. encoding/json lets the last two through.
func blob(s string) ([]byte, error) {
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return nil, errors.New("line break in base64")
	}
	return strictBase64.DecodeString(s)
}

var strictBase64 = base64.StdEncoding.Strict()
