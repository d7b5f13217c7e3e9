package records

import "sync"

// billAfter is how many records are looked at before something is said of their
// size.
const billAfter = 1000

// Bill finds out what small records cost: services bill a record by its size
// rounded up. It is an output's own, for all of its streams.
type Bill struct {
	// Steps are what sizes are rounded up to, in bytes, in two ways.
	Steps [2]int
	// Advice returns what there is to say of it, "" if it does not matter.
	Advice func(Billed) string

	mu   sync.Mutex
	seen Billed
	done bool
}

// Billed is what some records come to.
type Billed struct {
	Records int
	Bytes   int    // of data, and of partition keys
	Rounded [2]int // the same, each record rounded up to a multiple of Steps
}

// Mean returns the size of a record.
func (b Billed) Mean() int { return b.Bytes / b.Records }

// Factor returns how much is billed of each byte that is sent.
func (b Billed) Factor(step int) float64 { return float64(b.Rounded[step]) / float64(b.Bytes) }

// add looks at a batch that is to be sent for the first time, and returns the
// advice once, as soon as there is enough to go by. A nil Bill does nothing.
func (b *Bill) add(batch *batch) (advice string) {
	if b == nil {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return ""
	}
	for i := range batch.entries {
		size := int(batch.entries[i].size)
		b.seen.Bytes += size
		for k, step := range b.Steps {
			b.seen.Rounded[k] += max(1, (size+step-1)/step) * step
		}
	}
	if b.seen.Records += len(batch.entries); b.seen.Records < billAfter || b.seen.Bytes == 0 {
		return ""
	}
	b.done = true
	return b.Advice(b.seen)
}

// bill has the output's Bill look at a batch, and says what comes of it.
func (w *Sender) bill(b *batch) {
	if advice := w.s.Bill.add(b); advice != "" {
		w.s.Said.Info("%s", advice)
	}
}
