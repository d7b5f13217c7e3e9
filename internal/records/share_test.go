package records

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
)

// crowd is a service whose first call hangs until it is let go, and flushes that
// come meanwhile. Each one's records are text of its name and their number.
type crowd struct {
	*fake
	t       *testing.T
	release func()     // lets the first call go
	calls   chan []int // the numbers of records in each call, when it begins
	way     way        // how its flushes wait
	flushes atomic.Int32
	mu      sync.Mutex
	tries   map[string]int // of each record
	got     map[string]int // that the service has taken
}

// way is how flushes wait for a call with others.
type way int

const (
	byTurns    way = iota // each with a goroutine, or none, by turns
	goroutines            // with one
	none                  // with none
)

// newCrowd has the first call under way. answer says which records of a later call
// fail; nil: none.
func newCrowd(t *testing.T, wire *Wire, answer put) *crowd {
	c := &crowd{t: t, calls: make(chan []int, 1000), tries: map[string]int{}, got: map[string]int{}}
	held := make(chan struct{})
	c.release = sync.OnceFunc(func() { close(held) })
	c.fake = newFake(t, 1, "10s", func(n int, records []sent) (a awsx.RecordsAnswer, err error) {
		c.calls <- []int{len(records)}
		c.note(c.tries, records, nil)
		switch {
		case n == 0:
			<-held
		case answer != nil:
			if a, err = answer(n, records); err != nil {
				return a, err
			}
		}
		c.note(c.got, records, a.Failed)
		return a, err
	})
	if wire.CBOR {
		c.CBOR = wire
	}
	c.Limits.Records = 100
	patient(t, 1, time.Minute)
	t.Cleanup(func() {
		c.release()
		for i := range c.gather {
			if g := &c.gather[i]; g.batches != 0 || g.calls != 0 || g.open != nil {
				t.Errorf("at the end there are %d batches and %d calls, and a group is open: %v", g.batches, g.calls, g.open != nil)
			}
		}
	})
	return c
}

// patient has more batches than so many wait for so long.
func patient(t *testing.T, batches int, d time.Duration) {
	oldFew, oldPatience := few, patience
	few, patience = batches, d
	t.Cleanup(func() { few, patience = oldFew, oldPatience })
}

func (c *crowd) note(where map[string]int, records []sent, but []awsx.FailedRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range records {
		if !slices.ContainsFunc(but, func(f awsx.FailedRecord) bool { return f.Index == i }) {
			where[string(r.Data)]++
		}
	}
}

// oneFlush is one of several at the same time.
type oneFlush struct {
	end    func() delivery.Result // ends it, if that was not done, and with it its context
	result chan delivery.Result
}

// send begins a flush of these records.
func (c *crowd) send(name string, texts ...string) oneFlush {
	f := oneFlush{result: make(chan delivery.Result, 1)}
	chunk := delivery.Chunk{Tag: name, Data: []byte(name)}
	if n := c.flushes.Add(1); c.way == none || c.way == byTurns && n%2 == 0 {
		chunk.Resume = func(rest func() delivery.Result) { f.result <- rest() }
	}
	return c.sendChunk(f, chunk, texts...)
}

// malformed is a record that is dropped, and not sent.
const malformed = "malformed"

// sendChunk begins a flush of a chunk, of these records.
func (c *crowd) sendChunk(f oneFlush, chunk delivery.Chunk, texts ...string) oneFlush {
	flush := c.Begin(chunk)
	flush.Context() // which end ends
	f.end = sync.OnceValue(func() delivery.Result { return flush.End(nil) })
	go func() {
		out := c.NewSender(flush)
		for _, text := range texts {
			i, fresh := flush.Record()
			switch {
			case !fresh:
			case text == malformed:
				flush.DropRecord(delivery.Malformed, i)
			default:
				out.Add([]byte(chunk.Tag+text), nil, i)
			}
		}
		if r := out.Finish(f.end); r != delivery.Pending {
			f.result <- r
		}
	}()
	return f
}

// first begins the flush whose call hangs.
func (c *crowd) first() oneFlush {
	f := c.send("first", "0")
	c.wantCall(1)
	return f
}

// join begins a flush of these records, and returns when it waits with so many
// in all, or when it has made a call if that is 0.
func (c *crowd) join(waiting int, name string, texts ...string) oneFlush {
	f := c.send(name, texts...)
	for start := time.Now(); c.waiting() != waiting; runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			c.t.Fatalf("%d flushes wait, want %d", c.waiting(), waiting)
		}
	}
	return f
}

// waiting is how many batches are in the open group.
func (c *crowd) waiting() (n int) {
	for i := range c.gather {
		g := &c.gather[i]
		g.mu.Lock()
		if g.open != nil {
			n += len(g.open.members)
		}
		g.mu.Unlock()
	}
	return n
}

