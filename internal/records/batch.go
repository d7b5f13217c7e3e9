// Package records is what Kinesis Data Streams and Data Firehose share: calls
// that carry many records, are answered for each of them, and are repeated only
// for those that were refused.
package records

import (
	"slices"
	"sync/atomic"

	"aws-for-fluent-bit/internal/base64"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/digest"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/spare"
)

// Limits are what one call of a service takes.
type Limits struct {
	Records int // records
	Bytes   int // of all data before base64, partition keys included
}

// fit says whether a call of that many records and bytes is within the limits.
func (l Limits) fit(records, bytes int) bool { return records <= l.Records && bytes <= l.Bytes }

// entry is one record of a call. It may hold several of the chunk's records,
// when they were put together. A call has megabytes at most, and there are many of
// these: for small records they are a seventh of the body.
type entry struct {
	start, end int32 // its object in the batch's body
	size       int32 // bytes that count for Limits.Bytes
	from, to   int32 // its chunk records, in the batch's indexes
}

// Wire is how the requests of a service are written: in JSON, with the data in
// base64, or in CBOR, with the data as it is.
type Wire struct {
	Head []byte // the request up to and with what opens its list of records
	CBOR bool

	last atomic.Int64 // bytes of the last such batch, as Limits count them; 0: there was none
}

// filled hears of a batch that had no room for a further record.
func (w *Wire) filled(b *batch) { w.last.Store(int64(b.bytes)) }

// batch is one call in the making. Its body is the request's own bytes, written
// record by record.
type batch struct {
	wire    *Wire
	spares  *spares // where it goes when it is free, and its buffer
	buffer  *buffer // of body; nil: it has no body, its records are in a group's
	body    []byte
	entries []entry
	indexes []int // the chunk's record indexes of all entries
	bytes   int

	digest digest.Digest
	waits  bool   // it is hashed beside the next batch
	beside *batch // the one that has waited for this one; nil: none

	alone  bool    // it shares its calls with no other batch, see gather
	member *member // its place among those that share its next call; nil: none

	// Of the last call with these entries, if there was one.
	last  delivery.Verdict // what became of it; Done: there was none
	share float64          // of its records that were refused; 0: it was not answered for each
}

// buffer is what a body is written into. Those in use are fewer than the batches.
type buffer struct {
	spare.Region // of empty, unless there is none

	empty []byte
}

// spares are batches and buffers for their next use.
type spares struct {
	batches spare.List[*batch]
	buffers spare.List[*buffer]
}

// Those of flushes, and those of the calls that flushes share: these are large,
// and would with time make all others so, of which there may be hundreds.
var pool, shared spares

// maxPooled is how many bytes of buffers are kept for reuse, for each batch and
// each Writer.
const maxPooled = 8 << 20

func newBatch(wire *Wire) *batch { return newBatchOf(&pool, wire) }

func newBatchOf(from *spares, wire *Wire) *batch {
	b, ok := from.batches.Get()
	if !ok {
		b = &batch{spares: from}
	}
	b.wire = wire
	b.open()
	b.last, b.share, b.alone, b.member = delivery.Verdict{}, 0, false, nil
	b.digest.Reset()
	b.waits, b.beside = false, nil
	return b
}

// Free gives the batch back; nothing may use it or its body any more.
func (b *batch) Free() {
	b.freeBody()
	b.spares.batches.Put(b)
}

// open has the batch begin a body, without records.
func (b *batch) open() {
	to, ok := b.spares.buffers.Get()
	if !ok {
		to = new(buffer)
	}
	if to.empty == nil {
		to.empty = to.Reserve(maxPooled)
	}
	b.buffer = to
	b.body = append(to.empty, b.wire.Head...)
	b.entries, b.indexes, b.bytes = b.entries[:0], b.indexes[:0], 0
}

// freeBody gives back the buffer of the body. What the batch tells of its records
// without it is good.
func (b *batch) freeBody() {
	if b.buffer == nil {
		return
	}
	b.buffer.empty = nil
	if cap(b.body) <= maxPooled {
		b.buffer.empty = b.body[:0]
	}
	b.spares.buffers.Put(b.buffer)
	b.buffer, b.body = nil, nil
}

// begin cuts the body to its records, starts a new one and returns where.
func (b *batch) begin() (start int) {
	b.body = b.body[:b.end()]
	if len(b.entries) > 0 && !b.wire.CBOR {
		b.body = append(b.body, ',')
	}
	return len(b.body)
}

