package flb

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	counts "runtime/metrics"
	"strings"
	"testing"
	"time"
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

func TestPercent(t *testing.T) {
	const mb = 1 << 20
	for live, want := range map[uint64]int{0: 50, mb: 75, 2 * mb: 100, 4 * mb: 50, 6 * mb: 33, 7 * mb: 30, 11 * mb: 30, 400 * mb: 30} {
		if got := percent(live, math.Inf(1)); got != want {
			t.Errorf("%d bytes alive: got %d, want %d", live, got, want)
		}
	}
	for perSecond, want := range map[float64]int{0: 30, 1.2 * mb: 30, 1.6 * mb: 40, 2 * mb: 50, 100 * mb: 50} {
		if got := percent(4*mb, perSecond); got != want {
			t.Errorf("%.0f bytes of garbage a second: got %d, want %d", perSecond, got, want)
		}
	}
	if got := percent(mb, 0); got != 50 {
		t.Errorf("with no garbage: got %d, want 50", got)
	}
}

// TestGarbageOfASecond: how much may become garbage goes by how much did in the time
// since the last collection.
func TestGarbageOfASecond(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC()
	c := newCollection()
	after := func(ago time.Duration, allocated uint64) int {
		counts.Read(c.heap)
		c.allocated, c.at = c.heap[1].Value.Uint64()-allocated, time.Now().Add(-ago)
		c.percent = 0
		afterCollection(c)
		runtime.SetFinalizer(c, nil)
		return c.percent
	}
	live := func() uint64 { return c.heap[0].Value.Uint64() }
	if got, want := after(10*time.Second, 10<<10), percent(live(), minGarbage); got != want {
		t.Errorf("1 KB a second: got %d, want %d", got, want)
	}
	if got, want := after(10*time.Second, 30<<20), percent(live(), maxGarbage); got != want {
		t.Errorf("3 MB a second: got %d, want %d", got, want)
	}
	if percent(live(), minGarbage) == percent(live(), maxGarbage) {
		t.Fatal("more is alive than this test can tell the two by")
	}
}

// What has changed little is not set: that stops all threads.
func TestCollectionsAreLeftAlone(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	runtime.GC() // so that what is alive is known, and stays so
	c := newCollection()
	counts.Read(c.heap)
	p := percent(c.heap[0].Value.Uint64(), minGarbage)
	for percent, want := range map[int]int{0: p, p - 1: p - 1, p + 1: p + 1, p / 2: p, p * 2: p} {
		c.percent = percent
		c.at = time.Now().Add(-time.Hour) // so that a second had little garbage
		afterCollection(c)
		runtime.SetFinalizer(c, nil)
		if c.percent != want {
			t.Errorf("%d in place of %d: set to %d, want %d", percent, p, c.percent, want)
		}
	}
}

// TestCollectionsFollowWhatIsAlive: with each collection the next one is set anew.
func TestCollectionsFollowWhatIsAlive(t *testing.T) {
	afterCollection(newCollection())
	seen := func() int {
		at := []counts.Sample{{Name: "/gc/gogc:percent"}}
		counts.Read(at)
		return int(at[0].Value.Uint64())
	}
	reaches := func(what string, want func(percent int) bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !want(seen()); time.Sleep(time.Millisecond) {
			runtime.GC()
			if time.Now().After(end) {
				t.Fatalf("%s: GOGC is %d", what, seen())
			}
		}
	}
	little := make([]byte, 2<<20) // of less, Go's least heap is more than what it may grow by
	defer runtime.KeepAlive(little)
	reaches("little is alive", func(p int) bool { return p > garbageShare })
	func() {
		large := make([]byte, 64<<20)
		reaches("much is alive", func(p int) bool { return p == garbageShare })
		runtime.KeepAlive(large)
	}()
	reaches("little is alive again", func(p int) bool { return p > garbageShare })
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
