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
	mu sync.Mutex
	n  int
}

// oneMore counts one more, unless there are enough for a service that answers that soon.
// The first one of a flush is always counted.
func (s *senders) oneMore(first bool, soonest time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !first && s.n >= min(fewSenders+int(max(soonest-atOnce, 0)/perSender), manySenders) {
		return false
	}
	s.n++
	return true
}

func (s *senders) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
}
