//go:build unix

package awsx

import (
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// TestPoll: a goroutine that waits for a connection goes on when something has come,
// though another one never stops.
func TestPoll(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // else Go may look in another thread
	here, there := connected(t)
	seen := make(chan struct{}, 1)
	go func() {
		for b := make([]byte, 1); ; seen <- struct{}{} {
			if _, err := here.Read(b); err != nil {
				close(seen)
				return
			}
		}
	}()
	runtime.Gosched() // it waits
	for i := range 100 {
		if _, err := there.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		// One or two may let it not run yet: of 61 turns Go gives one to who waits longest,
		// and a collection has goroutines of its own.
		for tries := 0; len(seen) == 0; tries++ {
			if tries == 5 {
				t.Fatalf("byte %d has come, and its reader does not run", i)
			}
			Poll()
		}
		<-seen
	}
	there.Close()
	<-seen
}

// TestPollTogether: there is one pipe for all, and nobody waits for ever.
func TestPollTogether(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				Poll()
			}
		})
	}
	wg.Wait()
}

// TestPollWithoutPipe: where there can be none, there is nothing to wait for; the next
// call tries again.
func TestPollWithoutPipe(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	var p poller
	p.wait()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if p.out != nil {
		t.Fatal("there is a pipe")
	}
	if p.wait(); !p.written {
		t.Error("no byte was written")
	}
	p.in.Close()
	if p.wait(); p.written {
		t.Error("a byte was written to a closed pipe")
	}
}

func TestPollAllocates(t *testing.T) {
	Poll()
	if n := testing.AllocsPerRun(100, Poll); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPoll(b *testing.B) {
	for b.Loop() {
		Poll()
	}
}

func connected(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
