package delivery

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aws-for-fluent-bit/internal/options"
)

var errBroken = errors.New("cannot read chunk at byte 7")

func TestResult(t *testing.T) {
	for r, want := range map[Result]string{Error: "FLB_ERROR", OK: "FLB_OK", Retry: "FLB_RETRY", 7: "unknown result"} {
		if got := r.String(); got != want {
			t.Errorf("Result(%d) is %q, want %q", int(r), got, want)
		}
	}
}

func TestFlushThatSucceeds(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	if got := flush(d, chunkOf("a", 9), 70, all); got != OK {
		t.Errorf("flush is %v, want FLB_OK", got)
	}
	if got := flush(d, chunkOf("a", 9), 0, all); got != OK {
		t.Errorf("flush of an empty chunk is %v, want FLB_OK", got)
	}
	want(t, d, In, 70, Sent, 70, Retries, 0, Skipped, 0)
}

func TestRetrySendsOnlyTheRest(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := chunkOf("a", 9)
	if got := flush(d, c, 70, even); got != Retry {
		t.Fatalf("first flush is %v, want FLB_RETRY", got)
	}
	want(t, d, In, 70, Sent, 35, Retries, 1, Skipped, 0)
	var again []int
	got := flush(d, Chunk{Tag: c.Tag, Data: append([]byte(nil), c.Data...)}, 70, func(i int) bool {
		again = append(again, i)
		return true
	})
	if got != OK || len(again) != 35 || again[0] != 1 {
		t.Errorf("second flush is %v and sends %v, want FLB_OK and the odd ones", got, again)
	}
	want(t, d, In, 70, Sent, 70, Retries, 1, Skipped, 35)
	if got := flush(d, c, 70, all); got != OK {
		t.Errorf("third flush is %v, want FLB_OK", got)
	}
	want(t, d, In, 140, Sent, 140, Skipped, 35) // the same bytes once more are a new chunk
}

// Another tag or other bytes are another chunk.
func TestOtherChunks(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	flush(d, Chunk{Tag: "a", Data: []byte("xy")}, 2, even)
	for _, c := range []Chunk{
		{Tag: "b", Data: []byte("xy")}, {Tag: "a", Data: []byte("xz")}, {Tag: "a", Data: []byte("xyx")}, {Tag: "a"},
	} {
		flush(d, c, 2, all)
	}
	want(t, d, In, 10, Sent, 9, Skipped, 0)
}

func TestNothingDelivered(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	for range 3 {
		if got := flush(d, chunkOf("a", 9), 70, none); got != Retry {
			t.Errorf("flush is %v, want FLB_RETRY", got)
		}
	}
	want(t, d, In, 70, Sent, 0, Retries, 3, Skipped, 0)
}

// A flush that gets less far than an earlier one of its chunk must not take
// the chunk for done.
func TestWalkThatEndsEarlier(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := chunkOf("a", 9)
	flush(d, c, 100, even)
	if got := flush(d, c, 10, all); got != Retry {
		t.Errorf("flush that walked 10 of 100 is %v, want FLB_RETRY", got)
	}
	if got := flush(d, c, 100, all); got != OK {
		t.Errorf("last flush is %v, want FLB_OK", got)
	}
	want(t, d, In, 100, Sent, 100)
}

// One that gets further counts in what it finds.
func TestWalkThatEndsLater(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := chunkOf("a", 9)
	flush(d, c, 10, even)
	if got := flush(d, c, 100, all); got != OK {
		t.Errorf("flush is %v, want FLB_OK", got)
	}
	want(t, d, In, 100, Sent, 100, Skipped, 5)
}

func TestBrokenChunk(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	c := chunkOf("a", 9)
	for i, sent := range []func(int) bool{even, all} {
		f := d.Begin(c)
		for range 10 {
			if i, fresh := f.Record(); fresh && sent(i) {
				f.Sent(1, at(i))
			}
		}
		if got, want := f.End(errBroken), []Result{Retry, Error}[i]; got != want {
			t.Errorf("flush %d is %v, want %v", i, got, want)
		}
	}
	want(t, d, In, 10, Sent, 10, Skipped, 5)
}

