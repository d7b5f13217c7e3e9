package awslocal

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of Kinesis Data Streams, from
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html and
// https://docs.aws.amazon.com/streams/latest/dev/large-records.html
const (
	maxPutRecords      = 500
	maxPutBytes        = 10 << 20 // data and partition keys of all records
	defaultRecordBytes = 1 << 20  // data and partition key of one record
	maxRecordKiB       = 10 << 10 // what a stream's limit can be raised to
	minRecordKiB       = 1 << 10
	maxPartitionKey    = 256 // characters
	maxStreamName      = 128
	maxShards          = 10_000
	onDemandShards     = 4
	maxGetRecords      = 10_000
	maxGetRecordsBytes = 10 << 20
)

var (
	streamPattern   = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)
	hashKeyPattern  = regexp.MustCompile(`^(0|([1-9]\d{0,38}))$`)
	streamARNFormat = regexp.MustCompile(`^arn:aws.*:kinesis:.*:\d{12}:stream/[a-zA-Z0-9_.-]+$`)
)

var kinesisService = &service{
	name:   "kinesis",
	target: "Kinesis_20131202",
	operations: map[string]*operation{
		"CreateStream":          {handle: (*Server).createStream},
		"DeleteStream":          {handle: (*Server).deleteStream},
		"DescribeStreamSummary": {handle: (*Server).describeStreamSummary},
		"UpdateMaxRecordSize":   {handle: (*Server).updateMaxRecordSize},
		"ListShards":            {handle: (*Server).listShards},
		"PutRecords":            {handle: (*Server).putRecords, discard: (*Server).discardRecords},
		"GetShardIterator":      {handle: (*Server).getShardIterator},
		"GetRecords":            {handle: (*Server).getRecords},
	},
}

// Kinesis is the Kinesis Data Streams side of a Server.
type Kinesis struct {
	s       *Server
	mu      sync.Mutex // guards the following, and all streams
	streams map[string]*KinesisStream
	total   int
	bytes   int
	serial  uint64 // of sequence numbers
}

// KinesisStream is a data stream with all it was given. A nil KinesisStream, as
// returned for one that does not exist, is empty.
type KinesisStream struct {
	Name    string
	ARN     string
	Created time.Time

	kinesis     *Kinesis
	shards      []*shard
	recordBytes int // limit
	onDemand    bool
	bytes       int // data and partition keys
	count       int
}

type shard struct {
	id         string
	start, end uint128 // hash keys, both inclusive
	records    []KinesisRecord
	second     int64 // that the following were spent in
	spentBytes int
	spent      int
}

// KinesisRecord is a record as Kinesis keeps it.
type KinesisRecord struct {
	Data            []byte    `json:"data"` // must not be changed
	PartitionKey    string    `json:"partition_key"`
	ExplicitHashKey string    `json:"explicit_hash_key,omitempty"`
	ShardID         string    `json:"shard"`
	SequenceNumber  string    `json:"sequence_number"`
	Arrived         time.Time `json:"arrived"`
}

// uint128 is a hash key.
type uint128 struct{ hi, lo uint64 }

func (a uint128) compare(b uint128) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

func (a uint128) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return new(big.Int).SetBytes(b[:]).String()
}

func toUint128(n *big.Int) uint128 {
	var b [16]byte
	n.FillBytes(b[:])
	return hashKeyOf(b)
}

func hashKeyOf(b [16]byte) uint128 {
	return uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func newKinesis(s *Server) *Kinesis { return &Kinesis{s: s, streams: make(map[string]*KinesisStream)} }

// CreateStream makes a stream of so many shards. It fails if the name or the
// number is not allowed, or if the stream exists.
func (k *Kinesis) CreateStream(name string, shards int) error {
	if bad := k.create(name, shards, k.s.cfg.KinesisMaxRecordBytes, false); bad != nil {
		return fmt.Errorf("cannot create stream %q: %s", name, bad.message)
	}
	return nil
}

// DeleteStream deletes a stream.
func (k *Kinesis) DeleteStream(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.streams, name)
}

// Stream returns a stream, nil if there is none of that name.
func (k *Kinesis) Stream(name string) *KinesisStream {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.streams[name]
}

// Streams returns all streams, in order of name.
func (k *Kinesis) Streams() []*KinesisStream {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*KinesisStream
	for _, name := range slices.Sorted(maps.Keys(k.streams)) {
		out = append(out, k.streams[name])
	}
	return out
}

