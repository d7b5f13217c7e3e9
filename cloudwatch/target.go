package cloudwatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/delivery"
)

// maxTargets bounds what is remembered of streams; names made from records
// have no end. What is forgotten costs nothing but its pace and token.
const maxTargets = 10_000

// stream is what is known of one log stream.
type stream struct {
	target
	pace delivery.Pace

	// made counts the times this stream was created from here. Who finds it
	// missing says which count it had seen: if somebody else has created it
	// since, sending again is all there is to do.
	making sync.Mutex
	made   int

	// Sequence tokens are a thing of the past for the service, but not for every
	// endpoint. Once one asks for them, the stream has one writer at a time.
	turn   sync.Mutex // held from reading the token to the answer that brings the next
	mu     sync.Mutex // guards the two below
	inTurn bool
	token  string
}

// sequence returns the token to send, and whether calls must go in turn.
func (s *stream) sequence() (token string, inTurn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token, s.inTurn
}

// expect notes the token for the next call; the stream goes in turn from now on.
func (s *stream) expect(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inTurn, s.token = true, token
}

// targets are the streams and groups that an instance has met.
type targets struct {
	mu      sync.Mutex
	streams map[target]*stream
	groups  map[string]*group
}

// group is what is known of one log group.
type group struct {
	mu       sync.Mutex
	prepared bool      // created or found, with its retention set
	tried    time.Time // when that was last tried
}

func newTargets() *targets {
	return &targets{streams: make(map[target]*stream), groups: make(map[string]*group)}
}

func (ts *targets) stream(t target) *stream {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	s := ts.streams[t]
	if s == nil {
		if len(ts.streams) >= maxTargets {
			clear(ts.streams)
		}
		s = &stream{target: t}
		ts.streams[t] = s
	}
	return s
}

func (ts *targets) group(name string) *group {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	g := ts.groups[name]
	if g == nil {
		if len(ts.groups) >= maxTargets {
			clear(ts.groups)
		}
		g = &group{}
		ts.groups[name] = g
	}
	return g
}

// retryPrepare is how long a group that could not be prepared is left alone.
const retryPrepare = time.Minute

// prepare makes sure, once for each group and when log_retention_days asks for
// it, that the group exists and has that retention: as in AWS's Go plugin, also
// where the group was there before. A failure is said and does not hold up
// delivery; it is tried again after a minute.
func (p *Plugin) prepare(ctx context.Context, name string) {
	if !p.createGroup || p.retentionDays == 0 {
		return
	}
	g := p.targets.group(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.prepared || time.Since(g.tried) < retryPrepare {
		return
	}
	g.tried = time.Now()
	if err := p.makeGroup(ctx, name); err != nil {
		p.Said.Error("group "+name, "cannot create log group %q: %v", name, err)
		return
	}
	p.retain(ctx, g, name)
}

// makeGroup creates a group, or takes it as it is.
func (p *Plugin) makeGroup(ctx context.Context, name string) error {
	in := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, LogGroupClass: types.LogGroupClass(p.groupClass)}
	if len(p.groupTags) > 0 {
		in.Tags = make(map[string]string, len(p.groupTags))
		for _, t := range p.groupTags {
			in.Tags[t.key] = t.value
		}
	}
	p.Add(delivery.Requests, 1)
	_, err := p.client.CreateLogGroup(ctx, in)
	switch {
	case err == nil:
		p.Said.Info("created log group %q", name)
	case !alreadyExists(err):
		return err
	}
	return nil
}

// retain sets the retention of a group that is known to exist. The group's lock
// is held. Events go their way also where this is not allowed.
func (p *Plugin) retain(ctx context.Context, g *group, name string) {
	if p.retentionDays > 0 {
		p.Add(delivery.Requests, 1)
		_, err := p.client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
			LogGroupName: &name, RetentionInDays: aws.Int32(int32(p.retentionDays))})
		if err != nil {
			p.Said.Error("group "+name, "cannot set the retention of log group %q to %d days: %v", name, p.retentionDays, err)
			return
		}
	}
	g.prepared = true
	p.Said.Over("group "+name, "log group %q is as the options ask", name)
}

// create makes a stream that a call found missing, and its group if that is
// missing too, as far as the options allow. seen is the count of the stream's
// makings at the time of that call.
func (p *Plugin) create(ctx context.Context, s *stream, seen int) error {
	s.making.Lock()
	defer s.making.Unlock()
	if s.made != seen {
		return nil
	}
	if !p.createStream {
		return &notAllowedError{"the log stream", "auto_create_stream", s.target}
	}
	err := p.createStreamOnce(ctx, s)
	if missing(err) {
		if !p.createGroup {
			return &notAllowedError{"the log group", "auto_create_group", s.target}
		}
		if err := p.remakeGroup(ctx, s.group); err != nil {
			return fmt.Errorf("cannot create log group %q: %w", s.group, err)
		}
		err = p.createStreamOnce(ctx, s)
	}
	if err != nil && !alreadyExists(err) {
		return fmt.Errorf("cannot create log stream %q in log group %q: %w", s.stream, s.group, err)
	}
	s.made++
	return nil
}

// remakeGroup creates a group that was found missing, whether it was there
// before or not, and sets its retention.
func (p *Plugin) remakeGroup(ctx context.Context, name string) error {
	g := p.targets.group(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := p.makeGroup(ctx, name); err != nil {
		return err
	}
	p.retain(ctx, g, name)
	return nil
}

func (p *Plugin) createStreamOnce(ctx context.Context, s *stream) error {
	p.Add(delivery.Requests, 1)
	_, err := p.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{
		LogGroupName: &s.group, LogStreamName: &s.target.stream})
	return err
}