func TestDrops(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	f := d.Begin(chunkOf("a", 9))
	for range 10 {
		f.Record()
	}
	f.DropRecord(Empty, 3)
	f.Drop(TooOld, 4, at(2)) // 2 3 4 5, of which 3 is settled
	f.Sent(10, at(0))        // what is left
	if got := f.Unsettled(); got != 0 {
		t.Errorf("%d unsettled, want none", got)
	}
	if got := f.End(nil); got != OK {
		t.Errorf("flush is %v, want FLB_OK", got)
	}
	want(t, d, In, 10, Sent, 6, Empty, 1, TooOld, 3)
}

// What is settled is taken in by then, whether or not CountIn was called; what
// comes in after the end is not settled, since the chunk is on its way back.
func TestSettleBeforeCountInAndAfterEnd(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	f := d.Begin(chunkOf("a", 9))
	for range 10 {
		f.Record()
	}
	f.Sent(1, at(4))
	if in, pending := d.Get(In), d.Pending(); in != 5 || pending != 4 {
		t.Errorf("in %d, pending %d after record 4, want 5 and 4", in, pending)
	}
	f.CountIn()
	if in, pending := d.Get(In), d.Pending(); in != 10 || pending != 9 || f.Unsettled() != 9 {
		t.Errorf("in %d, pending %d, unsettled %d after CountIn, want 10, 9 and 9", in, pending, f.Unsettled())
	}
	if got := f.End(nil); got != Retry {
		t.Errorf("flush is %v, want FLB_RETRY", got)
	}
	f.Sent(10, at(0))
	f.Drop(Refused, 10, at(0))
	want(t, d, In, 10, Sent, 1, Refused, 0)
}

// Batches settle their records side by side, and each record counts once.
func TestSettleSideBySide(t *testing.T) {
	d, _ := open(t, "out.0", nil)
	const n, senders = 5000, 8
	f := d.Begin(chunkOf("a", 9))
	var wait sync.WaitGroup
	for range n {
		f.Record()
		if f.records%500 == 0 {
			f.CountIn()
			end := f.records
			for range senders / 2 { // each range twice at least
				wait.Go(func() { f.Sent(500, at(end-500)) })
				wait.Go(func() { f.Drop(Refused, 250, at(end-500)) })
			}
		}
	}
	wait.Wait()
	if got := f.End(nil); got != OK {
		t.Errorf("flush is %v, want FLB_OK", got)
	}
	if got := d.Get(Sent) + d.Dropped(Refused); got != n {
		t.Errorf("%d settled, want %d", got, n)
	}
	want(t, d, In, n)
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			budget   string
			onEngine bool
			want     time.Duration
		}{
			{"", false, 15 * time.Second},
			{"", true, 2 * time.Second},
			{"1s", true, time.Second},
			{"0", false, 0},
		} {
			d, _ := open(t, "out.0", config{"retry_budget", c.budget})
			f := d.Begin(Chunk{OnEngine: c.onEngine})
			if got := time.Until(f.Deadline()); got != c.want {
				t.Errorf("budget %q, on engine %t: %v, want %v", c.budget, c.onEngine, got, c.want)
			}
			time.Sleep(500 * time.Millisecond)
			f.Renew()
			if got := time.Until(f.Deadline()); got != c.want {
				t.Errorf("budget %q, on engine %t: renewed it is %v, want %v", c.budget, c.onEngine, got, c.want)
			}
			f.End(nil)
		}
	})
}

