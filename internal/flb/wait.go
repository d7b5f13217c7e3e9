package flb

// #include "symbols.h"
// #include "wait.h"
import "C"

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"aws-for-fluent-bit/internal/delivery"
)

// What is exported here is for wait.c, which has why. It is called on Fluent
// Bit's threads.

//export aws_for_fluent_bit_flush
func aws_for_fluent_bit_flush(context C.uintptr_t, data unsafe.Pointer, size C.size_t, tag *C.char) C.int {
	return C.int(Flush(uintptr(context), data, int(size), C.GoString(tag)))
}

// aws_for_fluent_bit_may_wait says whether the flushes of this thread may wait in
// their coroutines: not on the engine's.
//
//export aws_for_fluent_bit_may_wait
func aws_for_fluent_bit_may_wait(context C.uintptr_t) C.int {
	if in := lookUp(uintptr(context)); in == nil || forked() || in.engine == threadID() {
		return 0
	}
	return 1
}

// aws_for_fluent_bit_flush_start starts a flush, of which flb_flush_ended tells
// the end. It returns 0 when it cannot.
//
//export aws_for_fluent_bit_flush_start
func aws_for_fluent_bit_flush_start(flush *C.struct_flb_flush) C.int {
	in := lookUp(uintptr(flush.context))
	if in == nil || forked() {
		return 0
	}
	chunk := delivery.Chunk{Tag: C.GoString(flush.tag), Data: unsafe.Slice((*byte)(flush.data), int(flush.size))}
	forgetFirst()
	enter()
	waiting.start(flush.loop)
	place := in.queue.place(unsafe.Pointer(flush.loop), chunk.Tag)
	chunk.Read = place.wasRead
	run := func(part func() delivery.Result) {
		result := delivery.Error
		defer func() { // should part end its goroutine, too
			if result != delivery.Pending {
				in.queue.leave(place)
				C.flb_flush_ended(flush, C.int(result))
			}
		}()
		result = in.guard(chunk, part)
	}
	chunk.Resume = run
	in.queue.start(place, len(chunk.Data), func(anyOrder bool) {
		chunk.AnyOrder = anyOrder
		run(func() delivery.Result { return in.out.Flush(chunk) })
	})
	return 1
}

// aws_for_fluent_bit_flushes_end does what flushes that have ended, all of one output,
// leave to Fluent Bit's thread.
//
//export aws_for_fluent_bit_flushes_end
func aws_for_fluent_bit_flushes_end(flush *C.struct_flb_flush) {
	if in := lookUp(uintptr(flush.context)); in != nil {
		in.metrics.publish()
	}
	for ; flush != nil; flush = flush.next {
		waiting.end(flush.loop)
		leave()
	}
}

// aws_for_fluent_bit_turn is what a thread does for us in its event loop, as
// onBehalf does in one that is held.
//
//export aws_for_fluent_bit_turn
func aws_for_fluent_bit_turn() {
	C.flb_keep_signals()
	writePending()
}

// waiting are the loops that have flushes under way.
var waiting loops

type loops struct {
	mu    sync.Mutex
	count map[*C.struct_flb_loop]int
	tick  *time.Ticker // nil: no flush is under way
}

func (w *loops) start(l *C.struct_flb_loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = make(map[*C.struct_flb_loop]int)
	}
	w.count[l]++
	if w.tick == nil {
		w.tick = time.NewTicker(tickEvery)
		go w.wakeAll(w.tick)
	}
}

func (w *loops) end(l *C.struct_flb_loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count[l]--; w.count[l] == 0 {
		delete(w.count, l)
	}
}

// wake has one of the loops' threads look at the lines for the log.
func (w *loops) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.count {
		C.flb_loop_wake(l)
		return
	}
}

