package jsonenc

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
)

// check writes the msgpack value v in every form and compares with want, its
// JSON text.
func check(t *testing.T, name string, v []byte, want string) {
	t.Helper()
	const before, after = "dst", "\xc1rest"
	in := append(v[:len(v):len(v)], after...)

	out, rest, err := AppendJSON([]byte(before), in)
	if err != nil || string(out) != before+want || string(rest) != after {
		t.Errorf("%s: AppendJSON:\n got %q, rest %q, %v\nwant %q", name, out, rest, err, before+want)
	}
	if !json.Valid([]byte(want)) {
		t.Errorf("%s: %s is not JSON", name, want)
	}

	esc, size, rest, err := AppendEscaped([]byte(before), in)
	if err != nil || !strings.HasPrefix(string(esc), before) || string(rest) != after {
		t.Errorf("%s: AppendEscaped: got %q, rest %q, %v", name, esc, rest, err)
		return
	}
	message := unquote(t, esc[len(before):])
	if message != want {
		t.Errorf("%s: AppendEscaped:\n got %q\nwant %q", name, message, want)
	}
	if size != len(want) {
		t.Errorf("%s: AppendEscaped: got size %d, want %d", name, size, len(want))
	}
}

// unquote reads text as the inside of a JSON string.
func unquote(t *testing.T, text []byte) (s string) {
	t.Helper()
	if err := json.Unmarshal([]byte(`"`+string(text)+`"`), &s); err != nil {
		t.Errorf("not the inside of a JSON string: %q: %v", text, err)
	}
	return s
}

// Short names to build values with.
var (
	str = func(s string) []byte { return msgp.AppendString(nil, s) }
	bin = func(s string) []byte { return msgp.AppendBytes(nil, []byte(s)) }
	f64 = func(f float64) []byte { return msgp.AppendFloat64(nil, f) }
	f32 = func(f float32) []byte { return msgp.AppendFloat32(nil, f) }
	raw = func(s string) []byte { return []byte(s) }
)

