package awslocal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Kinesis understands CBOR beside JSON, by the request's type, and answers in
// the same. Here a request becomes JSON, with blobs in base64, and its answer is
// made of JSON, so that what looks at requests and plays faults sees one form.
const (
	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

// JSON returns the body of a request, which was kept, as JSON.
func (r *Request) JSON() ([]byte, error) {
	if r.Header.Get("Content-Type") != typeCBOR {
		return r.Body, nil
	}
	return JSONOf(r.Body)
}

// JSONOf returns a request in CBOR as JSON. As in Kinesis' other format, bytes
// are in base64; a member that is to be bytes and is text is an error.
func JSONOf(request []byte) ([]byte, error) {
	// In a list, what stands behind the request is a second value or an error.
	v, err := cbor.Decode(append(append([]byte{0x9f}, request...), 0xff))
	if err != nil {
		return nil, err
	}
	if list, ok := v.(cbor.List); !ok || len(list) != 1 {
		return nil, errors.New("the request is more than one value")
	}
	plain, err := plainOf("", v.(cbor.List)[0])
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err = e.Encode(plain)
	return out.Bytes(), err
}

// plainOf returns a value as encoding/json takes it. name is the member's.
func plainOf(name string, v cbor.Value) (any, error) {
	switch v := v.(type) {
	case cbor.Map:
		out := make(map[string]any, len(v))
		for key, member := range v {
			var err error
			if out[key], err = plainOf(key, member); err != nil {
				return nil, err
			}
		}
		return out, nil
	case cbor.List:
		out := make([]any, len(v))
		for i, member := range v {
			var err error
			if out[i], err = plainOf(name, member); err != nil {
				return nil, err
			}
		}
		return out, nil
	case cbor.Slice:
		return base64.StdEncoding.EncodeToString(v), nil
	case cbor.String:
		if !utf8.ValidString(string(v)) {
			return nil, fmt.Errorf("member %s is not valid UTF-8", name)
		}
		if name == "Data" {
			return nil, errors.New("member Data is text, and should be bytes")
		}
		return string(v), nil
	case cbor.Uint:
		return uint64(v), nil
	case cbor.Bool:
		return bool(v), nil
	case *cbor.Nil:
		return nil, nil
	}
	return nil, fmt.Errorf("member %s is a %T", name, v)
}

// CBOROf returns an answer in JSON as CBOR. Kinesis' own has maps without a length
// in front, and those of calls do too; this one has them, as either may come.
func CBOROf(answer []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return answer // what is no JSON is sent as it is
	}
	return cbor.Encode(cborOf("", v))
}

func cborOf(name string, v any) cbor.Value {
	switch v := v.(type) {
	case map[string]any:
		out := make(cbor.Map, len(v))
		for key, member := range v {
			out[key] = cborOf(key, member)
		}
		return out
	case []any:
		out := make(cbor.List, len(v))
		for i, member := range v {
			out[i] = cborOf(name, member)
		}
		return out
	case string:
		if data, err := base64.StdEncoding.DecodeString(v); name == "Data" && err == nil {
			return cbor.Slice(data)
		}
		return cbor.String(v)
	case bool:
		return cbor.Bool(v)
	case json.Number:
		if n, err := v.Int64(); err == nil && n >= 0 {
			return cbor.Uint(n)
		}
		f, _ := v.Float64() // JSON's own number
		return cbor.Float64(f)
	}
	return &cbor.Nil{}
}
