package records

import (
	"context"
	"slices"
	"sync"
	"time"

	"aws-for-fluent-bit/internal/delivery"
)

// Small batches of flushes that run at the same time share calls: a call costs
// the CPU time of some hundred records, whatever is in it. Who comes while there
// are few others makes one at once. Who comes later joins those that wait for the
// calls under way to end, and then a call is made for all of them. So nobody
// waits for others that may never come; and the more flushes there are, or the
// slower the service is, the more of them have a call together.
//
// What waits has its bytes in the body of that call, and no body of its own, and
// where the flush can do without, no goroutine: of hundreds of flushes these would be
// more memory than the records are.

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

// group is the batches that are to share a call. All of it is guarded by the gather's
// lock, until it is closed.
type group struct {
	s       *Service
	members []*member
	all     *batch      // what the call is to send: theirs, in this order
	called  bool        // its turn has come: a goroutine is there for its call
	ended   bool        // its call, and not by a panic, after which something may read the body
	closed  bool        // its call has begun: nobody joins or leaves
	late    *time.Timer // the turn comes at last
}

// member is a batch in a group.
type member struct {
	group   *group
	flush   *delivery.Flush
	batch   *batch        // without a body, until it leaves or the call has ended
	from    int           // where its records begin in the group's
	then    func()        // goes on with the flush when there is an outcome; nil: done is closed
	done    chan struct{} // for a goroutine that waits
	outcome outcome       // of its records
	spoiled bool          // there is none: the call came to nothing for what may be in another batch
	gone    bool          // there is none: its flush may make no call any more
}

// ownCall stands for a batch that is in no group, and makes its own call.
var ownCall member

// gatherOf returns where batches like this one are gathered.
func (s *Service) gatherOf(b *batch) *gather {
	if b.wire.CBOR {
		return &s.gather[1]
	}
	return &s.gather[0]
}

// later has a small batch wait for the call that it is to share, without a goroutine:
// then is called when that has ended, and share has its outcome by then. It returns
// false if the batch need not wait.
func (s *Service) later(f *delivery.Flush, b *batch, then func()) bool {
	if !s.small(b) {
		return false
	}
	return s.gatherOf(b).join(s, f, b, then) != &ownCall // nothing else: the flush may go on already
}

// share is Service.call for a small batch. It marks the batch as one that goes
// alone, and has not done anything else, if the call of several batches was
// refused for what is in one of them.
func (s *Service) share(f *delivery.Flush, b *batch) (made bool) {
	g, m := s.gatherOf(b), b.member
	if m == nil {
		if !f.Wait() {
			return false
		}
		m = g.join(s, f, b, nil)
	}
	b.member = nil
	if m == &ownCall {
		defer g.ended(1)
		return s.callAlone(f, b)
	}
	if m.then == nil {
		select {
		case <-m.done:
		case <-f.Context().Done():
			if g.leave(m) {
				return false
			}
			<-m.done // the call has its own deadline
		}
	}
	switch {
	case m.gone:
		return false
	case m.spoiled:
		b.alone = true
		return false
	}
	s.settle(f, b, m.outcome)
	return true
}

// join has a batch wait for a call with others, and notes in it, and returns, as what. It
// is ownCall while there are few, and then ended is to follow.
func (g *gather) join(s *Service, f *delivery.Flush, b *batch, then func()) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches++
	if g.open == nil && g.free() {
		g.calls++
		b.member = &ownCall
		return b.member
	}
	if o := g.open; o != nil && !s.Limits.fit(o.all.Len()+b.Len(), o.all.bytes+b.bytes) {
		g.start(g.open) // it is full, and goes beside the others
		g.open = nil
	}
	if g.open == nil {
		g.open = g.newGroup(s, b.wire)
	}
	group := g.open
	m := &member{group: group, flush: f, batch: b, from: group.all.Len(), then: then, spoiled: true}
	if then == nil {
		m.done = make(chan struct{})
	}
	b.member = m
	group.members = append(group.members, m)
	group.all.add(b, b.entries)
	b.freeBody()
	return m
}

