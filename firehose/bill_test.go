package firehose

import (
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// TestCostOfSmallRecords says once what records cost that are small, and nothing
// of those that are large or put together.
func TestCostOfSmallRecords(t *testing.T) {
	t.Parallel()
	start := func(opts ...string) *recordstest.Rig {
		return subject.Start(t, awslocal.Config{Discard: true}, append(opts, "log_key", "log")...)
	}
	r := start()
	r.Want(delivery.OK, recordstest.Sized(500, 711)) // and a newline
	r.Log.None(t, "cost")
	for range 3 {
		r.Want(delivery.OK, recordstest.Sized(500, 711))
	}
	r.Log.Want(t, "info", `cost: records for "s" have 712 bytes on average, and Firehose bills each in steps of 5 KB: 7.2 GB for each GB.`)

	r = start("simple_aggregation", "true")
	for range 4 {
		r.Want(delivery.OK, recordstest.Sized(500, 711))
	}
	r.Log.None(t, "cost")
	r = start()
	for range 2 {
		r.Want(delivery.OK, recordstest.Sized(500, 4<<10))
	}
	r.Log.None(t, "cost")
}

// TestAdvice gives it from half as much again on.
func TestAdvice(t *testing.T) {
	for rounded, want := range map[int]bool{149: false, 150: true} {
		if got := new(Plugin).advice(records.Billed{Records: 1, Bytes: 100, Rounded: [2]int{rounded, rounded}}); (got != "") != want {
			t.Errorf("%d bytes billed for 100: got %q", rounded, got)
		}
	}
}
