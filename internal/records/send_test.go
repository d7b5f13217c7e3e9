package records

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/digest"
	"aws-for-fluent-bit/internal/options"
)

// fake is a service that a function stands in for. The plugins' own tests have
// the real client and a server; here is what they cannot see or cause.
type fake struct {
	*Service
	log strings.Builder
}

// put is a call: what is in it, and how many came before.
type put func(n int, records []sent) (awsx.RecordsAnswer, error)

func newFake(t testing.TB, concurrency int, budget string, answer put) *fake {
	s := options.New(func(name string) string { return map[string]string{"retry_budget": budget}[name] })
	f := new(fake)
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logger.AddHook(f)
	d := delivery.New(delivery.Env{Name: "test.0", Log: logrus.NewEntry(logger)}, s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	f.Service = &Service{
		Delivery:    d,
		Name:        "the service",
		Destination: "s",
		JSON:        asJSON,
		Limits:      Limits{Records: 10, Bytes: 1 << 20},
		Concurrency: concurrency,
		Put: func(_ context.Context, n int, body *awsx.Body, _ ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			text, err := io.ReadAll(body)
			if err != nil {
				t.Errorf("cannot read the body: %v", err)
			}
			records := read(t, text)
			if limits := f.Limits; n > limits.Records {
				t.Errorf("%d records in a call, which may have %d", n, limits.Records)
			}
			if len(records) != n {
				t.Errorf("%d records in a body that should have %d", len(records), n)
			}
			return answer(int(calls.Add(1))-1, records)
		},
		Verdict:    func(err error) delivery.Verdict { return err.(failure).Verdict },
		Throttled:  func(code string) bool { return code == "Throttled" },
		Invalidate: func(time.Time) bool { return true },
	}
	return f
}

func (f *fake) Levels() []logrus.Level { return logrus.AllLevels }

func (f *fake) Fire(e *logrus.Entry) error {
	fmt.Fprintf(&f.log, "%s %s\n", e.Level, e.Message) // logrus has a lock
	return nil
}

// failure is an error with its verdict.
type failure struct{ delivery.Verdict }

func (f failure) Error() string { return f.Reason }

func fails(a delivery.Action) error { return failure{delivery.Verdict{Action: a, Reason: a.String()}} }

// chunk is data that stands for a chunk; the tests walk it themselves.
func (f *fake) chunk(n int) delivery.Chunk {
	return delivery.Chunk{Tag: "tag", Data: []byte(fmt.Sprint("chunk of ", n))}
}

// flush sends records 0 to n-1, those that are not settled, each as text of its
// number, and returns the result.
func (f *fake) flush(n int) delivery.Result {
	flush := f.Begin(f.chunk(n))
	out := f.NewSender(flush)
	for range n {
		if i, fresh := flush.Record(); fresh {
			out.Add([]byte(fmt.Sprint(i)), nil, i)
		}
	}
	return finish(out)
}

// finish ends a flush that has nothing but its Sender.
func finish(w *Sender) delivery.Result {
	return w.Finish(func() delivery.Result { return w.flush.End(nil) })
}

// account wants the counters to be these.
func (f *fake) account(t testing.TB, in, sent, pending int) {
	t.Helper()
	if c := f.Counters; c.Get(delivery.In) != uint64(in) || c.Get(delivery.Sent) != uint64(sent) || c.Pending() != uint64(pending) || uint64(in) != uint64(sent+pending)+c.DroppedAll() {
		t.Errorf("want in %d, sent %d, pending %d; account: %v", in, sent, pending, c)
	}
}

// seen collects what arrives.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) add(records []sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.list = append(s.list, string(r.Data))
	}
}

// once wants records 0 to n-1 to be there once each.
func (s *seen) once(t testing.TB, n int) {
	t.Helper()
	got := slices.Clone(s.list)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d records arrived, want %d, each once", len(got), n)
	}
}

