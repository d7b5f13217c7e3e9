package kinesis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records/recordstest"
)

type (
	m      = recordstest.Map
	record = recordstest.Record
)

// keyed is a record's body with a key and a text, to be sent with keyOptions.
func keyed(key any, text string) m { return m{"key", key, "log", text} }

var keyOptions = []string{"partition_key", "key", "log_key", "log"}

func TestAppendNewline(t *testing.T) {
	for value, want := range map[string]string{"": "x", "false": "x", "true": "x\n"} {
		r := subject.Start(t, awslocal.Config{}, append([]string{"append_newline", value}, recordstest.LogKey...)...)
		r.Want(delivery.OK, recordstest.Chunk(recordstest.Line("x")))
		r.WantData(want)
	}
	t.Run("of a record that is cut", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, append([]string{"append_newline", "true", "max_record_size", "4K"}, recordstest.LogKey...)...)
		r.Want(delivery.OK, recordstest.Chunk(recordstest.Line(strings.Repeat("x", 5000))))
		if got := r.Received()[0]; !strings.HasSuffix(got.Data, recordstest.Mark+"\n") || len(got.Data)+len(got.Key) != 4096 {
			t.Errorf("%d bytes that end in %q", len(got.Data), got.Data[len(got.Data)-20:])
		}
	})
}

// A stream can be named by its ARN, which AWS recommends.
func TestStreamByARN(t *testing.T) {
	for _, format := range []string{"json", "cbor"} {
		r := subject.Start(t, awslocal.Config{Region: "us-east-1", KeepBodies: true},
			"stream", "arn:aws:kinesis:us-east-1:123456789012:stream/s", "log_key", "log", "request_format", format)
		r.Want(delivery.OK, recordstest.Numbered(0, 10))
		r.WantOnce(0, 10)
		if body := string(recordstest.BodyOf(t, r.Calls()[0])); !strings.Contains(body, `"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/s"`) {
			t.Errorf("%s: the request is %.100s", format, body)
		}
	}
}

// Kinesis speaks CBOR, in which data is bytes and needs no base64.
func TestRequestFormat(t *testing.T) {
	for format, want := range map[string]string{"cbor": "application/x-amz-cbor-1.1", "json": "application/x-amz-json-1.1"} {
		r := subject.Start(t, awslocal.Config{}, "request_format", format, "log_key", "log", "partition_key", "k")
		r.Want(delivery.OK, recordstest.Chunk(m{"log", "a\"\x00é\U0001f600", "k", "é\xff"}))
		if got := r.Received()[0]; got.Data != "a\"\x00é\U0001f600" || got.Key != "é\ufffd" {
			t.Errorf("%s: %q has arrived with key %q", format, got.Data, got.Key)
		}
		if got := r.Calls()[0].Header.Get("Content-Type"); got != want {
			t.Errorf("%s: sent as %s", format, got)
		}
	}
}

// What others offer as Kinesis may not know CBOR, or only in part.
func TestRequestFormatGoesByEndpoint(t *testing.T) {
	f := func(endpoint, format string, want bool) {
		t.Helper()
		set := map[string]string{"region": "us-east-1", "stream": "s", "request_format": format}
		p := &Plugin{config: parseConfig(options.New(func(name string) string { return set[name] }))}
		if _, cbor := p.kind(recordstest.Session(t, endpoint)).Wires("s"); (cbor != nil) != want {
			t.Errorf("endpoint %q, request_format %q: CBOR is %v, want %v", endpoint, format, cbor != nil, want)
		}
	}
	f("", "", true)
	f("http://127.0.0.1:4567", "", false)
	f("http://127.0.0.1:4567", "auto", false)
	f("http://127.0.0.1:4567", "cbor", true)
	f("https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com", "", true)
	f("https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com", "json", false)
}

