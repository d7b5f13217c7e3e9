package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aws-for-fluent-bit/internal/options"
)

func TestFailFast(t *testing.T) {
	t.Setenv(failFastEnv, "1m")
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		d := New(Env{Name: "o.0", Quit: func() { ended++ }}, options.New(func(string) string { return "" }))
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}})
		f.Record()
		var a Attempts
		fail := func() { f.Again(&a, Verdict{Action: Later}) }
		fail()
		time.Sleep(59 * time.Second)
		fail()
		if ended != 0 {
			t.Fatal("ended before its time")
		}
		f.Sent(1, func(int) int { return 0 }) // a success starts the time anew
		fail()
		time.Sleep(59 * time.Second)
		fail()
		if ended != 0 {
			t.Fatal("ended although records got across")
		}
		time.Sleep(time.Second)
		fail()
		if ended != 1 {
			t.Errorf("ended %d times after a minute without progress", ended)
		}
		f.End(nil)
	})
}

func TestFailFastValues(t *testing.T) {
	for _, value := range []string{"soon", "-1m", "0s", "90"} {
		t.Setenv(failFastEnv, value)
		s := options.New(func(string) string { return "" })
		New(Env{Name: "o.0"}, s)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), failFastEnv) || !strings.Contains(err.Error(), value) {
			t.Errorf("%q: error %v", value, err)
		}
	}
}

// Without the variable nothing ends, however long nothing gets across.
func TestNoFailFast(t *testing.T) {
	t.Setenv(failFastEnv, "")
	synctest.Test(t, func(t *testing.T) {
		d := New(Env{Name: "o.0", Quit: func() { t.Error("ended") }}, options.New(func(string) string { return "" }))
		f := d.Begin(Chunk{Tag: "t", Data: []byte{1}})
		f.Record()
		var a Attempts
		f.Again(&a, Verdict{Action: Later})
		time.Sleep(1000 * time.Hour)
		f.Again(&a, Verdict{Action: Later})
		f.End(nil)
	})
}
