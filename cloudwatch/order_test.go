package cloudwatch

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// readInOrder flushes chunks as Fluent Bit's one worker has it done: the next one begins
// when the one before it was read, or has ended. It returns when all have ended.
func readInOrder(t *testing.T, r *rig, chunks [][]byte) {
	var wait sync.WaitGroup
	for _, data := range chunks {
		read := make(chan struct{})
		once := sync.OnceFunc(func() { close(read) })
		wait.Go(func() {
			defer once()
			if got := r.Flush(delivery.Chunk{Tag: "tag", Data: data, Read: func(int, int) { once() }}); got != delivery.OK {
				t.Errorf("got %v", got)
			}
		})
		<-read
	}
	wait.Wait()
}

// TestOrder: whatever the calls do, the events of each stream are shown in the order of
// their records, by time and within a millisecond.
func TestOrder(t *testing.T) {
	t.Parallel()
	const streams = 2
	chunks, lines := 5, 20
	if recordstest.Race {
		chunks, lines = 3, 12
	}
	for _, seed := range []uint64{1, 2} {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t, awslocal.Config{Seed: seed, Latency: 10 * time.Millisecond}, logKey, "log", "log_stream_name", "$(stream)", "retry_budget", "1m")
		for k := range streams {
			r.srv.Logs().CreateStream("g", fmt.Sprint(k))
		}
		r.srv.SetFaults("PutLogEvents", []awslocal.Fault{{Kind: awslocal.Error, Probability: 0.25}})
		r.NoneFor(time.Hour)
		type event struct {
			millis int
			text   string
		}
		want := make([][]event, streams)
		var data [][]byte
		at := 0
		for range chunks {
			var c []byte
			for range lines {
				// Half of them are of the millisecond of the one before, some older.
				at += []int{0, 0, 0, 1, 1, -1}[rng.IntN(6)]
				k := rng.IntN(streams)
				e := event{at, fmt.Sprintf("%d: %d", at, len(want[k]))}
				want[k] = append(want[k], e)
				c = appendRecord(c, now.Add(time.Duration(at)*time.Millisecond), map[string]any{
					"stream": fmt.Sprint(k), "log": e.text + strings.Repeat(" ", rng.IntN(300_000))})
			}
			data = append(data, c)
		}
		readInOrder(t, r, data)
		for k := range streams {
			slices.SortStableFunc(want[k], func(a, b event) int { return cmp.Compare(a.millis, b.millis) })
			got := r.messages("g", fmt.Sprint(k))
			if len(got) != len(want[k]) {
				t.Fatalf("seed %d: %d of %d events", seed, len(got), len(want[k]))
			}
			for i, e := range want[k] {
				if text := strings.TrimRight(got[i], " "); text != e.text {
					t.Fatalf("seed %d: %q is at place %d, want %q", seed, text, i, e.text)
				}
			}
		}
		r.account(chunks*lines, chunks*lines, 0)
	}
}

