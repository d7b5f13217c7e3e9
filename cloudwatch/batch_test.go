package cloudwatch

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// The service on loopback counts for itself and refuses what is one byte over.

// TestNumberOfEvents has batches end at 10,000 events.
func TestNumberOfEvents(t *testing.T) {
	t.Parallel()
	tests := []struct{ records, calls int }{{10_000, 1}, {10_001, 2}, {9999, 1}, {20_001, 3}}
	if recordstest.Race {
		tests = tests[:2]
	}
	for _, tt := range tests {
		r := newRig(t, awslocal.Config{}, logKey, "log", "concurrency", "1")
		r.srv.Logs().CreateStream("g", "s")
		r.flush(delivery.OK, numbered(0, tt.records))
		r.wantCalls("PutLogEvents", tt.calls)
		r.wantOnce("g", "s", 0, tt.records)
		r.account(tt.records, tt.records, 0)
	}
}

// TestBytesOfBatch has batches end at 1,048,576 bytes of messages in UTF-8, with
// 26 for each event, whatever the text looks like as JSON.
func TestBytesOfBatch(t *testing.T) {
	t.Parallel()
	const first = 1_000_000
	for name, unit := range units {
		if recordstest.Race && name != "plain" && name != "invalid UTF-8" {
			continue // the service takes a second for each
		}
		for over := -1; over <= 1; over++ {
			t.Run(fmt.Sprintf("%s %+d", name, over), func(t *testing.T) {
				r := newRig(t, awslocal.Config{}, logKey, "log")
				r.srv.Logs().CreateStream("g", "s")
				second := maxBatchBytes + over - first - 2*eventOverhead
				text, want := unit.text(second)
				r.flush(delivery.OK, chunkOf(record{0, line(strings.Repeat("x", first))}, record{1, map[string]any{"log": text}}))
				r.wantCalls("PutLogEvents", 1+max(over, 0))
				got := r.messages("g", "s")
				if len(got) != 2 || len(got[1]) != second || got[1] != want {
					t.Fatalf("%d messages arrived, or another one than what was sent", len(got))
				}
				r.account(2, 2, 0)
			})
		}
	}
}

// TestBytesOfCutAndMoved has batches end at the same size where the events are cut
// before, and where one of them was the last batch's that had no room.
func TestBytesOfCutAndMoved(t *testing.T) {
	t.Parallel()
	const each = maxBatchBytes / (1000 + eventOverhead) // 1,022 of 1,000 bytes, and 4 bytes are left
	for _, tt := range []struct{ records, size, last, calls int }{
		{each, 1000, 0, 1}, {each + 1, 1001, 0, 2}, {2 * each, 1000, 0, 2}, {2 * each, 1000, 10, 3},
	} {
		r := newRig(t, awslocal.Config{}, logKey, "log", "max_event_size", "1000", "concurrency", "1")
		r.srv.Logs().CreateStream("g", "s")
		var c []byte
		for range tt.records {
			c = appendRecord(c, now, line(strings.Repeat("x", tt.size)))
		}
		if tt.last > 0 {
			c = appendRecord(c, now, line(strings.Repeat("x", tt.last)))
		}
		r.flush(delivery.OK, c)
		r.wantCalls("PutLogEvents", tt.calls)
	}
}

