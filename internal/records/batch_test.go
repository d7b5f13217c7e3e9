package records

import (
	"bytes"
	"crypto/sha256"
	stdbase64 "encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/digest"
)

var (
	asJSON = &Wire{Head: []byte(`{"StreamName":"s","Records":[`)}
	inCBOR = &Wire{Head: HeadCBOR("StreamName", "s"), CBOR: true}
)

// sent is a record as somebody reads it out of a request.
type sent struct {
	Data         []byte
	PartitionKey string
}

// read returns the records of a request's body. It fails on what is neither
// JSON nor CBOR.
func read(t testing.TB, body []byte) []sent {
	t.Helper()
	if body[0] != '{' {
		var err error
		if body, err = awslocal.JSONOf(body); err != nil {
			t.Fatal(err)
		}
	}
	var in struct {
		StreamName string
		Records    []sent
	}
	if err := json.Unmarshal(body, &in); err != nil || in.StreamName != "s" {
		t.Fatalf("cannot read a body of %d bytes: %v: %.200s", len(body), err, body)
	}
	return in.Records
}

var wide = Limits{Records: 1 << 20, Bytes: 1 << 30}

// model is a batch as it should be.
type model struct {
	data, key string
	indexes   []int
}

// check wants a batch to be as the model has it.
func check(t testing.TB, b *batch, want []model) {
	t.Helper()
	records := read(t, b.request())
	if len(records) != len(want) || b.Len() != len(want) {
		t.Fatalf("%d records and %d entries, want %d", len(records), b.Len(), len(want))
	}
	bytes := 0
	var all []int
	for i, m := range want {
		if string(records[i].Data) != m.data || records[i].PartitionKey != m.key {
			t.Errorf("record %d is %.40q with key %.40q, want %.40q and %.40q", i, records[i].Data, records[i].PartitionKey, m.data, m.key)
		}
		if got := indexesOf(b, i, i+1); !slices.Equal(got, m.indexes) {
			t.Errorf("entry %d stands for %v, want %v", i, got, m.indexes)
		}
		bytes += len(m.data) + len(m.key)
		all = append(all, m.indexes...)
	}
	if b.bytes != bytes {
		t.Errorf("%d bytes are counted, want %d", b.bytes, bytes)
	}
	if got := indexesOf(b, 0, len(want)); !slices.Equal(got, all) {
		t.Errorf("all entries stand for %v, want %v", got, all)
	}
}

func indexesOf(b *batch, i, j int) (list []int) {
	n, index := b.records(i, j)
	for k := range n {
		list = append(list, index(k))
	}
	return list
}

// TestBatch does all that is done with batches, at random, beside a model.
func TestBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	hashed := 0
	for round := range 300 {
		b := newBatch([]*Wire{asJSON, inCBOR}[round%2])
		var want []model
		next := 0
		for range r.IntN(30) {
			switch r.IntN(8) {
			case 0: // some are refused
				again := make([]bool, len(want))
				var kept []model
				for i := range again {
					if again[i] = r.IntN(3) == 0; again[i] {
						kept = append(kept, want[i])
					}
				}
				b.keep(again)
				want = kept
			case 1: // a call was made
				b.request()
			case 2: // parted, and put together again
				i := r.IntN(len(want) + 1)
				left, right := b.Split(0, i), b.Split(i, len(want))
				check(t, left, want[:i])
				check(t, right, want[i:])
				right.add(left, left.entries)
				want = slices.Concat(want[i:], want[:i])
				b.Free()
				left.Free()
				b = right
			default:
				m := model{data: string(random(r, []int{r.IntN(50), digest.Piece}[r.IntN(20)/19]))}
				var key []byte
				if r.IntN(3) > 0 {
					m.key = fmt.Sprintf("\"key\\ %d\n", r.IntN(100))
					key = []byte(m.key)
				}
				for range 1 + r.IntN(3) {
					m.indexes = append(m.indexes, next)
					next++
				}
				b.tryAdd(wide, []byte(m.data), key, m.indexes)
				want = append(want, m)
			}
			check(t, b, want)
		}
		text := b.request()
		if sum, ok := b.digest.Sum(text); ok {
			hashed++
			if sum != sha256.Sum256(text) {
				t.Fatal("another hash than the body's")
			}
		}
		b.Free()
	}
	if hashed < 10 {
		t.Errorf("%d batches were hashed on the way", hashed)
	}
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestBatchLimits: one record or byte too many is declined, and changes nothing.
func TestBatchLimits(t *testing.T) {
	full := func(n, size int) *batch {
		b := newBatch(asJSON)
		for i := range n {
			if !b.tryAdd(wide, make([]byte, size), []byte("key"), []int{i}) {
				t.Fatal("declined")
			}
		}
		return b
	}
	for _, tt := range []struct {
		limits Limits
		want   bool
	}{
		{Limits{10, 1000}, true},
		{Limits{9, 1000}, false},
		{Limits{8, 1000}, false},
		{Limits{10, 10 * 13}, true},
		{Limits{10, 10*13 - 1}, false},
	} {
		b := full(9, 10)
		before := bytes.Clone(b.request())
		if got := b.tryAdd(tt.limits, make([]byte, 10), []byte("key"), []int{9}); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.limits, got, tt.want)
		}
		if after := b.request(); !tt.want && !bytes.Equal(before, after) {
			t.Errorf("%v: what was declined has changed the batch", tt.limits)
		}
	}
	b := newBatch(asJSON)
	if !b.tryAdd(Limits{1, 1}, make([]byte, 10), nil, []int{0}) {
		t.Error("an empty batch declines a record") // it would never go anywhere
	}
}