// An endpoint that knows no CBOR, as some that are not AWS's, gets JSON with the
// next chunk; one that has taken CBOR goes on getting it, whatever happens on the
// way to it.
func TestEndpointWithoutCBOR(t *testing.T) {
	t.Run("and says so", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{JSONOnly: true}, recordstest.LogKey...)
		r.Want(delivery.Retry, recordstest.Numbered(0, 10))
		r.Want(delivery.OK, recordstest.Numbered(0, 10))
		r.WantOnce(0, 10)
		if calls := r.Calls(); len(calls) != 2 || calls[1].Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("%d calls", len(calls))
		}
		if log := strings.Join(r.Log.All(), "\n"); !strings.Contains(log, `warning the endpoint of Kinesis Data Streams for "s" may not understand CBOR`) {
			t.Errorf("the log is\n%s", log)
		}
	})
	t.Run("and breaks over it", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, append([]string{"retry_budget", "0"}, recordstest.LogKey...)...)
		r.Fault(awslocal.Fault{Kind: awslocal.HTML, Status: 500})
		r.Want(delivery.Retry, recordstest.Numbered(0, 10))
		r.Want(delivery.OK, recordstest.Numbered(0, 10))
		if calls := r.Calls(); calls[1].Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Error("the second call is in CBOR again")
		}
	})
	t.Run("or a proxy that fails", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, append([]string{"retry_budget", "0"}, recordstest.LogKey...)...)
		r.Want(delivery.OK, recordstest.Numbered(0, 10))
		r.Fault(awslocal.Fault{Kind: awslocal.HTML, Status: 500})
		r.Want(delivery.Retry, recordstest.Numbered(10, 20))
		r.Want(delivery.OK, recordstest.Numbered(10, 20))
		r.WantOnce(0, 20)
		if calls := r.Calls(); calls[2].Header.Get("Content-Type") != "application/x-amz-cbor-1.1" {
			t.Error("the last call is not in CBOR")
		}
	})
	t.Run("after all it does", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, recordstest.LogKey...)
		r.Fault(awslocal.Fault{Kind: awslocal.HTML, Status: 502})
		r.Want(delivery.OK, recordstest.Numbered(0, 10)) // within the flush, in CBOR again
		r.Want(delivery.OK, recordstest.Numbered(10, 20))
		r.WantOnce(0, 20)
		if calls := r.Calls(); calls[2].Header.Get("Content-Type") != "application/x-amz-cbor-1.1" {
			t.Error("the last call is not in CBOR")
		}
	})
}

// Each record goes to the shard of its own key.
func TestPartitionKey(t *testing.T) {
	f := func(option string, body m, want string) {
		t.Helper()
		r := subject.Start(t, awslocal.Config{}, "partition_key", option)
		r.Want(delivery.OK, recordstest.Chunk(body))
		got := r.Received()[0]
		if got.Key != want || got.Shard != r.AWS.Kinesis().Stream("s").ShardFor(want) {
			t.Errorf("%s: got key %q in %s, want %q", option, got.Key, got.Shard, want)
		}
		r.WantCount(delivery.RandomKey, 0)
	}
	nested := m{"kubernetes", m{"pod_name", "web-1", "labels", m{"app.kubernetes.io/name", "web"}}}
	f("key", m{"key", "orders"}, "orders")
	f("kubernetes->pod_name", nested, "web-1")
	f("kubernetes -> labels -> app.kubernetes.io/name", nested, "web")
	f("$kubernetes['labels']['app.kubernetes.io/name']", nested, "web")
	f("log", m{"log", "a line"}, "a line") // AWS's Go plugin refuses this one
	f("key", m{"key", 42}, "42")
	f("key", m{"key", 1.5}, "1.5")
	f("key", m{"key", true}, "true")
	f("key", m{"key", []byte("bytes")}, "bytes")
	f("key", m{"key", "\"\\\n\x00é😀<&>\u2028"}, "\"\\\n\x00é😀<&>\u2028")
	f("key", m{"key", "not UTF-8: \xff"}, "not UTF-8: \uFFFD")
	f("key", m{"key", strings.Repeat("k", 257)}, strings.Repeat("k", 256))
	f("key", m{"key", strings.Repeat("漢", 300)}, strings.Repeat("漢", 256))
	f("key", m{"key", strings.Repeat("😀", 200)}, strings.Repeat("😀", 128)) // two each, as Java counts

	t.Run("not among the data", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, "partition_key", "key", "data_keys", "a", "replace_dots", "_")
		r.Want(delivery.OK, recordstest.Chunk(m{"key", "k", "a", 1}))
		if got := r.Received()[0]; got.Key != "k" || got.Data != `{"a":1}` {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("in order", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, keyOptions...)
		var bodies []any
		var want []string
		for i := range 1700 {
			bodies = append(bodies, keyed(i%3, fmt.Sprint(i)))
			want = append(want, fmt.Sprint(i))
		}
		r.Want(delivery.OK, recordstest.Chunk(bodies...))
		r.WantData(want...)
		r.WantCalls(500, 500, 500, 200)
	})
	t.Run("calls one by one", func(t *testing.T) { subject.Overlap(t, 1, "partition_key", "log") })
	t.Run("experimental_concurrency", func(t *testing.T) {
		subject.Overlap(t, 3, "partition_key", "log", "experimental_concurrency", "3", "experimental_concurrency_retries", "0")
	})
}

