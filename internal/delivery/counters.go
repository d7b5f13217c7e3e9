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
	Abandoned                // Fluent Bit did not bring it back, or its chunk had to be forgotten
	numReasons
)

var reasonNames = [numReasons]string{
	"malformed", "empty", "missing_key", "too_old", "too_new", "expired", "too_large", "refused", "abandoned",
}

func (r Reason) String() string { return reasonNames[r] }

// Counter is a number that only grows.
type Counter int

const (
	In          Counter = iota // records taken in, each once, however often its chunk comes (as the ledger knows it)
	Sent                       // records that the service accepted
	Resent                     // records sent again after a refusal or a lost answer
	Truncated                  // records cut to the service's limit
	Parted                     // records sent in parts
	Retimed                    // records sent with the time of sending
	DeadLetters                // records given up that are kept as dead letters
	LostLetters                // records given up that were to be kept and are not
	RandomKey                  // records without a usable partition key of their own
	DefaultName                // records sent to a default group or stream
	SentWhole                  // records sent whole since they lack the key that is to be sent
	Requests                   // calls made
	Throttled                  // calls or records that the service held back
	Failed                     // calls that failed in any other way
	Bytes                      // request bytes of calls that were answered with success
	Retries                    // chunks given back to Fluent Bit
	Skipped                    // records not sent again since an earlier flush had settled them
	numCounters
)

// counterNames are the metrics' names (without prefix) and their help texts.
var counterNames = [numCounters][2]string{
	{"records_in_total", "Records taken in, each once."},
	{"records_sent_total", "Records that the service accepted."},
	{"records_resent_total", "Records sent again after a refusal or a lost answer."},
	{"records_truncated_total", "Records cut to the service's limit."},
	{"records_split_total", "Records sent in parts, as they are larger than the service takes."},
	{"records_retimed_total", "Records sent with the time of sending, as the service does not take their own."},
	{"dead_letters_total", "Records given up and kept: in the dead letter stream or file."},
	{"dead_letters_lost_total", "Records given up that neither the dead letter stream nor the file took."},
	{"records_random_key_total", "Records without a usable partition key of their own."},
	{"records_default_name_total", "Records sent to a default log group or log stream."},
	{"records_whole_total", "Records sent whole since they lack the log key."},
	{"requests_total", "Requests to the service; one that its connection cut short counts anew when it is made again."},
	{"throttled_total", "Calls and records that the service held back."},
	{"requests_failed_total", "Calls that failed, throttling aside."},
	{"request_bytes_total", "Bytes of the request bodies that were accepted."},
	{"chunks_retried_total", "Chunks given back to Fluent Bit to bring again."},
	{"records_skipped_total", "Records not sent again: an earlier flush of their chunk had settled them."},
}

// Counters are one output's account. At all times, whoever looks,
//
//	In = Sent + every Dropped + Pending
//
// where Pending are the records under way and those of chunks that Fluent Bit is
// to bring again. A chunk that was forgotten (its records are Abandoned) and
// that comes after all is a new one: its records are taken in again.
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

// account is the counters at one time, so that they add up while they grow.
type account struct {
	count   [numCounters]uint64
	dropped [numReasons]uint64
	pending uint64
}

func (cs *Counters) account() (a account) {
	settled := uint64(0)
	for r := range a.dropped {
		a.dropped[r] = cs.Dropped(Reason(r))
		settled += a.dropped[r]
	}
	for c := numCounters - 1; c >= In; c-- { // Sent before In, see Pending
		a.count[c] = cs.Get(c)
	}
	a.pending = a.count[In] - a.count[Sent] - settled
	return a
}

// Metric is one number to show.
type Metric struct {
	Name, Help string
	Reason     string // the value of the label reason; "" when the metric has none
	Gauge      bool   // may go down again
	Value      uint64
}

// Each calls f with every metric: always the same ones, in the same order, and
// with values that add up.
func (cs *Counters) Each(f func(Metric)) {
	a := cs.account()
	for c, n := range counterNames {
		f(Metric{Name: n[0], Help: n[1], Value: a.count[c]})
	}
	for r, name := range reasonNames {
		f(Metric{Name: "records_dropped_total", Help: "Records that were not delivered, by reason.",
			Reason: name, Value: a.dropped[r]})
	}
	f(Metric{Name: "records_pending", Help: "Records under way, or in chunks that Fluent Bit is to bring again.",
		Gauge: true, Value: a.pending})
}

// String is the account in one line, what is zero left out save the first two.
func (cs *Counters) String() string {
	a := cs.account()
	var b strings.Builder
	fmt.Fprintf(&b, "in %d, sent %d", a.count[In], a.count[Sent])
	add := func(name string, n uint64) {
		if n > 0 {
			fmt.Fprintf(&b, ", %s %d", name, n)
		}
	}
	for r, name := range reasonNames {
		add("dropped "+name, a.dropped[r])
	}
	add("pending", a.pending)
	add("truncated", a.count[Truncated])
	add("split", a.count[Parted])
	add("retimed", a.count[Retimed])
	add("dead letters", a.count[DeadLetters])
	add("dead letters lost", a.count[LostLetters])
	add("random partition keys", a.count[RandomKey])
	add("to default names", a.count[DefaultName])
	add("sent whole", a.count[SentWhole])
	add("resent", a.count[Resent])
	add("skipped", a.count[Skipped])
	add("throttled", a.count[Throttled])
	add("failed requests", a.count[Failed])
	add("chunks given back", a.count[Retries])
	add("requests", a.count[Requests])
	add("request bytes", a.count[Bytes])
	return b.String()
}
