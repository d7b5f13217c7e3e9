package kinesis

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// sentRecord is what the aggregator emits.
type sentRecord struct {
	key, data string
	records   []int
}

// userRecord is what a consumer gets after de-aggregation.
type userRecord struct{ key, data string }

// collect returns an aggregator and where it puts what it emits.
func collect(limit int) (*aggregator, *[]sentRecord) {
	sent := new([]sentRecord)
	return aggregatorTo(limit, func(key, data []byte, records []int) {
		*sent = append(*sent, sentRecord{string(key), string(data), slices.Clone(records)})
	}), sent
}

func aggregatorTo(limit int, emit func(key, data []byte, records []int)) *aggregator {
	g := newAggregator(limit, false)
	g.emit = emit
	return g
}

// aggregatedRecord describes the published message to the protobuf package, so
// that the tests read aggregates with that package's decoder and not with ours.
var aggregatedRecord = func() protoreflect.MessageDescriptor {
	file := &descriptorpb.FileDescriptorProto{}
	err := prototext.Unmarshal([]byte(`
		name: "kpl.proto" syntax: "proto2"
		message_type { name: "Tag"
			field { name: "key"   number: 1 label: LABEL_REQUIRED type: TYPE_STRING }
			field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
		}
		message_type { name: "Record"
			field { name: "partition_key_index"     number: 1 label: LABEL_REQUIRED type: TYPE_UINT64 }
			field { name: "explicit_hash_key_index" number: 2 label: LABEL_OPTIONAL type: TYPE_UINT64 }
			field { name: "data"                    number: 3 label: LABEL_REQUIRED type: TYPE_BYTES }
			field { name: "tags"                    number: 4 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Tag" }
		}
		message_type { name: "AggregatedRecord"
			field { name: "partition_key_table"     number: 1 label: LABEL_REPEATED type: TYPE_STRING }
			field { name: "explicit_hash_key_table" number: 2 label: LABEL_REPEATED type: TYPE_STRING }
			field { name: "records"                 number: 3 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".Record" }
		}`), file)
	if err != nil {
		panic(err)
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic(err)
	}
	return fd.Messages().ByName("AggregatedRecord")
}()

// deaggregate does what a consumer does with a Kinesis record.
func deaggregate(s sentRecord) ([]userRecord, error) {
	body, ok := strings.CutPrefix(s.data, "\xF3\x89\x9A\xC2")
	if !ok {
		return []userRecord{{s.key, s.data}}, nil
	}
	if len(body) < md5.Size {
		return nil, fmt.Errorf("no room for an MD5 in %d bytes", len(body))
	}
	body, sum := body[:len(body)-md5.Size], body[len(body)-md5.Size:]
	if want := md5.Sum([]byte(body)); string(want[:]) != sum {
		return nil, fmt.Errorf("MD5 is %x, want %x", sum, want)
	}
	m := dynamicpb.NewMessage(aggregatedRecord)
	if err := proto.Unmarshal([]byte(body), m); err != nil {
		return nil, err
	}
	if len(m.GetUnknown()) > 0 {
		return nil, fmt.Errorf("unknown fields %x", m.GetUnknown())
	}
	fields := aggregatedRecord.Fields()
	keys := m.Get(fields.ByName("partition_key_table")).List()
	list := m.Get(fields.ByName("records")).List()
	var out []userRecord
	for i := range list.Len() {
		r := list.Get(i).Message()
		of := r.Descriptor().Fields()
		if len(r.GetUnknown()) > 0 || r.Has(of.ByName("explicit_hash_key_index")) || r.Has(of.ByName("tags")) {
			return nil, fmt.Errorf("record %d has more than a key and data", i)
		}
		at := r.Get(of.ByName("partition_key_index")).Uint()
		if at >= uint64(keys.Len()) {
			return nil, fmt.Errorf("record %d has key %d of %d", i, at, keys.Len())
		}
		out = append(out, userRecord{keys.Get(int(at)).String(), string(r.Get(of.ByName("data")).Bytes())})
	}
	return out, nil
}

// testRecord is one record given to the aggregator.
type testRecord struct {
	key    string
	random bool
	data   string
}

