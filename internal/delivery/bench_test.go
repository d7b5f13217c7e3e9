package delivery

import (
	"fmt"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/chunk"
)

// goodPath is what every flush costs that succeeds.
func goodPath(d *Delivery, c Chunk, n int) {
	f := d.Begin(c)
	for range n {
		f.Record()
	}
	f.CountIn()
	f.Sent(n, func(k int) int { return k })
	f.End(nil)
}

// A flush of 1,000 records that succeeds allocates once: the Flush.
func TestGoodPathAllocations(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := Chunk{Tag: "app", Data: make([]byte, 1<<20)}
	for n, allowed := range map[int]float64{0: 1, 1000: 1, 1024: 1, 2000: 2, 100_000: 10} {
		if got := testing.AllocsPerRun(100, func() { goodPath(d, c, n) }); got > allowed {
			t.Errorf("a flush of %d records allocates %v times, want at most %v", n, got, allowed)
		}
	}
}

func BenchmarkGoodPath(b *testing.B) {
	d, _ := open(b, "out.0", nil)
	c := Chunk{Tag: "app", Data: make([]byte, 1<<20)}
	b.ReportAllocs()
	for b.Loop() {
		goodPath(d, c, 1000)
	}
}

// BenchmarkRecord is the cost of each record: of a new chunk, and of one that
// comes again.
func BenchmarkRecord(b *testing.B) {
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%t", again), func(b *testing.B) {
			d, _ := open(b, "out.0", nil)
			c := chunkOf("a", 9)
			const n = 1 << 16
			if again {
				flush(d, c, n, even)
			}
			f := d.Begin(c)
			i := 0
			for b.Loop() {
				f.Record()
				if i++; i == n {
					f.records, i = 0, 0
				}
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	d, _ := open(b, "out.0", nil)
	c := Chunk{Tag: "app", Data: []byte(events(1000))}
	b.ReportAllocs()
	for b.Loop() {
		f := d.Begin(c)
		f.Walk(func(int, *chunk.Event) {})
		f.Sent(1000, at(0))
		f.End(nil)
	}
}

// BenchmarkHash is what looking a chunk of 2 MB up costs while the ledger is
// not empty: by default, and with ledger_path.
func BenchmarkHash(b *testing.B) {
	data := make([]byte, 2<<20)
	for _, c := range []struct {
		name string
		sum  func([]byte) uint64
	}{{"quick", quickSum}, {"lasting", lastingSum}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				c.sum(data)
			}
		})
	}
}

// BenchmarkBegin is what a chunk of 2 MB pays before its first record.
func BenchmarkBegin(b *testing.B) {
	for _, entries := range []int{0, 1, 4000} {
		b.Run(fmt.Sprintf("ledger=%d", entries), func(b *testing.B) {
			d, _ := open(b, "out.0", nil)
			for i := range entries {
				d.ledger.keep(memory{key: chunkKey{sum: uint64(i)}, records: 2, done: 1, kept: time.Now()})
			}
			c := Chunk{Tag: "app", Data: make([]byte, 2<<20)}
			for b.Loop() {
				d.Begin(c)
			}
		})
	}
}

func BenchmarkPace(b *testing.B) {
	b.Run("calm", func(b *testing.B) {
		var p Pace
		deadline := time.Now().Add(time.Hour)
		for b.Loop() {
			p.Wait(deadline, nil)
			p.Faster()
		}
	})
}
