package records

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/digest"
)

// Service is how an output instance reaches its service. All of it is set
// before the first flush and not changed any more.
type Service struct {
	*delivery.Delivery
	Name        string // of the service, for the log
	Destination string // stream or delivery stream, for the log
	JSON        *Wire
	CBOR        *Wire // nil: the service does not speak it
	Limits      Limits
	Concurrency int // calls in flight within one flush
	Bill        *Bill
	// Put makes the call with a body of the given number of records.
	Put func(ctx context.Context, records int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error)
	// Verdict says what an error of the whole call means.
	Verdict func(err error) delivery.Verdict
	// Throttled says whether the code of a refused record means that the service
	// holds its callers back. The record is sent again whatever its code: what
	// the services say of single records passes.
	Throttled func(code string) bool
	// Invalidate has the credentials renewed that a call which began then was
	// refused for. It returns false when newer ones cannot be had.
	Invalidate func(begun time.Time) bool

	pace    delivery.Pace
	senders senders
	refused lately    // of what is sent
	gather  [2]gather // of small batches in JSON, and in CBOR

	speaksCBOR, noCBOR atomic.Bool // whether the endpoint has taken CBOR, and whether it is not to get it
}

// lately is a share, as an average in which the newest of ten has a tenth.
type lately struct {
	mu      sync.Mutex
	average float64 // guarded by mu
}

func (l *lately) add(share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.average += (share - l.average) / 10
}

func (l *lately) share() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.average
}

// Sender has the batches of one flush: the one that is being filled, and those
// under way.
//
// With Concurrency 1 the records go out in their order, as far as the service
// lets them: what was refused of a batch goes again before the next batch does.
// With more there is no order to keep. Then the few that were refused of a call
// do not hold up the next one: they wait in left until they fill a call of their
// own, or nothing else is to be sent. That takes fewer calls, and far fewer pauses.
type Sender struct {
	s       *Service
	wire    *Wire
	flush   *delivery.Flush
	open    *batch
	filled  int         // bytes of the batches that were full
	queue   chan *batch // full ones; nil until there is one
	senders int         // goroutines that take from it
	late    *time.Timer // for the next one of them; nil: it was not waited for
	wait    sync.WaitGroup
	stopped atomic.Bool // a batch was given up: what keeps it back keeps back the others too

	mu   sync.Mutex // guards left
	left *batch     // nil: none
}

// NewSender returns a Sender of a flush's records. Finish must be called.
func (s *Service) NewSender(f *delivery.Flush) *Sender {
	f.Stream = s.Destination
	w := &Sender{s: s, wire: s.JSON, flush: f}
	if s.CBOR != nil && !s.noCBOR.Load() {
		w.wire = s.CBOR
	}
	return w
}

// Add hands over a record that stands for the chunk's records indexes. data and
// indexes are copied; key is nil where the service knows none. A record must be
// within the service's limit for one.
func (w *Sender) Add(data, key []byte, indexes ...int) {
	if w.open == nil {
		w.begin(nil)
	}
	if w.open.tryAdd(w.s.Limits, data, key, indexes) {
		return
	}
	full := w.open
	w.wire.filled(full)
	w.filled += full.bytes
	awsx.Poll() // a call that has its answer leaves its memory to the next batch
	if full.waits {
		w.begin(full)
	} else {
		w.begin(nil)
	}
	w.open.tryAdd(w.s.Limits, data, key, indexes)
	w.flush.CountIn()
	w.bill(full)
	switch first := full.beside; {
	case full.waits:
	case first == nil:
		w.enqueue(full)
	case w.s.Concurrency == 1:
		w.enqueue(first)
		w.enqueue(full)
	default: // most of what was written last is in the processor's caches
		w.enqueue(full)
		w.enqueue(first)
	}
}

// Unsent returns the bytes of the bodies that no goroutine has been given yet.
func (w *Sender) Unsent() (n int) {
	for b := w.open; b != nil; b = b.beside {
		n += len(b.body)
	}
	return n
}

// begin opens a batch: one that is hashed beside another, which has waited for it;
// or, where that is nil, one that may itself wait for the next.
func (w *Sender) begin(beside *batch) {
	w.open = newBatch(w.wire)
	w.open.beside = beside
	w.open.waits = beside == nil && w.pairs()
}

// maxPaired is the most bytes of a batch that waits for the next one: more are out
// of the processor's caches by then, and are memory for each flush.
const maxPaired = 1 << 20