// randomRecords makes records of all sizes, with few keys, with many, and with
// none. The data tells the record's number.
func randomRecords(r *rand.Rand, n, limit int) []testRecord {
	keys := 1 << r.IntN(10)
	records := make([]testRecord, n)
	for i := range records {
		key := strings.Repeat("k", r.IntN(8)*r.IntN(32)) + fmt.Sprintf("-é-%d", r.IntN(keys))
		random := r.IntN(4) == 0
		if random {
			key = fmt.Sprintf("random-%d", i)
		}
		data := fmt.Sprintf("%d:", i)
		size := 0
		switch r.IntN(8) {
		case 0: // nothing more
		case 1:
			size = r.IntN(limit - len(key) - len(data) + 1) // up to all there is room for
		default:
			size = r.IntN(300)
		}
		size = min(size, limit-len(key)-len(data))
		records[i] = testRecord{key, random, data + strings.Repeat("x", size)}
	}
	return records
}

// checkDelivered checks what a consumer gets against what was put in: every
// record once, with its key, and in order within its key.
func checkDelivered(t *testing.T, in []testRecord, sent []sentRecord, limit int) {
	t.Helper()
	var users [][]userRecord
	for _, s := range sent {
		u, err := deaggregate(s)
		if err != nil {
			t.Fatalf("cannot de-aggregate: %v", err)
		}
		users = append(users, u)
	}
	checkUserRecords(t, in, sent, users, limit)
}

// checkUserRecords is checkDelivered with what came out of each sent record.
func checkUserRecords(t *testing.T, in []testRecord, sent []sentRecord, deaggregated [][]userRecord, limit int) {
	t.Helper()
	next := map[string][]int{} // the numbers of the records of each key, in order
	for i, rec := range in {
		if !rec.random {
			next[rec.key] = append(next[rec.key], i)
		}
	}
	seen := make([]bool, len(in))
	loose := -1
	for n, s := range sent {
		if size := len(s.key) + len(s.data); size > limit {
			t.Errorf("%d bytes are sent, limit is %d", size, limit)
		}
		users := deaggregated[n]
		if len(users) != len(s.records) {
			t.Fatalf("%d records come out, %d numbers were given", len(users), len(s.records))
		}
		for k, u := range users {
			i := s.records[k]
			if seen[i] {
				t.Errorf("record %d comes out twice", i)
			}
			seen[i] = true
			if u.data != in[i].data {
				t.Errorf("record %d comes out changed: %.20q, want %.20q", i, u.data, in[i].data)
			}
			if u.key != s.key {
				t.Errorf("record %d of key %q is routed by %q", i, u.key, s.key)
			}
			if in[i].random {
				if i < loose {
					t.Errorf("record %d without a key comes out after %d", i, loose)
				}
				loose = i
				if !strings.HasPrefix(u.key, "random-") {
					t.Errorf("record %d has got the key %q of another", i, u.key)
				}
				continue
			}
			if u.key != in[i].key {
				t.Errorf("record %d has key %q, want %q", i, u.key, in[i].key)
			}
			if want := next[in[i].key]; len(want) == 0 || want[0] != i {
				t.Errorf("record %d of key %q is out of order", i, in[i].key)
			} else {
				next[in[i].key] = want[1:]
			}
		}
	}
	for i, ok := range seen {
		if !ok {
			t.Errorf("record %d does not come out", i)
		}
	}
}

