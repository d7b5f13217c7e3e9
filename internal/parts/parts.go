// Package parts is about records that are larger than the service takes (option
// too_big), and parts those that are to be sent whole.
//
// Part 2 of 5 of a text, as option log_key sends it, is
//
//	[part 2 of 5 of 0123456789abcdef] the text's next bytes
//
// and of a record that is sent as JSON it is JSON too:
//
//	{"part":2,"parts":5,"id":"0123456789abcdef","text":"the next bytes of the record's JSON"}
//
// The hexadecimal number is the record's own. All parts of one number, in their
// order and without what stands before the text, or of JSON the values of text,
// are the record again, byte by byte. No part ends within a character.
package parts

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
)

// TooBig is what becomes of a record that is larger than it may be.
type TooBig int

const (
	Cut   TooBig = iota // it is cut, with a mark at its end
	Split               // it is sent in parts
	Drop                // it is given up
)

// ParseTooBig reads the option too_big.
func ParseTooBig(s *options.Set) TooBig {
	switch s.OneOf("too_big", "cut", "cut", "split", "drop") {
	case "split":
		return Split
	case "drop":
		return Drop
	}
	return Cut
}

// MinLimit is the least that a part may have: what stands around its text takes
// up to 100 bytes.
const MinLimit = 256

// ID is the number of a record: i is its index in the chunk. It is the same each
// time that the chunk comes.
func ID(ev *chunk.Event, i int) (id [16]byte) {
	var head [24]byte
	binary.LittleEndian.PutUint64(head[:], uint64(ev.Time.Sec))
	binary.LittleEndian.PutUint64(head[8:], uint64(ev.Time.Nsec))
	binary.LittleEndian.PutUint64(head[16:], uint64(i))
	h := sha256.New()
	_, _ = h.Write(head[:]) // never fails, as the next
	_, _ = h.Write(ev.Body)
	hex.Encode(id[:], h.Sum(nil)[:8])
	return id
}

// Splitter has a text that is to be sent in parts.
type Splitter struct {
	text  []byte // of JSON: as it stands within a string
	json  bool
	id    [16]byte
	ends  []int // where each part's text ends
	begin int   // of what stands before a part's text, the longest
}

// Set takes a text; isJSON says that it is JSON and its parts are to be too. It
// is copied.
func (s *Splitter) Set(text []byte, isJSON bool, id [16]byte) {
	s.json, s.id, s.ends = isJSON, id, s.ends[:0]
	if isJSON {
		s.text = jsonenc.AppendQuoted(s.text[:0], text)
		s.text = s.text[1 : len(s.text)-1]
	} else {
		s.text = append(s.text[:0], text...)
	}
	most := len(s.text) // no part is empty
	s.begin = len(s.append(nil, most, most, nil))
}

// Split has the text parted so that no part has more than limit bytes, which must
// be MinLimit or more, and returns the number of parts.
func (s *Splitter) Split(limit int) (parts int) {
	s.ends = s.ends[:0]
	for at := 0; at < len(s.text); {
		at += s.cut(s.text[at:], limit-s.begin)
		s.ends = append(s.ends, at)
	}
	return len(s.ends)
}

func (s *Splitter) cut(text []byte, limit int) int {
	if s.json {
		return jsonenc.CutInside(text, limit)
	}
	return jsonenc.CutText(text, limit)
}

// Append appends part k, from 0, as it is to be sent.
func (s *Splitter) Append(dst []byte, k int) []byte {
	from := 0
	if k > 0 {
		from = s.ends[k-1]
	}
	return s.append(dst, k+1, len(s.ends), s.text[from:s.ends[k]])
}

func (s *Splitter) append(dst []byte, number, of int, text []byte) []byte {
	if s.json {
		dst = append(dst, `{"part":`...)
		dst = strconv.AppendInt(dst, int64(number), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(of), 10)
		dst = append(append(append(dst, `,"id":"`...), s.id[:]...), `","text":"`...)
		return append(append(dst, text...), `"}`...)
	}
	dst = append(dst, "[part "...)
	dst = strconv.AppendInt(dst, int64(number), 10)
	dst = append(dst, " of "...)
	dst = strconv.AppendInt(dst, int64(of), 10)
	dst = append(append(append(dst, " of "...), s.id[:]...), "] "...)
	return append(dst, text...)
}
