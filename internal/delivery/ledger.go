package delivery

import (
	"container/list"
	"hash/maphash"
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
	forget func(unsettled int) // told of entries that ended unused
	seed   maphash.Seed

	mu     sync.Mutex
	oldest list.List // of *memory, in the order in which they were kept
	chunks map[chunkKey][]*list.Element
	bytes  int
}

// LedgerLimits bound a ledger; all three must be above 0.
type LedgerLimits struct {
	Chunks int           // entries
	Bytes  int           // memory of all entries: about a bit a record and 200 bytes a chunk
	Age    time.Duration // from the flush that failed
}

// chunkKey tells chunks apart. The hash is 64 bits under a seed of this
// process: two chunks of one tag and one length are mixed up once in 2^64.
type chunkKey struct {
	tag  string
	size int
	sum  uint64
}

// memory is what is known of one chunk.
type memory struct {
	key     chunkKey
	records int      // counted as taken in
	settled []uint64 // one bit a record; a record beyond its end is not settled
	done    int      // bits set
	kept    time.Time
}

func (m *memory) size() int { return 200 + len(m.key.tag) + 8*len(m.settled) }

// NewLedger returns an empty ledger. forget is called with the number of
// unsettled records of each entry that ends unused; it must not call back.
func NewLedger(limits LedgerLimits, forget func(unsettled int)) *Ledger {
	return &Ledger{limits: limits, forget: forget, seed: maphash.MakeSeed(), chunks: make(map[chunkKey][]*list.Element)}
}

func (l *Ledger) key(c Chunk) chunkKey {
	return chunkKey{tag: c.Tag, size: len(c.Data), sum: maphash.Bytes(l.seed, c.Data)}
}

// take removes and returns what is known of a chunk, nil when it is new. Bytes
// are hashed only while there is something to compare them with.
func (l *Ledger) take(c Chunk) *memory {
	l.mu.Lock()
	l.expire()
	empty := l.oldest.Len() == 0
	l.mu.Unlock()
	if empty {
		return nil
	}
	key := l.key(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.chunks[key]
	if len(same) == 0 {
		return nil
	}
	return l.remove(same[0])
}

// keep stores m, and ends the oldest entries when there are too many.
func (l *Ledger) keep(m *memory) {
	m.kept = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chunks[m.key] = append(l.chunks[m.key], l.oldest.PushBack(m))
	l.bytes += m.size()
	l.expire()
	for l.oldest.Len() > l.limits.Chunks || l.bytes > l.limits.Bytes {
		l.end(l.oldest.Front())
	}
}

// expire ends the entries that are too old. The lock is held.
func (l *Ledger) expire() {
	for e := l.oldest.Front(); e != nil && time.Since(e.Value.(*memory).kept) > l.limits.Age; e = l.oldest.Front() {
		l.end(e)
	}
}

// end removes an entry that nobody came for. The lock is held.
func (l *Ledger) end(e *list.Element) {
	m := l.remove(e)
	l.forget(m.records - m.done)
}

// remove takes an entry out. The lock is held.
func (l *Ledger) remove(e *list.Element) *memory {
	m := l.oldest.Remove(e).(*memory)
	l.bytes -= m.size()
	same := l.chunks[m.key]
	for i, other := range same {
		if other == e {
			same = append(same[:i], same[i+1:]...)
			break
		}
	}
	if len(same) == 0 {
		delete(l.chunks, m.key)
	} else {
		l.chunks[m.key] = same
	}
	return m
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