// Records without a key of their own go all over the shards. That is counted,
// and said once, not for each.
func TestRandomPartitionKey(t *testing.T) {
	t.Run("without the option", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, recordstest.LogKey...)
		r.Want(delivery.OK, recordstest.Numbered(0, 400))
		checkSpread(t, r.Received())
		r.WantCount(delivery.RandomKey, 0)
		r.Log.None(t, "partition key")
	})
	t.Run("not to be used", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, keyOptions...)
		var bodies []any
		for _, key := range []any{"", nil, m{"a", 1}, []any{"x"}, []byte{}} {
			for range 20 {
				bodies = append(bodies, keyed(key, "secret text"))
			}
		}
		for range 100 {
			bodies = append(bodies, recordstest.Line("secret text"))
		}
		for range 3 {
			r.Want(delivery.OK, recordstest.Chunk(bodies...))
		}
		checkSpread(t, r.Received())
		r.WantCount(delivery.RandomKey, 600)
		r.Account(600, 600, 0)
		r.Log.Want(t, "warning", "200 records", "have a random partition key")
		r.Log.None(t, "secret text")
	})
	t.Run("one of two", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, keyOptions...)
		r.Want(delivery.OK, recordstest.Chunk(keyed("own", "a"), recordstest.Line("b"), keyed("own", "c")))
		got := r.Received()
		if got[0].Key != "own" || got[2].Key != "own" || got[1].Key == "own" {
			t.Errorf("got %v", got)
		}
		r.WantCount(delivery.RandomKey, 1)
	})
}

// checkSpread wants keys of 8 characters that hardly repeat, in all shards.
func checkSpread(t *testing.T, records []record) {
	t.Helper()
	keys, shards := map[string]bool{}, map[string]int{}
	for _, rec := range records {
		if len(rec.Key) != 8 {
			t.Fatalf("got key %q, want one of 8 characters", rec.Key)
		}
		keys[rec.Key] = true
		shards[rec.Shard]++
	}
	if len(keys) < len(records)-2 || len(shards) != 4 {
		t.Errorf("%d keys of %d records in %d shards", len(keys), len(records), len(shards))
	}
	for shard, n := range shards {
		if n < len(records)/10 {
			t.Errorf("%s has %d of %d records", shard, n, len(records))
		}
	}
}

// received are the records that a consumer gets out of a stream, with the shard
// that each was read from.
func consume(t *testing.T, r *recordstest.Rig) (users []record) {
	t.Helper()
	for _, rec := range r.Received() {
		list, err := deaggregate(sentRecord{key: rec.Key, data: rec.Data})
		if err != nil {
			t.Fatalf("cannot de-aggregate: %v", err)
		}
		for _, u := range list {
			users = append(users, record{Key: u.key, Data: u.data, Shard: rec.Shard})
		}
	}
	return users
}

