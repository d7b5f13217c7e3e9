// Package records is what Kinesis Data Streams and Data Firehose share: calls
// that carry many records, are answered for each of them, and are repeated only
// for those that were refused.
package records

import (
	"slices"
	"sync"

	"github.com/segmentio/asm/base64"

	"aws-for-fluent-bit/internal/jsonenc"
)

// Limits are what one call of a service takes.
type Limits struct {
	Records int // records
	Bytes   int // of all data before base64, partition keys included
}

// entry is one record of a call. It may hold several of the chunk's records,
// when they were put together.
type entry struct {
	start, end int // its JSON object in the batch's body
	size       int // bytes that count for Limits.Bytes
	from, to   int // its chunk records, in the batch's indexes
}

// batch is one call in the making. Its body is the request's own JSON text,
// written record by record; the batch owns it.
type batch struct {
	body    []byte
	head    int // length of what stands before the first record
	entries []entry
	indexes []int // the chunk's record indexes of all entries
	bytes   int
}

var pool = sync.Pool{New: func() any { return new(batch) }}

// maxPooledBody is the largest body that is kept for reuse.
const maxPooledBody = 8 << 20

func newBatch(head []byte) *batch {
	b := pool.Get().(*batch)
	b.body = append(b.body[:0], head...)
	b.head = len(head)
	b.entries, b.indexes, b.bytes = b.entries[:0], b.indexes[:0], 0
	return b
}

// Free gives the batch back; nothing may use it or its body any more.
func (b *batch) Free() {
	if cap(b.body) <= maxPooledBody {
		pool.Put(b)
	}
}

// begin cuts the body to its records, starts a new one and returns where.
func (b *batch) begin() (start int) {
	b.body = b.body[:b.end()]
	if len(b.entries) > 0 {
		b.body = append(b.body, ',')
	}
	return len(b.body)
}

// end is where the last record ends.
func (b *batch) end() int {
	if len(b.entries) == 0 {
		return b.head
	}
	return b.entries[len(b.entries)-1].end
}

// tryAdd appends a record of data and, when it is not nil, a partition key,
// that stands for the chunk's records indexes. It declines when the call would
// be larger than limits; an empty batch takes any record.
func (b *batch) tryAdd(limits Limits, data, key []byte, indexes []int) bool {
	size := len(data) + len(key)
	if len(b.entries) > 0 && (len(b.entries) >= limits.Records || b.bytes+size > limits.Bytes) {
		return false
	}
	start := b.begin()
	b.body = append(b.body, `{"Data":"`...)
	b.body = appendBase64(b.body, data)
	b.body = append(b.body, '"')
	if key != nil {
		b.body = append(b.body, `,"PartitionKey":`...)
		b.body = jsonenc.AppendQuoted(b.body, key)
	}
	b.body = append(b.body, '}')
	from := len(b.indexes)
	b.indexes = append(b.indexes, indexes...)
	b.entries = append(b.entries, entry{start, len(b.body), size, from, len(b.indexes)})
	b.bytes += size
	return true
}

// appendBase64 appends data in standard base64. The assembly of segmentio/asm
// is 12 times as fast as the standard library, on what would otherwise be the
// largest part of a record's cost (BenchmarkBase64).
func appendBase64(dst, data []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(data))
	dst = slices.Grow(dst, n)
	base64.StdEncoding.Encode(dst[len(dst):len(dst)+n], data)
	return dst[:len(dst)+n]
}

// request ends the body and returns it.
func (b *batch) request() []byte {
	b.body = append(b.body[:b.end()], ']', '}')
	return b.body
}

// keep leaves only the entries for which again is true.
func (b *batch) keep(again func(k int) bool) {
	kept := b.entries[:0]
	b.bytes = 0
	end := b.head
	for k, e := range b.entries {
		if !again(k) {
			continue
		}
		if len(kept) > 0 {
			b.body[end] = ','
			end++
		}
		// Only ever moved towards the front, over what was left out.
		n := copy(b.body[end:], b.body[e.start:e.end])
		e.start, e.end = end, end+n
		end += n
		b.bytes += e.size
		kept = append(kept, e)
	}
	b.entries, b.body = kept, b.body[:end]
}

// Len returns the number of records of the call.
func (b *batch) Len() int { return len(b.entries) }

// Split returns the entries from i to j as a batch of their own.
func (b *batch) Split(i, j int) *batch {
	part := newBatch(b.body[:b.head])
	for _, e := range b.entries[i:j] {
		start, from := part.begin(), len(part.indexes)
		part.body = append(part.body, b.body[e.start:e.end]...)
		part.indexes = append(part.indexes, b.indexes[e.from:e.to]...)
		part.entries = append(part.entries, entry{start, len(part.body), e.size, from, len(part.indexes)})
		part.bytes += e.size
	}
	return part
}

// records returns how many of the chunk's records entries i to j stand for, and
// their indexes.
func (b *batch) records(i, j int) (n int, index func(k int) int) {
	from, to := b.entries[i].from, b.entries[j-1].to
	return to - from, func(k int) int { return b.indexes[from+k] }
}
