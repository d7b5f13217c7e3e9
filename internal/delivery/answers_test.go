package delivery

import (
	"testing"
	"time"
)

// TestAnswers: it takes several late answers until quick ones are forgotten, and one quick
// answer to forget late ones.
func TestAnswers(t *testing.T) {
	const late = 80 * time.Millisecond
	var a Answers
	want := func(what string, low, high time.Duration) {
		t.Helper()
		if got := a.Soonest(); got < low || got > high {
			t.Errorf("%s: %v, want %v to %v", what, got, low, high)
		}
	}
	want("no answer", 0, 0)
	a.Took(late)
	want("a late answer", 10*time.Millisecond, 10*time.Millisecond)
	for range 4 {
		a.Took(late)
	}
	want("five late answers", late/3, late/2)
	a.Took(time.Millisecond)
	want("a quick one", time.Millisecond, time.Millisecond)
	a.NoneFor(late)
	want("no answer for long", late, late)
	a.NoneFor(time.Millisecond)
	want("no answer for less than that", late, late)
}
