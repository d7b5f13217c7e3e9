package cloudwatch

import (
	"time"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/emf"
)

// document returns the document of the embedded metric format that a record is,
// or that is made of it, nil for any other record. mayBe says that it may be one. It is sent as it is: log_key,
// data_keys and exclude_keys would leave a part of it.
func (p *Plugin) document(out *sender, ev *chunk.Event, mayBe bool) (doc []byte) {
	if mayBe && emf.Is(ev.Body) {
		return ev.Body
	}
	if p.emf.Set {
		made, ok := p.emf.Record(out.picked[:0], ev.Time.UnixMilli(), ev.Body)
		if ok {
			out.picked = made
			return made
		}
	}
	return nil
}

// writeMetrics writes a chunk of Fluent Bit's metrics, each sample as a document
// of its own. Its events have the time of the flush, as with Fluent Bit's C
// plugin: a metric that does not change keeps its old time, with which the
// service would refuse the event.
func (p *Plugin) writeMetrics(f *delivery.Flush, out *sender, names *chunkNames, c delivery.Chunk) (broken error) {
	p.sawMetrics.Do(func() {
		p.Said.Info("metrics of tag %q are sent as documents of CloudWatch's embedded metric format", c.Tag)
	})
	now, data := time.Now(), c.Data
	var records []byte
	for len(data) > 0 && broken == nil {
		var left int
		var wrong error
		records, data, left, wrong = p.emf.Next(records[:0], data, now)
		if left > 0 {
			p.Said.Warn("metrics left out", "%d samples of metrics of tag %q have no value and are left out", left, c.Tag)
		}
		broken = f.WalkData(records, func(i int, ev *chunk.Event) {
			p.put(f, out, names, ev, i, payload{ev.Body, false, true})
		})
		if broken == nil {
			broken = wrong
		}
	}
	return broken
}
