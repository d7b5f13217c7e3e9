package chunk

import (
	"fmt"
	"io"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// logChunk builds a chunk of n records of some 450 bytes, as the tail input
// and the kubernetes filter make them.
func logChunk(n int) []byte {
	var b []byte
	str := func(k, v string) { b = msgp.AppendString(msgp.AppendString(b, k), v) }
	for i := range n {
		b = append(b, "\x92\x92\xd7\x00\x69\x55\xb9\x00\x00\x00\x00\x01\x80"...)
		b = msgp.AppendMapHeader(b, 4)
		str("log", fmt.Sprintf("10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET /items/%08d HTTP/1.1\" 200 5316 \"-\" \"curl/8.5.0\"\n", i))
		str("stream", "stdout")
		str("time", "2026-01-01T00:00:00.000000001Z")
		b = msgp.AppendMapHeader(msgp.AppendString(b, "kubernetes"), 6)
		str("pod_name", "web-frontend-7d9c6b5f4d-x2v8q")
		str("namespace_name", "production")
		str("pod_id", "0b6c1f5e-7d1a-4c9e-8f3b-2a5d6e7f8091")
		str("host", "ip-10-0-12-34.eu-west-1.compute.internal")
		b = msgp.AppendMapHeader(msgp.AppendString(b, "labels"), 2)
		str("app.kubernetes.io/name", "web-frontend")
		str("pod-template-hash", "7d9c6b5f4d")
		str("container_name", "nginx")
	}
	return b
}

func TestAllocations(t *testing.T) {
	data := logChunk(20)
	data = append(data, v2(start, "\x80", "\x80")...)
	data = append(data, v1("\x05", body1)...)
	path := []string{"kubernetes", "labels", "pod-template-hash"}
	found := 0
	n := testing.AllocsPerRun(20, func() {
		r := NewReader(data)
		for {
			ev, err := r.Next()
			if err == io.EOF {
				break
			}
			if _, ok := Lookup(ev.Body, path); ok {
				found++
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if found != 21*20 { // AllocsPerRun runs it once more
		t.Errorf("found %d, want %d", found, 21*20)
	}
}

func BenchmarkNext(b *testing.B) {
	data := logChunk(1000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(data)
		for {
			if _, err := r.Next(); err != nil {
				break
			}
		}
	}
}

// What Skip is measured against: the library's way over the same bytes.
func BenchmarkSkip(b *testing.B) {
	data := logChunk(1000)
	for _, bb := range []struct {
		name string
		skip func([]byte) ([]byte, error)
	}{{"own", Skip}, {"msgp", msgp.Skip}} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := data; len(rest) > 0; {
					var err error
					if rest, err = bb.skip(rest); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	r := NewReader(logChunk(1))
	ev, err := r.Next()
	if err != nil {
		b.Fatal(err)
	}
	path := []string{"kubernetes", "labels", "pod-template-hash"}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Lookup(ev.Body, path); !ok {
			b.Fatal("not found")
		}
	}
}
