package delivery

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestMetrics(t *testing.T) {
	want := strings.Fields(`
		records_in_total records_sent_total records_resent_total records_truncated_total records_split_total records_retimed_total
		dead_letters_total dead_letters_lost_total 		records_random_key_total records_default_name_total records_whole_total requests_total throttled_total
		requests_failed_total request_bytes_total chunks_retried_total records_skipped_total
		records_dropped_total{malformed} records_dropped_total{empty} records_dropped_total{missing_key}
		records_dropped_total{too_old} records_dropped_total{too_new} records_dropped_total{expired}
		records_dropped_total{too_large} records_dropped_total{refused} records_dropped_total{abandoned}
		records_pending`)
	var cs Counters
	for c := range numCounters {
		cs.Add(c, 1000+int(c))
	}
	for r := range numReasons {
		cs.Drop(r, int(r)+1)
	}
	cs.Add(In, 10_000)
	values := []uint64{
		11000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 11000 - 1001 - 45,
	}
	for range 2 { // always the same
		i := 0
		cs.Each(func(m Metric) {
			name := m.Name
			if m.Reason != "" {
				name = fmt.Sprintf("%s{%s}", name, m.Reason)
			}
			if i >= len(want) || name != want[i] || m.Value != values[i] || m.Gauge != (name == "records_pending") {
				t.Errorf("metric %d is %s %d, gauge %t", i, name, m.Value, m.Gauge)
			}
			if !strings.HasSuffix(m.Help, ".") {
				t.Errorf("help of %s: %q", name, m.Help)
			}
			i++
		})
		if i != len(want) {
			t.Errorf("%d metrics, want %d", i, len(want))
		}
	}
}

func TestCountersString(t *testing.T) {
	add := func(pairs ...any) *Counters {
		cs := new(Counters)
		for i := 0; i < len(pairs); i += 2 {
			switch c := pairs[i].(type) {
			case Counter:
				cs.Add(c, pairs[i+1].(int))
			case Reason:
				cs.Drop(c, pairs[i+1].(int))
			}
		}
		return cs
	}
	for _, c := range []struct {
		cs   *Counters
		want string
	}{
		{add(), "in 0, sent 0"},
		{add(In, 7, Sent, 7), "in 7, sent 7"},
		{add(In, 7), "in 7, sent 0, pending 7"},
		{add(In, 9, Sent, 2, Malformed, 1, Abandoned, 2), "in 9, sent 2, dropped malformed 1, dropped abandoned 2, pending 4"},
		{
			add(In, 99, Sent, 10, Resent, 1, Truncated, 2, Parted, 12, Retimed, 13, DeadLetters, 14, LostLetters, 15, RandomKey, 3, DefaultName, 4, SentWhole, 11, Requests, 5, Throttled, 6, Failed, 7,
				Bytes, 8, Retries, 9, Skipped, 10, Malformed, 1, Empty, 2, MissingKey, 3, TooOld, 4, TooNew, 5, Expired, 6, TooLarge, 7, Refused, 8, Abandoned, 9),
			"in 99, sent 10, dropped malformed 1, dropped empty 2, dropped missing_key 3, dropped too_old 4, dropped too_new 5, " +
				"dropped expired 6, dropped too_large 7, dropped refused 8, dropped abandoned 9, pending 44, truncated 2, split 12, retimed 13, dead letters 14, dead letters lost 15, " +
				"random partition keys 3, to default names 4, sent whole 11, resent 1, skipped 10, throttled 6, failed requests 7, " +
				"chunks given back 9, requests 5, request bytes 8",
		},
	} {
		if got := c.cs.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// What is shown together adds up while the counters grow: never more sent or
// dropped than taken in.
func TestAccountWhileCounting(t *testing.T) {
	var cs Counters
	stop := make(chan struct{})
	var count sync.WaitGroup
	count.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			cs.Add(In, 2)
			cs.Add(Sent, 1)
			cs.Drop(Empty, 1)
		}
	})
	last := uint64(0)
	for range 100_000 {
		var in, settled uint64
		cs.Each(func(m Metric) {
			switch {
			case m.Name == "records_in_total":
				in = m.Value
			case m.Name == "records_sent_total" || m.Reason != "":
				settled += m.Value
			case m.Gauge && m.Value != in-settled:
				t.Errorf("pending %d, want %d", m.Value, in-settled)
			}
		})
		if settled > in || in < last {
			t.Fatalf("in %d (%d before), settled %d", in, last, settled)
		}
		last = in
		if pending := cs.Pending(); pending > 1<<62 {
			t.Fatalf("pending is below zero: %d", int64(pending))
		}
	}
	close(stop)
	count.Wait()
	if cs.Pending() != 0 {
		t.Errorf("pending %d at the end", cs.Pending())
	}
}

func TestActionNames(t *testing.T) {
	seen := map[string]bool{}
	for a := range numActions {
		if seen[a.String()] || a.String() == "" {
			t.Errorf("action %d is called %q", int(a), a)
		}
		seen[a.String()] = true
	}
	for _, a := range []Action{-1, numActions} {
		if a.String() != "unknown action" {
			t.Errorf("action %d is called %q", int(a), a)
		}
	}
}
