package kinesis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// packed returns a record in msgpack.
func packed(t testing.TB, record any) []byte {
	t.Helper()
	b, err := msgp.AppendIntf(nil, record)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oneOption is a configuration with one option set.
func oneOption(name, value string) *options.Set {
	return options.New(func(asked string) string {
		if asked == name {
			return value
		}
		return ""
	})
}

func TestParsePartitionKey(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  []string
	}{
		{"pod", []string{"pod"}},
		{"log", []string{"log"}}, // AWS's Go plugin refuses it
		{"kubernetes->labels->app.kubernetes.io/name", []string{"kubernetes", "labels", "app.kubernetes.io/name"}},
		{" kubernetes -> pod_name ", []string{"kubernetes", "pod_name"}},
		{"a-b", []string{"a-b"}},
		{"a>b", []string{"a>b"}},
		{"日本->é", []string{"日本", "é"}},
		{"$a", []string{"a"}},
		{"$a['b']", []string{"a", "b"}},
		{`$a["b"]`, []string{"a", "b"}},
		{"$kubernetes['labels']['app.kubernetes.io/name']", []string{"kubernetes", "labels", "app.kubernetes.io/name"}},
		{`$a['it''s']["a 'b' [c]"]`, []string{"a", "it's", "a 'b' [c]"}},
		{"$a_1.b-c/d", []string{"a_1.b-c/d"}},
	} {
		s := oneOption("partition_key", tt.value)
		got := parsePartitionKey(s)
		if err := s.Err(); err != nil || got == nil || !slices.Equal(got.path, tt.want) {
			t.Errorf("%s: got %v and %v, want %q", tt.value, got, err, tt.want)
		}
	}
}

func TestNoPartitionKey(t *testing.T) {
	s := oneOption("partition_key", "")
	if got := parsePartitionKey(s); got != nil || s.Err() != nil {
		t.Errorf("got %v and %v, want none", got, s.Err())
	}
}

func TestBadPartitionKey(t *testing.T) {
	for _, value := range []string{
		"->", "a->", "->b", "a->->b", "a-> ->b",
		"$", "$1", "$a[", "$a[]", "$a['']", "$a['b'", "$a[b]", "$a[0]", "$a['b']x", "$a 'b'", "$a->b", "$['a']", "$é", `$a["b']`, "$a['b'c']",
	} {
		s := oneOption("partition_key", value)
		got := parsePartitionKey(s)
		want := fmt.Sprintf("option partition_key: cannot use %q: allowed is a key, ", value)
		if err := s.Err(); got != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v and %v, want %q", value, got, err, want)
		}
	}
}

func TestPartitionKeyTemplate(t *testing.T) {
	record := map[string]any{"pod": "web-1", "n": 7, "empty": "", "bad": "a\xffb", "long": strings.Repeat("é", 300)}
	for _, tt := range []struct{ value, want string }{
		{"$(pod)", "web-1"},
		{"$(pod)/$(n)-$(tag[1])", "web-1/7-b"},
		{"$(time:%Y-%m)", "2026-11"},
		{"$pod.$(gone|x)", "web-1.x"},
		{"$TAG", "a.b"},
		{"$TAG[1]", "b"},
		{"$(bad)", "a\uFFFDb"},
		{"$(pod)$(long)", "web-1" + strings.Repeat("é", maxKeyChars-5)},
		{"$(gone)", ""},
		{"$(empty)", ""},
	} {
		s := oneOption("partition_key", tt.value)
		from := parsePartitionKey(s)
		if err := s.Err(); err != nil || from == nil {
			t.Errorf("%s: got %v", tt.value, err)
			continue
		}
		k := newKeyer(from)
		k.in.Tag, k.in.Time = "a.b", chunk.Time{Sec: 1795478341}
		key, random := k.of(packed(t, record))
		if random != (tt.want == "") || !random && string(key) != tt.want || random && len(key) != 8 || random != (k.missing == 1) {
			t.Errorf("%s: got %q, random %v, missing %d", tt.value, key, random, k.missing)
		}
	}
	for value, want := range map[string]string{
		"$(pod":              `option partition_key: cannot read template "$(pod"`,
		"$TAG[":              `option partition_key: cannot read template "$TAG["`,
		"$(uuid)":            `option partition_key: cannot use "$(uuid)": allowed is variables of the record, its time and its tag`,
		"$(ecs_task_id|x)":   "allowed is variables of the record",
		"$(ec2_instance_id)": "allowed is variables of the record",
	} {
		s := oneOption("partition_key", value)
		if got, err := parsePartitionKey(s), s.Err(); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v and %v", value, got, err)
		}
	}
}