// Total counts the records accepted so far, those of deleted streams included.
func (k *Kinesis) Total() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.total
}

// ShardIDs returns the ids of the stream's shards in order.
func (st *KinesisStream) ShardIDs() []string {
	if st == nil {
		return nil
	}
	ids := make([]string, len(st.shards)) // shards are never split or merged
	for i, sh := range st.shards {
		ids[i] = sh.id
	}
	return ids
}

// Records returns the stream's records, shard by shard in order of arrival.
func (st *KinesisStream) Records() []KinesisRecord {
	if st == nil {
		return nil
	}
	st.kinesis.mu.Lock()
	defer st.kinesis.mu.Unlock()
	out := make([]KinesisRecord, 0, st.count)
	for _, sh := range st.shards {
		out = append(out, sh.records...)
	}
	return out
}

// Len counts the stream's records.
func (st *KinesisStream) Len() int {
	if st == nil {
		return 0
	}
	st.kinesis.mu.Lock()
	defer st.kinesis.mu.Unlock()
	return st.count
}

// ShardFor returns the id of the shard that a partition key leads to.
func (st *KinesisStream) ShardFor(partitionKey string) string {
	return st.shardOf(hashKeyOf(md5.Sum([]byte(partitionKey)))).id
}

func (st *KinesisStream) shardOf(key uint128) *shard {
	i, _ := slices.BinarySearchFunc(st.shards, key, func(sh *shard, key uint128) int { return sh.end.compare(key) })
	return st.shards[i]
}