func good() (awsx.RecordsAnswer, error) { return awsx.RecordsAnswer{}, nil }

func refused(code string, indexes ...int) (a awsx.RecordsAnswer, err error) {
	for _, i := range indexes {
		a.Failed = append(a.Failed, awsx.FailedRecord{Index: i, Code: code, Message: "why"})
	}
	return a, nil
}

// TestPanicWhileSending: it costs its call; the records in it come again, and
// those of the other calls are not touched.
func TestPanicWhileSending(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for _, records := range []int{5, 95} { // in the walking goroutine, and in others
			var got seen
			f := newFake(t, concurrency, "1s", func(n int, records []sent) (awsx.RecordsAnswer, error) {
				if n == 0 {
					panic("a fault")
				}
				got.add(records)
				return good()
			})
			if r := f.flush(records); r != delivery.Retry {
				t.Errorf("got %v, want %v", r, delivery.Retry)
			}
			lost := min(records, 10)
			f.account(t, records, records-lost, lost)
			if !strings.Contains(f.log.String(), "error a panic while sending a chunk of tag \"tag\", which will be sent again: a fault\n") {
				t.Errorf("the log is %s", f.log.String())
			}
			if r := f.flush(records); r != delivery.OK {
				t.Errorf("got %v, want %v", r, delivery.OK)
			}
			got.once(t, records)
			f.account(t, records, records, 0)
		}
	}
}

// TestPanicInBisection: a part of a batch is given back to nobody who might use it.
func TestPanicInBisection(t *testing.T) {
	var got seen
	f := newFake(t, 1, "1s", func(n int, records []sent) (awsx.RecordsAnswer, error) {
		switch n {
		case 0:
			return awsx.RecordsAnswer{}, fails(delivery.Split)
		case 1:
			panic("a fault")
		}
		got.add(records)
		return good()
	})
	if r := f.flush(30); r != delivery.Retry {
		t.Errorf("got %v, want %v", r, delivery.Retry)
	}
	f.account(t, 30, 20, 10)
	if r := f.flush(30); r != delivery.OK {
		t.Errorf("got %v, want %v", r, delivery.OK)
	}
	got.once(t, 30)
}

