package recordstest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// Mark ends a record that was cut.
const Mark = "[Truncated...]"

// Form tests the options that say what a record looks like.
func (s *Subject) Form(t *testing.T) {
	t.Run("plain", s.plain)
	t.Run("data_keys", s.dataKeys)
	t.Run("exclude_keys", s.excludeKeys)
	t.Run("log_key", s.logKey)
	t.Run("log_key_missing", s.logKeyMissing)
	t.Run("replace_dots", s.replaceDots)
	t.Run("time_key", s.timeKey)
	t.Run("compression", s.compression)
	t.Run("simple_aggregation", s.simpleAggregation)
	t.Run("odd chunks", s.oddChunks)
}

// form wants a chunk of bodies to arrive as these texts, in this order.
func (s *Subject) form(t *testing.T, name string, opts []string, bodies []any, want ...string) {
	t.Run(name, func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, opts...)
		r.Want(delivery.OK, Chunk(bodies...))
		for i := range want {
			want[i] = s.Ended(want[i])
		}
		r.WantData(want...)
		r.Account(len(bodies), len(bodies), 0)
	})
}

func (s *Subject) plain(t *testing.T) {
	f := func(name string, body any, want string) { t.Helper(); s.form(t, name, nil, []any{body}, want) }
	f("a map", Map{"log", "text", "n", 1, "map", Map{"b", true, "a", nil}, "list", []any{1.5, "x"}},
		`{"log":"text","n":1,"map":{"b":true,"a":null},"list":[1.5,"x"]}`)
	f("what JSON escapes", Map{"a\"\\\n\x01", "\"quoted\"\\\n\r\t\x00\x1f\x7f"}, `{"a\"\\\n\u0001":"\"quoted\"\\\n\r\t\u0000\u001f`+"\x7f"+`"}`)
	f("what JSON need not escape", Map{"<&>", "日本語 é 😀 \u2028\u2029/"}, `{"<&>":"日本語 é 😀 `+"\u2028\u2029"+`/"}`)
	f("text that is not UTF-8", Map{"a", "x\xffy\xc3"}, "{\"a\":\"x\uFFFDy\uFFFD\"}")
	f("binary", Map{"a", []byte("x\x00\xfe")}, "{\"a\":\"x\\u0000\uFFFD\"}")
	f("an empty map", Map{}, `{}`)
	s.form(t, "several", nil, []any{Map{"a", 1}, Map{"a", 2}}, `{"a":1}`, `{"a":2}`)
}

// AWS's Go plugins do not trim the names: "log, source" loses source.
func (s *Subject) dataKeys(t *testing.T) {
	body := Map{"log", "text", "a.b", 1, "source", "stdout", "c", Map{"log", "inner"}}
	f := func(value, want string) {
		t.Helper()
		s.form(t, fmt.Sprintf("%q", value), []string{"data_keys", value}, []any{body}, want)
	}
	f("log,source", `{"log":"text","source":"stdout"}`)
	f(" source ,, log , ", `{"log":"text","source":"stdout"}`) // in the record's order
	f("c", `{"c":{"log":"inner"}}`)
	f("a.b", `{"a.b":1}`)
	f("nothing", `{}`)
	s.form(t, "with dots replaced", []string{"data_keys", "a.b,log", "replace_dots", "-"}, []any{body}, `{"log":"text","a-b":1}`)
}

// Keys of nested maps are kept within their maps, and left out of them.
func (s *Subject) excludeKeys(t *testing.T) {
	body := Map{"log", "text", "kubernetes", Map{"pod", "p", "labels", Map{"app", "web", "hash", "x"}}, "n", 1}
	f := func(want string, opts ...string) {
		t.Helper()
		s.form(t, strings.Join(opts, " "), opts, []any{body, body}, want, want)
	}
	f(`{"kubernetes":{"pod":"p"},"n":1}`, "data_keys", "n,kubernetes->pod")
	f(`{"kubernetes":{"labels":{"app":"web"}}}`, "data_keys", "$kubernetes['labels']['app'],log->x")
	f(`{"log":"text","kubernetes":{"pod":"p"}}`, "exclude_keys", "n, kubernetes->labels")
	f(`{"kubernetes":{"labels":{"app":"web"}},"n":1}`, "data_keys", "kubernetes,n", "exclude_keys", "kubernetes->labels->hash,$kubernetes['pod']")
	f(`{}`, "exclude_keys", "n,log,kubernetes")
	f(`{"log":"text","@t":"2023-11-14T22:13:20"}`, "exclude_keys", "n,kubernetes,@t", "time_key", "@t", "time_key_format", "2023-11-14T22:13:20")
	s.form(t, "with dots replaced", []string{"exclude_keys", "m->a.b", "replace_dots", "_"}, []any{Map{"m", Map{"a.b", 1, "c.d", 2}}}, `{"m":{"c_d":2}}`)
}

