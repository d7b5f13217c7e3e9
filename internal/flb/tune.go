package flb

import (
	"os"
	"runtime"
	"runtime/debug"
	counts "runtime/metrics"
	"time"
)

// tune sets what the Go runtime would otherwise decide for a program that has
// the machine to itself. GOMAXPROCS and GOGC in the environment are above it;
// GOMEMLIMIT stays as it is. (A limit of memory was tried: what is under way at
// a time depends on workers, concurrency and the size of records, and a collector
// that cannot get below its limit takes half of the CPU.)
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threads(runtime.GOMAXPROCS(0)))
	}
	if os.Getenv("GOGC") == "" {
		afterCollection(newCollection())
	}
}

// threads is how many threads run Go code at a time, of n that could. One encodes,
// hashes and encrypts some 300 MB a second; every further one costs 5 to 10 % of
// CPU, as the runtime wakes it for what the first would have done a moment later.
func threads(n int) int { return min(1+n/4, 4) }

// collection becomes garbage with everything else that does between two
// collections, and is found by the next one. It has a pointer in it, since Go may
// put small things without one together, and then never finds them.
type collection struct {
	heap      []counts.Sample // what is alive, and all that ever was
	allocated uint64          // of all that ever was, at the last collection
	at        time.Time       // of that
	percent   int             // as it is set; 0: not yet
}

func newCollection() *collection {
	return &collection{heap: []counts.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}, at: time.Now()}
}

// afterCollection sets anew after each collection how much may become garbage
// before the next one.
func afterCollection(c *collection) {
	counts.Read(c.heap)
	live, allocated, now := c.heap[0].Value.Uint64(), c.heap[1].Value.Uint64(), time.Now()
	perSecond := float64(allocated-c.allocated) / max(now.Sub(c.at), time.Millisecond).Seconds()
	c.allocated, c.at = allocated, now
	if p := percent(live, perSecond); p < c.percent*9/10 || p > c.percent*11/10 {
		debug.SetGCPercent(p) // stops all threads for a moment
		c.percent = p
	}
	runtime.SetFinalizer(c, afterCollection)
}

// Of what is alive under load, nearly all is used again and again (and what is
// large, the bodies, is not of Go's heap, see spare.Region), and there is little
// garbage: to let the heap double, as Go does, would be to keep as much memory for
// nothing.
const (
	// What becomes garbage in a second may stay, in bytes, but no less and no more than
	// this. A collection takes 1 to 2 ms.
	minGarbage, maxGarbage = 1 << 20, 2 << 20
	garbageShare           = 30 // percent of what is alive, if that is more

	// leastHeap is, at a GOGC of 100, what Go lets its heap grow to even if little of it
	// is alive, in bytes; at 200 it is twice that.
	// https://pkg.go.dev/runtime/debug#SetGCPercent, heapMinimum in runtime/mgcpacer.go
	leastHeap = 4 << 20
)

// percent is what GOGC is to be when so many bytes are alive, and so many become
// garbage in a second.
func percent(live uint64, perSecond float64) int {
	garbage := min(max(perSecond, minGarbage), maxGarbage)
	alive := float64(max(live, 1)) // none is one that was not counted yet
	return max(garbageShare, int(100*min(garbage/alive, (alive+garbage)/leastHeap)))
}
