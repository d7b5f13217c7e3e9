// Package cloudwatch is the output plugin `cloudwatch`: records become events
// of CloudWatch Logs.
//
// The files are the way of a record: config.go (options), plugin.go (Flush: the
// walk over a chunk), names.go and ecs.go (which group and stream),
// metrics.go (records that carry metrics), batch.go (the request's body), target.go (groups and streams that exist), order.go
// (which calls wait for which), send.go (the calls), verdict.go (what an answer means).
package cloudwatch

import (
	"bytes"
	"context"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/compress"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/emf"
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
	client  *awsx.LogsClient
	headers [2][]awsx.BodyOption // of PutLogEvents calls without and with metrics in them
	shrink  *compress.Compressor // of requests; nil: none
	ecs     *ecsMetadata
	targets *targets
	pace    delivery.Pace // of the account's quota for PutLogEvents; each stream has one of its own
	making  delivery.Pace // of the account's quotas for making groups and streams

	sawMetrics sync.Once // says what becomes of them

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
	p.headers[1] = []awsx.BodyOption{awsx.Header("X-Amzn-Logs-Format", "json/emf")}
	if p.allEMF {
		p.headers[0] = p.headers[1]
	}
	if p.gzip {
		p.shrink = compress.FastGzip()
		for i, h := range p.headers {
			p.headers[i] = append(slices.Clip(h), awsx.Gzip())
		}
	}
	p.targets = newTargets()
	p.ecs = newECSMetadata(os.Getenv, func(err error) { p.Said.Warn("ecs metadata", "%v", err) })
	p.names = newNames(p.config.names, p.ecs, func(m nameMiss) { p.Said.Warn(m.option+": "+m.reason, "%v", m) })
	p.names.ec2 = newEC2Metadata(p.session, func(err error) { p.Said.Warn("ec2 metadata", "%v", err) })
	if err := p.openLetters(env, get); err != nil {
		p.session.Close()
		return nil, err
	}
	return p, nil
}

// Room is how many flushes are worth having under way at a time, and with how many
// bytes of chunks: of most flushes one call is, on a connection of its own, so it
// takes many, but one large chunk at a time for a service that answers at once (make
// bench-peers CASES=kubernetes:4:0,small:4:0). With less than Late, those of large records
// are slower where answers take 50 ms (CASES=kubernetes:4:50,big:4:50); more raise the
// peak, and make nothing faster.
// Where the calls to a stream go one after the other, so do the chunks of a tag; else
// they are read one after the other, and see to the order of their calls themselves.
func (p *Plugin) Room() delivery.Room {
	if p.concurrency == 1 {
		return delivery.Room{Flushes: 64, Bytes: 10 << 20, InOrder: 20 << 20}
	}
	return delivery.Room{Flushes: 64, Bytes: 2 << 20, Late: 14 << 20, ReadInOrder: true}
}

// Close ends the instance. No flush may be under way.
func (p *Plugin) Close() {
	p.session.Close()
	p.Delivery.Close()
}

// Flush delivers the records of a chunk.
func (p *Plugin) Flush(c delivery.Chunk) delivery.Result {
	f := p.Begin(c)
	out := p.newSender(f, c)
	names := p.names.chunk(f.Context(), c.Tag)
	out.tags = p.newTagger(names)
	if p.addEntity {
		out.entities = &entities{intern: p.names.intern, ecs: p.ecs.get(f.Context())}
	}
	var broken error
	if emf.IsMetrics(c.Data) {
		broken = p.writeMetrics(f, out, names, c)
	} else {
		broken = f.Walk(func(i int, ev *chunk.Event) { p.write(f, out, names, ev, i) })
	}
	out.finish()
	return f.Finish(broken)
}

// write writes what is to be sent of a record into the open batch of its stream.
func (p *Plugin) write(f *delivery.Flush, out *sender, names *chunkNames, ev *chunk.Event, i int) {
	if p.otelAttributes {
		if whole := withOpenTelemetry(out.whole[:0], ev); whole != nil {
			out.whole, ev.Body = whole, whole
		}
	}
	mayBe := p.autoFormat && emf.MayBe(ev.Body)
	if mayBe || p.emf.Set {
		if doc := p.document(out, ev, mayBe); doc != nil {
			p.put(f, out, names, ev, i, payload{doc, false, true})
			return
		}
	}
	body := ev.Body
	if out.entities != nil && bytes.Contains(body, entityMark) {
		out.plain = entityKeys.Append(out.plain[:0], body)
		body = out.plain
	}
	value, found := p.pick.Value(&out.picked, body)
	switch found {
	case fields.Missing:
		f.NoLogKey(i, p.pick.LogKey())
		return
	case fields.Whole:
		f.LacksLogKey()
	}
	m := payload{value, found == fields.Value, false}
	m.metrics = mayBe && m.asText && (emf.IsText(value) || emf.Is(value))
	p.put(f, out, names, ev, i, m)
}

// payload is what is sent of a record.
type payload struct {
	value   []byte // msgpack
	asText  bool   // if that is what it is, else as JSON
	metrics bool   // it is a document of the embedded metric format
}

// put writes a message into the open batch of its stream.
func (p *Plugin) put(f *delivery.Flush, out *sender, names *chunkNames, ev *chunk.Event, i int, m payload) {
	if p.names.otel {
		names.in.Metadata, names.in.Group = ev.Metadata, ev.GroupAttributes
	}
	t, substitute := names.target(ev.Time, ev.Body)
	if substitute {
		p.Add(delivery.DefaultName, 1)
	}
	millis := ev.Time.UnixMilli()
	if p.outOfRange.now {
		t, millis = out.inRange(t, millis)
	}
	if out.entities != nil {
		out.entity = out.entities.of(ev.Body)
	}
	b := out.batch(t)
	start := b.open(millis)
	text := len(b.body)
	size, err := b.appendMessage(m.value, m.asText)
	switch {
	case err != nil:
		out.in(t)
		f.Malformed(i, err)
		out.in(target{})
		return
	case size == 0: // the service takes no empty message
		f.DropRecord(delivery.Empty, i)
		return
	case size > p.maxEvent && p.tooBig != parts.Cut:
		if p.tooBig == parts.Drop {
			out.in(t)
			f.TooLarge(i, "max_event_size", p.maxEvent)
			out.in(target{})
		} else {
			p.split(out, t, millis, ev, i, m)
		}
		return
	case size > p.maxEvent:
		size = b.cut(text, p.maxEvent)
		f.Truncated("max_event_size", p.maxEvent)
	}
	out.close(b, start, millis, size, i)
	if m.metrics {
		out.last.metrics = true
	}
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