// logKeyMissing has records without the key go whole, and counts them.
func (s *Subject) logKeyMissing(t *testing.T) {
	r := s.Start(t, awslocal.Config{}, "log_key", "log, $m['l'][0]", "log_key_missing", "record", "exclude_keys", "secret", "time_key", "t", "time_key_format", "now")
	r.Want(delivery.OK, Chunk(Line("1"), Map{"m", Map{"l", []any{"2"}}}, Map{"m", Map{"l", []any{}}, "secret", 3}, Map{"log", "4", "m", Map{"l", []any{"5"}}}, "no map"))
	r.WantData(s.Ended("1"), s.Ended("2"), s.Ended(`{"m":{"l":[]},"t":"now"}`), s.Ended("4"), s.Ended(`"no map"`))
	r.Account(5, 5, 0)
	if got := r.Counters.Get(delivery.SentWhole); got != 2 {
		t.Errorf("%d records count as sent whole, want 2", got)
	}
	r.Log.None(t, "log_key")
}

func (s *Subject) logKey(t *testing.T) {
	f := func(name string, value any, want string) {
		t.Helper()
		s.form(t, name, LogKey, []any{Map{"other", 1, "log", value, "log2", "x"}}, want)
	}
	f("text as it is", "two\nlines, \"quoted\" \\ and 日本", "two\nlines, \"quoted\" \\ and 日本")
	f("text that is not UTF-8", "x\xff", "x\uFFFD")
	f("binary", []byte("bytes"), "bytes")
	f("a number", -42, "-42")
	f("a fraction", 1.5, "1.5")
	f("a boolean", true, "true")
	f("nil", nil, "null")
	f("a map", Map{"a.b", []any{1, "x"}}, `{"a.b":[1,"x"]}`) // AWS's Go plugins send nothing
	f("a list", []any{1, Map{"a", nil}}, `[1,{"a":null}]`)

	s.form(t, "a map with dots replaced", append([]string{"replace_dots", "_"}, LogKey...),
		[]any{Map{"log", Map{"a.b", []any{Map{"c.d", 1}}}}, Map{"log", []any{Map{"e.f", 2}}}, Map{"log", "a.b"}},
		`{"a_b":[{"c_d":1}]}`, `[{"e_f":2}]`, "a.b")
	s.form(t, "whatever data_keys says", append([]string{"data_keys", "other"}, LogKey...), []any{Line("x")}, "x")

	t.Run("missing", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.Want(delivery.OK, Chunk(Map{"lo", 1}, Line("here"), Map{"logs", "secret text"}, Map{"a", Map{"log", 1}}, "no map"))
		r.WantData(s.Ended("here"))
		r.Account(5, 1, 0, delivery.MissingKey, 4)
		r.Log.Want(t, "warning", `it has no key "log", which option log_key names`)
		r.Log.None(t, "secret text")
	})
	t.Run("empty", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.Want(delivery.OK, Chunk(Line(""), Map{"log", []byte{}}, Line(" ")))
		r.WantData(s.Ended(" "))
		r.Account(3, 1, 0, delivery.Empty, 2)
	})
}

