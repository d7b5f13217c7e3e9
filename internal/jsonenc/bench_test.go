package jsonenc

import (
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
)

const benchRecords = 1000

// overChunk runs f over a chunk of kubernetes records and reports what one
// record costs, also in CPU time of the process, which other work on the
// machine disturbs less.
func overChunk(b *testing.B, f func(chunk []byte)) {
	data := kubernetesChunk(benchRecords)
	f(data) // grows buffers
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	cpu := cpuTime(b)
	for b.Loop() {
		f(data)
	}
	cpu = cpuTime(b) - cpu
	records := float64(b.N * benchRecords)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/records, "ns/record")
	b.ReportMetric(float64(cpu)/records, "cpu-ns/record")
	b.ReportMetric(float64(len(data))/benchRecords, "msgpack-B/record")
}

// cpuTime returns the CPU time of this process in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// eachBody calls f with the body of every event of a chunk.
func eachBody(tb testing.TB, data []byte, f func(body []byte)) {
	r := chunk.NewReader(data)
	for {
		ev, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		f(ev.Body)
	}
}

func BenchmarkChunkNext(b *testing.B) {
	overChunk(b, func(data []byte) { eachBody(b, data, func([]byte) {}) })
}

func BenchmarkChunkToJSON(b *testing.B) {
	var dst []byte
	for name, m := range map[string]*Memo{"alone": nil, "memo": {}} {
		b.Run(name, func(b *testing.B) {
			overChunk(b, func(data []byte) {
				dst = dst[:0]
				eachBody(b, data, func(body []byte) { dst, _, _ = m.AppendJSON(dst, body) })
			})
		})
	}
}

func BenchmarkChunkToEscaped(b *testing.B) {
	var dst []byte
	for name, m := range map[string]*Memo{"alone": nil, "memo": {}} {
		b.Run(name, func(b *testing.B) {
			overChunk(b, func(data []byte) {
				dst = dst[:0]
				eachBody(b, data, func(body []byte) { dst, _, _, _ = m.AppendEscaped(dst, body) })
			})
		})
	}
}

// Log lines that are JSON themselves need an escape every few bytes.
func BenchmarkStrings(b *testing.B) {
	for _, tt := range []struct{ name, s string }{
		{"short", "stdout"},
		{"plain", strings.Repeat("GET /index.html 200 ", 10)},
		{"json", strings.Repeat(`{"level":"info","n":1}`, 9)},
		{"japanese", strings.Repeat("注文を受け付けました。", 6)},
		{"latin1", strings.Repeat("Gr\xfc\xdfe aus K\xf6ln ", 10)}, // not UTF-8
	} {
		v := msgp.AppendString(nil, tt.s)
		b.Run(tt.name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(tt.s)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _, _, _ = AppendEscaped(dst[:0], v)
			}
		})
	}
}

func BenchmarkShape(b *testing.B) {
	dots := "_"
	now := []byte("2026-01-01T00:00:00")
	for _, tt := range []struct {
		name  string
		shape *Shape
	}{
		{"none", nil},
		{"keys", &Shape{Keys: []string{"log", "stream"}}},
		{"dots", &Shape{ReplaceDots: &dots}},
		{"time", &Shape{TimeKey: "time"}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var dst []byte
			overChunk(b, func(data []byte) {
				dst = dst[:0]
				eachBody(b, data, func(body []byte) { dst, _ = tt.shape.AppendJSON(dst, body, now) })
			})
		})
	}
}
