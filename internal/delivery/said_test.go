package delivery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// newSaid returns a Said and a check of the lines since the last check.
func newSaid(t *testing.T) (*Said, func(want ...string)) {
	log, got := newLog()
	return NewSaid(log), func(want ...string) {
		t.Helper()
		if lines := got.take(); !slices.Equal(lines, want) {
			t.Errorf("logged\n\t%s\nwant\n\t%s", strings.Join(lines, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}

func TestSaidCountsRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		const n = 100_000
		for i := range n { // over 10 minutes
			s.Warn("missing", "a record of tag %q has no key %q", "app", i)
			time.Sleep(10 * time.Minute / n)
		}
		want := []string{`warning a record of tag "app" has no key '\x00'`}
		for i := 10_000; i < n; i += 10_000 {
			want = append(want, fmt.Sprintf(`warning a record of tag "app" has no key %q (and 9999 times more since it was last said)`, i))
		}
		logged(want...)
		s.Close()
		logged("warning missing: 9999 times more since it was last said")
		s.Close()
		logged()
	})
}

func TestSaidOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		s.Over("send", "sending again")
		logged()
		s.Error("send", "cannot send: %v", errors.New("refused"))
		logged("error cannot send: refused")
		for range 4 {
			s.Error("send", "cannot send: %v", errors.New("timeout"))
		}
		s.Over("other", "not this one")
		logged()
		s.Over("send", "sending again to %s", "here")
		s.Over("send", "sending again to %s", "here")
		logged("info sending again to here (after failing 5 times)")

		s.Warn("odd", "a warning")
		s.Over("odd", "is not a failure")
		logged("warning a warning")
		s.Close()
		logged()
	})
}

// What fails and succeeds by turns, a thousand times a second, is a handful of
// lines too.
func TestSaidFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		for range 120_000 { // over two minutes
			s.Error("send", "cannot send")
			s.Over("send", "sending again")
			time.Sleep(time.Millisecond)
		}
		logged(
			"error cannot send", "info sending again (after failing 1 times)",
			"error cannot send (and 59999 times more since it was last said)", "info sending again (after failing 1 times)",
		)
		time.Sleep(time.Minute)
		s.Error("send", "cannot send")
		logged("error cannot send (and 59999 times more since it was last said)")
		s.Over("send", "sending again")
		logged("info sending again (after failing 1 times)")
		if s.failing.Load() != 0 {
			t.Errorf("%d topics fail, want none", s.failing.Load())
		}
	})
}

// A failure that begins within a minute of the last one is said when it lasts.
func TestSaidFailsAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		s.Error("send", "cannot send")
		s.Over("send", "sending again")
		logged("error cannot send", "info sending again (after failing 1 times)")
		for range 7 {
			time.Sleep(10 * time.Second)
			s.Error("send", "cannot send")
		}
		logged("error cannot send (and 5 times more since it was last said)")
		s.Over("send", "sending again")
		logged("info sending again (after failing 7 times)")
	})
}

func TestSaidTopicsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		log, got := newLog()
		s.log = log
		for range 2 {
			for i := range 10 * maxTopics {
				s.Error(fmt.Sprint("stream ", i), "cannot send to %d", i)
			}
		}
		lines := got.take()
		if len(s.topics) > maxTopics+1 || len(lines) != maxTopics+1 {
			t.Errorf("%d topics and %d lines, want %d", len(s.topics), len(lines), maxTopics+1)
		}
		if s.failing.Load() != maxTopics {
			t.Errorf("%d topics fail, want %d: nothing ends the rest", s.failing.Load(), maxTopics)
		}
		// A minute later those that were quiet have made room.
		time.Sleep(sayEvery)
		s.Error("new", "cannot send to the new one")
		s.Error("stream 99999", "cannot send to 99999")
		s.Over("new", "sends")
		lines = got.take()
		want := []string{"error cannot send to the new one", "error cannot send to 99999", "info sends (after failing 1 times)"}
		if !slices.Equal(lines, want) || len(s.topics) != 3 || s.failing.Load() != 1 {
			t.Errorf("logged %q with %d topics, %d failing", lines, len(s.topics), s.failing.Load())
		}
		s.Over("stream 5", "is forgotten")
		s.Close()
		if s.failing.Load() != 0 || len(s.topics) != 0 {
			t.Errorf("%d topics, %d failing after Close", len(s.topics), s.failing.Load())
		}
		// 10,000 of each round of stream 0 to 999 are told at once or repeats of that; the others are the rest.
		if lines := got.take(); len(lines) != 1 || lines[0] != "warning other things: 18999 times more since they were last said" {
			t.Errorf("logged %q at the end", lines)
		}
		logged()
	})
}

func TestSaidRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		for i := range maxTopics {
			s.topics[fmt.Sprint(i)] = &topic{last: time.Now().Add(time.Hour)}
		}
		for i := range 3 {
			s.Warn(fmt.Sprint("new ", i), "text %d", i)
		}
		logged("warning text 0")
		time.Sleep(sayEvery)
		s.Warn("new 3", "text 3")
		logged("warning text 3 (and 2 times more this or something else, since it was last said)")
	})
}

// As many as there may be, and none more, make room; and where nothing is left to
// be said there is no rest.
func TestSaidSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		for i := range maxTopics {
			s.topics[fmt.Sprint(i)] = &topic{last: time.Now()}
		}
		time.Sleep(sayEvery)
		s.Warn("new", "text")
		logged("warning text")
		if s.topics["new"] == nil || len(s.topics) != 1 {
			t.Errorf("%d topics, want the new one alone", len(s.topics))
		}
	})
}

// At the end the most frequent are told apart.
func TestSaidClose(t *testing.T) {
	s, logged := newSaid(t)
	var want []string
	for i := range 30 {
		s.Warn(fmt.Sprintf("topic %02d", i), "text")
		for range i / 2 {
			s.Error(fmt.Sprintf("topic %02d", i), "text")
		}
	}
	for i := range 30 {
		want = append(want, "warning text")
		_ = i
	}
	logged(want...)
	s.Close()
	want = nil
	for n := 14; n >= 5; n-- {
		for i := range 2 {
			want = append(want, fmt.Sprintf("error topic %02d: %d times more since it was last said", 2*n+i, n))
		}
	}
	logged(append(want, "warning other things: 20 times more since they were last said")...)
}

func TestSaidRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		for range 2 {
			for i := range 10 {
				if s.Repeated("topic") != (i > 0) {
					t.Errorf("repeated is %t at %d", i == 0, i)
				}
				if i == 0 {
					s.Warn("topic", "text")
				}
			}
			time.Sleep(sayEvery)
		}
		logged("warning text", "warning text (and 9 times more since it was last said)")
		s.Close()
		logged("warning topic: 9 times more since it was last said")
	})
}

func TestSaidSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSaid(t)
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				for range 1000 {
					s.Error("send", "cannot send")
				}
			})
		}
		wait.Wait()
		logged("error cannot send")
		for range 8 {
			wait.Go(func() { s.Over("send", "sending again") })
		}
		wait.Wait()
		logged("info sending again (after failing 8000 times)")
	})
}

// A success says that nothing is over a million times, and pays nothing for it.
func TestSaidAllocations(t *testing.T) {
	s, _ := newSaid(t)
	s.Warn("topic", "text %d", 1)
	if n := testing.AllocsPerRun(1000, func() { s.Over("send", "again") }); n != 0 {
		t.Errorf("Over allocates %v times, want 0", n)
	}
	tag := strings.Repeat("x", 20)
	if n := testing.AllocsPerRun(1000, func() {
		if !s.Repeated("topic") {
			s.Warn("topic", "text %s", tag)
		}
	}); n != 0 {
		t.Errorf("a repeated Warn that asks first allocates %v times, want 0", n)
	}
	if n := testing.AllocsPerRun(1000, func() { s.Warn("topic", "a constant text") }); n != 0 {
		t.Errorf("a repeated Warn allocates %v times, want 0", n)
	}
}