// checkConsumed wants what a consumer gets to be what went in: each record once,
// with its key, in the shard of this key, and in order within it.
func checkConsumed(t *testing.T, r *recordstest.Rig, users []record, want map[string][]string) {
	t.Helper()
	got := map[string][]string{}
	for _, u := range users {
		got[u.Key] = append(got[u.Key], u.Data)
		// The KCL throws away what is in another shard.
		if own := r.AWS.Kinesis().Stream("s").ShardFor(u.Key); own != u.Shard {
			t.Errorf("a record of key %q is in %s, its own is %s", u.Key, u.Shard, own)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	for key, texts := range want {
		if !slices.Equal(got[key], texts) {
			t.Errorf("key %q: got %d records, want %d in their order", key, len(got[key]), len(texts))
			return
		}
	}
}

// fewKeys is a chunk of n records of 40 keys, and what is to be read of each.
func fewKeys(n int) (bodies []any, want map[string][]string) {
	want = map[string][]string{}
	for i := range n {
		key, text := fmt.Sprintf("pod-%d", i*i%40), fmt.Sprintf("%d %s", i, strings.Repeat("x", i%700))
		bodies = append(bodies, keyed(key, text))
		want[key] = append(want[key], text)
	}
	return bodies, want
}

// The form of the KPL, through the shards of a stream and read by a decoder that
// is not ours.
func TestAggregation(t *testing.T) {
	options := func(more ...string) []string {
		return append(append([]string{"aggregation", "true"}, keyOptions...), more...)
	}
	t.Run("of keys", func(t *testing.T) {
		for _, size := range []string{"4K", "16K", "1M"} {
			r := subject.Start(t, awslocal.Config{KinesisStreams: map[string]int{"s": 7}}, options("aggregation_max_size", size)...)
			bodies, want := fewKeys(3000)
			r.Want(delivery.OK, recordstest.Chunk(bodies...))
			checkConsumed(t, r, consume(t, r), want)
			r.Account(3000, 3000, 0)
			limit := map[string]int{"4K": 4 << 10, "16K": 16 << 10, "1M": 1 << 20}[size]
			for _, rec := range r.Received() {
				if n := len(rec.Key) + len(rec.Data); n > limit {
					t.Errorf("%s: %d bytes", size, n)
				}
			}
			if n := len(r.Received()); n > 3000*400*2/limit+40 {
				t.Errorf("%s: %d records were sent", size, n)
			}
		}
	})
	t.Run("without keys", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, "aggregation", "true", "log_key", "log", "aggregation_max_size", "4K")
		r.Want(delivery.OK, recordstest.Numbered(0, 2000))
		users := consume(t, r)
		want := map[string][]string{}
		for i, u := range users {
			want[u.Key] = append(want[u.Key], recordstest.Text(i)) // in order over all
		}
		checkConsumed(t, r, users, want)
		if len(users) != 2000 || len(want) < 5 || len(want) != len(r.Received()) {
			t.Errorf("%d records with %d keys in %d", len(users), len(want), len(r.Received()))
		}
		r.WantCount(delivery.RandomKey, 0)
	})
	t.Run("some without keys", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, options()...)
		r.Want(delivery.OK, recordstest.Chunk(keyed("a", "1"), recordstest.Line("2"), keyed("a", "3"), recordstest.Line("4")))
		var texts []string
		for _, u := range consume(t, r) {
			texts = append(texts, u.Data)
		}
		if len(r.Received()) != 2 || !slices.Equal(texts, []string{"1", "3", "2", "4"}) {
			t.Errorf("%d records were sent: %v", len(r.Received()), texts)
		}
		r.WantCount(delivery.RandomKey, 2)
	})
	t.Run("with compression", func(t *testing.T) {
		for _, name := range recordstest.Compressions {
			r := subject.Start(t, awslocal.Config{}, options("compression", name, "append_newline", "true")...)
			bodies, want := fewKeys(200)
			r.Want(delivery.OK, recordstest.Chunk(bodies...))
			users := consume(t, r)
			for i := range users {
				// Each record by itself, as consumers get them one by one.
				users[i].Data = strings.TrimSuffix(recordstest.Decompress(t, name, users[i].Data), "\n")
			}
			checkConsumed(t, r, users, want)
		}
	})
	t.Run("record as large as may be", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, options()...)
		large := strings.Repeat("y", 1<<20-len("a"))
		want := map[string][]string{"a": {"1", large, "2", strings.Repeat("z", 20<<10), "3"}}
		var bodies []any
		for _, text := range want["a"] {
			bodies = append(bodies, keyed("a", text))
		}
		r.Want(delivery.OK, recordstest.Chunk(bodies...))
		checkConsumed(t, r, consume(t, r), want)
		r.WantCount(delivery.Truncated, 0)
	})
	t.Run("record one byte too large", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{}, options()...)
		r.Want(delivery.OK, recordstest.Chunk(keyed("a", "1"), keyed("a", strings.Repeat("y", 1<<20))))
		users := consume(t, r)
		if len(users) != 2 || len(users[1].Data) != 1<<20-len("a") || !strings.HasSuffix(users[1].Data, recordstest.Mark) {
			t.Errorf("%d records", len(users))
		}
		r.WantCount(delivery.Truncated, 1)
	})
	t.Run("as large as a stream takes", func(t *testing.T) {
		if recordstest.Race {
			t.Skip("large, and nothing in it runs side by side")
		}
		r := subject.Start(t, awslocal.Config{KinesisMaxRecordBytes: 10 << 20}, options("max_record_size", "10M", "aggregation_max_size", "10M")...)
		want := map[string][]string{}
		var bodies []any
		for i := range 25 {
			text := fmt.Sprint(i, strings.Repeat("y", 500_000))
			bodies = append(bodies, keyed("a", text))
			want["a"] = append(want["a"], text)
		}
		r.Want(delivery.OK, recordstest.Chunk(bodies...))
		checkConsumed(t, r, consume(t, r), want)
		if n := len(r.Received()); n != 2 {
			t.Errorf("%d records were sent, want 2", n)
		}
	})
	t.Run("workers", func(t *testing.T) {
		r := subject.Start(t, awslocal.Config{Seed: 1}, options("aggregation_max_size", "4K", "concurrency", "4", "retry_budget", "10s")...)
		r.AWS.SetFaults("PutRecords", []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.1}, {Kind: awslocal.Partial, Probability: 1, Rate: 0.1}})
		recordstest.Parallel(8, func(w int) {
			var bodies []any
			for i := range 500 {
				bodies = append(bodies, keyed(fmt.Sprint("pod-", i%5), fmt.Sprint(w, "-", i)))
			}
			r.Want(delivery.OK, recordstest.Chunk(bodies...))
		})
		seen := map[string]int{}
		for _, u := range consume(t, r) {
			seen[u.Key+" "+u.Data]++
		}
		for w := range 8 {
			for i := range 500 {
				if text := fmt.Sprintf("pod-%d %d-%d", i%5, w, i); seen[text] != 1 {
					t.Fatalf("%s is there %d times, want once", text, seen[text])
				}
			}
		}
		r.Account(4000, 4000, 0)
	})
}