// TestBatchesAreClean: what comes from the pool shows nothing of its past.
func TestBatchesAreClean(t *testing.T) {
	for range 100 {
		b := newBatch(asJSON)
		if b.Len() != 0 || b.bytes != 0 || b.share != 0 || b.last.Reason != "" || string(b.request()) != string(asJSON.Head)+"]}" {
			t.Fatalf("a new batch is %+v", b)
		}
		b.tryAdd(wide, []byte("old"), []byte("key"), []int{1, 2, 3})
		b.share, b.last.Reason = 0.5, "old"
		b.Free()
	}
}

// A length is written in as few bytes as it takes.
func TestAppendLength(t *testing.T) {
	for n, want := range map[int]string{0: "\x40", 23: "\x57", 24: "\x58\x18", 255: "\x58\xff", 256: "\x59\x01\x00", 65535: "\x59\xff\xff", 65536: "\x5a\x00\x01\x00\x00", 10 << 20: "\x5a\x00\xa0\x00\x00"} {
		if got := appendLength(nil, bytesCBOR, n); string(got) != want {
			t.Errorf("%d: got %x, want %x", n, got, want)
		}
	}
}

func TestAppendBase64(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		data := random(r, n)
		got := appendBase64([]byte("before"), data)
		if want := "before" + stdbase64.StdEncoding.EncodeToString(data); string(got) != want {
			t.Fatalf("%d bytes: got %s, want %s", n, got, want)
		}
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	for _, wire := range []*Wire{asJSON, inCBOR} {
		b := newBatch(wire)
		data, key := make([]byte, 900), []byte("a partition key")
		fill := func() {
			for i := range 500 {
				b.tryAdd(wide, data, key, []int{i})
			}
			b.request()
			b.entries, b.indexes, b.bytes = b.entries[:0], b.indexes[:0], 0
		}
		fill()
		if n := testing.AllocsPerRun(20, fill); n != 0 {
			t.Errorf("CBOR %v: %v allocations for 500 records, want 0", wire.CBOR, n)
		}
	}
}

// BenchmarkTryAdd is what a record of 900 bytes costs from its text on.
func BenchmarkTryAdd(b *testing.B) {
	data, key := bytes.Repeat([]byte("x"), 900), []byte("web-5468c5d4d7-n2swr")
	limits := Limits{500, 10 << 20}
	for name, wire := range map[string]*Wire{"JSON": asJSON, "CBOR": inCBOR} {
		b.Run(name, func(b *testing.B) {
			one := newBatch(wire)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !one.tryAdd(limits, data, key, []int{0}) {
					one.Free()
					one = newBatch(wire)
				}
			}
		})
	}
}

// TestDigest: what is hashed on the way is the hash of the whole, or there is none.
func TestDigest(t *testing.T) {
	limits := Limits{Records: 500, Bytes: 4 << 20}
	want := func(what string, b *batch, there bool) {
		t.Helper()
		text := b.request()
		sum, ok := b.digest.Sum(text)
		if ok != there || ok && sum != sha256.Sum256(text) {
			t.Errorf("%s: got %x, %v, want %x, %v", what, sum, ok, sha256.Sum256(text), there)
		}
	}
	for _, wire := range []*Wire{asJSON, inCBOR} {
		fill := func(n int) *batch {
			b := newBatch(wire)
			for range n {
				if !b.tryAdd(limits, bytes.Repeat([]byte("x"), 1000), []byte("key"), []int{0}) {
					t.Fatal("no room")
				}
			}
			return b
		}
		b := fill(100)
		want("full", b, true)
		want("again", b, false)
		b.Free()
		small := fill(3)
		want("small", small, false)

		b = fill(100)
		again := make([]bool, 100)
		again[0], again[50], again[99] = true, true, true
		b.keep(again)
		want("refused in part", b, false)
		b.Free()

		b = fill(100)
		b.add(small, small.entries)
		want("put together", b, false)
		small.Free()

		b = fill(60)
		b.request() // has its end, and goes on
		for range 40 {
			b.tryAdd(limits, bytes.Repeat([]byte("y"), 1000), nil, []int{0})
		}
		want("goes on", b, true)
	}
}
