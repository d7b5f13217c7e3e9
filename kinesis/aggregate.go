package kinesis

import (
	"crypto/md5"
	"hash/maphash"

	"google.golang.org/protobuf/encoding/protowire"
)

// The form of aggregated records is that of the Kinesis Producer Library (KPL):
//
//	F3 89 9A C2 | AggregatedRecord as protobuf | MD5 of the protobuf, 16 bytes
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1;  // into partition_key_table
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;
//	}
//
// https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
const (
	aggregateMagic = "\xF3\x89\x9A\xC2"

	fieldKeyTable = 1 // of AggregatedRecord
	fieldRecords  = 3
	fieldKeyIndex = 1 // of Record
	fieldData     = 3
)

// keyIndexSize is the size of a Record's key index, which is always 0: an
// aggregate has one key.
var keyIndexSize = protowire.SizeTag(fieldKeyIndex) + protowire.SizeVarint(0)

const (
	// maxOpenKeys is the most partition keys that wait for more records at a
	// time. More than this in one chunk, and hardly any has a second record.
	maxOpenKeys = 1024

	// maxOpenBytes is the most that waits in all, or one full aggregate if that
	// is more. It bounds what a flush holds on to beside its requests.
	maxOpenBytes = 4 << 20
)

// aggregate is one Kinesis record in the making, of records that share a
// partition key.
type aggregate struct {
	key     []byte
	buf     []byte // magic, key table and records; owned by aggregate for reuse
	first   int    // length of buf up to the data of the first record
	bytes   int    // of the records' data
	records []int  // what tryAdd was given, in order
	plain   bool   // simple_aggregation: the records' data and nothing else
}

// reset empties a and begins one for key.
func (a *aggregate) reset(key []byte) {
	a.key, a.buf = append(a.key[:0], key...), a.buf[:0]
	a.bytes, a.records = 0, a.records[:0]
	if a.plain {
		return
	}
	a.buf = append(a.buf, aggregateMagic...)
	a.buf = protowire.AppendTag(a.buf, fieldKeyTable, protowire.BytesType)
	a.buf = protowire.AppendBytes(a.buf, key)
}

// tryAdd adds a record, unless that would make more than limit bytes of what is
// sent, the partition key beside it included. An empty aggregate takes any
// record, as a record alone is sent as it is.
func (a *aggregate) tryAdd(data []byte, record, limit int) bool {
	if a.plain {
		return a.tryAppend(data, record, limit)
	}
	inner := keyIndexSize + protowire.SizeTag(fieldData) + protowire.SizeBytes(len(data))
	outer := protowire.SizeTag(fieldRecords) + protowire.SizeBytes(inner)
	if len(a.records) > 0 && len(a.key)+len(a.buf)+outer+md5.Size > limit {
		return false
	}
	a.buf = protowire.AppendTag(a.buf, fieldRecords, protowire.BytesType)
	a.buf = protowire.AppendVarint(a.buf, uint64(inner))
	a.buf = protowire.AppendTag(a.buf, fieldKeyIndex, protowire.VarintType)
	a.buf = protowire.AppendVarint(a.buf, 0) // written though it is 0: the field is required
	a.buf = protowire.AppendTag(a.buf, fieldData, protowire.BytesType)
	a.buf = protowire.AppendBytes(a.buf, data)
	if len(a.records) == 0 {
		a.first = len(a.buf) - len(data)
	}
	a.bytes += len(data)
	a.records = append(a.records, record)
	return true
}

// tryAppend is tryAdd for an aggregate without a form of its own.
func (a *aggregate) tryAppend(data []byte, record, limit int) bool {
	if len(a.records) > 0 && len(a.key)+len(a.buf)+len(data) > limit {
		return false
	}
	a.buf = append(a.buf, data...)
	a.bytes += len(data)
	a.records = append(a.records, record)
	return true
}

// size is the number of bytes that Kinesis counts for what is sent: the data
// and the partition key.
func (a *aggregate) size() int {
	if len(a.records) == 1 {
		return len(a.key) + len(a.buf) - a.first
	}
	return len(a.key) + len(a.buf) + md5.Size
}

// data returns what is sent, valid until the next call of another method. One
// record alone goes as it is, as from the KPL: an aggregate would only add to it.
func (a *aggregate) data() []byte {
	if a.plain {
		return a.buf
	}
	if len(a.records) == 1 {
		return a.buf[a.first:]
	}
	n := len(a.buf)
	sum := md5.Sum(a.buf[len(aggregateMagic):])
	whole := append(a.buf, sum[:]...)
	a.buf = whole[:n]
	return whole
}

