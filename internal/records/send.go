package records

import (
	"context"
	"sync"
	"time"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// Service is how an output instance reaches its service. All of it is set
// before the first flush and not changed any more.
type Service struct {
	*delivery.Delivery
	Name        string // of the service, for the log
	Destination string // stream or delivery stream, for the log
	Head        []byte // the request's JSON up to and with the bracket that opens its records
	Limits      Limits
	Concurrency int // calls in flight within one flush
	// Put makes the call with a body of the given number of records.
	Put func(ctx context.Context, records int, body *awsx.Body) (awsx.RecordsAnswer, error)
	// Verdict says what an error of the whole call means.
	Verdict func(err error) delivery.Verdict
	// RecordVerdict says what the code of one refused record means.
	RecordVerdict func(code string) delivery.Verdict
	// Invalidate has the credentials renewed that a call which began then was
	// refused for. It returns false when newer ones cannot be had.
	Invalidate func(begun time.Time) bool

	pace delivery.Pace
}

// Sender has the batches of one flush: the open one and those under way. With
// Concurrency 1 they go out one after the other, in the order of the records;
// the next one is filled meanwhile.
type Sender struct {
	s     *Service
	flush *delivery.Flush
	open  *batch
	queue chan *batch // full ones; nil until there is one
	wait  sync.WaitGroup
}

// Begin starts the sending of a flush's records. Finish must be called.
func (s *Service) Begin(f *delivery.Flush) *Sender {
	return &Sender{s: s, flush: f}
}

// Add hands over a record that stands for the chunk's records indexes. data and
// indexes are copied; key is nil where the service knows none. A record must be
// within the service's limit for one.
func (w *Sender) Add(data, key []byte, indexes ...int) {
	if w.open == nil {
		w.open = newBatch(w.s.Head)
	}
	if w.open.tryAdd(w.s.Limits, data, key, indexes) {
		return
	}
	w.flush.CountIn()
	w.enqueue(w.open)
	w.open = newBatch(w.s.Head)
	w.open.tryAdd(w.s.Limits, data, key, indexes)
}

// enqueue hands a full batch to the goroutines that send. It blocks while all
// of them are busy and the queue is full, which bounds the memory of a flush.
func (w *Sender) enqueue(b *batch) {
	if w.queue == nil {
		w.queue = make(chan *batch, w.s.Concurrency)
		for range w.s.Concurrency {
			w.wait.Add(1)
			go w.run()
		}
	}
	w.queue <- b
}

func (w *Sender) run() {
	defer w.wait.Done()
	for b := range w.queue {
		w.deliver(b)
	}
}

// Finish sends what is open and waits for all calls.
func (w *Sender) Finish() {
	w.flush.CountIn()
	if w.open != nil {
		if w.queue == nil {
			// The common case: one batch in all needs no goroutine.
			w.deliver(w.open)
			return
		}
		w.queue <- w.open
	}
	if w.queue != nil {
		close(w.queue)
		w.wait.Wait()
	}
}

// deliver brings a batch across, or leaves the rest of it unsettled when the
// flush's budget is spent. It frees the batch.
func (w *Sender) deliver(b *batch) {
	defer w.flush.Guard()
	if v := w.s.try(w.flush, b); v.Action == delivery.Split {
		delivery.Bisect(b, v, func(b *batch) delivery.Verdict { return w.s.try(w.flush, b) },
			func(b *batch, v delivery.Verdict) { w.s.refuse(w.flush, b, 0, b.Len(), v.Reason) })
	}
	b.Free()
}

// try sends a batch until every record of it is settled (Done), the service
// refuses the call for what is in it (Split), or the flush has no time left
// (any other action).
func (s *Service) try(f *delivery.Flush, b *batch) (v delivery.Verdict) {
	var again delivery.Attempts
	for {
		if !s.pace.Wait(f.Deadline()) {
			return v
		}
		v = s.call(f, b)
		if v.Action == delivery.Done || v.Action == delivery.Split {
			return v
		}
		if !f.Again(&again, v) {
			return v
		}
		n, _ := b.records(0, len(b.entries))
		s.Add(delivery.Resent, n)
	}
}

// call makes one call and settles what it can. The entries that are to be sent
// again are left in the batch, and no others.
func (s *Service) call(f *delivery.Flush, b *batch) delivery.Verdict {
	body := b.request()
	s.Add(delivery.Requests, 1)
	begun := time.Now()
	answer, err := s.Put(context.Background(), len(b.entries), awsx.NewBody(body))
	if err != nil {
		v := s.Verdict(err)
		if v.Action == delivery.Refresh && !s.Invalidate(begun) {
			v.Action = delivery.Later
		}
		s.note(v)
		return v
	}
	s.Add(delivery.Bytes, len(body))
	if len(answer.Failed) == 0 {
		f.Sent(b.records(0, len(b.entries)))
		s.pace.Faster()
		s.Said.Over(s.Name, "%s takes records again", s.Name)
		return delivery.Verdict{Action: delivery.Done}
	}
	return s.partly(f, b, answer.Failed)
}

// partly settles the records of a call that was accepted in part, matched by
// their place. The verdict is that of the records that are left.
func (s *Service) partly(f *delivery.Flush, b *batch, failed []awsx.FailedRecord) delivery.Verdict {
	again := make([]bool, len(b.entries))
	left := delivery.Verdict{Action: delivery.Done}
	next := 0 // the entries before it are settled or to go again
	for _, r := range failed {
		s.sent(f, b, next, r.Index)
		next = r.Index + 1
		v := s.RecordVerdict(r.Code)
		if v.Action == delivery.Drop {
			s.refuse(f, b, r.Index, next, r.Code+": "+r.Message)
			continue
		}
		again[r.Index] = true
		if v.Slow {
			s.Add(delivery.Throttled, 1)
		}
		if left.Action == delivery.Done || v.Slow {
			left = v
			left.Reason = r.Code + ": " + r.Message
		}
	}
	s.sent(f, b, next, len(b.entries))
	b.keep(func(k int) bool { return again[k] })
	if left.Action == delivery.Done {
		return left
	}
	s.hold(left)
	s.Said.Warn("refused in part", "%s refused some records of a call to %q, which are sent again: %s", s.Name, s.Destination, left.Reason)
	return left
}

// sent settles entries i to j as delivered.
func (s *Service) sent(f *delivery.Flush, b *batch, i, j int) {
	if i < j {
		f.Sent(b.records(i, j))
	}
}

// hold slows the destination down where that is asked for.
func (s *Service) hold(v delivery.Verdict) {
	if v.Slow {
		s.pace.Slower()
	}
}

// note counts and says what became of a call that failed.
func (s *Service) note(v delivery.Verdict) {
	s.hold(v)
	if v.Slow {
		s.Add(delivery.Throttled, 1)
		s.Said.Warn("throttled", "%s holds calls to %q back: %s", s.Name, s.Destination, v.Reason)
		return
	}
	s.Add(delivery.Failed, 1)
	if v.Action != delivery.AgainNow {
		s.Said.Error(s.Name, "cannot send records to %s %q: %s", s.Name, s.Destination, v.Reason)
	}
}

// refuse settles entries i to j as dropped.
func (s *Service) refuse(f *delivery.Flush, b *batch, i, j int, why string) {
	n, index := b.records(i, j)
	f.Drop(delivery.Refused, n, index)
	s.Said.Warn("refused", "%s refuses %d records for %q: %s", s.Name, n, s.Destination, why)
}