// AWS's Go plugins change a map while they walk over it: keys grow, or go lost.
func (s *Subject) replaceDots(t *testing.T) {
	f := func(name, value string, body Map, want string) {
		t.Helper()
		s.form(t, name, []string{"replace_dots", value}, []any{body}, want)
	}
	f("in maps", "_", Map{"a.b", Map{"c.d.e", Map{".f.", "g.h"}}}, `{"a_b":{"c_d_e":{"_f_":"g.h"}}}`)
	f("in lists of maps", "_", Map{"l", []any{Map{"a.b", 1}, []any{Map{"c.d", "x.y"}}}}, `{"l":[{"a_b":1},[{"c_d":"x.y"}]]}`)
	f("by what has dots", "..", Map{"a.b", 1, "c..d", 2}, `{"a..b":1,"c....d":2}`)
	f("by what JSON escapes", `"`, Map{"a.b", 1}, `{"a\"b":1}`)
	f("names that become one", "_", Map{"a.b", 1, "a_b", 2}, `{"a_b":1,"a_b":2}`)
	f("text for the log", "-", Map{"kubernetes", Map{"labels", Map{"app.kubernetes.io/name", "web"}}}, `{"kubernetes":{"labels":{"app-kubernetes-io/name":"web"}}}`)
	s.form(t, "with a time", []string{"replace_dots", "_", "time_key", "@t.s"}, []any{Map{"a.b", 1}}, `{"a_b":1,"@t_s":"2023-11-14T22:13:20"}`)
}

func (s *Subject) timeKey(t *testing.T) {
	f := func(name string, opts []string, body Map, want string) {
		t.Helper()
		s.form(t, name, append([]string{"time_key", "time"}, opts...), []any{body}, want)
	}
	f("default", nil, Map{"a", 1}, `{"a":1,"time":"2023-11-14T22:13:20"}`)
	f("of an empty record", nil, Map{}, `{"time":"2023-11-14T22:13:20"}`)
	f("in place of the record's own", nil, Map{"time", "old", "a", 1}, `{"a":1,"time":"2023-11-14T22:13:20"}`)
	f("with data_keys", []string{"data_keys", "a"}, Map{"a", 1, "b", 2}, `{"a":1,"time":"2023-11-14T22:13:20"}`)
	f("the record's own and data_keys", []string{"data_keys", "a,time"}, Map{"time", 0, "a", 1}, `{"a":1,"time":"2023-11-14T22:13:20"}`)
	f("format", []string{"time_key_format", "%d/%b/%Y:%H:%M:%S %z %j \"%A\""}, Map{}, `{"time":"14/Nov/2023:22:13:20 +0000 318 \"Tuesday\""}`)
	f("fractions", []string{"time_key_format", "%s.%L %f %N %3N %6N %9N %1N"}, Map{}, `{"time":"1700000000.123 123456 123456789 123 123456 123456789 1"}`)
	f("zone", []string{"time_key_timezone", "Asia/Tokyo", "time_key_format", "%Y-%m-%dT%H:%M:%S%z"}, Map{}, `{"time":"2023-11-15T07:13:20+0900"}`)
	f("local", []string{"time_key_timezone", "local", "time_key_format", "%Y-%m-%dT%H:%M:%S%z"}, Map{},
		`{"time":"`+time.Unix(Second, 0).Format("2006-01-02T15:04:05-0700")+`"}`)
	s.form(t, "of each record", []string{"time_key", "t", "time_key_format", "%S.%L"}, []any{Map{}, Map{}}, `{"t":"20.123"}`, `{"t":"21.123"}`)
	s.form(t, "not with log_key", append([]string{"time_key", "t"}, LogKey...), []any{Line("x")}, "x")
}

// Compressions are the values of option compression.
var Compressions = []string{"gzip", "zlib", "zstd", "snappy"}

// Decompress reads one whole record back. It fails on what is not all of one.
func Decompress(t testing.TB, name, data string) string {
	t.Helper()
	b := []byte(data)
	var out []byte
	var err error
	switch name {
	case "gzip":
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			out, err = io.ReadAll(z)
		}
	case "zlib":
		var z io.ReadCloser
		if z, err = zlib.NewReader(bytes.NewReader(b)); err == nil {
			out, err = io.ReadAll(z)
		}
	case "zstd":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			out, err = z.DecodeAll(b, nil)
		}
	case "snappy":
		out, err = snappy.Decode(nil, b)
	default:
		out = b
	}
	if err != nil {
		t.Fatalf("cannot read %d bytes as %s: %v", len(b), name, err)
	}
	return string(out)
}

// Noise is n characters that do not compress well, of one byte and of more.
func Noise(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		switch r.IntN(8) {
		case 0:
			b.WriteRune(rune(0x4e00 + r.IntN(20_000)))
		case 1:
			b.WriteRune(rune(0x1f300 + r.IntN(500)))
		default:
			b.WriteByte(byte('!' + r.IntN(94)))
		}
	}
	return b.String()
}