// units are kinds of text that a byte of JSON, of msgpack and of the message are
// not the same for.
var units = map[string]unit{
	"plain":         {in: "x"},
	"two bytes":     {in: "é"},
	"four bytes":    {in: "😀"},
	"quotes":        {in: `"`},
	"backslashes":   {in: `\`},
	"control":       {in: "\x01"},
	"new lines":     {in: "\n"},
	"invalid UTF-8": {in: "\xff", out: "\ufffd"}, // 3 bytes for the service
	"half a rune":   {in: "\xe2\x82", out: "\ufffd\ufffd"},
}

type unit struct{ in, out string }

// text returns a text that the service counts n bytes of, and what arrives.
func (u unit) text(n int) (in, out string) {
	if u.out == "" {
		u.out = u.in
	}
	times, rest := n/len(u.out), strings.Repeat("x", n%len(u.out))
	return rest + strings.Repeat(u.in, times), rest + strings.Repeat(u.out, times)
}

// TestEventSize cuts at max_event_size, and says so with a marker.
func TestEventSize(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for name, unit := range units {
		for over := -1; over <= 1; over++ {
			t.Run(fmt.Sprintf("%s %+d", name, over), func(t *testing.T) {
				r := newRig(t, awslocal.Config{}, logKey, "log", "max_event_size", fmt.Sprint(limit))
				r.srv.Logs().CreateStream("g", "s")
				text, whole := unit.text(limit + over)
				r.flush(delivery.OK, chunkOf(record{0, map[string]any{"log": text}}))
				got := r.messages("g", "s")[0]
				if over <= 0 {
					if got != whole {
						t.Errorf("a message of %d bytes was changed", limit+over)
					}
					r.wantCount(delivery.Truncated, 0)
					return
				}
				start, marked := strings.CutSuffix(got, truncatedMark)
				if !marked || len(got) > limit || len(got) <= limit-utf8.UTFMax || !strings.HasPrefix(whole, start) || !utf8.ValidString(start) {
					t.Errorf("got %d bytes ending in %q", len(got), got[len(got)-20:])
				}
				r.wantCount(delivery.Truncated, 1)
				r.log.Want(t, "warning", "was cut to option max_event_size, 1000 bytes")
				r.account(1, 1, 0)
			})
		}
	}
}

// TestLargestEvent fills a call with one event, as whole records go.
func TestLargestEvent(t *testing.T) {
	t.Parallel()
	const room = maxBatchBytes - eventOverhead
	for over := -1; over <= 1; over++ {
		r := newRig(t, awslocal.Config{})
		r.srv.Logs().CreateStream("g", "s")
		const around = len(`{"log":"\""}`)
		r.flush(delivery.OK, chunkOf(record{0, line(`"` + strings.Repeat("é", 100) + strings.Repeat("x", room-200-around+over))}))
		got := r.messages("g", "s")[0]
		if over <= 0 && (len(got) != room+over || !json.Valid([]byte(got))) {
			t.Errorf("%+d: got %d bytes", over, len(got))
		}
		if over > 0 && (len(got) != room || !strings.HasSuffix(got, truncatedMark)) {
			t.Errorf("%+d: got %d bytes", over, len(got))
		}
		r.wantCount(delivery.Truncated, max(over, 0))
		r.account(1, 1, 0)
	}
}

// TestHugeEvent has an event of 8 MB cost its own end and nothing else.
func TestHugeEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	r.flush(delivery.OK, chunkOf(record{0, line("before")}, record{1, line(strings.Repeat(`"xxxxxxx`, 1_000_000))}, record{2, line("after")}))
	got := r.messages("g", "s")
	if len(got) != 3 || got[0] != "before" || len(got[1]) != maxEventBytes || got[2] != "after" {
		t.Errorf("got %d messages", len(got))
	}
	r.account(3, 3, 0)
}

// TestSpan has events a day apart go in two calls, and all others in one.
func TestSpan(t *testing.T) {
	t.Parallel()
	const day, ms = 24 * 3600 * 1000, 1
	tests := []struct {
		name  string
		times []int64 // in milliseconds from now
		calls []int   // events of each
	}{
		{"24 h less 1 ms", []int64{-day + ms, 0}, []int{2}},
		{"24 h", []int64{-day, 0}, []int{1, 1}},
		{"24 h less 1 ms, out of order", []int64{0, -day + ms}, []int{2}},
		{"24 h, out of order", []int64{0, -day}, []int{1, 1}},
		{"three days", []int64{0, -3 * day, -2 * day, -2*day - 5, -1, -3*day + 9}, []int{3, 1, 2}},
		{"a day in small steps", []int64{-day - 5, -day/2 - 5, -5, -4}, []int{2, 2}},
		{"a clock that is days off", []int64{0, -3 * day, 1, -3*day + 1, 2, -3*day + 2, 3, -3*day + 3}, []int{4, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, awslocal.Config{}, logKey, "log")
			r.srv.Logs().CreateStream("g", "s")
			var records []record
			for i, ms := range tt.times {
				records = append(records, record{ms, line(message(i))})
			}
			r.flush(delivery.OK, chunkOf(records...))
			var got []int
			for _, call := range r.srv.Requests("PutLogEvents") {
				got = append(got, call.Records)
			}
			if !slices.Equal(got, tt.calls) {
				t.Errorf("got calls of %v events, want %v", got, tt.calls)
			}
			r.wantOnce("g", "s", 0, len(tt.times))
			for _, e := range r.srv.Logs().Stream("g", "s").Events() {
				var i int
				if _, err := fmt.Sscanf(e.Message, "message %d", &i); err != nil || e.Timestamp != now.UnixMilli()+tt.times[i] {
					t.Errorf("%s has time %d", e.Message, e.Timestamp)
				}
			}
			r.account(len(tt.times), len(tt.times), 0)
		})
	}
}

