package awslocal

import (
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is what goes wrong in a Fault.
type Kind string

const (
	// None lets a call pass. It is for scripts whose fault comes later.
	None Kind = "none"

	// Throttle refuses the call for its rate, with the code that the operation
	// has for it: ThrottlingException, ProvisionedThroughputExceededException,
	// LimitExceededException or ServiceUnavailableException (503).
	Throttle Kind = "throttle"

	// Error refuses the call with Status, Code and Message; by default 500 and
	// what the service calls an internal failure.
	Error Kind = "error"

	// HTML answers with Status (502 by default) and a page of HTML, as a proxy
	// on the way would.
	HTML Kind = "html"

	// ExpiredToken refuses the call's credentials as expired.
	ExpiredToken Kind = "expired_token"

	// AccessDenied refuses the call as not permitted.
	AccessDenied Kind = "access_denied"

	// Hang reads the request and never answers; it ends when the client or the
	// server goes.
	Hang Kind = "hang"

	// Slow waits for Delay and then does as if nothing was.
	Slow Kind = "slow"

	// Trickle processes the call and sends its answer byte by byte, with Delay
	// between them.
	Trickle Kind = "trickle"

	// Reset cuts the connection, without reading the request if that can be
	// (a fault with a Target has to read it).
	Reset Kind = "reset"

	// LostAnswer processes the call and cuts the connection without an answer.
	LostAnswer Kind = "lost_answer"

	// CutAnswer processes the call, answers with the headers and closes.
	CutAnswer Kind = "cut_answer"

	// CloseAfter processes and answers the call, and closes the connection
	// without having said so. A client mostly notices before it uses the
	// connection again.
	CloseAfter Kind = "close_after"

	// Stale processes and answers the call, and resets the connection as soon as
	// the next request comes on it, as happens when the service closes an idle
	// connection at that moment. That request is neither processed nor noted.
	Stale Kind = "stale"

	// Partial refuses some entries of PutRecords and PutRecordBatch, chosen by
	// Rate, Entries and Shards (all entries if none of them is given).
	Partial Kind = "partial"

	// ShortAnswer leaves the last Entries[0] (by default one) entries of
	// PutRecords and PutRecordBatch undone and out of the answer.
	ShortAnswer Kind = "short_answer"

	// RejectEvents makes PutLogEvents reject events whatever their age: the
	// first TooOld as too old, the first Expired as expired, the last TooNew as
	// too new.
	RejectEvents Kind = "reject_events"

	// RejectEntity makes PutLogEvents reject the entity, with Code as the
	// reason (InvalidEntity by default). The events are accepted.
	RejectEntity Kind = "reject_entity"
)

var kinds = []Kind{None, Throttle, Error, HTML, ExpiredToken, AccessDenied, Hang, Slow, Trickle, Reset, LostAnswer, CutAnswer,
	CloseAfter, Stale, Partial, ShortAnswer, RejectEvents, RejectEntity}

// Fault is one thing that goes wrong with a call.
type Fault struct {
	Kind Kind `json:"kind"`

	// Probability, 0 to 1, of a fault given to SetFaults. Scripts ignore it.
	Probability float64 `json:"probability,omitempty"`

	// Target restricts the fault to calls that name it as their log group, log
	// stream, stream or delivery stream. Empty means all.
	Target string `json:"target,omitempty"`

	Status     int    `json:"status,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"` // value of the Retry-After header, if any

	// Delay is waited before any fault plays. For Trickle it is the time
	// between two bytes (1 ms if zero). As JSON it is a text like "1.5s".
	Delay time.Duration `json:"-"`

	// Processed processes the call before it is refused (Throttle, Error, HTML,
	// ExpiredToken, AccessDenied) or left hanging (Hang): the client believes
	// that it failed and it did not.
	Processed bool `json:"processed,omitempty"`

	Rate    float64  `json:"rate,omitempty"`    // of Partial: each entry's chance to be refused
	Entries []int    `json:"entries,omitempty"` // of Partial: indexes refused
	Shards  []string `json:"shards,omitempty"`  // of Partial: shard ids whose entries are refused

	TooOld  int `json:"too_old,omitempty"`
	Expired int `json:"expired,omitempty"`
	TooNew  int `json:"too_new,omitempty"`
}

// AnyOperation stands for every API operation in Script and SetFaults. The
// endpoints that are not APIs must be named: ContainerCredentials,
// TaskMetadata and InstanceMetadata.
const AnyOperation = "*"

// faults holds what is to be played.
type faults struct {
	mu      sync.Mutex // guards the following
	rng     *rand.Rand
	scripts map[string][]Fault
	random  map[string][]Fault
	played  map[string]map[Kind]int
}

// Script queues faults for the next calls of an operation, one for each call in
// turn. Calls beyond the script are left to SetFaults. A fault with a Target
// waits for a call that names it, and lets others pass.
func (s *Server) Script(operation string, script ...Fault) {
	f := &s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.scripts == nil {
		f.scripts = make(map[string][]Fault)
	}
	f.scripts[operation] = append(f.scripts[operation], script...)
}

// SetFaults makes calls of an operation go wrong by chance, in place of what was
// set for it before. The faults are tried in order, each by its own Probability;
// the first that hits is played.
func (s *Server) SetFaults(operation string, random []Fault) {
	f := &s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random == nil {
		f.random = make(map[string][]Fault)
	}
	f.random[operation] = slices.Clone(random)
}

// ClearFaults drops all scripts and all faults by chance.
func (s *Server) ClearFaults() {
	f := &s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts, f.random = nil, nil
}

// FaultsPlayed counts the faults played so far, by operation and kind.
func (s *Server) FaultsPlayed() map[string]map[Kind]int {
	f := &s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]map[Kind]int, len(f.played))
	for op, n := range f.played {
		out[op] = maps.Clone(n)
	}
	return out
}

