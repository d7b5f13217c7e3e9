package delivery

import (
	"sync"
	"time"

	"aws-for-fluent-bit/internal/options"
)

// engineBudget is the budget of a flush on Fluent Bit's engine thread: inputs,
// timers and all other outputs stand still meanwhile.
const engineBudget = 2 * time.Second

// Delivery is one output's side of delivery, shared by all its flushes.
// It is safe for concurrent use.
type Delivery struct {
	*Counters
	Said *Said

	budget  time.Duration
	ledger  *Ledger
	summary summary
}

// New reads the delivery options of an output from s:
//
//	retry_budget       how long a flush resends what failed before Fluent Bit is asked to bring the chunk again (15s)
//	ledger_max_chunks  chunks to remember (4096)
//	ledger_max_size    bytes to remember them with (8M)
//	ledger_max_age     how long a chunk may stay away (1h)
//	summary_interval   how often the account is logged; 0: only at exit (0)
//
// The budget is well below the 30 s that Kubernetes and ECS give a container to
// end; a call under way when it is spent may still use up its own deadline.
func New(env Env, s *options.Set) *Delivery {
	d := &Delivery{
		Counters: env.Counters,
		Said:     NewSaid(env.Log),
		budget:   s.Duration("retry_budget", 15*time.Second, 0, 10*time.Minute),
		summary:  summary{every: s.Duration("summary_interval", 0, 0, 24*time.Hour), last: time.Now()},
	}
	limits := LedgerLimits{
		Chunks: s.Int("ledger_max_chunks", 4096, 1, 1<<20),
		Bytes:  s.Size("ledger_max_size", 8<<20, 4<<10, 1<<30),
		Age:    s.Duration("ledger_max_age", time.Hour, time.Second, 24*time.Hour),
	}
	d.ledger = NewLedger(limits, func(unsettled int) {
		d.Drop(Abandoned, unsettled)
		d.Said.Warn("abandoned", "fluent bit did not bring a chunk again: %d of its records were not delivered", unsettled)
	})
	return d
}

// Close says the account for the last time.
func (d *Delivery) Close() {
	d.Said.Close()
	d.Said.log.Infof("account: %v", d.Counters)
}

// Flush follows the records of one chunk. Record, CountIn and End belong to
// the goroutine that walks the chunk; the other methods may be called by any.
type Flush struct {
	d        *Delivery
	chunk    Chunk
	deadline time.Time
	before   []uint64 // settled by earlier flushes of this chunk; not changed while this one runs
	records  int      // walked so far
	skipped  int
	counted  int // counted as taken in, by this flush or an earlier one

	mu      sync.Mutex
	settled []uint64
	done    int // bits set in settled
}

// Begin starts the flush of a chunk.
func (d *Delivery) Begin(c Chunk) *Flush {
	budget := d.budget
	if c.OnEngine {
		budget = min(budget, engineBudget)
	}
	f := &Flush{d: d, chunk: c, deadline: time.Now().Add(budget)}
	if m := d.ledger.take(c); m != nil {
		f.before, f.counted, f.done = m.settled, m.records, m.done
		f.settled = append([]uint64(nil), m.settled...)
	}
	return f
}

// Deadline is when the flush's budget is spent: nothing is sent again after it.
func (f *Flush) Deadline() time.Time { return f.deadline }

// Record counts the next record of the chunk and returns its index. fresh is
// false when an earlier flush has settled it: then it is to be left alone.
func (f *Flush) Record() (i int, fresh bool) {
	i = f.records
	f.records++
	if i>>6 < len(f.before) && f.before[i>>6]&(1<<(i&63)) != 0 {
		f.skipped++
		return i, false
	}
	return i, true
}

// CountIn brings the counter of records taken in up to date. It is called
// before records are handed to another goroutine, so that none is ever counted
// as sent before it was counted as taken in.
func (f *Flush) CountIn() {
	if f.records > f.counted {
		f.d.Add(In, f.records-f.counted)
		f.counted = f.records
	}
}

// Sent settles n records as delivered; index gives the k-th one's index.
func (f *Flush) Sent(n int, index func(k int) int) { f.d.Add(Sent, f.settle(n, index)) }

// Drop settles n records as given up for reason; index gives the k-th one's index.
func (f *Flush) Drop(why Reason, n int, index func(k int) int) {
	f.d.Counters.Drop(why, f.settle(n, index))
}

// DropRecord settles one record, of the walking goroutine, as given up for reason.
func (f *Flush) DropRecord(why Reason, i int) {
	f.CountIn()
	f.Drop(why, 1, func(int) int { return i })
}

// settle returns how many of the records were not settled before.
func (f *Flush) settle(n int, index func(k int) int) (fresh int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range n {
		i := index(k)
		for i>>6 >= len(f.settled) {
			f.settled = append(f.settled, 0)
		}
		if bit := uint64(1) << (i & 63); f.settled[i>>6]&bit == 0 {
			f.settled[i>>6] |= bit
			fresh++
		}
	}
	f.done += fresh
	return fresh
}

// End closes the flush, after everything that works for it has ended. broken
// is the error that ended the walk before the chunk's end, or nil: such a chunk
// is given up once all that could be read of it is settled.
func (f *Flush) End(broken error) Result {
	f.CountIn()
	f.d.Add(Skipped, f.skipped)
	defer f.d.summarize()
	if f.done < f.records {
		f.d.Add(Retries, 1)
		f.d.ledger.keep(&memory{key: f.d.ledger.key(f.chunk), records: f.counted, settled: f.settled, done: f.done})
		return Retry
	}
	if broken != nil {
		return Error
	}
	return OK
}

// Unsettled returns how many of the records walked so far are not settled.
func (f *Flush) Unsettled() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.records - f.done
}

// summary is when the account was last logged.
type summary struct {
	every time.Duration
	mu    sync.Mutex
	last  time.Time
}

// summarize logs the account when its time has come. It is called after each
// flush: without flushes nothing changes that would be worth a line.
func (d *Delivery) summarize() {
	if d.summary.every == 0 {
		return
	}
	d.summary.mu.Lock()
	due := time.Since(d.summary.last) >= d.summary.every
	if due {
		d.summary.last = time.Now()
	}
	d.summary.mu.Unlock()
	if due {
		d.Said.log.Infof("account: %v", d.Counters)
	}
}
