//go:build cgo

package recordstest

import (
	"fmt"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"
	jsoniter "github.com/json-iterator/go"
)

// flushWithSDK does what a plugin does that is written with fluent-bit-go,
// json-iterator and the SDK alone.
func flushWithSDK(put func(texts [][]byte) error, chunk []byte) error {
	dec := output.NewDecoder(unsafe.Pointer(&chunk[0]), len(chunk))
	json := jsoniter.ConfigCompatibleWithStandardLibrary
	var texts [][]byte
	n := 0
	for {
		ret, _, record := output.GetRecord(dec)
		if ret != 0 {
			break
		}
		text, err := json.Marshal(stringsOf(record))
		if err != nil {
			return err
		}
		texts = append(texts, append(text, '\n'))
		if n++; len(texts) == callRecords {
			if err := put(texts); err != nil {
				return err
			}
			texts = nil
		}
	}
	if n != benchRecords || len(texts) > 0 {
		return fmt.Errorf("decoded %d records", n)
	}
	return nil
}

// stringsOf makes strings of the decoder's byte slices, which would be written
// as base64.
func stringsOf(m map[any]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		key := fmt.Sprint(k)
		if b, ok := k.([]byte); ok {
			key = string(b)
		}
		switch v := v.(type) {
		case []byte:
			out[key] = string(v)
		case map[any]any:
			out[key] = stringsOf(v)
		default:
			out[key] = v
		}
	}
	return out
}