// pairs says whether the batch that is to be opened will be full, and then another
// one at least a quarter full, going by the last full one and by what is left of the
// chunk. What is sent of a record may be less than that: then a batch waits in vain,
// and is hashed when it is sent.
func (w *Sender) pairs() bool {
	full := int(w.wire.last.Load())
	return digest.Piece <= full && full <= maxPaired && w.flush.Bytes()-w.filled >= full+full/4 && digest.Pairs()
}

// enqueue hands a batch to a goroutine that sends: to one that has nothing to
// do, else to a new one. It blocks while as many as may be are busy, which bounds
// the memory of a flush: at most two batches for each call under way, left, the one
// that is being filled, and the one that it is hashed beside.
func (w *Sender) enqueue(b *batch) {
	if w.queue == nil {
		w.queue = make(chan *batch)
	}
	select {
	case w.queue <- b:
	default:
		if w.senders == w.s.Concurrency {
			w.queue <- b
			return
		}
		for !w.s.senders.oneMore(w.senders == 0, w.s.Soonest()) {
			late := 2 * (w.s.Soonest() + atOnce)
			switch w.await(late, b) {
			case taken:
				return
			case noneCame:
				w.s.NoneFor(late)
			case mayHaveRoom:
			}
		}
		w.senders++
		collect := w.s.Concurrency > 1
		w.wait.Go(func() {
			defer w.s.senders.ended()
			w.deliver(b, collect)
			for b := range w.queue {
				w.deliver(b, collect)
			}
		})
	}
	// It is best sent while its bytes are still in the processor's caches.
	runtime.Gosched()
}

// What a batch has waited for that no goroutine could take at once.
type awaited int

const (
	taken       awaited = iota // one of the flush's goroutines has taken it
	mayHaveRoom                // there may be room for one more
	noneCame                   // neither, for a time
)

// await waits for one of these.
func (w *Sender) await(t time.Duration, b *batch) awaited {
	if w.late == nil {
		w.late = time.NewTimer(t)
	} else {
		w.late.Reset(t)
	}
	defer w.late.Stop()
	select {
	case w.queue <- b:
		return taken
	case <-w.s.senders.mayHaveRoom():
		return mayHaveRoom
	case <-w.late.C:
		return noneCame
	}
}

// Finish sends what is there, waits for all calls, and ends the flush with end, whose
// result it returns. Where the flush can do without a goroutine while it waits for a
// call with others it returns Pending at once, and end is called later.
func (w *Sender) Finish(end func() delivery.Result) delivery.Result {
	w.flush.CountIn()
	if w.open != nil {
		w.bill(w.open)
		if first := w.open.beside; first != nil {
			w.enqueue(first)
		}
	}
	switch {
	case w.queue != nil:
		w.enqueue(w.open)
		close(w.queue)
		w.wait.Wait()
		if w.left != nil {
			w.deliver(w.left, false)
		}
	case w.open != nil: // the common case: one batch in all needs no goroutine
		last := func() delivery.Result {
			w.deliver(w.open, false)
			return end()
		}
		if resume := w.flush.Resume(); resume != nil && w.s.later(w.flush, w.open, func() { resume(last) }) {
			return delivery.Pending
		}
		return last()
	}
	return end()
}

// deliver brings a batch across, or leaves the rest of it unsettled when it is
// given up. It frees the batch. With collect, what is refused of it may be put
// with left instead.
func (w *Sender) deliver(b *batch, collect bool) {
	defer w.flush.Guard()
	send := func(b *batch) delivery.Verdict { return w.send(b, collect) }
	if v := send(b); v.Action == delivery.Split {
		delivery.Bisect(b, v, send, w.refuse)
	}
	b.Free()
}

// send makes calls until every record of a batch is settled or in left (Done),
// the service refuses the call for what is in it (Split), or the batch is given
// up for this flush (Later).
func (w *Sender) send(b *batch, collect bool) delivery.Verdict {
	var tried attempts
	for {
		again := b.last.Action != delivery.Done
		resent := 0
		if again {
			resent, _ = b.records(0, b.Len())
		}
		if again && !w.again(&tried, b) || w.stopped.Load() || !w.s.call(w.flush, b) {
			return w.giveUp(b)
		}
		w.s.Add(delivery.Resent, resent)
		switch {
		case b.last.Action == delivery.Done, b.last.Action == delivery.Split:
			return b.last
		case collect && b.partly():
			w.collect(b)
			return delivery.Verdict{Action: delivery.Done}
		}
	}
}

