package flb

import (
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"aws-for-fluent-bit/internal/delivery"
)

// atOnce is a service that answers at once.
func atOnce() time.Duration { return 0 }

// wait returns when a flush has begun.
func (q *queue) wait(p *place, bytes int) (anyOrder bool) {
	began := make(chan bool)
	q.start(p, bytes, func(anyOrder bool) { began <- anyOrder })
	return <-began
}

// TestQueueOfThreads: with a second thread there is no order, and so no waiting but
// for the room that there is then.
func TestQueueOfThreads(t *testing.T) {
	q := &queue{soonest: atOnce, room: delivery.Room{Flushes: 64, Bytes: 4, InOrder: 6}}
	threads := new([2]byte) // whose addresses stand for their loops
	place := func(thread int, tag string) *place {
		return q.place(unsafe.Pointer(&threads[thread]), tag)
	}
	first, second := place(0, "a"), place(0, "a")
	if second.before != first {
		t.Error("the second chunk of a tag does not wait for the first")
	}
	if p := place(0, "b"); p.before != nil {
		t.Error("the first chunk of a tag waits")
	}
	if q.wait(first, 6) {
		t.Error("chunks of one thread have no order")
	}
	ahead := make(chan bool)
	go func() { ahead <- q.wait(second, 0) }()
	third := place(1, "a")
	fourth := place(0, "a")
	if third.before != nil || fourth.before != nil {
		t.Error("a chunk waits for those of another thread")
	}
	if q.take(place(1, "c"), true) { // with one thread it would have
		t.Error("with two threads there is more room than there is then")
	}
	q.leave(first)
	if !<-ahead || !q.wait(third, 4) {
		t.Error("chunks of two threads are to be in order")
	}
	if last := q.last["a"]; last != second {
		t.Error("others are to wait for a chunk that has no order")
	}
}

// TestQueue: the flushes of a tag that has an order go one after the other, as they
// came, those of others beside them, as many as there is room for.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mb = 1 << 20
		q := &queue{soonest: atOnce, room: delivery.Room{Flushes: 64, InOrder: 12 * mb}}
		var mu sync.Mutex
		began := make(map[int]bool)
		places := make(map[int]*place)
		start := func(i int, tag string, bytes int) {
			p := q.place(nil, tag)
			places[i] = p
			go func() {
				q.wait(p, bytes)
				mu.Lock()
				began[i] = true
				mu.Unlock()
			}()
		}
		running := func(want ...int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for _, i := range want {
				if !began[i] {
					t.Errorf("flush %d waits", i)
				}
			}
			if len(began) != len(want) {
				t.Errorf("%v have begun, want %v", began, want)
			}
		}
		start(1, "a", 2*mb)
		start(2, "a", 2*mb)
		start(3, "a", 2*mb)
		places[1].wasRead(0, 0) // which is not enough
		running(1)
		start(4, "b", 10*mb)
		running(1, 4)
		start(5, "c", 3*mb) // has no room beside 1 and 4
		running(1, 4)
		q.leave(places[1])
		synctest.Wait()
		if began[2] == began[5] { // either has room now
			t.Errorf("%v have begun", began)
		}
		q.leave(places[4])
		running(1, 2, 4, 5)
		if places[2].before != nil {
			t.Error("a flush that runs keeps the one before it, and that those before")
		}
		q.leave(places[2])
		running(1, 2, 3, 4, 5)
		q.leave(places[3])
		q.leave(places[5])
		if len(q.last) != 0 || q.flushes != 0 || q.taken != 0 {
			t.Errorf("left are %d tags, %d flushes, %d bytes", len(q.last), q.flushes, q.taken)
		}
		start(6, "a", 100*mb) // more than there ever is room for, but alone
		running(1, 2, 3, 4, 5, 6)
		q.leave(places[6])
		for i := range q.room.Flushes + 1 {
			start(10+i, string(rune('A'+i)), 0)
		}
		synctest.Wait()
		if len(began) != 6+q.room.Flushes {
			t.Errorf("%d flushes at a time", len(began)-6)
		}
		for range q.room.Flushes + 1 {
			synctest.Wait()
			for i := range began {
				if places[i] != nil && i >= 10 {
					q.leave(places[i])
					places[i] = nil
					break
				}
			}
		}
		if q.flushes != 0 || len(q.last) != 0 {
			t.Errorf("%d flushes are left", q.flushes)
		}
	})
}

