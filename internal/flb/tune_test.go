package flb

import (
	"os"
	"runtime"
	"testing"
)

func TestThreads(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 7: 2, 8: 3, 12: 4, 192: 4} {
		if got := threads(n); got != want {
			t.Errorf("of %d: got %d, want %d", n, got, want)
		}
	}
}

// What the environment says stays.
func TestTune(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.GOMAXPROCS(3)
	t.Setenv("GOMAXPROCS", "3")
	tune()
	if got := runtime.GOMAXPROCS(0); got != 3 {
		t.Errorf("in spite of the environment: %d threads", got)
	}
	os.Unsetenv("GOMAXPROCS")
	tune()
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d threads", got)
	}
}
