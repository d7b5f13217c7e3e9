package awslocal

import (
	"encoding/json"
	"strings"
	"testing"
)

type decodeTarget struct {
	Name  *string           `json:"name"`
	Items []decodeItem      `json:"items"`
	Tags  map[string]string `json:"tags"`
	Any   json.RawMessage   `json:"any"`
	Inner *decodeItem
	embedded
}

type embedded struct{ Deep int }

type decodeItem struct {
	N *int64 `json:"n"`
}

func TestDecode(t *testing.T) {
	tests := []struct {
		body, wantErr string // part of the error, empty for none
	}{
		{`{}`, ""},
		{`{"name":"a","items":[{"n":1},{"n":2}],"tags":{"x":"1","y":"2"},"any":{"b":[1]},"Inner":{"n":3},"Deep":4}`, ""},
		{` { "name" : "a\"\\\u00e9" , "items" : [ ] , "tags" : { } } `, ""},
		{`{"name":null}`, ""},
		{`{"name":"\ud83d\ude00"}`, ""},
		{`{"any":[true,false,null,-1.5e3,"x",{"a":{}}]}`, ""},
		{`{"name":"\ud83d"}`, "lone surrogate"},
		{`{"name":"\ude00"}`, "lone surrogate"},
		{`{"name":"\ud83dx"}`, "lone surrogate"},
		{`{"name":"\ud83d\u0041"}`, "lone surrogate"},
		{`{"name":"\ud83d\n"}`, "lone surrogate"},
		{"{\"name\":\"\xff\"}", "UTF-8"},
		{"{\"name\":\"\xed\xa0\x80\"}", "UTF-8"},
		{"{\"name\":\"\n\"}", "invalid character"},
		{`{"Name":"a"}`, "unknown member"},
		{`{"NAME":"a"}`, "unknown member"},
		{`{"nam\u0065":"a"}`, "unknown member"}, // no client writes that by intent
		{`{"other":1}`, "unknown member"},
		{`{"embedded":{}}`, "unknown member"},
		{`{"items":[{"N":1}]}`, "unknown member"},
		{`{"name":"a","name":"a"}`, "duplicate member"},
		{`{"items":[{"n":1,"n":1}]}`, "duplicate member"},
		{`{"tags":{"x":"1","x":"2"}}`, "duplicate member"},
		{`{"tags":{"x":"1","\u0078":"2"}}`, "duplicate member"},
		{`{"any":{"a":1,"a":2}}`, "duplicate member"},
		{`{"any":{"a":{"b":1,"b":2}}}`, "duplicate member"},
		{`{"name":1}`, "cannot unmarshal"},
		{`{"items":{"n":1}}`, "cannot unmarshal"},
		{`{"items":[{"n":1.5}]}`, "cannot unmarshal"},
		{`{"items":[{"n":"1"}]}`, "cannot unmarshal"},
		{`[]`, "cannot unmarshal"},
		{``, "unexpected end"},
		{`{`, "unexpected end"},
		{`{}{}`, "after top-level value"},
		{`{"name":"a",}`, "invalid character"},
		{`{"name":'a'}`, "invalid character"},
		{`{"items":[{"n":01}]}`, "invalid character"},
		{"\ufeff{}", "invalid character"},
	}
	for _, tt := range tests {
		var v decodeTarget
		err := decode([]byte(tt.body), &v)
		switch {
		case tt.wantErr == "" && err != nil:
			t.Errorf("%q: %v", tt.body, err)
		case tt.wantErr != "" && err == nil:
			t.Errorf("%q: accepted, want an error with %q", tt.body, tt.wantErr)
		case tt.wantErr != "" && !strings.Contains(err.Error(), tt.wantErr):
			t.Errorf("%q: %v, want an error with %q", tt.body, err, tt.wantErr)
		}
	}
}

func TestDecodeValues(t *testing.T) {
	var v decodeTarget
	noError(t, decode([]byte(`{"name":"a\"\\\u00e9\ud83d\ude00","items":[{"n":1},{"n":-2}],"Deep":4}`), &v))
	if *v.Name != "a\"\\é😀" || len(v.Items) != 2 || *v.Items[1].N != -2 || v.Deep != 4 {
		t.Errorf("got %q %v %d", *v.Name, v.Items, v.Deep)
	}
}

func TestBlob(t *testing.T) {
	for in, want := range map[string]string{"": "", "YQ==": "a", "YWI=": "ab", "YWJj": "abc", "+/+/": "\xfb\xff\xbf"} {
		if got, err := blob(in); err != nil || string(got) != want {
			t.Errorf("blob(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"YQ", "YQ=", "YR==", "Y Q=", "YQ==\n", "Y\nQ==", "-_-_", "YWJj=", "*"} {
		if got, err := blob(in); err == nil {
			t.Errorf("blob(%q) = %q, want an error", in, got)
		}
	}
}

// FuzzDecode looks for input that takes the walk out of bounds: it relies on
// encoding/json to have found the text valid.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"name":"\ud83d"}`, `{"items":[{"n":1}]}`, `{"any":[[{"a":"\u0000"}]]}`, `"x"`, ` 1 `, `{"any":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v decodeTarget
		if decode(body, &v) == nil && !json.Valid(body) {
			t.Errorf("accepted %q, which is not JSON", body)
		}
	})
}