// TestQueueLine: who came first has room first; who fits does not wait for one that
// does not.
func TestQueueLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{soonest: atOnce, room: delivery.Room{Flushes: 64, Bytes: 10}}
		var mu sync.Mutex
		var began []int
		var places []*place
		for i, bytes := range []int{9, 8, 2, 1, 1} {
			p := q.place(nil, string(rune('a'+i)))
			places = append(places, p)
			go func() {
				q.wait(p, bytes)
				mu.Lock()
				defer mu.Unlock()
				began = append(began, i)
			}()
			synctest.Wait()
		}
		check := func(want ...int) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(began, want) {
				t.Errorf("%v have begun, want %v", began, want)
			}
		}
		check(0, 3) // 9 and 1
		q.leave(places[3])
		check(0, 3, 4)
		q.leave(places[4])
		check(0, 3, 4)
		q.leave(places[0])
		synctest.Wait()
		slices.Sort(began[3:]) // 8 and 2 at once
		check(0, 3, 4, 1, 2)
		q.leave(places[1])
		q.leave(places[2])
		if q.flushes != 0 || q.taken != 0 || len(q.line) != 0 {
			t.Errorf("left are %d flushes, %d bytes, %d in line", q.flushes, q.taken, len(q.line))
		}
	})
}

// TestNoGoroutineWithoutRoom: who waits for room has none.
func TestNoGoroutineWithoutRoom(t *testing.T) {
	q := &queue{soonest: atOnce, room: delivery.Room{Flushes: 1, Bytes: 10}}
	var places []*place
	began := make(chan int)
	before := runtime.NumGoroutine()
	const n = 100
	for i := range n {
		p := q.place(nil, strconv.Itoa(i))
		places = append(places, p)
		q.start(p, 1, func(bool) { began <- i })
	}
	if more := runtime.NumGoroutine() - before; more > n/2 { // other tests may end
		t.Errorf("%d goroutines for %d flushes", more, n)
	}
	for i := range n {
		if got := <-began; got != i {
			t.Fatalf("flush %d has begun, want %d", got, i)
		}
		q.leave(places[i])
	}
}

// TestQueueReadInOrder: where chunks are read in their order, the next flush of a tag
// begins when the one before it was read, however long that takes, and when that has
// left, or there is a second thread.
func TestQueueReadInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{soonest: atOnce, room: delivery.Room{Flushes: 64, Bytes: 10, ReadInOrder: true}}
		threads := new([2]byte)
		var began, ordered atomic.Int32
		start := func() *place {
			p := q.place(unsafe.Pointer(&threads[0]), "a")
			go func() {
				if !q.wait(p, 1) {
					ordered.Add(1)
				}
				began.Add(1)
			}()
			synctest.Wait()
			return p
		}
		check := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			if synctest.Wait(); int(began.Load()) != want {
				t.Errorf("%d flushes have begun, want %d", began.Load(), want)
			}
		}
		first, second := start(), start()
		check(time.Hour, 1) // the first is still being read
		first.wasRead(0, 0)
		first.wasRead(0, 0) // it has said so
		check(0, 2)
		third := start()
		q.leave(second)
		check(0, 3) // though it did not say that it was read
		fourth := start()
		check(time.Hour, 3)
		if n := ordered.Load(); n != 3 {
			t.Errorf("%d of 3 chunks keep their order", n)
		}
		other := q.place(unsafe.Pointer(&threads[1]), "a")
		check(0, 4)
		if n := ordered.Load(); n != 3 || !q.wait(other, 1) {
			t.Errorf("with two threads %d chunks keep their order", n-3)
		}
		for _, p := range []*place{first, third, fourth, other} {
			q.leave(p)
		}
		if len(q.last) != 0 || q.flushes != 0 || q.taken != 0 {
			t.Errorf("left are %d tags, %d flushes, %d bytes", len(q.last), q.flushes, q.taken)
		}
	})
}

// TestRoomWhereTheServiceTakesItsTime: beyond Bytes, a flush begins when the newest one
// waits for answers, or is not read for long; at once where answers are slow. It never
// goes beyond Late.
func TestRoomWhereTheServiceTakesItsTime(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		answer time.Duration                 // of the service
		then   func(q *queue, newest *place) // what becomes of the newest flush
		want   time.Duration                 // until the next one begins
	}{
		"not read":             {0, func(*queue, *place) {}, reading},
		"read":                 {0, func(_ *queue, p *place) { p.wasRead(0, 0) }, answers},
		"read, and to be sent": {0, func(_ *queue, p *place) { p.wasRead(0, 1000) }, answers + 1000*perByte},
		"read late":            {0, func(_ *queue, p *place) { time.Sleep(reading - ms); p.wasRead(0, 0) }, reading - ms + answers},
		"left":                 {0, func(q *queue, p *place) { p.wasRead(0, 0); q.leave(p) }, reading},
		"answers soon enough":  {slow, func(*queue, *place) {}, reading},
		"slow answers":         {slow + 1, func(*queue, *place) {}, 0},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &queue{soonest: func() time.Duration { return c.answer }, room: delivery.Room{Flushes: 64, Bytes: 4, Late: 7}}
				var places []*place
				start := func(bytes int) *atomic.Bool {
					p, began := q.place(nil, "a"), new(atomic.Bool)
					places = append(places, p)
					q.start(p, bytes, func(anyOrder bool) {
						if !anyOrder {
							t.Error("a chunk is to be in order")
						}
						began.Store(true)
					})
					synctest.Wait()
					return began
				}
				for range 2 {
					if !start(2).Load() {
						t.Fatal("what there is room for waits")
					}
				}
				at := time.Now()
				next, last := start(3), start(3)
				c.then(q, places[1])
				if c.want > 0 {
					time.Sleep(time.Until(at.Add(c.want - 1)))
					if synctest.Wait(); next.Load() {
						t.Fatal("it did not wait for that long")
					}
					time.Sleep(time.Nanosecond)
				}
				if synctest.Wait(); !next.Load() {
					t.Fatal("it still waits")
				}
				time.Sleep(time.Hour)
				if last.Load() {
					t.Errorf("%d bytes have room", q.taken)
				}
			})
		})
	}
}