// underWay is how many calls are.
func (c *crowd) underWay() (n int) {
	for i := range c.gather {
		g := &c.gather[i]
		g.mu.Lock()
		n += g.calls
		g.mu.Unlock()
	}
	return n
}

// wantCall waits for the next call, which is to have so many records.
func (c *crowd) wantCall(records int) {
	c.t.Helper()
	select {
	case got := <-c.calls:
		if got[0] != records {
			c.t.Errorf("a call of %d records, want %d", got[0], records)
		}
	case <-time.After(10 * time.Second):
		c.t.Fatalf("no call, want one of %d records", records)
	}
}

func (c *crowd) wantNoCall() {
	c.t.Helper()
	select {
	case got := <-c.calls:
		c.t.Errorf("a call of %d records, want none", got[0])
	default:
	}
}

// want waits for a flush's result.
func (c *crowd) want(want delivery.Result, flushes ...oneFlush) {
	c.t.Helper()
	for i, f := range flushes {
		select {
		case got := <-f.result:
			if got != want {
				c.t.Errorf("flush %d: got %v, want %v", i, got, want)
			}
		case <-time.After(20 * time.Second):
			c.t.Fatalf("flush %d does not end", i)
		}
	}
}

// wantOnce wants so many records to have arrived, each once.
func (c *crowd) wantOnce(n int) {
	c.t.Helper()
	if len(c.got) != n {
		c.t.Errorf("%d records have arrived, want %d", len(c.got), n)
	}
	for text, n := range c.got {
		if n != 1 {
			c.t.Errorf("record %q has arrived %d times", text, n)
		}
	}
}

func (c *crowd) wantCounters(want map[delivery.Counter]int) {
	c.t.Helper()
	for counter, n := range want {
		if got := c.Get(counter); got != uint64(n) {
			c.t.Errorf("counter %d is %d, want %d; account: %v", counter, got, n, c.Counters)
		}
	}
}

// eachWire runs a test for both forms of requests.
func eachWire(t *testing.T, f func(t *testing.T, wire *Wire)) {
	for _, wire := range []*Wire{asJSON, inCBOR} {
		t.Run(fmt.Sprint("CBOR ", wire.CBOR), func(t *testing.T) { f(t, wire) })
	}
}

// TestFlushesShareACall: those that come while a call is under way have the next
// one together, each with its own account.
func TestFlushesShareACall(t *testing.T) {
	eachWire(t, func(t *testing.T, wire *Wire) {
		c := newCrowd(t, wire, nil)
		flushes := []oneFlush{c.first()}
		for i := range 9 {
			flushes = append(flushes, c.join(i+1, fmt.Sprint("flush", i), "0", "1", "2"))
		}
		c.wantNoCall()
		if in, sent := c.Get(delivery.In), c.Get(delivery.Sent); in != 28 || sent != 0 {
			t.Errorf("while they wait, %d are taken in and %d sent, want 28 and 0", in, sent)
		}
		c.release()
		c.want(delivery.OK, flushes...)
		c.wantCall(27)
		c.wantNoCall()
		c.wantOnce(28)
		c.account(t, 28, 28, 0)
		bytes := len(newBatch(wire).request()) * 2
		for text := range c.got {
			b := newBatch(wire)
			b.tryAdd(wide, []byte(text), nil, nil)
			bytes += len(b.request()) - len(newBatch(wire).request())
		}
		if !wire.CBOR {
			bytes += 26 // commas
		}
		c.wantCounters(map[delivery.Counter]int{delivery.Requests: 2, delivery.Bytes: bytes, delivery.Resent: 0, delivery.Failed: 0})
	})
}

// TestWaitingFlushesHaveNoBody: what waits for a shared call is in the body of that
// call alone. This is no flush's next one, or with time the hundreds that there may be
// would all have a full call's.
func TestWaitingFlushesHaveNoBody(t *testing.T) {
	taken := func(from *spares) (bodies []int) {
		for r, ok := from.buffers.Get(); ok; r, ok = from.buffers.Get() {
			bodies = append(bodies, len(bytes.TrimRight(r.empty[:cap(r.empty)], "\x00")))
			r.Empty()
		}
		return bodies
	}
	taken(&pool)
	taken(&shared)
	c := newCrowd(t, asJSON, nil)
	c.Limits.Bytes = 1 << 20
	text := strings.Repeat("x", 10_000)
	flushes := []oneFlush{c.first()}
	for i := range 9 {
		flushes = append(flushes, c.join(i+1, fmt.Sprint("flush", i), text))
	}
	c.release()
	c.want(delivery.OK, flushes...)
	c.wantCall(9)
	if bodies := taken(&shared); len(bodies) != 1 || bodies[0] < 90_000 {
		t.Errorf("bodies of shared calls have %d bytes, want one of at least 90,000", bodies)
	}
	if bodies := taken(&pool); len(bodies) != 2 || slices.Max(bodies) > 30_000 {
		t.Errorf("bodies of flushes have %d bytes, want two of at most 30,000", bodies)
	}
}

