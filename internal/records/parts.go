package records

import (
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/parts"
)

// pending are the parts of a record that Write has found too large.
type pending struct {
	parts.Splitter
	n      int // parts
	record int // its index in the chunk
	limit  int // bytes of each, as the service is to get it
}

// tooBig does with a record what option too_big asks for, unless it has its room:
// then it returns false.
func (w *Writer) tooBig(i int, ev *chunk.Event, key int) bool {
	limit := w.f.limit - key
	if w.fits(limit) {
		return false
	}
	if w.f.tooBig == parts.Drop {
		w.flush.TooLarge(i, "max_record_size", w.f.limit)
		return true
	}
	value, found := w.f.pick.Value(&w.picked, ev.Body)
	p := &pending{record: i, limit: limit}
	p.Set(w.text, found != fields.Value || fields.IsContainer(value), parts.ID(ev, i))
	p.n = w.split(p)
	w.flush.Split("max_record_size", w.f.limit)
	w.pending = p
	return true
}

// sure is how large a text may be to fit compressed whatever is in it: a random
// one grows by a sixth in snappy's worst case.
func sure(limit int) int { return limit - limit/6 - 64 }

// fits says whether the text has its room. It leaves the compressed form of a
// text that is in doubt in w.data.
func (w *Writer) fits(limit int) bool {
	n := len(w.text) + len(w.f.ending())
	if w.f.compressor == nil {
		return n <= limit
	}
	if n <= sure(limit) {
		return true
	}
	text := len(w.text)
	w.data = w.f.compressor.Append(w.data[:0], w.end())
	w.text = w.text[:text]
	return len(w.data) <= limit
}

// split parts p's text. Compressed, as much of it is put into a part as whole
// text's size lets expect, or less until all parts fit.
func (w *Writer) split(p *pending) (n int) {
	end := len(w.f.ending())
	if w.f.compressor == nil {
		return p.Split(p.limit - end)
	}
	least := sure(p.limit) - end
	for size := len(w.text) * 9 / 10 * p.limit / len(w.data); size > least; size = size / 4 * 3 {
		if n = p.Split(size); w.allFit(p, n) {
			return n
		}
	}
	return p.Split(least)
}

func (w *Writer) allFit(p *pending, n int) bool {
	for k := range n {
		w.text = p.Append(w.text[:0], k)
		if !w.fits(p.limit) {
			return false
		}
	}
	return true
}

// EachPart calls send with each part of the record that Write has just returned
// false for, if it is to be sent in parts, and the index that stands for it. data
// is valid until send returns.
func (w *Writer) EachPart(send func(data []byte, index int)) {
	p := w.pending
	if p == nil {
		return
	}
	w.pending = nil // first: should the rest panic, the next record is not this one
	for k := range p.n {
		index, fresh := w.flush.Part(p.record, k, p.n)
		if !fresh {
			continue
		}
		w.text = p.Append(w.text[:0], k)
		data := w.end()
		if w.f.compressor != nil && !w.f.concat {
			data = w.compress(data, p.limit)
		}
		send(data, index)
	}
}