// aggregator puts the records of one flush together, those of each partition
// key by themselves.
//
// An aggregate goes to one shard, chosen by the key it is sent with. Were there
// records of other keys in it, they would be in a shard that is not theirs, and
// the Kinesis Client Library (KCL) would throw the whole aggregate away without
// a word: it takes none that has a key in it which hashes outside of the shard
// it was read from (AggregatorUtil.deaggregate). The KPL can mix keys because it
// asks for the stream's shards and their hash ranges, predicts each record's
// shard, looks at the shard in every answer and sends again what came to another
// one after the stream was split. That takes a permission that log shippers do
// not have (kinesis:ListShards), loses or doubles records in the moment of a
// split, and no longer keeps order within a key. One key for each aggregate
// needs none of it: whatever becomes of the shards, a record is where its own
// key belongs. The price is that a key with one record in a chunk gains nothing.
//
// Records without a partition key have no shard of their own: they share an
// aggregate with one random key, which becomes the key of each. The next such
// aggregate gets the next random key, so that they spread over the shards.
//
// Records of a key keep their order: within an aggregate, and because one that
// does not fit any more lets the aggregate before it go first. (In AWS's Go
// plugin records of 20 KiB and more overtake those before them.)
//
// Consumers: Firehose takes at most 500 records from an aggregate when it is
// set to de-aggregate for dynamic partitioning; the KCL has no such limit.
type aggregator struct {
	limit int  // bytes of an aggregate and its partition key
	plain bool // simple_aggregation: records one behind the other and nothing else

	// emit gets each record to send: its partition key, its data, and the numbers
	// of the records in it, all of them valid until emit returns.
	emit func(key, data []byte, records []int)

	seed  maphash.Seed
	byKey map[uint64]*aggregate // by the key's hash
	open  []*aggregate          // those of byKey, in the order they were begun
	loose aggregate             // of the records without a partition key
	bytes int                   // of the data of all that are open
	busy  bool                  // in add or flush; when they begin: a panic has ended the last one
	free  []*aggregate
	kept  int // bytes of the buffers in free
}

// newAggregator returns an aggregator for one flush after the other. emit is
// still to be set.
func newAggregator(limit int, plain bool) *aggregator {
	return &aggregator{limit: limit, plain: plain, loose: aggregate{plain: plain},
		seed: maphash.MakeSeed(), byKey: make(map[uint64]*aggregate)}
}

// begin is called before anything is changed. After a panic half way through
// nothing that is open can be trusted: sent again, it might be sent twice.
func (g *aggregator) begin() {
	if g.busy {
		g.discard()
	}
	g.busy = true
}

// add takes over a record and its partition key. A record that has more than
// limit bytes with its key goes alone. random says that the key was made up, as
// the record has none.
func (g *aggregator) add(key []byte, random bool, data []byte, record int) {
	g.begin()
	if g.bytes+len(data) > max(maxOpenBytes, g.limit) {
		g.sendAll()
	}
	a := &g.loose
	if !random {
		a = g.of(key)
	} else if len(a.records) == 0 {
		a.reset(key)
	}
	if !a.tryAdd(data, record, g.limit) {
		g.send(a)
		a.reset(key)
		a.tryAdd(data, record, g.limit)
	}
	g.bytes += len(data)
	g.busy = false
}

// of returns the aggregate for records of key.
func (g *aggregator) of(key []byte) *aggregate {
	hash := maphash.Bytes(g.seed, key)
	a := g.byKey[hash]
	switch {
	case a == nil:
		if len(g.open) == maxOpenKeys {
			g.sendAll()
		}
		a = g.take()
		a.reset(key)
		g.byKey[hash] = a
		g.open = append(g.open, a)
	case string(a.key) != string(key): // two keys with one hash
		g.send(a)
		a.reset(key)
	}
	return a
}

// send emits a, which the caller then resets.
func (g *aggregator) send(a *aggregate) {
	g.bytes -= a.bytes
	g.emit(a.key, a.data(), a.records)
}

// flush emits all that is open.
func (g *aggregator) flush() {
	g.begin()
	g.sendAll()
	g.busy = false
}

func (g *aggregator) sendAll() {
	for _, a := range g.open {
		g.send(a)
	}
	if len(g.loose.records) > 0 {
		g.send(&g.loose)
	}
	g.discard()
}

// discard forgets all that is open.
func (g *aggregator) discard() {
	clear(g.byKey)
	for _, a := range g.open {
		g.give(a)
	}
	clear(g.open)
	g.open, g.bytes = g.open[:0], 0
	g.loose.reset(nil)
}

// take and give keep aggregates for reuse, but no more bytes of them than may
// be open at a time: with a changing busiest key each would grow to the limit.
func (g *aggregator) take() *aggregate {
	if len(g.free) == 0 {
		return &aggregate{plain: g.plain}
	}
	last := len(g.free) - 1
	a := g.free[last]
	g.free[last] = nil
	g.free = g.free[:last]
	g.kept -= cap(a.buf)
	return a
}

func (g *aggregator) give(a *aggregate) {
	if g.kept+cap(a.buf) > max(maxOpenBytes, g.limit) {
		return
	}
	g.kept += cap(a.buf)
	g.free = append(g.free, a)
}