// needNames says whether a fault of this operation depends on the call's target.
func (f *faults) needNames(op string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	targeted := func(x Fault) bool { return x.Target != "" }
	for _, key := range keysFor(op) {
		if slices.ContainsFunc(f.scripts[key], targeted) || slices.ContainsFunc(f.random[key], targeted) {
			return true
		}
	}
	return false
}

// pick chooses the fault of a call that names names.
func (f *faults) pick(op string, names []string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	fits := func(x Fault) bool { return x.Target == "" || slices.Contains(names, x.Target) }
	for _, key := range keysFor(op) {
		if i := slices.IndexFunc(f.scripts[key], fits); i >= 0 {
			x := f.scripts[key][i]
			f.scripts[key] = slices.Delete(f.scripts[key], i, i+1)
			return x
		}
	}
	for _, key := range keysFor(op) {
		for _, x := range f.random[key] {
			if fits(x) && f.rng.Float64() < x.Probability {
				return x
			}
		}
	}
	return Fault{Kind: None}
}

// keysFor returns the keys that an operation's faults are kept under.
func keysFor(op string) []string {
	if endpointService.operations[op] != nil {
		return []string{op}
	}
	return []string{op, AnyOperation}
}

// refused says for each entry of a call whether a Partial fault refuses it.
// shardOf is nil where there are no shards.
func (f *faults) refused(x Fault, entries int, shardOf func(int) string) []bool {
	out := make([]bool, entries)
	if x.Kind != Partial {
		return out
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := x.Rate == 0 && len(x.Entries) == 0 && len(x.Shards) == 0
	for i := range out {
		out[i] = all || slices.Contains(x.Entries, i) ||
			x.Rate > 0 && f.rng.Float64() < x.Rate ||
			shardOf != nil && slices.Contains(x.Shards, shardOf(i))
	}
	return out
}

// entryCode chooses the error code of a refused entry: the fault's own, or one
// of the two that the service has.
func (f *faults) entryCode(x Fault, codes ...string) string {
	if x.Code != "" {
		return x.Code
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return codes[f.rng.IntN(len(codes))]
}

// answered returns how many of n entries a ShortAnswer fault leaves in the answer.
func (x Fault) answered(n int) int {
	if x.Kind != ShortAnswer {
		return n
	}
	missing := 1
	if len(x.Entries) > 0 {
		missing = x.Entries[0]
	}
	return max(0, n-missing)
}

// played notes that a fault is played. Most faults keep the call from an
// operation that would note its target.
func (s *Server) played(c *call, x Fault) {
	if x.Kind == None || x.Kind == "" {
		return
	}
	c.rec.Target = strings.Join(namesIn(c.body), "/")
	c.rec.Fault = x.Kind
	s.faults.count(c.op.name, x.Kind)
}

func (f *faults) count(op string, k Kind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.played == nil {
		f.played = make(map[string]map[Kind]int)
	}
	if f.played[op] == nil {
		f.played[op] = make(map[Kind]int)
	}
	f.played[op][k]++
}

// play answers a call in the way that the fault has it.
func (s *Server) play(w http.ResponseWriter, c *call, x Fault) {
	ctx := c.http.Context()
	s.played(c, x)
	wait := s.cfg.Latency
	if x.Kind != Trickle {
		wait += x.Delay
	}
	if !s.sleep(ctx, wait) {
		s.drop(w, c) // the client is gone, and nothing was processed
		return
	}
	c.fault = x
	switch x.Kind {
	case Throttle, Error, ExpiredToken, AccessDenied, HTML:
		if x.Processed {
			s.process(c)
			s.lost(c)
		}
		s.send(w, c, s.faultAnswer(c, x))
	case Hang:
		if x.Processed {
			s.process(c)
			s.lost(c)
		}
		s.note(c)
		select {
		case <-ctx.Done():
		case <-s.closing:
		}
		cut(w, true)
	case Reset:
		s.drop(w, c)
	case LostAnswer:
		s.process(c)
		s.lost(c)
		s.drop(w, c)
	case CutAnswer:
		a := s.process(c)
		s.lost(c)
		s.writeHead(w, c, a)
		_ = http.NewResponseController(w).Flush() // the connection ends here anyway
		cut(w, false)
	case Trickle:
		s.trickle(w, c, s.process(c), x.Delay)
	case CloseAfter:
		s.send(w, c, s.process(c))
		cut(w, false)
	case Stale:
		s.send(w, c, s.process(c))
		s.held.cutOnNextRequest(w)
	default:
		s.send(w, c, s.process(c))
	}
}

// faultAnswer is the answer of the faults that are an answer.
func (s *Server) faultAnswer(c *call, x Fault) answer {
	var a answer
	switch x.Kind {
	case HTML:
		if x.Status == 0 {
			x.Status = http.StatusBadGateway
		}
		a = answer{status: x.Status, header: http.Header{"Content-Type": {"text/html"}}, code: "HTML",
			body: []byte("<html>\r\n<head><title>" + http.StatusText(x.Status) + "</title></head>\r\n<body>\r\n<center><h1>" +
				strconv.Itoa(x.Status) + " " + http.StatusText(x.Status) + "</h1></center>\r\n</body>\r\n</html>\r\n")}
	default:
		e := s.faultError(c, x)
		if x.Status != 0 {
			e.status = x.Status
		}
		if x.Code != "" {
			e.code = x.Code
		}
		if x.Message != "" {
			e.message = x.Message
		}
		a = s.refusal(c, e)
	}
	if x.RetryAfter != "" {
		a.header.Set("Retry-After", x.RetryAfter)
	}
	return a
}

// faultError is the error of a fault before its own status, code and message
// take the place of the usual ones.
func (s *Server) faultError(c *call, x Fault) *apiError {
	sts := c.op.service == stsService
	switch x.Kind {
	case Throttle:
		return throttled(c.op)
	case ExpiredToken:
		return expiredToken(sts)
	case AccessDenied:
		code := "AccessDeniedException"
		if sts {
			code = "AccessDenied"
		}
		return &apiError{status: map[bool]int{true: 403, false: 400}[sts], code: code,
			message: "User: " + s.callerARN(c) + " is not authorized to perform: " + c.op.service.name + ":" + c.op.name}
	}
	code := "InternalFailure"
	if c.op.service == logsService {
		code = "ServiceUnavailableException"
	}
	return &apiError{status: http.StatusInternalServerError, code: code, message: "Internal service failure."}
}

// throttled is how an operation says that it is called too often.
func throttled(op *operation) *apiError {
	switch {
	case op.service == logsService:
		return refuse("ThrottlingException", "Rate exceeded")
	case op.service == stsService:
		return refuse("Throttling", "Rate exceeded")
	case op.name == "PutRecords" || op.name == "GetRecords":
		return refuse("ProvisionedThroughputExceededException", "Rate exceeded for the stream.")
	case op.name == "PutRecordBatch":
		return &apiError{status: http.StatusServiceUnavailable, code: "ServiceUnavailableException", message: "Slow down."}
	case op.service == endpointService:
		return &apiError{status: http.StatusTooManyRequests, code: "TooManyRequests", message: "Rate exceeded"}
	}
	return refuse("LimitExceededException", "Rate exceeded.")
}

func (s *Server) trickle(w http.ResponseWriter, c *call, a answer, pause time.Duration) {
	if pause <= 0 {
		pause = time.Millisecond
	}
	s.writeHead(w, c, a)
	flusher := http.NewResponseController(w)
	for i := range a.body {
		if flusher.Flush() != nil || !s.sleep(c.http.Context(), pause) {
			s.lost(c)
			cut(w, true)
			return
		}
		if _, err := w.Write(a.body[i : i+1]); err != nil {
			s.lost(c)
			return
		}
	}
}

// cut ends the connection: by a reset, or in good order as far as TCP is
// concerned. HTTP/2 has streams in place of connections.
func cut(w http.ResponseWriter, reset bool) {
	conn, _ := takeOver(w)
	if reset {
		resetOnClose(conn)
	}
	_ = conn.Close()
}

// takeOver takes the TCP connection away from net/http. began says that part of
// a next request has already been read from it.
func takeOver(w http.ResponseWriter) (conn net.Conn, began bool) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's way to end an HTTP/2 stream; it recovers this value
	}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn() // a TLS connection would say goodbye when closed
	}
	return conn, rw.Reader.Buffered() > 0
}

// resetOnClose makes Close send RST.
func resetOnClose(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}

// connections are those that were taken over from net/http and are still open.
type connections struct {
	mu   sync.Mutex // guards the following
	open map[net.Conn]bool
}

// cutOnNextRequest waits for the next request to begin and resets the
// connection, or until the client or closeAll closes it.
func (h *connections) cutOnNextRequest(w http.ResponseWriter) {
	conn, began := takeOver(w)
	h.mu.Lock()
	if h.open == nil {
		h.open = make(map[net.Conn]bool)
	}
	h.open[conn] = true
	h.mu.Unlock()

	if !began {
		_, _ = conn.Read(make([]byte, 1))
	}
	resetOnClose(conn)
	_ = conn.Close()
	h.mu.Lock()
	delete(h.open, conn)
	h.mu.Unlock()
}

func (h *connections) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for conn := range h.open {
		_ = conn.Close()
	}
}
