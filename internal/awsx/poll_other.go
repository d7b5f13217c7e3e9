//go:build !unix

package awsx

import "runtime"

// Poll lets other goroutines go on. That Go looks for those whose connections have
// something to read is not known to be asked for here.
func Poll() { runtime.Gosched() }
