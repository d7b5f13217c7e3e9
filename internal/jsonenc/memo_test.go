package jsonenc

import (
	"bytes"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// forms are the ways to write a record: with a memo, and alone.
func forms(s *Shape) map[string][2]func(m *Memo, v []byte) (out, rest []byte, size int, err error) {
	now := []byte("now")
	return map[string][2]func(m *Memo, v []byte) (out, rest []byte, size int, err error){
		"json": {
			func(m *Memo, v []byte) ([]byte, []byte, int, error) {
				out, rest, err := m.AppendJSON([]byte("dst"), v)
				return out, rest, 0, err
			},
			func(_ *Memo, v []byte) ([]byte, []byte, int, error) {
				out, rest, err := AppendJSON([]byte("dst"), v)
				return out, rest, 0, err
			},
		},
		"escaped": {
			func(m *Memo, v []byte) ([]byte, []byte, int, error) {
				out, size, rest, err := m.AppendEscaped([]byte("dst"), v)
				return out, rest, size, err
			},
			func(_ *Memo, v []byte) ([]byte, []byte, int, error) {
				out, size, rest, err := AppendEscaped([]byte("dst"), v)
				return out, rest, size, err
			},
		},
		"shaped": {
			func(m *Memo, v []byte) ([]byte, []byte, int, error) {
				out, err := m.AppendShaped([]byte("dst"), v, now, s)
				return out, nil, 0, err
			},
			func(_ *Memo, v []byte) ([]byte, []byte, int, error) {
				out, err := s.AppendJSON([]byte("dst"), v, now)
				return out, nil, 0, err
			},
		},
	}
}

// compareMemo writes all of vs with one memo, in every form, and wants what each
// is alone.
func compareMemo(t *testing.T, s *Shape, vs ...[]byte) {
	t.Helper()
	var shared Memo // all forms one after the other: it must tell them apart
	for name, f := range forms(s) {
		var m Memo
		for i, v := range vs {
			want, wantRest, wantSize, wantErr := f[1](nil, v)
			for _, memo := range []*Memo{&m, &shared} {
				got, rest, size, err := f[0](memo, v)
				if !bytes.Equal(got, want) || !bytes.Equal(rest, wantRest) || size != wantSize || err != wantErr {
					t.Fatalf("%s %d: got %q %q %d %v, want %q %q %d %v", name, i, got, rest, size, err, want, wantRest, wantSize, wantErr)
				}
			}
		}
	}
}

func TestMemo(t *testing.T) {
	dots := "_"
	pod := func(name string) []byte {
		b := msgp.AppendMapHeader(nil, 2)
		b = msgp.AppendString(b, "pod.name")
		b = msgp.AppendString(b, name)
		b = msgp.AppendString(b, "a \"label\"")
		return msgp.AppendString(b, "with\nlines \x01 and ümlauts \xff")
	}
	record := func(values ...[]byte) []byte {
		b := msgp.AppendMapHeader(nil, uint32(len(values)))
		for i, v := range values {
			b = append(msgp.AppendString(b, string(rune('a'+i))), v...)
		}
		return b
	}
	a, b := pod("web-1"), pod("web-2")
	list := append([]byte{0x92}, append(a, b...)...)
	long := append([]byte{0xdc, 0x80, 0x00}, bytes.Repeat([]byte{7}, 0x8000)...) // not remembered
	one := []byte{1}
	deep := append(bytes.Repeat([]byte{0x91}, maxDepth), 1)
	for _, s := range []*Shape{nil, {}, {Keys: []string{"b", "c"}}, {ReplaceDots: &dots, TimeKey: "t"}} {
		compareMemo(t, s, record(one, a), record(one, a), record(one, b), record(one, a), record(a, one), record(one, one, a),
			record(list), record(list), record(a), record(long), record(long), record(deep), record(deep), record(), one, nil,
			record(one, a)[:40], record(one, a), append(record(one, a), 5, 6))
		var many [][]byte // more values than a memo has places, that change and stay
		for i := range 200 {
			r := make([][]byte, 12)
			for k := range r {
				r[k] = pod("web-" + string(rune('a'+(i>>k)%26)))
			}
			many = append(many, record(r...))
		}
		compareMemo(t, s, many...)
		for cut := range len(record(one, a)) {
			compareMemo(t, s, record(one, a)[:cut])
		}
	}
}

// What is remembered: maps and arrays that are neither small nor large, and of
// those that are others each time only some.
func TestMemoRemembers(t *testing.T) {
	value := func(n int) []byte { return append([]byte{0xdc, byte((n - 3) >> 8), byte(n - 3)}, make([]byte, n-3)...) }
	for n, want := range map[int]bool{31: false, 32: true, 32 << 10: true, 32<<10 + 1: false} {
		var m Memo
		// The same one twice, the second behind other bytes.
		if _, _, err := m.AppendJSON(nil, append([]byte("\x82\xa1a\x01\xa1b"), value(n)...)); err != nil {
			t.Fatal(err)
		}
		if got := len(m.values[1].src) == n; got != want || len(m.values[0].src) != 0 {
			t.Errorf("%d bytes: remembered %v, want %v", n, got, want)
		}
	}

	var m Memo
	var last []byte
	kept := 0
	for i := range 130 {
		v := value(40)
		v[20] = byte(i % 0x7f)
		if _, _, err := m.AppendJSON(nil, append([]byte("\x81\xa1a"), v...)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.values[0].src, last) {
			last = bytes.Clone(m.values[0].src)
			kept++
		}
	}
	if kept != 10 { // the first 8, and 2 of those behind
		t.Errorf("kept %d of 130 that differ", kept)
	}
}

func TestIsContainer(t *testing.T) {
	for c := range 256 {
		kind := msgp.NextType([]byte{byte(c), 0, 0, 0, 0, 0})
		if got, want := isContainer(byte(c)), kind == msgp.MapType || kind == msgp.ArrayType; got != want {
			t.Errorf("%#x: got %v, want %v", c, got, want)
		}
	}
}

// A memo keeps copies: the chunk that a record was in is not there for long.
func TestMemoCopies(t *testing.T) {
	v := record0()
	var m Memo
	want, _, _ := m.AppendJSON(nil, v)
	want = bytes.Clone(want)
	again := bytes.Clone(v)
	clear(v)
	if got, _, err := m.AppendJSON(nil, again); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestMemoIsOfUse(t *testing.T) {
	var m Memo
	v := record0()
	_, _, _ = m.AppendJSON(nil, v)
	hits := 0
	for i := range m.values {
		if len(m.values[i].src) > 0 {
			m.values[i].text = []byte("REMEMBERED")
			hits++
		}
	}
	out, _, _ := m.AppendJSON(nil, v)
	if hits != 1 || bytes.Count(out, []byte("REMEMBERED")) != 1 {
		t.Errorf("got %s", out)
	}
}

// record0 is a record as the kubernetes filter makes it.
func record0() (body []byte) {
	eachBody(nil, kubernetesChunk(1), func(b []byte) { body = bytes.Clone(b) })
	return body
}

func FuzzMemo(f *testing.F) {
	addPair := func(v []byte) { f.Add(v, 50, byte('x')) }
	addPair(record0())
	addPair([]byte("\x81\xa1a\x81\xa1b\xd9\x20" + "0123456789\"bcdef0123456789abcdef"))
	dots := "."
	f.Fuzz(func(t *testing.T, v []byte, at int, c byte) {
		other := bytes.Clone(v)
		if len(other) > 0 {
			other[uint(at)%uint(len(other))] = c
		}
		for _, s := range []*Shape{nil, {ReplaceDots: &dots, TimeKey: "a"}} {
			compareMemo(t, s, v, v, other, v, other, other)
		}
	})
}
