// Package firehose is the output plugin `firehose`: records become records of a
// Data Firehose delivery stream.
//
// The files are the way of a record: config.go (options), plugin.go (Flush: the
// walk over a chunk), send.go (the call), verdict.go (what an answer means). What
// it has in common with Kinesis is in internal/records.
package firehose

import (
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
)

// Plugin is one output instance. It is safe for concurrent use: Fluent Bit's
// workers all call the same one.
type Plugin struct {
	*records.Output
	records.Config
}

// New starts an output with the options that get gives. The error says all
// that is wrong with them.
func New(env delivery.Env, get options.Getter) (*Plugin, error) {
	s := options.New(get)
	p := &Plugin{Config: parseConfig(s)}
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
	w := p.Form.NewWriter(f)
	together := w.Concat(func(data []byte, indexes []int) { out.Add(data, nil, indexes...) })
	send := func(data []byte, i int) {
		if p.Form.Concatenates() {
			together.Add(data, i)
		} else {
			out.Add(data, nil, i)
		}
	}
	broken := f.Walk(func(i int, ev *chunk.Event) {
		if data, ok := w.Write(i, ev, 0); ok {
			send(data, i)
		} else {
			w.EachPart(send)
		}
	})
	f.WasRead(0, out.Unsent()) // how many bodies there are goes by manySenders
	finish(f, together)
	w.Free() // another flush can write while this one waits for its calls
	return out.Finish(func() delivery.Result { return f.Finish(broken) })
}

// finish sends what was put together. Should it panic, the records in it are
// not settled, and their chunk comes again.
func finish(f *delivery.Flush, together *records.Concat) {
	defer f.Guard()
	together.Flush()
}
