// Package flb is Fluent Bit's side of the C boundary: it turns the calls that
// Fluent Bit's proxy makes (src/flb_plugin_proxy.c, src/proxy/go/go.c) into
// calls of plain Go outputs, and gives these Fluent Bit's log and metrics
// endpoint. No C type gets past this package.
//
// What it keeps to:
//
//   - No panic crosses the boundary.
//   - A chunk is C memory, borrowed for one call. It is not copied here.
//   - Our code runs on goroutines while Fluent Bit's thread waits and does what
//     only it can do: write log lines and set metrics. See onBehalf.
//   - What another version of Fluent Bit lacks costs the feature, not more.
package flb

// #include <stdlib.h>
// #include "symbols.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime/cgo"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"
	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
)

// Output is one instance of a plugin. With workers in Fluent Bit, Flush is
// called from several threads at once; Close is called once, after the last of
// them came back.
type Output interface {
	Flush(delivery.Chunk) delivery.Result
	Close()

	Room() delivery.Room
	Soonest() time.Duration // in which the service answers
}

// keeper is an output that may keep what is given up.
type keeper interface {
	GiveUpChunk(c delivery.Chunk, why error)
}

// Constructor makes an output. The getter is good only until it returns.
type Constructor func(delivery.Env, options.Getter) (Output, error)

// instance is what a context in Fluent Bit stands for.
type instance struct {
	out      Output
	name     string // alias or name
	log      *logrus.Entry
	counters *delivery.Counters
	metrics  *metrics
	engine   int       // id of Fluent Bit's engine thread, which initialized it
	onEngine sync.Once // says that flushes run there
	queue    queue     // of flushes that wait in their coroutines
	panics   panics
}

// Register fills in Fluent Bit's struct flb_plugin_proxy_def. It returns
// FLB_ERROR, 0, which is what Fluent Bit takes for success here. With metrics the
// output gets chunks of metrics, too, from a Fluent Bit that knows of such outputs.
func Register(def unsafe.Pointer, name, description string, metrics bool) (result int) {
	result = -1
	process.Store(int64(os.Getpid()))
	onBehalf("register", nil, func() {
		result = output.FLBPluginRegister(def, name, description)
		if result == output.FLB_ERROR && metrics {
			C.flb_ask_for_metrics((*C.struct_proxy_def)(def))
		}
	})
	return result
}

// Unregister frees what Register allocated.
func Unregister(def unsafe.Pointer) {
	onBehalf("unregister", nil, func() { output.FLBPluginUnregister(def) })
}

// Init makes the output whose name stands in Fluent Bit's struct
// flbgo_output_plugin, and leaves a handle for Flush and Exit in its context.
// It returns FLB_ERROR when there is no such output or it cannot start: Fluent
// Bit then ends, which is what it does for a bad configuration of its own.
func Init(plugin unsafe.Pointer, outputs map[string]Constructor) int {
	p := (*C.struct_go_plugin)(plugin)
	if forked() {
		// Fluent Bit's daemon mode forks after it has loaded its plugins.
		logLine{levelError, "[aws-for-fluent-bit] cannot start after a fork: go plugins and fluent bit's daemon mode (-d, Daemon on) do not go together"}.write()
		return int(delivery.Error)
	}
	engine := threadID()
	var started *instance
	onBehalf("start", nil, func() {
		plugin := C.GoString(p.name)
		name := instanceName(p.instance, plugin)
		log := newLog(fmt.Sprintf("[output:%s:%s] ", plugin, name), instanceLevel(p.instance))
		in, err := open(p, outputs[plugin], delivery.Env{Name: name, Log: log, Counters: new(delivery.Counters), Ending: ending(), Quit: quit})
		if err != nil {
			for _, problem := range strings.Split(err.Error(), "\n") {
				log.Errorf("cannot start: %s", problem)
			}
			return
		}
		in.engine = engine
		started = in
	})
	if started == nil {
		// Fluent Bit 1.9 ends at once then, and what its log's thread has not
		// written by that time is lost: the lines that say why.
		time.Sleep(logDrains)
		return int(delivery.Error)
	}
	// On this very thread, the engine's; see metrics.
	started.metrics = newMetrics(p.instance, started.name, started.counters)
	p.context.remote_context = C.uintptr_t(cgo.NewHandle(started))
	// Fluent Bit may well be idle from here on, and it runs on every node of a
	// cluster. This takes 1 ms and gives back 10 MB of 22.
	debug.FreeOSMemory()
	C.flb_forget_pages()
	fresh.Store(true)
	return int(delivery.OK)
}

// fresh says that an output was started, and no flush has begun since.
var fresh atomic.Bool

// firstCalls is how long a flush may take, after a start, for what comes once: TLS
// handshakes, credentials, what the SDK makes of a call.
const firstCalls = 500 * time.Millisecond

// forgetFirst gives back the code of the first calls, when they are over: 1.5 to 2 MB.
func forgetFirst() {
	if fresh.Load() && fresh.CompareAndSwap(true, false) {
		time.AfterFunc(firstCalls, func() { C.flb_forget_pages() })
	}
}

// quit ends Fluent Bit, with the status that AWS's Go plugins end it with. What
// was said before is given time to get into the log.
func quit() {
	time.Sleep(time.Second)
	os.Exit(1) //nolint:forbidigo // the user asks for it, by SEND_FAILURE_TIMEOUT
}

