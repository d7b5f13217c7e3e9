// Package kinesis is the output plugin `kinesis`: records become records of a
// Kinesis data stream.
//
// The files are the way of a record: config.go (options), plugin.go (Flush: the
// walk over a chunk), partitionkey.go, aggregate.go (records put together),
// send.go (the call), verdict.go (what an answer means). What it has in common
// with Firehose is in internal/records.
package kinesis

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
)

// Plugin is one output instance. It is safe for concurrent use: Fluent Bit's
// workers all call the same one.
type Plugin struct {
	*delivery.Delivery
	config
	session *awsx.Session
	client  *kinesis.Client
	streams *records.Streams
	bill    *records.Bill

	aggregators sync.Pool // of *aggregator, one for each flush under way
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
	p.client = p.session.Kinesis()
	p.bill = p.newBill()
	p.streams = records.NewStreams(p.stream, p.streamOf, maxStreamName, p.newService)
	if p.letters == "" {
		return p, nil
	}
	side, err := New(p.LetterEnv(env), p.LetterOptions(get, map[string]string{
		"stream": p.letters, "partition_key": "", "aggregation": "", "simple_aggregation": "", "compression": "", "max_record_size": "",
	}))
	if err != nil {
		p.session.Close()
		return nil, err
	}
	p.SendLetters(side, "", recordBytes-4*maxKeyChars)
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
	out := p.streams.Of(c.Tag).NewSender(f)
	keys := newKeyer(p.key)
	keys.in.Tag = c.Tag
	w := p.form.NewWriter(f)
	together := p.startAggregator(w, out)
	var key []byte
	var random bool
	send := func(data []byte, i int) {
		if together != nil {
			together.add(key, random, data, i)
		} else {
			out.Add(data, key, i)
		}
	}
	broken := f.Walk(func(i int, ev *chunk.Event) {
		keys.in.Time, keys.in.Metadata, keys.in.Group = ev.Time, ev.Metadata, ev.GroupAttributes
		key, random = keys.of(ev.Body)
		if data, ok := w.Write(i, ev, len(key)); ok {
			send(data, i)
		} else {
			w.EachPart(send)
		}
	})
	p.finishAggregator(f, together)
	out.Finish()
	w.Free()
	if keys.missing > 0 {
		p.Add(delivery.RandomKey, keys.missing)
		p.Said.Warn("partition key", "%d records of tag %q have a random partition key: what option partition_key names is missing, empty, or neither text nor a number", keys.missing, c.Tag)
	}
	return f.Finish(broken)
}

// startAggregator returns what puts a flush's records together, nil if the
// options do not ask for it.
func (p *Plugin) startAggregator(w *records.Writer, out *records.Sender) *aggregator {
	if !p.aggregation && !p.form.Concatenates() {
		return nil
	}
	g, ok := p.aggregators.Get().(*aggregator)
	if !ok {
		g = newAggregator(p.aggregate, p.form.Concatenates())
	}
	g.emit = func(key, data []byte, indexes []int) {
		if g.plain {
			data = w.Together(data, len(key))
		}
		out.Add(data, key, indexes...)
	}
	return g
}

// finishAggregator sends what is in g, and keeps it with its buffers. After a
// panic it is not kept, and what was in it is not settled.
func (p *Plugin) finishAggregator(f *delivery.Flush, g *aggregator) {
	if g == nil {
		return
	}
	defer f.Guard()
	g.flush()
	g.emit = nil
	p.aggregators.Put(g)
}