// attempts is the history of one batch.
type attempts struct {
	delivery.Attempts
	mostly int // calls, one after the other, of which most records were refused
}

// again does what the last call's verdict asks for before a batch is sent again.
// It returns false when the batch is not to be sent again in this flush.
//
// After a refusal by the service the pause is shorter, by as much as it has
// accepted, and does not grow as long as that is most of it: one that takes
// nineteen records of twenty needs no rest, and a full pause for each of its
// refusals would cost more time than all calls do. It goes by the call where that
// was accepted in part, and else by the calls before it.
func (w *Sender) again(tried *attempts, b *batch) bool {
	if b.share == 0 && !b.last.Slow || b.last.Pause > 0 {
		return w.flush.Again(&tried.Attempts, b.last) // a failure, or it says how long
	}
	share := b.share
	if !b.partly() {
		share = w.s.refused.share()
	}
	if b.partly() && share <= 0.5 {
		tried.mostly = 0
	} else {
		tried.mostly++
	}
	return w.flush.Sleep(time.Duration(share * float64(delivery.Backoff(tried.mostly, 0))))
}

// collect puts what is left of a batch, after a call that was accepted in part,
// with that of others. When it is too much for one call, that of the others is
// sent.
func (w *Sender) collect(b *batch) {
	if full := w.merge(b); full != nil {
		w.deliver(full, false)
	}
}

// merge adds a batch to left. What left was before, when that has no room for it,
// is returned.
func (w *Sender) merge(b *batch) (full *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left != nil && !w.s.Limits.fit(w.left.Len()+b.Len(), w.left.bytes+b.bytes) {
		full, w.left = w.left, nil
	}
	if w.left == nil {
		w.left = newBatch(w.wire)
	}
	w.left.add(b, b.entries)
	w.left.last, w.left.share = b.last, b.share
	return full
}

// giveUp leaves a batch to the flush in which Fluent Bit brings its chunk again.
func (w *Sender) giveUp(b *batch) delivery.Verdict {
	w.stopped.Store(true)
	if b.last.Reason != "" {
		w.s.Said.Error(w.s.topic(), "cannot send records to %s %q, %s: %s", w.s.Name, w.s.Destination, w.flush.Then(), b.last.Reason)
	}
	return delivery.Verdict{Action: delivery.Later}
}

// refuse settles all records of a batch as dropped.
func (w *Sender) refuse(b *batch, v delivery.Verdict) {
	n, index := b.records(0, b.Len())
	w.flush.GiveUp(delivery.Cause{Why: delivery.Refused, Text: v.Reason, Stream: w.s.Destination}, n, index)
	w.s.Said.Warn("refused", "%s refuses %d records for %q: %s", w.s.Name, n, w.s.Destination, v.Reason)
}

// call makes one call with a batch, or has a part in one (see gather), settles
// what it can, and leaves in the batch the entries that are to be sent again, and
// what became of them. It returns false, and has done nothing, when the flush may
// make no call any more.
func (s *Service) call(f *delivery.Flush, b *batch) (made bool) {
	if !b.alone && s.small(b) {
		if made = s.share(f, b); !b.alone {
			return made
		}
	}
	return s.callAlone(f, b)
}

// callAlone is call for a batch that shares its call with no other.
func (s *Service) callAlone(f *delivery.Flush, b *batch) (made bool) {
	if !f.Wait(&s.pace) {
		return false
	}
	s.settle(f, b, s.put(f.Context(), b))
	return true
}

// outcome is what became of a call, for all that was in it.
type outcome struct {
	accepted bool
	failed   []awsx.FailedRecord // of an accepted call, the records that were refused, in order
	verdict  delivery.Verdict    // of one that was not accepted
}

// put makes one call, counts it and has the pace hear of it.
func (s *Service) put(ctx context.Context, b *batch) outcome {
	text := b.request()
	s.Add(delivery.Requests, 1)
	begun := time.Now()
	var opts []awsx.BodyOption
	if b.wire.CBOR {
		opts = asCBOR
	}
	body := awsx.NewBody(text)
	if sum, ok := b.digest.Sum(text); ok {
		body.Hashed(sum)
	}
	answer, err := s.Put(ctx, b.Len(), body, opts...)
	s.Took(time.Since(begun))
	s.Add(delivery.Requests, body.Resent())
	if err != nil {
		v := s.failed(err, begun)
		if b.wire.CBOR {
			v = s.doubtCBOR(v, err)
		}
		return outcome{verdict: v}
	}
	if b.wire.CBOR && !s.speaksCBOR.Swap(true) {
		s.noCBOR.Store(false)
	}
	s.Add(delivery.Bytes, len(text))
	s.answered(b.Len(), answer.Failed)
	return outcome{accepted: true, failed: answer.Failed}
}

