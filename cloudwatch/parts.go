package cloudwatch

import (
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/parts"
)

// split writes a record that is too large as several events of one time, so that
// they keep their order. m is known to be writable.
func (p *Plugin) split(out *sender, t target, millis int64, ev *chunk.Event, i int, m payload) {
	text, write := []byte(nil), jsonenc.AppendJSON
	if m.asText {
		write = jsonenc.AppendText
	}
	text, _, _ = write(text, m.value)
	var s parts.Splitter
	s.Set(text, !m.asText || fields.IsContainer(m.value), parts.ID(ev, i))
	n := s.Split(p.maxEvent)
	out.flush.Split("max_event_size", p.maxEvent)
	for k := range n {
		index, fresh := out.flush.Part(i, k, n)
		if !fresh {
			continue
		}
		text = s.Append(text[:0], k)
		b := out.batch(t)
		start := b.open(millis)
		b.body = jsonenc.AppendQuoted(b.body[:len(b.body)-1], text)
		b.body = b.body[:len(b.body)-1] // close writes the mark
		out.close(b, start, millis, len(text), index)
	}
}
