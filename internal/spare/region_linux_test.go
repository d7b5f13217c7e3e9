//go:build !race

package spare

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// resident counts the pages of a buffer's room that have memory.
func resident(t *testing.T, buf []byte) (pages int) {
	t.Helper()
	buf = buf[:cap(buf)]
	seen := make([]byte, (len(buf)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, err := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(unsafe.Pointer(&seen[0]))); err != 0 {
		t.Fatal(err)
	}
	for _, s := range seen {
		pages += int(s & 1)
	}
	return pages
}

func write(buf []byte, pages int) []byte { return append(buf, make([]byte, pages*os.Getpagesize())...) }

// TestRegion: memory is taken as it is written, and never moved.
func TestRegion(t *testing.T) {
	const room = 3 << 20
	var r Region
	buf := r.Reserve(room)
	if len(buf) != 0 || cap(buf) != room {
		t.Fatalf("got %d bytes with room for %d, want none and room for %d", len(buf), cap(buf), room)
	}
	if got := resident(t, buf); got != 0 {
		t.Errorf("%d pages have memory before the first byte", got)
	}
	at := unsafe.SliceData(buf)
	for pages := range 8 {
		buf = write(buf[:0], pages)
		if got := resident(t, buf); got != pages {
			t.Errorf("%d pages have memory, want %d", got, pages)
		}
	}
	if buf = append(buf, make([]byte, room-len(buf))...); unsafe.SliceData(buf) != at {
		t.Error("what there was room for has moved")
	}
	behind := unsafe.Slice(at, room+64)
	for _, b := range behind[room:] {
		if b != 0 {
			t.Errorf("%d lies behind the buffer", b)
		}
	}
	if again := r.Reserve(room); unsafe.SliceData(again) != at || len(again) != 0 || cap(again) != room {
		t.Error("it is another buffer the second time")
	}
	if r.Empty(); resident(t, buf) != 0 {
		t.Error("memory is left that was given back")
	}
	if buf[0] = 'x'; resident(t, buf) != 1 {
		t.Error("it takes no memory again")
	}
	new(Region).Empty() // has none
	runtime.KeepAlive(&r)
}

// TestRegionIsUsedAgain: when its owner is collected, memory is given back at once,
// and the address space is the next one's.
func TestRegionIsUsedAgain(t *testing.T) {
	const room = 5 << 20
	at := func() []byte { return write(new(Region).Reserve(room), 3) }()
	for end := time.Now().Add(10 * time.Second); resident(t, at) != 0; time.Sleep(time.Millisecond) {
		if runtime.GC(); time.Now().After(end) {
			t.Fatal("the memory of a Region that nobody has is still there")
		}
	}
	var other, r, next Region
	if buf := other.Reserve(room - 1); cap(buf) != room-1 {
		t.Errorf("room for %d, want %d", cap(buf), room-1)
	}
	if got := r.Reserve(room); unsafe.SliceData(got) != unsafe.SliceData(at) || cap(got) != room {
		t.Error("its address space was not used again")
	}
	if got := next.Reserve(room); unsafe.SliceData(got) == unsafe.SliceData(at) {
		t.Error("two have the same address space")
	}
	runtime.KeepAlive(&r)
}

// TestHugePages: a Region has none, whatever the system's rule is.
func TestHugePages(t *testing.T) {
	var r Region
	buf := write(r.Reserve(11<<20), 1)
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	at := uint64(uintptr(unsafe.Pointer(&buf[0])))
	for line := range strings.Lines(string(text)) {
		var from, to uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 && from <= at && at < to {
			at = 0 // its VmFlags come next
		}
		if flags, found := strings.CutPrefix(line, "VmFlags:"); found && at == 0 {
			if !slices.Contains(strings.Fields(flags), "nh") {
				t.Errorf("its flags are %s", flags)
			}
			return
		}
	}
	t.Error("it is not in smaps, or has no flags there")
}

// TestLargePages: where pages are large, there is no buffer.
func TestLargePages(t *testing.T) {
	defer func(n int) { pageSize = n }(pageSize)
	pageSize = 64 << 10
	if got := new(Region).Reserve(13 << 20); got != nil {
		t.Errorf("room for %d", cap(got))
	}
	if pageSize = maxPage; new(Region).Reserve(13<<20) == nil {
		t.Error("there is none with pages of 16 KB")
	}
}

// TestNoAddressSpace: then there is no buffer, and nothing else.
func TestNoAddressSpace(t *testing.T) {
	var r Region
	if got := r.Reserve(1 << 60); got != nil {
		t.Errorf("room for %d", cap(got))
	}
	r.Empty()
	if got := append(r.Reserve(1<<60), 'x'); string(got) != "x" {
		t.Errorf("got %q", got)
	}
}

type owner struct{ Region }

// TestListGivesMemoryBack of what nobody needs.
func TestListGivesMemoryBack(t *testing.T) {
	const room = 7 << 20
	one, two := new(owner), new(owner)
	a, b := write(one.Reserve(room), 2), write(two.Reserve(room), 2)
	synctest.Test(t, func(t *testing.T) {
		var l List[*owner]
		l.Put(one)
		l.Put(two)
		time.Sleep(keepFor)
		synctest.Wait()
		v, _ := l.Get()
		l.Put(v)
		time.Sleep(keepFor)
		synctest.Wait()
		if resident(t, a) != 0 || resident(t, b) != 2 {
			t.Errorf("%d and %d pages have memory, want 0 and 2", resident(t, a), resident(t, b))
		}
		time.Sleep(2 * keepFor)
	})
	runtime.KeepAlive(one)
	runtime.KeepAlive(two)
}
