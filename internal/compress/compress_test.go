package compress

import (
	"bytes"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

func mustNew(t testing.TB, name string) *Compressor {
	t.Helper()
	c, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// decode reads one whole stream back: gzip and zlib with the standard library,
// snappy with the decoder below, zstd with the other half of its package.
func decode(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	var out []byte
	var err error
	switch name {
	case "gzip":
		r := bytes.NewReader(b)
		var z *stdgzip.Reader
		if z, err = stdgzip.NewReader(r); err == nil {
			z.Multistream(false)
			if out, err = io.ReadAll(z); err == nil && r.Len() > 0 {
				err = fmt.Errorf("%d bytes behind the stream", r.Len())
			}
		}
	case "zlib":
		r := bytes.NewReader(b)
		var z io.ReadCloser
		if z, err = stdzlib.NewReader(r); err == nil {
			if out, err = io.ReadAll(z); err == nil && r.Len() > 0 {
				err = fmt.Errorf("%d bytes behind the stream", r.Len())
			}
		}
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)); err == nil {
			defer d.Close()
			out, err = d.DecodeAll(b, nil)
		}
	case "snappy":
		out, err = decodeSnappy(b)
	}
	if err != nil {
		t.Fatalf("%s: cannot decode %d bytes: %v", name, len(b), err)
	}
	return out
}

// decodeSnappy follows google/snappy's format_description.txt: a length, then
// literals and copies of what came before.
func decodeSnappy(b []byte) ([]byte, error) {
	errCorrupt := errors.New("not a snappy block")
	size, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, errCorrupt
	}
	var out []byte
	for b = b[n:]; len(b) > 0; {
		tag := b[0]
		length, offset, used := int(tag>>2)+1, 0, 1
		switch tag & 3 {
		case 0:
			if extra := length - 60; extra > 0 {
				var le [4]byte
				copy(le[:], b[1:1+extra])
				length, used = int(binary.LittleEndian.Uint32(le[:]))+1, 1+extra
			}
			if len(b) < used+length {
				return nil, errCorrupt
			}
			out = append(out, b[used:used+length]...)
			b = b[used+length:]
			continue
		case 1:
			length, offset, used = int(tag>>2&7)+4, int(tag>>5)<<8|int(b[1]), 2
		case 2:
			offset, used = int(binary.LittleEndian.Uint16(b[1:])), 3
		case 3:
			offset, used = int(binary.LittleEndian.Uint32(b[1:])), 5
		}
		if offset == 0 || offset > len(out) {
			return nil, errCorrupt
		}
		for ; length > 0; length-- {
			out = append(out, out[len(out)-offset])
		}
		b = b[used:]
	}
	if uint64(len(out)) != size {
		return nil, errCorrupt
	}
	return out, nil
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

