// Package firehose is the output plugin `firehose`: records become records of a
// Data Firehose delivery stream.
//
// The files are the way of a record: config.go (options), plugin.go (Flush: the
// walk over a chunk), send.go (the call), verdict.go (what an answer means). What
// it has in common with Kinesis is in internal/records.
package firehose

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/firehose"

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
	client  *firehose.Client
	streams *records.Streams
	bill    *records.Bill
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
	p.client = p.session.Firehose()
	p.bill = p.newBill()
	p.streams = records.NewStreams(p.stream, p.streamOf, maxStreamName, p.newService)
	if p.letters == "" {
		return p, nil
	}
	side, err := New(p.LetterEnv(env), p.LetterOptions(get, map[string]string{
		"delivery_stream": p.letters, "simple_aggregation": "true", "compression": "", "max_record_size": "",
	}))
	if err != nil {
		p.session.Close()
		return nil, err
	}
	p.SendLetters(side, "", maxRecordBytes-len("\n"))
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
	w := p.form.NewWriter(f)
	together := w.Concat(func(data []byte, indexes []int) { out.Add(data, nil, indexes...) })
	send := func(data []byte, i int) {
		if p.form.Concatenates() {
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
	finish(f, together)
	out.Finish()
	w.Free()
	return f.Finish(broken)
}

// finish sends what was put together. Should it panic, the records in it are
// not settled, and their chunk comes again.
func finish(f *delivery.Flush, together *records.Concat) {
	defer f.Guard()
	together.Flush()
}
