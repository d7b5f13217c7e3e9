package fields

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
)

func pack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgp.AppendIntf(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ordered is a map whose order is kept: key, value, key, value.
func ordered(t testing.TB, pairs ...any) []byte {
	b := msgp.AppendMapHeader(nil, uint32(len(pairs)/2))
	for _, v := range pairs {
		if raw, ok := v.(msgp.Raw); ok {
			b = append(b, raw...)
			continue
		}
		b = append(b, pack(t, v)...)
	}
	return b
}

func set(pairs ...string) *options.Set {
	return options.New(func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	})
}

func TestParse(t *testing.T) {
	keys := func(k ...string) step { return step{keys: k} }
	at := func(i int) step { return step{index: i} }
	for _, test := range []struct {
		text string
		want []step // nil: refused
	}{
		{"log", []step{keys("log")}},
		{" log ", []step{keys("log")}},
		{"a b.c", []step{keys("a b.c")}},
		{"kubernetes->labels->app.kubernetes.io/name", []step{keys("kubernetes", "labels", "app.kubernetes.io/name")}},
		{"a-b -> c>d", []step{keys("a-b", "c>d")}},
		{"$log", []step{keys("log")}},
		{"$_a.b-c/d9", []step{keys("_a.b-c/d9")}},
		{"$a['b']['c d']", []step{keys("a", "b", "c d")}},
		{`$a["b"]['it''s']["it's"]["a''b"]`, []step{keys("a", "b", "it's", "it's", "a''b")}},
		{"$a[0]", []step{keys("a"), at(0)}},
		{"$a['b'][12]['c']['d'][3][9999]", []step{keys("a", "b"), at(12), keys("c", "d"), at(3), at(9999)}},
		{"$zAZ09", []step{keys("zAZ09")}}, {"$Az", []step{keys("Az")}}, {"$Za", []step{keys("Za")}},
		{"$a[']']", []step{keys("a", "]")}},
		{"$a['[x]']", []step{keys("a", "[x]")}},

		{"", nil}, {"->", nil}, {"a->", nil}, {"->a", nil}, {"a->->b", nil},
		{"$", nil}, {"$1", nil}, {"$a[", nil}, {"$a[]", nil}, {"$a['']", nil}, {"$a['b'", nil}, {"$a['b", nil}, {"$a[b]", nil}, {"$a[-1]", nil},
		{"$a[10000]", nil}, {"$a['b']x", nil}, {"$a 'b'", nil}, {"$a->b", nil}, {"$['a']", nil}, {"$é", nil}, {`$a["b']`, nil}, {"$a['b'c']", nil},
	} {
		got, ok := Parse(test.text)
		if ok != (test.want != nil) || !reflect.DeepEqual(got.steps, test.want) {
			t.Errorf("%q: got %v, %v, want %v", test.text, got.steps, ok, test.want)
		}
	}
}

func TestFind(t *testing.T) {
	body := pack(t, map[string]any{
		"log": "text", "n": 7, "nil": nil, "bin": []byte{1},
		"a":    map[string]any{"b": map[string]any{"c": "deep"}, "->": 1},
		"list": []any{"zero", map[string]any{"k": []any{1, "two"}}, 2},
		"long": make([]any, 20),
	})
	for _, test := range []struct{ path, want string }{
		{"log", `"text"`}, {"n", "7"}, {"nil", "null"}, {"a->b->c", `"deep"`}, {"$a['b']", `{"c":"deep"}`}, {"$list[0]", `"zero"`},
		{"$list[1]['k'][1]", `"two"`}, {"$list[2]", "2"}, {"$long[19]", "null"},
		{"none", ""}, {"a->x", ""}, {"log->x", ""}, {"$list[3]", ""}, {"$list['k']", ""}, {"$a[0]", ""}, {"$log[0]", ""}, {"$long[20]", ""},
	} {
		p, ok := Parse(test.path)
		if !ok {
			t.Fatalf("cannot parse %q", test.path)
		}
		v, ok := p.Find(body)
		got := ""
		if ok {
			out, rest, err := jsonenc.AppendJSON(nil, v)
			if err != nil || len(rest) > 0 {
				t.Errorf("%s: got %x, %v", test.path, v, err)
			}
			got = string(out)
		}
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %s, %v, want %s", test.path, got, ok, test.want)
		}
		for n := range body { // a body that is cut off leads nowhere, or to the same
			if cut, ok := p.Find(body[:n]); ok && !bytes.Equal(cut, v) {
				t.Fatalf("%s in the first %d bytes: got %x", test.path, n, cut)
			}
		}
	}
	if _, ok := (Path{}).Find(body); ok {
		t.Error("no path leads somewhere")
	}
	for _, size := range []int{0, 1, 15, 16, 1 << 16} {
		p, _ := Parse(fmt.Sprintf("$k[%d]", min(size, maxIndex)))
		if _, ok := p.Find(pack(t, map[string]any{"k": make([]any, size)})); ok != (size > maxIndex) {
			t.Errorf("element %d of %d: %v", size, size, ok)
		}
	}
}

