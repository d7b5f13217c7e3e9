package delivery

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	limits := map[int]time.Duration{
		-1: 100 * time.Millisecond, 0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 5: 3200 * time.Millisecond,
		6: 5 * time.Second, 7: 5 * time.Second, 63: 5 * time.Second, math.MaxInt: 5 * time.Second,
	}
	for attempt, limit := range limits {
		var longest time.Duration
		for range 1000 {
			pause := Backoff(attempt, 0)
			if pause <= 0 || pause > limit {
				t.Fatalf("pause %v before attempt %d, want up to %v", pause, attempt, limit)
			}
			longest = max(longest, pause)
			if pause := Backoff(attempt, time.Minute); pause < time.Minute || pause > time.Minute+limit/4 {
				t.Fatalf("pause %v before attempt %d where a minute was asked for", pause, attempt)
			}
		}
		if longest < limit*9/10 {
			t.Errorf("longest pause before attempt %d is %v, want close to %v", attempt, longest, limit)
		}
	}
}

// Workers that failed together come back apart.
func TestBackoffSpreadsTheHerd(t *testing.T) {
	for attempt := range 8 {
		var pauses []time.Duration
		for range 800 {
			pauses = append(pauses, Backoff(attempt, 0))
		}
		slices.Sort(pauses)
		limit := min(backoffCap, backoffBase<<attempt)
		for q := 1; q < 8; q++ {
			if got, want := pauses[q*100], limit*time.Duration(q)/8; got < want-limit/8 || got > want+limit/8 {
				t.Errorf("attempt %d: %d of 8 workers are back after %v, want about %v", attempt, q, got, want)
			}
		}
	}
}

func TestCalmPaceNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		start := time.Now()
		for range 1000 {
			if !p.Wait(start.Add(-time.Hour), nil) {
				t.Fatal("a calm destination is held up")
			}
			p.Faster()
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v", took)
		}
	})
}

// starts lets n workers wait for a pace, and returns after how long they
// started, in the order in which they came.
func starts(p *Pace, n int, deadline time.Duration) []time.Duration {
	begin := time.Now()
	at := make([]time.Duration, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			at[i] = -1
			if p.Wait(begin.Add(deadline), nil) {
				at[i] = time.Since(begin)
			}
		})
		synctest.Wait() // until it stands in line
	}
	wait.Wait()
	return at
}

func TestPaceIsALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Pace{gap: time.Second, next: time.Now().Add(time.Second)}
		for i, got := range starts(&p, 5, time.Minute) {
			if want := time.Duration(i+1) * time.Second; got != want {
				t.Errorf("worker %d starts after %v, want %v", i, got, want)
			}
		}
	})
}

// Who cannot start in time hears so at once, and does not hold up the others.
func TestPaceBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Pace{gap: time.Second, next: time.Now().Add(time.Second)}
		begin := time.Now()
		got := starts(&p, 5, 3500*time.Millisecond)
		want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, -1, -1}
		if !slices.Equal(got, want) {
			t.Errorf("started after %v, want %v", got, want)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("the last one was told after %v, want no more than the others took", took)
		}
		if p.waiting != 0 || len(p.front) != 0 {
			t.Errorf("%d wait and %d are at the front, want none", p.waiting, len(p.front))
		}
		begin, p.waiting = time.Now(), 3
		if p.Wait(begin.Add(3500*time.Millisecond), nil) || time.Since(begin) != 0 {
			t.Errorf("the fourth is told after %v, want at once", time.Since(begin))
		}
	})
}

// What changes while they stand in line holds for those who stand there.
func TestPaceChangesForThoseInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Pace{gap: time.Second, next: time.Now().Add(time.Second)}
		time.AfterFunc(2500*time.Millisecond, func() {
			for range 20 {
				p.Faster()
			}
		})
		got := starts(&p, 5, time.Minute)
		want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second, 3 * time.Second}
		if !slices.Equal(got, want) {
			t.Errorf("recovered: started after %v, want %v", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := Pace{gap: time.Second, next: time.Now().Add(time.Second), share: 1}
		time.AfterFunc(1500*time.Millisecond, p.Slower)
		got := starts(&p, 5, 6500*time.Millisecond)
		// Refused again after 1.5 s: a gap of 2 s, the first one 1 to 3 s later.
		if got[0] != time.Second || got[1] < 2500*time.Millisecond || got[1] > 4500*time.Millisecond || got[2] != got[1]+2*time.Second {
			t.Errorf("refused: started after %v", got)
		}
		if got[4] != -1 {
			t.Errorf("the last one started after %v, beyond its deadline", got[4])
		}
	})
}