// TestOneLaneKeepsOrder: what was refused goes again before the next batch does.
func TestOneLaneKeepsOrder(t *testing.T) {
	var got []string
	f := newFake(t, 1, "5s", func(n int, records []sent) (awsx.RecordsAnswer, error) {
		text := ""
		for _, r := range records {
			text += string(r.Data) + " "
		}
		got = append(got, strings.TrimSpace(text))
		switch n {
		case 0:
			return refused("InternalFailure", 3, 8)
		case 1:
			return refused("InternalFailure", 0)
		case 3:
			return awsx.RecordsAnswer{}, fails(delivery.Again)
		}
		return good()
	})
	if r := f.flush(25); r != delivery.OK {
		t.Errorf("got %v", r)
	}
	second := "10 11 12 13 14 15 16 17 18 19"
	if want := []string{"0 1 2 3 4 5 6 7 8 9", "3 8", "3", second, second, "20 21 22 23 24"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	f.account(t, 25, 25, 0)
	for c, want := range map[delivery.Counter]uint64{delivery.Requests: 6, delivery.Resent: 13, delivery.Failed: 1} {
		if n := f.Get(c); n != want {
			t.Errorf("counter %d is %d, want %d", c, n, want)
		}
	}
}

// TestRefusedEntriesWaitTogether: with several lanes, one record refused of each
// of 30 calls makes 3 calls more, and not 30.
func TestRefusedEntriesWaitTogether(t *testing.T) {
	var got seen
	var sizes []int
	first := map[string]bool{}
	f := newFake(t, 3, "5s", func(_ int, records []sent) (awsx.RecordsAnswer, error) {
		got.mu.Lock()
		sizes = append(sizes, len(records))
		again := -1
		for i, r := range records {
			if i == 4 && len(records) == 10 && !first[string(r.Data)] && len(first) < 30 {
				again = i
			}
		}
		for _, r := range records {
			first[string(r.Data)] = true
		}
		got.mu.Unlock()
		if again >= 0 {
			got.add(slices.Delete(slices.Clone(records), again, again+1))
			return refused("Throttled", again)
		}
		got.add(records)
		return good()
	})
	if r := f.flush(300); r != delivery.OK {
		t.Errorf("got %v", r)
	}
	got.once(t, 300)
	if len(sizes) > 36 {
		t.Errorf("%d calls of %v records", len(sizes), sizes)
	}
	f.account(t, 300, 300, 0)
}

// TestLeftOfManyCalls: more is refused than one call takes.
func TestLeftOfManyCalls(t *testing.T) {
	for _, concurrency := range []int{1, 2, 8} {
		var got seen
		tries := map[string]int{}
		f := newFake(t, concurrency, "20s", func(_ int, records []sent) (awsx.RecordsAnswer, error) {
			got.mu.Lock()
			var again []int
			var good []sent
			for i, r := range records {
				// Every other one, as often as it has digits.
				if tries[string(r.Data)]++; i%2 == 0 && tries[string(r.Data)] <= len(r.Data) {
					again = append(again, i)
				} else {
					good = append(good, r)
				}
			}
			got.mu.Unlock()
			got.add(good)
			return refused("InternalFailure", again...)
		})
		f.Limits.Bytes = 25 // less than ten records of three digits
		if r := f.flush(150); r != delivery.OK {
			t.Errorf("got %v: %v", r, f.Counters)
		}
		got.once(t, 150)
		f.account(t, 150, 150, 0)
	}
}

// TestPauseGrowsWhileMostIsRefused: a service in trouble takes a record now
// and then. At the short pause of one that takes nearly all, it would be asked thirty
// times in this budget.
func TestPauseGrowsWhileMostIsRefused(t *testing.T) {
	var calls atomic.Int32
	f := newFake(t, 1, "1500ms", func(_ int, records []sent) (awsx.RecordsAnswer, error) {
		calls.Add(1)
		var again []int
		for i := 1; i < len(records); i++ {
			again = append(again, i)
		}
		return refused("InternalFailure", again...) // the pace has no part in it
	})
	f.Limits.Records = 500
	if r := f.flush(500); r != delivery.Retry {
		t.Errorf("got %v", r)
	}
	if n := int(calls.Load()); n < 2 || n > 15 {
		t.Errorf("%d calls, want a few", n)
	}
	f.account(t, 500, int(calls.Load()), 500-int(calls.Load()))
}

// TestPauseGoesByWhatIsRefused: without a budget there is no time for any pause,
// so what is sent again there had none.
func TestPauseGoesByWhatIsRefused(t *testing.T) {
	slow := delivery.Verdict{Action: delivery.Again, Slow: true}
	f := newFake(t, 1, "0", func(int, []sent) (awsx.RecordsAnswer, error) { return good() })
	w := f.NewSender(f.Begin(f.chunk(1)))
	for _, tt := range []struct {
		name   string
		last   delivery.Verdict
		share  float64 // of the batch's last call
		lately float64
		want   bool
	}{
		{"a throttled call among many good ones", slow, 0, 0, true},
		{"a throttled call like the others", slow, 0, 1, false},
		{"all records refused, among many good ones", delivery.Verdict{Action: delivery.Again}, 1, 0, true},
		{"all records refused, as before", delivery.Verdict{Action: delivery.Again}, 1, 1, false},
		{"some records refused, whatever was before", delivery.Verdict{Action: delivery.Again}, 0.5, 0, false},
		{"a failure", delivery.Verdict{Action: delivery.Again}, 0, 0, false},
		{"asked to wait", delivery.Verdict{Action: delivery.Again, Slow: true, Pause: time.Hour}, 0, 0, false},
	} {
		f.refused.average = tt.lately
		if got := w.again(new(attempts), &batch{last: tt.last, share: tt.share}); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestLately: every call counts, those that are refused, those that are accepted
// in part and those that are accepted.
func TestLately(t *testing.T) {
	f := newFake(t, 1, "0", func(n int, _ []sent) (awsx.RecordsAnswer, error) {
		switch n {
		case 0:
			return awsx.RecordsAnswer{}, failure{delivery.Verdict{Action: delivery.Again, Slow: true}}
		case 1:
			return refused("InternalFailure", 1, 3, 5, 7, 9)
		case 2:
			return awsx.RecordsAnswer{}, fails(delivery.Again) // says nothing of what the service takes
		}
		return good()
	})
	want := 0.0
	for n, refused := range []float64{1, 0.5, -1, 0, 0} {
		f.flush(10)
		if refused >= 0 {
			want = want*0.9 + refused*0.1
		}
		if got := f.refused.share(); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("after call %d: got %v, want %v", n, got, want)
		}
	}
}

// TestPaceIsTold: calls and records that are held back slow all flushes down,
// other failures and a few records do not.
func TestPaceIsTold(t *testing.T) {
	slow := failure{delivery.Verdict{Action: delivery.Again, Slow: true, Reason: "slow"}}
	for _, tt := range []struct {
		name   string
		answer put
		slower bool
	}{
		{"calls held back", func(int, []sent) (awsx.RecordsAnswer, error) { return awsx.RecordsAnswer{}, slow }, true},
		{"calls that fail", func(int, []sent) (awsx.RecordsAnswer, error) { return awsx.RecordsAnswer{}, fails(delivery.Again) }, false},
		{"most records held back", func(int, []sent) (awsx.RecordsAnswer, error) { return refused("Throttled", 0, 1, 2, 3, 4, 5) }, true},
		{"most records fail", func(int, []sent) (awsx.RecordsAnswer, error) { return refused("InternalFailure", 0, 1, 2, 3, 4, 5) }, false},
		{"a record held back", func(n int, _ []sent) (awsx.RecordsAnswer, error) {
			if n%2 == 0 {
				return refused("Throttled", 4)
			}
			return good() // it comes again, alone
		}, false},
		{"none", func(int, []sent) (awsx.RecordsAnswer, error) { return good() }, false},
	} {
		f := newFake(t, 1, "0", tt.answer)
		for range 6 { // of one call each
			f.flush(10)
		}
		if slower := !f.pace.Wait(time.Now(), nil); slower != tt.slower {
			t.Errorf("%s: a request has to wait: %v", tt.name, slower)
		}
	}
	t.Run("and told of better times", func(t *testing.T) {
		f := newFake(t, 1, "0", func(n int, _ []sent) (awsx.RecordsAnswer, error) {
			if n%3 == 0 { // a third of the calls would be too much, were it not for the others
				return awsx.RecordsAnswer{}, slow
			}
			return good()
		})
		for range 9 {
			f.flush(10)
		}
		if !f.pace.Wait(time.Now(), nil) {
			t.Error("a request has to wait")
		}
	})
}

// TestGivenUp: what keeps one batch back keeps back the others, so no more calls
// are made than were under way. The parts of a batch that were not tried are not
// taken for delivered.
func TestGivenUp(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		var calls atomic.Int32
		f := newFake(t, concurrency, "5s", func(int, []sent) (awsx.RecordsAnswer, error) {
			calls.Add(1)
			return awsx.RecordsAnswer{}, fails(delivery.Later)
		})
		if r := f.flush(300); r != delivery.Retry {
			t.Errorf("got %v", r)
		}
		if n := int(calls.Load()); n > concurrency {
			t.Errorf("%d calls, want at most %d", n, concurrency)
		}
		f.account(t, 300, 0, 300)
		if n := strings.Count(f.log.String(), "error cannot send records to the service \"s\", and has fluent bit bring them again: later"); n != 1 {
			t.Errorf("it is said %d times, want once: %s", n, f.log.String())
		}
	}
	t.Run("and not over when all is refused", func(t *testing.T) {
		f := newFake(t, 1, "0", func(n int, records []sent) (awsx.RecordsAnswer, error) {
			if n == 0 {
				return awsx.RecordsAnswer{}, fails(delivery.Later)
			}
			return refused("InternalFailure", []int{0, 1, 2, 3, 4}[:len(records)-n+1]...)
		})
		f.flush(5)
		f.flush(5) // all refused
		if text := f.log.String(); strings.Contains(text, "records reach") {
			t.Errorf("the log says %s", text)
		}
		f.flush(5) // one of five is not
		if text := f.log.String(); strings.Count(text, "info records reach the service \"s\" again") != 1 {
			t.Errorf("the log says %s", text)
		}
	})
	t.Run("in the middle of a bisection", func(t *testing.T) {
		calls := 0
		f := newFake(t, 1, "5s", func(n int, _ []sent) (awsx.RecordsAnswer, error) {
			calls++
			if n == 0 {
				return awsx.RecordsAnswer{}, fails(delivery.Split)
			}
			return awsx.RecordsAnswer{}, fails(delivery.Later)
		})
		if r := f.flush(10); r != delivery.Retry || calls != 2 {
			t.Errorf("got %v after %d calls, want %v after 2", r, calls, delivery.Retry)
		}
		f.account(t, 10, 0, 10)
	})
}

// TestRefreshOnce: credentials are renewed once for a batch, and not at all when
// there are none to be had.
func TestRefreshOnce(t *testing.T) {
	for _, renews := range []bool{true, false} {
		calls := 0
		f := newFake(t, 1, "5s", func(int, []sent) (awsx.RecordsAnswer, error) {
			calls++
			return awsx.RecordsAnswer{}, fails(delivery.Refresh)
		})
		f.Invalidate = func(time.Time) bool { return renews }
		if r := f.flush(5); r != delivery.Retry {
			t.Errorf("got %v", r)
		}
		if want := map[bool]int{true: 2, false: 1}[renews]; calls != want {
			t.Errorf("renews %v: %d calls, want %d", renews, calls, want)
		}
	}
}

// TestAtOnce: what there is nothing to wait for is repeated silently.
func TestAtOnce(t *testing.T) {
	var got seen
	f := newFake(t, 1, "5s", func(n int, records []sent) (awsx.RecordsAnswer, error) {
		if n < 2 {
			return awsx.RecordsAnswer{}, fails(delivery.AgainNow)
		}
		got.add(records)
		return good()
	})
	if r := f.flush(5); r != delivery.OK {
		t.Errorf("got %v", r)
	}
	got.once(t, 5)
	if text := f.log.String(); text != "" {
		t.Errorf("the log says %s", text)
	}
}

// TestMemoryOfAFlush: who fills batches waits for those who send them. A chunk is
// small, but its records may be many times as large when they are written.
func TestMemoryOfAFlush(t *testing.T) {
	const concurrency, batchRecords, n = 2, 10, 1000
	var added, finished atomic.Int32
	f := newFake(t, concurrency, "5s", func(n int, records []sent) (awsx.RecordsAnswer, error) {
		// The calls under way, one batch that waits to be taken, and the open one.
		if ahead := added.Load() - finished.Load(); ahead > (concurrency+2)*batchRecords {
			t.Errorf("call %d: %d records are under way", n, ahead)
		}
		time.Sleep(200 * time.Microsecond)
		finished.Add(int32(len(records)))
		return good()
	})
	flush := f.Begin(f.chunk(n))
	out := f.NewSender(flush)
	for range n {
		i, _ := flush.Record()
		added.Add(1)
		out.Add([]byte("x"), nil, i)
	}
	if r := finish(out); r != delivery.OK {
		t.Errorf("got %v", r)
	}
}

// TestAnswersAreSeen: an answer that comes while batches are being filled frees its
// sender, which takes the next one.
func TestAnswersAreSeen(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // else Go may see it in another thread
	in, service, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer service.Close()
	f := newFake(t, 8, "5s", func(int, []sent) (awsx.RecordsAnswer, error) {
		if _, err := in.Read(make([]byte, 1)); err != nil {
			t.Errorf("no answer: %v", err)
		}
		return good()
	})
	n := 20 * f.Limits.Records
	flush := f.Begin(f.chunk(n))
	out := f.NewSender(flush)
	answer := func() {
		if _, err := service.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		flush.Record()
		out.Add([]byte("x"), nil, i)
		if i > 0 && i%f.Limits.Records == 0 { // a call has just begun
			answer()
		}
	}
	answer()
	if r := finish(out); r != delivery.OK {
		t.Errorf("got %v", r)
	}
	if out.senders > 2 {
		t.Errorf("%d goroutines send, where the answer to a call is there before the next batch is full", out.senders)
	}
}

// TestNothingAfterTheEnd: when Finish returns, no call is under way.
func TestNothingAfterTheEnd(t *testing.T) {
	var under atomic.Int32
	f := newFake(t, 4, "100ms", func(n int, records []sent) (awsx.RecordsAnswer, error) {
		under.Add(1)
		defer under.Add(-1)
		time.Sleep(time.Millisecond)
		if n%3 == 0 {
			return awsx.RecordsAnswer{}, fails(delivery.Again)
		}
		return good()
	})
	for range 5 {
		f.flush(200)
		if n := under.Load(); n != 0 {
			t.Fatalf("%d calls are under way", n)
		}
	}
}

// TestReasonsAreShort: what a service says may be of any length.
func TestReasonsAreShort(t *testing.T) {
	f := newFake(t, 1, "0", func(int, []sent) (awsx.RecordsAnswer, error) {
		return awsx.RecordsAnswer{Failed: []awsx.FailedRecord{{Index: 0, Code: "Code", Message: strings.Repeat("é", 10_000)}}}, nil
	})
	f.flush(2)
	for line := range strings.Lines(f.log.String()) {
		if len(line) > 600 || !strings.Contains(line, "Code: ééé") {
			t.Errorf("a line of %d bytes: %.100s", len(line), line)
		}
	}
	if f.log.Len() == 0 {
		t.Error("nothing is said")
	}
}

func TestReason(t *testing.T) {
	for _, over := range []int{0, 1} {
		text := reason(awsx.FailedRecord{Code: "Code", Message: strings.Repeat("x", maxReason-len("Code: ")+over)})
		if cut := strings.HasSuffix(text, "…"); cut != (over > 0) || len(strings.TrimSuffix(text, "…")) != maxReason {
			t.Errorf("%d bytes over %d: %d bytes, cut %v", over, maxReason, len(text), cut)
		}
	}
}

// TestHalfIsNotMost: a service that takes half of a call has its pauses start anew.
func TestHalfIsNotMost(t *testing.T) {
	f := newFake(t, 1, "0", func(int, []sent) (awsx.RecordsAnswer, error) { return good() })
	w := f.NewSender(f.Begin(f.chunk(1)))
	for share, want := range map[float64]int{0.5: 0, 0.51: 4} {
		tried := attempts{mostly: 3}
		w.again(&tried, &batch{last: delivery.Verdict{Action: delivery.Again}, share: share})
		if tried.mostly != want {
			t.Errorf("of %v refused: call %d of those, want %d", share, tried.mostly, want)
		}
	}
}

// TestMergeWithinLimits: what is left of calls fills one, by number and by size.
func TestMergeWithinLimits(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		calls  []int // records of those that are full, of 7 of 3 records with 10 bytes each
	}{
		{Limits{Records: 9, Bytes: 1000}, []int{9, 9}},
		{Limits{Records: 8, Bytes: 1000}, []int{6, 6, 6}},
		{Limits{Records: 100, Bytes: 90}, []int{9, 9}},
		{Limits{Records: 100, Bytes: 89}, []int{6, 6, 6}},
	} {
		f := newFake(t, 2, "0", func(int, []sent) (awsx.RecordsAnswer, error) { return good() })
		f.Limits = tt.limits
		w := f.NewSender(f.Begin(f.chunk(1)))
		var calls []int
		for range 7 {
			b := newBatch(asJSON)
			for k := range 3 {
				b.tryAdd(tt.limits, []byte("0123456789"), nil, []int{k})
			}
			if full := w.merge(b); full != nil {
				calls = append(calls, full.Len())
			}
		}
		if !slices.Equal(calls, tt.calls) {
			t.Errorf("%+v: calls of %v records, want %v", tt.limits, calls, tt.calls)
		}
	}
}

