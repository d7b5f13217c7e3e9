package kinesis

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
		return subject.Start(t, awslocal.Config{Discard: true, KinesisStreams: map[string]int{"s": 64}}, append(opts, "log_key", "log")...)
	}
	r := start()
	r.Want(delivery.OK, recordstest.Sized(500, 712)) // and 8 of a random partition key
	r.Log.None(t, "cost")
	for range 3 {
		r.Want(delivery.OK, recordstest.Sized(500, 712))
	}
	// 25,600 bytes for 720: 35.6 times what is sent.
	r.Log.Want(t, "info", `cost: records for "s" have 720 bytes on average. With provisioned capacity each GB takes 1389 thousand PUT payload units of 25 KB, where 39 thousand would do; on demand it is billed as 1.42 GB,`)

	for _, opts := range [][]string{{"aggregation", "true"}, {"simple_aggregation", "true"}} {
		r := start(opts...)
		for range 4 {
			r.Want(delivery.OK, recordstest.Sized(500, 712))
		}
		r.Log.None(t, "cost")
	}
	r = start()
	for range 2 {
		r.Want(delivery.OK, recordstest.Sized(500, 20<<10))
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