// TestSortedStably mixes up the times, and wants them in order, and events of
// the same millisecond in the order in which they came.
func TestSortedStably(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log")
	r.srv.Logs().CreateStream("g", "s")
	rng := rand.New(rand.NewPCG(1, 2))
	var records []record
	for i := range 5000 {
		records = append(records, record{rng.Int64N(50), line(message(i))})
	}
	r.flush(delivery.OK, chunkOf(records...))
	slices.SortStableFunc(records, func(a, b record) int { return int(a.millis - b.millis) })
	for i, e := range r.srv.Logs().Stream("g", "s").Events() {
		want := records[i]
		if e.Timestamp != now.UnixMilli()+want.millis || e.Message != want.body.(map[string]any)["log"] {
			t.Fatalf("event %d is %q at %d, want %v at %d", i, e.Message, e.Timestamp-now.UnixMilli(), want.body, want.millis)
		}
	}
	r.wantCalls("PutLogEvents", 1)
	r.account(5000, 5000, 0)
}

// TestOrderAcrossBatches has events of one millisecond fill several calls. They
// arrive in the order in which they came though calls may go side by side.
func TestOrderAcrossBatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "concurrency", "8")
	r.srv.Logs().CreateStream("g", "s")
	var c []byte
	for i := range 35_000 {
		c = appendRecord(c, now, line(message(i)))
	}
	r.flush(delivery.OK, c)
	for i, m := range r.messages("g", "s") {
		if m != message(i) {
			t.Fatalf("%q is at place %d", m, i)
		}
	}
	r.wantCalls("PutLogEvents", 4)
	r.account(35_000, 35_000, 0)
}

// TestBatchParts takes a batch apart and sorts it, and holds each part's body
// against an independent decoder.
func TestBatchParts(t *testing.T) {
	b := newBatch(target{`g"1`, "s\\ü"}, "")
	write := func(i int, millis int64, text string) {
		start := b.open(millis)
		var size int
		b.body = append(b.body, text...)
		size = len(text)
		if !b.close(start, millis, size, i) {
			t.Fatal("no room")
		}
	}
	b.open(7) // an event that could not be written
	for i, millis := range []int64{30, 10, 20, 10} {
		write(i, millis, message(i))
		b.open(9)
		b.body = append(b.body, "half an eve"...)
	}
	if got := decodeBatch(t, b.request("")); got.events() != "30:0 10:1 20:2 10:3" || got.Token != nil || got.Group != `g"1` || got.Stream != "s\\ü" {
		t.Errorf("got %+v", got)
	}
	b = b.sort()
	if got := decodeBatch(t, b.request(`to"ken`)); got.events() != "10:1 10:3 20:2 30:0" || *got.Token != `to"ken` {
		t.Errorf("sorted: got %+v", got)
	}
	part := b.Split(1, 3)
	if got := decodeBatch(t, part.request("")); got.events() != "10:3 20:2" || part.record(0) != 3 || part.record(1) != 2 || part.Len() != 2 {
		t.Errorf("part: got %+v", got)
	}
	if part.bytes != 2*(len(message(0))+eventOverhead) {
		t.Errorf("part has %d bytes", part.bytes)
	}
	// With another token, and again without: as after a refusal.
	for _, token := range []string{"2", "", "3"} {
		got := decodeBatch(t, b.request(token))
		if (token == "") != (got.Token == nil) || token != "" && *got.Token != token || got.events() != "10:1 10:3 20:2 30:0" {
			t.Errorf("token %q: got %+v", token, got)
		}
	}
	part.Free()
	b.Free()
}

type decodedBatch struct {
	Group  string  `json:"logGroupName"`
	Stream string  `json:"logStreamName"`
	Token  *string `json:"sequenceToken"`
	Events []struct {
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	} `json:"logEvents"`
}

