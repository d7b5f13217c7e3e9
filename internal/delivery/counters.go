package delivery

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Reason says why a record was dropped.
type Reason int

const (
	Malformed  Reason = iota // not an event, or nothing that can be written as JSON
	Empty                    // nothing left to send
	MissingKey               // the record lacks the key that is to be sent
	TooOld                   // older than the service takes
	TooNew                   // further in the future than the service takes
	Expired                  // older than the log group's retention
	TooLarge                 // larger than the service takes, and not to be cut
	Refused                  // the service refuses this record for good
	Abandoned                // Fluent Bit did not bring it back
	numReasons
)

var reasonNames = [numReasons]string{
	"malformed", "empty", "missing_key", "too_old", "too_new", "expired", "too_large", "refused", "abandoned",
}

func (r Reason) String() string { return reasonNames[r] }

// Counter is a number that only grows.
type Counter int

const (
	In          Counter = iota // records taken in, each once, however often its chunk comes
	Sent                       // records that the service accepted
	Resent                     // records sent again after a refusal or a lost answer
	Truncated                  // records cut to the service's limit
	RandomKey                  // records without a usable partition key of their own
	DefaultName                // records sent to a default group or stream
	Requests                   // calls made
	Throttled                  // calls or records that the service held back
	Failed                     // calls that failed in any other way
	Bytes                      // request bytes of calls that were answered with success
	Retries                    // chunks given back to Fluent Bit
	Skipped                    // records not sent again since an earlier flush had delivered them
	numCounters
)

// counterNames are the metrics' names (without prefix) and their help texts.
var counterNames = [numCounters][2]string{
	{"records_in_total", "Records taken in, each once."},
	{"records_sent_total", "Records that the service accepted."},
	{"records_resent_total", "Records sent again after a refusal or a lost answer."},
	{"records_truncated_total", "Records cut to the service's limit."},
	{"records_random_key_total", "Records without a usable partition key of their own."},
	{"records_default_name_total", "Records sent to a default log group or log stream."},
	{"requests_total", "Calls to the service."},
	{"throttled_total", "Calls and records that the service held back."},
	{"requests_failed_total", "Calls that failed, throttling aside."},
	{"request_bytes_total", "Bytes of the request bodies that were accepted."},
	{"chunks_retried_total", "Chunks given back to Fluent Bit to bring again."},
	{"records_skipped_total", "Records not sent again: an earlier flush of their chunk had delivered them."},
}

// Counters are one output's account. At all times, when no flush is under way,
//
//	In = Sent + every Dropped + Pending
//
// where Pending are the records of chunks that Fluent Bit is to bring again.
type Counters struct {
	count   [numCounters]atomic.Uint64
	dropped [numReasons]atomic.Uint64
}

// Add adds n to c.
func (cs *Counters) Add(c Counter, n int) { cs.count[c].Add(uint64(n)) }

// Get returns c.
func (cs *Counters) Get(c Counter) uint64 { return cs.count[c].Load() }

// Drop adds n records dropped for reason.
func (cs *Counters) Drop(r Reason, n int) { cs.dropped[r].Add(uint64(n)) }

// Dropped returns how many records were dropped for reason.
func (cs *Counters) Dropped(r Reason) uint64 { return cs.dropped[r].Load() }

// DroppedAll returns how many records were dropped for any reason.
func (cs *Counters) DroppedAll() (n uint64) {
	for r := range cs.dropped {
		n += cs.dropped[r].Load()
	}
	return n
}

// Pending returns the records that are neither sent nor dropped.
func (cs *Counters) Pending() uint64 {
	// Read in this order the difference cannot be negative: In grows before
	// Sent and Dropped do.
	settled := cs.Get(Sent) + cs.DroppedAll()
	return cs.Get(In) - settled
}

// Metric is one number to show.
type Metric struct {
	Name, Help string
	Reason     string // the value of the label reason; "" when the metric has none
	Gauge      bool   // may go down again
	Value      uint64
}

// Each calls f with every metric: always the same ones, in the same order.
func (cs *Counters) Each(f func(Metric)) {
	for c, n := range counterNames {
		f(Metric{Name: n[0], Help: n[1], Value: cs.Get(Counter(c))})
	}
	for r, name := range reasonNames {
		f(Metric{Name: "records_dropped_total", Help: "Records that were not delivered, by reason.",
			Reason: name, Value: cs.Dropped(Reason(r))})
	}
	f(Metric{Name: "records_pending", Help: "Records that Fluent Bit is to bring again.",
		Gauge: true, Value: cs.Pending()})
}

// String is the account in one line, what is zero left out save the first two.
func (cs *Counters) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "in %d, sent %d", cs.Get(In), cs.Get(Sent))
	add := func(name string, n uint64) {
		if n > 0 {
			fmt.Fprintf(&b, ", %s %d", name, n)
		}
	}
	for r, name := range reasonNames {
		add("dropped "+name, cs.Dropped(Reason(r)))
	}
	add("pending", cs.Pending())
	add("truncated", cs.Get(Truncated))
	add("random partition keys", cs.Get(RandomKey))
	add("to default names", cs.Get(DefaultName))
	add("resent", cs.Get(Resent))
	add("skipped", cs.Get(Skipped))
	add("throttled", cs.Get(Throttled))
	add("failed requests", cs.Get(Failed))
	add("chunks given back", cs.Get(Retries))
	add("requests", cs.Get(Requests))
	add("request bytes", cs.Get(Bytes))
	return b.String()
}