func TestList(t *testing.T) {
	l := ParseList(set("o", " log , a->b,, $c['d,e'] , $f[\"g,h\"],$x"), "o")
	if len(l.paths) != 5 || l.Empty() || l.String() != "log , a->b,, $c['d,e'] , $f[\"g,h\"],$x" {
		t.Errorf("got %+v", l)
	}
	for _, test := range []struct {
		body any
		want string
	}{
		{map[string]any{"log": "1", "a": map[string]any{"b": "2"}}, "1"},
		{map[string]any{"a": map[string]any{"b": "2"}, "x": "5"}, "2"},
		{map[string]any{"c": map[string]any{"d,e": "3"}, "x": "5"}, "3"},
		{map[string]any{"f": map[string]any{"g,h": "4"}, "x": "5"}, "4"},
		{map[string]any{"x": "5"}, "5"},
		{map[string]any{"y": "6"}, ""},
	} {
		v, ok := l.Find(pack(t, test.body))
		got, _, _ := msgp.ReadStringBytes(v)
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%v: got %q, %v", test.body, got, ok)
		}
	}

	if l := ParseList(set("o", "'a,b'"), "o"); len(l.paths) != 2 {
		t.Errorf("quotation marks that are no path's: got %+v", l)
	}
	s := set("o", "good,a->,$b[")
	ParseList(s, "o")
	want := "option o: cannot use \"a->\": allowed is " + Allowed + "\noption o: cannot use \"$b[\": allowed is " + Allowed
	if s.Err() == nil || s.Err().Error() != want {
		t.Errorf("got %v", s.Err())
	}
	if l := ParseList(set(), "o"); !l.Empty() || l.String() != "" {
		t.Errorf("not set: got %+v", l)
	}
}

func TestFilter(t *testing.T) {
	kubernetes := msgp.Raw(ordered(t, "pod", "p", "labels", msgp.Raw(ordered(t, "app", "web", "hash", "x")), "ip", "::1"))
	body := ordered(t, "log", "text", "stream", "stdout", "kubernetes", kubernetes, "n", 1, []byte("bin"), 2, 7, "seven")
	const all = `{"log":"text","stream":"stdout","kubernetes":{"pod":"p","labels":{"app":"web","hash":"x"},"ip":"::1"},"n":1,"bin":2,"7":"seven"}`
	for _, test := range []struct{ keep, drop, want string }{
		{"log", "", `{"log":"text"}`},
		{"n,log", "", `{"log":"text","n":1}`},
		{"bin", "", `{"bin":2}`},
		{"kubernetes->pod", "", `{"kubernetes":{"pod":"p"}}`},
		{"kubernetes->pod,kubernetes->labels->app,n", "", `{"kubernetes":{"pod":"p","labels":{"app":"web"}},"n":1}`},
		{"kubernetes->pod,kubernetes", "", `{"kubernetes":{"pod":"p","labels":{"app":"web","hash":"x"},"ip":"::1"}}`},
		{"kubernetes,kubernetes->pod", "", `{"kubernetes":{"pod":"p","labels":{"app":"web","hash":"x"},"ip":"::1"}}`},
		{"log->x,n", "", `{"n":1}`},
		{"kubernetes->none,n", "", `{"n":1}`},
		{"none", "", `{}`},
		{"7", "", `{}`}, // a number is no key of text

		{"", "stream", `{"log":"text","kubernetes":{"pod":"p","labels":{"app":"web","hash":"x"},"ip":"::1"},"n":1,"bin":2,"7":"seven"}`},
		{"", "kubernetes,n,bin,log", `{"stream":"stdout","7":"seven"}`},
		{"", "$kubernetes['labels'],stream,log,n,bin", `{"kubernetes":{"pod":"p","ip":"::1"},"7":"seven"}`},
		{"", "kubernetes->labels->hash,kubernetes->labels->app,kubernetes->ip,log", `{"stream":"stdout","kubernetes":{"pod":"p","labels":{}},"n":1,"bin":2,"7":"seven"}`},
		{"", "none,log->x,kubernetes->none", all},

		{"kubernetes,log", "kubernetes->labels,n", `{"log":"text","kubernetes":{"pod":"p","ip":"::1"}}`},
		{"kubernetes->labels", "kubernetes->labels->hash", `{"kubernetes":{"labels":{"app":"web"}}}`},
		{"kubernetes->labels->hash,n", "kubernetes->labels->hash", `{"n":1}`},
		{"log", "log", `{}`},
	} {
		f := ParseFilter(set("keep", test.keep, "drop", test.drop), "keep", "drop")
		out := f.Append([]byte("before"), body)
		got, rest, err := jsonenc.AppendJSON(nil, out[len("before"):])
		if err != nil || len(rest) > 0 || string(got) != test.want {
			t.Errorf("keep %q, drop %q: got  %s, %v\nwant %s", test.keep, test.drop, got, err, test.want)
		}
	}
}