func (d decodedBatch) events() string {
	var texts []string
	for _, e := range d.Events {
		var i int
		_, _ = fmt.Sscanf(e.Message, "message %d", &i)
		texts = append(texts, fmt.Sprintf("%d:%d", e.Timestamp, i))
	}
	return strings.Join(texts, " ")
}

func decodeBatch(t *testing.T, body []byte) (d decodedBatch) {
	t.Helper()
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return d
}

// TestReuse sends chunks of very different streams and sizes one after the other
// and at the same time: a batch that comes from the pool has nothing of its past.
func TestReuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_stream_name", "$(stream)")
	const rounds, workers = 10, 4
	recordstest.Parallel(workers, func(w int) {
		for round := range rounds {
			stream := fmt.Sprintf("s%d-%d", w, round%3)
			var c []byte
			for i := range 1 + round*37%200 {
				c = appendRecord(c, now.Add(-time.Duration(i%2)*time.Second), map[string]any{
					"stream": stream, "log": stream + " " + strings.Repeat("y", i)})
			}
			r.flush(delivery.OK, c)
		}
	})
	total := 0
	for _, st := range r.srv.Logs().Streams() {
		for _, m := range st.Messages() {
			total++
			if text, ok := strings.CutPrefix(m, st.Name+" "); !ok || strings.Trim(text, "y") != "" {
				t.Fatalf("stream %s has %q", st.Name, m)
			}
		}
	}
	r.account(total, total, 0)
}

// TestDigest: what is hashed while it is written is the hash of the request, or
// there is none.
func TestDigest(t *testing.T) {
	fill := func(b *batch, n int, millis func(i int) int64) *batch {
		for i := range n {
			b.open(7) // one that could not be written
			start := b.open(millis(i))
			b.body = append(b.body, strings.Repeat("x", 1000)...)
			if !b.close(start, millis(i), 1000, i) {
				t.Fatal("no room")
			}
		}
		return b
	}
	up := func(i int) int64 { return int64(i) }
	asIs := func() *batch {
		b := newBatch(target{"g", "s"}, "")
		b.asIs = true
		return b
	}
	want := func(what string, b *batch, token string, there bool) {
		t.Helper()
		text := b.request(token)
		sum, ok := b.digest.Sum(text)
		if ok != there || ok && sum != sha256.Sum256(text) {
			t.Errorf("%s: got %x, %v, want %x, %v", what, sum, ok, sha256.Sum256(text), there)
		}
	}
	b := fill(asIs(), 100, up)
	want("full", b, "token", true)
	want("with another token", b, "other", false)
	want("a part", b.Split(20, 90), "", true)
	b.Free()
	want("small", fill(asIs(), 3, up), "", false)
	want("what will be compressed", fill(newBatch(target{"g", "s"}, ""), 100, up), "", false)

	want("sorted", fill(asIs(), 100, func(i int) int64 { return int64(i % 50) }).sort(), "", true)
}

// TestHashedOnTheWay: all requests but those that are compressed before are hashed
// while they are written, and the service finds the hash to be theirs.
func TestHashedOnTheWay(t *testing.T) {
	for compression, want := range map[string]bool{"none": true, "gzip": false} {
		r := newRig(t, awslocal.Config{}, logKey, "log", "request_compression", compression)
		r.srv.Logs().CreateStream("g", "s")
		r.flush(delivery.OK, numbered(0, 5000))
		r.wantOnce("g", "s", 0, 5000)
		f := r.Begin(delivery.Chunk{})
		s := r.newSender(f, delivery.Chunk{})
		first := s.batch(target{"g", "s"}).asIs
		if next := s.replace(s.last, nil).asIs; first != want || next != want {
			t.Errorf("compression %s: got %v and then %v, want %v", compression, first, next, want)
		}
		s.finish()
		f.End(nil)
	}
}

// TestPoolKeepsNoHugeBodies wants memory that a rare batch has used to be given back.
func TestPoolKeepsNoHugeBodies(t *testing.T) {
	b := newBatch(target{"g", "s"}, "")
	start := b.open(1)
	b.body = append(b.body, make([]byte, maxPooledBody)...)
	b.close(start, 1, 10, 0)
	b.Free()
	for range 10 {
		if got := newBatch(target{"g", "s"}, ""); cap(got.body) > maxPooledBody {
			t.Errorf("a body of %d bytes was kept", cap(got.body))
		}
	}
	(&batch{small: make([]byte, 0, maxPooledBody+1)}).Free()
	for range 10 {
		if got := newBatch(target{"g", "s"}, ""); cap(got.small) > maxPooledBody {
			t.Errorf("%d compressed bytes were kept", cap(got.small))
		}
	}
}

