//go:build hosttest

package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/flb"
	"aws-for-fluent-bit/internal/options"
)

// The output "probe" is for tests of the C boundary alone: it sends nothing,
// and a chunk's tag says what is to happen to it.
func init() {
	outputs["probe"] = newProbe
}

type probe struct {
	env   delivery.Env
	now   atomic.Int64 // flushes under way
	most  atomic.Int64 // the most that were
	times sync.Map     // tag -> *atomic.Int64
}

func newProbe(env delivery.Env, get options.Getter) (flb.Output, error) {
	p := &probe{env: env}
	switch start := get("start"); start {
	case "":
	case "refuse":
		return nil, errors.Join(errors.New("option start: cannot use \"refuse\""), errors.New("option other: cannot use \"this\" either"))
	case "panic":
		panic("no start for 100 %s reasons")
	case "nil":
		var none *probe
		none.env.Log.Info("never said")
	default:
		return nil, fmt.Errorf("option start: cannot use %q", start)
	}
	env.Log.Debugf("say is %q", get("say"))
	env.Log.Infof("started, say is %q", get("say"))
	return p, nil
}

// GiveUpChunk says that it was called.
func (p *probe) GiveUpChunk(c delivery.Chunk, why error) {
	p.env.Log.Infof("given up: %d bytes of tag %q, %v", len(c.Data), c.Tag, why)
}

// Flush does what the tag says, its words divided by colons: WHAT:ARGUMENT.
func (p *probe) Flush(c delivery.Chunk) delivery.Result {
	now := p.now.Add(1)
	defer p.now.Add(-1)
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	n, _ := p.times.LoadOrStore(c.Tag, new(atomic.Int64))
	times := n.(*atomic.Int64).Add(1)
	p.env.Counters.Add(delivery.In, 1)
	return p.do(c, times)
}

// do does what a chunk's tag says, which has come so many times.
func (p *probe) do(c delivery.Chunk, times int64) delivery.Result {
	what, argument, _ := strings.Cut(c.Tag, ":")
	switch what {
	case "echo": // what came through the boundary
		p.env.Log.Infof("echo %d bytes crc32 %08x time %d on engine %v any order %v", len(c.Data), crc32.ChecksumIEEE(c.Data), times, c.OnEngine, c.AnyOrder)
	case "busy": // for as long as the argument says
		wait, err := time.ParseDuration(argument)
		if err != nil {
			return delivery.Error
		}
		time.Sleep(wait)
		p.env.Log.Infof("most at once %d", p.most.Load())
	case "meet": // waits for as many flushes at once as the argument says
		want, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return delivery.Error
		}
		for i := 0; p.most.Load() < want; i++ {
			if i == 3000 {
				return delivery.Error
			}
			time.Sleep(10 * time.Millisecond)
		}
	case "goroutine": // logs from a goroutine of its own
		done := make(chan bool)
		go func() {
			defer close(done)
			p.env.Log.Errorf("%s", trap)
			p.env.Log.Warn("warn")
			p.env.Log.Debug("debug")
			p.env.Log.Trace("trace")
		}()
		<-done
	case "flood": // more lines than may wait at once
		for i := range 3000 {
			p.env.Log.Infof("flood line %d", i)
		}
	case "later": // does the argument's bidding without this goroutine, where it may
		c.Tag = argument
		if c.Resume == nil {
			return p.do(c, times)
		}
		time.AfterFunc(10*time.Millisecond, func() {
			c.Resume(func() delivery.Result {
				p.env.Log.Infof("resumed for %q", argument)
				return p.do(c, times)
			})
		})
		return delivery.Pending
	case "ending":
		p.env.Log.Infof("ending %v", p.env.Ending != nil && p.env.Ending())
	case "retry":
		p.env.Counters.Add(delivery.Retries, 1)
		return delivery.Retry
	case "twice": // retry, then ok
		if times < 3 {
			return delivery.Retry
		}
	case "error":
		return delivery.Error
	case "odd":
		return delivery.Result(77)
	case "panic":
		panic(fmt.Errorf("injected"))
	case "once": // panics at the first time only
		if times == 1 {
			panic("injected once")
		}
	case "nil":
		var none *probe
		return none.Flush(c)
	case "exit": // leaves the goroutine without a word
		p.env.Log.Fatal("the end")
	case "kill": // ends as a fault in C code would: beyond what Go can recover
		syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute) // it takes a moment
	case "abort":
		syscall.Kill(syscall.Getpid(), syscall.SIGABRT)
		time.Sleep(time.Minute)
	case "race": // for the race detector to find
		raced++
		done := make(chan bool)
		go func() { raced++; close(done) }()
		raced++
		<-done
	}
	p.env.Counters.Add(delivery.Sent, 1)
	return delivery.OK
}

// trap is a log message that must be taken as it is.
const trap = "error 100 %s %n from a goroutine" + "\nand its second line\x1b[0m"

var raced int

func (*probe) Room() delivery.Room {
	return delivery.Room{Flushes: 64, Bytes: 24 << 20, InOrder: 24 << 20}
}

func (*probe) Soonest() time.Duration { return 0 }

func (p *probe) Close() {
	p.env.Log.Infof("account: %v", p.env.Counters)
}
