package awsx

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/smithy-go/encoding/cbor"
)

// The pieces of an answer, as Kinesis and its stand-ins write them.
const (
	cborCount  = "\x71FailedRecordCount"
	cborList   = "\x67Records"
	cborGood   = "\xa2\x6eSequenceNumber\x61n\x67ShardId\x61s"
	cborBad    = "\xa2\x69ErrorCode\x61c\x6cErrorMessage\x61m"
	cborNulls  = "\xbf\x6eSequenceNumber\x61n\x67ShardId\x61s\x69ErrorCode\xf6\x6cErrorMessage\xf6\xff"
	cborPieces = "\xbf\x69ErrorCode\x7f\x61a\x61b\xff\xff"
)

func TestParseRecordsCBOR(t *testing.T) {
	bad := func(i int) FailedRecord { return FailedRecord{Index: i, Code: "c", Message: "m"} }
	none := func(i int) FailedRecord { return FailedRecord{Index: i}.orNoResult() }
	for _, tt := range []struct {
		name, answer string
		n            int
		want         []FailedRecord
	}{
		{"all delivered", "\xa2" + cborCount + "\x00" + cborList + "\x82" + cborGood + cborGood, 2, nil},
		{"without lengths", "\xbf" + cborCount + "\x00" + cborList + "\x9f" + cborGood + cborNulls + "\xff\xff", 2, nil},
		{"one refused", "\xbf" + cborCount + "\x01" + cborList + "\x9f" + cborGood + cborBad + cborGood + "\xff\xff", 3, []FailedRecord{bad(1)}},
		{"text in pieces", "\xa1" + cborList + "\x81" + cborPieces, 1, []FailedRecord{{Code: "ab"}}},
		{"fewer results than records", "\xa1" + cborList + "\x81" + cborGood, 3, []FailedRecord{none(1), none(2)}},
		{"more results than records", "\xa1" + cborList + "\x82" + cborGood + cborBad, 1, nil},
		{"no list", "\xa1" + cborCount + "\x00", 2, []FailedRecord{none(0), none(1)}},
		{"a list that is null", "\xa1" + cborList + "\xf6", 1, []FailedRecord{none(0)}},
		{"results that are null", "\xa1" + cborList + "\x82\xf6" + cborGood, 2, []FailedRecord{none(0)}},
		{"an id that is no text", "\xa1" + cborList + "\x81\xa1\x6eSequenceNumber\x01", 1, []FailedRecord{none(0)}},
		{"other members", "\xa5\x61a\x82\x01\x20\x61b\xa1\x61c\xfb\x00\x00\x00\x00\x00\x00\x00\x00\x61d\xc1\x1a\x00\x00\x00\x00\x01\xf5" + cborList + "\x81" + cborGood, 1, nil},
		{"a long id", "\xa1" + cborList + "\x81\xa1\x6eSequenceNumber\x78\x1e" + strings.Repeat("n", 30), 1, nil},
		{"a number at the end", "\xa2" + cborList + "\x81" + cborGood + "\x61a\x18\xff", 1, nil},
		{"an empty map at the end", "\xa2" + cborList + "\x81" + cborGood + "\x61a\xa0", 1, nil},
		{"other text in pieces", "\xa2\x61a\x7f\x61x\x61y\xff" + cborList + "\x81" + cborGood, 1, nil},
		{"bytes in pieces", "\xa2\x61a\x5f\x41x\xff" + cborList + "\x81" + cborGood, 1, nil},
	} {
		a, err := parseRecordsCBOR([]byte(tt.answer), tt.n, kinesisFormat)
		if err != nil || !reflect.DeepEqual(a.Failed, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", tt.name, a.Failed, err, tt.want)
		}
	}
}

func TestParseBrokenCBOR(t *testing.T) {
	good := "\xbf" + cborCount + "\x00" + cborList + "\x9f" + cborGood + cborNulls + "\xff\xff"
	for n := range len(good) {
		if _, err := parseRecordsCBOR([]byte(good[:n]), 2, kinesisFormat); err == nil {
			t.Errorf("the first %d bytes of %d are taken for an answer", n, len(good))
		}
	}
	for name, answer := range map[string]string{
		"more behind it":          good + "\x00",
		"text":                    "\x61a",
		"a number as result":      "\xa1" + cborList + "\x81\x01",
		"a reserved length":       "\xa1\x61a\x1c",
		"an end alone":            "\xa1\x61a\xff",
		"more entries than bytes": "\xa1\x61a\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
		"more items than bytes":   "\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
		"more text than bytes":    "\xa1\x61a\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
		"too deep":                "\xa1\x61a" + strings.Repeat("\x81", 100) + "\x00",
		"tags without an end":     "\xa1\x61a" + strings.Repeat("\xc1", 100) + "\x00",
		"pieces of another kind":  "\xa1" + cborList + "\x81\xa1\x69ErrorCode\x7f\x41a\xff",
		"pieces of pieces":        "\xa1" + cborList + "\x81\xa1\x69ErrorCode\x7f\x7f\x61a\xff\xff",
	} {
		if a, err := parseRecordsCBOR([]byte(answer), 1, kinesisFormat); err == nil {
			t.Errorf("%s: got %v", name, a)
		}
	}
}

