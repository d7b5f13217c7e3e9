package fields

import (
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/jsonenc"
)

func TestPick(t *testing.T) {
	both := ordered(t, "log", "text", "n", 1, "m", msgp.Raw(ordered(t, "a", 1, "b", 2)))
	none := ordered(t, "n", 1, "m", msgp.Raw(ordered(t, "a", 1, "b", 2)))
	for _, test := range []struct {
		options string // name=value;name=value
		body    []byte
		want    string
		found   Found
	}{
		{"", both, `{"log":"text","n":1,"m":{"a":1,"b":2}}`, Record},
		{"log_key=log", both, `"text"`, Value},
		{"log_key=x,m->b", both, `2`, Value},
		{"log_key=log", none, "", Missing},
		{"log_key=log;log_key_missing=drop", none, "", Missing},
		{"log_key=log;log_key_missing=record", none, `{"n":1,"m":{"a":1,"b":2}}`, Whole},
		{"log_key=log;log_key_missing=Record;exclude_keys=m->a", none, `{"n":1,"m":{"b":2}}`, Whole},
		{"log_key=m;exclude_keys=m->a", both, `{"a":1,"b":2}`, Value},
		{"data_keys=n,m;exclude_keys=m->a", both, `{"n":1,"m":{"b":2}}`, Record},
		{"data_keys=n", both, `{"n":1}`, Record},
	} {
		p := ParsePick(set(strings.FieldsFunc(test.options, func(r rune) bool { return r == '=' || r == ';' })...))
		var buf []byte
		for range 2 {
			v, found := p.Value(&buf, test.body)
			got := ""
			if found != Missing {
				out, _, err := jsonenc.AppendJSON(nil, v)
				if err != nil {
					t.Error(err)
				}
				got = string(out)
			}
			if got != test.want || found != test.found {
				t.Errorf("%s: got %s, %v, want %s, %v", test.options, got, found, test.want, test.found)
			}
		}
	}
	s := set("log_key", "a->", "log_key_missing", "keep", "data_keys", "$", "exclude_keys", "$a[1]")
	ParsePick(s)
	if err := s.Err(); err == nil || strings.Count(err.Error(), "\n") != 3 || !strings.Contains(err.Error(), `option log_key_missing: cannot use "keep": allowed is drop, record`) {
		t.Errorf("got %v", err)
	}
	p := ParsePick(set("log_key", "a, b"))
	if p.LogKey() != "a, b" {
		t.Errorf("got %q", p.LogKey())
	}
}

func TestIsContainer(t *testing.T) {
	for c := range 256 {
		kind := msgp.NextType([]byte{byte(c), 0, 0, 0, 0, 0})
		if got, want := IsContainer([]byte{byte(c)}), kind == msgp.MapType || kind == msgp.ArrayType; got != want {
			t.Errorf("%#x: got %v, want %v", c, got, want)
		}
	}
}

func TestTakeTops(t *testing.T) {
	for _, test := range []struct {
		options []string
		want    []string
		left    bool // of the filter
	}{
		{nil, nil, false},
		{[]string{"data_keys", "a,$b"}, []string{"a", "b"}, false},
		{[]string{"data_keys", "a,b->c"}, nil, true},
		{[]string{"data_keys", "a", "exclude_keys", "b"}, nil, true},
		{[]string{"exclude_keys", "b"}, nil, true},
	} {
		p := ParsePick(set(test.options...))
		got := p.TakeTops()
		slices.Sort(got)
		if !slices.Equal(got, test.want) || (p.filter != nil) != test.left {
			t.Errorf("%q: got %q, filter %v", test.options, got, p.filter)
		}
	}
}
