package chunk

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	const record = "\x85" +
		"\xa3log\xa5hello" +
		"\xaakubernetes\x83\xa6labels\x81\xa3app\xa3web\xa8pod_name\xa1p\xa3nil\xc0" +
		"\xc4\x03bin\x01" +
		"\xa0\x02" +
		"\xa3dup\x03"
	for _, tt := range []struct {
		body string
		path string // with / between the names
		want string // no: not found
	}{
		{record, "log", "\xa5hello"},
		{record, "kubernetes/pod_name", "\xa1p"},
		{record, "kubernetes/labels/app", "\xa3web"},
		{record, "kubernetes/labels", "\x81\xa3app\xa3web"},
		{record, "kubernetes/nil", "\xc0"},
		{record, "bin", "\x01"},
		{record, "", "\x02"}, // one empty name
		{record, "dup", "\x03"},
		{record, "lo", "no"},
		{record, "logs", "no"},
		{record, "log/hello", "no"},
		{record, "kubernetes/labels/none", "no"},
		{record, "app", "no"},

		{"\x83\xa1a\x01\xa1b\x02\xa1a\x03", "a", "\x01"}, // the first of duplicates
		{"\x82\xa1a\x01\xa1a\x81\xa1b\x02", "a/b", "no"}, // also when the second would do
		{"\x82\xa1a\x81\xa1b\x02\xa1a\x01", "a/b", "\x02"},
		{"\x86\x05\x01\xc0\x02\x92\xa1a\x01\x03\x81\xa1a\x01\x04\xd4\x05\x00\x05\xa1a\x06", "a", "\x06"}, // past keys that are no strings
		{"\x81\xd9\x01a\x01", "a", "\x01"},
		{"\x81\xda\x00\x01a\x01", "a", "\x01"},
		{"\x81\xdb\x00\x00\x00\x01a\x01", "a", "\x01"},
		{"\x81\xc5\x00\x01a\x01", "a", "\x01"},
		{"\x81\xc6\x00\x00\x00\x01a\x01", "a", "\x01"},
		{"\xde\x00\x01\xa1a\x01", "a", "\x01"},
		{"\xdf\x00\x00\x00\x01\xa1a\xde\x00\x01\xa1b\x02", "a/b", "\x02"},

		{"\x81\x05\x01", "\x05", "no"}, // a number, whose byte the name is
		{"\xa1a", "a", "no"},
		{"\x91\xa1a", "a", "no"},
		{"\x80", "a", "no"},
		{"\xc0", "a", "no"},
		// Broken bytes.
		{"", "a", "no"},
		{"\xc1", "a", "no"},
		{"\xde\x00", "a", "no"},
		{"\xdf\x00\x00\x00", "a", "no"},
		{"\x81", "a", "no"},
		{"\x81\xa1", "a", "no"},
		{"\x81\xd9", "a", "no"},
		{"\x81\xda\x00", "a", "no"},
		{"\x81\xdb\x00\x00\x00", "a", "no"},
		{"\x81\xdb\xff\xff\xff\xffa", "a", "no"},
		{"\x81\xa1a", "a", "no"},
		{"\x81\xa1a\xa5hell", "a", "no"},
		{"\x82\xa1b\xc1\xa1a\x01", "a", "no"},
		{"\x82\xc1\x01\xa1a\x01", "a", "no"},
		{"\x82\xa1b\xa9x", "a", "no"},
		{"\xdf\xff\xff\xff\xff\xa1b\x01", "a", "no"},
		{"\x82\xa1a\x01\xc1", "a", "\x01"}, // found before the broken part
	} {
		value, ok := Lookup([]byte(tt.body), strings.Split(tt.path, "/"))
		got := string(value)
		if !ok {
			got = "no"
		}
		if got != tt.want {
			t.Errorf("%q in %q: got %q, want %q", tt.path, tt.body, got, tt.want)
		}
	}
	if value, ok := Lookup([]byte("\xa1arest"), nil); !ok || string(value) != "\xa1a" {
		t.Errorf("no path: got %q, %v", value, ok)
	}
	if _, ok := Lookup(nil, nil); ok {
		t.Error("found a value in nothing")
	}
}
