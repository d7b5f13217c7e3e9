// Package kinesis is the output plugin `kinesis`: records become records of a
// Kinesis data stream.
//
// The files are the way of a record: config.go (options), plugin.go (Flush: the
// walk over a chunk), partitionkey.go, aggregate.go (records put together),
// send.go (the call), verdict.go (what an answer means). What it has in common
// with Firehose is in internal/records.
package kinesis

import (
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
	"aws-for-fluent-bit/internal/spare"
)

// Plugin is one output instance. It is safe for concurrent use: Fluent Bit's
// workers all call the same one.
type Plugin struct {
	*records.Output
	config

	aggregators spare.List[*aggregator] // one for each flush under way
}

// New starts an output with the options that get gives. The error says all
// that is wrong with them.
func New(env delivery.Env, get options.Getter) (*Plugin, error) {
	s := options.New(get)
	p := &Plugin{config: parseConfig(s)}
	var err error
	if p.Output, err = records.Open(env, get, s, &p.Config, p.kind); err != nil {
		return nil, err
	}
	return p, nil
}

// Flush delivers the records of a chunk.
func (p *Plugin) Flush(c delivery.Chunk) delivery.Result {
	f := p.Begin(c)
	out := p.Streams.Of(c.Tag).NewSender(f)
	keys := newKeyer(p.key)
	keys.in.Tag = c.Tag
	w := p.Form.NewWriter(f)
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
	f.WasRead(0, out.Unsent()) // how many bodies there are goes by manySenders
	p.finishAggregator(f, together)
	if keys.missing > 0 {
		p.Add(delivery.RandomKey, keys.missing)
		p.Said.Warn("partition key", "%d records of tag %q have a random partition key: what option partition_key names is missing, empty, or neither text nor a number", keys.missing, c.Tag)
	}
	keys.free() // another flush can use them while this one waits for its calls
	w.Free()
	return out.Finish(func() delivery.Result { return f.Finish(broken) })
}

// startAggregator returns what puts a flush's records together, nil if the
// options do not ask for it.
func (p *Plugin) startAggregator(w *records.Writer, out *records.Sender) *aggregator {
	if !p.aggregation && !p.Form.Concatenates() {
		return nil
	}
	g, ok := p.aggregators.Get()
	if !ok {
		g = newAggregator(p.aggregate, p.Form.Concatenates())
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