func TestKeyOfRecord(t *testing.T) {
	type m = map[string]any
	for _, tt := range []struct {
		name   string
		record any
		want   string // "" for a random key
	}{
		{"string", m{"a": m{"b": "orders"}}, "orders"},
		{"binary", m{"a": m{"b": []byte("orders")}}, "orders"},
		{"whole number", m{"a": m{"b": 42}}, "42"},
		{"negative number", m{"a": m{"b": -7}}, "-7"},
		{"large number", m{"a": m{"b": uint64(math.MaxUint64)}}, "18446744073709551615"},
		{"fraction", m{"a": m{"b": 1.5}}, "1.5"},
		{"fraction of 32 bits", m{"a": m{"b": float32(0.1)}}, "0.1"},
		{"true", m{"a": m{"b": true}}, "true"},
		{"false", m{"a": m{"b": false}}, "false"},
		{"the text null", m{"a": m{"b": "null"}}, "null"},
		{"a space", m{"a": m{"b": " "}}, " "},
		{"quotation marks and control characters", m{"a": m{"b": "\"\\\x00\n"}}, "\"\\\x00\n"},
		{"invalid UTF-8", m{"a": m{"b": "a\xffb\xc3"}}, "a\uFFFDb\uFFFD"},
		{"256 bytes", m{"a": m{"b": strings.Repeat("k", 256)}}, strings.Repeat("k", 256)},
		{"257 bytes", m{"a": m{"b": strings.Repeat("k", 256) + "x"}}, strings.Repeat("k", 256)},
		{"256 characters of 3 bytes", m{"a": m{"b": strings.Repeat("漢", 256)}}, strings.Repeat("漢", 256)},
		{"257 characters of 3 bytes", m{"a": m{"b": strings.Repeat("漢", 257)}}, strings.Repeat("漢", 256)},
		{"128 emoji, which count as two", m{"a": m{"b": strings.Repeat("😀", 128)}}, strings.Repeat("😀", 128)},
		{"129 emoji", m{"a": m{"b": strings.Repeat("😀", 129)}}, strings.Repeat("😀", 128)},
		{"an emoji that is half too much", m{"a": m{"b": strings.Repeat("k", 255) + "😀"}}, strings.Repeat("k", 255)},
		{"300 bytes that are not UTF-8", m{"a": m{"b": strings.Repeat("\xff", 300)}}, strings.Repeat("\uFFFD", 256)},
		{"1 MB", m{"a": m{"b": strings.Repeat("log", 350_000)}}, strings.Repeat("log", 86)[:256]},

		{"empty", m{"a": m{"b": ""}}, ""},
		{"empty binary", m{"a": m{"b": []byte{}}}, ""},
		{"nil", m{"a": m{"b": nil}}, ""},
		{"map", m{"a": m{"b": m{"c": "d"}}}, ""},
		{"empty map", m{"a": m{"b": m{}}}, ""},
		{"array", m{"a": m{"b": []any{"c"}}}, ""},
		{"map of 20", m{"a": m{"b": func() m {
			big := m{}
			for i := range 20 {
				big[fmt.Sprint(i)] = i
			}
			return big
		}()}}, ""},
		{"array of 20", m{"a": m{"b": make([]any, 20)}}, ""},
		{"not a number", m{"a": m{"b": math.NaN()}}, ""},
		{"infinite", m{"a": m{"b": float32(math.Inf(1))}}, ""},
		{"extension type", m{"a": m{"b": &msgp.RawExtension{Type: 5, Data: []byte("1234")}}}, ""},
		{"long extension type", m{"a": m{"b": &msgp.RawExtension{Type: 5, Data: make([]byte, 300)}}}, ""},
		{"missing", m{"a": m{"c": "x"}}, ""},
		{"missing above", m{"b": "x"}, ""},
		{"not a map above", m{"a": "b"}, ""},
		{"no map at all", "a", ""},
		{"empty record", m{}, ""},
	} {
		k := newKeyer(&partitionKey{path: []string{"a", "b"}})
		key, random := k.of(packed(t, tt.record))
		if random != (tt.want == "") || k.missing != map[bool]int{true: 1}[random] {
			t.Errorf("%s: random %v, missing %d", tt.name, random, k.missing)
		}
		if !random && string(key) != tt.want {
			t.Errorf("%s: got %.300q, want %.300q", tt.name, key, tt.want)
		}
		if random && len(key) != 8 {
			t.Errorf("%s: got the key %q, want 8 characters", tt.name, key)
		}
	}
}

