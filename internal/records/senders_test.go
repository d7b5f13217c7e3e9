package records

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// inFlight is a service that answers after a time that can be changed, and tells how many
// calls were under way at once.
type inFlight struct {
	*fake
	mu        sync.Mutex
	answers   time.Duration
	now, most int
}

func newInFlight(t *testing.T, concurrency int, answers time.Duration) *inFlight {
	s := &inFlight{answers: answers}
	s.fake = newFake(t, concurrency, "1m", func(int, []sent) (awsx.RecordsAnswer, error) {
		s.mu.Lock()
		s.now++
		s.most = max(s.most, s.now)
		answers := s.answers
		s.mu.Unlock()
		time.Sleep(answers)
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
		return awsx.RecordsAnswer{}, nil
	})
	return s
}

// calls sends flushes of so many calls at the same time, and returns how many calls were
// under way at once, and how long it took.
func (s *inFlight) calls(t *testing.T, flushes ...int) (most int, took time.Duration) {
	t.Helper()
	s.most = 0
	begun := time.Now()
	var wait sync.WaitGroup
	for k, n := range flushes {
		wait.Go(func() {
			f := s.Begin(delivery.Chunk{Tag: "tag", Data: []byte{byte(k)}})
			out := s.NewSender(f)
			for range n * s.Limits.Records {
				i, _ := f.Record()
				out.Add([]byte("text"), nil, i)
			}
			if result := finish(out); result != delivery.OK {
				t.Errorf("got %v; log:\n%s", result, &s.log)
			}
		})
	}
	wait.Wait()
	return s.most, time.Since(begun)
}

// TestEnoughCalls: where a service answers at once few calls are under way, of all
// flushes together, and each flush has one at least; where it takes longer there are more.
func TestEnoughCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newInFlight(t, 8, atOnce)
		if most, _ := s.calls(t, 50); most != fewSenders {
			t.Errorf("one flush: %d calls at once, want %d", most, fewSenders)
		}
		if most, _ := s.calls(t, 20, 20, 20, 20, 20, 20); most < 6 || most > 6+fewSenders-1 {
			t.Errorf("six flushes: %d calls at once", most)
		}
		if s.senders.n != 0 {
			t.Errorf("%d goroutines send at the end", s.senders.n)
		}
		s.answers = atOnce + 10*perSender
		s.calls(t, 50, 50, 50)
		if most, _ := s.calls(t, 50, 50, 50); most < fewSenders+9 || most > fewSenders+10 {
			t.Errorf("answers after %v: %d calls at once", s.answers, most)
		}
		s = newInFlight(t, 64, time.Second)
		s.calls(t, 100, 100, 100)
		if most, _ := s.calls(t, 100, 100, 100); most != manySenders {
			t.Errorf("late answers: %d calls at once, want %d", most, manySenders)
		}
		s = newInFlight(t, 3, atOnce)
		if most, _ := s.calls(t, 50); most != 3 {
			t.Errorf("concurrency 3: %d calls at once", most)
		}
	})
}

// TestLateAnswers: where they take their time, no call waits for another. The first flush
// has to find that out, and the first quick answer changes it again.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 100 * time.Millisecond
		s := newInFlight(t, 8, late)
		most, took := s.calls(t, 16)
		if most != 8 || took > 2*late+10*atOnce {
			t.Errorf("the first flush: %d calls at once, and %v for two rounds of them", most, took)
		}
		if most, took = s.calls(t, 16); most != 8 || took != 2*late {
			t.Errorf("the next one: %d calls at once, and %v for two rounds of them", most, took)
		}
		s.answers = atOnce
		s.calls(t, 1)
		if most, _ = s.calls(t, 50); most != fewSenders {
			t.Errorf("after a quick answer: %d calls at once", most)
		}
	})
}

// TestFirstOfAFlush: no flush waits for the calls of others.
func TestFirstOfAFlush(t *testing.T) {
	s := senders{n: manySenders}
	if s.oneMore(false, time.Hour) {
		t.Errorf("more than %d calls at a time", manySenders)
	}
	if !s.oneMore(true, 0) || s.n != manySenders+1 {
		t.Error("a flush may make no call")
	}
}

// TestRoomThatOthersLeave: what waits for a call of its flush takes the room of others that
// have ended.
func TestRoomThatOthersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late, soon = time.Second, 10 * time.Millisecond
		s := newInFlight(t, 8, late)
		s.NoneFor(late)
		s.senders.n = manySenders
		time.AfterFunc(soon, func() {
			for range manySenders {
				s.senders.ended()
			}
		})
		if most, took := s.calls(t, 2, 2, 2); most != 6 || took != soon+late {
			t.Errorf("%d calls at once, and %v for all, want 6 and %v", most, took, soon+late)
		}
	})
}

// TestRoomForMoreThanOne: who is told of room tells the next one if there is more, so that
// as many begin as have room, by now.
func TestRoomForMoreThanOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := senders{n: fewSenders}
		var soonest atomic.Int64
		var began atomic.Int64
		for range 20 {
			go func() {
				for !s.oneMore(false, time.Duration(soonest.Load())) {
					<-s.mayHaveRoom()
				}
				began.Add(1)
			}()
		}
		for _, c := range []struct{ end, more, want int }{{1, 0, 1}, {fewSenders, 0, fewSenders}, {1, 5, 6}, {2, 0, 2}} {
			synctest.Wait()
			began.Store(0)
			soonest.Add(int64(c.more * int(perSender)))
			if c.more > 0 {
				soonest.Add(int64(atOnce))
			}
			for range c.end {
				s.ended()
			}
			if synctest.Wait(); int(began.Load()) != c.want {
				t.Errorf("%d have begun, where %d ended and there is room for %d more", began.Load(), c.end, c.more)
			}
		}
		for s.n > 0 {
			s.ended()
			synctest.Wait()
		}
	})
}