// TestLoneFlushGoesAtOnce: it waits for nobody, takes no more memory than if there
// was no sharing, and leaves nothing behind.
func TestLoneFlushGoesAtOnce(t *testing.T) {
	f := newFake(t, 1, "1s", func(int, []sent) (awsx.RecordsAnswer, error) { return good() })
	f.Put = func(context.Context, int, *awsx.Body, ...awsx.BodyOption) (awsx.RecordsAnswer, error) { return good() }
	flush := f.Begin(f.chunk(1))
	i, _ := flush.Record()
	allocs := func(alone bool) float64 {
		return testing.AllocsPerRun(100, func() {
			b := newBatch(asJSON)
			b.alone = alone
			b.tryAdd(wide, []byte("x"), nil, []int{i})
			if !f.call(flush, b) || b.last.Action != delivery.Done {
				t.Error("no call is made")
			}
			b.Free()
		})
	}
	if small, alone := allocs(false), allocs(true); small > alone {
		t.Errorf("%v allocations, want %v", small, alone)
	}
	if g := &f.gather[0]; g.calls != 0 || g.open != nil {
		t.Errorf("%d calls are under way", g.calls)
	}
}

// TestFewFlushesDoNotWait: one flush of each of four workers is under way at the
// same time. One more waits until there are four again, more than that for all of
// the calls.
func TestFewFlushesDoNotWait(t *testing.T) {
	workers := few
	for _, more := range []int{1, 2} {
		held := make(chan struct{})
		c := newCrowd(t, asJSON, func(n int, _ []sent) (awsx.RecordsAnswer, error) {
			if n < workers {
				<-held
			}
			return good()
		})
		patient(t, workers, time.Minute)
		var flushes []oneFlush
		for i := range workers {
			flushes = append(flushes, c.send(fmt.Sprint("worker", i), "0"))
			c.wantCall(1)
		}
		for i := range more {
			flushes = append(flushes, c.join(i+1, fmt.Sprint("more", i), "0"))
		}
		c.wantNoCall()
		c.release() // the first one
		if more == 1 {
			c.wantCall(1)
		} else {
			for c.underWay() == workers {
				runtime.Gosched()
			}
			if n := c.waiting(); n != more {
				t.Errorf("%d flushes wait, want %d", n, more)
			}
		}
		close(held)
		if more > 1 {
			c.wantCall(more)
		}
		c.want(delivery.OK, flushes...)
		c.wantOnce(workers + more)
	}
}

// TestLargeBatchesShareNoCall: they go at once, whatever is under way.
func TestLargeBatchesShareNoCall(t *testing.T) {
	for _, tt := range []struct {
		limits         Limits
		records, bytes int // of a batch
		waits          bool
	}{
		{Limits{1000, 1 << 20}, smallRecords, smallRecords, true},
		{Limits{1000, 1 << 20}, smallRecords + 1, smallRecords + 1, false},
		{Limits{1000, 1 << 20}, 1, smallBytes, true},
		{Limits{1000, 1 << 20}, 1, smallBytes + 1, false},
		{Limits{10, 1 << 20}, 5, 5, true},
		{Limits{10, 1 << 20}, 6, 6, false},
		{Limits{1000, 100}, 1, 50, true},
		{Limits{1000, 100}, 1, 51, false},
	} {
		f := newFake(t, 1, "1s", func(int, []sent) (awsx.RecordsAnswer, error) { return good() })
		f.Limits = tt.limits
		b := newBatch(asJSON)
		for k := range tt.records {
			n := 1
			if k == 0 {
				n = tt.bytes - (tt.records - 1)
			}
			b.tryAdd(wide, []byte(strings.Repeat("x", n)), nil, []int{k})
		}
		if got := f.small(b); got != tt.waits {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
	c := newCrowd(t, asJSON, nil)
	c.Limits.Records = 10
	first := c.first()
	texts := strings.Split("0 1 2 3 4 5", " ")
	c.want(delivery.OK, c.send("large", texts...))
	c.wantCall(6)
	c.release()
	c.want(delivery.OK, first)
}

// TestSharedCallsKeepTheLimits, to the record and to the byte: who does not fit
// any more has what is full go at once, though a call is under way.
func TestSharedCallsKeepTheLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits Limits
	}{
		{"records", Limits{Records: 7, Bytes: 1000}},
		{"bytes", Limits{Records: 100, Bytes: 14}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCrowd(t, asJSON, nil)
			c.Limits = tt.limits
			first := c.first()
			// Names of one letter and texts of one: records of two bytes.
			a, b := c.join(1, "a", "0", "1", "2"), c.join(2, "b", "0", "1", "2")
			fits := c.join(3, "c", "0")
			c.wantNoCall()
			over := c.send("d", "0")
			c.wantCall(7)
			c.want(delivery.OK, a, b, fits)
			c.release()
			c.wantCall(1)
			c.want(delivery.OK, first, over)
			c.wantOnce(9)
			c.account(t, 9, 9, 0)
		})
	}
}

