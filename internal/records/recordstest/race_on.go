//go:build race

package recordstest

// Race says whether the race detector is on: it slows down and allocates.
const Race = true