func TestDepthOfCBOR(t *testing.T) {
	for depth, want := range map[int]error{63: nil, 64: errNotCBOR} {
		r := cborReader{data: []byte(strings.Repeat("\x81", depth) + "\x00")}
		if r.skip(0); r.err != want {
			t.Errorf("a value in %d lists: got %v", depth, r.err)
		}
	}
}

func TestNotUnderstood(t *testing.T) {
	for _, tt := range []struct {
		status          int
		code            string
		surely, perhaps bool
	}{
		{400, "UnknownOperationException", true, true},
		{400, "ns#SerializationException", true, true},
		{415, "", true, true},
		{415, "Other", true, false},
		{400, "", false, true},
		{502, "", false, true},
		{399, "", false, false},
		{400, "ResourceNotFoundException", false, false},
	} {
		if surely, perhaps := NotUnderstood(refusal(tt.status, tt.code, "")); surely != tt.surely || perhaps != tt.perhaps {
			t.Errorf("%d %s: got %v, %v", tt.status, tt.code, surely, perhaps)
		}
	}
}

func TestParseRecordsCBORDoesNotAllocate(t *testing.T) {
	answer := []byte("\xbf" + cborCount + "\x00" + cborList + "\x9f" + strings.Repeat(cborGood, 500) + "\xff\xff")
	n := testing.AllocsPerRun(10, func() {
		if a, err := parseRecordsCBOR(answer, 500, kinesisFormat); err != nil || a.Failed != nil {
			t.Fatal(a, err)
		}
	})
	if n > 4 { // none for a record
		t.Errorf("%v allocations", n)
	}
}

// TestRefusalInCBOR: a refusal in CBOR reads as one in JSON does.
func TestRefusalInCBOR(t *testing.T) {
	refusal := string(cbor.Encode(cbor.Map{"__type": cbor.String("ns#ResourceNotFoundException"), "message": cbor.String("no \"stream\""), "n": cbor.Uint(1)}))
	for _, tt := range []struct {
		kind, body string
		status     int
		want       string
	}{
		{typeCBOR, refusal, 400, `{"__type":"ns#ResourceNotFoundException","message":"no \"stream\""}`},
		{typeCBOR, refusal[:20], 400, `{}`},
		{typeCBOR, `{"__type":"X"}`, 400, `{}`},
		{typeCBOR, "\x01", 400, `{}`},
		{typeCBOR, refusal, 300, `{"__type":"ns#ResourceNotFoundException","message":"no \"stream\""}`},
		{typeCBOR, refusal, 299, refusal},
		{typeCBOR, refusal, 200, refusal},
		{typeJSON, `{"__type":"X"}`, 400, `{"__type":"X"}`},
		{"text/html", `<html>`, 502, `<html>`},
	} {
		resp := &http.Response{StatusCode: tt.status, Header: http.Header{"Content-Type": {tt.kind}}, Body: io.NopCloser(strings.NewReader(tt.body))}
		asJSON(resp)
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s of status %d: got %q, %v, want %q", tt.kind, tt.status, got, err, tt.want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzRecordsCBOR has the SDK's decoder of CBOR beside ours: what both can read,
// they read in the same way.
func FuzzRecordsCBOR(f *testing.F) {
	for _, seed := range []string{
		"\xbf" + cborCount + "\x00" + cborList + "\x9f" + cborGood + cborNulls + "\xff\xff",
		"\xa1" + cborList + "\x82" + cborGood + cborBad, "\xa1" + cborList + "\x81" + cborPieces, "\xa2\x61a\x5f\x41x\xff\x61b\xc1\x00", "\xa0", "\xa1" + cborList + "\xf6",
	} {
		f.Add([]byte(seed), byte(2))
	}
	f.Fuzz(func(t *testing.T, answer []byte, n byte) {
		a, err := parseRecordsCBOR(answer, int(n), kinesisFormat)
		if err != nil {
			return
		}
		if len(a.Failed) > int(n) {
			t.Fatalf("%d of %d have failed", len(a.Failed), n)
		}
		v, err := cbor.Decode(answer)
		top, ok := v.(cbor.Map)
		if err != nil || !ok {
			return // it refuses some odd forms that do no harm
		}
		text, err := json.Marshal(plain(top))
		if err != nil || strings.Contains(string(text), `\ufffd`) {
			return // JSON has no such text
		}
		want, err := parseRecordsAnswer(text, int(n), kinesisFormat)
		// A key that is there twice is the first here and the last there.
		if err == nil && !reflect.DeepEqual(a, want) && len(cbor.Encode(v)) >= len(answer) {
			t.Fatalf("got %+v, want %+v, of %s", a, want, text)
		}
	})
}

// plain is a value as encoding/json takes it.
func plain(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		out := make(map[string]any)
		for key, member := range v {
			out[key] = plain(member)
		}
		return out
	case cbor.List:
		var out []any
		for _, member := range v {
			out = append(out, plain(member))
		}
		return out
	case cbor.String:
		return string(v)
	case *cbor.Nil:
		return nil
	}
	return 1 // something that is no text
}