// wakeAll wakes all loops at times, until none has a flush any more.
func (w *loops) wakeAll(tick *time.Ticker) {
	for range tick.C {
		w.mu.Lock()
		for l := range w.count {
			C.flb_loop_wake(l)
		}
		if len(w.count) == 0 {
			tick.Stop()
			w.tick = nil
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// queue has an instance's flushes wait for room, and for those before them: the
// chunks of one tag go one after the other if the instance has one thread. With
// more of them Fluent Bit hands the chunks out in turn, and there is no order to
// keep. It is safe for concurrent use.
type queue struct {
	room delivery.Room

	mu      sync.Mutex
	loop    unsafe.Pointer    // the one of the thread that came first
	threads bool              // it is not the only one
	another chan struct{}     // closed when it is not the only one any more
	last    map[string]*place // by tag; empty with several threads
	line    []*place          // that wait for room, as they came
	flushes int               // that have room
	taken   int               // bytes of their chunks
	late    bool              // the last flush has waited for its answers for longer than slow
}

// Where chunks are not delivered in their order, the next one of a tag begins when the
// one before it waits for the service: at once it would be more bodies in memory, and
// nothing faster (make bench-peers CASES=kubernetes:1:0,big:1:0,kubernetes:1:50). By these
// a service that answers at once is told from others.
const (
	answers = 6 * time.Millisecond  // from when a chunk was read until it is delivered,
	perByte = 4 * time.Nanosecond   // more for each byte of a body that was not sent by then
	slow    = 20 * time.Millisecond // from when its flush began, if it need not be read first
)

// place is one flush among those of its tag.
type place struct {
	tag    string
	before *place // nil: none
	bytes  int
	run    func(anyOrder bool)
	since  time.Time   // from when it has room
	read   atomic.Bool // all of its chunk was read
	waits  time.Time   // from when it only waits for answers, once it was read
	steps  *steps      // for who follows it; nil: nobody will
}

// steps are closed one after the other.
type steps struct {
	began chan struct{} // when the flush has room
	read  chan struct{} // when all of its chunk was read
	left  chan struct{}
}

// place returns the place behind the last one of a tag, for a flush of the thread
// with a loop.
func (q *queue) place(loop unsafe.Pointer, tag string) *place {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.last = make(map[string]*place)
		q.loop = loop
		q.another = make(chan struct{})
	}
	p := &place{tag: tag}
	if loop != q.loop && !q.threads {
		q.threads = true
		close(q.another)
	}
	if !q.threads {
		p.steps = &steps{began: make(chan struct{}), read: make(chan struct{}), left: make(chan struct{})}
		p.before = q.last[tag]
		q.last[tag] = p
	}
	return p
}

// inOrder says whether a chunk waits for the end of the one before it.
func (q *queue) inOrder() bool { return q.room.InOrder > 0 && !q.threads }

// start runs a flush in a goroutine of its own when its turn has come. anyOrder is that
// of its chunk. While it waits for room it has no goroutine: of a hundred files that grow
// slowly the stacks are more memory than the chunks.
func (q *queue) start(p *place, bytes int, run func(anyOrder bool)) {
	p.bytes, p.run = bytes, run
	if p.before == nil {
		q.enter(p)
		return
	}
	go func() {
		q.follow(p.before)
		p.before = nil
		q.enter(p)
	}()
}

// follow waits until another flush has left, or waits for the service and the order
// allows for that; or until there is another thread, and so no order between them.
func (q *queue) follow(before *place) {
	if q.room.InOrder > 0 {
		select {
		case <-before.steps.left:
		case <-q.another:
		}
		return
	}
	select {
	case <-before.steps.began:
	case <-q.another:
		return
	}
	due := before.since.Add(slow)
	var late <-chan time.Time // nil: not before it was read
	if !q.room.ReadInOrder {
		late = time.After(time.Until(due))
	}
	select {
	case <-before.steps.read:
		if q.answersLate() {
			return
		}
		if waits := before.waits.Add(answers); q.room.ReadInOrder || waits.Before(due) {
			late = time.After(time.Until(waits))
		}
	case <-before.steps.left:
		return
	case <-late:
		return
	case <-q.another:
		return
	}
	select {
	case <-before.steps.left:
	case <-late:
	case <-q.another:
	}
}

// answersLate says whether the service takes its time: then there is nothing to wait for.
func (q *queue) answersLate() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.late
}

// wasRead notes that all of a flush's chunk was read: it only waits from here on, when
// the bytes that are left of its bodies are sent. It does so once.
func (p *place) wasRead(unsent int) {
	if p.read.Load() {
		return
	}
	p.waits = time.Now().Add(time.Duration(unsent) * perByte)
	p.read.Store(true)
	if p.steps != nil {
		close(p.steps.read)
	}
}

// enter has a flush begin if there is room for it, or puts it into the line.
func (q *queue) enter(p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.take(p) {
		q.begin(p)
	} else {
		q.line = append(q.line, p)
	}
}

// begin has a flush begin that has room. The lock is held.
func (q *queue) begin(p *place) {
	p.since = time.Now()
	if p.steps != nil {
		close(p.steps.began)
	}
	go p.run(q.threads || q.room.InOrder == 0 && !q.room.ReadInOrder)
}

// take takes room for a flush, if there is. The lock is held.
func (q *queue) take(p *place) bool {
	bytes := q.room.Bytes
	switch {
	case q.inOrder():
		bytes = q.room.InOrder
	case q.late:
		bytes = max(bytes, q.room.Late)
	}
	if q.flushes > 0 && (q.flushes >= q.room.Flushes || q.taken+p.bytes > bytes) {
		return false
	}
	q.flushes++
	q.taken += p.bytes
	return true
}

// leave ends what wait has begun.
func (q *queue) leave(p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushes--
	q.taken -= p.bytes
	if p.read.Load() { // else it has failed
		q.late = time.Since(p.waits) > slow
	}
	if q.last[p.tag] == p {
		delete(q.last, p.tag)
	}
	if p.steps != nil {
		close(p.steps.left)
	}
	for i := 0; i < len(q.line) && q.flushes < q.room.Flushes; {
		next := q.line[i]
		if !q.take(next) {
			i++
			continue
		}
		q.line = slices.Delete(q.line, i, i+1)
		q.begin(next)
	}
}
