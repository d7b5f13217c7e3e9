//go:build !race

package spare

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// Region is address space for a buffer that may get large and mostly does not. The
// system gives memory to it page by page, when it is first written, and the
// collector sees nothing of it: in Go's heap such a buffer is copied each time that
// it has grown out of its room, and what it leaves stays resident for long.
//
// The zero Region has none yet. When what holds it is collected, the memory is given
// back and the address space is another Region's: what uses the buffer must hold the
// Region. It is never unmapped, so that who does not keep to that reads bytes that are
// not its own, and does not take Fluent Bit down.
type Region struct{ all []byte }

// Reserve returns the Region's buffer, empty and with room for n bytes: the same n
// each time. It returns nil, which is another buffer to append to, where the system
// has no address space left, or promises no more memory than it has
// (vm.overcommit_memory 2), or has such large pages that a flush with hundreds of
// small bodies would take tens of megabytes (64 KB, of some kernels for arm64).
func (r *Region) Reserve(n int) []byte {
	if r.all == nil {
		if r.all = unused.get(n); r.all == nil {
			return nil
		}
		runtime.AddCleanup(r, unused.put, r.all)
	}
	return r.all[:0:n]
}

// Empty gives the memory back, and with it what was in the buffer.
func (r *Region) Empty() { empty(r.all) }

func empty(all []byte) {
	if all != nil {
		_ = syscall.Madvise(all, syscall.MADV_DONTNEED)
	}
}

// addresses are address spaces by their length, which no Region has.
type addresses struct {
	mu    sync.Mutex
	spare map[int][][]byte // guarded by mu
}

var unused addresses

// maxPage is the largest page, in bytes, of which Regions are made.
const maxPage = 16 << 10

var pageSize = os.Getpagesize()

func (a *addresses) get(n int) []byte {
	if pageSize > maxPage {
		return nil
	}
	n += pageSize // memory behind the last byte too, for who reads some more at a time
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.spare[n]; len(s) > 0 {
		a.spare[n] = s[:len(s)-1]
		return s[len(s)-1]
	}
	all, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	// Where huge pages are the rule, the first byte would take 2 MB.
	_ = syscall.Madvise(all, syscall.MADV_NOHUGEPAGE)
	return all
}

func (a *addresses) put(all []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	empty(all)
	if a.spare == nil {
		a.spare = make(map[int][][]byte)
	}
	a.spare[len(all)] = append(a.spare[len(all)], all)
}
