package awslocal

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/smithy-go/encoding/cbor"
)

func TestJSONOf(t *testing.T) {
	f := func(request, want, why string) {
		t.Helper()
		got, err := JSONOf([]byte(request))
		if strings.TrimSpace(string(got)) != want || (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %s, %v, want %s", request, got, err, want)
		}
	}
	f("\xbf\x64Data\x42\xff<\x61n\x01\x61t\xf5\x61x\xf6\x61l\x81\x61a\xff", `{"Data":"/zw=","l":["a"],"n":1,"t":true,"x":null}`, "")
	f("\xa1\x64Data\x61x", "", "Data is text")
	f("\xa1\x61k\x61\xff", "", "member k is not valid UTF-8")
	f("\xa1\x61k\xfb\x00\x00\x00\x00\x00\x00\x00\x00", "", "member k is a cbor.Float64")
	f("\xa1\x61k\x9f\x61\xff\xff", "", "member k is not valid UTF-8")
	f("\xa0\xa0", "", "more than one value")
	f("\xa1", "", "map key")
	f("", "", "more than one value")
}

func TestCBOROf(t *testing.T) {
	for answer, want := range map[string]string{
		`{"n":1}`: "\xa1\x61n\x01", `{"d":-1.5}`: "\xa1\x61d\xfb\xbf\xf8\x00\x00\x00\x00\x00\x00", `{"Data":"/zw="}`: "\xa1\x64Data\x42\xff<",
		`{"l":["a",null,true]}`: "\xa1\x61l\x83\x61a\xf6\xf5", "<html>": "<html>",
	} {
		if got := CBOROf([]byte(answer)); string(got) != want {
			t.Errorf("%s: got %q, want %q", answer, got, want)
		}
	}
}

// TestCBOR: a call in CBOR is worked on and answered in CBOR, refusals too, if it
// is one of Kinesis' and not told otherwise.
func TestCBOR(t *testing.T) {
	for _, tt := range []struct {
		name, target, stream string
		cfg                  Config
		status               int
		kind, want           string
	}{
		{"good", "Kinesis_20131202.PutRecords", "s", Config{}, 200, typeCBOR, "\x71FailedRecordCount\x00"},
		{"counted only", "Kinesis_20131202.PutRecords", "s", Config{Discard: true}, 200, typeCBOR, "\x71FailedRecordCount\x00"},
		{"refused", "Kinesis_20131202.PutRecords", "t", Config{}, 400, typeCBOR, "\x78\x19ResourceNotFoundException"},
		{"another service", "Firehose_20150804.PutRecordBatch", "s", Config{}, 404, typeJSON, `"UnknownOperationException"`},
		{"JSON only", "Kinesis_20131202.PutRecords", "s", Config{JSONOnly: true}, 404, typeJSON, `"UnknownOperationException"`},
	} {
		tt.cfg.KinesisStreams = map[string]int{"s": 1}
		tt.cfg.KeepBodies = true
		s := faultServer(t, tt.cfg)
		body := cbor.Encode(cbor.Map{"StreamName": cbor.String(tt.stream), "Records": cbor.List{cbor.Map{"Data": cbor.Slice("x"), "PartitionKey": cbor.String("k")}}})
		req, err := http.NewRequestWithContext(testContext(t), http.MethodPost, s.URL+"/", bytes.NewReader(body))
		noError(t, err)
		rawHeaders(req, tt.target)
		req.Header.Set("Content-Type", typeCBOR)
		resp, err := http.DefaultTransport.RoundTrip(req)
		noError(t, err)
		got, err := io.ReadAll(resp.Body)
		noError(t, err)
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.kind || !strings.Contains(string(got), tt.want) {
			t.Errorf("%s: got %d, %s, %q", tt.name, resp.StatusCode, resp.Header.Get("Content-Type"), got)
		}
		all := s.Requests("")
		if text, err := all[len(all)-1].JSON(); err != nil || !strings.Contains(string(text), `"Data":"eA=="`) {
			t.Errorf("%s: the request reads as %s, %v", tt.name, text, err)
		}
	}
}
