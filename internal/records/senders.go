package records

import (
	"sync"
	"time"
)

// How many calls of a stream are worth having under way goes by how soon the service
// answers: fewSenders where it does at once, one more for each perSender that it takes,
// and manySenders at most. With more of them, each has a body and a connection that waits
// for the thread that encodes and encrypts. Of 100-byte records, of which a call has
// 70 KB, there would be 20 and more at a time (make bench-peers
// CASES=small:1:0,small:4:8,small:4:50 has the peaks and the times).
const (
	fewSenders  = 4
	manySenders = 128
	atOnce      = time.Millisecond       // an answer that takes no longer
	perSender   = 500 * time.Microsecond // about what it takes to make a call of small records
)

// senders counts the goroutines that make calls, of all flushes.
type senders struct {
	mu   sync.Mutex
	n    int
	room chan struct{} // for those who wait, see mayHaveRoom; nil: nobody did
}

// oneMore counts one more, unless there are enough for a service that answers that soon.
// The first one of a flush is always counted.
func (s *senders) oneMore(first bool, soonest time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := min(fewSenders+int(max(soonest-atOnce, 0)/perSender), manySenders)
	if !first && s.n >= most {
		return false
	}
	s.n++
	if s.n < most {
		s.tell()
	}
	return true
}

// mayHaveRoom tells one of those who wait that a goroutine has ended, of whichever flush:
// without it a flush whose own calls take long would wait for them while others leave
// room (make bench-peers CASES=small:4:50).
func (s *senders) mayHaveRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room == nil {
		s.room = make(chan struct{}, 1)
	}
	return s.room
}

// tell has one who waits look again; or the next one to do so, once in vain. The lock is
// held.
func (s *senders) tell() {
	select {
	case s.room <- struct{}{}:
	default:
	}
}

func (s *senders) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
	s.tell()
}
