package delivery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAgain(t *testing.T) {
	v := func(a Action) Verdict { return Verdict{Action: a} }
	for _, c := range []struct {
		name     string
		verdicts []Verdict
		goes     []bool
		pauses   int // of the tries
	}{
		{"done", []Verdict{v(Done)}, []bool{false}, 0},
		{"split", []Verdict{v(Split)}, []bool{false}, 0},
		{"later", []Verdict{v(Later)}, []bool{false}, 0},
		{"drop", []Verdict{v(Drop)}, []bool{false}, 0},
		{"unknown", []Verdict{v(numActions)}, []bool{false}, 0},
		{"again", []Verdict{v(Again), v(Again), v(Again)}, []bool{true, true, true}, 3},
		{"at once three times, then after a pause", []Verdict{v(AgainNow), v(AgainNow), v(AgainNow), v(AgainNow)}, []bool{true, true, true, true}, 1},
		{"created", []Verdict{v(Create), v(Create), v(AgainNow), v(Create)}, []bool{true, true, true, true}, 1},
		{"credentials once", []Verdict{v(Refresh), v(Refresh)}, []bool{true, false}, 0},
		{"credentials, then something else", []Verdict{v(Refresh), v(Again), v(Refresh)}, []bool{true, true, false}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _ := open(t, "out.0", nil)
				f := d.Begin(Chunk{})
				var a Attempts
				pauses := 0
				for i, v := range c.verdicts {
					start := time.Now()
					if got := f.Again(&a, v); got != c.goes[i] {
						t.Errorf("try %d: %t, want %t", i, got, c.goes[i])
					}
					if time.Since(start) > 0 {
						pauses++
					}
				}
				if pauses != c.pauses {
					t.Errorf("%d pauses, want %d", pauses, c.pauses)
				}
				if !f.failing.Load() {
					t.Error("the flush does not know that it fails")
				}
				time.Sleep(time.Until(f.Deadline()))
				for _, action := range []Action{AgainNow, Create, Refresh, Again} {
					if f.Again(new(Attempts), v(action)) {
						t.Errorf("%v goes on after the deadline", action)
					}
				}
			})
		})
	}
}

// However it fails, a batch is given up when the budget is spent and not much before.
func TestAgainEnds(t *testing.T) {
	for _, action := range []Action{Again, AgainNow, Create} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := open(t, "out.0", nil)
			f := d.Begin(Chunk{})
			var a Attempts
			start, tries := time.Now(), 1
			for f.Again(&a, Verdict{Action: action}) {
				tries++
			}
			if took := time.Since(start); took > 15*time.Second || took < 10*time.Second {
				t.Errorf("%v: given up after %v, want between 10 and 15 s", action, took)
			}
			if tries < 7 || tries > 40 {
				t.Errorf("%v: %d tries, want a few", action, tries)
			}
		})
	}
}

func TestGuard(t *testing.T) {
	d, got := open(t, "out.0", nil)
	f := d.Begin(Chunk{Tag: "app"})
	for range 4 {
		f.Record()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer f.Guard()
		f.Sent(2, at(0))
		f.Sent(2, func(k int) int { panic(fmt.Sprint("at ", k)) })
	}()
	<-done
	f.Drop(Refused, 1, at(2)) // a panic under the lock does not hold up the others
	if r := f.End(nil); r != Retry {
		t.Errorf("flush is %v, want FLB_RETRY", r)
	}
	want(t, d, In, 4, Sent, 2, Refused, 1)
	if line, ok := got.find("panic"); !ok || !strings.Contains(line, `tag "app"`) || !strings.Contains(line, "at 0") || !strings.Contains(line, "attempts_test.go") {
		t.Errorf("logged %q, want the panic with tag and stack", line)
	}
	func() {
		defer f.Guard() // nothing to do
	}()
	if lines := got.take(); len(lines) != 1 {
		t.Errorf("logged %q, want one line", lines)
	}
}