func TestValues(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 5000) // needs a length of 32 bits
	for _, tt := range []struct {
		name string
		v    []byte
		want string
	}{
		{"nil", raw("\xc0"), `null`},
		{"false", raw("\xc2"), `false`},
		{"true", raw("\xc3"), `true`},

		{"fixint 0", raw("\x00"), `0`},
		{"fixint 127", raw("\x7f"), `127`},
		{"fixint -1", raw("\xff"), `-1`},
		{"fixint -32", raw("\xe0"), `-32`},
		{"uint 8", raw("\xcc\xff"), `255`},
		{"uint 16", raw("\xcd\xff\xfe"), `65534`},
		{"uint 32", raw("\xce\xff\xff\xff\xfe"), `4294967294`},
		{"uint 64", raw("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), `18446744073709551615`},
		{"int 8", raw("\xd0\x80"), `-128`},
		{"int 8 above 0", raw("\xd0\x7f"), `127`},
		{"int 16", raw("\xd1\x80\x00"), `-32768`},
		{"int 32", raw("\xd2\x80\x00\x00\x00"), `-2147483648`},
		{"int 64", raw("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), `-9223372036854775808`},
		{"int 64 above 0", raw("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), `9223372036854775807`},

		{"float 0", f64(0), `0`},
		{"float -0", f64(math.Copysign(0, -1)), `-0`},
		{"float 1.5", f64(1.5), `1.5`},
		{"float 0.1", f64(0.1), `0.1`},
		{"float of a float 32", f64(float64(float32(0.1))), `0.10000000149011612`},
		{"float 1e20", f64(1e20), `100000000000000000000`},
		{"float 1e21", f64(1e21), `1e+21`},
		{"float below 1e21", f64(math.Nextafter(1e21, 0)), `999999999999999900000`},
		{"float 1e-6", f64(1e-6), `0.000001`},
		{"float below 1e-6", f64(math.Nextafter(1e-6, 0)), `9.999999999999997e-7`},
		{"float 1e-10", f64(1e-10), `1e-10`},
		{"float 1e100", f64(-1e100), `-1e+100`},
		{"float smallest", f64(math.SmallestNonzeroFloat64), `5e-324`},
		{"float largest", f64(math.MaxFloat64), `1.7976931348623157e+308`},
		{"float NaN", f64(math.NaN()), `null`},
		{"float infinity", f64(math.Inf(1)), `null`},
		{"float -infinity", f64(math.Inf(-1)), `null`},
		{"float 32 0.1", f32(0.1), `0.1`},
		{"float 32 16777216", f32(16777216), `16777216`},
		{"float 32 1e-6", f32(1e-6), `0.000001`},
		{"float 32 below 1e-6", f32(math.Nextafter32(1e-6, 0)), `9.999999e-7`},
		{"float 32 1e21", f32(1e21), `1e+21`},
		{"float 32 below 1e21", f32(math.Nextafter32(1e21, 0)), `999999950000000000000`},
		{"float 32 largest", f32(math.MaxFloat32), `3.4028235e+38`},
		{"float 32 NaN", f32(float32(math.NaN())), `null`},
		{"float 32 infinity", f32(float32(math.Inf(-1))), `null`},

		{"str empty", raw("\xa0"), `""`},
		{"fixstr", raw("\xa3abc"), `"abc"`},
		{"str 8", raw("\xd9\x03abc"), `"abc"`},
		{"str 16", raw("\xda\x00\x03abc"), `"abc"`},
		{"str 32", raw("\xdb\x00\x00\x00\x03abc"), `"abc"`},
		{"str long", str(long), `"` + long + `"`},
		{"bin 8", raw("\xc4\x03abc"), `"abc"`},
		{"bin 16", raw("\xc5\x00\x03abc"), `"abc"`},
		{"bin 32", raw("\xc6\x00\x00\x00\x03abc"), `"abc"`},
		{"bin long", bin(long), `"` + long + `"`},
		{"bin not UTF-8", bin("a\xff\x00"), `"a` + "\ufffd" + `\u0000"`},

		{"array empty", raw("\x90"), `[]`},
		{"fixarray", raw("\x92\x01\x91\x02"), `[1,[2]]`},
		{"array 16", raw("\xdc\x00\x02\x01\xa1a"), `[1,"a"]`},
		{"array 32", raw("\xdd\x00\x00\x00\x01\x01"), `[1]`},
		{"map empty", raw("\x80"), `{}`},
		{"fixmap", raw("\x82\xa1b\x01\xa1a\x81\xa1c\xc0"), `{"b":1,"a":{"c":null}}`},
		{"map 16", raw("\xde\x00\x01\xa1b\x01"), `{"b":1}`},
		{"map 32", raw("\xdf\x00\x00\x00\x01\xa1b\x01"), `{"b":1}`},
		{"duplicate keys", raw("\x83\xa1a\x01\xa1b\x02\xa1a\x03"), `{"a":1,"b":2,"a":3}`},

		{"time", raw("\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x01"), `1700000000.000000001`},
		{"time 0", raw("\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00"), `0.000000000`},
		{"time largest", raw("\xd7\x00\xff\xff\xff\xff\x3b\x9a\xc9\xff"), `4294967295.999999999`},
		{"time as ext 8", raw("\xc7\x08\x00\x65\x53\xf1\x00\x1d\xcd\x65\x00"), `1700000000.500000000`},
		{"time as ext 16", raw("\xc8\x00\x08\x00\x65\x53\xf1\x00\x1d\xcd\x65\x00"), `1700000000.500000000`},
		{"time as ext 32", raw("\xc9\x00\x00\x00\x08\x00\x65\x53\xf1\x00\x1d\xcd\x65\x00"), `1700000000.500000000`},
		{"no time: a billion", raw("\xd7\x00\x00\x00\x00\x00\x3b\x9a\xca\x00"), `{"type":0,"data":"AAAAADuaygA="}`},
		{"no time: 4 bytes", raw("\xd6\x00\x00\x00\x00\x01"), `{"type":0,"data":"AAAAAQ=="}`},
		{"no time: type 1", raw("\xd7\x01\x00\x00\x00\x00\x00\x00\x00\x00"), `{"type":1,"data":"AAAAAAAAAAA="}`},
		{"fixext 1", raw("\xd4\x05\xff"), `{"type":5,"data":"/w=="}`},
		{"fixext 2", raw("\xd5\x05\x01\x02"), `{"type":5,"data":"AQI="}`},
		{"fixext 16", raw("\xd8\xff" + strings.Repeat("\x00", 16)), `{"type":-1,"data":"AAAAAAAAAAAAAAAAAAAAAA=="}`},
		{"ext 8 empty", raw("\xc7\x00\x80"), `{"type":-128,"data":""}`},
		{"ext 8", raw("\xc7\x03\x7fabc"), `{"type":127,"data":"YWJj"}`},

		{"keys bin", raw("\x81\xc4\x02a\n\x01"), `{"a\n":1}`},
		{"keys str 8", raw("\x81\xd9\x02a\"\x01"), `{"a\"":1}`},
		{"keys empty", raw("\x81\xa0\x01"), `{"":1}`},
		{"keys int", raw("\x82\x05\x01\xd0\x85\x02"), `{"5":1,"-123":2}`},
		{"keys nil and bool", raw("\x83\xc0\x01\xc2\x02\xc3\x03"), `{"null":1,"false":2,"true":3}`},
		{"keys float", append(append(raw("\x83"), append(f64(1.5), '\x01')...), append(append(f32(0.1), '\x02'), append(f64(math.NaN()), '\x03')...)...), `{"1.5":1,"0.1":2,"null":3}`},
		{"keys time", raw("\x81\xd7\x00\x00\x00\x00\x01\x00\x00\x00\x02\x01"), `{"1.000000002":1}`},
		{"keys ext", raw("\x81\xd4\x05\xff\x01"), `{"{\"type\":5,\"data\":\"/w==\"}":1}`},
		{"keys array", raw("\x81\x92\x01\xa1\"\x01"), `{"[1,\"\\\"\"]":1}`},
		{"keys map", raw("\x81\x81\xa1a\xa2\\\n\x01"), `{"{\"a\":\"\\\\\\n\"}":1}`},
		{"keys map in map", raw("\x81\x81\x81\xa1a\x01\x02\x03"), `{"{\"{\\\"a\\\":1}\":2}":3}`},
	} {
		check(t, tt.name, tt.v, tt.want)
		check(t, tt.name+" in an array", append(append(raw("\x93\x01"), tt.v...), 2), "[1,"+tt.want+",2]")
		check(t, tt.name+" in a map", append(append(raw("\x82\xa1a"), tt.v...), "\xa1b\x05"...), `{"a":`+tt.want+`,"b":5}`)
	}
}

// reference writes s as a JSON string by the plainest means.
func reference(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s { // an invalid byte comes as U+FFFD
		switch {
		case r == '"':
			b.WriteString(`\"`)
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < ' ':
			b.WriteString(`\u00`)
			b.WriteByte("01"[r>>4])
			b.WriteByte("0123456789abcdef"[r&15])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func TestStrings(t *testing.T) {
	if got, want := reference("a\"\\\n\r\t\b\f\x00\x1b\x7f</>&\u2028\u00e9\xff"), `"a\"\\\n\r\t\b\f\u0000\u001b`+"\x7f</>&\u2028\u00e9\ufffd"+`"`; got != want {
		t.Fatalf("the reference writes %s, want %s", got, want)
	}
	for _, s := range []string{
		"", "a", "1234567", "12345678", "123456789",
		"äöü", "日本語のログ", "😀😀", "a日b\nc", "日\"本\\語\x01",
		"\xff", "\xc3", "\xe6\x97", "\xf0\x9f\x98", "\x80\x80\x80", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80",
		"日本\xff語", "\xff日本\n語\xe6", "\ufffd", "\u2028\u2029\u0085\x7f", "<a href=\"x\">&</a>",
		strings.Repeat("\xff", 1000), strings.Repeat("\x01", 1000), strings.Repeat(`"`, 1000), strings.Repeat("日", 1000),
	} {
		check(t, "str", str(s), reference(s))
		check(t, "bin", bin(s), reference(s))
	}

	// Every byte at every place of the words that are copied at once, with
	// something to be escaped before and behind it, and nothing.
	for c := range 256 {
		for before := range 18 {
			for _, after := range []int{0, 1, 7, 9} {
				s := strings.Repeat("x", before) + string([]byte{byte(c)}) + strings.Repeat("y", after)
				check(t, "byte", str(s), reference(s))
			}
		}
	}
	special := []string{`"`, `\`, "\x00", "\x1f", "é", "\xff", "\x7f", " ", "!", "#", "[", "]"}
	for _, a := range special {
		for _, b := range special {
			for gap := range 10 {
				s := "x" + a + strings.Repeat("-", gap) + b + "y"
				check(t, "pair", str(s), reference(s))
			}
		}
	}
}

// What is behind the value in memory is not the encoder's to read or write.
func TestSharedBuffers(t *testing.T) {
	for n := range 20 {
		s := strings.Repeat("x", n)
		v := append(str(s), `"""\\\`+"\x00\xff\xff"...)
		out, _, err := AppendJSON(nil, v[:len(v)-8])
		if err != nil || string(out) != `"`+s+`"` {
			t.Errorf("got %s, %v", out, err)
		}

		// The bytes of dst up to its length stay as they are.
		dst := append(make([]byte, 0, 100), "before"...)
		if out, _, _ = AppendJSON(dst, v); !strings.HasPrefix(string(out), "before\"") {
			t.Errorf("got %q", out)
		}
	}
}

func TestDepth(t *testing.T) {
	nest := func(open, inner, shut string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
	}
	check(t, "arrays", raw(nest("\x91", "\x01", "", 128)), nest("[", "1", "]", 128))
	check(t, "maps", raw(nest("\x81\xa1a", "\x01", "", 128)), nest(`{"a":`, "1", "}", 128))
	check(t, "empty map inmost", raw(nest("\x91", "\x80", "", 127)), nest("[", "{}", "]", 127))

	for _, v := range []string{
		nest("\x91", "\x01", "", 129),
		nest("\x81\xa1a", "\x01", "", 129),
		nest("\x91", "\x80", "", 128),
		nest("\x91", "\x90", "", 128),
		nest("\x91", "", "", 1_000_000),
		nest("\x81", "\x01", "\x01", 5),      // maps as keys of maps
		nest("\x81\x91", "\x01", "\x01", 10), // arrays as keys of maps
	} {
		checkError(t, raw(v), ErrTooDeep)
	}
	// Three levels of keys in keys are still written.
	if _, _, err := AppendJSON(nil, raw(nest("\x81", "\x01", "\x01", 4))); err != nil {
		t.Error(err)
	}
}

// checkError writes v in every form and wants the error, and the buffer as it
// was.
func checkError(t *testing.T, v []byte, want error) {
	t.Helper()
	name := v[:min(len(v), 40)]
	dst := []byte("dst")
	out, rest, err := AppendJSON(dst, v)
	if !errors.Is(err, want) || string(out) != "dst" || len(rest) != len(v) {
		t.Errorf("AppendJSON(%q): got %q, %v, want %v", name, out, err, want)
	}
	out, size, rest, err := AppendEscaped(dst, v)
	if !errors.Is(err, want) || string(out) != "dst" || len(rest) != len(v) || size != 0 {
		t.Errorf("AppendEscaped(%q): got %q, %v, want %v", name, out, err, want)
	}
	out, rest, err = AppendText(dst, v)
	if !errors.Is(err, want) || string(out) != "dst" || len(rest) != len(v) {
		t.Errorf("AppendText(%q): got %q, %v, want %v", name, out, err, want)
	}
	out, size, rest, err = AppendTextEscaped(dst, v)
	if !errors.Is(err, want) || string(out) != "dst" || len(rest) != len(v) || size != 0 {
		t.Errorf("AppendTextEscaped(%q): got %q, %v, want %v", name, out, err, want)
	}
	dots := "_"
	for _, s := range []*Shape{nil, {ReplaceDots: &dots}, {TimeKey: "time"}, {Keys: []string{"log"}}} {
		if out, err = s.AppendJSON(dst, v, []byte("now")); err == nil && s != nil && s.Keys != nil && want == ErrTooDeep {
			continue // it was in a value that is not kept
		}
		if !errors.Is(err, want) || string(out) != "dst" {
			t.Errorf("%+v.AppendJSON(%q): got %q, %v, want %v", s, name, out, err, want)
		}
	}
}

func TestBroken(t *testing.T) {
	for _, v := range []string{
		"", "\xc1", "\x91\xc1", "\x81\xc1\x01", "\x81\xa1a\xc1", "\x81\x91\xc1\x01",
		"\xdf\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff\xa1a\x01", "\xdd\xff\xff\xff\xff\x01", "\xdb\xff\xff\xff\xffabc", "\xc9\xff\xff\xff\xff\x00abc",
	} {
		checkError(t, raw(v), ErrBroken)
	}

	// Values of every kind, cut off at every byte.
	for _, v := range []string{
		"\xcc\x01", "\xcd\x01\x02", "\xce\x01\x02\x03\x04", "\xcf\x01\x02\x03\x04\x05\x06\x07\x08",
		"\xd0\x01", "\xd1\x01\x02", "\xd2\x01\x02\x03\x04", "\xd3\x01\x02\x03\x04\x05\x06\x07\x08",
		"\xca\x01\x02\x03\x04", "\xcb\x01\x02\x03\x04\x05\x06\x07\x08",
		"\xd4\x05a", "\xd5\x05ab", "\xd6\x05abcd", "\xd7\x00abcdefgh", "\xd8\x05abcdefghijklmnop",
		"\xc7\x02\x05ab", "\xc8\x00\x02\x05ab", "\xc9\x00\x00\x00\x02\x05ab",
		"\xa3abc", "\xd9\x03abc", "\xda\x00\x03abc", "\xdb\x00\x00\x00\x03abc",
		"\xc4\x03abc", "\xc5\x00\x03abc", "\xc6\x00\x00\x00\x03abc",
		"\x92\x01\x02", "\xdc\x00\x02\x01\x02", "\xdd\x00\x00\x00\x02\x01\x02",
		"\x82\xa1a\x01\xc4\x01b\x02", "\xde\x00\x01\xa1a\x01", "\xdf\x00\x00\x00\x01\xd9\x01a\x01",
		"\x81\x05\x01", "\x81\x91\x01\x01", "\x81\xa3log\x81\xa1a\x93\x01\x02\x03",
	} {
		if _, rest, err := AppendJSON(nil, raw(v)); err != nil || len(rest) != 0 {
			t.Errorf("%q: got rest %q, %v", v, rest, err)
		}
		for n := range len(v) {
			checkError(t, raw(v[:n]), ErrBroken)
			if n > 0 {
				checkError(t, append(raw("\x81\xa3log"), v[:n]...), ErrBroken)
				checkError(t, append(raw("\x81\xa5other"), v[:n]...), ErrBroken)
			}
		}
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    []byte
		want string
	}{
		{"str", str("  a \"b\"\n"), "  a \"b\"\n"},
		{"str empty", str(""), ""},
		{"str 8", raw("\xd9\x02a\x00"), "a\x00"},
		{"bin", bin("\x1b[0m日本"), "\x1b[0m日本"},
		{"not UTF-8", str("a\xff\xfeb日\xe6"), "a\ufffd\ufffdb日\ufffd"},
		{"all escapes", str("\"\\\n\r\t\b\f\x00\x1f\x7f"), "\"\\\n\r\t\b\f\x00\x1f\x7f"},
		{"int", raw("\x05"), "5"},
		{"nil", raw("\xc0"), "null"},
		{"map", raw("\x81\xa1a\xa1\""), `{"a":"\""}`},
		{"longest short str", str(strings.Repeat("x", 31)), strings.Repeat("x", 31)},
		{"array", raw("\x92\x01\x02"), `[1,2]`},
	} {
		in := append(tt.v, "rest"...)
		out, rest, err := AppendText([]byte("dst"), in)
		if err != nil || string(out) != "dst"+tt.want || string(rest) != "rest" {
			t.Errorf("%s: got %q, rest %q, %v, want %q", tt.name, out, rest, err, tt.want)
		}
		esc, size, rest, err := AppendTextEscaped([]byte("dst"), in)
		if err != nil || string(esc[:3]) != "dst" || string(rest) != "rest" {
			t.Errorf("%s: got %q, rest %q, %v", tt.name, esc, rest, err)
		}
		if got := unquote(t, esc[3:]); got != tt.want || size != len(tt.want) {
			t.Errorf("%s: got %q of size %d, want %q of size %d", tt.name, got, size, tt.want, len(tt.want))
		}
	}
}

// Texts that end where the data does.
func TestEmptyText(t *testing.T) {
	for _, v := range []string{"\xa0", "\xd9\x00", "\xda\x00\x00", "\xdb\x00\x00\x00\x00", "\xc4\x00", "\xc5\x00\x00", "\xc6\x00\x00\x00\x00"} {
		if out, rest, err := AppendText(nil, raw(v)); err != nil || len(out) != 0 || len(rest) != 0 {
			t.Errorf("%q: got %q, rest %q, %v", v, out, rest, err)
		}
	}
}

// The largest values whose size is in their first byte.
func TestLargestShort(t *testing.T) {
	text, pairs, list := strings.Repeat("x", 31), strings.Repeat(`"":1,`, 15), strings.Repeat("1,", 15)
	v := raw("\x93\xbf" + text + "\x8f" + strings.Repeat("\xa0\x01", 15) + "\x9f" + strings.Repeat("\x01", 15))
	want := `["` + text + `",{` + pairs[:len(pairs)-1] + `},[` + list[:len(list)-1] + `]]`
	if out, rest, err := AppendJSON(nil, v); err != nil || string(out) != want || len(rest) != 0 {
		t.Errorf("got %s, rest %q, %v", out, rest, err)
	}
	s := &Shape{Keys: []string{"y"}}
	if out, err := s.AppendJSON(nil, v[1+32:][:31], nil); err != nil || string(out) != "{}" {
		t.Errorf("a key of 15: got %s, %v", out, err)
	}
}

func TestQuoted(t *testing.T) {
	for _, s := range []string{"", "a", "/aws/containerinsights/cluster/application", "a\"b\\c\n\x00", "日本\xff", strings.Repeat(`"`, 500)} {
		if got := AppendQuoted([]byte("dst"), s); string(got) != "dst"+reference(s) {
			t.Errorf("got %s, want dst%s", got, reference(s))
		}
	}
}

// Every form of the whole kubernetes record decodes to what an independent
// msgpack decoder reads.
func TestKubernetesRecord(t *testing.T) {
	data := kubernetesChunk(50)
	n := 0
	eachBody(t, data, func(body []byte) {
		n++
		compare(t, body)
	})
	if n != 50 {
		t.Errorf("got %d records, want 50", n)
	}
}

func TestAllocations(t *testing.T) {
	data := kubernetesChunk(10)
	odd := raw("\x89\xa1a\xd4\x05\xff\x81\xa1k\xa1v\x01\x05\xa6\xff\xff日\n\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xca\x3f\xc0\x00\x00\xa1t\xd7\x00\x00\x00\x00\x01\x00\x00\x00\x01\xa3a.b\x81\xa3c.d\x01\xa1x\xc0\xa1y\xc3\xa1z\xc2")
	if _, rest, err := AppendJSON(nil, odd); err != nil || len(rest) != 0 {
		t.Fatal(rest, err)
	}
	dst := make([]byte, 0, 64<<10)
	now := []byte("2026-01-01T00:00:00")
	dots := "_"
	shapes := []*Shape{nil, {ReplaceDots: &dots}, {Keys: []string{"log", "kubernetes"}}, {Keys: []string{"log"}, ReplaceDots: &dots, TimeKey: "time"}}
	escaped, _, _, _ := AppendEscaped(nil, odd)
	for _, tt := range []struct {
		name string
		f    func(body []byte)
	}{
		{"AppendJSON", func(body []byte) { AppendJSON(dst, body) }},
		{"AppendEscaped", func(body []byte) { AppendEscaped(dst, body) }},
		{"AppendText", func(body []byte) { AppendText(dst, body) }},
		{"AppendTextEscaped", func(body []byte) { AppendTextEscaped(dst, body) }},
		{"AppendQuoted", func([]byte) { AppendQuoted(dst, "a\"b\x00日本\xff") }},
		{"CutEscaped", func([]byte) { CutEscaped(escaped, 50) }},
		{"CutText", func(body []byte) { CutText(body, 50) }},
		{"broken", func(body []byte) { AppendJSON(dst, body[:len(body)-1]) }},
		{"Shape", func(body []byte) {
			for _, s := range shapes {
				s.AppendJSON(dst, body, now)
			}
		}},
	} {
		n := testing.AllocsPerRun(20, func() {
			eachBody(t, data, tt.f)
			tt.f(odd)
			tt.f(odd[1:])
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want none", tt.name, n)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		text string
		max  int
		want string
	}{
		{"", 0, ""}, {"", 5, ""}, {"abc", 0, ""}, {"abc", -1, ""}, {"abc", 2, "ab"}, {"abc", 3, "abc"}, {"abc", 4, "abc"},
		{"aé", 1, "a"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"éa", 1, ""},
		{"a日b", 1, "a"}, {"a日b", 2, "a"}, {"a日b", 3, "a"}, {"a日b", 4, "a日"}, {"a日b", 5, "a日b"},
		{"a😀b", 2, "a"}, {"a😀b", 3, "a"}, {"a😀b", 4, "a"}, {"a😀b", 5, "a😀"},
		{"日本", 5, "日"},
		{"\x80\x80\x80\x80\x80", 4, "\x80\x80\x80\x80"}, // every byte is a character of its own
		{"a\xe6\x97", 2, "a\xe6"},
		{"\xc3\x28", 1, "\xc3"},
	} {
		if got := tt.text[:CutText([]byte(tt.text), tt.max)]; got != tt.want {
			t.Errorf("CutText(%q, %d): got %q, want %q", tt.text, tt.max, got, tt.want)
		}
		if !utf8.ValidString(tt.text) {
			continue
		}
		// The same text by way of its escaped form.
		esc, _, _, err := AppendTextEscaped(nil, str(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		n, size := CutEscaped(esc, tt.max)
		if got := unquote(t, esc[:n]); got != tt.want || size != len(tt.want) {
			t.Errorf("CutEscaped(%q, %d): got %q of size %d, want %q", esc, tt.max, got, size, tt.want)
		}
	}

	for _, tt := range []struct {
		escaped string
		max     int
		want    string
		size    int
	}{
		{`ab\"cd`, 2, `ab`, 2}, {`ab\"cd`, 3, `ab\"`, 3}, {`ab\"cd`, 4, `ab\"c`, 4},
		{`\\\\\\`, 1, `\\`, 1}, {`\\\\\\`, 2, `\\\\`, 2},
		{`{\"a\":\"\\n\"}`, 8, `{\"a\":\"\\n`, 8}, {`{\"a\":\"\\n\"}`, 7, `{\"a\":\"\\`, 7}, {`{\"a\":\"\\n\"}`, 6, `{\"a\":\"`, 6},
		{`\\u001bx`, 6, `\\u001b`, 6}, {`\\u001bx`, 3, `\\u0`, 3}, {`\\u001bx`, 7, `\\u001bx`, 7},
		{`a\u001bx`, 1, `a`, 1}, {`a\u001bx`, 2, `a\u001b`, 2}, {`a\u001bx`, 3, `a\u001bx`, 3},
		{`\u00e9x`, 1, ``, 0}, {`\u00e9x`, 2, `\u00e9`, 2}, {`\u65E5x`, 2, ``, 0}, {`\u65E5x`, 4, `\u65E5x`, 4},
		{`\ud83d\ude00x`, 3, ``, 0}, {`\ud83d\ude00x`, 4, `\ud83d\ude00`, 4}, {`\ud83d\ude00x`, 5, `\ud83d\ude00x`, 5},
		{`\ud83dx`, 2, ``, 0}, {`\ud83dx`, 4, `\ud83dx`, 4}, {`\ud83d\u0041`, 3, `\ud83d`, 3}, {`\ude00`, 3, `\ude00`, 3},
		{`\ud800\udc00`, 4, `\ud800\udc00`, 4}, {`\udbff\udfff`, 4, `\udbff\udfff`, 4}, {`\uDBFF\uDFFF`, 4, `\uDBFF\uDFFF`, 4},
		{`\udc00\udc00`, 4, `\udc00`, 3}, {`\ud800\ud800`, 4, `\ud800`, 3}, {`\ud800\ue000`, 4, `\ud800`, 3},
		{`\uaaaa\uffff`, 6, `\uaaaa\uffff`, 6}, {`\uAAAA\uFFFF`, 6, `\uAAAA\uFFFF`, 6}, {`\u00AAx`, 2, `\u00AA`, 2}, {`\u00ggx`, 9, ``, 0},
		{`\n日\n`, 4, `\n日`, 4}, {`\n日\n`, 3, `\n`, 1}, {`\n日\n`, 5, `\n日\n`, 5},
		// Not a JSON string: cut before what is not understood.
		{`a\`, 5, `a`, 1}, {`a\u00`, 5, `a`, 1}, {`a\u00zz`, 9, `a`, 1},
	} {
		n, size := CutEscaped([]byte(tt.escaped), tt.max)
		if got := tt.escaped[:n]; got != tt.want || size != tt.size {
			t.Errorf("CutEscaped(%s, %d): got %s, %d, want %s, %d", tt.escaped, tt.max, got, size, tt.want, tt.size)
		}
	}
}

func TestCutInside(t *testing.T) {
	for _, tt := range []struct {
		escaped string
		max     int
		want    string
	}{
		{``, 0, ``}, {``, 5, ``}, {`abc`, 2, `ab`}, {`abc`, 3, `abc`}, {`abc`, 0, ``},
		{`\n`, 1, ``}, {`\n`, 2, `\n`}, {`ab\n`, 2, `ab`}, {`abc\n`, 2, `ab`}, {`\nabc\n`, 4, `\nab`}, {`ab\n`, 3, `ab`}, {`ab\n`, 4, `ab\n`}, {`ab\ncd`, 5, `ab\nc`}, {`\n\n`, 3, `\n`}, {`\n\n`, 4, `\n\n`},
		{`a\u001bx`, 6, `a`}, {`a\u001bx`, 7, `a\u001b`}, {`a\u001bx`, 8, `a\u001bx`}, {`\ud83d\ude00x`, 11, ``}, {`\ud83d\ude00x`, 12, `\ud83d\ude00`},
		{`a日`, 3, `a`}, {`\n日`, 4, `\n`}, {`\n日`, 5, `\n日`}, {`a\u00`, 9, `a`},
	} {
		if got := tt.escaped[:CutInside([]byte(tt.escaped), tt.max)]; got != tt.want {
			t.Errorf("CutInside(%s, %d): got %s, want %s", tt.escaped, tt.max, got, tt.want)
		}
	}
}

// Chunks that a real Fluent Bit wrote: ../chunk/testdata/fluent-bit.yaml.
func TestRealChunks(t *testing.T) {
	const plain = `{"log":"hello\n","n":-5,"f":1.5,"ok":true,"none":null,"list":[1,"two"],"kubernetes":{"labels":{"app.kubernetes.io/name":"web"}}}`
	const groupMetadata, groupAttributes = `{"schema":"otlp","resource_id":0,"scope_id":0}`, `{"resource":{},"scope":{}}`
	type event struct {
		time                           chunk.Time
		metadata, body                 string
		groupMetadata, groupAttributes string
	}
	for _, tt := range []struct {
		file string
		want []event
	}{
		{"plain.msgpack", []event{
			{chunk.Time{Sec: 1767225600, Nsec: 123456789}, `{}`, plain, "", ""},
			{chunk.Time{Sec: 1767225600, Nsec: 123456789}, `{}`, plain, "", ""},
		}},
		{"metadata.msgpack", []event{
			{chunk.Time{Sec: 1767225601, Nsec: 651888086}, `{"stream":"stdout"}`, `{"log":"with metadata"}`, "", ""},
		}},
		{"group.msgpack", []event{
			{chunk.Time{Sec: 1767225602, Nsec: 651868541}, `{}`, `{"log":"in a group"}`, groupMetadata, groupAttributes},
			{chunk.Time{Sec: 1767225603, Nsec: 651771289}, `{}`, `{"log":"in a group"}`, groupMetadata, groupAttributes},
		}},
	} {
		data, err := os.ReadFile("../chunk/testdata/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		text := func(v []byte) string {
			if v == nil {
				return ""
			}
			out, rest, err := AppendJSON(nil, v)
			if err != nil || len(rest) != 0 {
				t.Errorf("%s: %q: rest %q, %v", tt.file, v, rest, err)
			}
			return string(out)
		}
		var got []event
		r := chunk.NewReader(data)
		ev, err := r.Next()
		for ; err == nil; ev, err = r.Next() {
			got = append(got, event{ev.Time, text(ev.Metadata), text(ev.Body), text(ev.GroupMetadata), text(ev.GroupAttributes)})
		}
		if err != io.EOF || !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %v, %v\nwant %v", tt.file, got, err, tt.want)
		}
	}
}