// checkCut checks that text is a long beginning of whole, with the mark behind it.
func (s *Subject) checkCut(t testing.TB, text, whole string, least int) {
	t.Helper()
	begin, ok := strings.CutSuffix(text, s.Ended(Mark))
	if !ok || !strings.HasPrefix(whole, begin) || !utf8.ValidString(begin) || len(begin) < least {
		t.Errorf("%d bytes that end in %q, want a beginning of %d bytes or more, whole characters, and %q", len(text), text[max(0, len(text)-40):], least, s.Ended(Mark))
	}
}

func (s *Subject) compression(t *testing.T) {
	const limit = 8 << 10
	small := func(name string, opts ...string) []string {
		return append([]string{"compression", name, "max_record_size", fmt.Sprint(limit), "log_key", "log"}, opts...)
	}
	for _, name := range Compressions {
		t.Run(name, func(t *testing.T) {
			r := s.Start(t, awslocal.Config{}, "compression", name, "data_keys", "a")
			r.Want(delivery.OK, Chunk(Map{"a", 1, "b", 2}, Map{"a", strings.Repeat("日本", 1000)}))
			data := r.Data()
			for i, want := range []string{`{"a":1}`, `{"a":"` + strings.Repeat("日本", 1000) + `"}`} {
				if got := Decompress(t, name, data[i]); got != s.Ended(want) {
					t.Errorf("got %.100q, want %.100q", got, want)
				}
			}
			if len(data[1]) > 1000 {
				t.Errorf("%d bytes, want fewer than 1,000", len(data[1]))
			}
			r.WantCount(delivery.Truncated, 0)
			r.Account(2, 2, 0)
		})
		t.Run(name+" makes it fit", func(t *testing.T) {
			text := strings.Repeat("many times the limit ", 4000)
			r := s.Start(t, awslocal.Config{}, small(name)...)
			r.Want(delivery.OK, Chunk(Line(text)))
			if got := Decompress(t, name, r.Data()[0]); got != s.Ended(text) {
				t.Errorf("got %d bytes, want %d", len(got), len(text))
			}
			r.WantCount(delivery.Truncated, 0)
		})
		t.Run(name+" and still too large", func(t *testing.T) {
			text := Noise(1, 20_000)
			r := s.Start(t, awslocal.Config{}, small(name)...)
			r.Want(delivery.OK, Chunk(Line(text), Line("next")))
			rec := r.Received()[0]
			if size := len(rec.Key) + len(rec.Data); size > limit || size < limit*8/10 {
				t.Errorf("%d bytes, want at most %d and not much less", size, limit)
			}
			s.checkCut(t, Decompress(t, name, rec.Data), text, limit*8/10)
			r.WantCount(delivery.Truncated, 1)
			r.Log.Want(t, "warning", "was cut to option max_record_size")
			r.Account(2, 2, 0)
		})
	}
	if !s.Newline {
		return
	}
	t.Run("never without the newline", func(t *testing.T) {
		// Of texts that grow by a byte, one fits by itself and not with its newline.
		texts := Noise(2, 9000)
		r := s.Start(t, awslocal.Config{}, small("snappy")...)
		for n := 8150; n <= 8200; n++ {
			r.Want(delivery.OK, Chunk(Line(strings.ToValidUTF8(texts[:n], "?"))))
		}
		for _, data := range r.Data() {
			if !strings.HasSuffix(Decompress(t, "snappy", data), "\n") {
				t.Errorf("a record of %d bytes has lost its newline", len(data))
			}
		}
		if n := r.Get(delivery.Truncated); n < 10 || n > 40 {
			t.Errorf("%d of 51 records were cut, want some and not all", n)
		}
	})
}