// TestPatience: a call that hangs does not hold the others up.
func TestPatience(t *testing.T) {
	c := newCrowd(t, asJSON, nil)
	first := c.first()
	patient(t, 1, time.Millisecond)
	c.want(delivery.OK, c.send("a", "0"), c.send("b", "0"))
	c.release()
	c.want(delivery.OK, first)
	c.wantOnce(3)
}

// TestRefusedOfASharedCall: each flush sends again what was refused of its own
// records, and that alone.
func TestRefusedOfASharedCall(t *testing.T) {
	eachWire(t, func(t *testing.T, wire *Wire) {
		c := newCrowd(t, wire, func(n int, _ []sent) (awsx.RecordsAnswer, error) {
			if n == 1 {
				return refused("Throttled", 0, 4, 5, 9, 10, 11)
			}
			return good()
		})
		flushes := []oneFlush{c.first()}
		for i, name := range []string{"a", "b", "c", "d"} {
			flushes = append(flushes, c.join(i+1, name, "0", "1", "2"))
		}
		c.release()
		c.want(delivery.OK, flushes...)
		c.wantCall(12)
		c.wantOnce(13)
		c.account(t, 13, 13, 0)
		for _, text := range []string{"a0", "b1", "b2", "d0", "d1", "d2"} {
			if c.tries[text] != 2 {
				t.Errorf("record %q was sent %d times, want twice", text, c.tries[text])
			}
			delete(c.tries, text)
		}
		for text, n := range c.tries {
			if n != 1 {
				t.Errorf("record %q was sent %d times, want once", text, n)
			}
		}
		c.wantCounters(map[delivery.Counter]int{delivery.Resent: 6, delivery.Throttled: 6, delivery.Failed: 0})
		if n := strings.Count(c.log.String(), "refused 6 of 12 records"); n != 1 {
			t.Errorf("it is said %d times that records are refused: %s", n, c.log.String())
		}
		if c.refused.share() == 0 {
			t.Error("the share of refused records is 0")
		}
	})
}

// TestFailedSharedCall: all flushes hear of it, and it counts once.
func TestFailedSharedCall(t *testing.T) {
	slow := failure{delivery.Verdict{Action: delivery.Again, Slow: true, Reason: "slow"}}
	for _, tt := range []struct {
		name   string
		err    error
		result delivery.Result
		counts map[delivery.Counter]int
	}{
		{"for now", fails(delivery.Again), delivery.OK, map[delivery.Counter]int{delivery.Failed: 1, delivery.Resent: 9}},
		{"held back", slow, delivery.OK, map[delivery.Counter]int{delivery.Throttled: 1, delivery.Failed: 0, delivery.Resent: 9}},
		{"for a person", fails(delivery.Later), delivery.Retry, map[delivery.Counter]int{delivery.Failed: 1, delivery.Resent: 0}},
		{"credentials", fails(delivery.Refresh), delivery.OK, map[delivery.Counter]int{delivery.Failed: 1, delivery.Resent: 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCrowd(t, asJSON, func(n int, _ []sent) (awsx.RecordsAnswer, error) {
				if n == 1 {
					return awsx.RecordsAnswer{}, tt.err
				}
				return good()
			})
			renewed := 0
			c.Invalidate = func(time.Time) bool { renewed++; return true }
			first := c.first()
			a, b, d := c.join(1, "a", "0", "1", "2"), c.join(2, "b", "0", "1", "2"), c.join(3, "d", "0", "1", "2")
			c.release()
			c.want(delivery.OK, first)
			c.want(tt.result, a, b, d)
			c.wantCall(9)
			c.wantCounters(tt.counts)
			if tt.result == delivery.OK {
				c.account(t, 10, 10, 0)
				c.wantOnce(10)
			} else {
				c.account(t, 10, 1, 9)
			}
			if (renewed == 1) != (tt.name == "credentials") {
				t.Errorf("the credentials are renewed %d times", renewed)
			}
		})
	}
}

