package delivery

import (
	"context"
	"sync"
	"sync/atomic"
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
	Answers
	Said *Said

	budget  time.Duration
	ledger  *Ledger
	carry   carry
	once    bool // no chunk comes again: they are letters
	summary summary
	ending  *ending
	failing atomic.Bool // the last answer to any flush was a failure

	failFast failFast
	letters  letters
}

// New reads the delivery options of an output from s. A plugin calls it after
// it has read its own: those tell whether a ledger left behind is this output's.
//
//	retry_budget       how long a flush resends what failed before Fluent Bit is asked to bring the chunk again (15s)
//	ledger_max_chunks  chunks to remember (16384)
//	ledger_max_size    bytes to remember them with (8M)
//	ledger_max_age     how long a chunk may stay away (1h)
//	ledger_path        directory where the ledger outlives a restart, for chunks that do (not set: it does not)
//	summary_interval   how often the account is logged; 0: only at exit (0)
//	dead_letter_file, dead_letter_max_size    where records that are given up are kept
//
// The budget is well below the 30 s that Kubernetes and ECS give a container to
// end; a call under way when it is spent may still use up its own deadline.
// Fluent Bit has no more than 16,384 chunks under way, and brings one again within 2,000 s
// (FLB_CONFIG_DEFAULT_TASK_MAP_SIZE_LIMIT in include/fluent-bit/flb_config.h,
// FLB_SCHED_CAP in flb_scheduler.h): the ledger has room for all of them, and
// time for more than one such pause.
func New(env Env, s *options.Set) *Delivery {
	if env.Counters == nil {
		env.Counters = new(Counters)
	}
	d := &Delivery{
		Counters: env.Counters,
		Said:     NewSaid(env.Log),
		ending:   &ending{asked: env.Ending},
		carry:    carry{name: env.Name, config: configSum(s)},
		budget:   s.Duration("retry_budget", 15*time.Second, 0, 10*time.Minute),
		summary:  summary{every: s.Duration("summary_interval", 0, 0, 24*time.Hour), last: time.Now()},
	}
	d.letters.parse(s)
	if env.letters != nil {
		d.carry.config = ""
		d.once = true
		d.ending = env.letters.ending // its time at the end is what is left of the other's
	} else {
		d.failFast = parseFailFast(s, env.Quit)
	}
	limits := LedgerLimits{
		Chunks: s.Int("ledger_max_chunks", 16384, 1, 1<<20),
		Bytes:  s.Size("ledger_max_size", 8<<20, 64<<10, 1<<30),
		Age:    s.Duration("ledger_max_age", time.Hour, time.Second, 24*time.Hour),
	}
	d.ledger = NewLedger(limits, d.abandon)
	if d.carry.dir = s.String("ledger_path", ""); d.carry.dir != "" {
		d.ledger.sum = lastingSum
		if err := d.carry.check(); err != nil {
			s.Conflict("option ledger_path: cannot write to %q: %w", d.carry.dir, err)
		}
	}
	return d
}

// Check returns all that is wrong with the options that get gives, of which parse
// reads the plugin's own. It starts nothing, calls nobody, and asks for every
// option that there is.
func Check(get options.Getter, parse func(*options.Set)) error {
	s := options.New(get)
	parse(s)
	New(Env{}, s)
	return s.Err()
}

// abandon accounts for the records of a chunk that is no longer remembered.
func (d *Delivery) abandon(unsettled int, full bool) {
	d.Drop(Abandoned, unsettled)
	if full {
		d.Said.Warn("ledger full", "the ledger is full (options ledger_max_chunks %d, ledger_max_size %d): a chunk of which %d records were not delivered is forgotten, and is sent whole should it come again",
			d.ledger.limits.Chunks, d.ledger.limits.Bytes, unsettled)
		return
	}
	d.Said.Warn("abandoned", "fluent bit did not bring a chunk again within %v (option ledger_max_age): %d of its records were not delivered",
		d.ledger.limits.Age, unsettled)
}

// Close says the account for the last time, and leaves the ledger to an output
// that takes this one's place. No flush may be under way.
func (d *Delivery) Close() {
	if d.letters.side != nil {
		d.letters.side.Close()
	}
	d.leave()
	d.Said.Close()
	if !d.once {
		d.Said.Info("account: %v", d.Counters)
	}
}

// Flush follows the records of one chunk. Record, Unsettled and End belong to
// the goroutine that walks the chunk; the other methods may be called by any.
type Flush struct {
	d       *Delivery
	chunk   Chunk
	key     *chunkKey // nil: not needed so far
	before  []uint64  // settled by earlier flushes of this chunk; not changed while this one runs
	records int       // walked so far
	made    bool      // the records are not those of the chunk, but made of it
	skipped int
	broken  bool        // the walk has ended before the chunk's end
	walking *walking    // nil: not now
	failing atomic.Bool // the last answer was a failure

	// Where the record in hand is to go, for its letter, as far as that is known: of
	// the goroutine that walks the chunk.
	Group, Stream string

	mu       sync.Mutex
	deadline time.Time
	counted  int // counted as taken in, by this flush or an earlier one
	settled  []uint64
	done     int             // bits set in settled
	parted   map[int]*parted // records that go out in parts
	parts    []part          // what the indexes that Part returned stand for
	dead     []dead          // records that were given up, if they are to be kept
	causes   []Cause
	same     bool // the last one in causes is that of the records in hand
	ended    bool
	ctx      context.Context
	cancel   context.CancelFunc
	watch    *time.Timer

	room [16]uint64 // for settled: 1,024 records, as many as most chunks have
}

