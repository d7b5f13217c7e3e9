package delivery

import (
	"math"
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
// asked for (Retry-After) is kept whole, and a quarter of the random one comes
// on top.
func Backoff(attempt int, asked time.Duration) time.Duration {
	limit := min(backoffCap, backoffBase<<min(max(attempt, 0), 6))
	pause := limit - rand.N(limit)
	if asked > 0 {
		return asked + pause/4
	}
	return pause
}

// Pause sleeps before the next try. It does not sleep, and returns false, when
// the flush's budget would be spent by then.
//
// A pause that was asked for and that goes beyond the budget is cut to what is
// left, for one last try, unless even that would be much sooner than asked: with
// Fluent Bit's Retry_Limit at its default of 1 a try that is given away may be
// the chunk's last.
func (f *Flush) Pause(attempt int, asked time.Duration) bool {
	pause := Backoff(attempt, asked)
	if left := time.Until(f.Deadline()); pause > left {
		if asked <= 0 || left < min(asked, backoffCap) {
			return false
		}
		pause = left
	}
	return f.Sleep(pause)
}

// Sleep returns false, at once or early, when the flush's budget would be spent
// by then: as it is when Fluent Bit is told to end meanwhile.
func (f *Flush) Sleep(pause time.Duration) bool {
	until := time.Now().Add(pause)
	for left := pause; left > 0; left = time.Until(until) {
		if f.Deadline().Before(until) {
			return false
		}
		time.Sleep(min(left, watchEvery))
	}
	return true
}

// What Pace goes by.
const (
	firstGap = 20 * time.Millisecond // the first gap, and a smaller one is none
	maxGap   = 2 * time.Second       // one request in two seconds is the floor
	caution  = 2 * time.Second       // half-life of the memory of what was too fast
	restful  = 10 * time.Second      // without requests for this long, a gap says nothing any more

	// Up to this share of refusals it is enough that who is refused pauses: a
	// service may hold back one call in ten at any rate. The share is that of
	// the last ten or so answers.
	bearable = 0.25
	newest   = 0.1 // weight of the newest answer
)

// Pace spaces the requests to one destination, for all workers together, while
// that destination holds requests back: one at a time, in the order in which
// they came. The zero Pace is ready for use.
//
// As long as no more than a quarter of the requests is refused there is no gap
// between two of them. Beyond that each refusal doubles it. A success halves it as long as
// that is well away from the gap that was last too short, and takes a
// twentieth off it from there on: so a destination that takes so much and no
// more is kept near its limit, and not thrown back and forth between far too
// much and far too little. What was too short is forgotten by half every two
// seconds: a destination that recovers has full speed again after some 15 s at
// most. A calm destination costs a lock and nothing else.
type Pace struct {
	mu      sync.Mutex
	share   float64       // of refusals, lately
	gap     time.Duration // between the starts of two requests; 0: as they come
	next    time.Time     // when the next request may start
	resume  time.Time     // answers before this are to requests from before the last refusal
	tooFast time.Duration // the gap that the last refusal came at
	refused time.Time     // when that was
	waiting int
	front   chan struct{} // who has put something in is at the front of the line
}

// Wait sleeps until a request may start. It returns false at once, and takes
// no place in the line, when that would be after the deadline, and as soon as done
// is closed; nil never is. Every Wait that returned true is followed by one request.
func (p *Pace) Wait(deadline time.Time, done <-chan struct{}) bool {
	p.mu.Lock()
	if p.gap == 0 {
		p.mu.Unlock()
		return true
	}
	now := time.Now()
	if now.Sub(p.next) > restful {
		p.gap = 0
		p.mu.Unlock()
		return true
	}
	start := p.next
	if start.Before(now) {
		start = now
	}
	if start.Add(time.Duration(p.waiting) * p.gap).After(deadline) {
		p.mu.Unlock()
		return false
	}
	if p.front == nil {
		p.front = make(chan struct{}, 1)
	}
	p.waiting++
	p.mu.Unlock()

	started := p.takeTurn(deadline, done)
	p.mu.Lock()
	p.waiting--
	p.mu.Unlock()
	return started
}

// takeTurn waits in line. Nobody has a fixed time to start: who is at the front
// goes by the gap as it is by then, since answers come in meanwhile.
func (p *Pace) takeTurn(deadline time.Time, done <-chan struct{}) bool {
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case p.front <- struct{}{}:
	case <-late.C:
		return false
	case <-done:
		return false
	}
	defer func() { <-p.front }()
	for {
		p.mu.Lock()
		now := time.Now()
		next := p.next
		if p.gap == 0 || !next.After(now) {
			p.next = now.Add(p.gap)
			p.mu.Unlock()
			return true
		}
		p.mu.Unlock()
		if next.After(deadline) {
			return false
		}
		turn := time.NewTimer(next.Sub(now))
		select {
		case <-turn.C:
		case <-done:
			turn.Stop()
			return false
		}
	}
}

// Slower is told of a refusal. Of several requests that were under way together
// and are refused together only the first widens the gap.
func (p *Pace) Slower() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share += newest * (1 - p.share)
	now := time.Now()
	if p.share <= bearable || now.Before(p.resume) {
		return
	}
	p.tooFast, p.refused = p.gap, now
	p.gap = min(max(2*p.gap, firstGap), maxGap)
	// Shippers that were refused together are not to come back together.
	p.resume = now.Add(p.gap/2 + rand.N(p.gap))
	p.next = p.resume
}

// Faster is told of a success.
func (p *Pace) Faster() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.share -= newest * p.share
	if p.gap == 0 {
		return
	}
	now := time.Now()
	if now.Before(p.resume) {
		return
	}
	careful := time.Duration(1.25 * float64(p.tooFast) * math.Exp2(-float64(now.Sub(p.refused))/float64(caution)))
	p.gap = max(p.gap/2, min(p.gap-p.gap/20, careful))
	if p.gap < firstGap {
		p.gap = 0
	}
}

// Answered is told of a call of which held records out of n were held back and
// the rest accepted. It is a refusal when that was most of them, and a success
// when it was few; in between, sending those again is pace enough.
func (p *Pace) Answered(held, n int) {
	switch {
	case held > n/2:
		p.Slower()
	case held <= n/10:
		p.Faster()
	}
}
