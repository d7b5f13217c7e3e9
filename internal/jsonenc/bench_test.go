package jsonenc

import (
	"io"
	"syscall"
	"testing"

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
func eachBody(data []byte, f func(body []byte)) {
	r := chunk.NewReader(data)
	for {
		ev, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(err)
		}
		f(ev.Body)
	}
}

func BenchmarkChunkNext(b *testing.B) {
	overChunk(b, func(data []byte) { eachBody(data, func([]byte) {}) })
}

func BenchmarkChunkToJSON(b *testing.B) {
	var dst []byte
	overChunk(b, func(data []byte) {
		dst = dst[:0]
		eachBody(data, func(body []byte) { dst, _, _ = AppendJSON(dst, body) })
	})
}

func BenchmarkChunkToEscaped(b *testing.B) {
	var dst []byte
	overChunk(b, func(data []byte) {
		dst = dst[:0]
		eachBody(data, func(body []byte) { dst, _, _, _ = AppendEscaped(dst, body) })
	})
}
