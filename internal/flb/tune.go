package flb

import (
	"os"
	"runtime"
	"runtime/debug"
)

// memoryLimit is what Go's collector tries to stay below: far above what a usual
// load takes, and with Fluent Bit's own memory still within a sidecar's 100 MB.
const memoryLimit = 64 << 20

// tune sets what the Go runtime would otherwise decide for a program that has
// the machine to itself. GOMAXPROCS and GOMEMLIMIT in the environment are above
// it; GOGC stays as it is.
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threads(runtime.GOMAXPROCS(0)))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// threads is how many threads run Go code at a time, of n that could. One encodes,
// hashes and encrypts some 300 MB a second; every further one costs 5 to 10 % of
// CPU, as the runtime wakes it for what the first would have done a moment later.
func threads(n int) int { return min(1+n/4, 4) }
