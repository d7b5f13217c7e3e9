package records

import (
	"fmt"
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