// TestOrderOfChunks: a call waits for an earlier one of its stream and tag that has a
// millisecond in common with it, and for no other.
func TestOrderOfChunks(t *testing.T) {
	t.Parallel()
	one := func(i int, millis int64, kind string) []byte {
		return chunkOf(record{millis, map[string]any{"log": message(i), "kind": kind}})
	}
	for name, c := range map[string]struct {
		second      delivery.Chunk
		concurrency string
		waits       bool
	}{
		"same millisecond":          {delivery.Chunk{Tag: "tag", Data: one(1, 5, "s")}, "8", true},
		"same, several workers":     {delivery.Chunk{Tag: "tag", Data: one(1, 5, "s"), AnyOrder: true}, "8", false},
		"same, another tag":         {delivery.Chunk{Tag: "other", Data: one(1, 5, "s")}, "8", false},
		"same, another stream":      {delivery.Chunk{Tag: "tag", Data: one(1, 5, "t")}, "8", false},
		"later":                     {delivery.Chunk{Tag: "tag", Data: one(1, 6, "s")}, "8", false},
		"earlier":                   {delivery.Chunk{Tag: "tag", Data: one(1, 4, "s")}, "8", false},
		"around":                    {delivery.Chunk{Tag: "tag", Data: append(one(1, 4, "s"), one(2, 6, "s")...)}, "8", true},
		"around, newer one first":   {delivery.Chunk{Tag: "tag", Data: append(one(1, 6, "s"), one(2, 4, "s")...)}, "8", true},
		"later, calls one by one":   {delivery.Chunk{Tag: "tag", Data: one(1, 6, "s")}, "1", true},
		"stream of its own, 1 call": {delivery.Chunk{Tag: "tag", Data: one(1, 6, "t")}, "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			var mu sync.Mutex
			var arrived []string
			url, calls := scripted(t, func(_ string, _ int, body []byte, w http.ResponseWriter) {
				first := bytes.Contains(body, []byte(message(0)))
				if first {
					<-release
				}
				mu.Lock()
				arrived = append(arrived, map[bool]string{true: "first", false: "second"}[first])
				mu.Unlock()
				_, _ = w.Write([]byte("{}"))
			})
			r := newRigOn(t, nil, url, logKey, "log", "log_stream_name", "$(kind)", "concurrency", c.concurrency)
			read := make(chan struct{})
			var wait sync.WaitGroup
			wait.Go(func() {
				r.flushChunk(delivery.OK, delivery.Chunk{Tag: "tag", Data: one(0, 5, "s"), Read: func(int, int) { close(read) }})
			})
			<-read
			done := make(chan struct{})
			wait.Go(func() {
				r.flushChunk(delivery.OK, c.second)
				close(done)
			})
			select {
			case <-done:
			case <-time.After(map[bool]time.Duration{true: 100 * time.Millisecond, false: 5 * time.Second}[c.waits]):
			}
			close(release)
			wait.Wait()
			want := []string{"second", "first"}
			if c.waits {
				want = []string{"first", "second"}
			}
			if !slices.Equal(arrived, want) || calls("PutLogEvents") != 2 {
				t.Errorf("%q were answered, want %q", arrived, want)
			}
			if s := r.targets.stream(target{"g", "s"}); len(s.order.spans) != 0 {
				t.Errorf("%d batches are still under way", len(s.order.spans))
			}
		})
	}
}

// TestOrderOfWhatFails: a batch that is given up, or over which there is a panic, lets
// those behind it go.
func TestOrderOfWhatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.AccessDenied})
	first, second := chunkOf(record{0, line("first")}), chunkOf(record{0, line("second")})
	r.flush(delivery.Retry, first)
	r.flush(delivery.OK, second)
	whole := r.client
	r.client = nil
	r.flush(delivery.Retry, first)
	r.client = whole
	r.flush(delivery.OK, first)
	r.account(2, 2, 0)
}

// TestWaitedForAnother: a flush that has waited for another one has its whole budget
// left, and one that has waited for its own batches has not.
func TestWaitedForAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "retry_budget", "10s")
	for _, another := range []bool{true, false} {
		var o order
		f, g := r.Begin(delivery.Chunk{}), r.Begin(delivery.Chunk{})
		before := &span{flush: f, ended: make(chan struct{})}
		o.enter(before)
		if !another {
			g = f
		}
		mine := &span{flush: g, ended: make(chan struct{})}
		o.enter(mine)
		time.AfterFunc(50*time.Millisecond, before.end)
		deadline := g.Deadline()
		mine.wait()
		if later := g.Deadline().Sub(deadline); (later >= 40*time.Millisecond) != another {
			t.Errorf("another %v: the budget ends %v later", another, later)
		}
		mine.end()
		if len(o.spans) != 0 {
			t.Errorf("%d are left", len(o.spans))
		}
		f.End(nil)
		g.End(nil)
	}
}

