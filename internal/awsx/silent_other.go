//go:build !unix

package awsx

// hasPool: it cannot be seen whether a kept connection is open, so net/http's Transport makes all requests.
const hasPool = false

func silent(uintptr) bool { return false }