// TestRoomByBodies: where more is made of chunks than they have, there is room for fewer of
// them, by the last ones.
func TestRoomByBodies(t *testing.T) {
	q := &queue{soonest: func() time.Duration { return slow + 1 }, room: delivery.Room{Flushes: 1000, Bytes: 1, Late: 800}}
	room := func() int {
		var places []*place
		for began := true; began; {
			p := q.place(nil, "a")
			places = append(places, p)
			q.start(p, 1, func(bool) {})
			began = len(q.line) == 0
		}
		for _, p := range places {
			q.leave(p)
		}
		return len(places) - 1
	}
	for _, c := range []struct{ bytes, bodies, times, least, most int }{
		{0, 0, 0, 800, 800}, // nobody was read yet
		{1 << 20, 2 << 20, 1, 400, 400},
		{100, 100 << 10, 1, 350, 400}, // a small chunk says little
		{1 << 20, 1 << 20, 40, 790, 800},
		{1 << 20, 1 << 10, 40, 800, 800}, // a chunk is memory, too
	} {
		for range c.times {
			p := q.place(nil, "a")
			q.start(p, c.bytes, func(bool) {})
			p.wasRead(c.bodies, 0)
			q.leave(p)
		}
		if n := room(); n < c.least || n > c.most {
			t.Errorf("%d bytes in bodies of %d: %d have room, want %d to %d", c.bytes, c.bodies, n, c.least, c.most)
		}
	}
}

// TestHeldInTheLine: who came long ago begins, though others begin all the time; sooner
// where the service does not answer at once.
func TestHeldInTheLine(t *testing.T) {
	for answer, want := range map[time.Duration]time.Duration{answers: long, answers + 1: held} {
		synctest.Test(t, func(t *testing.T) {
			q := &queue{soonest: func() time.Duration { return answer }, room: delivery.Room{Flushes: 64, Bytes: 4, Late: 8}}
			start := func(bytes int, run func(bool)) *place {
				p := q.place(nil, "a")
				q.start(p, bytes, run)
				return p
			}
			start(3, func(bool) {})
			at := time.Now()
			took := make(chan time.Duration, 1)
			start(4, func(bool) { took <- time.Since(at) })
			for len(took) == 0 && time.Since(at) < time.Hour {
				p := start(1, func(bool) {})
				time.Sleep(reading / 3)
				q.leave(p)
				synctest.Wait()
			}
			if took := <-took; took < want || took > want+reading {
				t.Errorf("it was held for %v, want %v", took, want)
			}
		})
	}
}

// TestHeldByItsTag: who was held in the order of its tag is not held again.
func TestHeldByItsTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{soonest: func() time.Duration { return answers + 1 }, room: delivery.Room{Flushes: 64, Bytes: 1, Late: 2, ReadInOrder: true}}
		first, second := q.place(nil, "a"), q.place(nil, "a")
		q.start(first, 1, func(bool) {})
		var began atomic.Bool
		q.start(second, 1, func(bool) { began.Store(true) })
		time.Sleep(held)
		first.wasRead(0, 0)
		if synctest.Wait(); !began.Load() {
			t.Error("it still waits")
		}
	})
}

// slowOutput is one whose service takes its time.
type slowOutput struct{ Output }

func (slowOutput) Room() delivery.Room    { return delivery.Room{Flushes: 64, Bytes: 1, Late: 2} }
func (slowOutput) Soonest() time.Duration { return slow + 1 }

// TestQueueOfAnOutput: room, and how soon the service answers, are the output's.
func TestQueueOfAnOutput(t *testing.T) {
	q := new(queue)
	q.of(slowOutput{})
	first, second := q.place(nil, "a"), q.place(nil, "a")
	q.start(first, 1, func(bool) {})
	q.start(second, 1, func(bool) {})
	if q.taken != 2 {
		t.Errorf("%d flushes have begun", q.flushes)
	}
}
