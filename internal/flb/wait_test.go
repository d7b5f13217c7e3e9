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

// wait returns when a flush has begun.
func (q *queue) wait(p *place, bytes int) (anyOrder bool) {
	began := make(chan bool)
	q.start(p, bytes, func(anyOrder bool) { began <- anyOrder })
	return <-began
}

// TestQueueOfThreads: with a second thread there is no order, and so no waiting but
// for the room that there is then.
func TestQueueOfThreads(t *testing.T) {
	q := &queue{room: delivery.Room{Flushes: 64, Bytes: 4, InOrder: 6}}
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
	if q.take(place(1, "c")) { // with one thread it would have
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
		q := &queue{room: delivery.Room{Flushes: 64, InOrder: 12 * mb}}
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
		q := &queue{room: delivery.Room{Flushes: 64, Bytes: 10}}
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
	q := &queue{room: delivery.Room{Flushes: 1, Bytes: 10}}
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
// begins when the one before it was read and waits for answers, however long that takes;
// and at once when that has left, or there is a second thread.
func TestQueueReadInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{room: delivery.Room{Flushes: 64, Bytes: 10, ReadInOrder: true}}
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
		first.wasRead(1000) // bytes that are still to be sent
		check(answers+1000*perByte-1, 1)
		check(1, 2)
		third := start()
		q.leave(second)
		check(0, 3) // though it did not say that it was read
		fourth := start()
		third.wasRead(0)
		check(time.Millisecond, 3)
		q.leave(third)
		check(0, 4)
		fifth := start()
		check(time.Hour, 4)
		if n := ordered.Load(); n != 4 {
			t.Errorf("%d of 4 chunks keep their order", n)
		}
		other := q.place(unsafe.Pointer(&threads[1]), "a")
		check(0, 5)
		if n := ordered.Load(); n != 4 || !q.wait(other, 1) {
			t.Errorf("with two threads %d chunks keep their order", n-4)
		}
		for _, p := range []*place{first, fourth, fifth, other} {
			q.leave(p)
		}
	})
}

// TestQueueOfASlowService: where the last flush has waited for its answers for long, the
// next one begins as soon as the one before it was read.
func TestQueueOfASlowService(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := &queue{room: delivery.Room{Flushes: 64, Bytes: 100, ReadInOrder: ordered}}
			var began atomic.Int32
			start := func() *place {
				p := q.place(nil, "a")
				go func() {
					q.wait(p, 1)
					began.Add(1)
				}()
				synctest.Wait()
				return p
			}
			want := func(n int32) {
				t.Helper()
				if synctest.Wait(); began.Load() != n {
					t.Errorf("read in order %v: %d flushes have begun, want %d", ordered, began.Load(), n)
				}
			}
			answered := func(p *place, unsent int, after time.Duration) {
				p.wasRead(unsent)
				time.Sleep(after)
				q.leave(p)
			}
			answered(start(), 1000, slow+1000*perByte)
			first, second := start(), start()
			first.wasRead(0)
			want(2) // the service may have answered at once
			answered(first, 0, slow+1)
			third := start()
			want(3)
			q.leave(second) // which failed, and says nothing of the service
			fourth := start()
			third.wasRead(1000)
			want(5) // at once
			answered(third, 0, 1)
			fifth := start()
			fourth.wasRead(0)
			want(5)
			q.leave(fourth)
			want(6)
			q.leave(fifth)
		})
	}
}

// TestRoomWhereAnswersAreLate: there is more of it, until they are not.
func TestRoomWhereAnswersAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{room: delivery.Room{Flushes: 64, Bytes: 4, Late: 6}}
		flush := func(tag string, bytes int) *place {
			p := q.place(nil, tag)
			q.wait(p, bytes)
			return p
		}
		answered := func(p *place, after time.Duration) {
			p.wasRead(0)
			time.Sleep(after)
			q.leave(p)
		}
		answered(flush("a", 1), slow)
		first := flush("a", 4)
		second := q.place(nil, "b")
		var in atomic.Bool
		q.start(second, 2, func(bool) { in.Store(true) })
		if synctest.Wait(); in.Load() {
			t.Error("answers that came in time give more room")
		}
		answered(first, slow+1)
		if synctest.Wait(); !in.Load() {
			t.Error("late answers give no more room")
		}
		third := flush("c", 4)
		if q.take(&place{bytes: 1}) {
			t.Error("there is more room than Late")
		}
		answered(second, 0)
		if q.take(&place{bytes: 1}) {
			t.Error("answers in time leave the room that there was")
		}
		q.leave(third)
	})
}

// TestQueueWithoutOrder: the next flush of a tag begins when the one before it is
// slow, counted from when that has room, or waits for answers.
func TestQueueWithoutOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{room: delivery.Room{Flushes: 64, Bytes: 10}}
		var began atomic.Int32
		start := func(bytes int) *place {
			p := q.place(nil, "a")
			go func() {
				if !q.wait(p, bytes) {
					t.Error("a chunk is to be in order")
				}
				began.Add(1)
			}()
			return p
		}
		check := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			if synctest.Wait(); int(began.Load()) != want {
				t.Errorf("%d flushes have begun, want %d", began.Load(), want)
			}
		}
		first, second, third := start(4), start(4), start(4)
		check(slow-1, 1)
		check(1, 2)
		check(10*slow, 2) // the third waits for room
		fourth := start(1)
		check(0, 2) // and the fourth for the third, slow as others are
		q.leave(first)
		check(0, 3)
		check(slow-1, 3)
		check(1, 4)
		fifth := start(1)
		check(slow-1, 4)
		q.leave(fourth)
		check(0, 5) // at once
		check(time.Hour, 5)
		sixth := start(1)
		check(0, 6) // the one before has been slow for long
		seventh := start(0)
		check(2*time.Millisecond, 6)
		sixth.wasRead(1000)
		sixth.wasRead(0) // it has said so
		check(answers+1000*perByte-1, 6)
		check(1, 7)
		seventh.wasRead(0)
		check(answers-1, 7)
		eighth := start(0)
		check(0, 7)
		check(1, 8)
		ninth := start(0)
		check(slow-1, 8)
		eighth.wasRead(0) // which makes it no later
		check(1, 9)
		tenth := start(0)
		ninth.wasRead(0)
		q.leave(ninth)
		check(0, 10)
		for _, p := range []*place{second, third, fifth, sixth, seventh, eighth, tenth} {
			q.leave(p)
		}
		if len(q.last) != 0 || q.flushes != 0 || q.taken != 0 {
			t.Errorf("left are %d tags, %d flushes, %d bytes", len(q.last), q.flushes, q.taken)
		}
	})
}
