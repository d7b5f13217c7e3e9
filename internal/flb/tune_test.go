package flb

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
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

// tuned says what the Go runtime goes by after tune.
func tuned() string {
	tune()
	return fmt.Sprintf("GOMAXPROCS=%d GOGC=%d GOMEMLIMIT=%d", runtime.GOMAXPROCS(0), debug.SetGCPercent(-1), debug.SetMemoryLimit(-1))
}

// Whatever the environment of a process says of the three is what it goes by.
func TestEnvironmentIsAboveTune(t *testing.T) {
	const child = "FLB_TEST_TUNED"
	if os.Getenv(child) != "" {
		fmt.Println(tuned())
		return
	}
	f := func(want string, env ...string) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestEnvironmentIsAboveTune$")
		cmd.Env = append(os.Environ(), append(env, child+"=1")...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: got %s, %v, want %s", env, out, err, want)
		}
	}
	f("GOMAXPROCS=2 GOGC=37 GOMEMLIMIT=67108864\n", "GOMAXPROCS=2", "GOGC=37", "GOMEMLIMIT=64MiB")
	f("GOGC=-1 ", "GOGC=off")
	f(fmt.Sprintf("GOMEMLIMIT=%d\n", math.MaxInt64), "GOMEMLIMIT=off")
}