// TestStreamOfAnyName: what the log says of a stream is not taken for something else.
func TestStreamOfAnyName(t *testing.T) {
	calls := 0
	f := newFake(t, 1, "5s", func(int, []sent) (awsx.RecordsAnswer, error) {
		if calls++; calls == 1 {
			return awsx.RecordsAnswer{}, fails(delivery.Again)
		}
		if calls == 2 {
			return awsx.RecordsAnswer{}, fails(delivery.Later)
		}
		return good()
	})
	f.Destination = "failed calls"
	f.flush(5)
	f.flush(5)
	for _, want := range []string{"warning a call to the service", "error cannot send records", "info records reach"} {
		if text := f.log.String(); strings.Count(text, want) != 1 {
			t.Errorf("it is not said once that %s: %s", want, text)
		}
	}
}

// TestEmptyFlush makes no call.
func TestEmptyFlush(t *testing.T) {
	f := newFake(t, 4, "1s", func(int, []sent) (awsx.RecordsAnswer, error) {
		return awsx.RecordsAnswer{}, errors.New("called")
	})
	if r := f.flush(0); r != delivery.OK {
		t.Errorf("got %v", r)
	}
	f.account(t, 0, 0, 0)
}

// paired is a fake with batches of so many records, of which the last full one had
// so many bytes.
func paired(t *testing.T, concurrency, records, last int, answer put) *fake {
	t.Helper()
	if !digest.Pairs() {
		t.Skip("SKIP: this processor has no instructions for SHA-256, or Go is to use no others than its own")
	}
	f := newFake(t, concurrency, "5s", answer)
	f.JSON = &Wire{Head: asJSON.Head}
	f.JSON.last.Store(int64(last))
	f.Limits = Limits{Records: records, Bytes: 16 << 20}
	return f
}