// TestBadRecordInASharedCall costs its own flush that record, and the others one
// call each. They are not put together again with what is refused.
func TestBadRecordInASharedCall(t *testing.T) {
	eachWire(t, func(t *testing.T, wire *Wire) {
		mixed := 0
		c := newCrowd(t, wire, func(_ int, records []sent) (awsx.RecordsAnswer, error) {
			bad := slices.ContainsFunc(records, func(r sent) bool { return strings.HasSuffix(string(r.Data), "bad") })
			if !bad {
				return good()
			}
			if slices.ContainsFunc(records, func(r sent) bool { return r.Data[0] != records[0].Data[0] }) {
				mixed++
			}
			return awsx.RecordsAnswer{}, fails(delivery.Split)
		})
		flushes := []oneFlush{c.first(), c.join(1, "a", "0", "1"), c.join(2, "b", "0", "1", "bad", "3"), c.join(3, "c", "0"), c.join(4, "d", "0", "1", "2")}
		c.release()
		c.want(delivery.OK, flushes...)
		c.wantCall(10)
		if mixed != 1 {
			t.Errorf("the bad record was in %d calls with others' records, want 1", mixed)
		}
		c.wantOnce(10)
		c.account(t, 11, 10, 0)
		if n := c.Dropped(delivery.Refused); n != 1 {
			t.Errorf("%d records are dropped, want 1", n)
		}
		// The shared one, one for each flush, and two halves of b's, twice.
		c.wantCounters(map[delivery.Counter]int{delivery.Requests: 1 + 1 + 4 + 4, delivery.Resent: 0})
		if n := c.tries["c0"]; n != 2 {
			t.Errorf("a good record was sent %d times, want twice", n)
		}
	})
}

// TestPanicInASharedCall costs nobody anything: each flush makes a call of its own.
func TestPanicInASharedCall(t *testing.T) {
	t.Run("for others", func(t *testing.T) {
		c := newCrowd(t, asJSON, func(n int, _ []sent) (awsx.RecordsAnswer, error) {
			if n == 1 {
				panic("a fault")
			}
			return good()
		})
		flushes := []oneFlush{c.first()}
		for i := range 4 {
			flushes = append(flushes, c.join(i+1, fmt.Sprint(i), "0", "1"))
		}
		spareBatches(&shared)
		c.release()
		c.want(delivery.OK, flushes...)
		c.wantOnce(9)
		c.account(t, 9, 9, 0)
		c.wantCounters(map[delivery.Counter]int{delivery.Requests: 1 + 1 + 4})
		if n := strings.Count(c.log.String(), "a panic while sending"); n != 1 {
			t.Errorf("it is said %d times: %s", n, c.log.String())
		}
		if n := spareBatches(&shared); n != 0 {
			t.Error("a body that something may still read is used again")
		}
	})
	t.Run("alone, while others wait", func(t *testing.T) {
		held := make(chan struct{})
		c := newCrowd(t, asJSON, nil)
		put := c.Put
		var calls atomic.Int32
		c.Put = func(ctx context.Context, n int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			if calls.Add(1) == 1 {
				c.calls <- []int{n}
				<-held
				panic("a fault")
			}
			return put(ctx, n, body, opts...)
		}
		c.release()
		first := c.first()
		other := c.join(1, "a", "0")
		close(held)
		c.want(delivery.Retry, first)
		c.want(delivery.OK, other)
		c.account(t, 2, 1, 1)
	})
}

// TestEndWhileWaiting: a flush that ends takes its records along.
func TestEndWhileWaiting(t *testing.T) {
	c := newCrowd(t, asJSON, nil)
	c.way = goroutines
	first := c.first()
	a := c.join(1, "a", "0", "1")
	ends := c.join(2, "b", "0", "1", "2")
	b := c.join(3, "d", "0")
	if r := ends.end(); r != delivery.Retry { // its context is over, as when Fluent Bit ends
		t.Errorf("got %v, want %v", r, delivery.Retry)
	}
	<-ends.result
	if n := c.waiting(); n != 2 {
		t.Errorf("%d flushes wait, want 2", n)
	}
	c.release()
	c.want(delivery.OK, first, a, b)
	c.wantCall(3)
	c.wantOnce(4)
	c.account(t, 7, 4, 3)

	t.Run("the last one", func(t *testing.T) {
		c := newCrowd(t, asJSON, nil)
		c.way = goroutines
		first := c.first()
		ends := c.join(1, "a", "0")
		ends.end()
		<-ends.result
		c.release()
		c.want(delivery.OK, first)
		c.wantOnce(1)
	})
	t.Run("without a goroutine", func(t *testing.T) {
		c := newCrowd(t, asJSON, nil)
		c.way = none
		first := c.first()
		ends, other := c.join(1, "a", "0"), c.join(2, "b", "0", "1")
		ends.end()
		c.release() // then its turn comes
		c.want(delivery.OK, first, other)
		<-ends.result
		c.wantCall(2)
		c.wantOnce(3)
	})
}

