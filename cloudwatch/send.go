package cloudwatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// sender has the batches of one flush: an open one for each stream, and those
// under way. Batches of one stream go out one after the other, in the order in
// which they were filled, so that a chunk's lines keep their order even within a
// millisecond; different streams go out side by side.
type sender struct {
	p     *Plugin
	flush *delivery.Flush
	open  map[target]*batch
	last  *batch // the open batch of the newest event: mostly the next one's too

	slots chan struct{} // one for each call that may be under way
	lanes map[target]*lane
	wait  sync.WaitGroup
}

// lane is the queue of full batches of one stream.
type lane struct {
	mu      sync.Mutex
	queue   []*batch
	running bool
}

func (p *Plugin) newSender(f *delivery.Flush) *sender {
	return &sender{p: p, flush: f}
}

// batch returns the open batch of a stream.
func (s *sender) batch(t target) *batch {
	if s.last != nil && s.last.target == t {
		return s.last
	}
	b := s.open[t]
	if b == nil {
		if s.open == nil {
			s.open = make(map[target]*batch)
		}
		b = newBatch(t)
		s.open[t] = b
	}
	s.last = b
	return b
}

// replace puts next in the place of the full batch of its stream, which is sent
// while the walk goes on.
func (s *sender) replace(next *batch) {
	full := s.open[next.target]
	s.open[next.target], s.last = next, next
	s.flush.CountIn()
	if s.lanes == nil {
		s.lanes = make(map[target]*lane)
		s.slots = make(chan struct{}, s.p.concurrency)
	}
	s.enqueue(full)
}

func (s *sender) enqueue(b *batch) {
	l := s.lanes[b.target]
	if l == nil {
		l = &lane{}
		s.lanes[b.target] = l
	}
	l.mu.Lock()
	l.queue = append(l.queue, b)
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start {
		s.wait.Add(1)
		go s.run(l)
	}
}

// run sends a lane's batches until there are none.
func (s *sender) run(l *lane) {
	defer s.wait.Done()
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		b := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		s.guarded(b)
	}
}

// guarded delivers a batch when a call may be made.
func (s *sender) guarded(b *batch) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	defer s.flush.Guard()
	s.p.deliver(s.flush, b)
}

// finish sends what is open and waits for all calls.
func (s *sender) finish() {
	s.flush.CountIn()
	if len(s.open) == 1 && s.lanes == nil {
		// The common case: one batch in all needs no goroutine.
		defer s.flush.Guard()
		s.p.deliver(s.flush, s.last)
		return
	}
	if s.lanes == nil {
		s.lanes = make(map[target]*lane)
		s.slots = make(chan struct{}, s.p.concurrency)
	}
	for _, b := range s.open {
		s.enqueue(b)
	}
	s.wait.Wait()
}

// deliver brings a batch across, or leaves the rest of it unsettled when the
// flush's budget is spent. It frees the batch.
func (p *Plugin) deliver(f *delivery.Flush, b *batch) {
	if len(b.events) == 0 { // its only record could not be written
		b.Free()
		return
	}
	b = b.sort()
	s := p.targets.stream(b.target)
	p.prepare(context.Background(), s.group)
	v := p.try(f, s, b)
	if v.Action == delivery.Split {
		delivery.Bisect(b, v, func(b *batch) delivery.Verdict { return p.try(f, s, b) },
			func(b *batch, v delivery.Verdict) { p.refuse(f, b, v) })
	}
	b.Free()
}

// try sends a batch until the service has accepted it, refuses it for what it
// is (Split), or the flush has no time left (any other action).
func (p *Plugin) try(f *delivery.Flush, s *stream, b *batch) (v delivery.Verdict) {
	var again delivery.Attempts
	for {
		if !p.pace.Wait(f.Deadline()) || !s.pace.Wait(f.Deadline()) {
			return v
		}
		v = p.call(f, s, b)
		if v.Action == delivery.Done || v.Action == delivery.Split {
			return v
		}
		if !f.Again(&again, v) {
			return v
		}
		p.Add(delivery.Resent, len(b.events))
	}
}