// logDrains is time enough for Fluent Bit's log to write some lines.
const logDrains = 100 * time.Millisecond

// ending returns what tells whether Fluent Bit was told to end, nil when nothing
// does.
func ending() func() bool {
	if C.flb_ending() < 0 {
		return nil
	}
	return func() bool { return C.flb_ending() > 0 }
}

func open(p *C.struct_go_plugin, construct Constructor, env delivery.Env) (in *instance, err error) {
	if construct == nil {
		return nil, fmt.Errorf("this library has no output of that name")
	}
	// A constructor that panics has said nothing to the user yet. The stack is
	// for us, the sentence is for the user.
	defer func() {
		if v := recover(); v != nil {
			logPanic(env.Log, "start", v)
			err = fmt.Errorf("a fault of this plugin: please report it with the lines above")
		}
	}()
	var mu sync.Mutex
	starting := true
	defer func() {
		mu.Lock()
		starting = false
		mu.Unlock()
	}()
	var known []string
	out, err := construct(env, func(key string) string {
		mu.Lock()
		defer mu.Unlock()
		if !starting {
			// The struct is shared by all instances of a plugin: from the next
			// instance's start on it would answer with that one's options.
			return ""
		}
		known = append(known, strings.ToLower(key))
		return output.FLBPluginConfigKey(unsafe.Pointer(p), key)
	})
	if wrong := checkKeys(env.Log, keysOf(p), known); wrong != nil {
		if err == nil {
			out.Close()
		}
		err = errors.Join(err, wrong)
	}
	if err != nil {
		return nil, err
	}
	in = &instance{out: out, name: env.Name, log: env.Log, counters: env.Counters}
	in.queue.of(out)
	return in, nil
}

// keysOf returns the names of the options that an instance's section has, nil
// when they cannot be told.
func keysOf(p *C.struct_go_plugin) []string {
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil
	}
	defer memory.Close()
	return sectionKeys(memory, uint64(uintptr(unsafe.Pointer(p.instance))), func(key string) uint64 {
		c := C.CString(key)
		defer C.free(unsafe.Pointer(c))
		return uint64(uintptr(unsafe.Pointer(C.flb_property(p, c))))
	})
}

// Flush delivers a chunk: size bytes of msgpack at data, Fluent Bit's until
// this returns. The result is an FLB_OK, FLB_RETRY or FLB_ERROR.
func Flush(handle uintptr, data unsafe.Pointer, size int, tag string) int {
	result := delivery.Error
	thread := threadID()
	in := lookUp(handle)
	if in == nil {
		return int(result)
	}
	forgetFirst()
	onBehalf("flush", in.metrics, func() {
		chunk := delivery.Chunk{Tag: tag, Data: unsafe.Slice((*byte)(data), size), OnEngine: thread == in.engine}
		if chunk.OnEngine {
			in.onEngine.Do(func() {
				in.log.Warn("flushes run on fluent bit's engine thread, where inputs, timers and other outputs wait for them: set workers to 1 or more for this output")
			})
		}
		result = in.flush(chunk)
	})
	return int(result)
}

// flush delivers a chunk. A panic is logged, and answered.
func (in *instance) flush(chunk delivery.Chunk) delivery.Result {
	return in.guard(chunk, func() delivery.Result { return in.out.Flush(chunk) })
}

// guard runs a part of a chunk's flush. A panic is logged, and answered.
func (in *instance) guard(chunk delivery.Chunk, part func() delivery.Result) (result delivery.Result) {
	defer func() {
		if v := recover(); v != nil {
			result = in.panics.verdict(chunk)
			logPanic(in.log, fmt.Sprintf("flush of a chunk of tag %q, which is answered with %v", chunk.Tag, result), v)
			if keep, ok := in.out.(keeper); ok && result == delivery.Error {
				keep.GiveUpChunk(chunk, fmt.Errorf("a panic in its flush: %v", v))
			}
		}
	}()
	return part()
}

// reloading is what PreExit said last.
var reloading atomic.Bool

// PreExit is called right before each instance's Exit, after its threads have
// ended. reload tells a hot reload from the end of the process.
func PreExit(reload bool) { reloading.Store(reload) }

// Exit closes an output. Fluent Bit does nothing with the result.
func Exit(handle uintptr) int {
	result := delivery.Error
	in := lookUp(handle)
	if in == nil {
		return int(result)
	}
	onBehalf("exit", in.metrics, func() {
		cgo.Handle(handle).Delete()
		why := "fluent bit ends"
		if reloading.Load() {
			why = "fluent bit reloads its configuration"
		}
		in.log.Debugf("exit: %s", why)
		in.out.Close()
		result = delivery.OK
	})
	// Fluent Bit destroys its metrics as soon as this returns.
	in.metrics.free()
	return int(result)
}

// lookUp returns the instance behind a handle, nil when there is none: that
// would be a fault in Fluent Bit, and cgo.Handle answers it with a panic.
func lookUp(handle uintptr) (in *instance) {
	defer func() {
		if v := recover(); v != nil {
			onBehalf("look up", nil, func() { ownLog.Errorf("fluent bit called with a context that is not ours: %v", v) })
		}
	}()
	return cgo.Handle(handle).Value().(*instance)
}
