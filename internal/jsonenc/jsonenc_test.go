package jsonenc

import (
	"encoding/json"
	"testing"
)

func TestSmoke(t *testing.T) {
	v := []byte("\x82\xa3log\xa5a\"\\\nb\xa1k\x93\x01\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc3rest")
	out, rest, err := AppendJSON([]byte("x"), v)
	if want := `x{"log":"a\"\\\nb","k":[1,1.5,true]}`; string(out) != want || string(rest) != "rest" || err != nil {
		t.Errorf("got %s %q %v", out, rest, err)
	}
	esc, size, rest, err := AppendEscaped(nil, v)
	if string(rest) != "rest" || err != nil || size != len(out)-1 {
		t.Errorf("got %s %d %q %v", esc, size, rest, err)
	}
	var s string
	if err := json.Unmarshal([]byte(`"`+string(esc)+`"`), &s); err != nil || s != string(out[1:]) {
		t.Errorf("got %q %v", s, err)
	}
}
