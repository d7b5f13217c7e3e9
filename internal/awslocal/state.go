package awslocal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// firstRecords is how many records of each stream are shown in State.
const firstRecords = 3

// State is what the server has and what happened to it, as GET /awslocal/state
// shows it.
type State struct {
	Logs       []GroupState            `json:"logs"`
	Kinesis    []KinesisState          `json:"kinesis"`
	Firehose   []FirehoseState         `json:"firehose"`
	STS        []CredentialsState      `json:"sts"`
	Operations map[string]Counts       `json:"operations"`
	Faults     map[string]map[Kind]int `json:"faults"` // played, by operation and kind
	Totals     Totals                  `json:"totals"`
	Down       bool                    `json:"down"`
}

// Totals counts accepted records.
type Totals struct {
	LogEvents       int `json:"log_events"`
	KinesisRecords  int `json:"kinesis_records"`
	FirehoseRecords int `json:"firehose_records"`
	LostRecords     int `json:"lost_records"` // of these, in calls whose answer was lost
}

// GroupState is a log group with its streams.
type GroupState struct {
	LogGroup
	Streams []StreamState `json:"streams"`
}

// StreamState is a log stream.
type StreamState struct {
	Name  string     `json:"name"`
	Count int        `json:"count"`
	Bytes int        `json:"bytes"` // messages, and 26 for each
	Puts  int        `json:"puts"`
	First []LogEvent `json:"first"`
}

// KinesisState is a data stream.
type KinesisState struct {
	Name   string          `json:"name"`
	Count  int             `json:"count"`
	Bytes  int             `json:"bytes"` // data and partition keys
	Shards map[string]int  `json:"shards"`
	First  []KinesisRecord `json:"first"`
}

// FirehoseState is a delivery stream.
type FirehoseState struct {
	Name    string   `json:"name"`
	Count   int      `json:"count"`
	Bytes   int      `json:"bytes"`
	Objects []string `json:"objects,omitempty"`
	First   [][]byte `json:"first"`
}

// CredentialsState is a set of credentials given out, without its secrets.
type CredentialsState struct {
	AccessKeyID string    `json:"access_key_id"`
	Source      string    `json:"source"`
	RoleARN     string    `json:"role_arn"`
	SessionName string    `json:"session_name"`
	ExternalID  string    `json:"external_id,omitempty"`
	Seconds     int       `json:"duration_seconds"`
	Expires     time.Time `json:"expires"`
}

// State returns what the server has and what happened to it.
func (s *Server) State() State {
	out := State{
		Logs: []GroupState{}, Kinesis: []KinesisState{}, Firehose: []FirehoseState{}, STS: []CredentialsState{},
		Operations: s.calls.operations(), Faults: s.FaultsPlayed(),
		Totals: Totals{LogEvents: s.logs.Total(), KinesisRecords: s.kinesis.Total(), FirehoseRecords: s.firehose.Total(), LostRecords: s.LostRecords()},
		Down:   s.isDown(),
	}
	for _, g := range s.logs.Groups() {
		gs := GroupState{LogGroup: g, Streams: []StreamState{}}
		for _, name := range g.Streams {
			if st := s.logs.Stream(g.Name, name); st != nil {
				gs.Streams = append(gs.Streams, st.state())
			}
		}
		out.Logs = append(out.Logs, gs)
	}
	for _, st := range s.kinesis.Streams() {
		out.Kinesis = append(out.Kinesis, st.state())
	}
	for _, st := range s.firehose.Streams() {
		out.Firehose = append(out.Firehose, st.state())
	}
	for _, c := range s.keys.list() {
		out.STS = append(out.STS, CredentialsState{AccessKeyID: c.AccessKeyID, Source: c.Source, RoleARN: c.RoleARN, SessionName: c.SessionName,
			ExternalID: c.ExternalID, Seconds: int(c.Duration.Seconds()), Expires: c.Expires})
	}
	return out
}

func (s *Server) isDown() bool {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	return s.down
}

