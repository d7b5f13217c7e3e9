package delivery

import (
	"sync"
	"time"
)

// Answers knows how soon a service answers an output's calls, by the quickest of the last
// few: the others may have waited for each other, for the processor, or for a handshake.
// The zero Answers takes the service for one that answers at once. It is safe for
// concurrent use.
type Answers struct {
	mu      sync.Mutex
	soonest time.Duration
}

// Took notes how long a call took.
func (a *Answers) Took(t time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.soonest = min(t, a.soonest+max(t-a.soonest, 0)/8)
}

// NoneFor notes that no call under way was answered for so long.
func (a *Answers) NoneFor(t time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.soonest = max(a.soonest, t)
}

// Soonest returns how long a call takes at least.
func (a *Answers) Soonest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.soonest
}