// TestNoGoroutineWhileWaiting: hundreds of flushes that wait have none, nor do they all
// get one when they go on.
func TestNoGoroutineWhileWaiting(t *testing.T) {
	const n, others = 100, 10
	before := runtime.NumGoroutine()
	c := newCrowd(t, asJSON, nil)
	c.Limits.Records = n
	c.way = none
	first := c.first()
	var most atomic.Int64
	var flushes []oneFlush
	for i := range n {
		f := oneFlush{result: make(chan delivery.Result, 1)}
		chunk := delivery.Chunk{Tag: fmt.Sprint(i), Data: []byte(fmt.Sprint(i))}
		chunk.Resume = func(rest func() delivery.Result) {
			most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
			f.result <- rest()
		}
		flushes = append(flushes, c.sendChunk(f, chunk, "0"))
	}
	for start := time.Now(); c.waiting() < n || runtime.NumGoroutine() > before+others; runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d flushes wait with %d goroutines", c.waiting(), runtime.NumGoroutine()-before)
		}
	}
	c.release()
	c.want(delivery.OK, first)
	c.want(delivery.OK, flushes...)
	c.wantOnce(1 + n)
	if more := int(most.Load()) - before; more > others {
		t.Errorf("%d flushes go on with %d goroutines", n, more)
	}
}

// TestNobodyIsHeldUp by a flush whose call has ended and that has more to wait for: the
// same records' next call, or letters.
func TestNobodyIsHeldUp(t *testing.T) {
	c := newCrowd(t, asJSON, func(n int, _ []sent) (awsx.RecordsAnswer, error) {
		if n == 1 {
			return refused("Throttled", 0)
		}
		return good()
	})
	file := filepath.Join(t.TempDir(), "letters")
	c.Delivery = delivery.New(delivery.Env{Log: logrus.NewEntry(logrus.New())}, options.New(func(name string) string {
		return map[string]string{"dead_letter_file": file}[name]
	}))
	c.way = none
	first := c.first()
	last := make(chan struct{})
	var flushes []oneFlush
	for i, name := range []string{"again", "letters", "done"} {
		f := oneFlush{result: make(chan delivery.Result, 1)}
		texts := []string{"0"}
		if name == "letters" {
			texts = append(texts, malformed)
		}
		chunk := delivery.Chunk{Tag: name, Data: []byte(name), Resume: func(rest func() delivery.Result) {
			if name == "done" {
				defer close(last)
			} else {
				<-last
			}
			f.result <- rest()
		}}
		flushes = append(flushes, c.sendChunk(f, chunk, texts...))
		for c.waiting() != i+1 {
			runtime.Gosched()
		}
	}
	c.release()
	c.want(delivery.OK, first)
	c.want(delivery.OK, flushes...)
	c.wantOnce(4)
}

// TestEndWhileItsCallIsUnderWay: nothing reads a batch any more when its flush is
// over.
func TestEndWhileItsCallIsUnderWay(t *testing.T) {
	begun, held := make(chan struct{}), make(chan struct{})
	c := newCrowd(t, asJSON, func(int, []sent) (awsx.RecordsAnswer, error) {
		close(begun)
		<-held
		return good()
	})
	first := c.first()
	flushes := []oneFlush{c.join(1, "a", "0"), c.join(2, "b", "0"), c.join(3, "d", "0")}
	c.release()
	c.want(delivery.OK, first)
	<-begun
	for _, f := range flushes {
		f.end()
	}
	for range 100 {
		runtime.Gosched()
	}
	for i, f := range flushes {
		select {
		case <-f.result:
			t.Errorf("flush %d is over while its call is under way", i)
		default:
		}
	}
	close(held)
	for _, f := range flushes {
		<-f.result
	}
	c.account(t, 4, 1, 3) // what a flush hears too late does not count
}

// spareBatches takes all batches that there are for their next use, and counts them.
func spareBatches(from *spares) (n int) {
	for _, ok := from.batches.Get(); ok; _, ok = from.batches.Get() {
		n++
	}
	return n
}

// batchOf returns a batch of one record.
func batchOf(text string) *batch {
	b := newBatch(asJSON)
	b.tryAdd(wide, []byte(text), nil, []int{0})
	return b
}

// joins has a batch of one record join, whose flush has ended or not.
func joins(f *fake, text string, ended bool) *member {
	flush := f.Begin(f.chunk(1))
	if flush.Context(); ended {
		flush.End(nil)
	}
	return f.gather[0].join(f.Service, flush, batchOf(text), nil)
}

