package chunk

import (
	"bytes"
	"errors"
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
