package jsonenc

import (
	"bytes"
	"unicode/utf8"
)

// CutText returns the length of the longest prefix of text that has at most
// limit bytes and does not end within a UTF-8 character.
func CutText(text []byte, limit int) int {
	if limit = max(limit, 0); len(text) <= limit {
		return len(text)
	}
	// A character that the cut would split begins at most three bytes before.
	for i := limit; i >= 0 && i > limit-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if _, size := utf8.DecodeRune(text[i:]); i+size > limit {
				return i
			}
			break
		}
	}
	return limit
}

// CutEscaped returns the length of the longest prefix of escaped, which is the
// inside of a JSON string, that stands for at most limit bytes of text, and how
// many it stands for. The prefix ends neither within an escape such as \" or
// \u001b nor within a UTF-8 character.
//
// In JSON text that was escaped, the two bytes \\ stand for one byte of the
// text: it may be cut behind them, which leaves half of the text's own escape.
// A text that is cut is no longer JSON in any case.
func CutEscaped(escaped []byte, limit int) (n, size int) {
	for {
		// Up to the next backslash every byte stands for itself.
		plain := bytes.IndexByte(escaped[n:], '\\')
		if plain < 0 {
			plain = len(escaped) - n
		}
		if plain > 0 {
			k := CutText(escaped[n:n+plain], limit-size)
			n += k
			size += k
			if k < plain {
				return n, size
			}
			continue
		}
		length, stands := escapeAt(escaped[n:])
		if length == 0 || size+stands > limit { // the end is no escape either
			return n, size
		}
		n += length
		size += stands
	}
}

// CutInside returns the length of the longest prefix of escaped, which is the
// inside of a JSON string, that has at most limit bytes and ends neither within
// an escape nor within a UTF-8 character.
func CutInside(escaped []byte, limit int) (n int) {
	for {
		plain := bytes.IndexByte(escaped[n:], '\\')
		if plain < 0 || n+plain > limit {
			return n + CutText(escaped[n:], limit-n)
		}
		n += plain
		length, _ := escapeAt(escaped[n:])
		if length == 0 || n+length > limit {
			return n
		}
		n += length
	}
}

// escapeAt tells how long the escape at the start of s is, and for how many
// bytes of UTF-8 it stands. The length is 0 if the escape is not all there.
func escapeAt(s []byte) (length, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	if s[1] != 'u' {
		return 2, 1
	}
	r, ok := hex4(s[2:])
	if !ok {
		return 0, 0
	}
	// Two escapes that make up one character stay together.
	if r >= 0xd800 && r < 0xdc00 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low, ok := hex4(s[8:]); ok && low >= 0xdc00 && low < 0xe000 {
			return 12, 4
		}
	}
	return 6, len(string(r)) // half of a pair reads as U+FFFD
}

// hex4 reads four hexadecimal digits.
func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