// TestTurns: a member whose flush may make no call any more leaves the call to the next.
func TestTurns(t *testing.T) {
	patient(t, 1, time.Minute)
	f := newFake(t, 1, "1s", func(_ int, records []sent) (awsx.RecordsAnswer, error) {
		if len(records) != 2 || string(records[0].Data) != "three" || string(records[1].Data) != "four" {
			t.Errorf("a call of %q, want three and four", records)
		}
		return good()
	})
	g := &f.gather[0]
	if joins(f, "own", false) != &ownCall {
		t.Fatal("the first one is to make its call")
	}
	one, two, three, four := joins(f, "one", true), joins(f, "two", true), joins(f, "three", false), joins(f, "four", true)
	g.ended(1)
	for i, m := range []*member{one, two, three, four} {
		<-m.done
		if m.gone != (i < 2) || m.outcome.accepted == m.gone {
			t.Errorf("member %d: gone %v, accepted %v", i, m.gone, m.outcome.accepted)
		}
	}
	if g.leave(three) || g.leave(one) {
		t.Error("a member has left that was in no group any more")
	}

	t.Run("nobody is left", func(t *testing.T) {
		patient(t, 1, time.Minute)
		f := newFake(t, 1, "1s", nil) // which is not to be called
		g := &f.gather[0]
		joins(f, "own", false)
		one, two := joins(f, "one", true), joins(f, "two", true)
		g.ended(1)
		<-one.done
		<-two.done
		if !one.gone || !two.gone || g.calls != 0 || g.batches != 0 || g.open != nil {
			t.Errorf("%d calls of %d batches are under way", g.calls, g.batches)
		}
		if joins(f, "own", false) != &ownCall {
			t.Error("a call is under way that is not")
		}
	})
}

// TestLeftMeanwhile: a call is made for no member that has left, and none leaves twice.
func TestLeftMeanwhile(t *testing.T) {
	patient(t, 1, time.Minute)
	f := newFake(t, 1, "1s", nil) // which is not to be called
	g := &f.gather[0]
	joins(f, "own", false)
	one, two := joins(f, "one", false), joins(f, "two", false)
	if !g.leave(one) || g.leave(one) {
		t.Error("a member does not leave, or twice")
	}
	if g.begin(one) {
		t.Error("a call begins for a member that has left")
	}
	if g.first(two.group) != two || !g.leave(two) || g.batches != 1 {
		t.Errorf("the other one is gone, too, and %d batches are left", g.batches)
	}
}

// TestLeftBehind: who leaves takes what is its own, and nothing else.
func TestLeftBehind(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		patient(t, 1, time.Minute)
		f := newFake(t, 1, "1s", nil) // which is not to be called
		g := &f.gather[0]
		joins(f, "first", false)
		texts := []string{"one", "three", "seventeen"}
		var members []*member
		for _, text := range texts {
			m := joins(f, text, false)
			if m.batch.body != nil {
				t.Fatal("it has a body while it waits")
			}
			members = append(members, m)
		}
		all := members[0].group.all
		spareBatches(&shared)
		for _, k := range order {
			want := string(batchOf(texts[k]).request())
			if !g.leave(members[k]) || string(members[k].batch.request()) != want {
				t.Errorf("order %v: %d leaves with %q, want %q", order, k, members[k].batch.request(), want)
			}
			texts[k] = ""
			left := newBatch(asJSON)
			for i, text := range texts {
				if text != "" {
					left.tryAdd(wide, []byte(text), nil, []int{i})
				}
			}
			if left.Len() > 0 && (string(all.request()) != string(left.request()) || all.bytes != left.bytes) {
				t.Errorf("order %v: %q is left of %d bytes, want %q of %d", order, all.request(), all.bytes, left.request(), left.bytes)
			}
		}
		if g.open != nil || spareBatches(&shared) != 1 {
			t.Error("a group of nobody is open, or keeps its batch")
		}
	}
}

// TestFewAreLeft: who leaves makes room for those that wait.
func TestFewAreLeft(t *testing.T) {
	patient(t, 2, time.Minute)
	held := make(chan struct{})
	f := newFake(t, 1, "1s", func(int, []sent) (awsx.RecordsAnswer, error) { <-held; return good() })
	g := &f.gather[0]
	joins(f, "x", false)
	joins(f, "x", false)
	one, two := joins(f, "x", false), joins(f, "x", false)
	few = 3
	g.leave(two)
	g.mu.Lock()
	if !one.group.called || g.calls != 3 || g.batches != 3 {
		t.Errorf("%d batches and %d calls, and a turn that has come: %v", g.batches, g.calls, one.group.called)
	}
	g.mu.Unlock()
	close(held)
	<-one.done
}

