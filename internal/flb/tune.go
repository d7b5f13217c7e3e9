package flb

import (
	"os"
	"runtime"
)

// tune sets what the Go runtime would otherwise decide for a program that has
// the machine to itself. GOMAXPROCS in the environment is above it; GOGC and
// GOMEMLIMIT stay as they are. (A limit of memory was tried: what is under way at
// a time depends on workers, concurrency and the size of records, and a collector
// that cannot get below its limit takes half of the CPU.)
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threads(runtime.GOMAXPROCS(0)))
	}
}

// threads is how many threads run Go code at a time, of n that could. One encodes,
// hashes and encrypts some 300 MB a second; every further one costs 5 to 10 % of
// CPU, as the runtime wakes it for what the first would have done a moment later.
func threads(n int) int { return min(1+n/4, 4) }
