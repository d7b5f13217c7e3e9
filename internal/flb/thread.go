package flb

// #include <stdlib.h>
// #include "symbols.h"
import "C"

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sirupsen/logrus"
)

// Fluent Bit's log goes by the thread it is called on: a thread that Fluent Bit
// made puts the line into the log's queue, any other writes it to stderr, past
// Log_File and past Fluent Bit's own counting (src/flb_log.c, flb_log_print).
// Goroutines run on threads of the Go runtime. So, while Fluent Bit's thread
// waits for us, it takes the lines that our goroutines want logged, and logs
// them.
//
// A line that comes while no thread of Fluent Bit is here is written on the
// spot, and goes to stderr then. Nothing of ours is supposed to run at such times.

// logLine is a line on its way into the log.
type logLine struct {
	level int
	text  string
}

var pending struct {
	mu      sync.Mutex
	threads int           // of Fluent Bit that are here
	lines   []logLine     // to be written by any of them, at most maxPending
	wake    chan struct{} // one of them has something to write
	room    *sync.Cond    // lines were taken, or a thread left
	writing sync.Mutex    // held while lines are written, to keep their order; taken before mu
}

// maxPending is how many lines may wait. Who logs one more waits too: Fluent
// Bit's own queue, of about as many, drops what is too much for it.
const maxPending = 1000

var (
	setUp sync.Once
	// ownLog is for what belongs to no instance.
	ownLog *logrus.Entry
)

// tickEvery is how often the metrics are brought up to date and the signal
// handlers looked after during a long flush.
const tickEvery = 2 * time.Second

// process is the id of the process that the library was loaded into.
var process atomic.Int64

// forked says that this process is another one. A Go runtime does not outlive a
// fork: the other threads are gone, and a goroutine that is waited for may never
// run. So nothing may be started here.
func forked() bool { return process.Load() != int64(os.Getpid()) }

// onBehalf runs f on a goroutine, and comes back when f has. The calling thread
// is one of Fluent Bit's; until then it does what only such a thread can do. A
// panic in f is logged as one in doing. m may be nil.
//
// There is a second reason for the goroutine: one that was called from C is
// tied to its thread, and each time it waits for another goroutine that costs
// two switches of threads.
func onBehalf(doing string, m *metrics, f func()) {
	if forked() {
		return
	}
	setUp.Do(func() {
		C.flb_resolve()
		tune()
		pending.wake = make(chan struct{}, 1)
		pending.room = sync.NewCond(&pending.mu)
		ownLog = newLog("[aws-for-fluent-bit] ", instanceLevel(nil))
	})
	C.flb_keep_signals()
	done := make(chan struct{})
	enter()
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				logPanic(ownLog, doing, v)
			}
		}()
		f()
	}()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-pending.wake:
			writePending()
		case <-tick.C:
			C.flb_keep_signals()
			m.publish()
		case <-done:
			m.publish()
			leave()
			return
		}
	}
}

func enter() {
	pending.mu.Lock()
	pending.threads++
	pending.mu.Unlock()
}

// leave sees to the lines that are left: another thread writes them, or, where
// this is the last one here, this one does.
func leave() {
	for {
		pending.mu.Lock()
		left := len(pending.lines) > 0
		if pending.threads > 1 || !left {
			pending.threads--
			pending.room.Broadcast()
			pending.mu.Unlock()
			if left {
				wake()
			}
			return
		}
		pending.mu.Unlock()
		writePending()
	}
}

// wake has a thread look at the lines; one that is awake finds them all.
func wake() {
	select {
	case pending.wake <- struct{}{}:
	default:
	}
	waiting.wake()
}

// writePending writes the lines that wait, in their order.
func writePending() {
	pending.writing.Lock()
	defer pending.writing.Unlock()
	pending.mu.Lock()
	lines := pending.lines
	pending.lines = nil
	pending.room.Broadcast()
	pending.mu.Unlock()
	for _, l := range lines {
		l.write()
	}
}

// writeLine has a line written into the log.
func writeLine(level int, text string) {
	line := logLine{level, text}
	pending.mu.Lock()
	for pending.threads > 0 && len(pending.lines) >= maxPending {
		pending.room.Wait()
	}
	if pending.threads == 0 {
		pending.mu.Unlock()
		line.write()
		return
	}
	pending.lines = append(pending.lines, line)
	pending.mu.Unlock()
	wake()
}

// write hands the line to Fluent Bit's log, by way of the thread it is called on.
func (l logLine) write() {
	if C.flb_can_print() == 0 {
		_, _ = os.Stderr.Write(appendLine(nil, time.Now(), l.level, l.text)) // where else to say that it failed?
		return
	}
	text := C.CString(l.text)
	C.flb_print(C.int(l.level), text)
	C.free(unsafe.Pointer(text))
}

// instanceLevel returns the log level of an instance, of none with nil.
func instanceLevel(ins *C.struct_flb_output_instance) logrus.Level {
	known := -1
	if ins != nil {
		known = int(C.flb_level(ins))
	}
	return logLevel(known, os.Getenv("FLB_LOG_LEVEL"))
}

// unnamed counts the instances that Fluent Bit could not name.
var unnamed atomic.Int64

// instanceName returns the instance's alias, or its name in Fluent Bit as
// "cloudwatch.0". Where Fluent Bit does not tell we number ourselves, like Fluent
// Bit over all plugins, but without other people's outputs.
func instanceName(ins *C.struct_flb_output_instance, plugin string) string {
	if name := C.flb_name(ins); name != nil {
		return C.GoString(name)
	}
	return fmt.Sprintf("%s.%d", plugin, unnamed.Add(1)-1)
}