// TestCuts: batches end between two milliseconds where that lets calls go side by side
// and takes none more.
func TestCuts(t *testing.T) {
	t.Parallel()
	line20 := []int{50_000} // 20 of them are a call
	group := func(n int) func(i int) int64 { return func(i int) int64 { return int64(i / n) } }
	back := func(i int) int64 { return int64(i/3) - 10*int64(i%20/19) } // the last of 20 is older
	for name, c := range map[string]struct {
		lines  int
		sizes  []int // in turn
		millis func(i int) int64
		want   []int // events of the calls
		common int   // pairs of calls that have a millisecond in common
	}{
		"three to a millisecond":       {45, line20, group(3), []int{18, 18, 9}, 0},
		"one more call":                {40, line20, group(3), []int{20, 20}, 1},
		"one to a millisecond":         {45, line20, group(1), []int{20, 20, 5}, 0},
		"nine to a millisecond":        {45, line20, group(9), []int{18, 18, 9}, 0},
		"eleven to a millisecond":      {45, line20, group(11), []int{11, 20, 14}, 1},
		"two that end early":           {564, []int{5000}, group(30), []int{180, 180, 204}, 0},
		"from before the middle":       {21, line20, func(i int) int64 { return int64((i + 1) / 11) }, []int{20, 1}, 1},
		"one full, then one more call": {60, line20, func(i int) int64 { return int64(max(0, (i-17)/3)) }, []int{20, 20, 20}, 1},
		"thirty to a millisecond":      {45, line20, group(30), []int{20, 20, 5}, 2},
		"out of order":                 {45, line20, back, []int{20, 20, 5}, 1},
		"by number":                    {25_000, []int{1}, group(3000), []int{9000, 9000, 7000}, 0},
		"by number, one more call":     {20_000, []int{1}, group(3000), []int{10_000, 10_000}, 1},
		"no room for what moves":       {4, []int{600_000, 400_000, 1_000_000, 200_000}, func(i int) int64 { return min(int64(i), 1) }, []int{2, 1, 1}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, awslocal.Config{Latency: 2 * quick, KeepBodies: true}, logKey, "log")
			r.srv.Logs().CreateStream("g", "s")
			r.NoneFor(time.Hour)
			var data []byte
			for i := range c.lines {
				text := message(i) + strings.Repeat("x", max(0, c.sizes[i%len(c.sizes)]-len(message(i))))
				data = appendRecord(data, now.Add(time.Duration(c.millis(i))*time.Millisecond), line(text))
			}
			r.flush(delivery.OK, data)
			var got []int
			for _, call := range r.srv.Requests("PutLogEvents") {
				got = append(got, call.Records)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if common := inCommon(t, r.srv.Requests("PutLogEvents")); !slices.Equal(got, c.want) || common != c.common {
				t.Errorf("calls of %d events, %d pairs with a millisecond in common, want %d, %d", got, common, c.want, c.common)
			}
			for i, m := range r.messages("g", "s") {
				if name != "out of order" && !strings.HasPrefix(m, message(i)) {
					t.Fatalf("%.20q is at place %d", m, i)
				}
			}
			r.account(c.lines, c.lines, 0)
		})
	}
}

// inCommon is how many of the pairs of calls have a millisecond in common.
func inCommon(t *testing.T, calls []*awslocal.Request) (pairs int) {
	var spans []span
	for _, c := range calls {
		var s span
		for i, e := range decodeBatch(t, c.Body).Events {
			if s.last = e.Timestamp; i == 0 {
				s.first = e.Timestamp
			}
		}
		for _, o := range spans {
			if o.first <= s.last && s.first <= o.last {
				pairs++
			}
		}
		spans = append(spans, s)
	}
	return pairs
}

// TestCutTo: what is left to the next batch is taken off the one before.
func TestCutTo(t *testing.T) {
	at := target{"g", "s"}
	b, next := newBatch(at, ""), newBatch(at, "")
	b.cuts, b.metrics = true, true
	for i, millis := range []int64{3, 1, 5, 5} {
		b.add([]byte(strings.Repeat("x", i+1)), event{millis: millis, size: 300_000 + i, record: i})
	}
	b.cutTo(next)
	if b.Len() != 2 || b.oldest != 1 || b.newest != 3 || b.bytes != 600_001 || !b.metrics || string(b.body[b.head:b.end()]) != "x,xx" {
		t.Errorf("what stays is %+v", b)
	}
	if next.Len() != 2 || next.oldest != 5 || next.newest != 5 || next.bytes != 600_005 || !next.metrics || next.record(1) != 3 ||
		string(next.body[next.head:next.end()]) != "xxx,xxxx" {
		t.Errorf("what goes is %+v", next)
	}
	b.add([]byte("x"), event{millis: 9, size: 1})
	b.Free()
	next.Free()
	for range 2 { // of which one has b's memory
		if b := newBatch(at, ""); b.oldest != 0 || b.newest != 0 || b.cuts || b.tail != 0 {
			t.Errorf("an empty batch is %+v", b)
		}
	}
}

// TestMayCut: batches end early only where calls go side by side for that.
func TestMayCut(t *testing.T) {
	for _, c := range []struct {
		slow, anyOrder bool
		concurrency    string
		want           bool
	}{{true, false, "2", true}, {false, false, "2", false}, {true, true, "2", false}, {true, false, "1", false}} {
		r := newRig(t, awslocal.Config{}, "concurrency", c.concurrency)
		if c.slow {
			r.NoneFor(time.Hour)
		}
		f := r.Begin(delivery.Chunk{})
		if b := r.newSender(f, delivery.Chunk{AnyOrder: c.anyOrder}).newBatch(place{}); b.cuts != c.want {
			t.Errorf("%+v: got %v", c, b.cuts)
		}
		f.End(nil)
		if room := r.Room(); (room.InOrder > 0) != (c.concurrency == "1") || room.ReadInOrder == (room.InOrder > 0) {
			t.Errorf("%+v: %+v", c, room)
		}
	}
}

