//go:build unix

package awsx

import (
	"os"
	"runtime"
	"sync"
	"syscall"
)

// Poll lets the goroutines go on whose connections have something to read. Go looks
// for them only when there is no goroutine that can run, or when it has not looked
// for 10 ms (findRunnable and sysmon in runtime/proc.go), and the one that encodes
// always can: so long may an answer that has come lie there, and with it the memory of
// what it answers.
func Poll() {
	polled.wait()
	runtime.Gosched()
}

var polled poller

// poller waits for a byte in a pipe that it writes itself: to find that it has come,
// Go has to look.
type poller struct {
	mu      sync.Mutex
	in      *os.File
	out     syscall.RawConn // nil: there is no pipe yet
	step    func(fd uintptr) (done bool)
	buf     [1]byte
	written bool
}

func (p *poller) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil || p.open() == nil {
		p.written = false
		_ = p.out.Read(p.step)
	}
}

func (p *poller) open() error {
	out, in, err := os.Pipe()
	if err != nil {
		return err // of too many open files, most likely
	}
	p.in = in
	p.step = func(fd uintptr) (done bool) {
		if p.written {
			_, _ = syscall.Read(int(fd), p.buf[:])
			return true
		}
		n, _ := p.in.Write(p.buf[:])
		p.written = n == 1
		return !p.written
	}
	p.out, err = out.SyscallConn()
	return err
}
