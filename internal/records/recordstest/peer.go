//go:build cgo

package recordstest

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"
	jsoniter "github.com/json-iterator/go"
)

// DecodeWithSDK does what a plugin does that is written with fluent-bit-go and
// json-iterator alone: it calls each with the records' times and texts.
func DecodeWithSDK(chunk []byte, each func(at time.Time, text []byte) error) error {
	dec := output.NewDecoder(unsafe.Pointer(&chunk[0]), len(chunk))
	json := jsoniter.ConfigCompatibleWithStandardLibrary
	n := 0
	for {
		ret, ts, record := output.GetRecord(dec)
		if ret != 0 {
			break
		}
		text, err := json.Marshal(stringsOf(record))
		if err != nil {
			return err
		}
		at := time.Now()
		if t, ok := ts.(output.FLBTime); ok {
			at = t.Time
		}
		if err := each(at, text); err != nil {
			return err
		}
		n++
	}
	if n != BenchRecords {
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
