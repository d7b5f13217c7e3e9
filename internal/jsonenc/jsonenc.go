package jsonenc

import (
	"errors"
	"unicode/utf8"
)

// Why a value cannot be written. Only the record it is in is lost.
var (
	// ErrTooDeep is returned for a value with more than 128 containers inside
	// each other. Fluent Bit itself stops at 32 (msgpack-c,
	// MSGPACK_EMBED_STACK_SIZE), so no honest record comes near.
	ErrTooDeep = errors.New("cannot write record as JSON: more than 128 maps and arrays inside each other")

	// ErrBroken is returned for bytes that are not msgpack or end within a
	// value. The bodies that package chunk returns are never broken.
	ErrBroken = errors.New("cannot write record as JSON: broken msgpack")
)

// AppendJSON appends the first msgpack value of v to dst as JSON text and
// returns what follows the value. The errors are ErrTooDeep and ErrBroken;
// then out is dst and rest is v.
func AppendJSON(dst, v []byte) (out, rest []byte, err error) {
	return (*Memo)(nil).AppendJSON(dst, v)
}

// AppendEscaped is AppendJSON, but the JSON text is already escaped to stand
// inside of a JSON string, without that string's quotes. size is the number of
// bytes of the text itself, that is without this escaping: what CloudWatch
// Logs counts of a message.
func AppendEscaped(dst, v []byte) (out []byte, size int, rest []byte, err error) {
	return (*Memo)(nil).AppendEscaped(dst, v)
}

// AppendText appends the first msgpack value of v: a string or binary as it is,
// save that invalid UTF-8 is repaired, and everything else like AppendJSON.
func AppendText(dst, v []byte) (out, rest []byte, err error) {
	start, end := text(v)
	if start == 0 {
		return AppendJSON(dst, v)
	}
	if end > len(v) {
		return dst, v, ErrBroken
	}
	return appendRepaired(dst, v[start:end]), v[end:], nil
}

// AppendTextEscaped is AppendText, but escaped to stand inside of a JSON
// string. size is the number of bytes without this escaping.
func AppendTextEscaped(dst, v []byte) (out []byte, size int, rest []byte, err error) {
	start, end := text(v)
	if start == 0 {
		return AppendEscaped(dst, v)
	}
	if end > len(v) {
		return dst, 0, v, ErrBroken
	}
	e := encoder{} // no quotation marks
	out = e.quoted(dst, clip(v)[start:end])
	return out, len(out) - len(dst) - e.extra, v[end:], nil
}

// AppendQuoted appends s as a JSON string with its quotation marks.
func AppendQuoted[T string | []byte](dst []byte, s T) []byte {
	e := encoder{mark: 1}
	return e.quoteTail(append(dst, s...), len(dst))
}

// appendRepaired appends s with each byte that is not UTF-8 replaced by
// U+FFFD.
func appendRepaired(dst, s []byte) []byte {
	if utf8.Valid(s) {
		return append(dst, s...)
	}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, r) // an invalid byte is decoded as U+FFFD
		s = s[n:]
	}
	return dst
}

// clip takes away the capacity behind v: what is there may belong to others,
// and partWord must not read it.
func clip(v []byte) []byte { return v[:len(v):len(v)] }
