package delivery

import (
	"fmt"
	"runtime/debug"
	"time"
)

// Attempts is the history of one batch within one flush. The zero value is a
// batch that was not sent yet.
type Attempts struct {
	paused    int  // tries that ended in a pause
	atOnce    int  // tries that were repeated at once
	refreshed bool // credentials were renewed for it
}

// maxAtOnce is how often a batch is sent again without a pause: a stream that
// was just created, a connection that was closed, a sequence token that another
// writer has used up. What goes on for longer is treated as any other failure.
const maxAtOnce = 3

// Again does what verdict v asks for before a batch is sent again: nothing, or
// a pause. It returns false when the batch is not to be sent again in this
// flush, since that is of no use or the budget is spent.
func (f *Flush) Again(a *Attempts, v Verdict) bool {
	f.fails(true)
	switch v.Action {
	case AgainNow, Create:
		if a.atOnce < maxAtOnce {
			a.atOnce++
			return time.Now().Before(f.Deadline())
		}
	case Refresh:
		if a.refreshed {
			return false
		}
		a.refreshed = true
		return time.Now().Before(f.Deadline())
	case Again:
	default:
		return false
	}
	pauses := a.paused
	a.paused++
	return f.Pause(pauses, v.Pause)
}

// Guard is deferred at the top of every goroutine that works for a flush: a
// panic there would otherwise end Fluent Bit. The records in its hands stay
// unsettled, so their chunk comes again.
func (f *Flush) Guard() {
	if v := recover(); v != nil {
		f.d.Said.Error("panic", "a panic while sending a chunk of tag %q, which will be sent again: %v\n%s", f.chunk.Tag, v, debug.Stack())
	}
}

// guardRecord is deferred where one record is read and written: a panic there
// costs that record, which is dropped as malformed, and not its chunk.
func (f *Flush) guardRecord(i int) {
	if v := recover(); v != nil {
		f.giveUpOne(i, Cause{Why: Malformed, Text: "a panic over it"})
		f.d.Said.Error("panic", "a panic over a record of tag %q, which was dropped: %v\n%s", f.chunk.Tag, v, debug.Stack())
	}
}

// caught is deferred where a chunk is walked: a panic becomes the error that
// ends the walk.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	}
}
