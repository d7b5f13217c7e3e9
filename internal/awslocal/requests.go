package awslocal

import (
	"maps"
	"net/http"
	"sync"
	"time"
)

// Request is one API call as the server saw it.
type Request struct {
	ID        string // X-Amzn-RequestId of the answer
	Time      time.Time
	Took      time.Duration // until the answer began
	Service   string        // logs, kinesis, firehose, sts or endpoint; empty if it could not be told
	Operation string        // empty if it could not be told
	Target    string        // group/stream, stream or delivery stream
	Method    string
	Proto     string
	Path      string
	Host      string
	Remote    string
	Header    http.Header // as received
	Auth      Auth
	BodyBytes int    // as received
	Body      []byte // as received; only with Config.KeepBodies

	Records  int // in the request
	Accepted int // of these, by the service

	Fault     Kind   // that was played, empty for none
	Status    int    // 0 if there was no answer
	ErrorCode string // of the answer, empty for success

	// Lost says that the call was worked on and the client did not learn of it:
	// its Accepted records may well be sent again. It is exact for faults. An
	// answer that gets lost by itself is only noticed when the connection is
	// known to be gone by the time the answer is written.
	Lost bool
}

// UserAgent returns the User-Agent header.
func (r *Request) UserAgent() string { return r.Header.Get("User-Agent") }

// Counts sums up the calls of one operation.
type Counts struct {
	Requests  int `json:"requests"`
	Succeeded int `json:"succeeded"` // calls that were answered with 200
	BodyBytes int `json:"body_bytes"`
	Records   int `json:"records"`  // in the requests
	Accepted  int `json:"accepted"` // by the service

	// LostAnswers are calls that were worked on without the client learning of
	// it, LostRecords what was accepted in them.
	LostAnswers int `json:"lost_answers"`
	LostRecords int `json:"lost_records"`
}

func (n *Counts) add(m Counts) {
	n.Requests += m.Requests
	n.Succeeded += m.Succeeded
	n.BodyBytes += m.BodyBytes
	n.Records += m.Records
	n.Accepted += m.Accepted
	n.LostAnswers += m.LostAnswers
	n.LostRecords += m.LostRecords
}

// callLog keeps the latest requests and counts all.
type callLog struct {
	mu     sync.Mutex // guards the following
	latest []*Request // a ring once it is full
	oldest int
	counts map[string]Counts
}

func (l *callLog) add(cfg *Config, r *Request) {
	n := Counts{Requests: 1, BodyBytes: r.BodyBytes, Records: r.Records, Accepted: r.Accepted}
	if r.Status == http.StatusOK && !r.Lost {
		n.Succeeded = 1
	}
	if r.Lost {
		n.LostAnswers, n.LostRecords = 1, r.Accepted
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(r.Operation, n)
	switch {
	case cfg.KeepRequests < 0:
	case len(l.latest) < cfg.KeepRequests:
		l.latest = append(l.latest, r)
	default:
		l.latest[l.oldest] = r
		l.oldest = (l.oldest + 1) % len(l.latest)
	}
}

// count adds to an operation's counts. l.mu is held.
func (l *callLog) count(operation string, n Counts) {
	if l.counts == nil {
		l.counts = make(map[string]Counts)
	}
	sum := l.counts[operation]
	sum.add(n)
	l.counts[operation] = sum
}

// lost marks a request in the log as one whose answer was lost.
func (l *callLog) lost(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Lost {
		return
	}
	n := Counts{LostAnswers: 1, LostRecords: r.Accepted}
	if r.Status == http.StatusOK {
		n.Succeeded = -1
	}
	r.Lost = true
	l.count(r.Operation, n)
}

func (l *callLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest, l.oldest, l.counts = nil, 0, nil
}

// Requests returns the latest requests of an operation, or of all operations if
// it is empty, in the order in which they were answered. Their headers and
// bodies must not be changed.
func (s *Server) Requests(operation string) []*Request {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Request
	for i := range l.latest {
		r := l.latest[(l.oldest+i)%len(l.latest)]
		if operation == "" || r.Operation == operation {
			r := *r
			out = append(out, &r)
		}
	}
	return out
}

// Counts sums up all calls of an operation so far, or of all operations if it is
// empty.
func (s *Server) Counts(operation string) Counts {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	if operation != "" {
		return l.counts[operation]
	}
	var sum Counts
	for _, n := range l.counts {
		sum.add(n)
	}
	return sum
}

// LostRecords counts the records that were accepted in calls whose answer did
// not arrive. A client that delivers at least once may deliver these twice.
func (s *Server) LostRecords() int { return s.Counts("").LostRecords }

// WaitRequests waits until an operation was called n times, and says false if
// that does not happen within the timeout.
func (s *Server) WaitRequests(operation string, n int, timeout time.Duration) bool {
	return waitFor(timeout, func() bool { return s.Counts(operation).Requests >= n })
}

func waitFor(timeout time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// operations returns the counts by operation.
func (l *callLog) operations() map[string]Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}