// TestBadRecordAlone: a group of one batch was refused for what is in that one,
// which is not sent again to find out.
func TestBadRecordAlone(t *testing.T) {
	c := newCrowd(t, asJSON, func(int, []sent) (awsx.RecordsAnswer, error) {
		return awsx.RecordsAnswer{}, fails(delivery.Split)
	})
	flushes := []oneFlush{c.first(), c.join(1, "a", "bad")}
	c.release()
	c.want(delivery.OK, flushes...)
	c.wantCounters(map[delivery.Counter]int{delivery.Requests: 2})
	if n := c.Dropped(delivery.Refused); n != 1 {
		t.Errorf("%d records are dropped, want 1", n)
	}
}

// TestPacedFlushesShareACall: while a destination holds calls back, those that
// wait for one have it together; who has no time left for it goes.
func TestPacedFlushesShareACall(t *testing.T) {
	c := newCrowd(t, asJSON, nil)
	first := c.first()
	for range 20 {
		c.pace.Slower()
	}
	var flushes []oneFlush
	for i := range 5 {
		flushes = append(flushes, c.join(i+1, fmt.Sprint(i), "0"))
	}
	c.release()
	c.want(delivery.OK, first)
	c.want(delivery.OK, flushes...)
	c.wantCall(5)

	t.Run("without the time", func(t *testing.T) {
		c := newCrowd(t, asJSON, nil)
		c.Delivery = newFake(t, 1, "0", nil).Delivery
		first := c.first()
		for range 20 {
			c.pace.Slower()
		}
		a, b := c.join(1, "a", "0"), c.join(2, "b", "0")
		c.release()
		c.want(delivery.OK, first)
		c.want(delivery.Retry, a, b)
		c.wantNoCall()
	})
}

// TestManyFlushes: at random many flushes of all sizes at the same time, through
// all that goes wrong: every record arrives once, or is dropped if it is bad.
func TestManyFlushes(t *testing.T) {
	eachWire(t, func(t *testing.T, wire *Wire) {
		r := rand.New(rand.NewPCG(1, 2)) // guarded by c.mu
		var c *crowd
		c = newCrowd(t, wire, func(_ int, records []sent) (awsx.RecordsAnswer, error) {
			if slices.ContainsFunc(records, func(r sent) bool { return strings.HasSuffix(string(r.Data), "bad") }) {
				return awsx.RecordsAnswer{}, fails(delivery.Split)
			}
			c.mu.Lock()
			what, hang, seed := r.IntN(10), r.IntN(3), r.Uint64()
			c.mu.Unlock()
			time.Sleep(time.Duration(hang) * time.Millisecond)
			switch what {
			case 0:
				return awsx.RecordsAnswer{}, fails(delivery.Again)
			case 1:
				panic("a fault")
			case 2, 3:
				var list []int
				for i := range records {
					if (seed>>(i%64))&1 == 1 {
						list = append(list, i)
					}
				}
				return refused("Throttled", list...)
			}
			return good()
		})
		c.Limits = Limits{Records: 40, Bytes: 2000}
		c.Concurrency = 3
		patient(t, 2, 2*time.Millisecond)
		c.release()
		c.want(delivery.OK, c.first()) // whose call is always good
		var wait sync.WaitGroup
		all, bad := 1, 0
		for i := range 60 {
			var texts []string
			for k := range 1 + i*i%47 {
				texts = append(texts, fmt.Sprint(".", k))
				if (i+k)%67 == 0 {
					texts[k] += "bad"
					bad++
				}
			}
			all += len(texts)
			wait.Go(func() {
				for <-c.send(fmt.Sprint(i), texts...).result != delivery.OK {
				}
			})
		}
		wait.Wait()
		c.wantOnce(all - bad)
		c.account(t, all, all-bad, 0)
		if n := c.Dropped(delivery.Refused); n != uint64(bad) {
			t.Errorf("%d records are dropped, want %d", n, bad)
		}
		t.Logf("%d records in %d calls", all, c.Get(delivery.Requests))
	})
}

// TestNoTurnForNobody: the last of a group may leave it just when its time is up. A
// call that nobody makes would count as one under way for ever.
func TestNoTurnForNobody(t *testing.T) {
	f := newFake(t, 1, "1s", nil)
	g := &f.gather[0]
	g.mu.Lock()
	defer g.mu.Unlock()
	group := g.newGroup(f.Service, asJSON)
	if g.start(group); group.called || g.calls != 0 {
		t.Errorf("a group of nobody has its turn: %d calls", g.calls)
	}
}
