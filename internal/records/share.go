package records

import (
	"slices"
	"sync"
	"time"

	"aws-for-fluent-bit/internal/delivery"
)

// Small batches of flushes that run at the same time share calls: a call costs
// the CPU time of some hundred records, whatever is in it. Who comes while there
// are few others makes one at once. Who comes later joins those that wait for the
// calls under way to end, and then one of them makes a call for all. So nobody
// waits for others that may never come; and the more flushes there are, or the
// slower the service is, the more of them have a call together.
//
// What waits has its bytes in the body of that call, and no body of its own: of
// hundreds of flushes that would be more memory than the records are.

const (
	// A batch may share a call with these many records and bytes: ten of them fill
	// one. With more it saves little of what its records cost anyway, and takes
	// longer to be copied.
	smallRecords = 50
	smallBytes   = 64 << 10
)

// Tests change them.
var (
	// few is how many batches may be there, under way or waiting, with a call each.
	// So as many flushes as most configurations have workers do not wait for each
	// other: by turns they would send two thirds as many chunks. With more, calls
	// go one at a time.
	few = 4

	// patience is how long batches wait for calls to end: several times what one
	// takes, so that one that hangs does not hold up those behind it.
	patience = 250 * time.Millisecond
)

// small says whether a batch may share a call: one more like it has to fit.
func (s *Service) small(b *batch) bool {
	return b.Len() <= smallRecords && b.bytes <= smallBytes && s.Limits.fit(2*b.Len(), 2*b.bytes)
}

// gather has the small batches for one destination in one form. The zero gather
// is ready for use.
type gather struct {
	mu      sync.Mutex
	batches int    // that are here, their calls under way or not
	calls   int    // under way, or about to be
	open    *group // that batches join; nil: none
}

// free says whether a call may begin beside those under way. The lock is held.
func (g *gather) free() bool { return g.calls == 0 || g.batches <= few }

// group is the batches that are to share a call. The flush of one of them makes
// it: the one that takes the turn. All of it is guarded by the gather's lock,
// until it is closed.
type group struct {
	members []*member
	all     *batch        // what the call is to send: theirs, in this order
	called  bool          // its turn has come
	ended   bool          // its call, and not by a panic, after which something may read the body
	closed  bool          // its call has begun: nobody joins or leaves
	turn    chan struct{} // has something in it while the turn has come and is not taken
	done    chan struct{} // closed when the call has ended
	late    *time.Timer   // the turn comes at last
}

// member is a batch in a group.
type member struct {
	group   *group
	batch   *batch  // without a body, until it leaves or the call has ended
	outcome outcome // of its records
	spoiled bool    // there is none: the call came to nothing for what may be in another batch
}

// share is Service.call for a small batch. It marks the batch as one that goes
// alone, and has not done anything else, if the call of several batches was
// refused for what is in one of them.
func (s *Service) share(f *delivery.Flush, b *batch) (made bool) {
	if !f.Wait() {
		return false
	}
	g := &s.gather[0]
	if b.wire.CBOR {
		g = &s.gather[1]
	}
	m := g.join(b, s.Limits)
	if m == nil {
		defer g.ended(1)
		return s.callAlone(f, b)
	}
	select {
	case <-m.group.turn:
		if !s.callFor(f, g, m) {
			return false
		}
	case <-m.group.done:
	case <-f.Context().Done():
		if g.leave(m, false) {
			return false
		}
		<-m.group.done // the call has its own deadline
	}
	if m.spoiled {
		b.alone = true
		return false
	}
	s.settle(f, b, m.outcome)
	return true
}

// callFor makes the call of a group for all of its members, one of which is the
// caller's. It returns false if the caller's flush may make none: then another
// member does.
func (s *Service) callFor(f *delivery.Flush, g *gather, m *member) bool {
	ctx := f.Context()
	if !f.Wait(&s.pace) || ctx.Err() != nil {
		g.leave(m, true)
		return false
	}
	group := m.group
	g.begin(group)
	defer g.end(group) // after a panic, too: then all others go alone
	group.handOut(s.put(ctx, group.all))
	group.ended = true
	return true
}