// TestKeyOfBrokenRecord: what cannot be read has no key.
// Which values have a text that a key may be made of.
func TestScalar(t *testing.T) {
	for c := range 256 {
		want := false
		switch msgp.NextType([]byte{byte(c), 0, 0, 0, 0, 0}) {
		case msgp.StrType, msgp.BinType, msgp.BoolType, msgp.IntType, msgp.UintType, msgp.Float32Type, msgp.Float64Type:
			want = true
		}
		if got := scalar([]byte{byte(c)}); got != want {
			t.Errorf("%#x: got %v, want %v", c, got, want)
		}
	}
}

// The last character that counts as one.
func TestCutKey(t *testing.T) {
	for _, tt := range []struct {
		char string
		n    int
		want int
	}{{"a", 256, 256}, {"a", 257, 256}, {"\uffff", 256, 256}, {"\uffff", 257, 256}, {"\U00010000", 128, 128}, {"\U00010000", 129, 128}, {"\xff", 257, 256}} {
		if got := cutKey([]byte(strings.Repeat(tt.char, tt.n))); got != tt.want*len(tt.char) {
			t.Errorf("%q %d times: cut at byte %d, want %d of them", tt.char, tt.n, got, tt.want)
		}
	}
}

func TestKeyOfBrokenRecord(t *testing.T) {
	whole := packed(t, map[string]any{"a": "orders"})
	k := newKeyer(&partitionKey{path: []string{"a"}})
	for n := range whole {
		if key, random := k.of(whole[:n]); !random || len(key) != 8 || k.missing != n+1 {
			t.Errorf("%d of %d bytes: got %q, random %v, missing %d", n, len(whole), key, random, k.missing)
		}
	}
	if key, random := k.of(whole); random || string(key) != "orders" {
		t.Errorf("got %q, random %v", key, random)
	}
}

// TestMadeUpKeys go to all shards alike, and two flushes do not make the same.
func TestMadeUpKeys(t *testing.T) {
	const shards, n = 16, 16_000
	k := newKeyer(nil)
	var in [shards]int
	seen := map[string]bool{}
	for range n {
		key, random := k.of(nil)
		if !random || strings.Trim(string(key), "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatalf("got %q, random %v", key, random)
		}
		seen[string(key)] = true
		in[shardOf(string(key), shards)]++
	}
	if len(seen) < n-1 {
		t.Errorf("%d different keys of %d", len(seen), n)
	}
	if k.missing != 0 {
		t.Errorf("%d are missing, but none was asked for", k.missing)
	}
	for i, got := range in {
		if got < n/shards*8/10 || got > n/shards*12/10 { // six times the standard deviation
			t.Errorf("%d of %d records are in shard %d", got, n, i)
		}
	}
	a, _ := newKeyer(nil).of(nil)
	b, _ := newKeyer(nil).of(nil)
	if string(a) == string(b) {
		t.Errorf("two flushes begin with the same key %q", a)
	}
}

