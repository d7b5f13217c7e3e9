package cloudwatch

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"aws-for-fluent-bit/internal/digest"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/spare"
)

// What one PutLogEvents call takes.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	maxBatchEvents = 10_000
	maxBatchBytes  = 1_048_576                              // of messages in UTF-8, each with eventOverhead
	eventOverhead  = 26                                     // bytes that the service adds for every event
	maxBatchSpan   = 24 * time.Hour                         // between the first and the last event: less than this
	maxEventBytes  = maxBatchBytes - eventOverhead          // of one message: what an otherwise empty call has room for
	truncatedMark  = "[Truncated...]"                       // ends a message that was cut, as in AWS's Go plugin
	maxSpanMillis  = int64(maxBatchSpan / time.Millisecond) // the unit of timestamps
)

// event is one event of a batch: where its JSON object stands, and what the
// service counts of it.
type event struct {
	millis     int64 // since 1970
	start, end int   // its JSON object in the batch's body
	size       int   // message bytes and eventOverhead
	record     int   // its index in the chunk
	retimed    bool  // its time is that of sending, as the service did not take its own
}

// batch is one PutLogEvents call in the making. Its body is the request's own
// JSON text, written event by event; the batch owns it.
type batch struct {
	spare.Region // of body, unless that has outgrown it

	target    target
	entity    string // JSON of the entity that the events belong to; "": none
	body      []byte
	small     []byte // the request compressed
	head      int    // length of what stands before the first event
	events    []event
	bytes     int   // as the service counts them
	oldest    int64 // time of an event
	newest    int64 // and of another one
	unordered bool  // an event came after a newer one
	cuts      bool  // the events of the newest millisecond may be left to the next batch
	tail      int   // the index of the first of these, if they are in its second half; else 0
	untilTail int64 // newest of those before
	metrics   bool  // an event is a document of the embedded metric format
	memo      jsonenc.Memo
	asIs      bool // the body is sent as it is, and hashed while it is being written
	digest    digest.Digest
}

// pool keeps batches with their buffers. A typical one ends at the call's limit.
var pool spare.List[*batch]

// maxPooledBody is the largest body that is kept for reuse: a full call of text
// that is all escapes can be six times the limit, and is rare.
const maxPooledBody = 2 * maxBatchBytes

func newBatch(t target, entity string) *batch {
	b, ok := pool.Get()
	if !ok {
		b = new(batch)
	}
	if b.body == nil {
		b.body = b.Reserve(maxPooledBody)
	}
	b.target, b.entity = t, entity
	b.body = append(b.body[:0], `{"logGroupName":`...)
	b.body = jsonenc.AppendQuoted(b.body, t.group)
	b.body = append(b.body, `,"logStreamName":`...)
	b.body = jsonenc.AppendQuoted(b.body, t.stream)
	if entity != "" {
		b.body = append(b.body, `,"entity":`...)
		b.body = append(b.body, entity...)
	}
	b.body = append(b.body, `,"logEvents":[`...)
	b.head = len(b.body)
	b.events, b.bytes, b.unordered, b.metrics, b.asIs = b.events[:0], 0, false, false, false
	b.oldest, b.newest, b.cuts, b.tail = 0, 0, false, 0
	b.digest.Reset()
	return b
}

// like returns an empty batch for a stream that is sent in the same way.
func (b *batch) like(t target) *batch {
	n := newBatch(t, b.entity)
	n.metrics, n.asIs = b.metrics, b.asIs
	return n
}

// Free gives the batch back; nothing may use it or its body any more.
func (b *batch) Free() {
	if cap(b.body) > maxPooledBody {
		b.body = nil
	}
	if cap(b.small) > maxPooledBody {
		b.small = nil
	}
	pool.Put(b)
}

// end is where the last event ends: what stands behind it is not part of the
// batch, as an event that had no room or that could not be written.
func (b *batch) end() int {
	if len(b.events) == 0 {
		return b.head
	}
	return b.events[len(b.events)-1].end
}

// begin cuts the body to its events and starts a new one.
func (b *batch) begin() {
	b.body = b.body[:b.end()]
	if len(b.events) > 0 {
		b.body = append(b.body, ',')
	}
}

// open begins an event and returns where. The message follows, and then close;
// without it the event is not there.
func (b *batch) open(millis int64) (start int) {
	b.begin()
	start = len(b.body)
	b.body = append(b.body, `{"timestamp":`...)
	b.body = strconv.AppendInt(b.body, millis, 10)
	b.body = append(b.body, `,"message":"`...)
	return start
}

