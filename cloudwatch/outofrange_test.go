package cloudwatch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

const dayMillis, hourMillis = 24 * 3600 * 1000, 3600 * 1000

// wrongTimes are four events that the service does not take, in a group with a
// retention of three days, among two that it does.
func wrongTimes() []byte {
	return chunkOf(record{0, line("good")}, record{-15 * dayMillis, line("old")}, record{3 * hourMillis, line("new")},
		record{-4 * dayMillis, line("expired")}, record{-1, line("good")}, record{-5 * dayMillis, line("expired")})
}

// TestOutOfRange has events that are too old, too new or expired go with the time
// of sending, to their own stream or another one.
func TestOutOfRange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options     []string
		own, others []string
	}{
		{[]string{"out_of_range", "now"}, []string{"good", "good", "expired", "expired", "new", "old"}, nil},
		{[]string{"out_of_range", "stream", "out_of_range_stream", "late"}, []string{"good", "good"}, []string{"expired", "expired", "new", "old"}},
		{[]string{"out_of_range_stream", "s"}, []string{"good", "good", "expired", "expired", "new", "old"}, nil},
	} {
		r := newRig(t, awslocal.Config{}, append(tt.options, logKey, "log", "log_retention_days", "3")...)
		r.flush(delivery.OK, chunkOf(record{0, line("first")})) // makes the group, with its retention
		r.srv.Logs().DeleteStream("g", "s")
		r.flush(delivery.OK, wrongTimes())
		for stream, want := range map[string][]string{"s": tt.own, "late": tt.others} {
			if stream == "late" && want == nil {
				continue
			}
			got := r.messages("g", stream)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q: stream %s has %q, want %q", tt.options, stream, got, want)
			}
			for _, e := range r.srv.Logs().Stream("g", stream).Events() {
				if age := time.Since(time.UnixMilli(e.Timestamp)); age < 0 || age > time.Minute {
					t.Errorf("%q: %s is %v old", tt.options, e.Message, age)
				}
			}
		}
		r.srv = nil // one event went with the stream
		r.account(7, 7, 0)
		r.wantCount(delivery.Retimed, 4)
		for _, why := range []string{"too_old", "too_new", "expired"} {
			r.log.Want(t, "warning", `stream "s" are `+why, "with the time of sending")
		}
		r.log.None(t, "left out")
	}
}

// TestOwnCheck does not send what is known to be refused, and leaves the rest to
// the service.
func TestOwnCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "out_of_range", "now")
	r.srv.Logs().CreateStream("g", "s")
	edge := int64(14*dayMillis) - 60_000
	r.flush(delivery.OK, chunkOf(record{-15 * dayMillis, line("old")}, record{3 * hourMillis, line("new")}))
	r.wantCalls("PutLogEvents", 1)
	r.wantCount(delivery.Retimed, 2)
	r.flush(delivery.OK, chunkOf(record{-edge, line("nearly too old")}))
	r.flush(delivery.OK, chunkOf(record{2*hourMillis - 60_000, line("nearly too new")}))
	r.wantCount(delivery.Retimed, 2)
	r.account(4, 4, 0)
}

// TestEdgesOfRange are the last milliseconds that the service takes.
func TestEdgesOfRange(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "out_of_range_stream", "late")
	s := &sender{p: r.Plugin, begun: now}
	at := target{"g", "s"}
	for off, want := range map[int64]string{-14 * dayMillis: "s", -14*dayMillis - 1: "late", 2 * hourMillis: "s", 2*hourMillis + 1: "late"} {
		if got, _ := s.inRange(at, now.UnixMilli()+off); got.stream != want {
			t.Errorf("%d ms from now: to stream %s, want %s", off, got.stream, want)
		}
	}
}

// TestServicesClock has the two clocks disagree: events get the time of sending
// once, and are dropped if that is refused too.
func TestServicesClock(t *testing.T) {
	t.Parallel()
	for ahead, why := range map[time.Duration]delivery.Reason{20 * 24 * time.Hour: delivery.TooOld, -3 * time.Hour: delivery.TooNew} {
		r := newRig(t, awslocal.Config{Now: func() time.Time { return time.Now().Add(ahead) }}, logKey, "log", "out_of_range_stream", "late")
		r.srv.Logs().CreateStream("g", "s")
		r.srv.Logs().CreateStream("g", "late")
		r.flush(delivery.OK, numbered(0, 10))
		r.wantCalls("PutLogEvents", 2)
		r.account(10, 0, 0, why, 10)
		r.wantCount(delivery.Retimed, 10)
		r.log.Want(t, "warning", "left out 10 events", `stream "late"`)
	}
}

// TestRetimedAgain loses none of the events that are left out of a call when the
// next call, for them, fails.
func TestRetimedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "out_of_range", "now", "retry_budget", "0")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.RejectEvents, TooOld: 2, Expired: 5, TooNew: 4}, awslocal.Fault{Kind: awslocal.Error, Status: 500})
	r.flush(delivery.Retry, numbered(0, 20))
	r.account(20, 11, 9)
	r.wantCount(delivery.Retimed, 9)
	r.flush(delivery.OK, numbered(0, 20))
	r.wantOnce("g", "s", 0, 20)
	r.account(20, 20, 0)
}

func TestOutOfRangeConflicts(t *testing.T) {
	for _, tt := range []struct{ what, stream, want string }{
		{"stream", "", "out_of_range is stream, and there is no out_of_range_stream"},
		{"drop", "late", `the stream is "late", and out_of_range is drop, not stream`},
		{"now", "late", "out_of_range is now"},
		{"", strings.Repeat("s", 513), "up to 512 bytes"},
	} {
		opts := with("out_of_range", tt.what)
		opts["out_of_range_stream"] = tt.stream
		if _, _, err := parse(opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
	if c, _, err := parse(with("out_of_range", "drop")); err != nil || c.outOfRange.now {
		t.Errorf("drop: %+v, %v", c.outOfRange, err)
	}
}
