package delivery

import (
	"container/list"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// Ledger remembers, for chunks that Fluent Bit was asked to bring again, which
// of their records are settled: delivered, or dropped for good. Fluent Bit can
// only bring a whole chunk again, so this is what keeps records from going out
// twice.
//
// A chunk is known by its tag and its bytes. Identical chunks (same tag, same
// bytes) each have an entry of their own, and any of them may take any of the
// entries: since their contents are the same, so is what arrives in the end.
//
// Fluent Bit does not say when it gives a chunk up, so entries end by age, or
// as the oldest when the ledger is full. A chunk whose entry has ended and that
// comes after all is sent whole.
type Ledger struct {
	limits LedgerLimits
	sum    func([]byte) uint64
	forget func(unsettled int, full bool)

	mu     sync.Mutex
	oldest list.List // of *memory, in the order in which they were kept
	chunks map[chunkKey][]*list.Element
	bytes  int
}

// LedgerLimits bound a ledger; all three must be above 0.
type LedgerLimits struct {
	Chunks int           // entries
	Bytes  int           // memory of all entries: a bit a record and some 300 bytes a chunk
	Age    time.Duration // from the flush that failed
}

// chunkKey tells chunks apart. The hash is 64 bits under a seed of this
// process: two chunks of one tag and one length are mixed up once in 2^64, and
// nobody who writes logs can make two that are.
type chunkKey struct {
	tag  string
	size int
	sum  uint64
}

// memory is what is known of one chunk. It is not changed once it is kept.
type memory struct {
	key     chunkKey
	records int      // counted as taken in
	settled []uint64 // one bit a record; a record beyond its end is not settled
	done    int      // bits set
	kept    time.Time

	parted map[int]*parted // by record; nil: none
}

// memorySize is what an entry takes besides its tag and bits: the memory itself, its
// place in the list and in the map (TestLedgerMemory).
const memorySize = 320

func (m *memory) size() int {
	n := memorySize + len(m.key.tag) + 8*cap(m.settled)
	for _, p := range m.parted {
		n += p.size()
	}
	return n
}

// NewLedger returns an empty ledger. forget is called with the number of
// unsettled records of each entry that ends unused, and with whether that is
// for want of room and not for its age.
func NewLedger(limits LedgerLimits, forget func(unsettled int, full bool)) *Ledger {
	return &Ledger{limits: limits, forget: forget, sum: quickSum, chunks: make(map[chunkKey][]*list.Element)}
}

var seed = maphash.MakeSeed()

func quickSum(data []byte) uint64 { return maphash.Bytes(seed, data) }

func (l *Ledger) key(c Chunk) chunkKey {
	return chunkKey{tag: c.Tag, size: len(c.Data), sum: l.sum(c.Data)}
}

// take removes and returns what is known of a chunk, nil when it is new. Bytes
// are hashed only while there is something to compare them with; then the key
// comes back too.
func (l *Ledger) take(c Chunk) (m *memory, key *chunkKey) {
	l.mu.Lock()
	over := l.expire(time.Now())
	empty := l.oldest.Len() == 0
	l.mu.Unlock()
	l.forgetAll(over)
	if empty {
		return nil, nil
	}
	k := l.key(c) // not under the lock: other workers would wait for it
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.chunks[k]
	if len(same) == 0 {
		return nil, &k
	}
	return l.remove(same[0]), &k
}

// keep stores what is known of a chunk, and ends the oldest entries when there
// are too many. The bits are copied.
func (l *Ledger) keep(m memory) {
	n := len(m.settled)
	for n > 0 && m.settled[n-1] == 0 {
		n--
	}
	m.settled = slices.Clip(slices.Clone(m.settled[:n]))
	if m.kept.IsZero() {
		m.kept = time.Now()
	}
	if m.size() > l.limits.Bytes {
		l.forget(m.records-m.done, true) // and not all the others for its sake
		return
	}
	l.mu.Lock()
	over := l.expire(time.Now())
	l.chunks[m.key] = append(l.chunks[m.key], l.oldest.PushBack(&m))
	l.bytes += m.size()
	for l.oldest.Len() > l.limits.Chunks || l.bytes > l.limits.Bytes {
		over = append(over, forgotten{l.remove(l.oldest.Front()), true})
	}
	l.mu.Unlock()
	l.forgetAll(over)
}

// forgotten is an entry that ended unused.
type forgotten struct {
	*memory
	full bool
}

// forgetAll reports entries. The lock is not held: who is told writes a log.
func (l *Ledger) forgetAll(over []forgotten) {
	for _, o := range over {
		l.forget(o.records-o.done, o.full)
	}
}

// expire removes the entries that are too old. The lock is held.
func (l *Ledger) expire(now time.Time) (over []forgotten) {
	for e := l.oldest.Front(); e != nil && now.Sub(e.Value.(*memory).kept) > l.limits.Age; e = l.oldest.Front() {
		over = append(over, forgotten{l.remove(e), false})
	}
	return over
}

// remove takes an entry out. The lock is held.
func (l *Ledger) remove(e *list.Element) *memory {
	m := l.oldest.Remove(e).(*memory)
	l.bytes -= m.size()
	same := l.chunks[m.key]
	if len(same) == 1 {
		delete(l.chunks, m.key)
		return m
	}
	i := slices.Index(same, e)
	l.chunks[m.key] = slices.Delete(same, i, i+1)
	return m
}

// drain removes and returns all entries that are not too old, the oldest first.
func (l *Ledger) drain() (all []*memory) {
	l.mu.Lock()
	over := l.expire(time.Now())
	for l.oldest.Len() > 0 {
		all = append(all, l.remove(l.oldest.Front()))
	}
	l.mu.Unlock()
	l.forgetAll(over)
	return all
}

// unsettled returns the records that Fluent Bit is still to bring again, as
// the ledger knows them.
func (l *Ledger) unsettled() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.oldest.Front(); e != nil; e = e.Next() {
		m := e.Value.(*memory)
		n += m.records - m.done
	}
	return n
}
