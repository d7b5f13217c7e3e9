package delivery

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLedgerAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, got := open(t, "out.0", nil)
		flush(d, chunkOf("a", 9), 10, even)
		time.Sleep(time.Hour)
		flush(d, chunkOf("b", 9), 10, even)
		want(t, d, In, 20, Sent, 10, Abandoned, 0)
		time.Sleep(time.Second) // a is now older than an hour, b is not
		flush(d, chunkOf("c", 9), 10, all)
		want(t, d, In, 30, Sent, 20, Abandoned, 5)
		if line, ok := got.find("5 of its records were not delivered"); !ok || !strings.Contains(line, "ledger_max_age") {
			t.Errorf("logged %q, want the records that were abandoned, and the option", got.take())
		}
		// It comes after all: a new chunk, sent whole, and the account still adds up.
		flush(d, chunkOf("a", 9), 10, all)
		want(t, d, In, 40, Sent, 30, Abandoned, 5, Skipped, 0)
		// Each failure counts anew.
		for range 3 {
			time.Sleep(50 * time.Minute)
			flush(d, chunkOf("b", 9), 10, none)
		}
		want(t, d, In, 40, Sent, 30, Abandoned, 5, Skipped, 15)
	})
}

func TestLedgerIsFull(t *testing.T) {
	d, got := open(t, "out.0", config{"ledger_max_chunks", "3"})
	for i := range 5 {
		flush(d, chunkOf(fmt.Sprint(i), 9), 10, even)
	}
	want(t, d, In, 50, Sent, 25, Abandoned, 10)
	if line, ok := got.find("ledger is full"); !ok || !strings.Contains(line, "ledger_max_chunks 3") {
		t.Errorf("logged %q, want that the ledger is full, and the option", got.take())
	}
	for i, skipped := range []int{0, 0, 5, 10, 15} {
		flush(d, chunkOf(fmt.Sprint(i), 9), 10, all)
		want(t, d, Skipped, skipped)
	}
	want(t, d, In, 70, Sent, 60, Abandoned, 10)
}

func TestLedgerBytes(t *testing.T) {
	var over []int
	l := NewLedger(LedgerLimits{Chunks: 100, Bytes: 4 << 10, Age: time.Hour}, func(n int, full bool) {
		if !full {
			t.Error("an entry ended for its age")
		}
		over = append(over, n)
	})
	put := func(tag string, records int) {
		m := memory{key: chunkKey{tag: tag}, records: records, settled: make([]uint64, (records+63)/64), done: 1}
		m.settled[len(m.settled)-1] = 1
		l.keep(m)
	}
	check := func(entries int, want ...int) {
		t.Helper()
		if l.oldest.Len() != entries || len(l.chunks) != entries || fmt.Sprint(over) != fmt.Sprint(want) {
			t.Errorf("%d entries, %d keys, ended %v; want %d and %v", l.oldest.Len(), len(l.chunks), over, entries, want)
		}
		size := 0
		for e := l.oldest.Front(); e != nil; e = e.Next() {
			size += e.Value.(*memory).size()
		}
		if size != l.bytes || size > l.limits.Bytes {
			t.Errorf("entries of %d bytes counted as %d, allowed are %d", size, l.bytes, l.limits.Bytes)
		}
	}
	for i := range 4 {
		put(fmt.Sprint(i), 1000+i) // 128 bytes of bits
	}
	check(4)
	put("large", 12000) // 1,504 bytes of bits
	check(5)
	put("large2", 12000)
	check(2, 999, 1000, 1001, 1002)
	put("huge", 40000) // can never be held: it goes, the others stay
	check(2, 999, 1000, 1001, 1002, 39999)
	put("long "+strings.Repeat("tag", 2000), 2)
	check(2, 999, 1000, 1001, 1002, 39999, 1)
}

// Limits are what may be there, to the byte.
func TestLedgerBytesExactly(t *testing.T) {
	one := memory{key: chunkKey{tag: "a"}, records: 10, settled: []uint64{1}, done: 1}
	size := one.size()
	for _, c := range []struct{ bytes, entries int }{{size - 1, 0}, {size, 1}, {2*size - 1, 1}, {2 * size, 2}, {3*size - 1, 2}} {
		l := NewLedger(LedgerLimits{Chunks: 100, Bytes: c.bytes, Age: time.Hour}, func(int, bool) {})
		for _, tag := range []string{"a", "b", "c"} {
			one.key.tag = tag
			l.keep(one)
		}
		if got := l.oldest.Len(); got != c.entries {
			t.Errorf("%d entries of %d bytes in %d, want %d", got, size, c.bytes, c.entries)
		}
	}
}

// Bits that are not set at the end take no room: the many entries of an outage
// are the smallest.
func TestLedgerKeepsNoZeros(t *testing.T) {
	l := NewLedger(LedgerLimits{1, 1 << 20, time.Hour}, nil)
	bits := make([]uint64, 100, 200)
	bits[4] = 1
	l.keep(memory{records: 6400, settled: bits, done: 1})
	bits[4] = 0 // it has a copy
	m, _ := l.take(Chunk{})
	if m != nil {
		t.Fatal("an entry came back under a wrong key")
	}
	m = l.oldest.Front().Value.(*memory)
	if len(m.settled) != 5 || cap(m.settled) != 5 || m.settled[4] != 1 {
		t.Errorf("kept %d of %d words, %v", len(m.settled), cap(m.settled), m.settled)
	}
}