// call makes one PutLogEvents call, and does at once what its answer asks for.
func (p *Plugin) call(f *delivery.Flush, s *stream, b *batch) delivery.Verdict {
	ctx := context.Background()
	token, inTurn := s.sequence()
	if inTurn {
		s.turn.Lock()
		defer s.turn.Unlock()
		token, _ = s.sequence()
	}
	s.making.Lock()
	made := s.made
	s.making.Unlock()

	body := b.request(token)
	p.Add(delivery.Requests, 1)
	begun := time.Now()
	answer, err := awsx.PutLogEvents(ctx, p.client, s.group, s.target.stream, awsx.NewBody(body), p.put...)
	if err == nil {
		if inTurn {
			s.expect(answer.NextSequenceToken)
		}
		p.accepted(f, b, answer.Rejected)
		p.Add(delivery.Bytes, len(body))
		s.pace.Faster()
		p.pace.Faster()
		p.Said.Over(topicPut, "events reach CloudWatch Logs again")
		return delivery.Verdict{Action: delivery.Done}
	}
	return p.failed(ctx, f, s, b, made, begun, err)
}

// topicPut is the log's topic for calls that fail.
const topicPut = "PutLogEvents"

// failed deals with an error of PutLogEvents.
func (p *Plugin) failed(ctx context.Context, f *delivery.Flush, s *stream, b *batch, made int, begun time.Time, err error) delivery.Verdict {
	var accepted *types.DataAlreadyAcceptedException
	if errors.As(err, &accepted) {
		s.expect(aws.ToString(accepted.ExpectedSequenceToken))
		p.accepted(f, b, awsx.RejectedEvents{})
		return delivery.Verdict{Action: delivery.Done}
	}
	var wrongToken *types.InvalidSequenceTokenException
	if errors.As(err, &wrongToken) {
		s.expect(aws.ToString(wrongToken.ExpectedSequenceToken))
		return delivery.Verdict{Action: delivery.AgainNow, Reason: "the endpoint asks for sequence tokens"}
	}
	v := verdict(err)
	if v.Action == delivery.Create {
		if err := p.create(ctx, s, made); err != nil {
			v = createVerdict(err)
		} else {
			return delivery.Verdict{Action: delivery.AgainNow, Reason: v.Reason}
		}
	}
	if v.Action == delivery.Refresh && !p.session.Invalidate(begun) {
		v.Action = delivery.Later
	}
	p.note(s, v)
	return v
}

// note counts and says what went wrong, and slows down where that is asked for.
func (p *Plugin) note(s *stream, v delivery.Verdict) {
	if v.Slow {
		p.Add(delivery.Throttled, 1)
		s.pace.Slower()
		p.pace.Slower()
		p.Said.Warn("throttled", "CloudWatch Logs holds requests back for log group %q, stream %q: %s", s.group, s.target.stream, v.Reason)
		return
	}
	p.Add(delivery.Failed, 1)
	if v.Action != delivery.AgainNow {
		p.Said.Error(topicPut, "cannot send events to log group %q, stream %q: %s", s.group, s.target.stream, v.Reason)
	}
}

// accepted settles the events of a call that the service took, save those that
// it tells it has left out for their time.
func (p *Plugin) accepted(f *delivery.Flush, b *batch, a awsx.RejectedEvents) {
	n := len(b.events)
	tooOld := within(a.TooOldEnd, 0, n, 0)
	expired := within(a.ExpiredEnd, tooOld, n, tooOld)
	tooNew := within(a.TooNewStart, expired, n, n)
	p.reject(f, b, delivery.TooOld, 0, tooOld)
	p.reject(f, b, delivery.Expired, tooOld, expired)
	p.reject(f, b, delivery.TooNew, tooNew, n)
	f.Sent(tooNew-expired, func(k int) int { return b.record(expired + k) })
}

// within returns the index that an answer gave, kept from low to high, or def
// when it gave none.
func within(index *int, low, high, def int) int {
	if index == nil {
		return def
	}
	return min(max(*index, low), high)
}

// reject settles the events from i to j as dropped.
func (p *Plugin) reject(f *delivery.Flush, b *batch, why delivery.Reason, i, j int) {
	if i >= j {
		return
	}
	f.Drop(why, j-i, func(k int) int { return b.record(i + k) })
	p.Said.Warn("rejected "+why.String(), "CloudWatch Logs left out %d events for log group %q, stream %q: %s", j-i, b.target.group, b.target.stream, why)
}

// refuse settles all events of a batch as dropped.
func (p *Plugin) refuse(f *delivery.Flush, b *batch, v delivery.Verdict) {
	f.Drop(delivery.Refused, len(b.events), b.record)
	p.Said.Warn("refused", "CloudWatch Logs refuses %d events for log group %q, stream %q: %s", len(b.events), b.target.group, b.target.stream, v.Reason)
}
