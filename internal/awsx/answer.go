package awsx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	jsoniter "github.com/json-iterator/go"
)

// RejectedEvents says which events of a PutLogEvents call CloudWatch Logs did
// not keep. The numbers are indexes into the events in the order they were
// sent, not counts; nil means none of that kind.
//
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_RejectedLogEventsInfo.html
type RejectedEvents struct {
	TooNewStart *int // the first event that is too new
	TooOldEnd   *int // one past the last event that is too old
	ExpiredEnd  *int // one past the last event that is older than the retention
}

// LogEventsAnswer is the answer to PutLogEvents.
type LogEventsAnswer struct {
	Rejected          RejectedEvents
	NextSequenceToken string // only from endpoints that still have them
	RejectedEntity    string // why the entity was refused, though the events were kept
}

// CodeNoResult is the Code of a record for which the answer holds no result,
// neither an id nor an error. It counts as not delivered.
const CodeNoResult = "NoResult"

// FailedRecord is a record that was not delivered.
type FailedRecord struct {
	Index   int    // in the request
	Code    string // the service's, or CodeNoResult
	Message string
}

// RecordsAnswer is the answer to PutRecords and PutRecordBatch.
type RecordsAnswer struct {
	Failed []FailedRecord // in the order of the request; none means that all were delivered
}

var errNotJSON = errors.New("it is not the JSON object it should be")

func readAll(dst *[]byte, resp *http.Response) error {
	b := *dst
	defer func() { *dst = b }()
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := resp.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read it: %w", err)
		}
	}
}

// parseLogEventsAnswer reads what PutLogEvents answers.
func parseLogEventsAnswer(body []byte) (LogEventsAnswer, error) {
	var a LogEventsAnswer
	it := jsoniter.ConfigDefault.BorrowIterator(body)
	defer jsoniter.ConfigDefault.ReturnIterator(it)
	if it.WhatIsNext() != jsoniter.ObjectValue {
		return a, errNotJSON
	}
	readObject(it, func(it *jsoniter.Iterator, key string) {
		switch key {
		case "nextSequenceToken":
			a.NextSequenceToken = readString(it)
		case "rejectedLogEventsInfo":
			readObject(it, func(it *jsoniter.Iterator, key string) {
				switch key {
				case "tooNewLogEventStartIndex":
					a.Rejected.TooNewStart = readIndex(it)
				case "tooOldLogEventEndIndex":
					a.Rejected.TooOldEnd = readIndex(it)
				case "expiredLogEventEndIndex":
					a.Rejected.ExpiredEnd = readIndex(it)
				default:
					it.Skip()
				}
			})
		case "rejectedEntityInfo":
			readObject(it, func(it *jsoniter.Iterator, key string) {
				if key == "errorType" {
					a.RejectedEntity = readString(it)
					return
				}
				it.Skip()
			})
		default:
			it.Skip()
		}
	})
	return a, atEnd(it)
}

// recordsFormat is where PutRecords and PutRecordBatch differ.
type recordsFormat struct{ count, list, id string }

var (
	kinesisFormat  = recordsFormat{"FailedRecordCount", "Records", "SequenceNumber"}
	firehoseFormat = recordsFormat{"FailedPutCount", "RequestResponses", "RecordId"}
)

// parseRecordsAnswer reads what was answered to a request of n records. The
// usual answer, all delivered, is told by its look alone.
func parseRecordsAnswer(body []byte, n int, format recordsFormat) (RecordsAnswer, error) {
	if allDelivered(body, n, format) {
		return RecordsAnswer{}, nil
	}
	var a RecordsAnswer
	next := 0
	seen := false
	it := jsoniter.ConfigDefault.BorrowIterator(body)
	defer jsoniter.ConfigDefault.ReturnIterator(it)
	if it.WhatIsNext() != jsoniter.ObjectValue {
		return a, errNotJSON
	}
	readObject(it, func(it *jsoniter.Iterator, key string) {
		if key != format.list || seen {
			it.Skip()
			return
		}
		seen = true
		if it.WhatIsNext() == jsoniter.NilValue {
			it.Skip()
			return
		}
		it.ReadArrayCB(func(it *jsoniter.Iterator) bool {
			f := FailedRecord{Index: next}
			id := ""
			readObject(it, func(it *jsoniter.Iterator, key string) {
				switch key {
				case format.id:
					id = readString(it)
				case "ErrorCode":
					f.Code = readString(it)
				case "ErrorMessage":
					f.Message = readString(it)
				default:
					it.Skip()
				}
			})
			if next < n && (f.Code != "" || id == "") {
				a.Failed = append(a.Failed, f.orNoResult())
			}
			next++
			return it.Error == nil
		})
	})
	if err := atEnd(it); err != nil {
		return RecordsAnswer{}, err
	}
	for ; next < n; next++ {
		a.Failed = append(a.Failed, FailedRecord{Index: next}.orNoResult())
	}
	return a, nil
}