// Who is at the front leaves when its turn has been put off beyond its deadline.
func TestPaceIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Pace{gap: time.Second, next: time.Now().Add(time.Second), share: 1}
		time.AfterFunc(500*time.Millisecond, p.Slower) // to 1.5 s at least
		begin := time.Now()
		if got := starts(&p, 1, 1200*time.Millisecond); got[0] != -1 {
			t.Errorf("started after %v, beyond its deadline", got[0])
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("left after %v, want 1 s", took)
		}
	})
}

func TestPaceGoesByTheLastRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		gap := func(want time.Duration, when string) {
			t.Helper()
			if p.gap != want {
				t.Errorf("%s: gap %v, want %v", when, p.gap, want)
			}
		}
		for range 30 { // one call in ten
			p.Slower()
			for range 9 {
				p.Faster()
			}
		}
		gap(0, "refusals that can be borne")
		for range 3 {
			p.Slower()
		}
		gap(firstGap, "refusals that cannot")
		for range 7 {
			p.Slower()
			p.Faster()
		}
		gap(firstGap, "answers to requests from before it")
		for range 20 {
			time.Sleep(time.Until(p.resume))
			p.Slower()
		}
		gap(maxGap, "20 refusals")
		time.Sleep(time.Until(p.resume))
		p.Faster()
		if p.gap >= maxGap || p.gap < maxGap/2 {
			t.Errorf("gap %v after a success, want somewhat less", p.gap)
		}
		time.Sleep(time.Until(p.next) + 10*time.Second)
		if held := p.gap; !p.Wait(time.Now().Add(time.Second), nil) || p.gap != held {
			t.Errorf("gap %v after a rest of 10 s, want %v", p.gap, held)
		}
		time.Sleep(time.Until(p.next) + 10*time.Second + 1)
		if !p.Wait(time.Now(), nil) {
			t.Error("held up after a long rest")
		}
		gap(0, "a long rest")
	})
}

// A success takes little off a gap that is near the one that was too short, and
// none that is shorter than the first one is kept.
func TestPaceFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ gap, tooFast, want time.Duration }{
			{time.Second, 2 * time.Second, 950 * time.Millisecond},
			{time.Second, 768 * time.Millisecond, 950 * time.Millisecond}, // to 960 ms would be more
			{time.Second, 720 * time.Millisecond, 900 * time.Millisecond},
			{time.Second, 0, 500 * time.Millisecond},
			{2 * firstGap, 0, firstGap},
			{2*firstGap - 2, 0, 0},
		} {
			p := Pace{gap: c.gap, tooFast: c.tooFast, refused: time.Now()}
			if p.Faster(); p.gap != c.want {
				t.Errorf("from %v, with %v too short: gap %v, want %v", c.gap, c.tooFast, p.gap, c.want)
			}
		}
	})
}

// The share of refusals is one, and goes to the end that the answers say.
func TestPaceShare(t *testing.T) {
	var p Pace
	for range 100 {
		p.Slower()
	}
	if p.share < 0.99 || p.share > 1 {
		t.Errorf("share %v after refusals alone", p.share)
	}
	for range 100 {
		p.Faster()
	}
	if p.share < 0 || p.share > 0.01 {
		t.Errorf("share %v after successes alone", p.share)
	}
}

func TestPaceAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			held, n int
			want    time.Duration // from a gap of 1 s
		}{
			{500, 500, 2 * time.Second}, {251, 500, 2 * time.Second},
			{250, 500, time.Second}, {51, 500, time.Second}, {1, 5, time.Second},
			{50, 500, time.Second / 2}, {25, 500, time.Second / 2}, {0, 500, time.Second / 2},
			{1, 1, 2 * time.Second}, {0, 1, time.Second / 2},
		} {
			p := Pace{gap: time.Second, share: 1}
			if p.Answered(c.held, c.n); p.gap != c.want {
				t.Errorf("%d of %d held back: gap %v, want %v", c.held, c.n, p.gap, c.want)
			}
		}
	})
}

// destination is a service that takes so many requests a second, and holds the
// others back.
type destination struct {
	mu       sync.Mutex
	rate     float64 // 0: any number
	burst    float64
	chance   float64 // of a request to be refused for no reason
	tokens   float64
	filled   time.Time
	accepted int
	refused  int
}