// cut shortens the message that begins at text, and is the body's last, to max
// bytes, the mark at its end included. It returns its size.
func (b *batch) cut(text, max int) (size int) {
	n, size := jsonenc.CutEscaped(b.body[text:], max-len(truncatedMark))
	b.body = append(b.body[:text+n], truncatedMark...)
	return size + len(truncatedMark)
}

// close ends the event that begins at start and whose message has size bytes.
// It returns false when the batch has no room for it; then give takes its text
// to the next batch.
func (b *batch) close(start int, millis int64, size, record int) bool {
	b.body = append(b.body, `"}`...)
	size += eventOverhead
	if !b.hasRoom(size) {
		return false
	}
	b.push(millis, start, size, record)
	return true
}

// push notes the event whose object was written from start on.
func (b *batch) push(millis int64, start, size, record int) *event {
	switch {
	case len(b.events) == 0:
		b.oldest, b.newest = millis, millis
	case millis > b.newest:
		b.tail = 0
		if b.cuts && (b.bytes > maxBatchBytes/2 || len(b.events) > maxBatchEvents/2) {
			b.tail, b.untilTail = len(b.events), b.newest
		}
		b.newest = millis
	case millis < b.newest:
		b.unordered = true // so another body is sent, see sort
		b.tail = 0
		b.oldest = min(b.oldest, millis)
	}
	// Written where it stays: to copy one that was just made would wait until all
	// of the body that was written before has left for the caches.
	b.events = append(b.events, event{})
	e := &b.events[len(b.events)-1]
	e.millis, e.start, e.end, e.size, e.record = millis, start, len(b.body), size, record
	b.bytes += size
	if b.asIs && !b.unordered {
		b.digest.Add(b.body[:b.firm()])
	}
	return e
}

// firm is how much of the body stays with the batch.
func (b *batch) firm() int {
	if b.tail > 0 {
		return b.events[b.tail-1].end
	}
	return len(b.body)
}

// cutTo leaves the events of the newest millisecond to the next batch.
func (b *batch) cutTo(next *batch) {
	for _, e := range b.events[b.tail:] {
		next.add(b.body[e.start:e.end], e)
		b.bytes -= e.size
	}
	next.metrics = b.metrics
	b.events = b.events[:b.tail]
	b.newest, b.tail = b.untilTail, 0
}

// hasRoom says whether an event fits by number and size. An empty batch has
// room for any event, whose size was limited before. The span of time is seen to
// when the batch is sent (day): a source whose clock is days off, among others,
// would otherwise end a batch with every event.
func (b *batch) hasRoom(size int) bool {
	return len(b.events) == 0 || len(b.events) < maxBatchEvents && b.bytes+size <= maxBatchBytes
}

// day returns where the events end that one call may have together with event
// i. The batch is sorted.
func (b *batch) day(i int) (end int) {
	if b.events[len(b.events)-1].millis-b.events[i].millis < maxSpanMillis {
		return len(b.events)
	}
	for end = i + 1; b.events[end].millis-b.events[i].millis < maxSpanMillis; end++ {
	}
	return end
}

// add appends an event whose JSON object is text.
func (b *batch) add(text []byte, e event) {
	b.begin()
	start := len(b.body)
	b.body = append(b.body, text...)
	b.push(e.millis, start, e.size, e.record).retimed = e.retimed
}

// sort brings the events into the order of time that the service demands;
// those of the same millisecond stay in the order in which they came.
func (b *batch) sort() *batch {
	if !b.unordered {
		return b
	}
	sorted := b.like(b.target)
	slices.SortStableFunc(b.events, func(x, y event) int { return cmp.Compare(x.millis, y.millis) })
	for _, e := range b.events {
		sorted.add(b.body[e.start:e.end], e)
	}
	b.Free()
	return sorted
}

// Len returns the number of events.
func (b *batch) Len() int { return len(b.events) }

// Split returns the batch's events from i to j as a batch of their own.
func (b *batch) Split(i, j int) *batch {
	part := b.like(b.target)
	for _, e := range b.events[i:j] {
		part.add(b.body[e.start:e.end], e)
	}
	return part
}

// request ends the body and returns it. token is the sequence token, "" for
// none. The body may be asked for again, with another token.
func (b *batch) request(token string) []byte {
	b.body = append(b.body[:b.end()], ']')
	if token != "" {
		b.body = append(b.body, `,"sequenceToken":`...)
		b.body = jsonenc.AppendQuoted(b.body, token)
	}
	b.body = append(b.body, '}')
	return b.body
}

// record gives the chunk's record index of the k-th event.
func (b *batch) record(k int) int { return b.events[k].record }
