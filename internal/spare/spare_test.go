package spare

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l List[string]
		use := func(want string) {
			t.Helper()
			v, ok := l.Get()
			if v != want || ok != (want != "") {
				t.Errorf("got %q, %v, want %q", v, ok, want)
			}
			if ok {
				l.Put(v)
			}
		}
		has := func(want int) {
			t.Helper()
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.free) != want {
				t.Errorf("%d are kept, want %d", len(l.free), want)
			}
		}
		use("")
		for _, v := range []string{"a", "b", "c"} {
			l.Put(v)
		}
		use("c")            // what was put last
		time.Sleep(keepFor) // there was none in this time, before the first came
		has(3)
		use("c")
		time.Sleep(keepFor) // one was in use at a time: the others go
		has(1)
		use("c")
		time.Sleep(keepFor)
		has(1)
		time.Sleep(keepFor)
		has(0)
		if l.timed {
			t.Error("a trim is to come, and there is nothing to trim")
		}
		use("")
		l.Put("d")
		time.Sleep(2 * keepFor)
		has(0)
	})
}

// TestCollections: what is kept outlives collections, which is what List is for.
func TestCollections(t *testing.T) {
	var l List[*[]byte]
	l.Put(&[]byte{1})
	for range 3 {
		runtime.GC()
	}
	if v, ok := l.Get(); !ok || (*v)[0] != 1 {
		t.Error("it is gone")
	}
}

func TestConcurrent(t *testing.T) {
	var l List[*int]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				v, ok := l.Get()
				if !ok {
					v = new(int)
				}
				*v++
				l.Put(v)
			}
		})
	}
	wg.Wait()
	total := 0
	for _, v := range l.free {
		total += *v
	}
	if total != 8000 || len(l.free) > 8 {
		t.Errorf("%d uses of %d values", total, len(l.free))
	}
}
