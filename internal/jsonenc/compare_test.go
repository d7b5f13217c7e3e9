package jsonenc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// compare writes the msgpack value v as JSON, reads that with encoding/json,
// and wants what tinylib/msgp reads from v itself. Values that msgp cannot
// decode, such as maps with keys that are not strings, are passed over.
func compare(t *testing.T, v []byte) {
	t.Helper()
	out, rest, err := AppendJSON(nil, v)
	if err != nil {
		return
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	var got any
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%q: not JSON: %v", out, err)
	}
	want, _, err := msgp.ReadIntfBytes(v[:len(v)-len(rest)])
	if err != nil {
		return
	}
	if diff := difference(got, want); diff != "" {
		t.Errorf("%s: %s", out, diff)
	}
}

// difference tells where got, decoded from JSON, differs from what is to be
// expected of want, decoded from msgpack.
func difference(got, want any) string {
	differs := func() string { return fmt.Sprintf("got %#v, want %#v", got, want) }
	switch want := want.(type) {
	case nil:
		if got != nil {
			return differs()
		}
	case bool:
		if got != want {
			return differs()
		}
	case string:
		if got != string([]rune(want)) { // an invalid byte becomes U+FFFD
			return differs()
		}
	case []byte:
		if got != string([]rune(string(want))) {
			return differs()
		}
	case int64:
		if got != json.Number(strconv.FormatInt(want, 10)) {
			return differs()
		}
	case uint64:
		if got != json.Number(strconv.FormatUint(want, 10)) {
			return differs()
		}
	case float32:
		return floatDifference(got, float64(want), 32)
	case float64:
		return floatDifference(got, want, 64)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return differs()
		}
		for i := range want {
			if d := difference(list[i], want[i]); d != "" {
				return fmt.Sprintf("[%d]: %s", i, d)
			}
		}
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return differs()
		}
		names := map[string]bool{}
		for k := range want {
			names[string([]rune(k))] = true
		}
		if len(m) != len(names) {
			return differs()
		}
		if len(names) < len(want) {
			return "" // keys that became the same: which one counts is not told
		}
		for k, v := range want {
			if d := difference(m[string([]rune(k))], v); d != "" {
				return fmt.Sprintf("%q: %s", k, d)
			}
		}
	case *msgp.RawExtension:
		if n, ok := got.(json.Number); ok { // a time
			b := want.Data
			sec := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			nsec := uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])
			if want.Type != 0 || n != json.Number(fmt.Sprintf("%d.%09d", sec, nsec)) {
				return differs()
			}
			break
		}
		m, ok := got.(map[string]any)
		if !ok || len(m) != 2 || m["type"] != json.Number(strconv.Itoa(int(want.Type))) ||
			m["data"] != base64.StdEncoding.EncodeToString(want.Data) {
			return differs()
		}
	default: // extension types that msgp gives a meaning, and Fluent Bit not
	}
	return ""
}

func floatDifference(got any, want float64, bits int) string {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		if got != nil {
			return fmt.Sprintf("got %#v, want nil", got)
		}
		return ""
	}
	n, ok := got.(json.Number)
	if !ok {
		return fmt.Sprintf("got %#v, want %v", got, want)
	}
	if f, err := strconv.ParseFloat(string(n), bits); err != nil || f != want {
		return fmt.Sprintf("got %v, want %v", n, want)
	}
	// encoding/json writes the same digits.
	var text []byte
	if bits == 32 {
		text, _ = json.Marshal(float32(want))
	} else {
		text, _ = json.Marshal(want)
	}
	if string(text) != string(n) {
		return fmt.Sprintf("got %v, want %s", n, text)
	}
	return ""
}
