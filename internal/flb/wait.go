package flb

// #include "symbols.h"
// #include "wait.h"
import "C"

import (
	"slices"
	"sync"
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
// chunks of one tag go one after the other if the output keeps an order, and the
// instance has one thread. With
// more of them Fluent Bit hands the chunks out in turn, and there is no order to
// keep. It is safe for concurrent use.
type queue struct {
	room    delivery.Room
	soonest func() time.Duration // in which the service answers

	mu      sync.Mutex
	loop    unsafe.Pointer    // the one of the thread that came first
	threads bool              // it is not the only one
	another chan struct{}     // closed when it is not the only one any more
	last    map[string]*place // by tag; empty where there is no order
	line    []*place          // that wait for room, as they came
	flushes int               // that have room
	taken   int               // bytes of their chunks
	chunks  float64           // bytes of the last chunks that were read, the newest weigh most,
	bodies  float64           // and of what was made of them
	newest  *place            // of those, the last one that has begun; nil: it has left
	began   time.Time         // when it did
	due     *time.Timer       // for the line, see advance; nil: there was none to wait for
}

// Where chunks are not delivered in their order, the next one begins when the one before
// it waits for the service: at once it would be more bodies in memory, and nothing faster
// (make bench-peers CASES=kubernetes:1:0,small:4:0,big:4:0,kubernetes:1:50). What the one
// before has to wait for is not seen but by the time that it takes. Of a service that
// takes its time the next one does not wait for it (CASES=big:4:15,kubernetes:4:50).
const (
	answers = 6 * time.Millisecond   // from when a chunk was read until it is delivered,
	perByte = 2 * time.Nanosecond    // more for each byte of a body that was not sent by then
	reading = 30 * time.Millisecond  // from when a flush began until its chunk was read
	slow    = 20 * time.Millisecond  // for the service to answer
	held    = 100 * time.Millisecond // from when a flush came, where the service takes longer than answers,
	long    = time.Second            // and where it does not
)

// place is one flush among those of its tag.
type place struct {
	queue  *queue
	tag    string
	before *place // nil: none
	bytes  int
	run    func(anyOrder bool)
	came   time.Time
	read   bool      // all of its chunk was read
	waits  time.Time // from when it only waits for answers, once it was read
	steps  *steps    // for who follows it; nil: nobody will
}

// steps are closed one after the other.
type steps struct {
	read chan struct{} // when all of the flush's chunk was read
	left chan struct{}
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
	p := &place{queue: q, tag: tag, came: time.Now()}
	if loop != q.loop && !q.threads {
		q.threads = true
		close(q.another)
	}
	if !q.threads && (q.room.InOrder > 0 || q.room.ReadInOrder) {
		p.steps = &steps{read: make(chan struct{}), left: make(chan struct{})}
		p.before = q.last[tag]
		q.last[tag] = p
	}
	return p
}

// of has the queue be that of an output's flushes.
func (q *queue) of(out Output) { q.room, q.soonest = out.Room(), out.Soonest }

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

// follow waits until another flush has left, or was read, if that is all of the order that
// there is to keep; or until there is another thread, and so no order between them.
func (q *queue) follow(before *place) {
	read := before.steps.read
	if q.room.InOrder > 0 {
		read = nil
	}
	select {
	case <-read:
	case <-before.steps.left:
	case <-q.another:
	}
}

// wasRead notes that all of a flush's chunk was read, of which bodies of so many bytes were
// made: it only waits from here on, when those that are left are sent. It does so once.
func (p *place) wasRead(bodies, unsent int) {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.read {
		return
	}
	p.waits = time.Now().Add(time.Duration(unsent) * perByte)
	p.read = true
	q.chunks += float64(p.bytes) - q.chunks/8
	q.bodies += float64(bodies) - q.bodies/8
	if p.steps != nil {
		close(p.steps.read)
	}
	q.advance()
}

// enter has a flush begin when there is room for it.
func (q *queue) enter(p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.line = append(q.line, p)
	q.advance()
}

// begin has a flush begin that has room. The lock is held.
func (q *queue) begin(p *place) {
	q.newest, q.began = p, time.Now()
	go p.run(q.threads || q.room.InOrder == 0 && !q.room.ReadInOrder)
}

// take takes room for a flush, if there is; late says that the service takes its time, and
// there is more. The lock is held.
func (q *queue) take(p *place, late bool) bool {
	bytes := q.room.Bytes
	switch {
	case q.inOrder():
		bytes = q.room.InOrder
	case late:
		bytes = max(bytes, q.late())
	}
	if q.flushes > 0 && (q.flushes >= q.room.Flushes || q.taken+p.bytes > bytes) {
		return false
	}
	q.flushes++
	q.taken += p.bytes
	return true
}

// late returns how many bytes of chunks there is room for where the service takes its time,
// by what was made of the last ones: a chunk of small records may be half of its bodies.
// The lock is held.
func (q *queue) late() int {
	if q.bodies <= q.chunks {
		return q.room.Late
	}
	return int(float64(q.room.Late) * q.chunks / q.bodies)
}

// untilLate returns how long it is until the service takes its time, by the newest flush:
// that waits for it, or has not been read for long, since its calls do. The lock is held.
func (q *queue) untilLate() time.Duration {
	answer := q.soonest()
	if answer > slow {
		return 0
	}
	at := q.began.Add(reading)
	if p := q.newest; p != nil && p.read {
		at = p.waits.Add(answers)
	}
	if len(q.line) > 0 {
		patience := long
		if answer > answers {
			patience = held
		}
		if late := q.line[0].came.Add(patience); late.Before(at) {
			at = late
		}
	}
	return time.Until(at)
}

// advance has those of the line begin that there is room for, now, and when there is more
// since they waited. The lock is held.
func (q *queue) advance() {
	late := q.untilLate()
	for i := 0; i < len(q.line); {
		next := q.line[i]
		if !q.take(next, late <= 0) {
			i++
			continue
		}
		q.line = slices.Delete(q.line, i, i+1)
		q.begin(next)
		i, late = 0, q.untilLate()
	}
	if len(q.line) == 0 || late <= 0 || q.inOrder() {
		return
	}
	if q.due == nil {
		q.due = time.AfterFunc(late, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.advance()
		})
	} else {
		q.due.Reset(late)
	}
}

// leave ends what start has begun.
func (q *queue) leave(p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushes--
	q.taken -= p.bytes
	if q.newest == p {
		q.newest = nil
	}
	if q.last[p.tag] == p {
		delete(q.last, p.tag)
	}
	if p.steps != nil {
		close(p.steps.left)
	}
	q.advance()
}
