package delivery

import (
	"os"
	"sync/atomic"
	"time"

	"aws-for-fluent-bit/internal/options"
)

// failFastEnv is AWS's own switch, documented with all three of its Go plugins:
// a duration as 5m30s, after which an output that has made no progress ends
// Fluent Bit, so that a configuration that cannot work is noticed. Without it
// nothing here ever ends Fluent Bit.
const failFastEnv = "SEND_FAILURE_TIMEOUT"

// failFast ends Fluent Bit when no record has got across for too long. AWS's
// plugins look only when the next send begins, so that a hanging call is never
// noticed; here every failure is a look, and every call has a deadline.
type failFast struct {
	after time.Duration // 0: never
	quit  func()
	since atomic.Int64 // when the first failure after a success was; 0: the last answer was a success
}

// parseFailFast reads the environment. A value that is no duration is a problem
// of the configuration like any other.
func parseFailFast(s *options.Set, quit func()) failFast {
	value := os.Getenv(failFastEnv)
	if value == "" {
		return failFast{}
	}
	after, err := time.ParseDuration(value)
	if err != nil || after <= 0 {
		s.Conflict("environment variable %s: cannot use %q: allowed is a duration as 90s or 5m30s", failFastEnv, value)
	}
	return failFast{after: after, quit: quit}
}

// answered is told of every answer, or the lack of one.
func (q *failFast) answered(failed bool, said *Said) {
	if q.after == 0 {
		return
	}
	if !failed {
		q.since.Store(0)
		return
	}
	now := time.Now()
	if q.since.CompareAndSwap(0, now.UnixNano()) {
		return
	}
	if stuck := now.Sub(time.Unix(0, q.since.Load())); stuck >= q.after {
		said.Error(failFastEnv, "no record got across for %v, and %s is %v: fluent bit is ended", stuck.Round(time.Second), failFastEnv, q.after)
		q.quit()
	}
}
