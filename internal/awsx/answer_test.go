package awsx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseLogEventsAnswer(t *testing.T) {
	show := func(a LogEventsAnswer) string {
		text := ""
		for _, p := range []*int{a.Rejected.TooNewStart, a.Rejected.TooOldEnd, a.Rejected.ExpiredEnd} {
			if p == nil {
				text += "- "
				continue
			}
			text += fmt.Sprint(*p, " ")
		}
		return text + a.NextSequenceToken + "|" + a.RejectedEntity
	}
	for in, want := range map[string]string{
		`{}`:                             "- - - |",
		` { } `:                          "- - - |",
		`{"nextSequenceToken":"1"}`:      "- - - 1|",
		`{"nextSequenceToken":null}`:     "- - - |",
		`{"nextSequenceToken":5}`:        "- - - |",
		`{"NextSequenceToken":"1"}`:      "- - - |",
		`{"rejectedLogEventsInfo":null}`: "- - - |",
		`{"new":{"a":[1,2,{}]},"x":[]}`:  "- - - |",
		`{"rejectedEntityInfo":{"errorType":"InvalidEntity","x":1}}`:                                                                "- - - |InvalidEntity",
		`{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":0,"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":9999,"x":{}}}`: "0 1 9999 |",
		`{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":-1,"tooOldLogEventEndIndex":"1","expiredLogEventEndIndex":null}}`:     "- - - |",
	} {
		if a, err := parseLogEventsAnswer([]byte(in)); err != nil || show(a) != want {
			t.Errorf("%s: got %s, %v", in, show(a), err)
		}
	}
	for _, in := range []string{``, ` `, `null`, `[]`, `"x"`, `5`, `<html>`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{}}`, `{}{}`, `{} x`,
		`{"nextSequenceToken":"1`, `{"rejectedLogEventsInfo":5}`, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1.5}}`} {
		if a, err := parseLogEventsAnswer([]byte(in)); err == nil {
			t.Errorf("%s: got %+v and no error", in, a)
		}
	}
}

func TestParseRecordsAnswer(t *testing.T) {
	good := `{"SequenceNumber":"49","ShardId":"shardId-000000000000"}`
	bad := `{"ErrorCode":"InternalFailure","ErrorMessage":"oh"}`
	none := "NoResult"
	for _, c := range []struct {
		in   string
		n    int
		want string // index:code
	}{
		{`{"FailedRecordCount":0,"Records":[` + good + `,` + good + `]}`, 2, ""},
		{`{"Records":[` + good + `,` + good + `],"FailedRecordCount" : 0 , "EncryptionType":"KMS"}`, 2, ""},
		{`{"FailedRecordCount":1,"Records":[` + good + `,` + bad + `]}`, 2, "1:InternalFailure"},
		{`{"FailedRecordCount":2,"Records":[` + bad + `,` + good + `,` + bad + `]}`, 3, "0:InternalFailure 2:InternalFailure"},
		{`{"x":{"FailedRecordCount":0,"Records":[` + good + `]}}`, 1, "0:" + none},
		{`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"49","ShardId":"s","ErrorCode":"X"}]}`, 1, "0:X"},
		{`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"4\"9","ShardId":"s"}]}`, 1, ""},
		{`{"FailedRecordCount":0,"Records":[{"ShardId":"s","SequenceNumber":"49"}]}`, 1, ""},
		{`{"FailedRecordCount":0,"Records":[` + good + ` ` + good + `]}`, 2, "error"},
		// What the count says is not trusted where the entries say otherwise.
		{`{"FailedRecordCount":0,"Records":[` + good + `,` + bad + `]}`, 2, "1:InternalFailure"},
		{`{"FailedRecordCount":2,"Records":[` + good + `,` + good + `]}`, 2, ""},
		{`{"FailedRecordCount":01,"Records":[` + good + `]}`, 2, "error"},
		// An entry that says nothing, one too few, and one too many.
		{`{"FailedRecordCount":0,"Records":[` + good + `,{}]}`, 2, "1:" + none},
		{`{"FailedRecordCount":0,"Records":[` + good + `,null]}`, 2, "1:" + none},
		{`{"FailedRecordCount":0,"Records":[` + good + `,{"SequenceNumber":"","ShardId":"x"}]}`, 2, "1:" + none},
		{`{"FailedRecordCount":0,"Records":[` + good + `,{"SequenceNumber":null,"ErrorCode":null}]}`, 2, "1:" + none},
		{`{"FailedRecordCount":0,"Records":[` + good + `]}`, 3, "1:" + none + " 2:" + none},
		{`{"FailedRecordCount":0,"Records":[` + good + `,` + good + `,` + bad + `]}`, 2, ""},
		{`{"FailedRecordCount":0,"Records":[]}`, 1, "0:" + none},
		{`{"FailedRecordCount":0,"Records":null}`, 1, "0:" + none},
		{`{"FailedRecordCount":0}`, 1, "0:" + none},
		{`{}`, 2, "0:" + none + " 1:" + none},
		{`{"FailedRecordCount":0,"Records":[]}`, 0, ""},
		// An id that an error comes with is no delivery; nor are words in a text.
		{`{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ErrorCode":"X"}]}`, 1, "0:X"},
		{`{"FailedRecordCount":1,"Records":[{"ErrorCode":"X","ErrorMessage":"\"FailedRecordCount\":0,\"SequenceNumber\":\"1\""}]}`, 1, "0:X"},
		{`{"a":"\"FailedRecordCount\":0","Records":[` + bad + `]}`, 1, "0:InternalFailure"},
		{`{"FailedRecordCount":null,"Records":[` + good + `]}`, 1, ""},
		{`{"FailedRecordCount":"0","Records":[` + good + `]}`, 1, ""},
		{``, 1, "error"}, {`null`, 1, "error"}, {`[]`, 1, "error"}, {`<html>`, 1, "error"},
		{`{"Records":5}`, 1, "error"}, {`{"Records":[5]}`, 1, "error"}, {`{"Records":[`, 1, "error"},
		{`{"FailedRecordCount":0,"Records":[` + good + `]`, 1, "error"},
		{`{"FailedRecordCount":0,"Records":[` + good, 1, "error"},
		{`{"FailedRecordCount":1,"Records":[` + good + `]}{}`, 1, "error"},
	} {
		for _, f := range []recordsFormat{kinesisFormat, firehoseFormat} {
			in := strings.NewReplacer(kinesisFormat.count, f.count, kinesisFormat.list, f.list, kinesisFormat.id, f.id).Replace(c.in)
			a, err := parseRecordsAnswer([]byte(in), c.n, f)
			var got []string
			for _, r := range a.Failed {
				got = append(got, fmt.Sprint(r.Index, ":", r.Code))
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = "error"
			}
			if text != c.want {
				t.Errorf("%s of %d: got %q, want %q (%v)", in, c.n, text, c.want, err)
			}
		}
	}
	a, err := parseRecordsAnswer([]byte(`{"Records":[`+bad+`]}`), 1, kinesisFormat)
	if want := []FailedRecord{{0, "InternalFailure", "oh"}}; err != nil || !reflect.DeepEqual(a.Failed, want) {
		t.Errorf("got %+v, %v", a, err)
	}
}

