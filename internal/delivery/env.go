// Package delivery is what the three plugins share about getting records
// across: the verdict on a chunk, the memory of what went through, pauses, a
// pace per destination, counters, and a log that does not repeat itself.
//
// It knows nothing of any service. A plugin's Flush goes like this:
//
//	f := d.Begin(chunk)
//	for each record: if i, fresh := f.Record(); fresh { ...put it into a batch... }
//	for each batch:  f.CountIn(), then send; f.Sent(...) or f.Drop(...)
//	return f.End(err)
package delivery

import (
	"github.com/sirupsen/logrus"
)

// Result is what Fluent Bit is told about a chunk. The numbers are Fluent
// Bit's own (include/fluent-bit/flb_macros.h).
type Result int

const (
	Error Result = 0 // the chunk is given up: Fluent Bit drops it, or keeps it with storage.keep.rejected
	OK    Result = 1 // every record is settled
	Retry Result = 2 // Fluent Bit gives the same whole chunk again later

	// Pending is not for Fluent Bit: the result comes with Chunk.Resume.
	Pending Result = -1
)

func (r Result) String() string {
	switch r {
	case Error:
		return "FLB_ERROR"
	case OK:
		return "FLB_OK"
	case Retry:
		return "FLB_RETRY"
	case Pending:
		return "pending"
	}
	return "unknown result"
}

// Env is what an output instance gets from its host.
type Env struct {
	// Name is the instance's name or alias in Fluent Bit, as "cloudwatch.0".
	Name string
	// Log writes into Fluent Bit's log, at this instance's level.
	Log *logrus.Entry
	// Counters are the instance's own; the host shows them as metrics.
	Counters *Counters
	// Ending says whether Fluent Bit was told to end; nil where that cannot be
	// known. It is called often.
	Ending func() bool
	// Quit ends Fluent Bit. It is called only where SEND_FAILURE_TIMEOUT asks for it.
	Quit func()

	letters *Delivery // the output takes this one's letters, see OpenLetters; nil: it is no such output
}

// Chunk is what a plugin's Flush gets.
type Chunk struct {
	Tag string
	// Data is msgpack, borrowed from Fluent Bit: valid only until there is a result.
	Data []byte
	// OnEngine says that Flush runs on Fluent Bit's engine thread (workers 0),
	// where everything else stands still for as long as it takes.
	OnEngine bool
	// AnyOrder says that other chunks of the tag are delivered beside this one, as they
	// come, so that its records have no order to keep either.
	AnyOrder bool
	// Read, if it is not nil, is called when all of the chunk was read, and the order of
	// its batches is known: their bodies have so many bytes (0 where those of all flushes
	// are bounded together), and what is left of its flush is to send those that are
	// unsent, and to wait for the service.
	Read func(bodies, unsent int)
	// Resume, if it is not nil, is for a Flush that waits without its goroutine: it
	// returns Pending, and what is left of it is given to Resume, once, by any goroutine.
	// That runs it, and its result is the flush's.
	Resume func(rest func() Result)
	// Lost is not nil for a chunk that comes only once. It is set to the indexes of
	// the records that were not delivered, in order.
	Lost *[]int
}

// Room is what an output has under way at a time at most. More of it costs memory:
// Fluent Bit hands over all the chunks that it has.
type Room struct {
	Flushes int
	Bytes   int // of their chunks, where the service answers at once
	Late    int // of their chunks, or of the bodies if those have more, where it takes its time: then one more takes no processor's time; 0: as Bytes
	InOrder int // of their chunks, where the chunks of a tag go one after the other, as they do with one worker; 0: they do not

	// ReadInOrder says that with one worker a chunk begins only when the one of its tag
	// before it was read: the output keeps the order of the records itself.
	ReadInOrder bool
}