// TestFullBatchesArePooled wants the usual full call, kubernetes records and
// lines that are JSON themselves, to leave a body that is used again.
func TestFullBatchesArePooled(t *testing.T) {
	escapes := msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "log"), strings.Repeat(`{"level":"info","msg":"ok"}`, 20))
	for name, body := range map[string][]byte{"kubernetes": kubernetesRecord(t), "json in json": escapes} {
		b := newBatch(target{"g", "s"}, "")
		for i := 0; ; i++ {
			start := b.open(1)
			size, err := b.appendMessage(body, false)
			if err != nil {
				t.Fatal(err)
			}
			if !b.close(start, 1, size, i) {
				break
			}
		}
		b.request("")
		if cap(b.body) > maxPooledBody {
			t.Errorf("%s: a full body has a capacity of %d", name, cap(b.body))
		}
	}
}

// TestAllocations bounds what a flush of 1,000 records allocates, HTTP and
// signing included: nothing of it is by record.
func TestAllocations(t *testing.T) {
	if recordstest.Race {
		t.Skip("the race detector allocates, and sync.Pool forgets on purpose")
	}
	// A collection would empty the pools, whose buffers were then made anew.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for name, opts := range map[string][]string{
		"whole records":   nil,
		"log_key":         {logKey, "log"},
		"several keys":    {logKey, "none,kubernetes->labels->none,log"},
		"fewer keys":      {"data_keys", "log,kubernetes", "exclude_keys", "kubernetes->labels"},
		"templates":       {"log_group_name", "/k8s/$(kubernetes['namespace_name'])", "log_stream_name", "$(kubernetes['pod_name'])"},
		"times, defaults": {"log_group_name", "/$(time:%Y-%m-%d/%H)/$(kubernetes['none']|-)", "log_stream_template", "$kubernetes['pod_name'].$(ec2_instance_id|x)"},
		"default names":   {"log_group_name", "$(nothing)", "log_stream_name", "$(kubernetes['nothing'])"},
	} {
		r := newRig(t, awslocal.Config{Discard: true, KeepRequests: -1}, opts...)
		measure := func(records int) float64 {
			c := kubernetesChunk(records)
			r.flush(delivery.OK, c)
			return testing.AllocsPerRun(20, func() { r.flush(delivery.OK, c) })
		}
		// The service on loopback allocates too, so it is the difference that counts.
		few, many := measure(1), measure(1001)
		if many-few > 5 { // more bytes may be read in a few more pieces
			t.Errorf("%s: a flush of 1 record allocates %.0f times, one of 1,001 records %.0f times", name, few, many)
		}
	}
}

// TestBodyHasRoom: a body is not copied while it grows, gives its memory back when
// told to, and one that has outgrown its room is not kept.
func TestBodyHasRoom(t *testing.T) {
	if recordstest.Race || runtime.GOOS != "linux" {
		t.Skip("bodies are of Go's heap here, see spare.Region")
	}
	b := newBatch(target{"g", "s"}, "")
	if cap(b.body) != maxPooledBody {
		t.Fatalf("room for %d, want %d", cap(b.body), maxPooledBody)
	}
	at := unsafe.SliceData(b.body)
	text := strings.Repeat("x", 1000)
	for i := 0; ; i++ {
		start := b.open(1)
		b.body = append(b.body, text...)
		if !b.close(start, 1, len(text), i) {
			break
		}
	}
	if b.request(""); unsafe.SliceData(b.body) != at {
		t.Error("the body has moved")
	}
	b.body = append(b.body, make([]byte, maxPooledBody)...)
	b.Free()
	if b = newBatch(target{"g", "s"}, ""); unsafe.SliceData(b.body) != at || cap(b.body) != maxPooledBody {
		t.Errorf("the next body has %d bytes, or is another one", cap(b.body))
	}
	if b.Empty(); string(b.body[:4]) != "\x00\x00\x00\x00" {
		t.Errorf("it still has its memory: %q", b.body[:4])
	}
}