// Identical chunks that wait at the same time each arrive whole, in whatever
// order they come.
func TestIdenticalChunks(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := chunkOf("same", 9)
	const n, twins = 100, 5
	arrived := make([]int, n)
	send := func(ok func(i int) bool) Result {
		return flush(d, c, n, func(i int) bool {
			if ok(i) {
				arrived[i]++
			}
			return ok(i)
		})
	}
	// All are under way before the first comes back.
	var flushes []*Flush
	for range twins {
		flushes = append(flushes, d.Begin(c))
	}
	for k, f := range flushes {
		for range n {
			if i, fresh := f.Record(); fresh && i%twins == k {
				f.Sent(1, at(i))
				arrived[i]++
			}
		}
		if got := f.End(nil); got != Retry {
			t.Errorf("flush %d is %v, want FLB_RETRY", k, got)
		}
	}
	want(t, d, In, n*twins, Sent, n, Skipped, 0)
	send(even)
	for range twins {
		if got := send(all); got != OK {
			t.Errorf("flush is %v, want FLB_OK", got)
		}
	}
	want(t, d, In, n*twins, Sent, n*twins)
	for i, times := range arrived {
		if times != twins {
			t.Fatalf("record %d arrived %d times, want %d", i, times, twins)
		}
	}
	if len(d.ledger.chunks) != 0 || d.ledger.bytes != 0 {
		t.Errorf("%d keys and %d bytes are left", len(d.ledger.chunks), d.ledger.bytes)
	}
}

// A healthy output never pays for hashing, and one that fails hashes a chunk once a flush.
func TestHashedOnlyWhenNeeded(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	hashed := 0
	d.ledger.sum = func(b []byte) uint64 { hashed++; return quickSum(b) }
	check := func(c Chunk, sent func(int) bool, want int) {
		t.Helper()
		hashed = 0
		flush(d, c, 10, sent)
		if hashed != want {
			t.Errorf("hashed %d times, want %d", hashed, want)
		}
	}
	a, b := chunkOf("a", 9), chunkOf("b", 9)
	check(a, all, 0)
	check(a, even, 1) // to keep it
	check(b, all, 1)  // to look for it
	check(b, none, 1) // to look for it, and to keep it
	check(a, none, 1)
	check(a, all, 1)
	check(b, all, 1)
	check(b, all, 0) // the ledger is empty again
}

// An entry takes about what it is counted as.
func TestLedgerMemory(t *testing.T) {
	const entries, records = 4000, 2000
	l := NewLedger(LedgerLimits{entries, 1 << 30, time.Hour}, nil)
	before := heap()
	for i := range entries {
		bits := make([]uint64, (records+63)/64)
		for w := range bits {
			bits[w] = 1
		}
		l.keep(memory{key: chunkKey{tag: fmt.Sprintf("kube.var.log.containers.%08d", i), sum: uint64(i)}, records: records, settled: bits, done: 1})
	}
	took := heap() - before
	t.Logf("%d bytes an entry, counted as %d", took/entries, l.bytes/entries)
	if float64(took) > 1.1*float64(l.bytes) || float64(took) < 0.7*float64(l.bytes) {
		t.Errorf("%d entries take %d bytes and are counted as %d", entries, took, l.bytes)
	}
	runtime.KeepAlive(l)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A kept entry holds neither its flush nor Fluent Bit's memory.
func TestKeptEntryHoldsNothingElse(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	freed := make(chan struct{})
	func() {
		data := make([]byte, 1<<20)
		runtime.AddCleanup(&data[0], func(struct{}) { close(freed) }, struct{}{})
		flush(d, Chunk{Tag: "a", Data: data}, 10, even)
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-freed:
			want(t, d, In, 10, Sent, 5)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the chunk's memory is still held")
}

// The ledger writes its log without holding up the others: a log that comes
// back to the ledger must not hang.
func TestForgetIsToldWithoutTheLock(t *testing.T) {
	var l *Ledger
	told := 0
	l = NewLedger(LedgerLimits{1, 64 << 10, time.Hour}, func(int, bool) { told++; l.unsettled() })
	for i := range 3 {
		l.keep(memory{key: chunkKey{sum: uint64(i)}, records: 2, done: 1})
	}
	l.keep(memory{key: chunkKey{tag: strings.Repeat("x", 64<<10)}, records: 2, done: 1})
	if told != 3 {
		t.Errorf("told of %d entries, want 3", told)
	}
}

// Workers take, fail, keep and evict at the same time; whoever looks at the
// account meanwhile sees it add up.
func TestWorkers(t *testing.T) {
	d, _ := open(t, "out.0", config{"ledger_max_chunks", "6"})
	const workers, rounds, n = 8, 200, 130
	stop := make(chan struct{})
	var watch, work sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			a := map[string]uint64{}
			d.Each(func(m Metric) { a[m.Name] += m.Value })
			if a["records_in_total"] != a["records_sent_total"]+a["records_dropped_total"]+a["records_pending"] ||
				a["records_pending"] > workers*rounds*n || d.Pending() > workers*rounds*n {
				t.Errorf("the account does not add up: %v", a)
				return
			}
			runtime.Gosched()
		}
	})
	for w := range workers {
		work.Go(func() {
			for r := range rounds {
				c := chunkOf(fmt.Sprint((r+w)%12), 3) // several workers have the same bytes
				f := d.Begin(c)
				for range n {
					f.Record()
				}
				f.CountIn()
				var sends sync.WaitGroup
				for part := range 2 {
					if r%3 == part {
						continue
					}
					sends.Go(func() { f.Sent(n/2, at(part*n/2)) })
				}
				sends.Wait()
				f.End(nil)
			}
		})
	}
	work.Wait()
	close(stop)
	watch.Wait()
	checkAccount(t, d)
}
