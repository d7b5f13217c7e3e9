package jsonenc

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/chunk"
)

func addValues(f *testing.F) {
	eachBody(f, kubernetesChunk(1), func(body []byte) { f.Add(body) })
	for _, v := range []string{
		"", "\xc1", "\x05", "\xc0", "\x93\x01\xc2\xe0", "\xa5ab\"\\\n", "\xc4\x03a\xff\x01", "\xa9\xe6\x97\xa5\xff\xc3\xa9abc",
		"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "\xca\x7f\xc0\x00\x00", "\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x01", "\xd4\x05\xff", "\xc7\x02\x05ab",
		"\x83\xa1a\x01\xa1b\x02\xa1a\x03", "\x81\x81\x91\xa1\"\x01\x02", "\x82\x05\x01\xc0\x02", "\xdf\xff\xff\xff\xff\x01", strings.Repeat("\x91", 200),
		"\x82\xa3a.b\x81\xa2.c\x01\xa4time\x02",
	} {
		f.Add([]byte(v))
	}
}

func FuzzAppend(f *testing.F) {
	addValues(f)
	f.Fuzz(func(t *testing.T, v []byte) {
		afterSkip, broken := chunk.Skip(v)
		out, rest, err := AppendJSON([]byte("dst"), v)
		if broken != nil && err == nil {
			t.Fatalf("wrote what is %v", broken)
		}
		if broken == nil && err != nil && !errors.Is(err, ErrTooDeep) {
			t.Fatal(err)
		}
		esc, size, rest2, err2 := AppendEscaped([]byte("dst"), v)
		text, rest3, err3 := AppendText([]byte("dst"), v)
		textEsc, textSize, rest4, err4 := AppendTextEscaped([]byte("dst"), v)
		if err2 != err || err3 != err || err4 != err {
			t.Fatalf("different errors: %v, %v, %v, %v", err, err2, err3, err4)
		}
		if err != nil {
			if string(out) != "dst" || string(esc) != "dst" || string(text) != "dst" || string(textEsc) != "dst" || size != 0 || textSize != 0 {
				t.Fatalf("wrote %q, %q, %q, %q in spite of %v", out, esc, text, textEsc, err)
			}
			return
		}
		for _, r := range [][]byte{rest, rest2, rest3, rest4} {
			if !bytes.Equal(r, afterSkip) {
				t.Fatalf("rest %q, want %q", r, afterSkip)
			}
		}
		out, esc, text, textEsc = out[3:], esc[3:], text[3:], textEsc[3:]

		if !json.Valid(out) || !utf8.Valid(out) || bytes.IndexByte(out, '\n') >= 0 {
			t.Fatalf("not a line of JSON: %q", out)
		}
		if got := unquote(t, esc); got != string(out) || size != len(out) || !utf8.Valid(esc) {
			t.Fatalf("escaped %q of size %d, want %q", got, size, out)
		}
		if got := unquote(t, textEsc); got != string(text) || textSize != len(text) || !utf8.Valid(text) {
			t.Fatalf("text %q of size %d, want %q", got, textSize, text)
		}
		if c := v[0]; c >= 0xa0 && c <= 0xbf || c >= 0xc4 && c <= 0xc6 || c >= 0xd9 && c <= 0xdb {
			if quoted := unquote(t, out[1:len(out)-1]); quoted != string(text) {
				t.Fatalf("text %q, want %q", text, quoted)
			}
		} else if !bytes.Equal(text, out) {
			t.Fatalf("text %q, want %q", text, out)
		}
		compare(t, v)
	})
}