func TestAggregatorKeepsEveryRecord(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		limit := 700 + r.IntN(60_000)
		g, sent := collect(limit)
		for range 3 { // flushes, with the same aggregator
			*sent = nil
			in := randomRecords(r, 1+r.IntN(400), limit)
			for i, rec := range in {
				g.add([]byte(rec.key), rec.random, []byte(rec.data), i)
			}
			open := g.loose.bytes
			for _, a := range g.open {
				open += a.bytes
			}
			if g.bytes != open {
				t.Errorf("%d bytes are open, counted %d", open, g.bytes)
			}
			g.flush()
			checkDelivered(t, in, *sent, limit)
			if g.bytes != 0 || len(g.open) != 0 || len(g.byKey) != 0 {
				t.Fatalf("after flush: %d bytes, %d and %d aggregates are left", g.bytes, len(g.open), len(g.byKey))
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// shardOf is the shard that a partition key hashes to, of that many of one size.
func shardOf(key string, shards int) int {
	sum := md5.Sum([]byte(key))
	return (int(sum[0])<<8 | int(sum[1])) * shards >> 16
}

// TestEveryRecordIsInItsOwnShard plays the Kinesis Client Library: it reads a
// record from the shard that the outer key hashes to, and throws it away if a
// key in it hashes elsewhere. Nothing may be lost by it, into however many
// shards the stream is split.
func TestEveryRecordIsInItsOwnShard(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	g, sent := collect(20_000)
	for i, rec := range randomRecords(r, 2000, 20_000) {
		g.add([]byte(rec.key), rec.random, []byte(rec.data), i)
	}
	g.flush()
	for _, shards := range []int{1, 2, 7, 256, 65536} {
		used := map[int]bool{}
		for _, s := range *sent {
			users, err := deaggregate(s)
			if err != nil {
				t.Fatal(err)
			}
			used[shardOf(s.key, shards)] = true
			for _, u := range users {
				if own, in := shardOf(u.key, shards), shardOf(s.key, shards); own != in {
					t.Errorf("of %d shards, a record of shard %d is in shard %d", shards, own, in)
				}
			}
		}
		if len(used) < min(shards, 100) {
			t.Errorf("of %d shards only %d get anything", shards, len(used))
		}
	}
}

// TestAggregateBytes compares with the format written out by hand.
func TestAggregateBytes(t *testing.T) {
	var a aggregate
	a.reset([]byte("key"))
	a.tryAdd([]byte("one"), 0, 1000)
	a.tryAdd([]byte("three"), 1, 1000)
	protobuf := "0a03" + hex.EncodeToString([]byte("key")) +
		"1a07" + "0800" + "1a03" + hex.EncodeToString([]byte("one")) +
		"1a09" + "0800" + "1a05" + hex.EncodeToString([]byte("three"))
	raw, err := hex.DecodeString(protobuf)
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum(raw)
	want := "f3899ac2" + protobuf + hex.EncodeToString(sum[:])
	for range 2 { // asking again changes nothing
		if got := hex.EncodeToString(a.data()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got, want := a.size(), 3+4+5+9+11+16; got != want {
		t.Errorf("size %d, want %d", got, want)
	}
}

// TestOneRecordGoesAsItIs: nothing of the format is around it, and the next one
// still makes an aggregate of both.
func TestOneRecordGoesAsItIs(t *testing.T) {
	var a aggregate
	a.reset([]byte("key"))
	a.tryAdd([]byte("alone"), 4, 8)
	if got := string(a.data()); got != "alone" || a.size() != 8 {
		t.Errorf("got %q and size %d, want the record and 8", got, a.size())
	}
	a.tryAdd([]byte("second"), 5, 1000)
	users, err := deaggregate(sentRecord{"key", string(a.data()), a.records})
	if want := []userRecord{{"key", "alone"}, {"key", "second"}}; err != nil || !slices.Equal(users, want) {
		t.Errorf("got %v and %v, want %v", users, err, want)
	}
}

// TestAggregateLimit: AWS's Go plugin leaves the outer key out of the size, and
// a full aggregate is then refused for ever.
func TestAggregateLimit(t *testing.T) {
	for _, keySize := range []int{1, 127, 128, 256 * 4} {
		for _, size := range []int{0, 1, 100, 121, 122, 127, 128, 16_378, 16_384, 20_480} { // around the steps of varints
			key, data := bytes.Repeat([]byte("k"), keySize), bytes.Repeat([]byte("d"), size)
			var a aggregate
			a.reset(key)
			a.tryAdd(data, 0, 1<<20)
			a.tryAdd(data, 1, 1<<20)
			exact := a.size()
			if got := len(key) + len(a.data()); got != exact {
				t.Errorf("key of %d, data of %d: size says %d, it is %d", keySize, size, exact, got)
			}
			for _, tt := range []struct {
				limit int
				want  bool
			}{{exact - 1, false}, {exact, true}, {exact + 1, true}} {
				a.reset(key)
				a.tryAdd(data, 0, tt.limit)
				before := a.size()
				if got := a.tryAdd(data, 1, tt.limit); got != tt.want {
					t.Errorf("key of %d, data of %d: %d bytes into %d: got %v", keySize, size, exact, tt.limit, got)
				}
				if !tt.want && (a.size() != before || len(a.records) != 1) {
					t.Errorf("key of %d, data of %d: what was declined has changed the aggregate", keySize, size)
				}
			}
		}
	}
}

// TestFullRecordTakesNothingBesides: a record at the very limit goes out alone,
// and the ones of its key before and after it stay before and after it. In AWS's
// Go plugin records of 20 KiB and more go first.
// What is put together without a form fills its room to the byte.
func TestAppendLimit(t *testing.T) {
	a := &aggregate{plain: true}
	a.reset([]byte("key"))
	if !a.tryAppend(make([]byte, 200), 0, 100) {
		t.Error("the first one is refused")
	}
	a.reset([]byte("key"))
	if !a.tryAppend(make([]byte, 50), 0, 100) || a.tryAppend(make([]byte, 48), 1, 100) || !a.tryAppend(make([]byte, 47), 1, 100) || a.tryAppend(make([]byte, 1), 2, 100) {
		t.Errorf("of 100 bytes %d are taken", a.size())
	}
}

func TestFullRecordTakesNothingBesides(t *testing.T) {
	const limit = 100_000
	in := []testRecord{
		{"key", false, "0"},
		{"key", false, "1"},
		{"key", false, strings.Repeat("2", limit-len("key"))},
		{"key", false, strings.Repeat("3", 20<<10)},
		{"key", false, "4"},
		{"other", false, "5"},
	}
	g, sent := collect(limit)
	for i, rec := range in {
		g.add([]byte(rec.key), rec.random, []byte(rec.data), i)
	}
	g.flush()
	checkDelivered(t, in, *sent, limit)
	var got [][]int
	for _, s := range *sent {
		got = append(got, s.records)
	}
	if want := [][]int{{0, 1}, {2}, {3, 4}, {5}}; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("sent together: %v, want %v", got, want)
	}
}

// TestRecordsWithoutKey share an aggregate, and the next one has another key.
func TestRecordsWithoutKey(t *testing.T) {
	const limit = 1000
	g, sent := collect(limit)
	var in []testRecord
	for i := range 50 {
		in = append(in, testRecord{fmt.Sprintf("random-%d", i), true, fmt.Sprintf("%d:%080d", i, i)})
		g.add([]byte(in[i].key), true, []byte(in[i].data), i)
	}
	g.flush()
	checkDelivered(t, in, *sent, limit)
	keys := map[string]bool{}
	for _, s := range *sent {
		keys[s.key] = true
	}
	if len(*sent) != 5 || len(keys) != 5 {
		t.Errorf("%d records with %d keys are sent, want 5 with 5", len(*sent), len(keys))
	}
}

// TestOpenAggregatesAreBounded in number and in bytes, and lose nothing for it.
func TestOpenAggregatesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name        string
		limit, size int
		wantSent    int // when all but the last flush is done
	}{
		{"many keys", 1 << 20, 10, 2 * maxOpenKeys},
		{"many bytes", 1 << 20, 10_000, 6 * (maxOpenBytes / 10_000)},
		{"a limit above that of all", 10 << 20, 10_000, 2 * maxOpenKeys},
	} {
		g, sent := collect(tt.limit)
		var in []testRecord
		for i := range 2*maxOpenKeys + 500 {
			in = append(in, testRecord{fmt.Sprint("key", i), false, strings.Repeat("d", tt.size)})
			g.add([]byte(in[i].key), false, []byte(in[i].data), i)
			if len(g.open) > maxOpenKeys || len(g.byKey) != len(g.open) {
				t.Fatalf("%s: %d open, %d found by key", tt.name, len(g.open), len(g.byKey))
			}
			if g.bytes > max(maxOpenBytes, tt.limit) {
				t.Fatalf("%s: %d bytes are open", tt.name, g.bytes)
			}
		}
		if len(*sent) != tt.wantSent {
			t.Errorf("%s: %d sent before the end, want %d", tt.name, len(*sent), tt.wantSent)
		}
		g.flush()
		checkDelivered(t, in, *sent, tt.limit)
	}
}

// TestKeptBuffersAreBounded: a busiest key that changes with each flush must not
// leave a full-size buffer behind in each of a thousand aggregates.
func TestKeptBuffersAreBounded(t *testing.T) {
	const limit = 1 << 20
	g, _ := collect(limit)
	data := make([]byte, 900_000)
	for busiest := range 40 {
		for k := range 40 {
			size := 100
			if k == busiest {
				size = len(data)
			}
			g.add(fmt.Appendf(nil, "key %d", k), false, data[:size], k)
		}
		g.flush()
		kept := 0
		for _, a := range g.free {
			kept += cap(a.buf)
		}
		if kept > maxOpenBytes || kept != g.kept {
			t.Fatalf("%d bytes are kept, counted %d, want at most %d", kept, g.kept, maxOpenBytes)
		}
	}
	if len(g.free) == 0 {
		t.Error("nothing is kept for reuse")
	}
}

// TestTwoKeysWithOneHash cannot be had by chance: it puts one in place.
func TestTwoKeysWithOneHash(t *testing.T) {
	g, sent := collect(10_000)
	in := []testRecord{{"a", false, "0"}, {"a", false, "1"}, {"b", false, "2"}, {"b", false, "3"}}
	for i, rec := range in {
		g.add([]byte(rec.key), false, []byte(rec.data), i)
		if i == 1 {
			g.byKey[maphash.String(g.seed, "b")] = g.byKey[maphash.String(g.seed, "a")]
		}
	}
	g.flush()
	checkDelivered(t, in, *sent, 10_000)
	if len(*sent) != 2 {
		t.Errorf("%d sent, want 2", len(*sent))
	}
}

func TestDiscard(t *testing.T) {
	g, sent := collect(10_000)
	g.add([]byte("a"), false, []byte("gone"), 0)
	g.add([]byte("r"), true, []byte("gone"), 1)
	g.discard()
	g.flush()
	if len(*sent) != 0 || g.bytes != 0 {
		t.Errorf("%v are sent, %d bytes open, want none", *sent, g.bytes)
	}
	g.add([]byte("s"), true, []byte("next"), 2)
	g.add([]byte("b"), false, []byte("next"), 3)
	g.flush()
	want := []sentRecord{{"b", "next", []int{3}}, {"s", "next", []int{2}}}
	if fmt.Sprint(*sent) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", *sent, want)
	}
}

func TestAggregatorDoesNotAllocate(t *testing.T) {
	sent := 0
	g := aggregatorTo(50_000, func(key, data []byte, records []int) { sent++ })
	data := make([]byte, 900)
	keys := make([][]byte, 100)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "a key of more than 32 characters, number %d", i)
	}
	flush := func() {
		for i := range 1000 {
			g.add(keys[i*i%len(keys)], i%5 == 0, data, i)
		}
		g.flush()
	}
	for range 20 { // until every buffer has its size
		flush()
	}
	if n := testing.AllocsPerRun(20, flush); n != 0 {
		t.Errorf("%v allocations for 1,000 records, want 0", n)
	}
	if sent == 0 {
		t.Error("nothing was sent")
	}
}

