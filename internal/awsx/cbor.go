package awsx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Kinesis speaks CBOR (RFC 8949) beside JSON: the AWS SDK for Java has sent it by
// default since 2016. Data is bytes in it and needs no base64, so a request is a
// quarter smaller. The other two services do not speak it.
// https://docs.aws.amazon.com/sdk-for-java/latest/developer-guide/migration-client-changes.html
const (
	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

// CBOR says that the body is CBOR. The answer may be so, too.
func CBOR() BodyOption { return Header("Content-Type", typeCBOR) }

// isCBOR tells an answer by its first byte, a CBOR map's: under load Kinesis has
// been seen to answer with JSON whatever it was asked in.
// https://github.com/aws/aws-sdk-java-v2/issues/1595
func isCBOR(data []byte) bool { return len(data) > 0 && data[0]>>5 == cborMap }

// NotUnderstood says what an error tells of an endpoint that was called in CBOR:
// that it knows nothing of it, or, by an answer that is none of the service's,
// that it may be so.
func NotUnderstood(err error) (surely, perhaps bool) {
	f := answerOf(err)
	switch f.Code {
	case "UnknownOperationException", "SerializationException", "InvalidAction", "UnsupportedMediaTypeException":
		return true, true
	}
	return f.Status == http.StatusUnsupportedMediaType, f.Code == "" && f.Status >= 400
}

// asJSON puts JSON in the place of a refusal in CBOR, for the SDK, which decodes
// refusals and knows no CBOR of this kind.
func asJSON(resp *http.Response) {
	if resp.Header.Get("Content-Type") != typeCBOR || resp.StatusCode < 300 {
		return
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil || !isCBOR(data) {
		data = nil
	}
	said := make(map[string]string)
	if v, err := cbor.Decode(data); err == nil {
		if m, ok := v.(cbor.Map); ok {
			for key, v := range m {
				if text, ok := v.(cbor.String); ok {
					said[key] = string(text)
				}
			}
		}
	}
	text, err := json.Marshal(said)
	if err != nil { // not for strings
		text = []byte("{}")
	}
	resp.Body = &givenBody{Reader: bytes.NewReader(text), Closer: resp.Body}
	resp.ContentLength = int64(len(text))
	resp.Header.Set("Content-Length", strconv.Itoa(len(text)))
	resp.Header.Set("Content-Type", typeJSON)
}

// givenBody is an answer's body that was made of another one.
type givenBody struct {
	io.Reader
	io.Closer
}

// The major types of CBOR that an answer has, and what is no type.
// https://www.rfc-editor.org/rfc/rfc8949#section-3.1
const (
	cborBytes, cborText, cborArray, cborMap, cborTag, cborSimple = 2, 3, 4, 5, 6, 7

	cborEnd        = 0xff // of what is of indefinite length
	cborIndefinite = 31   // in place of a length
	maxCBORDepth   = 64
)

var errNotCBOR = errors.New("it is not the CBOR map it should be")

// cborReader reads CBOR from the front. With the first error it stays where it is
// and returns nothing but zeros.
type cborReader struct {
	data []byte
	err  error
}

func (r *cborReader) fail() {
	r.data, r.err = nil, errNotCBOR
}

// head reads the first byte of a value with its argument, a number or a length.
func (r *cborReader) head() (major byte, n uint64, indefinite bool) {
	if len(r.data) == 0 {
		r.fail()
		return 0, 0, false
	}
	major, minor := r.data[0]>>5, r.data[0]&0x1f
	r.data = r.data[1:]
	switch {
	case minor < 24:
		return major, uint64(minor), false
	case minor == cborIndefinite:
		return major, 0, true
	case minor > 27:
		r.fail()
		return 0, 0, false
	}
	size := 1 << (minor - 24)
	if len(r.data) < size {
		r.fail()
		return 0, 0, false
	}
	for _, c := range r.data[:size] {
		n = n<<8 | uint64(c)
	}
	r.data = r.data[size:]
	return major, n, false
}

// more says whether a list goes on that has left more values, or, of indefinite
// length, an end of its own.
func (r *cborReader) more(left *uint64, indefinite bool) bool {
	switch {
	case r.err != nil:
		return false
	case !indefinite && *left == 0:
		return false
	case !indefinite:
		*left--
	case len(r.data) > 0 && r.data[0] == cborEnd:
		r.data = r.data[1:]
		return false
	}
	return true
}

// bytes reads what a byte or text string of a known length has.
func (r *cborReader) bytes(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// text reads a value, and returns nothing if it is no text. It aliases the data,
// save for text in pieces, which no answer was seen to have.
func (r *cborReader) text() (b []byte) {
	if len(r.data) == 0 || r.data[0]>>5 != cborText {
		r.skip(0)
		return nil
	}
	_, n, indefinite := r.head()
	if !indefinite {
		return r.bytes(n)
	}
	for r.more(&n, true) {
		major, n, nested := r.head()
		if major != cborText || nested {
			r.fail()
		}
		b = append(b, r.bytes(n)...)
	}
	return b
}

// skip reads a value of any kind.
func (r *cborReader) skip(depth int) {
	major, n, indefinite := r.head()
	switch {
	case r.err != nil:
	case depth >= maxCBORDepth:
		r.fail()
	case major == cborMap && !indefinite && n > uint64(len(r.data)):
		r.fail() // so that n*2 does not overflow
	case major == cborArray, major == cborMap, (major == cborBytes || major == cborText) && indefinite:
		if major == cborMap && !indefinite {
			n *= 2
		}
		for r.more(&n, indefinite) {
			r.skip(depth + 1)
		}
	case major == cborBytes, major == cborText:
		r.bytes(n)
	case major == cborTag:
		r.skip(depth + 1)
	case indefinite: // an end without a beginning
		r.fail()
	}
}

// object calls field for each key of a map, to read its value. Null has none.
func (r *cborReader) object(field func(key []byte)) {
	if len(r.data) == 0 || r.data[0]>>5 != cborMap {
		if len(r.data) == 0 || r.data[0] != cborNull {
			r.fail()
			return
		}
		r.skip(0)
		return
	}
	_, n, indefinite := r.head()
	for r.more(&n, indefinite) {
		key := r.text()
		field(key)
	}
}

const cborNull = cborSimple<<5 | 22

// parseRecordsCBOR is parseRecordsAnswer for an answer in CBOR.
func parseRecordsCBOR(body []byte, n int, format recordsFormat) (RecordsAnswer, error) {
	var a RecordsAnswer
	r := cborReader{data: body}
	next, seen := 0, false
	r.object(func(key []byte) {
		if seen || string(key) != format.list || len(r.data) == 0 || r.data[0]>>5 != cborArray {
			r.skip(0)
			return
		}
		seen = true
		_, left, indefinite := r.head()
		for r.more(&left, indefinite) {
			if f, failed := r.result(format); failed && next < n {
				f.Index = next
				a.Failed = append(a.Failed, f.orNoResult())
			}
			next++
		}
	})
	if r.err != nil || len(r.data) > 0 {
		return RecordsAnswer{}, errNotCBOR
	}
	for ; next < n; next++ {
		a.Failed = append(a.Failed, FailedRecord{Index: next}.orNoResult())
	}
	return a, nil
}

// result reads what became of one record.
func (r *cborReader) result(format recordsFormat) (f FailedRecord, failed bool) {
	var id, code, message []byte
	r.object(func(key []byte) {
		switch string(key) {
		case format.id:
			id = r.text()
		case "ErrorCode":
			code = r.text()
		case "ErrorMessage":
			message = r.text()
		default:
			r.skip(0)
		}
	})
	if len(code) == 0 && len(id) > 0 {
		return f, false
	}
	return FailedRecord{Code: string(code), Message: string(message)}, true
}