// Begin starts the flush of a chunk. End must be called.
func (d *Delivery) Begin(c Chunk) *Flush {
	d.resume()
	f := &Flush{d: d, chunk: c}
	f.deadline = time.Now().Add(f.budget())
	if stop, ok := d.ending.deadline(); ok && d.failing.Load() && !time.Now().Before(stop) {
		// What is dead is not worth another try for each chunk that is left.
		f.failing.Store(true)
	}
	m, key := d.ledger.take(c)
	f.key = key
	f.settled = f.room[:0]
	if m != nil {
		f.before, f.counted, f.done, f.parted = m.settled, m.records, m.done, m.parted
		f.settled = append(f.settled, m.settled...)
	}
	return f
}

// budget is how long the flush may send again what failed.
func (f *Flush) budget() time.Duration {
	if f.chunk.OnEngine {
		return min(f.d.budget, engineBudget)
	}
	return f.d.budget
}

// WasRead says that all of the chunk was read, and the order of its batches is known:
// of so many bytes of their bodies some are still to be sent.
func (f *Flush) WasRead(bodies, unsent int) {
	if f.chunk.Read != nil {
		f.chunk.Read(bodies, unsent)
	}
}

// Resume returns that of the chunk.
func (f *Flush) Resume() func(rest func() Result) { return f.chunk.Resume }

// Wait sleeps until a request to a destination may start. All of its paces must
// let it. It returns false when that would be after the deadline, and also when
// the deadline has passed and the flush's last request failed: of a dead
// endpoint each further batch would learn the same, at a timeout each. As long
// as requests succeed a flush goes on, however long it takes.
func (f *Flush) Wait(paces ...*Pace) bool {
	deadline := f.Deadline()
	if f.failing.Load() && !time.Now().Before(deadline) {
		return false
	}
	for _, p := range paces {
		// Fluent Bit may be told to end meanwhile.
		if !p.Wait(deadline, f.Context().Done()) {
			return false
		}
	}
	return true
}

// Bytes is the size of the chunk.
func (f *Flush) Bytes() int { return len(f.chunk.Data) }

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

// CountIn brings the counter of records taken in up to date with the walk. It
// belongs to the walking goroutine. Records that are settled are counted in any
// case; calling this before a batch is sent shows them as pending meanwhile.
func (f *Flush) CountIn() {
	f.mu.Lock()
	f.countTo(f.records)
	f.mu.Unlock()
}

// countTo counts the first n records as taken in. The lock is held.
func (f *Flush) countTo(n int) {
	if n > f.counted {
		f.d.Add(In, n-f.counted)
		f.counted = n
	}
}

// Sent settles n records as delivered; index gives the k-th one's index.
func (f *Flush) Sent(n int, index func(k int) int) {
	f.fails(false)
	f.d.Add(Sent, f.settle(nil, n, index))
}

// fails notes whether the last answer was a failure.
func (f *Flush) fails(is bool) {
	f.failing.Store(is)
	if f.d.failing.Load() != is {
		f.d.failing.Store(is)
	}
	f.d.failFast.answered(is, f.d.Said)
}

// Drop settles n records as given up for reason; index gives the k-th one's index.
func (f *Flush) Drop(why Reason, n int, index func(k int) int) {
	f.GiveUp(Cause{Why: why}, n, index)
}

// GiveUp is Drop, with more to say of it.
func (f *Flush) GiveUp(c Cause, n int, index func(k int) int) {
	f.d.Counters.Drop(c.Why, f.settle(&c, n, index))
}

// DropRecord settles one record as given up for reason.
func (f *Flush) DropRecord(why Reason, i int) {
	f.Drop(why, 1, func(int) int { return i })
}

// settle settles records as delivered, or dropped for a cause if that is not
// nil. It returns how many of them were not settled before, less those that are
// delivered in part, which it counts as dropped. They are counted as taken in by
// then, so that nobody ever sees more sent than taken in.
func (f *Flush) settle(c *Cause, n int, index func(k int) int) (fresh int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return 0 // too late: the chunk is with Fluent Bit again, and these will be sent again
	}
	f.same = false
	for k := range n {
		i := index(k)
		if i < 0 {
			if i = f.settlePart(i, c); i < 0 {
				continue
			}
		}
		f.countTo(i + 1)
		for i>>6 >= len(f.settled) {
			f.settled = append(f.settled, 0)
		}
		if bit := uint64(1) << (i & 63); f.settled[i>>6]&bit == 0 {
			f.settled[i>>6] |= bit
			f.done++
			if c == nil && f.spoiled(i) {
				continue
			}
			fresh++
			if c != nil {
				f.bury(i, c)
			}
		}
	}
	return fresh
}

// End closes the flush, after everything that works for it has ended. broken
// is the error that ended the walk before the chunk's end, or nil: such a chunk
// is given up once all that could be read of it is settled.
func (f *Flush) End(broken error) Result {
	f.mu.Lock()
	f.countTo(f.records)
	f.ended = true
	f.release()
	// Not against the records walked this time: an earlier flush may have got further.
	left := f.counted - f.done
	parted := f.unfinished()
	f.mu.Unlock()
	f.d.Add(Skipped, f.skipped)
	defer f.d.summarize()
	if f.chunk.Lost != nil {
		*f.chunk.Lost = f.lost()
		f.d.Counters.Drop(Abandoned, left)
		return OK
	}
	if left > 0 {
		f.d.Add(Retries, 1)
		if f.key == nil {
			key := f.d.ledger.key(f.chunk)
			f.key = &key
		}
		f.d.ledger.keep(memory{key: *f.key, records: f.counted, settled: f.settled, done: f.done, parted: parted})
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
	return max(f.records, f.counted) - f.done
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
		d.Said.Info("account: %v", d.Counters)
	}
}
