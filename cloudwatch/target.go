package cloudwatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"aws-for-fluent-bit/internal/delivery"
)

// maxTargets bounds what is remembered of streams, and of groups: names made
// from records have no end. What is forgotten costs a stream its pace and token, and
// the order between calls under way and later ones; and a group one more look at its
// settings.
const maxTargets = 10_000

// stream is what is known of one log stream.
type stream struct {
	target
	pace  delivery.Pace
	order order

	// made counts the times this stream was made from here. Who finds it missing
	// says which count it had seen: if somebody else has made it since, sending
	// again is all there is to do.
	making gate
	made   atomic.Int32

	// Sequence tokens are a thing of the past for the service, but not for every
	// endpoint. Once one asks for them, the stream has one writer at a time.
	turn   gate       // held from reading the token to the answer that brings the next
	mu     sync.Mutex // guards the following
	inTurn bool
	token  string
}

// sequence returns the token to send, and whether calls must go in turn.
func (st *stream) sequence() (token string, inTurn bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.token, st.inTurn
}

// expect notes the token for the next call; the stream goes in turn from now
// on. inTurn tells whether the call that brought it did: among calls that went
// side by side nobody knows whose answer is the newest, so only the first counts.
func (st *stream) expect(token string, inTurn bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if inTurn || !st.inTurn {
		st.inTurn, st.token = true, token
	}
}

// group is what is known of one log group.
type group struct {
	making  gate
	made    atomic.Int32 // as a stream's
	settled atomic.Bool  // it is what the options ask for

	// Guarded by making.
	ours       bool      // created here
	tried      time.Time // when it was last seen to that it is what the options ask for
	done       settings  // that are
	changed    settings  // those of them that were set here
	otherClass string    // the class that it has, when the options ask for another
}

// gate lets one in at a time, and has the others wait for only so long: they
// may come from all workers, and each call behind it may end at its deadline.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// enter waits until some time.
func (g gate) enter(until time.Time) bool {
	if g.open() {
		return true
	}
	late := time.NewTimer(time.Until(until))
	defer late.Stop()
	select {
	case g <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

// open enters if nobody is in.
func (g gate) open() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) leave() { <-g }

// targets are the streams and groups that an instance has met.
type targets struct {
	mu      sync.Mutex
	streams map[target]*stream
	groups  map[string]*group
}

func newTargets() *targets {
	return &targets{streams: make(map[target]*stream), groups: make(map[string]*group)}
}

func (ts *targets) stream(t target) *stream {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	st := ts.streams[t]
	if st == nil {
		if len(ts.streams) >= maxTargets {
			clear(ts.streams)
		}
		st = &stream{target: t, making: newGate(), turn: newGate()}
		ts.streams[t] = st
	}
	return st
}

func (ts *targets) group(name string) *group {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	g := ts.groups[name]
	if g == nil {
		if len(ts.groups) >= maxTargets {
			clear(ts.groups)
		}
		g = &group{making: newGate()}
		ts.groups[name] = g
	}
	return g
}

// create makes a stream that a call found missing, and its group if that is
// missing too, as far as the options allow, until a certain time. seen is the
// count of the stream's makings at the time of that call, and why what its
// answer said.
//
// It has no slot meanwhile: making streams may have to go slowly, and the events
// of others do not wait for it.
func (s *sender) create(until time.Time, st *stream, seen int32, why string) error {
	s.tools <- struct{}{}
	defer func() { <-s.tools }()
	if !st.making.enter(until) {
		return &makingError{"log stream", errNoTime}
	}
	defer st.making.leave()
	if st.made.Load() != seen {
		return nil
	}
	if !s.p.createStream {
		return &switchedOffError{why, "auto_create_stream"}
	}
	ctx, cancel := context.WithDeadline(s.flush.Context(), until)
	defer cancel()
	g := s.p.targets.group(st.group)
	groupSeen := g.made.Load()
	err := s.makeStream(ctx, st)
	if missing(err) {
		if !s.p.createGroup {
			return &switchedOffError{verdict(err).Reason, "auto_create_group"}
		}
		if err := s.remakeGroup(ctx, until, g, st.group, groupSeen); err != nil {
			return &makingError{"log group", err}
		}
		err = s.makeStream(ctx, st)
	}
	if err != nil {
		return &makingError{"log stream", err}
	}
	return nil
}

// makeStream creates a stream, or takes it as it is. Its gate is held.
func (s *sender) makeStream(ctx context.Context, st *stream) error {
	in := &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &st.group, LogStreamName: &st.stream}
	err := s.control(func() error { _, err := s.p.client.CreateLogStream(ctx, in); return err })
	if err != nil && !alreadyExists(err) {
		return err
	}
	st.mu.Lock()
	st.token = "" // that of a stream without events
	st.mu.Unlock()
	st.made.Add(1)
	return nil
}

// remakeGroup creates a group that was found missing, whether it was there
// before or not. seen is as in create.
func (s *sender) remakeGroup(ctx context.Context, until time.Time, g *group, name string, seen int32) error {
	if !g.making.enter(until) {
		return errNoTime
	}
	defer g.making.leave()
	if g.made.Load() != seen {
		return nil
	}
	created, err := s.makeGroup(ctx, name)
	if err != nil {
		return err
	}
	g.made.Add(1)
	g.settled.Store(false)
	g.ours, g.tried, g.done, g.changed, g.otherClass = created, time.Time{}, 0, 0, ""
	return nil
}

// control makes a call that is about a group or stream itself. These have
// quotas far below that of PutLogEvents, and a pace of their own: many new
// streams at once must not slow down the events of the others.
func (s *sender) control(call func() error) error {
	if !s.flush.Wait(&s.p.making) {
		return errNoTime
	}
	s.p.Add(delivery.Requests, 1)
	err := call()
	switch {
	case err == nil || alreadyExists(err):
		s.p.making.Faster()
	case missing(err): // an answer to what was asked
	case verdict(err).Slow:
		s.p.Add(delivery.Throttled, 1)
		s.p.making.Slower()
	default:
		s.p.Add(delivery.Failed, 1)
	}
	return err
}