// TestPairs: a batch waits for the next one where that is sure to come, and is
// likely to be a quarter full.
func TestPairs(t *testing.T) {
	const size, records = 8 << 10, 4 // of a record, and in a batch
	const full = records * size
	for _, tt := range []struct {
		last, chunk, n int
		want           string
	}{
		{full, 4 * full, 16, "waits, beside, waits, beside"},
		{full, 3*full + full/4, 13, "waits, beside, waits, beside"},
		{full, 3*full + full/4 - 1, 13, "waits, beside, alone, alone"},
		{full, 2 * full, 8, "waits, beside"},
		{full, full + full/4 - 1, 5, "alone, alone"},
		{full, 9 * full, 3, "waits"}, // not as much is sent of the chunk as it has
		{full, 9 * full, 4, "waits"}, // and the batch is full
		{full, 9 * full, 10, "waits, beside, waits"},
		{0, 4 * full, 9, "alone, waits, beside"}, // nothing is known before there was a full one
		{digest.Piece, 4 * full, 4, "waits"},
		{digest.Piece - 1, 4 * full, 4, "alone"},
		{maxPaired, 2 * maxPaired, 4, "waits"},
		{maxPaired + 1, 2 * maxPaired, 4, "alone"},
	} {
		var got seen
		f := paired(t, 4, records, tt.last, func(_ int, records []sent) (awsx.RecordsAnswer, error) {
			got.add(records)
			return good()
		})
		flush := f.Begin(delivery.Chunk{Tag: "tag", Data: make([]byte, tt.chunk)})
		out := f.NewSender(flush)
		var how []string
		for k := range tt.n {
			i, _ := flush.Record()
			data := fmt.Sprint(i)
			out.Add([]byte(data+strings.Repeat(" ", size-len(data))), nil, i)
			if k%records > 0 {
				continue // in the batch that was opened for the first one
			}
			switch b := out.open; {
			case b.waits && b.beside == nil:
				how = append(how, "waits")
			case !b.waits && b.beside != nil:
				how = append(how, "beside")
			case !b.waits && b.beside == nil:
				how = append(how, "alone")
			}
		}
		if text := strings.Join(how, ", "); text != tt.want {
			t.Errorf("%d bytes in a chunk of %d, the last full batch had %d: got %s, want %s", tt.n*size, tt.chunk, tt.last, text, tt.want)
		}
		if r := finish(out); r != delivery.OK {
			t.Errorf("got %v", r)
		}
		for i, text := range got.list {
			got.list[i] = strings.TrimSpace(text)
		}
		got.once(t, tt.n)
		f.account(t, tt.n, tt.n, 0)
	}
}