// logLines is n bytes of lines that repeat as logs do.
func logLines(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"log":"GET /orders/%d status=%d took %dms","stream":"stdout","pod":"orders-%x"}`+"\n",
			r.IntN(1e6), 200+r.IntN(300), r.IntN(1000), r.Uint32())
	}
	return b[:n]
}

func inputs() map[string][]byte {
	return map[string][]byte{
		"empty":          {},
		"one byte":       {'x'},
		"short":          []byte(`{"log":"hello"}`),
		"record":         logLines(1, 900),
		"64 KiB":         logLines(2, 1<<16),
		"300 KB":         logLines(3, 300_000),
		"zeros":          make([]byte, 1<<18),
		"random":         random(1, 10_000),
		"random 200 KiB": random(2, 200<<10),
	}
}

func TestRoundTrip(t *testing.T) {
	for _, name := range Names {
		c := mustNew(t, name)
		for what, in := range inputs() {
			out := c.Append([]byte("before"), in)
			if !bytes.HasPrefix(out, []byte("before")) {
				t.Errorf("%s of %s: what was in dst is gone", name, what)
				continue
			}
			if got := decode(t, name, out[6:]); !bytes.Equal(got, in) {
				t.Errorf("%s of %s: %d bytes came back, want the %d that went in", name, what, len(got), len(in))
			}
		}
	}
}

// TestRoomInDst appends to slices with every amount of room around what is
// needed, with bytes behind dst's length that must not show.
func TestRoomInDst(t *testing.T) {
	in := logLines(4, 300)
	for _, name := range Names {
		c := mustNew(t, name)
		want := c.Append(nil, in)
		for room := 0; room < 2*len(in)+64; room += 7 {
			dst := bytes.Repeat([]byte("#"), 3+room)[:3]
			if got := c.Append(dst, in); string(got) != "###"+string(want) {
				t.Errorf("%s: with room for %d bytes the result differs", name, room)
			}
		}
	}
}

func TestFormats(t *testing.T) {
	in := logLines(5, 900)
	for _, tt := range []struct {
		name, prefix string // the first bytes, in hex
	}{
		{"gzip", "1f8b08000000000000ff"}, // deflate, no flags, no time, unknown system
		{"zlib", "78"},
		{"zstd", "28b52ffd"},
		{"snappy", fmt.Sprintf("%x", binary.AppendUvarint(nil, 900))},
	} {
		if got := fmt.Sprintf("%x", mustNew(t, tt.name).Append(nil, in)); !strings.HasPrefix(got, tt.prefix) {
			t.Errorf("%s begins with %.20s, want %s", tt.name, got, tt.prefix)
		}
	}
	for _, size := range []int{0, 1, 900, 300_000} {
		var h zstd.Header
		if err := h.Decode(mustNew(t, "zstd").Append(nil, logLines(6, size))); err != nil {
			t.Fatal(err)
		}
		if h.HasCheckSum || !h.HasFCS || h.FrameContentSize != uint64(size) {
			t.Errorf("zstd of %d bytes: checksum %v, size %v %d", size, h.HasCheckSum, h.HasFCS, h.FrameContentSize)
		}
	}
}

func TestUnknownName(t *testing.T) {
	for _, name := range []string{"", "none", "GZIP", "arrow"} {
		c, err := New(name)
		want := fmt.Sprintf("cannot compress as %q: allowed is gzip, zlib, zstd, snappy", name)
		if c != nil || err == nil || err.Error() != want {
			t.Errorf("%q: got %v and %v, want %q", name, c, err, want)
		}
	}
}

// TestSameInputSameOutput: encoders are used again, and nothing of what they
// compressed before may show in what comes next.
func TestSameInputSameOutput(t *testing.T) {
	for _, name := range Names {
		fresh := map[string][]byte{}
		for what, in := range inputs() {
			fresh[what] = mustNew(t, name).Append(nil, in)
		}
		c := mustNew(t, name)
		e := c.newEncoder() // without the pool, which may hand out a new one
		for range 3 {
			for what, in := range inputs() {
				if got := e.append(nil, in); !bytes.Equal(got, fresh[what]) {
					t.Errorf("%s of %s: %d bytes from a used encoder, other %d from a new one", name, what, len(got), len(fresh[what]))
				}
			}
		}
	}
}

// TestManyThreads is for the race detector, and for the pool: an encoder in two
// hands would mix their output.
func TestManyThreads(t *testing.T) {
	for _, name := range Names {
		c := mustNew(t, name)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 6 {
					in := logLines(uint64(w*100+i), 500+i*50)
					if got := decode(t, name, c.Append(nil, in)); !bytes.Equal(got, in) {
						t.Errorf("%s: record %d of thread %d came back wrong", name, i, w)
					}
					fitted, cut := c.AppendFit(nil, in, 150, cutRunes, "~")
					if got := decode(t, name, fitted); !cut || len(fitted) > 150 || !bytes.HasPrefix(in, bytes.TrimSuffix(got, []byte("~"))) {
						t.Errorf("%s: record %d of thread %d was cut wrong", name, i, w)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	in := logLines(7, 900)
	for _, name := range Names {
		e := mustNew(t, name).newEncoder() // the pool itself may be emptied by a collection
		dst := e.append(make([]byte, 0, 4096), in)
		if n := testing.AllocsPerRun(100, func() { e.append(dst[:0], in) }); n != 0 {
			t.Errorf("%s: %v allocations a record, want 0", name, n)
		}
	}
}

// cutRunes is the cut the plugins use, in its simplest form.
func cutRunes(text []byte, n int) int {
	if n >= len(text) {
		return len(text)
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return n
}

const marker = "[Truncated...]"

func hard() map[string][]byte {
	return map[string][]byte{
		"log lines":           logLines(8, 2000),
		"random":              random(8, 2000),
		"random, then zeros":  slices.Concat(random(9, 500), make([]byte, 1500)),
		"zeros, then random":  slices.Concat(make([]byte, 1500), random(9, 500)),
		"in turns":            slices.Concat(random(3, 250), make([]byte, 1000), random(4, 250), logLines(4, 600)),
		"characters of three": []byte(strings.Repeat("漢字仮名交じり文", 80)),
		"characters of four":  []byte(strings.Repeat("🜁🜂🜃🜄", 130)),
	}
}

// TestFitIsNearlyTheBest tries cuts all along texts of each kind, and compares
// the first that does not fit with what AppendFit finds.
func TestFitIsNearlyTheBest(t *testing.T) {
	for _, name := range Names {
		c := mustNew(t, name)
		for what, in := range hard() {
			const step = 24              // divides into characters of 1 to 4 bytes
			size := make([]int, len(in)) // of the prefix that long, 0 if not tried
			var buf []byte
			for n := 0; n < len(in); n += step {
				buf = c.Append(buf[:0], append(in[:n:n], marker...))
				size[n] = len(buf)
			}
			whole := len(c.Append(nil, in))
			for _, limit := range []int{64, 100, 300, 777, whole - 1} {
				if limit >= whole {
					continue
				}
				// Sizes waver by some bytes, so a longer one may fit again.
				tooLong := slices.IndexFunc(size, func(s int) bool { return s > limit })
				out, truncated := c.AppendFit([]byte("before"), in, limit, cutRunes, marker)
				out, ok := bytes.CutPrefix(out, []byte("before"))
				if !ok || !truncated || len(out) > limit {
					t.Errorf("%s of %s in %d: %d bytes, truncated %v, what was in dst kept %v", name, what, limit, len(out), truncated, ok)
					continue
				}
				text, ok := bytes.CutSuffix(decode(t, name, out), []byte(marker))
				if !ok || !bytes.HasPrefix(in, text) || cutRunes(in, len(text)) != len(text) {
					t.Errorf("%s of %s in %d: %d bytes, not a prefix of whole characters with the marker behind it", name, what, limit, len(text))
				}
				if len(text) < (tooLong-step)*9/10-4 {
					t.Errorf("%s of %s in %d: cut at %d, but all below %d would fit", name, what, limit, len(text), tooLong)
				}
			}
		}
	}
}

// TestFitTakesFewTries: ten full rounds and then the record was lost, in the
// plugins before this one.
func TestFitTakesFewTries(t *testing.T) {
	const limit = 1 << 15
	for _, name := range Names {
		c := mustNew(t, name)
		for what, tt := range map[string]struct {
			in    []byte
			limit int
			tries int
		}{
			"random":                 {random(1, 3*limit), limit, 4},
			"log lines":              {logLines(1, 3*limit), 5000, 6},
			"ten times too long":     {random(5, 10*limit), limit, 4},
			"random, then log lines": {slices.Concat(random(2, limit), logLines(2, 8*limit)), limit, 16},
			"log lines, then random": {slices.Concat(logLines(2, 8*limit), random(2, limit)), limit, 16},
			"into almost nothing":    {random(3, 3*limit), 60, 16},
		} {
			size := len(c.Append(nil, tt.in))
			if size <= tt.limit {
				t.Fatalf("%s of %s: %d bytes, nothing to cut", name, what, size)
			}
			var s search
			s.run(c, tt.in, size, tt.limit, cutRunes, marker)
			if len(s.best) == 0 || len(s.best) > tt.limit || s.tries > tt.tries {
				t.Errorf("%s of %s: %d bytes in %d tries, want no more than %d bytes and %d tries", name, what, len(s.best), s.tries, tt.limit, tt.tries)
			}
		}
	}
}

// TestFitAtTheLimit: one byte decides whether a record is cut.
func TestFitAtTheLimit(t *testing.T) {
	in := logLines(9, 2000)
	for _, name := range Names {
		c := mustNew(t, name)
		size := len(c.Append(nil, in))
		for _, tt := range []struct {
			limit     int
			truncated bool
		}{{size - 1, true}, {size, false}, {size + 1, false}} {
			out, truncated := c.AppendFit([]byte("before"), in, tt.limit, cutRunes, marker)
			out = out[len("before"):]
			if truncated != tt.truncated || len(out) > tt.limit {
				t.Errorf("%s of %d bytes into %d: %d bytes, truncated %v", name, size, tt.limit, len(out), truncated)
			}
			if !truncated && !bytes.Equal(decode(t, name, out), in) {
				t.Errorf("%s: what fits came back changed", name)
			}
		}
	}
}

// TestFitSmall walks through small limits, as the tests of AWS's Kinesis plugin
// do from 150 to 200. There the record was lost where no room was left for the
// marker; here the marker arrives.
func TestFitSmall(t *testing.T) {
	in := random(10, 2000)
	for _, name := range Names {
		c := mustNew(t, name)
		least := len(c.Append(nil, []byte(marker)))
		if least > 64 {
			t.Errorf("%s: the marker alone takes %d bytes, and AppendFit's comment says 64", name, least)
		}
		for limit := 0; limit <= 250; limit += 1 + limit/100*9 {
			out, truncated := c.AppendFit([]byte("before"), in, limit, cutRunes, marker)
			out = out[len("before"):]
			if !truncated || len(out) > limit {
				t.Errorf("%s in %d: %d bytes, truncated %v", name, limit, len(out), truncated)
			}
			if (len(out) == 0) != (limit < least) {
				t.Errorf("%s in %d: %d bytes, but the marker alone takes %d", name, limit, len(out), least)
			}
			if len(out) > 0 && !bytes.HasSuffix(decode(t, name, out), []byte(marker)) {
				t.Errorf("%s in %d: no marker at the end", name, limit)
			}
		}
	}
}

// TestFitWhereNothingCanBeCut has a cut that finds no end of a character.
func TestFitWhereNothingCanBeCut(t *testing.T) {
	for _, name := range Names {
		out, truncated := mustNew(t, name).AppendFit(nil, random(11, 5000), 1000, func([]byte, int) int { return 0 }, marker+"\n")
		if got := string(decode(t, name, out)); got != marker+"\n" || !truncated {
			t.Errorf("%s: got %q, truncated %v, want the marker alone", name, got, truncated)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{900, 100_000} {
		for _, name := range Names {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				c, in := mustNew(b, name), logLines(1, size)
				var dst []byte
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					dst = c.Append(dst[:0], in)
				}
				b.ReportMetric(float64(len(dst))/float64(size), "ratio")
			})
		}
	}
}

func BenchmarkAppendFit(b *testing.B) {
	in := random(1, 3<<20)
	for _, name := range Names {
		b.Run(name, func(b *testing.B) {
			c := mustNew(b, name)
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = c.AppendFit(dst[:0], in, 1<<20, cutRunes, marker)
			}
		})
	}
}