func (st *LogStream) state() StreamState {
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return StreamState{Name: st.Name, Count: len(st.events), Bytes: st.bytes, Puts: st.puts, First: slices.Clone(st.events[:min(firstRecords, len(st.events))])}
}

func (st *KinesisStream) state() KinesisState {
	st.kinesis.mu.Lock()
	defer st.kinesis.mu.Unlock()
	out := KinesisState{Name: st.Name, Count: st.count, Bytes: st.bytes, Shards: make(map[string]int)}
	for _, sh := range st.shards {
		out.Shards[sh.id] = len(sh.records)
		out.First = append(out.First, sh.records[:min(firstRecords-len(out.First), len(sh.records))]...)
	}
	return out
}

func (st *DeliveryStream) state() FirehoseState {
	st.firehose.mu.Lock()
	defer st.firehose.mu.Unlock()
	return FirehoseState{Name: st.Name, Count: st.count, Bytes: st.bytes, Objects: slices.Clone(st.objects), First: slices.Clone(st.records[:min(firstRecords, len(st.records))])}
}

// Reset forgets all groups, streams, records, requests, credentials given out
// and faults, and begins again with the streams of the configuration. Files
// written for Firehose stay. It must not be called while calls are under way.
func (s *Server) Reset() error {
	s.ClearFaults()
	s.faults.mu.Lock()
	s.faults.played = nil
	s.faults.mu.Unlock()
	s.calls.reset()
	s.keys.init(s.cfg.Keys)
	s.logs.reset()
	s.kinesis.reset()
	s.firehose.reset()
	s.sts.reset()
	return s.initialStreams()
}

func (l *Logs) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.groups)
	l.total, l.tokens = 0, l.s.cfg.SequenceTokens
}

func (k *Kinesis) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.streams)
	k.total, k.bytes = 0, 0
}

func (f *Firehose) reset() {
	f.close()
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.streams)
	f.total = 0
}

func (t *STS) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trust = nil
}

// CONTROL OVER HTTP

// faultOrder is the body of POST /awslocal/faults.
type faultOrder struct {
	Operation string      `json:"operation"`
	Script    []wireFault `json:"script"`
	Random    []wireFault `json:"random"` // takes the place of the operation's random faults if it is given
	Clear     bool        `json:"clear"`  // drops all faults first
}

// wireFault is a Fault as JSON, with its delay as text.
type wireFault struct {
	Fault
	Delay string `json:"delay"`
}

func (x wireFault) fault() (Fault, error) {
	f := x.Fault
	if !slices.Contains(kinds, f.Kind) {
		return f, fmt.Errorf("unknown kind %q of fault, must be one of %v", f.Kind, kinds)
	}
	if f.Probability < 0 || f.Probability > 1 || f.Rate < 0 || f.Rate > 1 {
		return f, errors.New("probability and rate must be 0 to 1")
	}
	if x.Delay != "" {
		var err error
		if f.Delay, err = time.ParseDuration(x.Delay); err != nil || f.Delay < 0 {
			return f, fmt.Errorf("bad delay %q, must be like 10s", x.Delay)
		}
	}
	return f, nil
}

func faultsOf(list []wireFault) ([]Fault, error) {
	var out []Fault
	for _, x := range list {
		f, err := x.fault()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// serveState answers /awslocal/:
//
//	GET  /awslocal/state
//	GET  /awslocal/events?group=&stream=   a log stream's events
//	GET  /awslocal/kinesis?stream=         a data stream's records
//	GET  /awslocal/firehose?stream=        a delivery stream's data
//	GET  /awslocal/requests?operation=     the latest requests
//	POST /awslocal/faults                  a faultOrder
//	POST /awslocal/reset
//	POST /awslocal/down?for=10s            for a time, or until up
//	POST /awslocal/up                      at ControlURL, as nothing else answers
func (s *Server) serveState(w http.ResponseWriter, r *http.Request) {
	routes := map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /awslocal/state":    func(w http.ResponseWriter, _ *http.Request) error { return writeJSON(w, s.State()) },
		"GET /awslocal/events":   s.writeEvents,
		"GET /awslocal/kinesis":  s.writeKinesis,
		"GET /awslocal/firehose": s.writeFirehose,
		"GET /awslocal/requests": s.writeRequests,
		"POST /awslocal/faults":  s.orderFaults,
		"POST /awslocal/reset":   func(http.ResponseWriter, *http.Request) error { return s.Reset() },
		"POST /awslocal/down":    s.orderDown,
		"POST /awslocal/up":      func(http.ResponseWriter, *http.Request) error { return s.Up() },
	}
	route := routes[r.Method+" "+r.URL.Path]
	if route == nil {
		http.NotFound(w, r)
		return
	}
	if err := route(w, r); err != nil {
		status := http.StatusBadRequest
		if errors.Is(err, errNoStream) {
			status = http.StatusNotFound
		}
		http.Error(w, err.Error(), status)
	}
}

var errNoStream = errors.New("no such stream")

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // fails only when the client has gone
	return nil
}