// TestSlow: the answers tell whether the service takes its time.
func TestSlow(t *testing.T) {
	for _, c := range []struct {
		latency time.Duration
		slow    bool
	}{{0, false}, {2 * quick, true}} {
		r := newRig(t, awslocal.Config{Latency: c.latency}, logKey, "log")
		r.srv.Logs().CreateStream("g", "s")
		if !c.slow {
			r.NoneFor(time.Hour)
		}
		for i := 0; i < 1000 && r.slow() != c.slow; i++ { // on a loaded machine any answer may be slow, but not all are
			r.flush(delivery.OK, numbered(i, i+1))
		}
		if r.slow() != c.slow {
			t.Errorf("answers after %v: slow is %v", c.latency, r.slow())
		}
	}
}

// TestOneFullBatchAtATime: as long as the service takes no time, the walk waits for the
// answer to a full batch, though not for long.
func TestOneFullBatchAtATime(t *testing.T) {
	release := make(chan struct{})
	url, _ := scripted(t, func(_ string, _ int, _ []byte, w http.ResponseWriter) {
		<-release
		_, _ = w.Write([]byte("{}"))
	})
	for _, c := range []struct{ slow, anyOrder, waits bool }{{false, false, true}, {true, false, false}, {false, true, true}} {
		r := newRigOn(t, nil, url, logKey, "log", "concurrency", "64")
		if c.slow {
			r.NoneFor(time.Hour)
		}
		f := r.Begin(delivery.Chunk{})
		s := r.newSender(f, delivery.Chunk{AnyOrder: c.anyOrder})
		shortest := time.Hour
		for range 30 {
			b := s.batch(target{"g", "s"})
			b.add([]byte(`{"timestamp":1,"message":"a"}`), event{millis: now.UnixMilli(), size: 27})
			began := time.Now()
			s.replace(b, nil)
			shortest = min(shortest, time.Since(began))
		}
		if (shortest >= quick) != c.waits {
			t.Errorf("%+v: the walk waited %v", c, shortest)
		}
		defer func() { s.finish(); f.End(nil) }()
	}
	close(release)
}

// TestReadWithFullCalls: what is told of the bodies counts those of the calls that were
// full, of which nothing is unsent.
func TestReadWithFullCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	var c []byte
	const n, size = 5, 400 << 10
	for range n {
		c = appendRecord(c, now, map[string]any{"log": strings.Repeat("x", size)})
	}
	bodies, unsent := 0, 0
	r.flushChunk(delivery.OK, delivery.Chunk{Tag: "tag", Data: c, Read: func(all, left int) { bodies, unsent = all, left }})
	if bodies < n*size || bodies > n*size+5000 {
		t.Errorf("%d bytes of bodies were told, want those of %d events of %d", bodies, n, size)
	}
	if unsent < size || unsent > 2*size {
		t.Errorf("%d bytes are unsent, want those of the last event", unsent)
	}
}

// TestReadWithOpenCalls: that a chunk was read is told when its batches are in their
// places, before they are answered.
func TestReadWithOpenCalls(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	url, _ := scripted(t, func(_ string, _ int, _ []byte, w http.ResponseWriter) {
		<-release
		_, _ = w.Write([]byte("{}"))
	})
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(release)
	for _, streams := range []int{1, 3} {
		r := newRigOn(t, nil, url, logKey, "log", "log_stream_name", "$(stream)")
		var c []byte
		for i := range streams {
			c = appendRecord(c, now, map[string]any{"log": message(i), "stream": fmt.Sprint(i)})
		}
		read, bodies, unsent := 0, 0, 0
		told := make(chan struct{})
		wait.Go(func() {
			r.flushChunk(delivery.OK, delivery.Chunk{Tag: "tag", Data: c, Read: func(all, left int) {
				bodies, unsent = all, left
				for i := range streams {
					read += len(r.targets.stream(target{"g", fmt.Sprint(i)}).order.spans)
				}
				close(told)
			}})
		})
		select {
		case <-told:
			if read != streams {
				t.Errorf("%d of %d batches had their places", read, streams)
			}
			if least := streams * len(message(0)); unsent < least || unsent > 1000*streams {
				t.Errorf("%d bytes of %d bodies are unsent, want a few more than %d", unsent, streams, least)
			}
			if bodies != unsent {
				t.Errorf("%d bytes of bodies were told, and %d are unsent, want all", bodies, unsent)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%d streams: not told before the answers", streams)
		}
	}
}
