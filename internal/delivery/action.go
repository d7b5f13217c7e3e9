package delivery

import "time"

// Action is what is to be done after an answer, or the lack of one: what each
// plugin's table of error codes leads to. It speaks of one request, or of one
// record where the service answers for each.
type Action int

const (
	// Done: accepted. The records are settled as sent.
	Done Action = iota

	// Again: failed in a way that passes. The same records go out again after a
	// pause (Flush.Pause), within the flush's budget.
	Again

	// AgainNow: nothing to wait for, as with a kept connection that turns out to
	// be closed. A few times at once and silently; after that it is Again.
	AgainNow

	// Refresh: the credentials are expired or not taken. New ones are fetched,
	// and the same records go out again at once; when that comes to the same it is Later.
	Refresh

	// Create: the log group or log stream is not there. Where the options allow
	// it, it is created and the same records go out again; otherwise it is Later.
	Create

	// Split: the request was refused as a whole, for what is in it. Its halves
	// are sent apart, so that one bad record costs one record: a single record
	// that is refused is a Drop.
	Split

	// Later: trying again within this flush is of no use (access denied, no such
	// stream and not allowed to create it), yet the records are good and somebody
	// may put it right. The flush ends with FLB_RETRY without spending its
	// budget; how long to go on is the user's say, in Fluent Bit's Retry_Limit.
	Later

	// Drop: this record is refused for good. It is settled as dropped, and counted.
	Drop

	numActions
)

var actionNames = [numActions]string{"done", "again", "again at once", "refresh", "create", "split", "later", "drop"}

func (a Action) String() string {
	if a < 0 || a >= numActions {
		return "unknown action"
	}
	return actionNames[a]
}

// Verdict is what an answer means.
type Verdict struct {
	Action Action
	Pause  time.Duration // how long the service asked to wait (Retry-After); 0: it did not
	Slow   bool          // the destination is throttling: its Pace is to slow down
	Reason string        // for the log and never with record contents: the code and what it says
}
