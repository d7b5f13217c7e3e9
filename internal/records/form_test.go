package records

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
)

// parse reads a form: name, value and so on.
func parse(opts ...string) (Form, error) {
	all := make(map[string]string)
	for i := 0; i < len(opts); i += 2 {
		all[opts[i]] = opts[i+1]
	}
	s := options.New(func(name string) string { return all[name] })
	return ParseForm(s, false, 1<<20, 10<<20), s.Err()
}

func TestParseForm(t *testing.T) {
	f, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	f.time = nil // its own package's tests
	if want := (Form{limit: 1 << 20}); !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v, want %+v", f, want)
	}
	f, err = parse("data_keys", "a, b", "log_key", "l", "replace_dots", "-", "time_key", "t", "simple_aggregation", "yes", "max_record_size", "2M")
	if err != nil {
		t.Fatal(err)
	}
	if f.pick.LogKey() != "l" {
		t.Errorf("log_key is %q", f.pick.LogKey())
	}
	f.time, f.pick = nil, fields.Pick{}
	dash := "-"
	want := Form{shape: jsonenc.Shape{Keys: []string{"a", "b"}, ReplaceDots: &dash, TimeKey: "t"}, shaped: true,
		newline: true, limit: 2 << 20, concat: true}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got  %+v\nwant %+v", f, want)
	}
	for _, name := range []string{"gzip", "zlib", "zstd", "snappy", "GZip"} {
		if f, err := parse("compression", name); err != nil || f.compressor == nil {
			t.Errorf("%s: got %v and %v", name, f.compressor, err)
		}
	}
	if f, err := parse("compression", "none"); err != nil || f.compressor != nil {
		t.Errorf("got %v and %v, want no compression", f.compressor, err)
	}
}

// A time format is refused even where nothing uses it: somebody meant something.
func TestTimeFormatWithoutKey(t *testing.T) {
	if _, err := parse("time_key_format", "%Q"); err == nil || !strings.HasPrefix(err.Error(), `option time_key_format: cannot use "%Q": allowed is`) {
		t.Errorf("got %v", err)
	}
}

// newFlush is a flush of one instance.
func newFlush() (*delivery.Flush, *delivery.Counters) {
	c := new(delivery.Counters)
	return delivery.New(delivery.Env{Counters: c}, options.New(func(string) string { return "" })).Begin(delivery.Chunk{}), c
}

// TestWritersAreClean: what comes from the pool shows nothing of its past, whose
// form may have been another.
func TestWritersAreClean(t *testing.T) {
	flush, _ := newFlush()
	event := &chunk.Event{Body: []byte("\x82\xa3a.b\x01\xa1c\x81\xa3d.e\xda\x00\x28" + strings.Repeat("x", 40))}
	for range 50 {
		for opts, want := range map[string]string{
			"":                      `{"a.b":1,"c":{"d.e":"` + strings.Repeat("x", 40) + `"}}`,
			"replace_dots _":        `{"a_b":1,"c":{"d_e":"` + strings.Repeat("x", 40) + `"}}`,
			"replace_dots -":        `{"a-b":1,"c":{"d-e":"` + strings.Repeat("x", 40) + `"}}`,
			"data_keys c":           `{"c":{"d.e":"` + strings.Repeat("x", 40) + `"}}`,
			"simple_aggregation on": `{"a.b":1,"c":{"d.e":"` + strings.Repeat("x", 40) + `"}}` + "\n",
		} {
			f, err := parse(strings.Fields(opts)...)
			if err != nil {
				t.Fatal(err)
			}
			w := f.NewWriter(flush)
			if data, ok := w.Write(0, event, 0); !ok || string(data) != want {
				t.Fatalf("%s: got %s, want %s", opts, data, want)
			}
			sent := ""
			together := w.Concat(func(data []byte, indexes []int) { sent += fmt.Sprint(string(data), indexes) })
			together.Flush()
			together.Add([]byte("fresh"), 7)
			together.Flush()
			if sent != "fresh[7]" {
				t.Fatalf("%s: %q was sent", opts, sent)
			}
			w.Concat(func([]byte, []int) {}).Add([]byte("left behind"), 1)
			w.Free()
		}
	}
}

