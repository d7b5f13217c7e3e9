package jsonenc

import (
	"encoding/json"
	"testing"
)

func TestShape(t *testing.T) {
	dot := func(s string) *string { return &s }
	record := "\x84\xa3log\xa1x\xa6stream\xa6stdout\xa4time\xa3old\xaakubernetes\x82\xa8pod.name\xa1p\xa6labels\x81\xa9app.k8s.x\xa1a"
	const plain = `{"log":"x","stream":"stdout","time":"old","kubernetes":{"pod.name":"p","labels":{"app.k8s.x":"a"}}}`
	for _, tt := range []struct {
		name  string
		shape *Shape
		body  string
		want  string
	}{
		{"nil", nil, record, plain},
		{"empty", &Shape{}, record, plain},
		{"empty list", &Shape{Keys: []string{}}, record, plain},

		{"keys", &Shape{Keys: []string{"stream", "log"}}, record, `{"log":"x","stream":"stdout"}`},
		{"one key", &Shape{Keys: []string{"kubernetes"}}, record, `{"kubernetes":{"pod.name":"p","labels":{"app.k8s.x":"a"}}}`},
		{"no such key", &Shape{Keys: []string{"lo", "logs", "pod.name"}}, record, `{}`},
		{"top level only", &Shape{Keys: []string{"a"}}, "\x82\xa1a\x82\xa1a\x01\xa1b\x02\xa1b\x03", `{"a":{"a":1,"b":2}}`},
		{"binary key", &Shape{Keys: []string{"a"}}, "\x82\xc4\x01a\x01\xc4\x01b\x02", `{"a":1}`},
		{"duplicate keys", &Shape{Keys: []string{"a"}}, "\x83\xa1a\x01\xa1b\x02\xa1a\x03", `{"a":1,"a":3}`},
		{"keys that are not strings", &Shape{Keys: []string{"5", "a"}}, "\x83\x05\x01\xa1a\x02\x91\x01\x03", `{"a":2}`},
		{"map 16", &Shape{Keys: []string{"a"}}, "\xde\x00\x02\xa1a\x01\xa1b\x02", `{"a":1}`},
		{"map 32", &Shape{Keys: []string{"b"}}, "\xdf\x00\x00\x00\x02\xa1a\x01\xa1b\x02", `{"b":2}`},

		{"dots", &Shape{ReplaceDots: dot("_")}, record, `{"log":"x","stream":"stdout","time":"old","kubernetes":{"pod_name":"p","labels":{"app_k8s_x":"a"}}}`},
		{"dots to nothing", &Shape{ReplaceDots: dot("")}, "\x82\xa3a.b\x01\xa1.\x02", `{"ab":1,"":2}`},
		{"dots to dots", &Shape{ReplaceDots: dot("..")}, "\x81\xa3a.b\x81\xa2.c\x01", `{"a..b":{"..c":1}}`},
		{"dots to what needs an escape", &Shape{ReplaceDots: dot("\"\n\xff")}, "\x81\xa5a.b.\x00\x01", "{\"a\\\"\\n\ufffdb\\\"\\n\ufffd\\u0000\":1}"},
		{"dots, keys that become the same", &Shape{ReplaceDots: dot("_")}, "\x83\xa3a.b\x01\xa3a_b\x02\xa3a.b\x03", `{"a_b":1,"a_b":2,"a_b":3}`},
		{"dots not in values", &Shape{ReplaceDots: dot("_")}, "\x81\xa1a\xa3x.y", `{"a":"x.y"}`},
		{"dots in maps in arrays", &Shape{ReplaceDots: dot("_")}, "\x81\xa1a\x92\x81\xa2.x\x01\x91\x81\xa2.y\x02", `{"a":[{"_x":1},[{"_y":2}]]}`},
		{"dots in binary keys", &Shape{ReplaceDots: dot("_")}, "\x81\xc4\x03a.b\x01", `{"a_b":1}`},
		{"dots in keys of 8 bits length", &Shape{ReplaceDots: dot("_")}, "\x82\xd9\x03a.b\x01\xd9\x02ab\x02", `{"a_b":1,"ab":2}`},
		{"dots in float keys", &Shape{ReplaceDots: dot("_")}, "\x81\xca\x3f\xc0\x00\x00\x01", `{"1_5":1}`},
		{"dots in map keys", &Shape{ReplaceDots: dot("_")}, "\x81\x81\xa3a.b\xa3c.d\x01", `{"{\"a_b\":\"c_d\"}":1}`},
		{"dots, body not a map", &Shape{ReplaceDots: dot("_")}, "\x91\x81\xa3a.b\x01", `[{"a_b":1}]`},

		{"time", &Shape{TimeKey: "@timestamp"}, "\x81\xa1a\x01", `{"a":1,"@timestamp":"now\"\u0001"}`},
		{"time in an empty map", &Shape{TimeKey: "t"}, "\x80", `{"t":"now\"\u0001"}`},
		{"time replaces", &Shape{TimeKey: "time"}, record, `{"log":"x","stream":"stdout","kubernetes":{"pod.name":"p","labels":{"app.k8s.x":"a"}},"time":"now\"\u0001"}`},
		{"time replaces all", &Shape{TimeKey: "t"}, "\x84\xa1t\x01\xa1a\x02\xa1t\x03\xc4\x01t\x04", `{"a":2,"t":"now\"\u0001"}`},
		{"time replaces the only one", &Shape{TimeKey: "t"}, "\x81\xa1t\x81\x01\x02", `{"t":"now\"\u0001"}`},
		{"time in deeper maps stays", &Shape{TimeKey: "t"}, "\x81\xa1a\x81\xa1t\x01", `{"a":{"t":1},"t":"now\"\u0001"}`},
		{"time with other keys", &Shape{TimeKey: "t"}, "\x82\x05\x01\xc0\x02", `{"5":1,"null":2,"t":"now\"\u0001"}`},
		{"time key with an escape", &Shape{TimeKey: "t\"\xff"}, "\x80", `{"t\"` + "\ufffd" + `":"now\"\u0001"}`},
		{"time outlives keys", &Shape{TimeKey: "time", Keys: []string{"log"}}, record, `{"log":"x","time":"now\"\u0001"}`},
		{"time among keys", &Shape{TimeKey: "time", Keys: []string{"log", "time"}}, record, `{"log":"x","time":"now\"\u0001"}`},
		{"time alone", &Shape{TimeKey: "time", Keys: []string{"x"}}, record, `{"time":"now\"\u0001"}`},

		{"all three", &Shape{TimeKey: "the.time", Keys: []string{"a.b"}, ReplaceDots: dot("-")}, "\x84\xa3a.b\x81\xa2.x\x01\xa3a-b\x02\xa8the.time\x03\xa8the-time\x04", `{"a-b":{"-x":1},"the-time":"now\"\u0001"}`},
		{"time key with dots meets one without", &Shape{TimeKey: "the.time", ReplaceDots: dot("-")}, "\x82\xa8the.time\x03\xa8the-time\x04", `{"the-time":4,"the-time":"now\"\u0001"}`},

		{"body not a map", &Shape{TimeKey: "t", Keys: []string{"a"}}, "\x92\xa1a\x81\xa1b\x01", `["a",{"b":1}]`},
		{"body a string", &Shape{TimeKey: "t", Keys: []string{"a"}}, "\xa1a", `"a"`},
		{"body nil", &Shape{TimeKey: "t", Keys: []string{"a"}}, "\xc0", `null`},
	} {
		out, err := tt.shape.AppendJSON([]byte("dst"), []byte(tt.body), []byte("now\"\x01"))
		if err != nil || string(out) != "dst"+tt.want {
			t.Errorf("%s:\n got %q, %v\nwant %q", tt.name, out, err, "dst"+tt.want)
		}
		if !json.Valid([]byte(tt.want)) {
			t.Errorf("%s: %s is not JSON", tt.name, tt.want)
		}
	}
}

// A value that cannot be written does no harm if it is not kept, and a broken
// one always does.
func TestShapeSkips(t *testing.T) {
	deep := make([]byte, 0, 300)
	deep = append(deep, "\x82\xa1a"...)
	for range 200 {
		deep = append(deep, 0x91)
	}
	deep = append(deep, "\x01\xa1b\x05"...)
	s := &Shape{Keys: []string{"b"}}
	if out, err := s.AppendJSON(nil, deep, nil); err != nil || string(out) != `{"b":5}` {
		t.Errorf("got %s, %v", out, err)
	}
	if _, err := s.AppendJSON(nil, deep[:100], nil); err != ErrBroken {
		t.Errorf("got %v, want ErrBroken", err)
	}
}