func (g *gather) newGroup(s *Service, wire *Wire) *group {
	group := &group{s: s, all: newBatchOf(&shared, wire)}
	group.late = time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.start(group)
	})
	return group
}

// start gives a group its turn, if it did not have it. The lock is held.
func (g *gather) start(group *group) {
	group.late.Stop()
	if !group.called && len(group.members) > 0 {
		group.called = true
		g.calls++
		go g.run(group)
	}
}

// run makes the call of a group, in the time that its first flush has for it. If that
// one may make no call any more it goes, and leaves it to the next.
func (g *gather) run(group *group) {
	for m := g.first(group); m != nil; m = g.first(group) {
		ctx := m.flush.Context()
		if m.flush.Wait(&group.s.pace) && ctx.Err() == nil {
			if g.begin(m) {
				g.call(ctx, m)
				return
			}
		} else if g.leave(m) {
			m.gone = true
			m.goOn()
		}
	}
}

// first returns a group's first member, nil when all have left.
func (g *gather) first(group *group) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(group.members) == 0 {
		return nil
	}
	return group.members[0]
}

// begin closes the group of a member for its call, unless the member has left.
func (g *gather) begin(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(m.group.members, m) {
		return false
	}
	g.forget(m.group)
	return true
}

// call makes the call of a group. After a panic, too, its members go on.
func (g *gather) call(ctx context.Context, m *member) {
	group := m.group
	defer g.end(group)
	defer m.flush.Guard()
	group.handOut(group.s.put(ctx, group.all))
	group.ended = true
}

// handOut gives each member the outcome of its own records.
func (group *group) handOut(o outcome) {
	if o.verdict.Action == delivery.Split && len(group.members) > 1 {
		return
	}
	failed := o.failed
	for _, m := range group.members {
		to, n := m.from+m.batch.Len(), 0
		for n < len(failed) && failed[n].Index < to {
			failed[n].Index -= m.from
			n++
		}
		m.outcome, m.spoiled = o, false
		m.outcome.failed = failed[:n]
		failed = failed[n:]
	}
}

// end is told that a group's call has ended.
func (g *gather) end(group *group) {
	for _, m := range group.members {
		if !m.taken() {
			m.takeBack()
		}
	}
	if group.ended {
		group.all.Free()
	}
	g.ended(len(group.members))
	for _, m := range group.members {
		m.goOn()
	}
}

// taken says whether the service has taken all of a member's records.
func (m *member) taken() bool { return m.outcome.accepted && len(m.outcome.failed) == 0 }

// takeBack has a member's batch begin its body again, with its records from the group's.
func (m *member) takeBack() {
	b, all := m.batch, m.group.all
	to := m.from + b.Len()
	b.open()
	b.add(all, all.entries[m.from:to])
}

// goOn has a member's flush go on. Those that have nothing more to wait for do it here,
// one after the other: with a goroutine each there would be hundreds after all.
func (m *member) goOn() {
	switch {
	case m.then == nil:
		close(m.done)
	case m.taken() && !m.flush.HasLetters():
		m.then()
	default:
		go m.then()
	}
}

// leave takes a member out of its group, unless the call has begun, or it has left.
func (g *gather) leave(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	group := m.group
	k := slices.Index(group.members, m)
	if group.closed || k < 0 {
		return false
	}
	m.takeBack()
	group.remove(k)
	g.batches--
	if len(group.members) == 0 {
		g.forget(group)
		group.all.Free()
		if group.called {
			g.calls--
		}
	}
	g.next()
	return true
}

// remove takes member k and its records out.
func (group *group) remove(k int) {
	from, n := group.members[k].from, group.members[k].batch.Len()
	keep := make([]bool, group.all.Len())
	for i := range keep {
		keep[i] = i < from || i >= from+n
	}
	group.all.keep(keep)
	group.members = slices.Delete(group.members, k, k+1)
	for _, m := range group.members[k:] {
		m.from -= n
	}
}

// forget has nobody join a group any more. The lock is held.
func (g *gather) forget(group *group) {
	group.late.Stop()
	group.closed = true
	if g.open == group {
		g.open = nil
	}
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
		g.start(g.open)
	}
}
