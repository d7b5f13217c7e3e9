package flb

import (
	"hash/maphash"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/delivery"
)

// maxPanics is how many chunks an instance remembers to have panicked over.
const maxPanics = 64

// panics remembers the chunks whose flush panicked.
//
// What to answer then? FLB_ERROR makes Fluent Bit drop up to 2 MB of records,
// for what may have been a matter of timing that does not come again. FLB_RETRY
// brings the chunk back; should it be the chunk's own bytes that we stumble
// over, it would come back until its retries are used up, for ever with
// retry_limit no_limits. So: once more, and given up at the second time.
type panics struct {
	mu   sync.Mutex
	seen map[uint64]bool // by hash of tag and data
}

var panicSeed = maphash.MakeSeed()

func (p *panics) verdict(c delivery.Chunk) delivery.Result {
	var h maphash.Hash
	h.SetSeed(panicSeed)
	h.WriteString(c.Tag)
	h.WriteByte(0)
	h.Write(c.Data)
	key := h.Sum64()

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[key] {
		delete(p.seen, key)
		return delivery.Error
	}
	if p.seen == nil || len(p.seen) >= maxPanics {
		// Forgetting costs one more attempt for each of those forgotten.
		p.seen = make(map[uint64]bool)
	}
	p.seen[key] = true
	return delivery.Retry
}

// maxStack is how many lines of a panic's stack are logged: some 20 calls.
const maxStack = 40

// logPanic logs a recovered panic with its stack. To be called while the
// deferred function that recovered it still runs.
func logPanic(log *logrus.Entry, doing string, v any) {
	stack := strings.Split(strings.TrimSpace(string(debug.Stack())), "\n")
	// The first lines are this function and its callers, up to the panic.
	for i, line := range stack {
		if strings.HasPrefix(line, "panic(") {
			stack = stack[i:]
			break
		}
	}
	if len(stack) > maxStack {
		stack = append(stack[:maxStack], "...")
	}
	log.Errorf("panic in %s: %v\n%s", doing, v, strings.Join(stack, "\n"))
}
