package chunk

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// A body that shares bytes with the one before ends where it would end alone,
// and is broken where it would be broken alone.
func TestRepeats(t *testing.T) {
	inner := func(text string) []byte {
		b := msgp.AppendMapHeader(nil, 2)
		b = msgp.AppendString(b, "pod")
		b = msgp.AppendString(b, text)
		b = msgp.AppendString(b, "labels")
		b = msgp.AppendArrayHeader(b, 1)
		return msgp.AppendString(b, "one of the labels of the pod")
	}
	body := func(log string, values ...[]byte) []byte {
		b := msgp.AppendMapHeader(nil, uint32(1+len(values)))
		b = msgp.AppendString(b, "log")
		b = msgp.AppendString(b, log)
		for _, v := range values {
			b = append(msgp.AppendString(b, "kubernetes"), v...)
		}
		return b
	}
	same, other := inner("web-1"), inner("web-2")
	whole := body("b", same)
	bodies := [][]byte{
		whole, whole, body("c", other), body("d", same), body("", other, same), body("", same, other),
		body("e"), msgp.AppendNil(nil), {0x80}, whole[:1], {0x82, 0xa1, 'a', 0xc1, 0x01, 0x02},
		append([]byte{0xde, 0, 2}, whole[1:]...), append([]byte{0xdf, 0, 0, 0, 2}, whole[1:]...), {0xde, 0}, {0xdf, 0, 0}, {0xde, 0, 0},
		append([]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, whole[1:]...), append([]byte{0xde, 0, 3}, whole[1:]...), body("", []byte{1}, same), body("", same, []byte{0xc0}),
		append([]byte{0x8f}, whole[1:]...), {0x81, 0x05, 0x05}, {0x81, 0x92, 1, 2, 3},
	}
	for cut := range whole {
		bodies = append(bodies, whole[:cut])
	}
	for i := range bodies {
		for j := range bodies {
			compareBodies(t, bodies[i], bodies[j], 0x01)
			compareBodies(t, bodies[i], bodies[j], 0xc1)
		}
	}
}

// What is remembered: maps and arrays of 32 bytes and more, whatever their header
// and their key.
func TestRepeatsRemember(t *testing.T) {
	for _, tt := range []struct {
		what, key, header string
		size              int
		remembered        bool
	}{
		{"map", "\xa1k", "\x81\xa1a", 32, true},
		{"map of 31 bytes", "\xa1k", "\x81\xa1a", 31, false},
		{"array", "\xa1k", "\x91", 32, true},
		{"largest short array", "\xa1k", "\x9f" + strings.Repeat("\x01", 14), 32, true},
		{"array 16", "\xa1k", "\xdc\x00\x01", 32, true},
		{"array 32", "\xa1k", "\xdd\x00\x00\x00\x01", 32, true},
		{"map 16", "\xa1k", "\xde\x00\x01\x01", 32, true},
		{"map 32", "\xa1k", "\xdf\x00\x00\x00\x01\x01", 32, true},
		{"string", "\xa1k", "", 32, false},
		{"a key that is no short string", "\xd9\x01k", "\x91", 32, true},
		{"a key that is no string", "\x05", "\x91", 32, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			fill := tt.size - len(tt.header) - 2
			value := tt.header + "\xd9" + string([]byte{byte(fill)}) + strings.Repeat("x", fill)
			body := []byte("\x81" + tt.key + value)
			var r repeats
			if end, ok := r.entries(body, 0); !ok || end != len(body) {
				t.Fatalf("got %d, %v for %x", end, ok, body)
			}
			if got := string(r[0]); tt.remembered && got != value || !tt.remembered && got != "" {
				t.Errorf("remembers %x of %x", got, body)
			}
		})
	}
}

// Which bodies are gone through entry by entry: the others would not be worth it,
// or have a header that promises too much.
func TestRepeatsEntries(t *testing.T) {
	entries := func(header string, n int) []byte {
		return []byte(header + strings.Repeat("\xa0\x01", n))
	}
	for _, tt := range []struct {
		body []byte
		want bool
	}{
		{entries("\x80", 0), true},
		{entries("\xde\x00\x00", 0), true},
		{entries("\xdf\x00\x00\x00\x00", 0), true},
		{entries("\xde\x04\x00", 1024), true},
		{entries("\xde\x04\x01", 1025), false},
		{[]byte("\x90"), false},
		{[]byte("\x81\xa1a"), false},
		{[]byte("\x81\xa5a"), false},
	} {
		var r repeats
		if end, ok := r.entries(tt.body, 0); ok != tt.want || ok && end != len(tt.body) {
			t.Errorf("%.20x: got %d, %v, want %v", tt.body, end, ok, tt.want)
		}
	}
}

func FuzzRepeats(f *testing.F) {
	f.Add([]byte("\x81\xa1a\x81\xa1b\xd9\x20"+"0123456789abcdef0123456789abcdef"), 9, byte(1))
	f.Fuzz(func(t *testing.T, body []byte, at int, c byte) {
		second := bytes.Clone(body)
		if len(second) > 0 {
			second[uint(at)%uint(len(second))] = c
		}
		compareBodies(t, body, second, c)
		compareBodies(t, body, body, c)
	})
}

// compareBodies has first remembered, and second read with and without that.
func compareBodies(t *testing.T, first, second []byte, behind byte) {
	t.Helper()
	var r repeats
	b := append(bytes.Clone(first), second...)
	if end, bad := r.skip(b, 0); bad != "" || end != len(first) {
		return
	}
	for _, b := range [][]byte{b, append(b, behind)} {
		end, bad := r.skip(b, len(first))
		wantEnd, wantBad := skip(b, len(first))
		if end != wantEnd || bad != wantBad {
			t.Fatalf("%x after %x: got %d %q, want %d %q", second, first, end, bad, wantEnd, wantBad)
		}
	}
}

// What is remembered is in the chunk, and events of other shapes come between.
func TestRepeatsInChunk(t *testing.T) {
	event := func(body []byte) []byte { return append([]byte{0x92, 0x01}, body...) }
	text := bytes.Repeat([]byte("x"), 40)
	pod := msgp.AppendString(append(msgp.AppendMapHeader(nil, 1), 0xa1, 'n'), string(text))
	whole := append(append(msgp.AppendMapHeader(nil, 1), 0xa1, 'k'), pod...)
	var data []byte
	for range 3 {
		data = append(data, event(whole)...)
		data = append(data, event([]byte{0x81, 0xa1, 'k', 0x01})...)
		data = append(data, 0x91, 0x01) // no event
	}
	data = append(data, event(whole[:len(whole)-1])...) // runs past the end
	r := NewReader(data)
	good, odd := 0, 0
	for {
		ev, err := r.Next()
		var record *RecordError
		var syntax *SyntaxError
		switch {
		case err == nil:
			good++
			if want := [][]byte{{0x81, 0xa1, 'k', 0x01}, whole}[good%2]; !bytes.Equal(ev.Body, want) {
				t.Errorf("event %d: got %x, want %x", good, ev.Body, want)
			}
			continue
		case errors.As(err, &record):
			odd++
			continue
		case !errors.As(err, &syntax) || syntax.Index != 9 || syntax.Reason != reasonShort:
			t.Errorf("got %v", err)
		}
		break
	}
	if good != 6 || odd != 3 {
		t.Errorf("got %d events and %d others", good, odd)
	}
}