func FuzzAggregator(f *testing.F) {
	f.Add(uint64(1), 1000, 10)
	f.Add(uint64(2), 1<<20, 300)
	f.Fuzz(func(t *testing.T, seed uint64, limit, n int) {
		if limit < 700 || limit > 2<<20 || n < 1 || n > 500 {
			return
		}
		g, sent := collect(limit)
		in := randomRecords(rand.New(rand.NewPCG(seed, 0)), n, limit)
		for i, rec := range in {
			g.add([]byte(rec.key), rec.random, []byte(rec.data), i)
		}
		g.flush()
		checkDelivered(t, in, *sent, limit)
	})
}

func BenchmarkAggregator(b *testing.B) {
	for _, keys := range []int{1, 50, 5000} {
		b.Run(fmt.Sprintf("%d keys", keys), func(b *testing.B) {
			sent := 0
			g := aggregatorTo(1<<20, func(key, data []byte, records []int) { sent++ })
			data := make([]byte, 900)
			names := make([][]byte, keys)
			for i := range names {
				names[i] = fmt.Appendf(nil, "orders-7d9f8b6c5d-%05d", i)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				g.add(names[i%keys], false, data, i)
				if i%2000 == 1999 { // a chunk
					g.flush()
				}
			}
		})
	}
}
