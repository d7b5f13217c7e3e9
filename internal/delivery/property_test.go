package delivery

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// host plays Fluent Bit: it has chunks, gives them to workers, brings back what
// is to be retried, gives some of them up, and restarts the output. Beside it
// stands the destination, which counts what arrives of each record.
type host struct {
	t       *testing.T
	options config
	d       *Delivery

	mu       sync.Mutex
	r        *rand.Rand
	waiting  []int // chunks to flush, by content; several may have the same
	contents []content
}

// content is what a chunk is made of, and what became of all chunks of it.
type content struct {
	chunk   Chunk
	records int
	ended   int   // chunks that ended with FLB_OK
	settled []int // how often each record was delivered or dropped
}

func (h *host) intn(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.r.IntN(n)
}

// flush takes a waiting chunk and flushes it as a plugin would, in batches side
// by side of which some fail.
func (h *host) flush(giveUp bool) {
	h.mu.Lock()
	if len(h.waiting) == 0 {
		h.mu.Unlock()
		return
	}
	i := h.r.IntN(len(h.waiting))
	k := h.waiting[i]
	h.waiting[i] = h.waiting[len(h.waiting)-1]
	h.waiting = h.waiting[:len(h.waiting)-1]
	c := &h.contents[k]
	h.mu.Unlock()

	f := h.d.Begin(c.chunk)
	var wait sync.WaitGroup
	var batch []int
	size := 1 + h.intn(300)
	send := func() {
		full, fate := batch, h.intn(10)
		batch, size = nil, 1+h.intn(300)
		f.CountIn()
		wait.Go(func() {
			time.Sleep(time.Duration(h.intn(50)) * time.Millisecond)
			h.answer(c, f, full, fate)
		})
	}
	for range c.records {
		if i, fresh := f.Record(); fresh {
			if batch = append(batch, i); len(batch) >= size {
				send()
			}
		}
	}
	if len(batch) > 0 {
		send()
	}
	wait.Wait()
	result := f.End(nil)

	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case result == OK:
		c.ended++
	case result != Retry:
		h.t.Errorf("flush is %v", result)
	case giveUp && h.r.IntN(8) == 0: // Fluent Bit's Retry_Limit
	default:
		h.waiting = append(h.waiting, k)
	}
}

// answer settles what a batch's fate says.
func (h *host) answer(c *content, f *Flush, batch []int, fate int) {
	settled := batch
	switch fate {
	case 0, 1, 2: // the call fails
		return
	case 3, 4: // some are refused, and are not sent again in this flush
		settled = nil
		for _, i := range batch {
			if h.intn(3) > 0 {
				settled = append(settled, i)
			}
		}
	case 5: // some are dropped
		n := h.intn(len(batch) + 1)
		f.Drop(Refused, n, func(k int) int { return batch[k] })
		f.Sent(len(batch)-n, func(k int) int { return batch[n+k] })
	case 6: // told twice
		f.Sent(len(batch), func(k int) int { return batch[k] })
	}
	f.Sent(len(settled), func(k int) int { return settled[k] })
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range settled {
		c.settled[i]++
	}
}

// check compares what arrived with what the ledger and the counters say. No
// flush may be under way.
func (h *host) check(lossless bool) {
	t := h.t
	held := make([][]int, len(h.contents)) // settled records of chunks that are still remembered
	for k := range held {
		held[k] = make([]int, h.contents[k].records)
	}
	h.d.ledger.mu.Lock()
	for e := h.d.ledger.oldest.Front(); e != nil; e = e.Next() {
		m := e.Value.(*memory)
		for k := range h.contents {
			if c := &h.contents[k]; h.d.ledger.key(c.chunk) == m.key {
				for i := range c.records {
					if i>>6 < len(m.settled) && m.settled[i>>6]&(1<<(i&63)) != 0 {
						held[k][i]++
					}
				}
			}
		}
	}
	h.d.ledger.mu.Unlock()
	total := 0
	for k := range h.contents {
		c := &h.contents[k]
		for i, n := range c.settled {
			total += n
			// Every chunk that ended has delivered each of its records; beyond that
			// there are the ones under way, and those of chunks that were forgotten.
			want := c.ended + held[k][i]
			if n < want || lossless && n > want {
				t.Fatalf("record %d of content %d was settled %d times, want %d: %v", i, k, n, want, h.d.Counters)
			}
		}
	}
	if got := h.d.Get(Sent) + h.d.Dropped(Refused); got != uint64(total) {
		t.Fatalf("%d records are settled by the counters, %d were: %v", got, total, h.d.Counters)
	}
	if lossless && h.d.Dropped(Abandoned) != 0 {
		t.Fatalf("records were abandoned: %v", h.d.Counters)
	}
	checkAccount(t, h.d)
}

// However chunks fail, come again, look alike and are forgotten, each record of
// a chunk that ends is delivered, once as long as nothing is forgotten, and the
// account adds up.
func TestEveryRecordIsAccountedFor(t *testing.T) {
	for _, c := range []struct {
		name     string
		options  config
		giveUp   bool
		lossless bool
	}{
		{"all remembered", config{"ledger_max_age", "24h"}, false, true},
		{"few remembered", config{"ledger_max_chunks", "3"}, false, false},
		{"remembered for seconds", config{"ledger_max_age", "1s"}, false, false},
		{"given up", config{"ledger_max_age", "24h"}, true, false},
		{"given up and forgotten", config{"ledger_max_chunks", "8", "ledger_max_age", "5s"}, true, false},
	} {
		for _, workers := range []int{1, 4} {
			for seed := range uint64(8) {
				t.Run(fmt.Sprintf("%s, %d workers, seed %d", c.name, workers, seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						h := &host{t: t, options: c.options, r: rand.New(rand.NewPCG(seed, 1))}
						h.run(workers, c.giveUp, c.lossless)
					})
				})
			}
		}
	}
}

func (h *host) run(workers int, giveUp, lossless bool) {
	for k := range 8 {
		n := []int{1, 2, 63, 64, 65, 300, 1024, 1100}[k]
		h.contents = append(h.contents, content{
			chunk:   Chunk{Tag: fmt.Sprint("tag", k%3), Data: []byte(fmt.Sprint("data", k))},
			records: n, settled: make([]int, n),
		})
	}
	h.d, _ = open(h.t, "out.0", h.options)
	for range 20 {
		for range h.r.IntN(12) { // the same content may wait many times
			h.waiting = append(h.waiting, h.r.IntN(len(h.contents)))
		}
		var wait sync.WaitGroup
		for range workers {
			wait.Go(func() {
				for range 4 {
					h.flush(giveUp)
					time.Sleep(time.Duration(h.intn(2000)) * time.Millisecond)
				}
			})
		}
		wait.Wait()
		h.check(lossless)
	}
	for len(h.waiting) > 0 {
		h.flush(false)
	}
	h.check(lossless)
	if lossless && h.d.Pending() != 0 {
		h.t.Errorf("records are pending though no chunk waits: %v", h.d.Counters)
	}
}