// simple_aggregation puts lines together for each partition key by itself.
func TestSimpleAggregationByKey(t *testing.T) {
	for _, compression := range append([]string{"none"}, recordstest.Compressions...) {
		r := subject.Start(t, awslocal.Config{}, append([]string{"simple_aggregation", "true", "compression", compression, "aggregation_max_size", "16K"}, keyOptions...)...)
		bodies, want := fewKeys(2000)
		r.Want(delivery.OK, recordstest.Chunk(bodies...))
		var users []record
		for _, rec := range r.Received() {
			for line := range strings.Lines(recordstest.Decompress(t, compression, rec.Data)) {
				users = append(users, record{Key: rec.Key, Data: strings.TrimSuffix(line, "\n"), Shard: rec.Shard})
			}
		}
		checkConsumed(t, r, users, want)
		r.Account(2000, 2000, 0)
		if n := len(r.Received()); n > 120 {
			t.Errorf("%s: %d records were sent", compression, n)
		}
	}
}

// The partition key counts for the limit, also of what is compressed. A stream
// refuses what is above it.
func TestLongKeysAndCompression(t *testing.T) {
	const limit = 4 << 10
	key := strings.Repeat("漢", 256)
	for _, together := range []string{"false", "true"} {
		for _, compression := range recordstest.Compressions {
			r := subject.Start(t, awslocal.Config{KinesisMaxRecordBytes: limit}, append([]string{"compression", compression,
				"simple_aggregation", together, "max_record_size", fmt.Sprint(limit), "concurrency", "4"}, keyOptions...)...)
			var bodies []any
			for n := range 60 { // of sizes around what fits, by itself and together
				bodies = append(bodies, keyed(key, recordstest.Noise(uint64(n), 2000+25*n)))
			}
			r.Want(delivery.OK, recordstest.Chunk(bodies...))
			most := 0
			for _, rec := range r.Received() {
				most = max(most, len(rec.Key)+len(rec.Data))
			}
			if most > limit || most < limit*9/10 {
				t.Errorf("%s, together %s: the largest record has %d bytes, limit is %d", compression, together, most, limit)
			}
			r.Account(60, 60, 0)
		}
	}
}

