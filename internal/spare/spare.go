// Package spare keeps buffers for their next use.
//
// sync.Pool does that too, but gives up at every collection what is not in use at
// that moment. Our buffers have megabytes where all else is small, so that to make
// them anew is most of what there is to collect: collections drop them, and so
// bring on the next one.
package spare

import (
	"slices"
	"sync"
	"time"
)

// keepFor is how long, or up to twice as long, what is not needed stays.
const keepFor = 5 * time.Second

// List keeps values for their next use. The zero List is ready for use, and safe
// for concurrent use.
type List[T any] struct {
	mu    sync.Mutex
	free  []T  // what was used last at its end
	least int  // of them that there were since the last trim
	timed bool // a trim is to come
}

// Get returns a value that was given back. ok is false if there is none.
func (l *List[T]) Get() (v T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.free) - 1
	if n < 0 {
		return v, false
	}
	v = l.free[n]
	l.free = slices.Delete(l.free, n, n+1)
	l.least = min(l.least, n)
	return v, true
}

// Put gives a value back, which its caller must not use any more.
func (l *List[T]) Put(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, v)
	if !l.timed {
		l.timed = true
		time.AfterFunc(keepFor, l.trim)
	}
}

// trim gives up what nobody has needed since the last time.
func (l *List[T]) trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.free[:l.least] {
		if v, ok := any(v).(interface{ Empty() }); ok { // it has a Region
			v.Empty()
		}
	}
	l.free = slices.Delete(l.free, 0, l.least)
	l.least = len(l.free)
	if l.timed = l.least > 0; l.timed {
		time.AfterFunc(keepFor, l.trim)
	}
}