// TestPairsAreHashed: both have their hash when the second one is full.
func TestPairsAreHashed(t *testing.T) {
	const size, records = 8 << 10, 8
	f := paired(t, 4, records, records*size, func(int, []sent) (awsx.RecordsAnswer, error) { return good() })
	for _, n := range []int{2 * records, records + records/2, records} {
		flush := f.Begin(delivery.Chunk{Tag: "tag", Data: make([]byte, 2*records*size)})
		out := f.NewSender(flush)
		for range n {
			i, _ := flush.Record()
			out.Add([]byte(strings.Repeat(fmt.Sprint(i%10), size)), nil, i)
		}
		if got := out.Unsent(); got < n*size || got > 2*n*size {
			t.Errorf("%d records: %d bytes of bodies are unsent, want those of all", n, got)
		}
		if n == records {
			text := out.open.request()
			if _, ok := out.open.digest.Sum(text); ok {
				t.Error("what waits was hashed alone")
			}
		} else {
			for what, b := range map[string]*batch{"the first": out.open.beside, "the second": out.open} {
				text := b.request()
				if sum, ok := b.digest.Sum(text); !ok || sum != sha256.Sum256(text) {
					t.Errorf("%d records: %s has the hash %x, %v, want %x", n, what, sum, ok, sha256.Sum256(text))
				}
			}
		}
		if r := finish(out); r != delivery.OK {
			t.Errorf("got %v", r)
		}
	}
}

// TestPairsKeepOrder: with one call at a time, who has waited goes first.
func TestPairsKeepOrder(t *testing.T) {
	const size, records, n = 8 << 10, 4, 22
	var got []string
	f := paired(t, 1, records, records*size, func(_ int, records []sent) (awsx.RecordsAnswer, error) {
		for _, r := range records {
			got = append(got, strings.TrimSpace(string(r.Data)))
		}
		return good()
	})
	flush := f.Begin(delivery.Chunk{Tag: "tag", Data: make([]byte, n*size)})
	out := f.NewSender(flush)
	var want []string
	for range n {
		i, _ := flush.Record()
		want = append(want, fmt.Sprint(i))
		out.Add(fmt.Appendf(nil, "%*d", size, i), nil, i)
	}
	if r := finish(out); r != delivery.OK || !slices.Equal(got, want) {
		t.Errorf("%v: got %q", r, got)
	}
}