// An aggregator comes from a pool. What a panic has left half way in it must not
// turn up in the flush that gets it next, nor go out a second time.
func TestAggregatorAfterPanic(t *testing.T) {
	for _, plain := range []bool{false, true} {
		g := newAggregator(100, plain)
		var sent []string
		fail := true
		g.emit = func(key, data []byte, records []int) {
			if fail {
				panic("a fault")
			}
			sent = append(sent, string(key)+"="+string(data))
		}
		panics := func(f func()) {
			t.Helper()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}
		g.add([]byte("a"), false, []byte("old "), 0)
		panics(func() { g.add([]byte("a"), false, make([]byte, 99), 1) })
		fail = false
		g.add([]byte("a"), false, []byte("new"), 2)
		g.flush()
		g.add([]byte("b"), false, []byte("old"), 3)
		fail = true
		panics(func() { g.flush() })
		fail = false
		g.flush()
		if want := []string{"a=new"}; !slices.Equal(sent, want) || g.bytes != 0 {
			t.Errorf("plain %v: got %q and %d bytes, want %q", plain, sent, g.bytes, want)
		}
	}
}

// A panic while the last records are put together costs a flush, not Fluent Bit,
// and the aggregator is not used again.
func TestPanicAtTheEnd(t *testing.T) {
	log := new(recordstest.Lines)
	counters := new(delivery.Counters)
	p, err := New(recordstest.Env("kinesis", log, counters), subject.Getter("aggregation", "true"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := p.Begin(delivery.Chunk{Tag: "tag"})
	f.Record()
	g := newAggregator(1000, false)
	g.emit = func(key, data []byte, records []int) { panic("a fault") }
	g.add([]byte("a"), false, []byte("data"), 0)
	p.finishAggregator(f, g)
	if _, ok := p.aggregators.Get(); ok {
		t.Error("the aggregator is back in the pool")
	}
	if got := f.Finish(nil); got != delivery.Retry {
		t.Errorf("got %v, want %v", got, delivery.Retry)
	}
	log.Want(t, "error", "a panic while sending a chunk of tag \"tag\"")
	if counters.Pending() != 1 {
		t.Errorf("the account: %v", counters)
	}
}

// A panic in the middle of a flush: what was put together before is not lost.
func TestPanicOverARecord(t *testing.T) {
	srv := subject.Serve(t, awslocal.Config{})
	log := new(recordstest.Lines)
	counters := new(delivery.Counters)
	p, err := New(recordstest.Env("kinesis", log, counters), subject.Getter(append([]string{"endpoint", srv.URL, "aggregation", "true", "retry_budget", "100ms"}, keyOptions...)...))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// An aggregator that panics once, as the first of the flush to come.
	g := newAggregator(p.aggregate, false)
	g.byKey = nil // a write to it is a panic
	p.aggregators.Put(g)
	chunk := delivery.Chunk{Tag: "tag", Data: recordstest.Chunk(keyed("a", "1"), keyed("b", "2"))}
	if got := p.Flush(chunk); got != delivery.OK {
		t.Errorf("got %v, want %v", got, delivery.OK)
	}
	log.Want(t, "error", "a panic over a record of tag \"tag\"")
	if got := counters.Dropped(delivery.Malformed); got != 2 {
		t.Errorf("%d records are dropped, want 2: %v", got, counters)
	}
}

// TestLettersFit: a dead letter takes no more than a record may have, with its partition key.
func TestLettersFit(t *testing.T) {
	session, err := awsx.Load(context.Background(), awsx.Options{Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if got := new(Plugin).kind(session).Letters.Bytes; got != 1<<20-1024 {
		t.Errorf("got %d bytes", got)
	}
}
