package delivery

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// letterFile is a file of letters. When it is full it becomes the file of the same
// name with .1 behind it, in the place of the one before. It is opened for each
// writing: they are few, and whoever moves the file away meanwhile may do so.
type letterFile struct {
	path string
	max  int // bytes
	gate *fileGate

	append func(lines []byte) error // for tests
}

// fileGate lets one at a time to a file, whichever outputs write to it.
type fileGate struct {
	in   chan struct{}
	slow atomic.Bool // who is in has taken too long: nobody else waits for it
}

var gates sync.Map // path -> *fileGate

// filePatience is how long a flush waits for the disk.
const filePatience = 2 * time.Second

func openLetterFile(path string, max int) *letterFile {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	gate, _ := gates.LoadOrStore(path, &fileGate{in: make(chan struct{}, 1)})
	l := &letterFile{path: path, max: max, gate: gate.(*fileGate)}
	l.append = l.appendLines
	return l
}

var errNotRegular = errors.New("it is not a regular file")

// check says whether the file can be written. It makes the file if there is none.
func (l *letterFile) check() error {
	f, _, err := l.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// open opens the file, which only its owner may read: it has what records have.
func (l *letterFile) open() (f *os.File, size int64, err error) {
	info, err := os.Stat(l.path) // first: opening a named pipe waits for its reader
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, errNotRegular
	default:
		size = info.Size()
	}
	f, err = os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return f, size, err
}

// write appends lines, which are the file's from now on. It waits only so long for
// a disk that does not answer; then they may be there later, or not.
func (l *letterFile) write(lines []byte) error {
	if len(lines) > l.max {
		return fmt.Errorf("%d bytes are more than option dead_letter_max_size, %d", len(lines), l.max)
	}
	late := time.NewTimer(filePatience)
	defer late.Stop()
	if !l.gate.enter(late.C) {
		return l.late()
	}
	done := make(chan error, 1)
	go func() {
		done <- l.append(lines)
		<-l.gate.in
	}()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return l.late()
	}
}

// enter returns false if the file is not free in time.
func (g *fileGate) enter(late <-chan time.Time) bool {
	if g.slow.Load() {
		select {
		case g.in <- struct{}{}:
			g.slow.Store(false)
			return true
		default:
			return false
		}
	}
	select {
	case g.in <- struct{}{}:
		return true
	case <-late:
		return false
	}
}

func (l *letterFile) late() error {
	l.gate.slow.Store(true)
	return fmt.Errorf("cannot write to %q: the disk has not answered for %v", l.path, filePatience)
}

func (l *letterFile) appendLines(lines []byte) error {
	f, size, err := l.open()
	if err == nil && size > 0 && size+int64(len(lines)) > int64(l.max) {
		_ = f.Close()
		if err = os.Rename(l.path, l.path+".1"); err == nil {
			f, size, err = l.open()
		}
	}
	if err != nil {
		return err
	}
	return finish(f, size, lines)
}

// finish writes all of the lines, or none, to a file of a size, and closes it.
func finish(f interface {
	io.WriteCloser
	Truncate(int64) error
}, size int64, lines []byte) error {
	_, err := f.Write(lines)
	if err != nil {
		_ = f.Truncate(size) // half a line would spoil the next one
	}
	return errors.Join(err, f.Close())
}
