package cloudwatch

import (
	"slices"
	"sync"

	"aws-for-fluent-bit/internal/delivery"
)

// CloudWatch Logs gives the events of a stream out by time, and those of one
// millisecond in the order in which they came to it. So that records are seen in
// their order, a call has to come after an earlier one of its stream only if the two
// have a millisecond in common; all others go side by side. Between chunks of different
// tags there is no order.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html

// order is the batches of a stream that are under way, as their records came.
type order struct {
	mu    sync.Mutex
	spans []*span
}

// span is the time from a batch's first event to its last.
type span struct {
	flush       *delivery.Flush
	tag         string
	first, last int64 // milliseconds since 1970
	order       *order
	after       []*span       // that are to end before
	ended       chan struct{} // closed when the batch is delivered, or given up for this flush
}

// enter takes the place behind those that are there.
func (o *order) enter(s *span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, before := range o.spans {
		if before.tag == s.tag && before.first <= s.last && s.first <= before.last {
			s.after = append(s.after, before)
		}
	}
	s.order = o
	o.spans = append(o.spans, s)
}

// wait waits for those before. A flush that has waited for another one gets its
// budget anew.
func (s *span) wait() {
	for _, before := range s.after {
		select {
		case <-before.ended:
			continue
		default:
		}
		<-before.ended
		if before.flush != s.flush {
			s.flush.Renew()
		}
	}
	s.after = nil
}

// end leaves the order, if the span is in one.
func (s *span) end() {
	if o := s.order; o != nil {
		o.mu.Lock()
		i := slices.Index(o.spans, s)
		o.spans = slices.Delete(o.spans, i, i+1)
		o.mu.Unlock()
	}
	close(s.ended)
}