// Records that are put together are told apart by their newlines, which
// simple_aggregation sees to.
func (s *Subject) simpleAggregation(t *testing.T) {
	together := func(opts ...string) []string {
		return append([]string{"simple_aggregation", "true", "log_key", "log"}, opts...)
	}
	t.Run("one record of all", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, together()...)
		r.Want(delivery.OK, Chunk(Line("one"), Line("two"), Line(""), Line("three")))
		r.WantData("one\ntwo\nthree\n")
		r.Account(4, 3, 0, delivery.Empty, 1)
		r.WantCalls(1)
	})
	t.Run("nothing", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, together()...)
		r.Want(delivery.OK, Chunk(Line("")))
		r.WantCalls()
	})
	for _, name := range append([]string{"none"}, Compressions...) {
		t.Run("up to the limit, compression "+name, func(t *testing.T) {
			const limit = 8 << 10
			opts := together("compression", name, "max_record_size", fmt.Sprint(limit), "aggregation_max_size", fmt.Sprint(limit))
			r := s.Start(t, awslocal.Config{}, opts...)
			var bodies []any
			var want strings.Builder
			for i := range 400 {
				text := fmt.Sprintf("%d %s", i, Noise(uint64(i), i%300))
				bodies = append(bodies, Line(text))
				want.WriteString(text + "\n")
			}
			r.Want(delivery.OK, Chunk(bodies...))
			var got strings.Builder
			records := r.Received()
			for i, rec := range records {
				if size := len(rec.Key) + len(rec.Data); size > limit {
					t.Errorf("record %d has %d bytes, limit is %d", i, size, limit)
				}
				text := Decompress(t, name, rec.Data)
				if !strings.HasSuffix(text, "\n") {
					t.Errorf("record %d does not end in a newline", i)
				}
				if i < len(records)-1 && len(text) < limit*7/10 {
					t.Errorf("record %d is of %d bytes, and not the last one", i, len(text))
				}
				got.WriteString(text)
			}
			if got.String() != want.String() {
				t.Errorf("got %d bytes of text, want the %d that went in", got.Len(), want.Len())
			}
			r.Account(400, 400, 0)
		})
		t.Run("records above the limit, compression "+name, func(t *testing.T) {
			const limit = 8 << 10
			opts := together("compression", name, "max_record_size", fmt.Sprint(limit), "aggregation_max_size", fmt.Sprint(limit))
			r := s.Start(t, awslocal.Config{}, opts...)
			noise, repeats := Noise(3, 20_000), strings.Repeat("repeats ", 2000)
			r.Want(delivery.OK, Chunk(Line("before"), Line(noise), Line("between"), Line(repeats), Line("after")))
			var texts []string
			for _, rec := range r.Received() {
				if size := len(rec.Key) + len(rec.Data); size > limit {
					t.Errorf("%d bytes, limit is %d", size, limit)
				}
				texts = append(texts, Decompress(t, name, rec.Data))
			}
			if len(texts) != 5 {
				t.Fatalf("%d records, want 5", len(texts))
			}
			cut := 2
			if name != "none" {
				// Compressed first, and cut only if it does not fit then.
				cut = 1
				if texts[3] != repeats+"\n" {
					t.Errorf("got %d bytes that end in %q, want all %d", len(texts[3]), texts[3][max(0, len(texts[3])-20):], len(repeats)+1)
				}
			}
			if !strings.HasSuffix(texts[1], Mark+"\n") || !strings.HasPrefix(noise, strings.TrimSuffix(texts[1], Mark+"\n")) {
				t.Errorf("a record that is too large has %d bytes and ends in %.60q", len(texts[1]), texts[1][max(0, len(texts[1])-60):])
			}
			r.WantCount(delivery.Truncated, cut)
			r.Account(5, 5, 0)
		})
	}
}

// What Fluent Bit hands over may hold elements that are no records, and end
// where it should not.
func (s *Subject) oddChunks(t *testing.T) {
	t.Run("empty", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{})
		r.Want(delivery.OK, nil)
		r.WantCalls()
		r.Account(0, 0, 0)
	})
	t.Run("no records", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		c := append([]byte{0x01, 0xc0}, Chunk(Line("good"))...)
		r.Want(delivery.OK, append(c, 0x91, 0x05))
		r.WantData(s.Ended("good"))
		r.Account(4, 1, 0, delivery.Malformed, 3)
		r.Log.Want(t, "warning", "a record of tag \"tag\" was dropped")
	})
	t.Run("cut off", func(t *testing.T) {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		c := Chunk(Line("good"), Line("lost"))
		r.Want(delivery.Error, c[:len(c)-1])
		r.WantData(s.Ended("good"))
		r.Log.Want(t, "error", "is given up")
	})
	t.Run("too deep", func(t *testing.T) {
		deep := any(1)
		for range 200 {
			deep = []any{deep}
		}
		r := s.Start(t, awslocal.Config{})
		r.Want(delivery.OK, Chunk(Map{"a", deep}, Map{"a", 1}))
		r.WantData(s.Ended(`{"a":1}`))
		r.Account(2, 1, 0, delivery.Malformed, 1)
	})
}
