package delivery

import (
	"context"
	"sync/atomic"
	"time"
)

// Once Fluent Bit was told to end it waits for its outputs as long as they take,
// past its own grace (5 s by default): it joins their threads. So a flush then
// has stopBudget left, and its calls callGrace more.
const (
	stopBudget = 3 * time.Second
	callGrace  = time.Second
	// watchEvery is how often a flush that waits for an answer looks whether
	// Fluent Bit is to end.
	watchEvery = 250 * time.Millisecond
)

// ending is whether, and since when, Fluent Bit is to end.
type ending struct {
	asked func() bool // nil: it cannot be told
	since atomic.Int64
}

// deadline is when the flushes are to be through, and whether there is such a time.
func (e *ending) deadline() (time.Time, bool) {
	since := e.since.Load()
	if since == 0 {
		if e.asked == nil || !e.asked() {
			return time.Time{}, false
		}
		e.since.CompareAndSwap(0, time.Now().UnixNano())
		since = e.since.Load()
	}
	return time.Unix(0, since).Add(stopBudget), true
}

// Deadline is when the flush's budget is spent: nothing is sent again after it.
func (f *Flush) Deadline() time.Time {
	f.mu.Lock()
	deadline := f.deadline
	f.mu.Unlock()
	if stop, ok := f.d.ending.deadline(); ok && stop.Before(deadline) {
		return stop
	}
	return deadline
}

// Renew gives the flush its budget anew: it has waited for another flush.
func (f *Flush) Renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = time.Now().Add(f.budget())
}

// Context is for the flush's calls. It ends some time after the budget only
// where Fluent Bit waits for the flush: when it is to end, and on its engine
// thread. Otherwise a call has its own deadline and nothing else.
func (f *Flush) Context() context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx != nil {
		return f.ctx
	}
	if f.chunk.OnEngine {
		f.ctx, f.cancel = context.WithDeadline(context.Background(), f.deadline.Add(callGrace))
	} else {
		f.ctx, f.cancel = context.WithCancel(context.Background())
	}
	if f.d.ending.asked != nil {
		f.watch = time.AfterFunc(watchEvery, f.look)
	}
	return f.ctx
}

// look ends the flush's calls when Fluent Bit cannot wait for them any longer.
func (f *Flush) look() {
	stop, ok := f.d.ending.deadline()
	if ok && !time.Now().Before(stop.Add(callGrace)) {
		f.cancel()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.watch.Reset(watchEvery)
	}
}

// release ends what Context began. The lock is held.
func (f *Flush) release() {
	if f.watch != nil {
		f.watch.Stop()
	}
	if f.cancel != nil {
		f.cancel()
	}
}
