package recordstest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// nasty are texts of all kinds that JSON and base64 treat in their own ways.
func nasty() []string {
	texts := []string{
		"a", "ab", "abc", "abcd", // base64's ends
		`"`, `\`, `\"`, `\\`, `\u0041`, "\n\r\t\b\f", "\x00", "\x1f\x7f", "/", "<>&'",
		"é", "日本語", "😀", "\u2028\u2029", "\ufeff", "\ufffd", "\U0010ffff",
		`{"a":"b"}`, `","PartitionKey":"x"},{"Data":"`, "]}", " ", "null", "=",
		strings.Repeat("long ", 5000),
	}
	for c := range 0x80 {
		texts = append(texts, "x"+string(rune(c))+"y")
	}
	return texts
}

// Bodies compares the request that the plugin writes by hand with the one that
// the SDK's own serializer makes of the same records: read by encoding/json,
// they are the same. put makes the SDK's call at url; the keys are for services
// that have them.
func (s *Subject) Bodies(t *testing.T, put func(url string, texts, keys []string) error) {
	texts := nasty()
	var bodies []any
	var data, keys []string
	for i, text := range texts {
		key := texts[(i+1)%len(texts)]
		if len(key) > 256 {
			key = key[:256]
		}
		bodies = append(bodies, Map{"log", text, "key", key})
		data, keys = append(data, s.Ended(text)), append(keys, key)
	}
	r := s.Start(t, awslocal.Config{KeepBodies: true}, append([]string{"partition_key", "key"}, LogKey...)...)
	r.Want(delivery.OK, Chunk(bodies...))
	if err := put(r.AWS.URL, data, keys); err != nil {
		t.Fatal(err)
	}
	calls := r.Calls()
	if len(calls) != 2 {
		t.Fatalf("%d calls", len(calls))
	}
	var got, want any
	if err := json.Unmarshal(BodyOf(t, calls[0]), &got); err != nil {
		t.Fatalf("cannot read what the plugin wrote: %v", err)
	}
	if err := json.Unmarshal(calls[1].Body, &want); err != nil {
		t.Fatalf("cannot read what the SDK wrote: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		a, b := got.(map[string]any)["Records"].([]any), want.(map[string]any)["Records"].([]any)
		for i := range min(len(a), len(b)) {
			if !reflect.DeepEqual(a[i], b[i]) {
				t.Errorf("record %d: got %.300s, want %.300s", i, fmt.Sprint(a[i]), fmt.Sprint(b[i]))
			}
		}
		t.Errorf("got %.100s with %d records, want %.100s with %d", calls[0].Body, len(a), calls[1].Body, len(b))
	}
}
