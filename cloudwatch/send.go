package cloudwatch

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// sender has the batches of one flush: an open one for each stream, and those under
// way, which go out side by side as far as the order of their records lets them
// (order.go): the sooner a chunk is delivered, the sooner Fluent Bit has its memory
// back. Where the chunks of a tag have no order, the batches of one have none either.
type sender struct {
	p     *Plugin
	flush *delivery.Flush
	open  map[place]*batch
	last  *batch // the open batch of the newest event: mostly the next one's too

	tags *tagger // nil: those of new groups do not go by records

	entities *entities // nil: none are told
	entity   string    // JSON of that of the record being written; "": none
	whole    []byte    // the last record with what came with it by OpenTelemetry
	plain    []byte    // the last record without what is for its entity alone
	picked   []byte    // what is sent of the last record, where it had to be made
	over     []byte    // an event that the batch before had no room for
	sent     float64   // what full calls were made of, see ofCall
	bodies   int       // bytes of theirs
	begun    time.Time
	tag      string
	anyOrder bool
	slots    chan struct{} // one for each PutLogEvents call that may be under way
	tools    chan struct{} // and for each group and stream that may be in the making
	full     chan struct{} // and for each full batch that may be on its way while others are filled
	lanes    map[target]*lane
	wait     sync.WaitGroup

	mu   sync.Mutex // guards late
	late []*batch   // of events that were left out for their time, see retime
}

// lane is one stream as a flush sees it.
type lane struct {
	*stream
	// stopped says that a batch was given up. Then those that come after it are, too:
	// what keeps it back keeps back its stream, and the order of the records is kept for
	// the next flush.
	stopped atomic.Bool
}

// newSender returns the sender of a flush.
func (p *Plugin) newSender(f *delivery.Flush, c delivery.Chunk) *sender {
	n := p.concurrency
	return &sender{p: p, flush: f, tag: c.Tag, anyOrder: c.AnyOrder, begun: time.Now(),
		slots: make(chan struct{}, n), tools: make(chan struct{}, n), full: make(chan struct{}, n)}
}

// place is what the events of one batch have in common.
type place struct {
	target
	entity string
}

// batch returns the open batch of a stream, for events of the sender's entity.
func (s *sender) batch(t target) *batch {
	if s.last != nil && s.last.target == t && s.last.entity == s.entity {
		return s.last
	}
	at := place{t, s.entity}
	b := s.open[at]
	if b == nil {
		if s.open == nil {
			s.open = make(map[place]*batch)
		}
		b = s.newBatch(at)
		s.open[at] = b
		if s.tags != nil {
			s.tags.see(t.group)
		}
	}
	s.last = b
	return b
}

func (s *sender) newBatch(at place) *batch {
	b := newBatch(at.target, at.entity)
	b.asIs = s.p.shrink == nil
	b.cuts = !s.anyOrder && s.p.concurrency > 1 && s.p.slow()
	return b
}

// close ends the event of a record that begins at start in b, and puts it into the
// next batch if b has no room for it.
func (s *sender) close(b *batch, start int, millis int64, size, record int) {
	if b.close(start, millis, size, record) {
		return
	}
	over := event{millis: millis, size: size + eventOverhead, record: record}
	if !s.cuts(b, over) {
		s.sent += ofCall(b.bytes, b.Len())
		s.over = append(s.over[:0], b.body[start:]...)
		s.replace(b, nil).add(s.over, over)
		return
	}
	next := s.newBatch(place{b.target, b.entity})
	text := b.body[start:]
	b.cutTo(next)
	next.add(text, over)
	s.sent += ofCall(b.bytes, b.Len())
	s.replace(b, next)
}

// cuts says whether the events of the newest millisecond in a full batch are best left
// to the next one, which e begins else: then the two have no millisecond in common, and
// neither waits for the other. By what is left of the chunk it is to take no call more.
func (s *sender) cuts(b *batch, e event) bool {
	if b.tail == 0 || e.millis != b.newest {
		return false
	}
	bytes := 0
	for _, e := range b.events[b.tail:] {
		bytes += e.size
	}
	tail := ofCall(bytes, b.Len()-b.tail)
	walked, left := s.flush.Walked()
	calls := ofCall(e.size, 1) + (s.sent+ofCall(b.bytes, b.Len()))*float64(left)/float64(walked)
	return bytes+e.size <= maxBatchBytes && math.Ceil(calls+tail) == math.Ceil(calls)
}