// writeList writes a JSON list, one element a line.
func writeList[T any](w http.ResponseWriter, list []T) error {
	w.Header().Set("Content-Type", "application/json")
	b := bufio.NewWriterSize(w, 64<<10)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	separator := "[\n"
	for _, v := range list {
		_, _ = b.WriteString(separator) // errors stay with the Writer: the client has gone
		_ = e.Encode(v)
		separator = ","
	}
	if len(list) == 0 {
		_, _ = b.WriteString("[")
	}
	_, _ = b.WriteString("]\n")
	_ = b.Flush()
	return nil
}

func (s *Server) writeEvents(w http.ResponseWriter, r *http.Request) error {
	st := s.logs.Stream(r.FormValue("group"), r.FormValue("stream"))
	if st == nil {
		return fmt.Errorf("%w: group %q, stream %q", errNoStream, r.FormValue("group"), r.FormValue("stream"))
	}
	return writeList(w, st.Events())
}

func (s *Server) writeKinesis(w http.ResponseWriter, r *http.Request) error {
	st := s.kinesis.Stream(r.FormValue("stream"))
	if st == nil {
		return fmt.Errorf("%w: %q", errNoStream, r.FormValue("stream"))
	}
	return writeList(w, st.Records())
}

func (s *Server) writeFirehose(w http.ResponseWriter, r *http.Request) error {
	st := s.firehose.Stream(r.FormValue("stream"))
	if st == nil {
		return fmt.Errorf("%w: %q", errNoStream, r.FormValue("stream"))
	}
	data, err := st.Data()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
	return nil
}

func (s *Server) writeRequests(w http.ResponseWriter, r *http.Request) error {
	return writeList(w, s.Requests(r.FormValue("operation")))
}

func (s *Server) orderFaults(_ http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	var order faultOrder
	if err := decode(body, &order); err != nil {
		return err
	}
	script, err := faultsOf(order.Script)
	if err != nil {
		return err
	}
	random, err := faultsOf(order.Random)
	if err != nil {
		return err
	}
	if order.Operation != "" && order.Operation != AnyOperation && !isOperation(order.Operation) {
		return fmt.Errorf("unknown operation %q", order.Operation)
	}
	if order.Operation == "" && (order.Script != nil || order.Random != nil) {
		return errors.New("faults need an operation")
	}
	if order.Clear {
		s.ClearFaults()
	}
	if order.Script != nil {
		s.Script(order.Operation, script...)
	}
	if order.Random != nil {
		s.SetFaults(order.Operation, random)
	}
	return nil
}

func isOperation(name string) bool {
	return slices.ContainsFunc(services, func(svc *service) bool { return svc.operations[name] != nil })
}

// orderDown answers before it goes down, as its own connection is cut then.
func (s *Server) orderDown(w http.ResponseWriter, r *http.Request) error {
	var d time.Duration
	if text := r.FormValue("for"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 {
			return fmt.Errorf("bad time %q, must be like 10s", text)
		}
	}
	w.Header().Set("Content-Length", "0")
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	if d > 0 {
		s.DownFor(d)
	} else {
		s.Down()
	}
	return nil
}