var asCBOR = []awsx.BodyOption{awsx.CBOR()}

// doubtCBOR has all flushes from the next one on write JSON, if an endpoint that
// never took CBOR may not know it: others than AWS speak the service's protocol,
// too. One that says so gets no more of this flush: what else it says of the
// records is not to be believed.
func (s *Service) doubtCBOR(v delivery.Verdict, err error) delivery.Verdict {
	surely, perhaps := awsx.NotUnderstood(err)
	if !perhaps || s.speaksCBOR.Load() {
		return v
	}
	if !s.noCBOR.Swap(true) {
		s.Said.Warn("cbor", "the endpoint of %s for %q may not understand CBOR and gets JSON, as with option request_format json: %s",
			s.Name, s.Destination, v.Reason)
	}
	if surely {
		v.Action = delivery.Later
	}
	return v
}

// topic is the log's for a destination that takes no records. It is no other
// topic's, whatever the stream is called.
func (s *Service) topic() string { return "send to " + s.Destination }

// failed counts and says what became of a call without an answer for its records.
func (s *Service) failed(err error, begun time.Time) delivery.Verdict {
	v := s.Verdict(err)
	if v.Action == delivery.Refresh && !s.Invalidate(begun) {
		v.Action = delivery.Later
	}
	if v.Slow {
		s.pace.Slower()
		s.refused.add(1)
		s.Add(delivery.Throttled, 1)
		s.Said.Warn("throttled", "%s holds calls for %q back: %s", s.Name, s.Destination, v.Reason)
		return v
	}
	s.Add(delivery.Failed, 1)
	if v.Action == delivery.Again || v.Action == delivery.Refresh {
		s.Said.Warn("failed calls", "a call to %s for %q failed and is made again: %s", s.Name, s.Destination, v.Reason)
	}
	return v
}

// answered counts and says what became of the n records of a call that the
// service has accepted, but for those that failed.
func (s *Service) answered(n int, failed []awsx.FailedRecord) {
	if len(failed) < n {
		s.Said.Over(s.topic(), "records reach %s %q again", s.Name, s.Destination)
	}
	s.refused.add(float64(len(failed)) / float64(n))
	if len(failed) == 0 {
		s.pace.Answered(0, n)
		return
	}
	held, why := s.why(failed)
	s.pace.Answered(held, n)
	s.Add(delivery.Throttled, held)
	s.Said.Warn("refused in part", "%s refused %d of %d records for %q, which are sent again: %s", s.Name, len(failed), n, s.Destination, why)
}

// why returns how many records the service holds back, and what it says of one
// of them, or else of another that failed.
func (s *Service) why(failed []awsx.FailedRecord) (held int, text string) {
	why := failed[0]
	for _, r := range failed {
		if s.Throttled(r.Code) {
			held, why = held+1, r
		}
	}
	return held, reason(why)
}

// settle settles the records of a batch that the service has taken, and leaves in
// it those that it has not, matched by their place.
func (s *Service) settle(f *delivery.Flush, b *batch, o outcome) {
	n := b.Len()
	if b.last, b.share = o.verdict, 0; !o.accepted {
		return
	}
	b.last = delivery.Verdict{Action: delivery.Done}
	if len(o.failed) == 0 {
		f.Sent(b.records(0, n))
		return
	}
	again := make([]bool, n)
	next := 0 // the entries before it are settled, or to go again
	for _, r := range o.failed {
		s.sent(f, b, next, r.Index)
		next = r.Index + 1
		again[r.Index] = true
	}
	s.sent(f, b, next, n)
	b.keep(again)
	b.share = float64(len(o.failed)) / float64(n)
	b.last.Action = delivery.Again
	_, b.last.Reason = s.why(o.failed)
}

// sent settles entries i to j as delivered.
func (s *Service) sent(f *delivery.Flush, b *batch, i, j int) {
	if i < j {
		f.Sent(b.records(i, j))
	}
}

// maxReason bounds what a log line quotes of an answer.
const maxReason = 400

func reason(r awsx.FailedRecord) string {
	text := r.Code + ": " + r.Message
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
