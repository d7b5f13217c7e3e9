package delivery

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aws-for-fluent-bit/internal/options"
)

// endingDelivery returns a Delivery and the switch that tells Fluent Bit to end.
func endingDelivery(t *testing.T) (*Delivery, *atomic.Bool) {
	t.Helper()
	var told atomic.Bool
	s := options.New(func(string) string { return "" })
	d := New(Env{Name: "o.0", Ending: told.Load}, s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return d, &told
}

// A flush that waits between two tries when Fluent Bit is told to end gives up
// within stopBudget, not at the end of its own budget of 15 s.
func TestEndingCutsThePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, told := endingDelivery(t)
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}})
		f.Record()
		time.AfterFunc(time.Second, func() { told.Store(true) })
		begun := time.Now()
		var a Attempts
		for f.Again(&a, Verdict{Action: Again, Pause: 2 * time.Second}) {
		}
		if took := time.Since(begun); took < 2*time.Second || took > 4*time.Second+watchEvery {
			t.Errorf("gave up after %v, want within the 3 s that are left, and not at once", took)
		}
		if r := f.End(nil); r != Retry {
			t.Errorf("result %v", r)
		}
	})
}

// A call that hangs when Fluent Bit is told to end is ended.
func TestEndingCutsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, told := endingDelivery(t)
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}})
		f.Record()
		time.AfterFunc(2*time.Second, func() { told.Store(true) })
		begun := time.Now()
		<-f.Context().Done()
		took := time.Since(begun)
		if low, high := 2*time.Second+stopBudget, 2*time.Second+stopBudget+callGrace+2*watchEvery; took < low || took > high {
			t.Errorf("ended after %v, want %v to %v", took, low, high)
		}
		f.End(nil)
	})
}

// Without an end the context lives as long as the flush, and no longer.
func TestContextLivesWithTheFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := endingDelivery(t)
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}})
		ctx := f.Context()
		if f.Context() != ctx {
			t.Error("a second context")
		}
		time.Sleep(time.Hour)
		if err := ctx.Err(); err != nil {
			t.Errorf("ended early: %v", err)
		}
		f.End(nil)
		if ctx.Err() == nil {
			t.Error("outlives its flush")
		}
		time.Sleep(time.Minute) // the watch must not go on: synctest would find it
	})
}

// On the engine thread a hanging call ends soon after the budget.
func TestContextOnTheEngineThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := endingDelivery(t)
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}, OnEngine: true})
		begun := time.Now()
		<-f.Context().Done()
		if took, want := time.Since(begun), engineBudget+callGrace; took != want {
			t.Errorf("ended after %v, want %v", took, want)
		}
		f.End(nil)
	})
}

// When the time is up, the chunks that are left are not each tried at an
// endpoint that is dead; at one that takes records, they are.
func TestEndingWithABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, told := endingDelivery(t)
		told.Store(true)
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}})
		f.Record()
		if !f.Wait() {
			t.Error("the first flush is not tried")
		}
		f.fails(true)
		f.End(nil)
		time.Sleep(stopBudget)
		f = d.Begin(Chunk{Tag: "t", Data: []byte{2}})
		f.Record()
		if f.Wait() {
			t.Error("a dead endpoint is tried again after the time is up")
		}
		f.fails(false)
		f.End(nil)
		f = d.Begin(Chunk{Tag: "t", Data: []byte{3}})
		f.Record()
		if !f.Wait() {
			t.Error("an endpoint that works is not tried")
		}
		f.End(nil)
	})
}
