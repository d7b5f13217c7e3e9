package chunk

import (
	"errors"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

func TestSkip(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	for _, v := range []string{
		"\x00", "\x7f", "\xe0", "\xff", "\xc0", "\xc2", "\xc3",
		"\xcc\x01", "\xcd\x01\x02", "\xce" + zeros(4), "\xcf" + zeros(8),
		"\xd0\x01", "\xd1\x01\x02", "\xd2" + zeros(4), "\xd3" + zeros(8),
		"\xca" + zeros(4), "\xcb" + zeros(8),
		"\xd4" + zeros(2), "\xd5" + zeros(3), "\xd6" + zeros(5), "\xd7" + zeros(9), "\xd8" + zeros(17),
		"\xc7\x03" + zeros(4), "\xc8\x00\x03" + zeros(4), "\xc9\x00\x00\x00\x03" + zeros(4), "\xc7\x00\x05",
		"\xa0", "\xa1a", "\xbf" + zeros(31), "\xd9\x00", "\xd9\x03abc", "\xda\x00\x03abc", "\xdb\x00\x00\x00\x03abc", "\xdb\x00\x00\x00\x00",
		"\xc4\x03abc", "\xc5\x00\x03abc", "\xc6\x00\x00\x00\x03abc",
		"\x90", "\x9f" + zeros(15), "\xdc\x00\x00", "\xdc\x00\x02\x01\x02", "\xdd\x00\x00\x00\x02\x01\x02",
		"\x80", "\x8f" + zeros(30), "\xde\x00\x00", "\xde\x00\x02" + zeros(4), "\xdf\x00\x00\x00\x02" + zeros(4),
		"\x82\xa1a\x92\x01\x81\xa1b\xc0\xa1c\x90", "\x81\x91\x01\x80",
		strings.Repeat("\x91", 1_000_000) + "\x01",
	} {
		name := v[:min(len(v), 20)]
		rest, err := Skip([]byte(v + "\xc1rest"))
		if err != nil || string(rest) != "\xc1rest" {
			t.Errorf("%q: got rest %q, %v", name, rest, err)
		}
		if rest, err := Skip([]byte(v)); err != nil || len(rest) != 0 {
			t.Errorf("%q alone: got rest %q, %v", name, rest, err)
		}
		// An independent reader agrees.
		if other, err := msgp.Skip([]byte(v + "\xc1rest")); len(v) < 1000 && (err != nil || string(other) != "\xc1rest") {
			t.Errorf("%q: msgp says rest %q, %v", name, other, err)
		}
		if len(v) > 1000 {
			continue
		}
		for n := range len(v) {
			_, err := Skip([]byte(v[:n]))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset > n || syntax.Reason == "" || syntax.Reason == reasonByte {
				t.Errorf("%q: got %v", v[:n], err)
			}
		}
	}
}

func TestSkipErrors(t *testing.T) {
	for _, tt := range []struct {
		data   string
		offset int
		reason string
	}{
		{"", 0, reasonEnd},
		{"\xc1", 0, reasonByte},
		{"\x92\x01\xc1", 2, reasonByte},
		{"\x92\x01", 0, reasonShort}, // two values cannot fit into one byte
		{"\x92\xa1a", 3, reasonEnd},
		{"\x93\x01\xa3ab", 2, reasonShort},
		{"\xdf\xff\xff\xff\xff" + strings.Repeat("\x00", 100), 0, reasonShort},
		{"\x91\xdd\xff\xff\xff\xff" + strings.Repeat("\x00", 100), 1, reasonShort},
		{"\x91\xdb\xff\xff\xff\xff" + strings.Repeat("\x00", 100), 1, reasonShort},
		{"\x91\xc9\xff\xff\xff\xff\x00", 1, reasonShort},
		{strings.Repeat("\xdf\xff\xff\xff\xff", 100), 0, reasonShort},
		{"\xc7\x00", 0, reasonShort}, // an extension without its type
		{strings.Repeat("\x91", 1_000_000), 1_000_000 - 1, reasonShort},
	} {
		_, err := Skip([]byte(tt.data))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != tt.offset || syntax.Reason != tt.reason {
			t.Errorf("%q: got %v, want offset %d: %s", tt.data[:min(len(tt.data), 20)], err, tt.offset, tt.reason)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&RecordError{Index: 3, Offset: 40, Reason: "not an array of two values"}, "cannot read record 3 at byte 40: not an array of two values"},
		{&SyntaxError{Index: 3, Start: 40, Offset: 52, Reason: reasonByte}, "cannot read msgpack at byte 52 (record 3, which begins at byte 40): 0xc1 begins no msgpack value"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
