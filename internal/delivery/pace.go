package delivery

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Pauses between two tries of the same records. The first is short, for the
// many faults that pass at once; the last leaves a few tries within a flush's budget.
const (
	backoffBase = 100 * time.Millisecond
	backoffCap  = 5 * time.Second
)

// Backoff returns the pause before try number attempt+1 (attempt 0 was the
// first): anywhere up to 100 ms, 200 ms, 400 ms … 5 s, so that many shippers
// that failed together do not come back together. A pause that the service
// asked for (Retry-After) is kept, up to the cap, and the random part comes on top.
func Backoff(attempt int, asked time.Duration) time.Duration {
	limit := backoffCap
	if attempt < 6 {
		limit = min(limit, backoffBase<<attempt)
	}
	pause := time.Duration(rand.Int64N(int64(limit))) + 1
	if asked > 0 {
		pause = min(asked, backoffCap) + pause/4
	}
	return pause
}

// Pause sleeps before the next try. It does not sleep, and returns false, when
// the flush's budget would be spent by then.
func (f *Flush) Pause(attempt int, asked time.Duration) bool {
	pause := Backoff(attempt, asked)
	if time.Until(f.deadline) < pause {
		return false
	}
	time.Sleep(pause)
	return true
}

// The gap between two requests that a throttling destination starts with, and
// the longest one: the rate of one request in two seconds is the floor.
const (
	firstGap = 20 * time.Millisecond
	maxGap   = 2 * time.Second
)

// Pace spaces the requests to one destination, for all workers together, while
// that destination holds requests back. Each refusal doubles the gap, each
// success halves it, and below 20 ms there is none: a calm destination costs
// a lock and nothing else. The zero Pace is ready for use.
type Pace struct {
	mu     sync.Mutex
	gap    time.Duration
	next   time.Time // when the next request may start
	slowed time.Time
}

// Wait sleeps until a request may start. It returns false at once, and takes
// no place in the line, when that would be after the deadline.
func (p *Pace) Wait(deadline time.Time) bool {
	p.mu.Lock()
	if p.gap == 0 {
		p.mu.Unlock()
		return true
	}
	now := time.Now()
	start := p.next
	if start.Before(now) {
		start = now
	}
	if start.After(deadline) {
		p.mu.Unlock()
		return false
	}
	p.next = start.Add(p.gap)
	p.mu.Unlock()
	time.Sleep(start.Sub(now))
	return true
}

// Slower is told of a refusal. Several requests that were under way together
// are refused together: only the first of them widens the gap.
func (p *Pace) Slower() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.gap > 0 && now.Sub(p.slowed) < p.gap {
		return
	}
	p.slowed = now
	p.gap = min(max(2*p.gap, firstGap), maxGap)
	p.next = now.Add(time.Duration(rand.Int64N(int64(p.gap))) + p.gap/2)
}

// Faster is told of a success.
func (p *Pace) Faster() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gap > 0 {
		if p.gap /= 2; p.gap < firstGap {
			p.gap = 0
		}
	}
}
