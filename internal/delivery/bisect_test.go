package delivery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// call is a batch of numbers.
type call struct {
	t     *testing.T
	items []int
	freed bool
	live  *int
}

func (c *call) Len() int { return len(c.items) }

func (c *call) Split(i, j int) *call {
	if c.freed || i >= j {
		c.t.Errorf("split of %d to %d, freed %t", i, j, c.freed)
	}
	*c.live++
	return &call{t: c.t, items: slices.Clone(c.items[i:j]), live: c.live}
}

func (c *call) Free() {
	if c.freed {
		c.t.Error("freed twice")
	}
	c.freed = true
	*c.live--
}

// bisect finds the bad ones of n numbers by halves. answer, when it has one for
// a call, comes before the usual: Done, or Split if one of the numbers is bad.
func bisect(t *testing.T, n int, bad func(i int) bool, answer func(items []int) (Verdict, bool)) (sent, refused []int, calls int) {
	t.Helper()
	live := 0
	b := &call{t: t, live: &live}
	for i := range n {
		b.items = append(b.items, i)
	}
	try := func(b *call) Verdict {
		calls++
		if v, ok := answer(b.items); ok {
			return v
		}
		if slices.ContainsFunc(b.items, bad) {
			return Verdict{Action: Split, Reason: fmt.Sprint("refused ", len(b.items))}
		}
		sent = append(sent, b.items...)
		return Verdict{Action: Done}
	}
	refuse := func(b *call, v Verdict) {
		if v.Action != Split || v.Reason == "" {
			t.Errorf("refused with verdict %+v", v)
		}
		refused = append(refused, b.items...)
	}
	Bisect(b, Verdict{Action: Split, Reason: "refused whole"}, try, refuse)
	if live != 0 || b.freed {
		t.Errorf("%d parts not freed, whole freed %t", live, b.freed)
	}
	return sent, refused, calls
}

func usual([]int) (Verdict, bool) { return Verdict{}, false }

func TestBisect(t *testing.T) {
	for _, c := range []struct {
		n, calls int
		bad      []int
	}{
		{1, 0, []int{0}},
		{2, 2, []int{0}},
		{2, 2, []int{1}},
		{2, 2, []int{0, 1}},
		{500, 18, []int{0}},
		{500, 18, []int{499}},
		{10_000, 28, []int{7777}},
		{10_000, 80, []int{1, 5000, 9999}},
	} {
		sent, refused, calls := bisect(t, c.n, func(i int) bool { return slices.Contains(c.bad, i) }, usual)
		if !slices.Equal(refused, c.bad) || len(sent) != c.n-len(c.bad) || calls > c.calls {
			t.Errorf("%d with %v bad: refused %v, sent %d with %d calls, want at most %d", c.n, c.bad, refused, len(sent), calls, c.calls)
		}
		if !slices.IsSorted(sent) {
			t.Errorf("%d with %v bad: sent out of order", c.n, c.bad)
		}
	}
}

// Where it is not the records, that is found out without asking for each.
func TestBisectAllRefused(t *testing.T) {
	sent, refused, calls := bisect(t, 10_000, func(int) bool { return true }, usual)
	slices.Sort(refused)
	if len(sent) != 0 || len(slices.Compact(refused)) != 10_000 || calls > 64 {
		t.Errorf("sent %d, refused %d with %d calls, want at most 64", len(sent), len(refused), calls)
	}
}

// After 16 refusals, and not one more, a part is tried by one of its records: of
// the second 16 then the last.
func TestBisectSamples(t *testing.T) {
	var tried []int
	bisect(t, 32, func(int) bool { return true }, func(items []int) (Verdict, bool) {
		if items[0] >= 16 {
			tried = append(tried, len(items), items[0])
		}
		return Verdict{}, false
	})
	if !slices.Equal(tried, []int{1, 31}) {
		t.Errorf("tried %v (how many, from which one), want the last one", tried)
	}
}

// Bad records that all come first do not take the good ones with them.
func TestBisectBadOnesFirst(t *testing.T) {
	for _, c := range []struct{ n, bad, calls int }{{500, 40, 92}, {17, 16, 32}, {18, 17, 34}} {
		sent, refused, calls := bisect(t, c.n, func(i int) bool { return i < c.bad }, usual)
		if len(sent) != c.n-c.bad || len(refused) != c.bad || calls > c.calls {
			t.Errorf("%d of %d bad: sent %d, refused %d with %d calls, want at most %d", c.bad, c.n, len(sent), len(refused), calls, c.calls)
		}
	}
}

// What cannot be sent now is left alone, and the rest goes on.
func TestBisectWithoutAnswer(t *testing.T) {
	for _, unlucky := range []int{10, 100, 450, 499} {
		sent, refused, _ := bisect(t, 500, func(i int) bool { return i < 30 }, func(items []int) (Verdict, bool) {
			return Verdict{Action: Again}, slices.Contains(items, unlucky) && (len(items) < 200 || unlucky >= 250)
		})
		if slices.Contains(sent, unlucky) || slices.Contains(refused, unlucky) {
			t.Errorf("%d is settled without an answer", unlucky)
		}
		for _, i := range refused {
			if i >= 30 {
				t.Errorf("%d is refused though it is good", i)
			}
		}
	}
}

func TestBisectAnyOf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + r.IntN(400)
		bad := map[int]bool{r.IntN(n): true}
		for range r.IntN(10) {
			bad[r.IntN(n)] = true
		}
		sent, refused, _ := bisect(t, n, func(i int) bool { return bad[i] }, usual)
		if len(refused) != len(bad) || len(sent) != n-len(bad) {
			t.Fatalf("%d of %d bad: refused %d, sent %d", len(bad), n, len(refused), len(sent))
		}
	}
}
