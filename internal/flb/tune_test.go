package flb

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
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
	procs, limit := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1)
	defer runtime.GOMAXPROCS(procs)
	defer debug.SetMemoryLimit(limit)

	runtime.GOMAXPROCS(3)
	debug.SetMemoryLimit(math.MaxInt64)
	t.Setenv("GOMAXPROCS", "3")
	t.Setenv("GOMEMLIMIT", "off")
	tune()
	if got, limit := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1); got != 3 || limit != math.MaxInt64 {
		t.Errorf("in spite of the environment: %d threads, limit %d", got, limit)
	}
	os.Unsetenv("GOMAXPROCS")
	os.Unsetenv("GOMEMLIMIT")
	tune()
	if got, limit := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1); got != 1 || limit != memoryLimit {
		t.Errorf("%d threads, limit %d", got, limit)
	}
}