// TestConcatAfterPanic: what was being sent is not sent a second time.
func TestConcatAfterPanic(t *testing.T) {
	f, err := parse("simple_aggregation", "on", "max_record_size", "4K")
	if err != nil {
		t.Fatal(err)
	}
	flush, _ := newFlush()
	var got []string
	fail := true
	c := f.NewWriter(flush).Concat(func(data []byte, indexes []int) {
		if fail {
			panic("a fault")
		}
		got = append(got, fmt.Sprint(string(data[:3]), indexes))
	})
	c.Add([]byte("old"), 0)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		c.Add(make([]byte, 4096), 1)
	}()
	fail = false
	c.Add([]byte("new"), 2)
	c.Flush()
	c.Flush()
	if want := []string{"new[2]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConcatFillsItsRoom: to the byte.
func TestConcatFillsItsRoom(t *testing.T) {
	f, err := parse("simple_aggregation", "on", "max_record_size", "4K")
	if err != nil {
		t.Fatal(err)
	}
	flush, _ := newFlush()
	var sizes []int
	c := f.NewWriter(flush).Concat(func(data []byte, _ []int) { sizes = append(sizes, len(data)) })
	for _, size := range []int{f.Room() - 10, 10, f.Room() - 10, 11} {
		c.Add(make([]byte, size), 0)
	}
	c.Flush()
	if want := []int{f.Room(), f.Room() - 10, 11}; !slices.Equal(sizes, want) {
		t.Errorf("sent %v bytes, want %v", sizes, want)
	}
}

// TestSizeLimits: one byte decides whether a record is cut or parted, with its
// newline, its partition key and its compression.
func TestSizeLimits(t *testing.T) {
	const key = 100
	noise := recordText(5000)
	for _, compression := range []string{"none", "gzip"} {
		for _, tooBig := range []string{"cut", "split", "drop"} {
			for _, newline := range []bool{false, true} {
				f, err := parse("log_key", "log", "compression", compression, "too_big", tooBig)
				if err != nil {
					t.Fatal(err)
				}
				f.newline = newline
				whole := len(noise) + len(f.ending())
				if f.compressor != nil {
					whole = len(f.compressor.Append(nil, append(noise, f.ending()...)))
				}
				for over := -1; over <= 1; over++ {
					f.limit = whole - over + key
					flush, counters := newFlush()
					flush.Record()
					w := f.NewWriter(flush)
					data, ok := w.Write(0, &chunk.Event{Body: append([]byte("\x81\xa3log\xda\x13\x88"), noise...)}, key)
					parts := 0
					w.EachPart(func(part []byte, _ int) {
						if parts++; len(part) > f.limit-key {
							t.Errorf("%s, %s, %+d: a part of %d bytes, limit is %d", compression, tooBig, over, len(part), f.limit-key)
						}
					})
					w.Free()
					cut, dropped := counters.Get(delivery.Truncated) > 0, counters.Dropped(delivery.TooLarge) > 0
					large := over > 0
					if len(data) > f.limit-key || ok != (!large || tooBig == "cut") || cut != (large && tooBig == "cut") || dropped != (large && tooBig == "drop") || (parts > 1) != (large && tooBig == "split") {
						t.Errorf("%s, %s, newline %v, %+d: %d bytes, %v, cut %v, dropped %v, %d parts: %v", compression, tooBig, newline, over, len(data), ok, cut, dropped, parts, counters)
					}
				}
			}
		}
	}
}

// recordText is text that hardly repeats.
func recordText(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(' ' + r.IntN(95))
	}
	return b
}

// TestPartsAreFull: a text of which two thirds go by compression is sent in few
// more parts than its compressed size asks for.
func TestPartsAreFull(t *testing.T) {
	f, err := parse("log_key", "log", "compression", "gzip", "too_big", "split", "max_record_size", "8K")
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, c := range recordText(60_000) {
		text = append(text, c, ' ', ' ', ' ')
	}
	least := len(f.compressor.Append(nil, text))/(8<<10) + 1
	flush, _ := newFlush()
	flush.Record()
	w := f.NewWriter(flush)
	n := uint32(len(text))
	body := append([]byte{0x81, 0xa3, 'l', 'o', 'g', 0xdb, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, text...)
	if _, ok := w.Write(0, &chunk.Event{Body: body}, 0); ok {
		t.Fatal("it is not too large")
	}
	parts := 0
	w.EachPart(func(data []byte, _ int) { parts++ })
	if parts < least || parts > least*4/3+1 {
		t.Errorf("%d parts, want %d or few more", parts, least)
	}
}

// TestPoolsKeepNoHugeBuffers: what one large record asked for is not kept for ever,
// and else buffers are used again.
func TestPoolsKeepNoHugeBuffers(t *testing.T) {
	var f Form
	huge := func(n int) map[string]func(w *Writer) {
		return map[string]func(w *Writer){
			"text":   func(w *Writer) { w.text = make([]byte, n) },
			"picked": func(w *Writer) { w.picked = make([]byte, n) },
			"data":   func(w *Writer) { w.data = make([]byte, n) },
			"concat": func(w *Writer) { w.concat.texts = make([]byte, n) },
		}
	}
	tries := func(n int) int { return 2 + 20*(12345/n) } // the pool may lose some, and has others
	again := func(n int, set func(w *Writer)) bool {
		for range tries(n) {
			w := new(Writer)
			set(w)
			w.Free()
			w = f.NewWriter(nil)
			if cap(w.text)+cap(w.picked)+cap(w.data)+cap(w.concat.texts) == n {
				return true
			}
		}
		return false
	}
	for name, set := range huge(maxPooled + 1) {
		if again(maxPooled+1, set) {
			t.Errorf("a writer's %s of %d bytes is kept", name, maxPooled+1)
		}
	}
	for name, set := range huge(12345) {
		if !again(12345, set) {
			t.Errorf("a writer's %s is not used again", name)
		}
	}
	for _, n := range []int{12345, maxPooled + 1} {
		seen := false
		for range tries(n) {
			(&batch{spares: &pool, buffer: new(buffer), body: make([]byte, n)}).Free()
			b := newBatch(asJSON)
			seen = seen || cap(b.body) == n
		}
		if seen != (n <= maxPooled) {
			t.Errorf("a batch's body of %d bytes is used again: %v", n, seen)
		}
	}
}

// TestRoom: what is put together before it is compressed is within the limit
// afterwards, whatever it is.
func TestRoom(t *testing.T) {
	for _, name := range []string{"gzip", "zlib", "zstd", "snappy"} {
		for _, limit := range []int{4 << 10, 5000, 1 << 20, 10 << 20} {
			f, err := parse("compression", name, "simple_aggregation", "on", "max_record_size", fmt.Sprint(limit))
			if err != nil {
				t.Fatal(err)
			}
			flush, counters := newFlush()
			w := f.NewWriter(flush)
			texts := make([]byte, f.Room())
			for i := range texts {
				texts[i] = byte(i*i>>3 ^ i*7919>>5) // hardly anything repeats
			}
			if data := w.Together(texts, 0); len(data) > limit || counters.Get(delivery.Truncated) != 0 {
				t.Errorf("%s: %d bytes become %d, limit is %d", name, len(texts), len(data), limit)
			}
		}
	}
}