// TestKeyerIsUsedAgain, with nothing of the flush that had it.
func TestKeyerIsUsedAgain(t *testing.T) {
	for _, ok := keyers.Get(); ok; _, ok = keyers.Get() {
		continue
	}
	k := newKeyer(&partitionKey{path: []string{"a"}})
	k.in.Tag = "tag"
	first, _ := k.of(nil)
	before := string(first)
	k.free()
	again := newKeyer(nil)
	if again != k {
		t.Fatal("a keyer that was freed is not used again")
	}
	key, _ := again.of(nil)
	if again.from != nil || again.in.Tag != "" || again.missing != 0 || string(key) == before {
		t.Errorf("it has %v, tag %q, %d missing, and makes up %q after %q", again.from, again.in.Tag, again.missing, key, before)
	}
}

func TestKeyDoesNotAllocate(t *testing.T) {
	path := &partitionKey{path: []string{"kubernetes", "pod"}}
	for _, tt := range []struct {
		name  string
		from  *partitionKey
		value any
	}{
		{"none", nil, "x"},
		{"string", path, "orders-7d9f8b6c5d-x2x9k"},
		{"cut", path, strings.Repeat("漢", 300)},
		{"invalid", path, strings.Repeat("\xff", 300)},
		{"number", path, 1234.5},
		{"missing", path, nil},
		{"template", parsePartitionKey(oneOption("partition_key", "$(kubernetes['pod'])-$(time:%H)-$(gone|x)")), "orders"},
	} {
		k := newKeyer(tt.from)
		b := packed(t, map[string]any{"kubernetes": map[string]any{"pod": tt.value}})
		k.of(b)
		if n := testing.AllocsPerRun(100, func() { k.of(b) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, n)
		}
	}
}

func FuzzKeyPath(f *testing.F) {
	for _, s := range []string{"a->b", "$a['b']", `$a["b"]['it''s']`, "$", "->"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, key := range keyPath(value) {
			if key == "" {
				t.Errorf("%q has an empty key", value)
			}
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, v := range []any{"orders", 1, 1.5, true, nil, strings.Repeat("漢", 300), []any{1}, map[string]any{"c": 1}} {
		f.Add(packed(f, map[string]any{"a": v}))
	}
	k := newKeyer(&partitionKey{path: []string{"a"}})
	k.random = rand.NewPCG(1, 2)
	f.Fuzz(func(t *testing.T, b []byte) {
		before, missing := slices.Clone(b), k.missing
		key, random := k.of(b)
		if n := len(utf16.Encode([]rune(string(key)))); n < 1 || n > 256 || !utf8.Valid(key) {
			t.Errorf("key %q of %d characters", key, n)
		}
		if random != (k.missing == missing+1) || !reflect.DeepEqual(before, b) {
			t.Errorf("random %v, missing from %d to %d", random, missing, k.missing)
		}
	})
}

func BenchmarkKey(b *testing.B) {
	record := packed(b, map[string]any{"log": strings.Repeat("x", 200), "kubernetes": map[string]any{"pod_name": "orders-7d9f8b6c5d-x2x9k"}})
	for name, from := range map[string]*partitionKey{"random": nil, "nested": {path: []string{"kubernetes", "pod_name"}}} {
		b.Run(name, func(b *testing.B) {
			k := newKeyer(from)
			b.ReportAllocs()
			for b.Loop() {
				k.of(record)
			}
		})
	}
}