// handOut gives each member the outcome of its own records.
func (group *group) handOut(o outcome) {
	if o.verdict.Action == delivery.Split && len(group.members) > 1 {
		return
	}
	from, failed := 0, o.failed
	for _, m := range group.members {
		to, n := from+m.batch.Len(), 0
		for n < len(failed) && failed[n].Index < to {
			failed[n].Index -= from
			n++
		}
		m.outcome, m.spoiled = o, false
		m.outcome.failed = failed[:n]
		from, failed = to, failed[n:]
	}
}

// giveBack gives those their bodies back who have something to send again.
func (group *group) giveBack() {
	from := 0
	for _, m := range group.members {
		to := from + m.batch.Len()
		if !m.outcome.accepted || len(m.outcome.failed) > 0 {
			m.batch.takeBack(group.all, from)
		}
		from = to
	}
}

// takeBack has the batch begin its body again, whose records are those of all from
// one on.
func (b *batch) takeBack(all *batch, from int) {
	to := from + b.Len()
	b.open()
	b.add(all, all.entries[from:to])
}

// join returns nil while there are few: then the caller makes its own call, and
// ended is to follow.
func (g *gather) join(b *batch, limits Limits) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches++
	if g.open == nil && g.free() {
		g.calls++
		return nil
	}
	if o := g.open; o != nil && !limits.fit(o.all.Len()+b.Len(), o.all.bytes+b.bytes) {
		g.call(g.open) // it is full, and goes beside the others
		g.open = nil
	}
	if g.open == nil {
		g.open = g.newGroup(b.wire)
	}
	group := g.open
	m := &member{group: group, batch: b, spoiled: true}
	group.members = append(group.members, m)
	group.all.add(b, b.entries)
	b.freeBody()
	return m
}

func (g *gather) newGroup(wire *Wire) *group {
	group := &group{all: newBatchOf(&shared, wire), turn: make(chan struct{}, 1), done: make(chan struct{})}
	group.late = time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.call(group)
	})
	return group
}

// call gives a group its turn, if it did not have it. The lock is held.
func (g *gather) call(group *group) {
	group.late.Stop()
	if !group.called && len(group.members) > 0 {
		group.called = true
		g.calls++
		group.turn <- struct{}{}
	}
}

// leave takes a member out of its group, unless the call has begun. inTurn says
// that it has taken the turn, which another one gets.
func (g *gather) leave(m *member, inTurn bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	group := m.group
	if group.closed {
		return false
	}
	group.remove(m)
	g.batches--
	switch {
	case len(group.members) == 0:
		g.forget(group)
		group.all.Free()
		if group.called {
			g.calls--
		}
	case inTurn:
		group.turn <- struct{}{}
	}
	g.next()
	return true
}

// remove takes a member and its records out.
func (group *group) remove(m *member) {
	k := slices.Index(group.members, m)
	from := 0
	for _, o := range group.members[:k] {
		from += o.batch.Len()
	}
	keep := make([]bool, group.all.Len())
	for i := range keep {
		keep[i] = i < from || i >= from+m.batch.Len()
	}
	m.batch.takeBack(group.all, from)
	group.all.keep(keep)
	group.members = slices.Delete(group.members, k, k+1)
}

// forget has nobody join a group any more. The lock is held.
func (g *gather) forget(group *group) {
	group.late.Stop()
	group.closed = true
	if g.open == group {
		g.open = nil
	}
}

// begin closes a group for its call.
func (g *gather) begin(group *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(group)
}

// end is told that a group's call has ended.
func (g *gather) end(group *group) {
	group.giveBack()
	if group.ended {
		group.all.Free()
	}
	close(group.done)
	g.ended(len(group.members))
}

// ended is told that a call of some batches has ended, or is not made after all.
func (g *gather) ended(batches int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches -= batches
	g.calls--
	g.next()
}

// next gives those that wait their turn, if it has come. The lock is held.
func (g *gather) next() {
	if g.open != nil && g.free() {
		g.call(g.open)
	}
}