// ofCall is how much of a call some events take.
func ofCall(bytes, events int) float64 {
	return max(float64(bytes)/maxBatchBytes, float64(events)/maxBatchEvents)
}

// quick is from when a full batch was begun to be sent until it is delivered, where the
// service takes no time to speak of. The walk waits for that long, so that a flush has
// one batch at a time where it can.
const quick = 6 * time.Millisecond

// aheadAfter is some times what a call takes. The walk waits no longer than this while
// as many full batches are under way as may be: one stream is not to hold up the others.
const aheadAfter = 250 * time.Millisecond

// replace sends the full batch of a stream, and returns the one in its place, which is
// next if that is not nil.
func (s *sender) replace(full, next *batch) *batch {
	at := place{full.target, full.entity}
	delete(s.open, at)
	s.last = nil
	s.bodies += full.end()
	s.flush.CountIn()
	late := time.NewTimer(aheadAfter)
	defer late.Stop()
	leave := func() { <-s.full }
	select {
	case s.full <- struct{}{}:
	case <-late.C:
		leave = func() {}
	}
	ended := s.start(full, leave)
	if s.p.slow() {
		// It is best sent while its bytes are still in the processor's caches, and a call
		// that has its answer leaves its memory to the next batch.
		awsx.Poll()
	} else {
		late.Reset(quick)
		select {
		case <-ended:
		case <-late.C:
		}
	}
	if next == nil {
		next = s.newBatch(at)
	}
	s.open[at], s.last = next, next
	return next
}

func (s *sender) lane(t target) *lane {
	if s.lanes == nil {
		s.lanes = make(map[target]*lane)
	}
	l := s.lanes[t]
	if l == nil {
		l = &lane{stream: s.p.targets.stream(t)}
		s.lanes[t] = l
	}
	return l
}

// span returns the place of a batch among those of its stream.
func (s *sender) span(l *lane, b *batch) *span {
	at := &span{flush: s.flush, tag: s.tag, first: b.oldest, last: b.newest, ended: make(chan struct{})}
	if s.p.concurrency == 1 {
		at.first, at.last = math.MinInt64, math.MaxInt64 // one call after the other
	}
	if !s.anyOrder {
		l.order.enter(at)
	}
	return at
}

// start has a batch sent behind those of its stream that are to come before it. The
// channel is closed when it is delivered or given up.
func (s *sender) start(b *batch, then func()) (ended <-chan struct{}) {
	l := s.lane(b.target)
	at := s.span(l, b)
	s.wait.Go(func() {
		defer then()
		s.next(l, at, b)
	})
	return at.ended
}

// next delivers a batch of a lane when those before it have ended.
func (s *sender) next(l *lane, at *span, b *batch) {
	defer at.end()
	at.wait()
	if !l.stopped.Load() && !s.deliver(l.stream, b) {
		l.stopped.Store(true)
	}
}

// finish sends what is open and waits for all calls.
func (s *sender) finish() {
	s.flush.CountIn()
	unsent := 0
	for _, b := range s.open {
		unsent += len(b.body)
	}
	if len(s.open) == 1 && s.lanes == nil {
		// The common case: one batch in all needs no goroutine, and no map of lanes.
		l := &lane{stream: s.p.targets.stream(s.last.target)}
		at := s.span(l, s.last)
		s.flush.WasRead(s.bodies+unsent, unsent)
		s.next(l, at, s.last)
	} else {
		for _, b := range s.open {
			s.start(b, func() {})
		}
		s.flush.WasRead(s.bodies+unsent, unsent)
		s.wait.Wait()
	}
	for _, b := range s.late {
		s.deliver(s.p.targets.stream(b.target), b)
	}
}

// deliver brings a batch across, or leaves the rest of it unsettled when the
// flush's budget is spent. It frees the batch. more tells whether another batch
// of the same stream is worth trying in this flush.
func (s *sender) deliver(st *stream, b *batch) (more bool) {
	more = true
	defer s.flush.Guard()
	if b.Len() == 0 { // its only record could not be written
		b.Free()
		return more
	}
	b = b.sort()
	for i := 0; i < b.Len() && more; {
		j := b.day(i)
		if j-i == b.Len() {
			more = s.send(st, b)
		} else {
			part := b.Split(i, j)
			more = s.send(st, part)
			part.Free()
		}
		i = j
	}
	b.Free()
	if more {
		s.settle(st.group)
	}
	return more
}