func TestFilterOptions(t *testing.T) {
	if f := ParseFilter(set(), "keep", "drop"); f != nil {
		t.Errorf("nothing is set: got %+v", f)
	}
	if f := ParseFilter(set("drop", "a"), "", "drop"); f == nil || f.keep != nil {
		t.Errorf("got %+v", f)
	}
	s := set("keep", "a,$b[0]", "drop", "a->")
	ParseFilter(s, "keep", "drop")
	want := "option keep: cannot use \"a,$b[0]\": allowed is keys of maps, not elements of arrays\noption drop: cannot use \"a->\": allowed is " + Allowed
	if s.Err() == nil || s.Err().Error() != want {
		t.Errorf("got %v", s.Err())
	}
}

// What is no map, or broken, comes as it is: who writes it says what is wrong.
func TestFilterOddBodies(t *testing.T) {
	f := ParseFilter(set("keep", "a->b,c", "drop", "c->d"), "keep", "drop")
	whole := ordered(t, "a", msgp.Raw(ordered(t, "b", []any{1, 2})), "c", msgp.Raw(ordered(t, "d", 1, "e", 2)))
	bodies := [][]byte{{}, {0xc0}, {0x93, 1, 2, 3}, {0xa1, 'x'}, {0xdf, 0xff, 0xff, 0xff, 0xff}, {0x81, 0xc1, 0xc0}, {0x81, 0xa1, 'c', 0xc1}, append(slices.Clone(whole), 0xc0)}
	for n := range whole {
		bodies = append(bodies, whole[:n])
	}
	for _, body := range bodies {
		if got := f.Append([]byte("x"), body); string(got) != "x"+string(body) {
			t.Errorf("%x: got %x", body, got)
		}
	}
	// A map of each of the three forms.
	for _, n := range []int{1, 15, 16, 1 << 16} {
		m := map[string]any{"c": 1}
		for i := 1; i < n; i++ {
			m[fmt.Sprint(i)] = i
		}
		if got := f.Append(nil, pack(t, m)); !bytes.Equal(got, []byte{0xdf, 0, 0, 0, 1, 0xa1, 'c', 1}) {
			t.Errorf("of %d: got %x", n, got)
		}
	}
	for _, n := range []int{1, 31, 32, 1 << 8, 1 << 16} {
		key := strings.Repeat("k", n)
		f := ParseFilter(set("drop", key), "", "drop")
		if got := f.Append(nil, pack(t, map[string]any{key: 1})); !bytes.Equal(got, []byte{0xdf, 0, 0, 0, 0}) {
			t.Errorf("a key of %d bytes: got %x", n, got)
		}
	}
}

func TestAllocations(t *testing.T) {
	body := pack(t, map[string]any{"a": map[string]any{"b": 1, "c": []any{1, 2}}, "log": "x", "d": 2})
	dst := make([]byte, 0, 256)
	f := ParseFilter(set("keep", "a,log", "drop", "a->b"), "keep", "drop")
	l := ParseList(set("o", "none,a->x,$a['c'][1]"), "o")
	if n := testing.AllocsPerRun(100, func() {
		f.Append(dst, body)
		l.Find(body)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFields(f *testing.F) {
	f.Add("log", "a->b", []byte{0x81, 0xa3, 'l', 'o', 'g', 1})
	f.Add("$a['b'][0]", "$a[\"b\"]", pack(f, map[string]any{"a": map[string]any{"b": []any{1}, "c": 2}}))
	f.Add("a,b,$c['d,e']", "", []byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, keep, drop string, body []byte) {
		s := set("keep", keep, "drop", drop)
		filter := ParseFilter(s, "keep", "drop")
		l := ParseList(s, "keep")
		before := bytes.Clone(body)
		if v, ok := l.Find(body); ok && len(v) == 0 {
			t.Fatal("found nothing")
		}
		if filter == nil {
			return
		}
		out := filter.Append(nil, body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if _, rest, err := jsonenc.AppendJSON(nil, body); err == nil && len(rest) == 0 {
			if _, rest, err := jsonenc.AppendJSON(nil, out); err != nil || len(rest) > 0 {
				t.Fatalf("%x became %x: %v", body, out, err)
			}
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	body := pack(b, map[string]any{"log": strings.Repeat("x", 600), "stream": "stdout", "kubernetes": map[string]any{
		"pod_name": "web-7d9c6b9f4d-abcde", "namespace_name": "shop", "labels": map[string]any{"app": "web", "tier": "front"}}})
	f := ParseFilter(set("drop", "kubernetes->labels,stream"), "", "drop")
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		f.Append(dst, body)
	}
}

func TestWithout(t *testing.T) {
	body := ordered(t, "a", map[string]any{"b": 1}, "c", 2)
	for _, tt := range []struct {
		keys [][]string
		want string
	}{
		{[][]string{{"a", "b"}, {"none"}}, `{"a":{},"c":2}`},
		{[][]string{{"a"}, {"a", "b"}}, `{"c":2}`},
		{nil, `{"a":{"b":1},"c":2}`},
	} {
		got, _, err := jsonenc.AppendJSON(nil, Without(tt.keys...).Append(nil, body))
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: got %s, want %s", tt.keys, got, tt.want)
		}
	}
}
