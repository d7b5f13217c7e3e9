//go:build cgo

package jsonenc

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"
	jsoniter "github.com/json-iterator/go"
)

// peerJSON does what AWS's Go plugins do with a chunk: fluent-bit-go's decoder
// makes maps of the records, []byte becomes string all through them, and
// json-iterator writes them. It calls f with each text.
func peerJSON(tb testing.TB, data []byte, f func(text []byte)) {
	d := output.NewDecoder(unsafe.Pointer(unsafe.SliceData(data)), len(data))
	for {
		ret, _, record := output.GetRecord(d)
		if ret != 0 {
			return
		}
		text, err := jsoniter.ConfigCompatibleWithStandardLibrary.Marshal(stringMap(record))
		if err != nil {
			tb.Fatal(err)
		}
		f(text)
	}
}

func stringMap(m map[any]any) map[any]any {
	for k, v := range m {
		switch v := v.(type) {
		case []byte:
			m[k] = string(v)
		case map[any]any:
			m[k] = stringMap(v)
		case []any:
			m[k] = stringList(v)
		}
	}
	return m
}

func stringList(list []any) []any {
	for i, v := range list {
		switch v := v.(type) {
		case []byte:
			list[i] = string(v)
		case map[any]any:
			list[i] = stringMap(v)
		case []any:
			list[i] = stringList(v)
		}
	}
	return list
}

// What is compared must do the same work.
func TestPeerAgrees(t *testing.T) {
	data := kubernetesChunk(20)
	var peer [][]byte
	peerJSON(t, data, func(text []byte) { peer = append(peer, bytes.Clone(text)) })
	if len(peer) != 20 {
		t.Fatalf("the peer read %d records, want 20", len(peer))
	}
	i := 0
	eachBody(t, data, func(body []byte) {
		text, _, err := AppendJSON(nil, body)
		var got, want any
		if err != nil || json.Unmarshal(text, &got) != nil || json.Unmarshal(peer[i], &want) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %s, %v, want %s", text, err, peer[i])
		}
		i++
	})
}

// BenchmarkPeerChunkToJSON is what BenchmarkChunkToJSON and
// BenchmarkChunkToEscaped are to be compared with.
func BenchmarkPeerChunkToJSON(b *testing.B) {
	overChunk(b, func(data []byte) { peerJSON(b, data, func([]byte) {}) })
}