// patience is until when is done what keeps from calling, as making a stream
// or waiting for another flush that does: the flush's budget, or a call's own
// deadline if that is later.
func (s *sender) patience(from time.Time) time.Time {
	until := from.Add(s.p.aws.Timeout)
	if until.Before(s.flush.Deadline()) {
		return s.flush.Deadline()
	}
	return until
}

// send brings a sorted batch across, which spans less than a day.
func (s *sender) send(st *stream, b *batch) (more bool) {
	v := s.try(st, b)
	if v.Action != delivery.Split {
		return v.Action == delivery.Done
	}
	more = true
	try := func(b *batch) delivery.Verdict {
		v := s.try(st, b)
		more = more && (v.Action == delivery.Done || v.Action == delivery.Split)
		return v
	}
	delivery.Bisect(b, v, try, s.refuse)
	return more
}

// try sends a batch until the service has accepted it, refuses it for what it
// is (Split), or the flush has no time left (any other action).
func (s *sender) try(st *stream, b *batch) delivery.Verdict {
	v := delivery.Verdict{Action: delivery.Later}
	var again delivery.Attempts
	// What waited for its stream to be made is not sent again, but at last.
	for first := true; ; first = v.Action == delivery.Create {
		answer, called := s.call(st, b, first)
		if !called {
			break
		}
		v = answer
		if v.Action == delivery.Done || v.Action == delivery.Split {
			return v
		}
		if !s.flush.Again(&again, v) {
			break
		}
	}
	if v.Reason != "" {
		s.p.troubled.Store(st)
		s.p.Said.Error(topicPut, "cannot send events to log group %q, stream %q, %s: %s",
			st.group, st.stream, s.flush.Then(), v.Reason)
	}
	return v
}

// topicPut is the log's topic for events that are given up for this flush.
const topicPut = "PutLogEvents"

// call makes one PutLogEvents call, and does at once what its answer asks for.
// called is false when the flush has no time left for it.
func (s *sender) call(st *stream, b *batch, first bool) (v delivery.Verdict, called bool) {
	p, f := s.p, s.flush
	until := s.patience(time.Now())
	// Who comes while the stream is being made need not find it missing too.
	if st.making.enter(until) {
		st.making.leave()
	}
	token, inTurn := st.sequence()
	if inTurn {
		if !st.turn.enter(until) {
			return v, false
		}
		defer st.turn.leave()
		token, _ = st.sequence()
	}
	// Not in a slot: other streams need not wait while this one is held back.
	if !f.Wait(&st.pace) {
		return v, false
	}
	a := attempt{made: st.made.Load(), inTurn: inTurn, first: first}
	answer, called, err := s.put(st, b, token, &a)
	switch {
	case !called:
		return v, false
	case err != nil:
		return s.failed(until, st, b, a, err), true
	}
	if inTurn {
		st.expect(answer.NextSequenceToken, true)
	}
	st.pace.Faster()
	p.pace.Faster()
	s.accepted(b, answer.Rejected)
	if answer.RejectedEntity != "" {
		p.Said.Warn("entity "+answer.RejectedEntity, "CloudWatch Logs takes the events for log group %q, stream %q, and not the entity that they belong to (option add_entity): %s",
			st.group, st.stream, answer.RejectedEntity)
	}
	if p.troubled.CompareAndSwap(st, nil) {
		p.Said.Over(topicPut, "events reach log group %q, stream %q again", st.group, st.stream)
	}
	return delivery.Verdict{Action: delivery.Done}, true
}

// attempt is what was known when a call was made.
type attempt struct {
	made   int32 // how often the stream had been made
	inTurn bool
	first  bool // of this batch
	begun  time.Time
}

// put makes the call itself, in one of the flush's slots.
func (s *sender) put(st *stream, b *batch, token string, a *attempt) (answer awsx.LogEventsAnswer, called bool, err error) {
	p := s.p
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	if !s.flush.Wait(&p.pace) {
		return answer, false, nil
	}
	if !a.first {
		p.Add(delivery.Resent, b.Len())
	}
	p.Add(delivery.Requests, 1)
	text := b.request(token)
	if p.shrink != nil {
		b.small = p.shrink.Append(b.small[:0], text)
		text = b.small
	}
	headers := p.headers[0]
	if b.metrics {
		headers = p.headers[1]
	}
	body := awsx.NewBody(text)
	if sum, ok := b.digest.Sum(text); ok {
		body.Hashed(sum)
	}
	a.begun = time.Now()
	answer, err = awsx.PutLogEvents(s.flush.Context(), p.client, st.group, st.stream, body, headers...)
	p.Add(delivery.Requests, body.Resent())
	p.Took(time.Since(a.begun))
	if err == nil {
		p.Add(delivery.Bytes, len(text))
	}
	return answer, true, err
}