// allGood is the usual answer to n records.
func allGood(n int) []byte {
	entry := `{"SequenceNumber":"49659362347589374892374982374982374923749823749823","ShardId":"shardId-000000000000"},`
	return []byte(`{"FailedRecordCount":0,"Records":[` + strings.TrimSuffix(strings.Repeat(entry, n), ",") + `]}`)
}

// The usual answers are recognized, of both services.
func TestAllDelivered(t *testing.T) {
	if !allDelivered(allGood(3), 3, kinesisFormat) {
		t.Error("of PutRecords: not recognized")
	}
	if !allDelivered([]byte(`{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[{"RecordId":"a"},{"RecordId":"b"}]}`), 2, firehoseFormat) {
		t.Error("of PutRecordBatch: not recognized")
	}
}

func TestOrNoResult(t *testing.T) {
	for given, want := range map[FailedRecord]FailedRecord{
		{Index: 1}:                              {1, CodeNoResult, "the answer has no result for this record"},
		{Index: 1, Message: "what it says"}:     {1, CodeNoResult, "what it says"},
		{Index: 1, Code: "Code"}:                {1, "Code", ""},
		{Index: 1, Code: "Code", Message: "oh"}: {1, "Code", "oh"},
	} {
		if got := given.orNoResult(); got != want {
			t.Errorf("%+v: got %+v", given, got)
		}
	}
}

func TestParseAnswersAllocations(t *testing.T) {
	good := allGood(500)
	if n := testing.AllocsPerRun(100, func() { parseRecordsAnswer(good, 500, kinesisFormat) }); n != 0 {
		t.Errorf("all delivered: %.0f allocations", n)
	}
	token := []byte(`{"nextSequenceToken":"49659362347589374892374982374982374923749823749823"}`)
	if n := testing.AllocsPerRun(100, func() { parseLogEventsAnswer(token) }); n > 6 {
		t.Errorf("PutLogEvents: %.0f allocations, want at most 6", n)
	}
}

// The one thing that must never happen is that a record without an id counts as
// delivered. Ids are found here in another way.
func FuzzRecordsAnswer(f *testing.F) {
	f.Add([]byte(`{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1"},{"ErrorCode":"X","ErrorMessage":"y"}]}`), 2)
	f.Add([]byte(`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1"},{"SequenceNumber":"2"}]}`), 2)
	f.Add([]byte(`{"Records":[null,{},{"SequenceNumber":"\u0031"}],"FailedRecordCount":0}`), 4)
	f.Add(allGood(3), 3)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		n &= 0x3ff
		a, err := parseRecordsAnswer(in, n, kinesisFormat)
		if err != nil {
			return
		}
		last := -1
		for _, r := range a.Failed {
			if r.Index <= last || r.Index >= n || r.Code == "" {
				t.Fatalf("%q of %d: got %+v", in, n, a.Failed)
			}
			last = r.Index
		}
		if bytes.IndexByte(in, '\\') >= 0 {
			return // the key may be written with escapes
		}
		if delivered, ids := n-len(a.Failed), strings.Count(string(in), "SequenceNumber"); delivered > ids {
			t.Fatalf("%q of %d: %d delivered with %d ids", in, n, delivered, ids)
		}
	})
}

func FuzzLogEventsAnswer(f *testing.F) {
	f.Add([]byte(`{"nextSequenceToken":"1","rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1}}`))
	f.Add([]byte(`{"rejectedEntityInfo":{"errorType":"X"},"a":[1,{"b":null}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := parseLogEventsAnswer(in)
		var m map[string]any
		if json.Unmarshal(in, &m) != nil || m == nil {
			return
		}
		info, isMap := m["rejectedLogEventsInfo"].(map[string]any)
		if err != nil || !isMap {
			return
		}
		n, ok := info["tooOldLogEventEndIndex"].(float64)
		if got := a.Rejected.TooOldEnd; got != nil && ok && strings.Count(string(in), "tooOldLog") == 1 && float64(*got) != n {
			t.Fatalf("%q: got %d, want %v", in, *got, n)
		}
	})
}