func TestPause(t *testing.T) {
	for _, c := range []struct {
		name      string
		asked     time.Duration
		left      time.Duration // of the budget
		goes      bool
		low, high time.Duration // how long it sleeps
	}{
		{"first", 0, 15 * time.Second, true, 0, 100 * time.Millisecond},
		{"no time left", 0, 0, false, 0, 0},
		{"asked", 3 * time.Second, 15 * time.Second, true, 3 * time.Second, 3025 * time.Millisecond},
		{"asked for more than the cap", 8 * time.Second, 15 * time.Second, true, 8 * time.Second, 8025 * time.Millisecond},
		{"asked for more than is left", time.Minute, 9 * time.Second, true, 9 * time.Second, 9 * time.Second},
		{"asked for more than is left, which is the cap", time.Minute, 5 * time.Second, true, 5 * time.Second, 5 * time.Second},
		{"asked for much more than is left", time.Minute, 4 * time.Second, false, 0, 0},
		{"asked for an hour at the end", time.Hour, 0, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _ := open(t, "out.0", nil)
				f := d.Begin(Chunk{})
				time.Sleep(15*time.Second - c.left)
				start := time.Now()
				if got := f.Pause(0, c.asked); got != c.goes {
					t.Errorf("Pause is %t, want %t", got, c.goes)
				}
				if took := time.Since(start); took < c.low || took > c.high {
					t.Errorf("slept %v, want %v to %v", took, c.low, c.high)
				}
				if time.Now().After(f.Deadline()) {
					t.Error("slept beyond the deadline")
				}
			})
		})
	}
}

// Of a dead endpoint the batches that were not tried by the deadline learn
// nothing; a flush that is slow but succeeds goes on.
func TestWaitAfterTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := open(t, "out.0", nil)
		var calm Pace
		f := d.Begin(Chunk{})
		time.Sleep(16 * time.Second)
		if !f.Wait(&calm) {
			t.Error("a flush that never failed is held up")
		}
		var a Attempts
		if f.Again(&a, Verdict{Action: Again}) {
			t.Error("a batch is sent again after the deadline")
		}
		if f.Wait(&calm) {
			t.Error("a flush that fails goes on after the deadline")
		}
		f.Record()
		f.Sent(1, at(0))
		if !f.Wait(&calm) {
			t.Error("a flush that succeeds again is held up")
		}
		busy := Pace{share: 1}
		busy.Slower()
		if f.Wait(&calm, &busy) {
			t.Error("a flush waits for a busy destination after the deadline")
		}
		f.End(nil)
	})
}

func TestEnvMayBeEmpty(t *testing.T) {
	d := New(Env{}, options.New(func(string) string { return "" }))
	flush(d, chunkOf("a", 3), 10, even)
	d.Said.Warn("topic", "text")
	d.Close()
	want(t, d, In, 10, Sent, 5)
}

func TestBadOptions(t *testing.T) {
	c := config{"retry_budget", "x", "ledger_max_chunks", "0", "ledger_max_size", "1", "ledger_max_age", "0", "summary_interval", "-1"}
	s := options.New(c.get)
	New(Env{}, s)
	err := s.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for i := 0; i < len(c); i += 2 {
		if !strings.Contains(err.Error(), c[i]) {
			t.Errorf("error does not name %s: %v", c[i], err)
		}
	}
}

func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, got := open(t, "out.0", config{"summary_interval", "1m"})
		flush(d, chunkOf("a", 3), 10, all)
		time.Sleep(time.Minute)
		var wait sync.WaitGroup
		for range 4 { // once, not once a worker
			wait.Go(func() { flush(d, chunkOf("a", 3), 10, all) })
		}
		wait.Wait()
		if l := got.take(); len(l) != 1 || !strings.HasPrefix(l[0], "info account: in ") {
			t.Errorf("logged %q, want one account", l)
		}
		d.Close()
		if l := got.take(); len(l) != 1 || l[0] != "info account: in 50, sent 50" {
			t.Errorf("logged %q at the end, want the account", l)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d, got := open(t, "out.0", config{"summary_interval", "1m"})
		for range 121 { // 2 minutes of a flush each second
			flush(d, chunkOf("a", 3), 10, all)
			time.Sleep(time.Second)
		}
		if l := got.take(); len(l) != 2 {
			t.Errorf("logged %q in two minutes, want two accounts", l)
		}
		d.Close()
	})
	d, got := open(t, "out.0", nil)
	flush(d, chunkOf("a", 3), 10, all)
	if l := got.take(); len(l) != 0 {
		t.Errorf("logged %q without summary_interval", l)
	}
}