// slow says whether the service takes its time to answer.
func (p *Plugin) slow() bool { return p.Soonest() > quick }

// failed deals with an error of PutLogEvents.
func (s *sender) failed(until time.Time, st *stream, b *batch, a attempt, err error) delivery.Verdict {
	p := s.p
	var accepted *types.DataAlreadyAcceptedException
	if errors.As(err, &accepted) {
		// An earlier try of this batch, whose answer was lost.
		st.expect(aws.ToString(accepted.ExpectedSequenceToken), a.inTurn)
		s.accepted(b, awsx.RejectedEvents{})
		return delivery.Verdict{Action: delivery.Done}
	}
	v := verdict(err)
	var wrongToken *types.InvalidSequenceTokenException
	if errors.As(err, &wrongToken) {
		st.expect(aws.ToString(wrongToken.ExpectedSequenceToken), a.inTurn)
		p.Said.Warn("sequence tokens", "the endpoint asks for sequence tokens: log streams get one writer at a time")
		v.Action = delivery.AgainNow
	}
	if v.Action == delivery.Create {
		err := s.create(until, st, a.made, v.Reason)
		if err == nil {
			return delivery.Verdict{Action: delivery.Create, Reason: v.Reason} // done: the batch goes at once
		}
		v = createVerdict(err)
	} else {
		p.count(st, v)
	}
	if v.Action == delivery.Refresh && !p.session.Invalidate(a.begun) {
		v.Action = delivery.Later
	}
	switch {
	case v.Slow:
		p.Said.Warn("throttled", "CloudWatch Logs holds requests back for log group %q, stream %q: %s", st.group, st.stream, v.Reason)
	case v.Action == delivery.Again || v.Action == delivery.Refresh:
		p.Said.Warn("failed calls", "a call for log group %q, stream %q failed and is made again: %s", st.group, st.stream, v.Reason)
	}
	return v
}

// count counts a PutLogEvents call that failed, and slows down where that is asked for.
func (p *Plugin) count(st *stream, v delivery.Verdict) {
	if !v.Slow {
		p.Add(delivery.Failed, 1)
		return
	}
	p.Add(delivery.Throttled, 1)
	st.pace.Slower()
	p.pace.Slower()
}

// accepted settles the events of a call that the service took, save those that
// it tells it has left out for their time.
func (s *sender) accepted(b *batch, a awsx.RejectedEvents) {
	n := b.Len()
	tooOld := within(a.TooOldEnd, 0, n, 0)
	expired := within(a.ExpiredEnd, tooOld, n, tooOld)
	tooNew := within(a.TooNewStart, expired, n, n)
	s.reject(b, delivery.TooOld, 0, tooOld)
	s.reject(b, delivery.Expired, tooOld, expired)
	s.reject(b, delivery.TooNew, tooNew, n)
	s.flush.Sent(tooNew-expired, func(k int) int { return b.record(expired + k) })
}

// within returns the index that an answer gave, kept from low to high, or def
// when it gave none.
func within(index *int, low, high, def int) int {
	if index == nil {
		return def
	}
	return min(max(*index, low), high)
}

// reject settles the events from i to j as dropped, or has them sent otherwise.
func (s *sender) reject(b *batch, why delivery.Reason, i, j int) {
	if i >= j || s.retime(b, why, i, j) {
		return
	}
	s.flush.GiveUp(b.target.cause(why, "CloudWatch Logs left it out"), j-i, func(k int) int { return b.record(i + k) })
	s.p.Said.Warn("rejected "+why.String(), "CloudWatch Logs left out %d events for log group %q, stream %q: %s", j-i, b.target.group, b.target.stream, why)
}

// refuse settles all events of a batch as dropped.
func (s *sender) refuse(b *batch, v delivery.Verdict) {
	s.flush.GiveUp(b.target.cause(delivery.Refused, v.Reason), b.Len(), b.record)
	s.p.Said.Warn("refused", "CloudWatch Logs refuses %d events for log group %q, stream %q: %s", b.Len(), b.target.group, b.target.stream, v.Reason)
}
