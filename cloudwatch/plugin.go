// Package cloudwatch is the output plugin `cloudwatch`: records become events
// of CloudWatch Logs.
//
// The files are the way of a record: config.go (options), plugin.go (Flush: the
// walk over a chunk), names.go and ecs.go (which group and stream), batch.go
// (the request's body), target.go (groups and streams that exist), send.go (the
// calls), verdict.go (what an answer means).
package cloudwatch

import (
	"context"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/parts"
)

// Plugin is one output instance. It is safe for concurrent use: Fluent Bit's
// workers all call the same one.
type Plugin struct {
	*delivery.Delivery
	config
	names   *names
	session *awsx.Session
	client  *cloudwatchlogs.Client
	put     []awsx.BodyOption // headers of every PutLogEvents call
	targets *targets
	pace    delivery.Pace // of the account's quota for PutLogEvents; each stream has one of its own
	making  delivery.Pace // of the account's quotas for making groups and streams

	troubled atomic.Pointer[stream] // the last stream that could not be sent to, until it can
}

// New starts an output with the options that get gives. The error says all
// that is wrong with them.
func New(env delivery.Env, get options.Getter) (*Plugin, error) {
	s := options.New(get)
	p := &Plugin{config: parseConfig(s), Delivery: delivery.New(env, s)}
	if err := s.Err(); err != nil {
		return nil, err
	}
	var err error
	if p.session, err = awsx.Load(context.Background(), p.aws); err != nil {
		return nil, err
	}
	p.client = p.session.CloudWatchLogs()
	if p.logFormat != "" {
		p.put = append(p.put, awsx.Header("X-Amzn-Logs-Format", p.logFormat))
	}
	p.targets = newTargets()
	ecs := newECSMetadata(os.Getenv, func(err error) { p.Said.Warn("ecs metadata", "%v", err) })
	p.names = newNames(p.config.names, ecs, func(m nameMiss) { p.Said.Warn(m.option+": "+m.reason, "%v", m) })
	p.names.ec2 = newEC2Metadata(p.session, func(err error) { p.Said.Warn("ec2 metadata", "%v", err) })
	return p, nil
}

// Close ends the instance. No flush may be under way.
func (p *Plugin) Close() {
	p.session.Close()
	p.Delivery.Close()
}

// Flush delivers the records of a chunk.
func (p *Plugin) Flush(c delivery.Chunk) delivery.Result {
	f := p.Begin(c)
	out := p.newSender(f)
	names := p.names.chunk(f.Context(), c.Tag)
	out.tags = p.newTagger(names)
	broken := f.Walk(func(i int, ev *chunk.Event) { p.write(f, out, names, ev, i) })
	out.finish()
	return f.Finish(broken)
}

// write writes one record into the open batch of its stream.
func (p *Plugin) write(f *delivery.Flush, out *sender, names *chunkNames, ev *chunk.Event, i int) {
	value, found := p.pick.Value(&out.picked, ev.Body)
	switch found {
	case fields.Missing:
		f.NoLogKey(i, p.pick.LogKey())
		return
	case fields.Whole:
		f.LacksLogKey()
	}
	t, substitute := names.target(ev.Time, ev.Body)
	if substitute {
		p.Add(delivery.DefaultName, 1)
	}
	millis := ev.Time.UnixMilli()
	if p.outOfRange.now {
		t, millis = out.inRange(t, millis)
	}
	b := out.batch(t)
	start := b.open(millis)
	text := len(b.body)
	size, err := b.appendMessage(value, found == fields.Value)
	switch {
	case err != nil:
		f.Malformed(i, err)
		return
	case size == 0: // the service takes no empty message
		f.DropRecord(delivery.Empty, i)
		return
	case size > p.maxEvent && p.tooBig != parts.Cut:
		if p.tooBig == parts.Drop {
			f.TooLarge(i, "max_event_size", p.maxEvent)
		} else {
			p.split(out, t, millis, ev, i, value, found == fields.Value)
		}
		return
	case size > p.maxEvent:
		size = b.cut(text, p.maxEvent)
		f.Truncated("max_event_size", p.maxEvent)
	}
	out.close(b, start, millis, size, i)
}

// appendMessage writes what is sent of a record, as text if that is what it is,
// and returns its size as the service counts it.
func (b *batch) appendMessage(value []byte, asText bool) (size int, err error) {
	if asText {
		b.body, size, _, err = jsonenc.AppendTextEscaped(b.body, value)
	} else {
		b.body, size, _, err = b.memo.AppendEscaped(b.body, value)
	}
	return size, err
}