// end is where the last record ends.
func (b *batch) end() int {
	if len(b.entries) == 0 {
		return len(b.wire.Head)
	}
	return int(b.entries[len(b.entries)-1].end)
}

// tryAdd appends a record of data and, when it is not nil, a partition key,
// that stands for the chunk's records indexes. It declines when the call would
// be larger than limits; an empty batch takes any record.
func (b *batch) tryAdd(limits Limits, data, key []byte, indexes []int) bool {
	size := len(data) + len(key)
	if len(b.entries) > 0 && !limits.fit(len(b.entries)+1, b.bytes+size) {
		return false
	}
	start := b.begin()
	if b.wire.CBOR {
		b.body = appendCBOR(b.body, data, key)
	} else {
		b.body = appendJSON(b.body, data, key)
	}
	b.close(start, size, indexes)
	switch {
	case b.beside != nil:
		digest.AddPair(&b.digest, b.body, &b.beside.digest, b.beside.body)
	case !b.waits:
		b.digest.Add(b.body)
	}
	return true
}

// appendJSON appends a record as JSON.
func appendJSON(dst, data, key []byte) []byte {
	dst = append(dst, `{"Data":"`...)
	dst = appendBase64(dst, data)
	dst = append(dst, '"')
	if key != nil {
		dst = append(dst, `,"PartitionKey":`...)
		dst = jsonenc.AppendQuoted(dst, key)
	}
	return append(dst, '}')
}

// close notes the record whose object was written from start on.
func (b *batch) close(start, size int, indexes []int) {
	from := len(b.indexes)
	b.indexes = append(b.indexes, indexes...)
	// Written where it stays: to copy one that was just made would wait until all
	// of the body that was written before has left for the caches.
	b.entries = append(b.entries, entry{})
	e := &b.entries[len(b.entries)-1]
	e.start, e.end, e.size, e.from, e.to = int32(start), int32(len(b.body)), int32(size), int32(from), int32(len(b.indexes))
	b.bytes += size
}

// appendBase64 appends data in standard base64.
func appendBase64(dst, data []byte) []byte {
	n := base64.EncodedLen(len(data))
	dst = slices.Grow(dst, n)
	base64.Encode(dst[len(dst):len(dst)+n], data)
	return dst[:len(dst)+n]
}

// request ends the body and returns it.
func (b *batch) request() []byte {
	tail := "]}"
	if b.wire.CBOR {
		tail = endCBOR
	}
	b.body = append(b.body[:b.end()], tail...)
	return b.body
}

// keep leaves only the entries for which again is true.
func (b *batch) keep(again []bool) {
	b.digest.Changed()
	entries := b.entries
	b.entries, b.bytes = entries[:0], 0
	indexes := b.indexes
	b.indexes = indexes[:0]
	end := len(b.wire.Head)
	for k, e := range entries {
		if !again[k] {
			continue
		}
		if len(b.entries) > 0 && !b.wire.CBOR {
			b.body[end] = ','
			end++
		}
		// Only ever moved towards the front, over what was left out.
		n := copy(b.body[end:], b.body[e.start:e.end])
		from := len(b.indexes)
		b.indexes = append(b.indexes, indexes[e.from:e.to]...)
		b.entries = append(b.entries, entry{int32(end), int32(end + n), e.size, int32(from), int32(len(b.indexes))})
		b.bytes += int(e.size)
		end += n
	}
	b.body = b.body[:end]
}

// add appends copies of the entries of another batch of the same destination.
func (b *batch) add(from *batch, entries []entry) {
	b.digest.Changed() // at its end, but such batches are small or rare
	for _, e := range entries {
		start := b.begin()
		b.body = append(b.body, from.body[e.start:e.end]...)
		b.close(start, int(e.size), from.indexes[e.from:e.to])
	}
}

// Len returns the number of records of the call.
func (b *batch) Len() int { return len(b.entries) }

// partly says whether the last call was accepted for some records and not for others.
func (b *batch) partly() bool { return b.share > 0 && b.share < 1 }

// Split returns the entries from i to j as a batch of their own. As one of them
// may have the whole call refused, they go alone.
func (b *batch) Split(i, j int) *batch {
	part := newBatch(b.wire)
	part.alone = true
	part.add(b, b.entries[i:j])
	return part
}

// records returns how many of the chunk's records entries i to j stand for, and
// their indexes.
func (b *batch) records(i, j int) (n int, index func(k int) int) {
	if i == j {
		return 0, nil
	}
	from, to := int(b.entries[i].from), int(b.entries[j-1].to)
	return to - from, func(k int) int { return b.indexes[from+k] }
}