func (k *Kinesis) create(name string, shards, recordBytes int, onDemand bool) *apiError {
	if _, bad := checkName("streamName", &name, maxStreamName, streamPattern, "ValidationException"); bad != nil {
		return bad
	}
	if shards < 1 || shards > maxShards {
		return invalid("ValidationException", "shardCount", "have value between 1 and "+strconv.Itoa(maxShards))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.streams[name] != nil {
		return refuse("ResourceInUseException", "Stream %s under account %s already exists.", name, k.s.cfg.Account)
	}
	st := &KinesisStream{Name: name, ARN: k.s.arn("kinesis", "stream/"+name), Created: k.s.cfg.Now(), kinesis: k, recordBytes: recordBytes, onDemand: onDemand}
	all := new(big.Int).Lsh(big.NewInt(1), 128)
	width := new(big.Int).Div(all, big.NewInt(int64(shards)))
	for i := range shards {
		start := new(big.Int).Mul(width, big.NewInt(int64(i)))
		end := new(big.Int).Add(start, width)
		if i == shards-1 {
			end = all
		}
		end = new(big.Int).Sub(end, big.NewInt(1))
		st.shards = append(st.shards, &shard{id: fmt.Sprintf("shardId-%012d", i), start: toUint128(start), end: toUint128(end)})
	}
	k.streams[name] = st
	return nil
}

// PUTRECORDS

type putRecordsIn struct {
	Records []struct {
		Data            *string
		PartitionKey    *string
		ExplicitHashKey *string
	}
	StreamName *string
	StreamARN  *string
	StreamID   *string `json:"StreamId"`
	DryRun     *bool
}

type putRecordsOut struct {
	FailedRecordCount int
	Records           []putRecordsOutEntry
	EncryptionType    string
}

type putRecordsOutEntry struct {
	SequenceNumber string `json:",omitempty"`
	ShardID        string `json:"ShardId,omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

func (s *Server) putRecords(c *call) (any, *apiError) {
	var in putRecordsIn
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	c.rec.Records = len(in.Records)
	switch {
	case len(in.Records) == 0:
		return nil, invalid("ValidationException", "records", "have length greater than or equal to 1")
	case len(in.Records) > maxPutRecords:
		return nil, invalid("ValidationException", "records", "have length less than or equal to 500")
	}
	records := make([]KinesisRecord, len(in.Records))
	keys := make([]uint128, len(in.Records))
	for i, r := range in.Records {
		var bad *apiError
		if records[i], keys[i], bad = checkRecord("records."+strconv.Itoa(i+1)+".member.", r.Data, r.PartitionKey, r.ExplicitHashKey); bad != nil {
			return nil, bad
		}
	}

	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	st, bad := k.find(c, in.StreamName, in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	total := 0
	for _, r := range records {
		size := len(r.Data) + len(r.PartitionKey)
		if size > st.recordBytes {
			return nil, refuse("InvalidArgumentException", "Record size of %d bytes, data and partition key, exceeds the limit of %d bytes of stream %s under account %s.",
				size, st.recordBytes, st.Name, s.cfg.Account)
		}
		total += size
	}
	if total > maxPutBytes {
		return nil, refuse("InvalidArgumentException", "Records size of %d bytes exceeds 10 MB limit", total)
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, refuse("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
	}

	failed := s.faults.refused(c.fault, len(records), func(i int) string { return st.shardOf(keys[i]).id })
	out := putRecordsOut{EncryptionType: "NONE"}
	for i, r := range records[:c.fault.answered(len(records))] {
		sh := st.shardOf(keys[i])
		entry := k.put(c, st, sh, r, failed[i])
		if entry.ErrorCode != "" {
			out.FailedRecordCount++
		}
		out.Records = append(out.Records, entry)
	}
	return out, nil
}

// put puts one record into a shard, if there is room for it. k.mu is held.
func (k *Kinesis) put(c *call, st *KinesisStream, sh *shard, r KinesisRecord, refused bool) putRecordsOutEntry {
	code := ""
	now := k.s.cfg.Now()
	if refused {
		code = k.s.faults.entryCode(c.fault, "ProvisionedThroughputExceededException", "InternalFailure")
	} else if !sh.spend(&k.s.cfg, now, len(r.Data)+len(r.PartitionKey)) {
		code = "ProvisionedThroughputExceededException"
	}
	switch code {
	case "":
	case "ProvisionedThroughputExceededException":
		return putRecordsOutEntry{ErrorCode: code, ErrorMessage: "Rate exceeded for shard " + sh.id + " in stream " + st.Name + " under account " + k.s.cfg.Account + "."}
	default:
		return putRecordsOutEntry{ErrorCode: code, ErrorMessage: "Internal Service Failure."}
	}
	k.serial++
	r.ShardID, r.SequenceNumber, r.Arrived = sh.id, sequenceNumber(k.serial), now
	sh.records = append(sh.records, r)
	st.count++
	st.bytes += len(r.Data) + len(r.PartitionKey)
	k.total++
	k.bytes += len(r.Data) + len(r.PartitionKey)
	c.rec.Accepted++
	return putRecordsOutEntry{SequenceNumber: r.SequenceNumber, ShardID: r.ShardID}
}

// spend takes a record's share of what the shard can take in this second.
func (sh *shard) spend(cfg *Config, now time.Time, size int) bool {
	if second := now.Unix(); second != sh.second {
		sh.second, sh.spent, sh.spentBytes = second, 0, 0
	}
	if cfg.ShardRecordsPerSecond > 0 && sh.spent >= cfg.ShardRecordsPerSecond ||
		cfg.ShardBytesPerSecond > 0 && sh.spentBytes+size > cfg.ShardBytesPerSecond {
		return false
	}
	sh.spent++
	sh.spentBytes += size
	return true
}

func sequenceNumber(n uint64) string { return fmt.Sprintf("49%054d", n) }

// checkRecord checks an entry of PutRecords and decodes it.
func checkRecord(at string, data, partitionKey, explicitHashKey *string) (r KinesisRecord, key uint128, bad *apiError) {
	const code = "ValidationException"
	if data == nil {
		return r, key, invalid(code, at+"data", "not be null")
	}
	var err error
	if r.Data, err = blob(*data); err != nil {
		return r, key, refuse("SerializationException", "%sdata: %v", at, err)
	}
	switch {
	case partitionKey == nil:
		return r, key, invalid(code, at+"partitionKey", "not be null")
	case *partitionKey == "":
		return r, key, invalid(code, at+"partitionKey", "have length greater than or equal to 1")
	case characters(*partitionKey) > maxPartitionKey:
		return r, key, invalid(code, at+"partitionKey", "have length less than or equal to 256")
	}
	r.PartitionKey = *partitionKey
	if explicitHashKey == nil {
		return r, hashKeyOf(md5.Sum([]byte(r.PartitionKey))), nil
	}
	r.ExplicitHashKey = *explicitHashKey
	if !hashKeyPattern.MatchString(r.ExplicitHashKey) {
		return r, key, invalid(code, at+"explicitHashKey", `satisfy regular expression pattern: 0|([1-9]\d{0,38})`)
	}
	n, _ := new(big.Int).SetString(r.ExplicitHashKey, 10) // digits only, see above
	if n.BitLen() > 128 {
		return r, key, refuse("InvalidArgumentException", "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", r.ExplicitHashKey)
	}
	return r, toUint128(n), nil
}

// discardRecords counts records by their Data members. No JSON string value can
// hold the text it looks for, as the quote would be escaped.
func (s *Server) discardRecords(c *call) any {
	mark, head, tail := `"Data":`, `{"FailedRecordCount":0,"Records":[`, "]}"
	entry := `{"SequenceNumber":"49000000000000000000000000000000000000000000000000000001","ShardId":"shardId-000000000000"}`
	sep := ","
	if c.cbor {
		mark, head, tail, sep = "\x64Data", "\xbf\x71FailedRecordCount\x00\x67Records\x9f", "\xff\xff", ""
		entry = string(CBOROf([]byte(entry)))
	}
	n := bytes.Count(c.body, []byte(mark))
	c.rec.Records, c.rec.Accepted = n, n
	k := s.kinesis
	k.mu.Lock()
	k.total += n
	k.mu.Unlock()
	return repeatEntries(head, entry, sep, tail, n)
}

// repeatEntries makes an answer of n same entries.
func repeatEntries(head, entry, sep, tail string, n int) []byte {
	out := make([]byte, 0, len(head)+n*(len(entry)+len(sep))+len(tail))
	out = append(out, head...)
	for i := range n {
		if i > 0 {
			out = append(out, sep...)
		}
		out = append(out, entry...)
	}
	return append(out, tail...)
}

// find returns the stream that a request names. k.mu is held.
func (k *Kinesis) find(c *call, name, arn, id *string) (*KinesisStream, *apiError) {
	if id != nil {
		return nil, refuse("InvalidArgumentException", "StreamId is not understood.")
	}
	if arn != nil {
		if !streamARNFormat.MatchString(*arn) {
			return nil, invalid("ValidationException", "streamARN", `satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
		}
		named := (*arn)[strings.LastIndexByte(*arn, '/')+1:]
		if name != nil && *name != named {
			return nil, refuse("InvalidArgumentException", "StreamARN and StreamName are not of the same stream.")
		}
		name = &named
	}
	if name == nil {
		return nil, refuse("InvalidArgumentException", "Either StreamName or StreamARN is required.")
	}
	if _, bad := checkName("streamName", name, maxStreamName, streamPattern, "ValidationException"); bad != nil {
		return nil, bad
	}
	c.rec.Target = *name
	// A server without a region of its own answers for all of them.
	if st := k.streams[*name]; st != nil && (arn == nil || k.s.cfg.Region == "" || st.ARN == *arn) {
		return st, nil
	}
	return nil, refuse("ResourceNotFoundException", "Stream %s under account %s not found.", *name, k.s.cfg.Account)
}

// STREAMS

func (s *Server) createStream(c *call) (any, *apiError) {
	var in struct {
		StreamName                 *string
		ShardCount                 *int
		MaxRecordSizeInKiB         *int
		StreamModeDetails          *struct{ StreamMode string }
		Tags                       map[string]string
		RecordDistributionStrategy *string
		WarmThroughputMiBps        *int
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	if in.StreamName == nil {
		return nil, invalid("ValidationException", "streamName", "not be null")
	}
	c.rec.Target = *in.StreamName
	recordBytes := s.cfg.KinesisMaxRecordBytes
	if in.MaxRecordSizeInKiB != nil {
		if bad := checkRecordKiB(*in.MaxRecordSizeInKiB); bad != nil {
			return nil, bad
		}
		recordBytes = *in.MaxRecordSizeInKiB << 10
	}
	onDemand := in.StreamModeDetails != nil && in.StreamModeDetails.StreamMode == "ON_DEMAND"
	shards := onDemandShards
	if !onDemand {
		if in.ShardCount == nil {
			return nil, invalid("ValidationException", "shardCount", "not be null")
		}
		shards = *in.ShardCount
	}
	if bad := s.kinesis.create(*in.StreamName, shards, recordBytes, onDemand); bad != nil {
		return nil, bad
	}
	return nothing{}, nil
}

func checkRecordKiB(n int) *apiError {
	if n < minRecordKiB || n > maxRecordKiB {
		return invalid("ValidationException", "maxRecordSizeInKiB", "have value between 1024 and 10240")
	}
	return nil
}

type streamIn struct {
	StreamName *string
	StreamARN  *string
	StreamID   *string `json:"StreamId"`
}

func (s *Server) deleteStream(c *call) (any, *apiError) {
	var in struct {
		StreamName              *string
		StreamARN               *string
		StreamID                *string `json:"StreamId"`
		EnforceConsumerDeletion *bool
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	st, bad := k.find(c, in.StreamName, in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	delete(k.streams, st.Name)
	return nothing{}, nil
}

func (s *Server) updateMaxRecordSize(c *call) (any, *apiError) {
	var in struct {
		StreamARN          *string
		StreamID           *string `json:"StreamId"`
		MaxRecordSizeInKiB *int
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	if in.MaxRecordSizeInKiB == nil {
		return nil, invalid("ValidationException", "maxRecordSizeInKiB", "not be null")
	}
	if bad := checkRecordKiB(*in.MaxRecordSizeInKiB); bad != nil {
		return nil, bad
	}
	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	st, bad := k.find(c, nil, in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	st.recordBytes = *in.MaxRecordSizeInKiB << 10
	return nothing{}, nil
}

func (s *Server) describeStreamSummary(c *call) (any, *apiError) {
	var in streamIn
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	st, bad := k.find(c, in.StreamName, in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	mode := "PROVISIONED"
	if st.onDemand {
		mode = "ON_DEMAND"
	}
	return map[string]any{"StreamDescriptionSummary": map[string]any{
		"StreamName":              st.Name,
		"StreamARN":               st.ARN,
		"StreamStatus":            "ACTIVE",
		"StreamModeDetails":       map[string]any{"StreamMode": mode},
		"StreamCreationTimestamp": seconds(st.Created),
		"OpenShardCount":          len(st.shards),
		"RetentionPeriodHours":    24,
		"ConsumerCount":           0,
		"EncryptionType":          "NONE",
		"EnhancedMonitoring":      []any{map[string]any{"ShardLevelMetrics": []string{}}},
		"MaxRecordSizeInKiB":      st.recordBytes >> 10,
	}}, nil
}

// seconds is a time as awsJson has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (s *Server) listShards(c *call) (any, *apiError) {
	var in struct {
		StreamName              *string
		StreamARN               *string
		StreamID                *string `json:"StreamId"`
		ExclusiveStartShardID   *string `json:"ExclusiveStartShardId"`
		MaxResults              *int
		NextToken               *string
		ShardFilter             *map[string]any
		StreamCreationTimestamp *float64
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	after := ""
	if in.ExclusiveStartShardID != nil {
		after = *in.ExclusiveStartShardID
	}
	if in.NextToken != nil {
		if in.StreamName != nil || in.StreamARN != nil || in.ExclusiveStartShardID != nil {
			return nil, refuse("InvalidArgumentException", "NextToken and StreamName cannot be provided together.")
		}
		raw, err := base64.URLEncoding.DecodeString(*in.NextToken)
		stream, shard, ok := strings.Cut(string(raw), "|")
		if err != nil || !ok {
			return nil, refuse("InvalidArgumentException", "Invalid NextToken.")
		}
		in.StreamName, after = &stream, shard
	}
	st, bad := k.find(c, in.StreamName, in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	limit := 1000
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > maxShards {
			return nil, invalid("ValidationException", "maxResults", "have value between 1 and 10000")
		}
	}
	out := map[string]any{}
	list := []any{}
	for _, sh := range st.shards {
		if sh.id <= after {
			continue
		}
		if len(list) == limit {
			out["NextToken"] = base64.URLEncoding.EncodeToString([]byte(st.Name + "|" + after))
			break
		}
		after = sh.id
		list = append(list, map[string]any{
			"ShardId":             sh.id,
			"HashKeyRange":        map[string]any{"StartingHashKey": sh.start.String(), "EndingHashKey": sh.end.String()},
			"SequenceNumberRange": map[string]any{"StartingSequenceNumber": sequenceNumber(0)},
		})
	}
	out["Shards"] = list
	return out, nil
}

// READING BACK

func (s *Server) getShardIterator(c *call) (any, *apiError) {
	var in struct {
		ShardID                *string `json:"ShardId"`
		ShardIteratorType      *string
		StartingSequenceNumber *string
		Timestamp              *float64
		StreamName             *string
		StreamARN              *string
		StreamID               *string `json:"StreamId"`
		DryRun                 *bool
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	if in.ShardID == nil || in.ShardIteratorType == nil {
		return nil, invalid("ValidationException", "shardId", "not be null")
	}
	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	st, bad := k.find(c, in.StreamName, in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	sh, bad := st.shard(*in.ShardID)
	if bad != nil {
		return nil, bad
	}
	kind := *in.ShardIteratorType
	if strings.HasSuffix(kind, "SEQUENCE_NUMBER") && in.StartingSequenceNumber == nil || kind == "AT_TIMESTAMP" && in.Timestamp == nil {
		return nil, refuse("InvalidArgumentException", "%s needs a StartingSequenceNumber or a Timestamp.", kind)
	}
	// All sequence numbers have the same length, so they compare as text.
	at := func(reached func(r KinesisRecord) bool) int {
		i := slices.IndexFunc(sh.records, reached)
		if i < 0 {
			return len(sh.records)
		}
		return i
	}
	position := 0
	switch kind {
	case "TRIM_HORIZON":
	case "LATEST":
		position = len(sh.records)
	case "AT_SEQUENCE_NUMBER":
		position = at(func(r KinesisRecord) bool { return r.SequenceNumber >= *in.StartingSequenceNumber })
	case "AFTER_SEQUENCE_NUMBER":
		position = at(func(r KinesisRecord) bool { return r.SequenceNumber > *in.StartingSequenceNumber })
	case "AT_TIMESTAMP":
		position = at(func(r KinesisRecord) bool { return seconds(r.Arrived) >= *in.Timestamp })
	default:
		return nil, invalid("ValidationException", "shardIteratorType", "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]")
	}
	return map[string]any{"ShardIterator": iterator(st, sh, position)}, nil
}

func (st *KinesisStream) shard(id string) (*shard, *apiError) {
	for _, sh := range st.shards {
		if sh.id == id {
			return sh, nil
		}
	}
	return nil, refuse("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist", id, st.Name, st.kinesis.s.cfg.Account)
}

func iterator(st *KinesisStream, sh *shard, position int) string {
	return base64.StdEncoding.EncodeToString([]byte(st.Name + "|" + sh.id + "|" + strconv.Itoa(position)))
}

func (s *Server) getRecords(c *call) (any, *apiError) {
	var in struct {
		ShardIterator *string
		Limit         *int
		StreamARN     *string
		StreamID      *string `json:"StreamId"`
		DryRun        *bool
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	limit := maxGetRecords
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > maxGetRecords {
			return nil, invalid("ValidationException", "limit", "have value between 1 and 10000")
		}
	}
	if in.ShardIterator == nil {
		return nil, invalid("ValidationException", "shardIterator", "not be null")
	}
	raw, err := base64.StdEncoding.DecodeString(*in.ShardIterator)
	parts := strings.Split(string(raw), "|")
	if err != nil || len(parts) != 3 {
		return nil, refuse("InvalidArgumentException", "Invalid ShardIterator.")
	}
	position, err := strconv.Atoi(parts[2])
	if err != nil || position < 0 {
		return nil, refuse("InvalidArgumentException", "Invalid ShardIterator.")
	}
	k := s.kinesis
	k.mu.Lock()
	defer k.mu.Unlock()
	st, bad := k.find(c, &parts[0], in.StreamARN, in.StreamID)
	if bad != nil {
		return nil, bad
	}
	sh, bad := st.shard(parts[1])
	if bad != nil {
		return nil, bad
	}
	records, size := []any{}, 0
	next := min(position, len(sh.records))
	for ; next < len(sh.records) && len(records) < limit; next++ {
		r := sh.records[next]
		if size += len(r.Data) + len(r.PartitionKey); size > maxGetRecordsBytes && len(records) > 0 {
			break
		}
		records = append(records, map[string]any{"Data": r.Data, "PartitionKey": r.PartitionKey, "SequenceNumber": r.SequenceNumber,
			"ApproximateArrivalTimestamp": seconds(r.Arrived), "EncryptionType": "NONE"})
	}
	behind := 0
	if next < len(sh.records) {
		behind = 1
	}
	return map[string]any{"Records": records, "NextShardIterator": iterator(st, sh, next), "MillisBehindLatest": behind}, nil
}
