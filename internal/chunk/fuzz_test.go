package chunk

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

func FuzzReader(f *testing.F) {
	group := v2(start, "\x81\xa1m\x01", "\x81\xa1a\x01")
	for _, data := range []string{
		"", v2(extTime, "\x80", body1), v1("\x05", body2),
		group + v2(extTime, "\x80", body1) + v2(end, "\x80", "\x80") + v1(extTime, body2),
		v1("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "\xa1x") + "\xc0" + v1("\xff", body1),
		v2(extTime, "\x80", body1)[:15], "\x92\x01\xc1", "\x92\x01\xdf\xff\xff\xff\xff", "\x92\xdc\x00",
		"\xdc\x00\x02\xdc\x00\x02\x01\x80\x80", "\x93\x01\x02\x03\x92\x91\x01\x80",
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(data)
		at := 0 // all that was returned lies before this
		elements := 0
		for {
			ev, err := r.Next()
			var bad *RecordError
			var syntax *SyntaxError
			switch {
			case err == nil:
				if rest, err := Skip(ev.Body); err != nil || len(rest) != 0 {
					t.Fatalf("body %q is not one value", ev.Body)
				}
				if _, err := msgp.Skip(ev.Body); err != nil && !errors.Is(err, msgp.ErrRecursion) {
					t.Fatalf("body %q: %v", ev.Body, err)
				}
				body := place(t, data, ev.Body)
				if body < at {
					t.Fatalf("body at byte %d, before %d", body, at)
				}
				at = body + len(ev.Body)
				if ev.Time.Sec < 0 || ev.Time.Nsec < 0 || ev.Time.Nsec >= 1e9 || ev.Time.UnixMilli() < 0 {
					t.Fatalf("time %v", ev.Time)
				}
				if ev.Metadata != nil && place(t, data, ev.Metadata) >= body {
					t.Fatal("metadata behind the body")
				}
				if ev.GroupAttributes != nil && place(t, data, ev.GroupAttributes) >= body {
					t.Fatal("group behind the event")
				}
			case errors.As(err, &bad):
				if bad.Offset < at || bad.Offset >= len(data) || bad.Reason == "" {
					t.Fatalf("%v, after byte %d of %d", bad, at, len(data))
				}
				at = bad.Offset + 1
			case errors.As(err, &syntax):
				if syntax.Start < at || syntax.Offset < syntax.Start || syntax.Offset > len(data) || syntax.Reason == "" {
					t.Fatalf("%v, after byte %d of %d", syntax, at, len(data))
				}
				if _, again := r.Next(); again != err {
					t.Fatalf("then %v, want the same again", again)
				}
				// What comes before the broken element reads the same alone.
				events, records, err := readAll(data[:syntax.Start])
				if err != nil || len(events)+len(records) != elements {
					t.Fatalf("alone: %d events, %d bad records, %v, want %d in all", len(events), len(records), err, elements)
				}
				return
			default:
				if err != io.EOF {
					t.Fatalf("an error that is not promised: %v", err)
				}
				for rest := data; len(rest) > 0; {
					if rest, err = Skip(rest); err != nil {
						t.Fatalf("the end of what is %v", err)
					}
				}
				return
			}
			if elements++; elements > len(data) {
				t.Fatal("more elements than bytes")
			}
		}
	})
}

// place tells where in data its part is.
func place(t *testing.T, data, part []byte) int {
	t.Helper()
	for i := range data {
		if &data[i] == &part[0] {
			return i
		}
	}
	t.Fatal("not in the chunk")
	return 0
}

func FuzzSkip(f *testing.F) {
	for _, v := range []string{"", "\x05", body1, "\xc1", "\x91\xc1", "\xdf\xff\xff\xff\xff", "\xd9\x03abc", "\xc7\x02\x05ab", "\xdd\x00\x00\x00\x01\xcb", "\xc8\x00\x01\x05a"} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		rest, err := Skip(v)
		want, wantErr := msgp.Skip(v)
		if errors.Is(wantErr, msgp.ErrRecursion) {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, msgp says %v", v, err, wantErr)
		}
		if err == nil && !bytes.Equal(rest, want) {
			t.Fatalf("%q: got rest %q, want %q", v, rest, want)
		}
	})
}

func FuzzLookup(f *testing.F) {
	f.Add([]byte("\x82\xa1a\x81\xa1b\x02\xc4\x01c\x03"), "a", "b")
	f.Add([]byte("\x83\xa1a\x01\xa1b\x02\xa1a\x03"), "a", "")
	f.Add([]byte("\x82\x05\x01\x91\x01\x81\xa1x\x02"), "x", "y")
	f.Add([]byte("\xde\x00\x01\xd9\x01a\xdf\x00\x00\x00\x01\xda\x00\x01b\xc0"), "a", "b")
	f.Fuzz(func(t *testing.T, body []byte, a, b string) {
		for _, path := range [][]string{nil, {a}, {a, b}, {b, a, a}} {
			value, ok := Lookup(body, path)
			if ok {
				place(t, body, value)
				if rest, err := Skip(value); err != nil || len(rest) != 0 {
					t.Fatalf("%q in %q: %q is not one value", path, body, value)
				}
			}
			want, found := slowLookup(body, path)
			if ok != found || !bytes.Equal(value, want) {
				t.Fatalf("%q in %q: got %q, %v, want %q, %v", path, body, value, ok, want, found)
			}
		}
	})
}

// slowLookup is Lookup by the readers of tinylib/msgp.
func slowLookup(body []byte, path []string) ([]byte, bool) {
	for _, name := range path {
		n, b, err := msgp.ReadMapHeaderBytes(body)
		if err != nil {
			return nil, false
		}
		found := false
		for ; n > 0 && !found; n-- {
			var key []byte
			switch msgp.NextType(b) {
			case msgp.StrType:
				key, b, err = msgp.ReadStringZC(b)
				found = string(key) == name
			case msgp.BinType:
				key, b, err = msgp.ReadBytesZC(b)
				found = string(key) == name
			default:
				b, err = msgp.Skip(b)
			}
			if err != nil {
				return nil, false
			}
			if found {
				break
			}
			if b, err = msgp.Skip(b); err != nil {
				return nil, false
			}
		}
		if !found {
			return nil, false
		}
		body = b
	}
	rest, err := msgp.Skip(body)
	if err != nil {
		return nil, false
	}
	return body[:len(body)-len(rest)], true
}