func (f FailedRecord) orNoResult() FailedRecord {
	if f.Code == "" {
		f.Code = CodeNoResult
		if f.Message == "" {
			f.Message = "the answer has no result for this record"
		}
	}
	return f
}

// allDelivered recognizes the usual answer, without white space and with
// nothing in its list but n entries with an id. It takes a tenth of the time
// that decoding takes.
func allDelivered(body []byte, n int, format recordsFormat) bool {
	head, list, found := bytes.Cut(body, []byte(`"`+format.list+`":[`))
	end := bytes.LastIndexByte(list, ']')
	if !found || end < 0 {
		return false
	}
	list, tail := list[:end], list[end+1:]
	count := []byte(`"` + format.count + `":0`)
	if !bytes.HasPrefix(head, []byte("{")) || bytes.Count(head, []byte("{")) != 1 || !bytes.HasSuffix(tail, []byte("}")) || bytes.Count(tail, []byte("}")) != 1 {
		return false
	}
	if !bytes.Contains(head, append(count, ',')) && !bytes.HasSuffix(tail, append(count, '}')) && !bytes.Contains(tail, append(count, ',')) {
		return false
	}
	key := []byte(`{"` + format.id + `":"`)
	for i := range n {
		if i > 0 {
			if list, found = bytes.CutPrefix(list, []byte(",")); !found {
				return false
			}
		}
		if list, found = bytes.CutPrefix(list, key); !found {
			return false
		}
		quote, brace := bytes.IndexByte(list, '"'), bytes.IndexByte(list, '}')
		if quote <= 0 || brace < quote {
			return false
		}
		if more := list[quote+1 : brace]; len(more) > 0 && !isShardID(more) {
			return false
		}
		list = list[brace+1:]
	}
	return len(list) == 0
}

// isShardID says whether the rest of an entry is a shard id and nothing else.
func isShardID(more []byte) bool {
	return bytes.HasPrefix(more, []byte(`,"ShardId":"`)) && bytes.Count(more, []byte(`"`)) == 4 && more[len(more)-1] == '"'
}

// readObject calls field for each field of an object; null has none.
func readObject(it *jsoniter.Iterator, field func(*jsoniter.Iterator, string)) {
	switch it.WhatIsNext() {
	case jsoniter.ObjectValue:
		it.ReadObjectCB(func(it *jsoniter.Iterator, key string) bool {
			field(it, key)
			return it.Error == nil
		})
	case jsoniter.NilValue:
		it.Skip()
	default:
		it.ReportError("read", errNotJSON.Error())
	}
}

// readString returns a string; null and values of other types give "".
func readString(it *jsoniter.Iterator) string {
	if it.WhatIsNext() == jsoniter.StringValue {
		return it.ReadString()
	}
	it.Skip()
	return ""
}

// readIndex returns a number from 0 up, nil for anything else.
func readIndex(it *jsoniter.Iterator) *int {
	if it.WhatIsNext() != jsoniter.NumberValue {
		it.Skip()
		return nil
	}
	n := it.ReadInt()
	if it.Error != nil || n < 0 {
		return nil
	}
	return &n
}

// atEnd says whether the whole answer was one good JSON value.
func atEnd(it *jsoniter.Iterator) error {
	if it.Error != nil {
		return errNotJSON
	}
	it.WhatIsNext()
	if it.Error != io.EOF {
		return errNotJSON
	}
	return nil
}