func FuzzQuoted(f *testing.F) {
	for _, s := range []string{"", "12345678", "a\"\\\n", "日本\xff\x00", "1234567\"90123456\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := AppendQuoted(nil, s); string(got) != reference(s) {
			t.Errorf("got %s, want %s", got, reference(s))
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add([]byte(`{\"a\":\"\\n\u0001日😀\\u001b\"}`), 10)
	f.Add([]byte(`\ud83d\ude00\ud83d\\`), 4)
	f.Add([]byte("\xff\x80\xe6\x97"), 3)
	f.Add([]byte(`\`), 3)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		n := CutText(in, limit)
		if n < 0 || n > len(in) || n > limit && n > 0 {
			t.Fatalf("CutText(%q, %d): got %d", in, limit, n)
		}
		if utf8.Valid(in) {
			if !utf8.Valid(in[:n]) {
				t.Fatalf("CutText(%q, %d) splits a character", in, limit)
			}
			if _, next := utf8.DecodeRune(in[n:]); n < len(in) && n+next <= limit {
				t.Fatalf("CutText(%q, %d): %d is not the longest", in, limit, n)
			}
		}

		n, size := CutEscaped(in, limit)
		if n < 0 || n > len(in) || size > limit && size > 0 || size > n {
			t.Fatalf("CutEscaped(%q, %d): got %d, %d", in, limit, n, size)
		}

		// A real escaped text: what is left reads as the start of the text.
		esc, whole, _, err := AppendTextEscaped(nil, bin(string(in)))
		if err != nil {
			t.Fatal(err)
		}
		text := unquote(t, esc)
		n, size = CutEscaped(esc, limit)
		got := unquote(t, esc[:n])
		if got != text[:CutText([]byte(text), limit)] || size != len(got) {
			t.Fatalf("CutEscaped(%s, %d): got %q of size %d", esc, limit, got, size)
		}
		if n, size = CutEscaped(esc, whole); n != len(esc) || size != whole {
			t.Fatalf("CutEscaped(%s, %d): got %d, %d, want all of it", esc, whole, n, size)
		}
	})
}

func FuzzShape(f *testing.F) {
	eachBody(f, kubernetesChunk(1), func(body []byte) { f.Add(body, "log", "_", "time", "now") })
	f.Add([]byte("\x82\xa3a.b\x81\xa2.c\x01\xa4time\x02"), "a.b", "", "time", "\x00\xff\"")
	f.Add([]byte("\x82\x05\x01\x91\x01\x02"), "", "..", "", "")
	f.Add([]byte("\x91\x81\xa2.x\x01"), "x", ".\"", "a.b", "")
	f.Add([]byte("\xd4\x05\xff"), "x", "", "t", "") // an object in JSON, but no map
	f.Fuzz(func(t *testing.T, body []byte, key, dots, timeKey, now string) {
		plain, _, plainErr := AppendJSON(nil, body)
		for _, s := range []*Shape{
			nil,
			{},
			{ReplaceDots: &dots},
			{Keys: []string{key}},
			{TimeKey: timeKey},
			{Keys: []string{key}, ReplaceDots: &dots, TimeKey: timeKey},
		} {
			out, err := s.AppendJSON([]byte("dst"), body, []byte(now))
			if err != nil {
				if plainErr == nil || string(out) != "dst" {
					t.Fatalf("%+v: got %q, %v", s, out, err)
				}
				continue
			}
			out = out[3:]
			if !json.Valid(out) || !utf8.Valid(out) {
				t.Fatalf("%+v: not JSON: %q", s, out)
			}
			same := s == nil || s.Keys == nil && s.TimeKey == "" && s.ReplaceDots == nil
			if same && !bytes.Equal(out, plain) {
				t.Fatalf("%+v: got %q, want %q", s, out, plain)
			}
			if _, n := mapHeader(body); same || n < 0 {
				continue
			}
			keys := topKeys(t, out)
			if s.TimeKey != "" {
				last := AppendQuoted(append(AppendQuoted(nil, replaced(s, s.TimeKey)), ':'), now)
				if !bytes.HasSuffix(out, append(last, '}')) {
					t.Fatalf("%+v: %q does not end in %q", s, out, last)
				}
				keys = keys[:len(keys)-1]
			}
			for _, k := range keys {
				if s.Keys != nil && k != string([]rune(replaced(s, key))) {
					t.Fatalf("%+v: kept %q in %q", s, k, out)
				}
				if s.ReplaceDots != nil && !strings.Contains(dots, ".") && strings.Contains(k, ".") {
					t.Fatalf("%+v: %q has a dot in %q", s, k, out)
				}
			}
		}
	})
}

// replaced does by itself what s does with the key k.
func replaced(s *Shape, k string) string {
	if s.ReplaceDots == nil {
		return k
	}
	return strings.ReplaceAll(k, ".", *s.ReplaceDots)
}

// topKeys returns the keys of a JSON object, duplicates included.
func topKeys(t *testing.T, object []byte) (keys []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k.(string))
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}
