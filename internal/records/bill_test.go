package records

import (
	"fmt"
	"sync"
	"testing"
)

// sized returns a batch of records of these sizes.
func sized(sizes ...int) *batch {
	b := newBatch(asJSON)
	for _, n := range sizes {
		b.entries = append(b.entries, entry{size: int32(n)})
	}
	return b
}

func newBill() *Bill {
	return &Bill{Steps: [2]int{5 << 10, 1 << 10}, Advice: func(b Billed) string {
		return fmt.Sprintf("%d records of %d bytes, %.3f and %.3f", b.Records, b.Mean(), b.Factor(0), b.Factor(1))
	}}
}

func TestBill(t *testing.T) {
	b := newBill()
	var sizes []int
	for range billAfter/2 - 1 {
		sizes = append(sizes, 500, 1500)
	}
	if got := b.add(sized(sizes...)); got != "" {
		t.Errorf("too early: %q", got)
	}
	// 500 counts as 5 KB or 1 KB, 1,500 as 5 KB or 2 KB: of 2,000 bytes 10,240 and 3,072.
	if got, want := b.add(sized(500, 1500)), "1000 records of 1000 bytes, 5.120 and 1.536"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := b.add(sized(sizes...)); got != "" {
		t.Errorf("again: %q", got)
	}
	var none *Bill
	if got := none.add(sized(1)); got != "" {
		t.Errorf("without a bill: %q", got)
	}
}

func TestBillRoundsUp(t *testing.T) {
	for _, test := range []struct{ size, first, second int }{
		{0, 5120, 1024}, {1, 5120, 1024}, {1024, 5120, 1024}, {1025, 5120, 2048}, {5120, 5120, 5120}, {5121, 10240, 6144},
	} {
		b := newBill()
		b.add(sized(test.size))
		if b.seen.Rounded != [2]int{test.first, test.second} {
			t.Errorf("%d bytes: got %v", test.size, b.seen.Rounded)
		}
	}
	// Nothing but empty records is nothing to divide by.
	b := newBill()
	if got := b.add(sized(make([]int, billAfter)...)); got != "" {
		t.Errorf("got %q", got)
	}
}

// Of many flushes at the same time, one says it.
func TestBillSaysItOnce(t *testing.T) {
	b := newBill()
	var mu sync.Mutex
	said := 0
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 100 {
				if b.add(sized(10, 20, 30)) != "" {
					mu.Lock()
					said++
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	if said != 1 {
		t.Errorf("said %d times", said)
	}
}
