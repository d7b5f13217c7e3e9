package records

import (
	"sync"
	"time"
)

// Where a service answers within quick, enough calls of an output are under way with
// enoughSenders: with more of them, each has a body and a connection that waits for the
// thread that encodes and encrypts. Of 100-byte records, of which a call has 70 KB, there
// would be 20 and more at a time (make bench-peers CASES=small:1:0 has the peak).
const (
	quick         = 10 * time.Millisecond
	enoughSenders = 4
)

// answers says whether one more call is worth having under way. The zero answers takes
// the service for a quick one.
type answers struct {
	mu      sync.Mutex
	senders int           // goroutines that make calls, of all flushes
	soonest time.Duration // of the last answers
}

// began notes a goroutine that makes calls, unless there are enough. The first one of a
// flush is always taken.
func (a *answers) began(first bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !first && a.senders >= enoughSenders && a.soonest < quick {
		return false
	}
	a.senders++
	return true
}

// late notes that for so long no call under way was answered.
func (a *answers) late() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.soonest = max(a.soonest, quick)
}

func (a *answers) ended() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.senders--
}

// took notes how long an answer took. It goes by the quickest of the last few: the others
// have waited for each other, or have shaken hands first.
func (a *answers) took(t time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.soonest = min(t, a.soonest+max(t-a.soonest, 0)/8)
}
