package cloudwatch

import (
	"strconv"
	"time"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
)

// What PutLogEvents takes of an event's time; the log group's retention, which is
// not known here, may take less.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	maxEventAge    = 14 * 24 * time.Hour
	maxEventFuture = 2 * time.Hour
)

// outOfRange is what becomes of events whose time the service does not take. The
// zero value leaves it to the service, which leaves them out.
type outOfRange struct {
	now    bool   // they are sent with the time of sending
	stream string // to this log stream of their log group; "": to their own
}

// parseOutOfRange reads the options out_of_range and out_of_range_stream.
func parseOutOfRange(s *options.Set) outOfRange {
	const both = "options out_of_range and out_of_range_stream: "
	what := s.OneOf("out_of_range", "", "drop", "now", "stream")
	stream, named := s.Lookup("out_of_range_stream")
	switch {
	case named && (what == "drop" || what == "now"):
		s.Conflict(both+"the stream is %q, and out_of_range is %s, not stream", stream, what)
	case !named && what == "stream":
		s.Conflict(both + "out_of_range is stream, and there is no out_of_range_stream")
	case named:
		checkStreamName(s, "out_of_range_stream", stream)
	}
	return outOfRange{now: named || what == "now", stream: stream}
}

// checkStreamName checks an option that names one log stream.
func checkStreamName(s *options.Set, option, name string) {
	if string(streamAlphabet.clean(new([]byte), []byte(name))) != name {
		s.Fail(option, name, "a log stream's name: up to 512 bytes, without : and *")
	}
}

// target is where events of t go whose time the service does not take.
func (o outOfRange) target(t target) target {
	if o.stream != "" {
		t.stream = o.stream
	}
	return t
}

// inRange returns where an event goes and with which time, by this machine's
// clock. What the service's clock says is seen to when it answers.
func (s *sender) inRange(t target, millis int64) (target, int64) {
	now := s.begun.UnixMilli()
	why := delivery.TooOld
	switch {
	case millis > now+maxEventFuture.Milliseconds():
		why = delivery.TooNew
	case millis >= now-maxEventAge.Milliseconds():
		return t, millis
	}
	s.retimed(t, 1, why)
	return s.p.outOfRange.target(t), now
}

// retimed counts events of t that get the time of sending, and says so.
func (s *sender) retimed(t target, n int, why delivery.Reason) {
	s.p.Add(delivery.Retimed, n)
	topic := "retimed " + why.String()
	if s.p.Said.Repeated(topic) {
		return
	}
	s.p.Said.Warn(topic, "%d events for log group %q, stream %q are %s, and are sent to stream %q with the time of sending",
		n, t.group, t.stream, why, s.p.outOfRange.target(t).stream)
}

// retime takes the events from i to j, which the service has left out for their
// time, to a batch of their own, for finish to send. It returns false if they are
// to be dropped: by option, or since their time is that of sending.
func (s *sender) retime(b *batch, why delivery.Reason, i, j int) bool {
	if !s.p.outOfRange.now || b.events[i].retimed {
		return false
	}
	late := b.like(s.p.outOfRange.target(b.target))
	now := time.Now().UnixMilli()
	for _, e := range b.events[i:j] {
		start := late.open(now)
		late.body = append(late.body, b.body[e.start+messageAt(e.millis):e.end]...)
		late.push(now, start, e.size, e.record).retimed = true
	}
	s.retimed(b.target, j-i, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = append(s.late, late)
	return true
}

// messageAt is where the message begins in an event's JSON object (batch.open).
func messageAt(millis int64) int {
	var digits [20]byte
	return len(`{"timestamp":,"message":"`) + len(strconv.AppendInt(digits[:0], millis, 10))
}