func (d *destination) call() bool {
	time.Sleep(20 * time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.tokens = min(d.burst, d.tokens+d.rate*now.Sub(d.filled).Seconds())
	d.filled = now
	switch {
	case d.rate > 0 && d.tokens < 1, rand.Float64() < d.chance:
		d.refused++
		return false
	case d.rate > 0:
		d.tokens--
	}
	d.accepted++
	return true
}

// load has workers send to a destination for as long as it takes or lasts, and
// returns how long that was.
func load(d *destination, workers, requests int, lasts time.Duration) time.Duration {
	var p Pace
	begin := time.Now()
	d.filled = begin
	left := requests
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for time.Since(begin) < lasts {
				mu.Lock()
				if left == 0 {
					mu.Unlock()
					return
				}
				left--
				mu.Unlock()
				for attempt := 0; time.Since(begin) < lasts; attempt++ {
					p.Wait(begin.Add(lasts), nil)
					if d.call() {
						p.Faster()
						break
					}
					p.Slower()
					time.Sleep(Backoff(attempt, 0))
				}
			}
		})
	}
	wait.Wait()
	return time.Since(begin)
}

// A destination that takes so much and no more is used well, and not hammered.
// The bounds leave room for chance; the log has the figures.
func TestPaceUnderALimit(t *testing.T) {
	for _, c := range []struct{ rate, used, refused float64 }{
		{2, 0.45, 0.60}, {5, 0.50, 0.40}, {20, 0.90, 0.40}, {100, 0.90, 0.40},
	} {
		for _, workers := range []int{4, 8} {
			synctest.Test(t, func(t *testing.T) {
				d := &destination{rate: c.rate, burst: max(1, c.rate/4)}
				load(d, workers, math.MaxInt, 5*time.Minute)
				used := float64(d.accepted) / (c.rate * 300)
				refused := float64(d.refused) / float64(d.accepted+d.refused)
				t.Logf("%3.0f/s, %d workers: %3.0f %% of it used, %2.0f %% of requests refused", c.rate, workers, 100*used, 100*refused)
				if used < c.used || refused > c.refused {
					t.Errorf("want at least %.0f %% used and at most %.0f %% refused", 100*c.used, 100*c.refused)
				}
			})
		}
	}
}

// Refusals that have nothing to do with the rate cost little more than the
// pauses of those who are refused.
func TestPaceUnderChance(t *testing.T) {
	for _, workers := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			const requests = 2000
			clean := load(&destination{}, workers, requests, time.Hour)
			took := load(&destination{chance: 0.1}, workers, requests, time.Hour)
			t.Logf("%d workers: %v instead of %v", workers, took, clean)
			if took > 5*clean { // 8 workers: mostly 1.7 times, once in 300 runs 3.1 times
				t.Errorf("%d workers: %v instead of %v", workers, took, clean)
			}
		})
	}
}

// After an outage that refused everything, full speed is back within 15 s, and
// nothing comes down on the destination at once meanwhile.
func TestPaceRecovers(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			var p Pace
			for range 30 {
				time.Sleep(time.Until(p.resume))
				p.Slower()
			}
			begin := time.Now()
			var mu sync.Mutex
			var each [40]int // requests by the half second
			var full time.Duration
			var wait sync.WaitGroup
			for range 8 {
				wait.Go(func() {
					for time.Since(begin) < 20*time.Second {
						p.Wait(begin.Add(time.Minute), nil)
						mu.Lock()
						if half := time.Since(begin) / (time.Second / 2); int(half) < len(each) {
							each[half]++
						}
						mu.Unlock()
						time.Sleep(20 * time.Millisecond)
						p.Faster()
						mu.Lock()
						if p.gap == 0 && full == 0 {
							full = time.Since(begin)
						}
						mu.Unlock()
					}
				})
			}
			wait.Wait()
			if full == 0 || full > 16*time.Second {
				t.Errorf("full speed after %v, want within 16 s", full)
			}
			if first := each[0] + each[1] + each[2] + each[3]; first > 4 {
				t.Errorf("%d requests in the first 2 s, want no more than 4: %v", first, each)
			}
			t.Logf("full speed after %v: requests by the half second %v", full, each)
		})
	}
}

// TestPaceSeesTheEnd: who waits when Fluent Bit is told to end does not go on
// waiting, be it at the front of the line or behind.
func TestPaceSeesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, told := endingDelivery(t)
		var p Pace
		p.gap = time.Minute
		p.next = time.Now().Add(p.gap)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				f := d.Begin(Chunk{Tag: "tag", Data: []byte{1}})
				f.deadline = time.Now().Add(time.Hour)
				if f.Wait(&p) {
					t.Error("a request may start")
				}
				f.End(nil)
			})
		}
		time.Sleep(time.Second)
		told.Store(true)
		begin := time.Now()
		wg.Wait()
		if took := time.Since(begin); took > stopBudget+callGrace+2*watchEvery {
			t.Errorf("it took %v", took)
		}
	})
}
