package delivery

import "fmt"

// parted is a record that goes out in several parts, as option too_big asks for.
// It counts as one record, and is settled when all of its parts are: the chunk's
// bit for it says only that. So that a chunk which comes again brings only the
// parts that did not get across, the ledger has these too.
type parted struct {
	parts   int
	settled []uint64 // one bit a part
	left    int      // bits not set
	dropped *Cause   // of a part that was dropped: the record counts as dropped; nil: none was
}

// part is one part of a record, in the flush's hands.
type part struct {
	record int
	number int // from 0
}

// Part tells of part number k, from 0, of the n that record i goes out in. It
// returns the index that stands for the part wherever one stands for a record.
// fresh is false when an earlier flush has settled the part: then it is to be
// left alone. The same record must come to the same parts each time.
func (f *Flush) Part(i, k, n int) (index int, fresh bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.parted[i]
	if p == nil || p.parts != n {
		if f.parted == nil {
			f.parted = make(map[int]*parted)
		}
		p = &parted{parts: n, settled: make([]uint64, (n+63)/64), left: n}
		f.parted[i] = p
	}
	if p.settled[k>>6]&(1<<(k&63)) != 0 {
		return 0, false
	}
	f.parts = append(f.parts, part{i, k})
	return -len(f.parts), true // below 0, where no record's is
}

// settlePart notes that the part of an index is settled, dropped for a cause if
// that is not nil, and returns its record's index, or -1 as long as the record
// has other parts to settle. The lock is held.
func (f *Flush) settlePart(index int, why *Cause) (record int) {
	at := f.parts[-index-1]
	p := f.parted[at.record]
	bit := uint64(1) << (at.number & 63)
	if p.settled[at.number>>6]&bit != 0 {
		return -1
	}
	p.settled[at.number>>6] |= bit
	p.left--
	if why != nil {
		cause := *why
		p.dropped = &cause
	}
	if p.left > 0 {
		return -1
	}
	return at.record
}

// spoiled says whether a record, of which the last part has now been delivered,
// lacks one that was dropped, and counts it as dropped then. The lock is held.
func (f *Flush) spoiled(record int) bool {
	if f.parted == nil {
		return false
	}
	p := f.parted[record]
	if p == nil || p.dropped == nil {
		return false
	}
	f.d.Counters.Drop(p.dropped.Why, 1)
	f.same = false
	f.bury(record, p.dropped)
	return true
}

// unfinished returns what is known of the parts of records that are not settled.
// The flush is at its end, and its lock held.
func (f *Flush) unfinished() map[int]*parted {
	for i, p := range f.parted {
		if p.left == 0 || p.left == p.parts {
			delete(f.parted, i)
		}
	}
	if len(f.parted) == 0 {
		return nil
	}
	return f.parted
}

// partedSize is what a parted takes in a memory, besides its bits: itself and its
// place in the map (TestLedgerMemoryOfParts).
const partedSize = 96

func (p *parted) size() int { return partedSize + 8*cap(p.settled) }

// partedEntry is a parted in the ledger's file.
type partedEntry struct {
	Record  int    `json:"record"`
	Parts   int    `json:"parts"`
	Settled []byte `json:"settled"`           // a bit each, the first one lowest
	Dropped string `json:"dropped,omitempty"` // why one of them was
}

func (p *parted) entry(record int) partedEntry {
	e := partedEntry{Record: record, Parts: p.parts, Settled: packBits(p.settled)}
	if p.dropped != nil {
		e.Dropped = p.dropped.Why.String()
	}
	return e
}

// parted checks what the file says: anything wrong with it could take a part for
// delivered that is not.
func (e partedEntry) parted(m *memory) (*parted, error) {
	p := &parted{parts: e.Parts}
	var set, last int
	p.settled, set, last = unpackBits(e.Settled)
	p.left = p.parts - set
	if e.Record < 0 || e.Record >= m.records || m.parted[e.Record] != nil || p.left <= 0 || last > p.parts || len(p.settled) != (p.parts+63)/64 {
		return nil, fmt.Errorf("record number %d has %d parts, of which %d are settled, the last one number %d", e.Record, e.Parts, set, last)
	}
	if e.Dropped == "" {
		return p, nil
	}
	for r, name := range reasonNames {
		if name == e.Dropped {
			p.dropped = &Cause{Why: Reason(r)}
			return p, nil
		}
	}
	return nil, fmt.Errorf("record number %d was dropped for %q", e.Record, e.Dropped)
}
