//go:build !linux || race

package spare

// Region is nothing here, and its buffer is of Go's heap: other systems have other
// calls for it, and the race detector would not see what is done to its bytes.
type Region struct{}

// Reserve returns nil, to append to.
func (*Region) Reserve(int) []byte { return nil }

// Empty does nothing.
func (*Region) Empty() {}
