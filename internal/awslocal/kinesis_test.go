package awslocal

import (
	"crypto/md5"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	validation      = "ValidationException"
	invalidArgument = "InvalidArgumentException"
)

// kinesisEntries makes n records of size bytes with keys of 4 bytes.
func kinesisEntries(n, size int) []types.PutRecordsRequestEntry {
	out := make([]types.PutRecordsRequestEntry, n)
	data := []byte(strings.Repeat("d", size))
	for i := range out {
		out[i] = types.PutRecordsRequestEntry{Data: data, PartitionKey: ptr(fmt.Sprintf("k%03d", i))}
	}
	return out
}

func putRecords(stream string, entries ...types.PutRecordsRequestEntry) *kinesis.PutRecordsInput {
	return &kinesis.PutRecordsInput{StreamName: &stream, Records: entries}
}

func TestPutRecordsLimits(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 2}})
	client, ctx := kinesisClient(t, s), testContext(t)
	const mib = 1 << 20
	key := func(k string) []types.PutRecordsRequestEntry {
		return []types.PutRecordsRequestEntry{{Data: []byte("x"), PartitionKey: &k}}
	}
	hash := func(h string) []types.PutRecordsRequestEntry {
		return []types.PutRecordsRequestEntry{{Data: []byte("x"), PartitionKey: ptr("k"), ExplicitHashKey: &h}}
	}
	const topHash = "340282366920938463463374607431768211455" // 2^128 - 1
	tests := []struct {
		name    string
		stream  string
		records []types.PutRecordsRequestEntry
		want    string
	}{
		{"no record", "s", []types.PutRecordsRequestEntry{}, validation},
		{"1 record", "s", kinesisEntries(1, 1), ""},
		{"499 records", "s", kinesisEntries(499, 1), ""},
		{"500 records", "s", kinesisEntries(500, 1), ""},
		{"501 records", "s", kinesisEntries(501, 1), validation},
		{"empty data", "s", kinesisEntries(1, 0), ""},
		{"data and key of 1 MiB less 1", "s", kinesisEntries(1, mib-5), ""},
		{"data and key of 1 MiB", "s", kinesisEntries(1, mib-4), ""},
		{"data and key of 1 MiB and 1", "s", kinesisEntries(1, mib-3), invalidArgument},
		{"data of 1 MiB", "s", kinesisEntries(1, mib), invalidArgument},
		{"empty key", "s", key(""), validation},
		{"key of 255", "s", key(strings.Repeat("k", 255)), ""},
		{"key of 256", "s", key(strings.Repeat("k", 256)), ""},
		{"key of 257", "s", key(strings.Repeat("k", 257)), validation},
		{"key of 256 characters in 1,024 bytes", "s", key(strings.Repeat("😀", 256)), ""},
		{"key of 257 characters", "s", key(strings.Repeat("😀", 257)), validation},
		{"hash key 0", "s", hash("0"), ""},
		{"hash key 2^128-1", "s", hash(topHash), ""},
		{"hash key 2^128", "s", hash("340282366920938463463374607431768211456"), invalidArgument},
		{"hash key 01", "s", hash("01"), validation},
		{"hash key -1", "s", hash("-1"), validation},
		{"hash key of 40 digits", "s", hash(strings.Repeat("1", 40)), validation},
		{"unknown stream", "none", kinesisEntries(1, 1), "ResourceNotFoundException"},
	}
	accepted := 0
	for _, tt := range tests {
		if tt.records == nil {
			t.Fatal("the SDK would refuse this itself")
		}
		for i := range tt.records {
			if tt.records[i].Data == nil {
				tt.records[i].Data = []byte{}
			}
		}
		out, err := client.PutRecords(ctx, putRecords(tt.stream, tt.records...))
		wantCode(t, tt.name, err, tt.want)
		if err == nil {
			accepted += len(tt.records)
			if *out.FailedRecordCount != 0 || len(out.Records) != len(tt.records) {
				t.Errorf("%s: %d failed, %d answered", tt.name, *out.FailedRecordCount, len(out.Records))
			}
		}
	}
	if got := s.Kinesis().Total(); got != accepted || s.Kinesis().Stream("s").Len() != accepted {
		t.Errorf("%d records in all, want %d: a refused call must leave nothing", got, accepted)
	}
}

// TestPutRecordsTotal builds its large requests by hand, which is much quicker.
func TestPutRecordsTotal(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 2}})
	_, err := kinesisClient(t, s).CreateStream(testContext(t), &kinesis.CreateStreamInput{StreamName: ptr("large"), ShardCount: ptr(int32(1)), MaxRecordSizeInKiB: ptr(int32(10_240))})
	noError(t, err)
	const mib = 1 << 20
	tests := []struct {
		name, stream string
		sizes        []int // of data and key of each record
		want         string
	}{
		{"10 MiB less 1 in all", "large", []int{5 * mib, 5*mib - 1}, ""},
		{"10 MiB in one", "large", []int{10 * mib}, ""},
		{"10 MiB and 1 in all", "large", []int{5 * mib, 5*mib + 1}, invalidArgument},
	}
	for _, tt := range tests {
		var body strings.Builder
		body.WriteString(`{"StreamName":"` + tt.stream + `","Records":[`)
		for i, size := range tt.sizes {
			if i > 0 {
				body.WriteByte(',')
			}
			key := strings.Repeat("k", 1+(size-1)%3) // leaves a multiple of 3 for base64 without padding
			body.WriteString(`{"PartitionKey":"` + key + `","Data":"` + strings.Repeat("ZGRk", (size-len(key))/3) + `"}`)
		}
		body.WriteString("]}")
		if _, got := rawCall(t, s, "Kinesis_20131202.PutRecords", body.String(), nil); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	size := 0
	for _, r := range s.Kinesis().Stream("large").Records() {
		size += len(r.Data) + len(r.PartitionKey)
	}
	if got := s.State().Kinesis[0].Bytes; size != 20*mib-1 || got != size {
		t.Errorf("kept %d bytes, the state has %d", size, got)
	}
}

func TestPutRecordsMembers(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 1}})
	tests := []struct{ body, want string }{
		{`{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":"k"}]}`, ""},
		{`{"StreamName":"s","Records":[{"PartitionKey":"k"}]}`, validation},
		{`{"StreamName":"s","Records":[{"Data":"YQ=="}]}`, validation},
		{`{"StreamName":"s","Records":[null]}`, validation},
		{`{"StreamName":"s"}`, validation},
		{`{"Records":[{"Data":"YQ==","PartitionKey":"k"}]}`, invalidArgument},
		{`{"StreamName":"s!","Records":[{"Data":"YQ==","PartitionKey":"k"}]}`, validation},
		{`{"StreamName":"s","StreamId":"x","Records":[{"Data":"YQ==","PartitionKey":"k"}]}`, invalidArgument},
		{`{"StreamName":"s","Records":[{"Data":"YQ","PartitionKey":"k"}]}`, "SerializationException"},
		{`{"StreamName":"s","Records":[{"Data":"YQ==\n","PartitionKey":"k"}]}`, "SerializationException"},
		{`{"StreamName":"s","Records":[{"data":"YQ==","PartitionKey":"k"}]}`, "SerializationException"},
		{`{"StreamName":"s","Records":[{"Data":"YQ==","PartitionKey":"` + "\xff" + `"}]}`, "SerializationException"},
	}
	for _, tt := range tests {
		if _, got := rawCall(t, s, "Kinesis_20131202.PutRecords", tt.body, nil); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestStreamARN(t *testing.T) {
	const arn = "arn:aws:kinesis:us-west-2:123456789012:stream/s"
	bound := start(t, Config{Region: "us-west-2", KinesisStreams: map[string]int{"s": 1}})
	free := start(t, Config{KinesisStreams: map[string]int{"s": 1}})
	tests := []struct {
		server    *Server
		name, arn *string
		want      string
	}{
		{bound, nil, ptr(arn), ""},
		{bound, ptr("s"), ptr(arn), ""},
		{bound, ptr("t"), ptr(arn), invalidArgument},
		{bound, nil, ptr("arn:aws:kinesis:us-east-1:123456789012:stream/s"), "ResourceNotFoundException"},
		{bound, nil, ptr("arn:aws:kinesis:us-west-2:123456789012:stream/t"), "ResourceNotFoundException"},
		{bound, nil, ptr("stream/s"), validation},
		{free, nil, ptr(arn), ""},
	}
	for _, tt := range tests {
		cfg := sdkConfig(t, tt.server)
		cfg.Region = "us-west-2"
		_, err := kinesis.NewFromConfig(cfg).PutRecords(testContext(t), &kinesis.PutRecordsInput{StreamName: tt.name, StreamARN: tt.arn, Records: kinesisEntries(1, 1)})
		wantCode(t, fmt.Sprint(aws.ToString(tt.name), " ", aws.ToString(tt.arn)), err, tt.want)
	}
	if got := bound.Requests("PutRecords")[0].Target; got != "s" {
		t.Errorf("target %q, want s", got)
	}
}

func TestMaxRecordSize(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 1}, KinesisMaxRecordBytes: 2 << 20})
	client, ctx := kinesisClient(t, s), testContext(t)
	put := func(size int) error {
		_, err := client.PutRecords(ctx, putRecords("s", kinesisEntries(1, size-4)...))
		return err
	}
	wantCode(t, "2 MiB", put(2<<20), "")
	wantCode(t, "2 MiB and 1", put(2<<20+1), invalidArgument)
	arn := s.Kinesis().Stream("s").ARN
	for kib, want := range map[int32]string{1023: validation, 1024: "", 10_241: validation} {
		_, err := client.UpdateMaxRecordSize(ctx, &kinesis.UpdateMaxRecordSizeInput{StreamARN: &arn, MaxRecordSizeInKiB: &kib})
		wantCode(t, fmt.Sprint(kib, " KiB"), err, want)
	}
	wantCode(t, "1 MiB", put(1<<20), "")
	wantCode(t, "1 MiB and 1", put(1<<20+1), invalidArgument)
}

// TestShards holds the choice of shards against arithmetic on the whole hash key.
func TestShards(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 7, 64} {
		s := start(t, Config{KinesisStreams: map[string]int{"s": shards}})
		client, ctx := kinesisClient(t, s), testContext(t)
		list, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: ptr("s")})
		noError(t, err)
		if len(list.Shards) != shards {
			t.Fatalf("%d shards, want %d", len(list.Shards), shards)
		}
		next := big.NewInt(0)
		bounds := make(map[string][2]*big.Int)
		for _, sh := range list.Shards {
			from, _ := new(big.Int).SetString(*sh.HashKeyRange.StartingHashKey, 10)
			to, _ := new(big.Int).SetString(*sh.HashKeyRange.EndingHashKey, 10)
			if from.Cmp(next) != 0 {
				t.Errorf("%s begins at %s, want %s", *sh.ShardId, from, next)
			}
			next = new(big.Int).Add(to, big.NewInt(1))
			bounds[*sh.ShardId] = [2]*big.Int{from, to}
		}
		if next.BitLen() != 129 || next.TrailingZeroBits() != 128 {
			t.Errorf("the shards end before %s, want 2^128", next)
		}
		out, err := client.PutRecords(ctx, putRecords("s", kinesisEntries(200, 1)...))
		noError(t, err)
		for i, r := range out.Records {
			sum := md5.Sum(fmt.Appendf(nil, "k%03d", i))
			hash := new(big.Int).SetBytes(sum[:])
			if b := bounds[*r.ShardId]; hash.Cmp(b[0]) < 0 || hash.Cmp(b[1]) > 0 {
				t.Errorf("record %d with hash %s went to %s", i, hash, *r.ShardId)
			}
			if got := s.Kinesis().Stream("s").ShardFor(fmt.Sprintf("k%03d", i)); got != *r.ShardId {
				t.Errorf("ShardFor says %s, the answer %s", got, *r.ShardId)
			}
		}
		last := list.Shards[shards-1]
		explicit := kinesisEntries(1, 1)
		explicit[0].ExplicitHashKey = last.HashKeyRange.StartingHashKey
		out, err = client.PutRecords(ctx, putRecords("s", explicit...))
		noError(t, err)
		if *out.Records[0].ShardId != *last.ShardId {
			t.Errorf("explicit hash key of %s went to %s", *last.ShardId, *out.Records[0].ShardId)
		}
	}
}

func TestReadKinesisBack(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 3}})
	client, ctx := kinesisClient(t, s), testContext(t)
	for i := range 4 {
		entries := kinesisEntries(100, 1)
		for j := range entries {
			entries[j].Data = fmt.Appendf(nil, "%d-%d\x00\xff", i, j)
		}
		_, err := client.PutRecords(ctx, putRecords("s", entries...))
		noError(t, err)
	}
	got := make(map[string]string)
	for _, shardID := range s.Kinesis().Stream("s").ShardIDs() {
		it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: ptr("s"), ShardId: &shardID, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		noError(t, err)
		next, previous := it.ShardIterator, ""
		for {
			out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: ptr(int32(30))})
			noError(t, err)
			if len(out.Records) == 0 {
				break
			}
			for _, r := range out.Records {
				if *r.SequenceNumber <= previous {
					t.Errorf("sequence number %s after %s", *r.SequenceNumber, previous)
				}
				previous = *r.SequenceNumber
				got[string(r.Data)] = *r.PartitionKey
			}
			next = out.NextShardIterator
		}
	}
	for i := range 4 {
		for j := range 100 {
			if key := got[fmt.Sprintf("%d-%d\x00\xff", i, j)]; key != fmt.Sprintf("k%03d", j) {
				t.Fatalf("record %d-%d came back with key %q", i, j, key)
			}
		}
	}
	if records := s.Kinesis().Stream("s").Records(); len(records) != 400 || records[0].ShardID != "shardId-000000000000" {
		t.Errorf("%d records, the first %+v", len(records), records[0])
	}
}

func TestShardIterators(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	s := start(t, Config{KinesisStreams: map[string]int{"s": 1}, Now: func() time.Time { return now }})
	client, ctx := kinesisClient(t, s), testContext(t)
	var numbers []string
	began := now
	for range 3 {
		out, err := client.PutRecords(ctx, putRecords("s", kinesisEntries(1, 1)...))
		noError(t, err)
		numbers = append(numbers, *out.Records[0].SequenceNumber)
		now = now.Add(time.Minute)
	}
	shard := "shardId-000000000000"
	tests := []struct {
		kind  types.ShardIteratorType
		at    *string
		when  *time.Time
		count int
	}{
		{types.ShardIteratorTypeTrimHorizon, nil, nil, 3},
		{types.ShardIteratorTypeLatest, nil, nil, 0},
		{types.ShardIteratorTypeAtSequenceNumber, &numbers[1], nil, 2},
		{types.ShardIteratorTypeAfterSequenceNumber, &numbers[1], nil, 1},
		{types.ShardIteratorTypeAtTimestamp, nil, ptr(began.Add(time.Minute)), 2},
	}
	for _, tt := range tests {
		it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: ptr("s"), ShardId: &shard, ShardIteratorType: tt.kind, StartingSequenceNumber: tt.at, Timestamp: tt.when})
		noError(t, err)
		out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
		noError(t, err)
		if len(out.Records) != tt.count {
			t.Errorf("%s: %d records, want %d", tt.kind, len(out.Records), tt.count)
		}
	}
	for _, tt := range []struct {
		in   kinesis.GetShardIteratorInput
		want string
	}{
		{kinesis.GetShardIteratorInput{ShardId: ptr("shardId-000000000009"), ShardIteratorType: "LATEST"}, "ResourceNotFoundException"},
		{kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: "NEXT"}, validation},
		{kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: "AT_TIMESTAMP"}, invalidArgument},
		{kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: "AT_SEQUENCE_NUMBER"}, invalidArgument},
	} {
		tt.in.StreamName = ptr("s")
		_, err := client.GetShardIterator(ctx, &tt.in)
		wantCode(t, string(tt.in.ShardIteratorType), err, tt.want)
	}
	for iterator, want := range map[string]string{"x": invalidArgument, "YXxifGM=": invalidArgument, "YQ==": invalidArgument} {
		_, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: &iterator})
		wantCode(t, iterator, err, want)
	}
	_, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: ptr("x"), Limit: ptr(int32(10_001))})
	wantCode(t, "limit", err, validation)
}

func TestKinesisStreams(t *testing.T) {
	s := start(t, Config{})
	client, ctx := kinesisClient(t, s), testContext(t)
	long := func(n int) string { return strings.Repeat("n", n) }
	for _, tt := range []struct {
		in   kinesis.CreateStreamInput
		want string
	}{
		{kinesis.CreateStreamInput{StreamName: ptr("a"), ShardCount: ptr(int32(3))}, ""},
		{kinesis.CreateStreamInput{StreamName: ptr("a"), ShardCount: ptr(int32(1))}, "ResourceInUseException"},
		{kinesis.CreateStreamInput{StreamName: ptr("b"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}}, ""},
		{kinesis.CreateStreamInput{StreamName: ptr("c")}, validation},
		{kinesis.CreateStreamInput{StreamName: ptr("d"), ShardCount: ptr(int32(0))}, validation},
		{kinesis.CreateStreamInput{StreamName: ptr("e f"), ShardCount: ptr(int32(1))}, validation},
		{kinesis.CreateStreamInput{StreamName: ptr(long(128)), ShardCount: ptr(int32(1))}, ""},
		{kinesis.CreateStreamInput{StreamName: ptr(long(129)), ShardCount: ptr(int32(1))}, validation},
		{kinesis.CreateStreamInput{StreamName: ptr("g"), ShardCount: ptr(int32(1)), MaxRecordSizeInKiB: ptr(int32(1023))}, validation},
	} {
		_, err := client.CreateStream(ctx, &tt.in)
		wantCode(t, *tt.in.StreamName, err, tt.want)
	}
	for name, want := range map[string][2]any{"a": {int32(3), types.StreamModeProvisioned}, "b": {int32(onDemandShards), types.StreamModeOnDemand}} {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		noError(t, err)
		d := out.StreamDescriptionSummary
		if *d.OpenShardCount != want[0] || d.StreamModeDetails.StreamMode != want[1] || d.StreamStatus != types.StreamStatusActive || *d.MaxRecordSizeInKiB != 1024 || time.Since(*d.StreamCreationTimestamp) > time.Minute {
			t.Errorf("%s is %+v", name, d)
		}
	}
	var ids []string
	for in := (&kinesis.ListShardsInput{StreamName: ptr("a"), MaxResults: ptr(int32(2))}); ; {
		out, err := client.ListShards(ctx, in)
		noError(t, err)
		for _, sh := range out.Shards {
			ids = append(ids, *sh.ShardId)
		}
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
	if fmt.Sprint(ids) != "[shardId-000000000000 shardId-000000000001 shardId-000000000002]" {
		t.Errorf("shards %q", ids)
	}
	for name, bad := range map[string]kinesis.ListShardsInput{
		"token and name": {NextToken: ptr("YXxi"), StreamName: ptr("a")},
		"bad token":      {NextToken: ptr("YQ==")},
	} {
		_, err := client.ListShards(ctx, &bad)
		wantCode(t, name, err, invalidArgument)
	}
	_, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: ptr("a"), MaxResults: ptr(int32(0))})
	wantCode(t, "no results", err, validation)
	_, err = client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: ptr("a")})
	noError(t, err)
	_, err = client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: ptr("a")})
	wantCode(t, "deleted", err, "ResourceNotFoundException")
	if err := s.Kinesis().CreateStream("b", 1); err == nil {
		t.Error("a stream was made twice")
	}
	if st := s.Kinesis().Stream("a"); st.Len() != 0 || st.Records() != nil || st.ShardIDs() != nil {
		t.Error("a stream that does not exist is not empty")
	}
	s.Kinesis().DeleteStream("b")
	if s.Kinesis().Stream("b") != nil {
		t.Error("stream b was not deleted")
	}
}

func TestShardThroughput(t *testing.T) {
	now := time.Now()
	s := start(t, Config{KinesisStreams: map[string]int{"s": 2}, ShardRecordsPerSecond: 10, ShardBytesPerSecond: 1000, Now: func() time.Time { return now }})
	client, ctx := kinesisClient(t, s), testContext(t)
	entry := func(hash string, size int) types.PutRecordsRequestEntry {
		return types.PutRecordsRequestEntry{Data: []byte(strings.Repeat("x", size-1)), PartitionKey: ptr("k"), ExplicitHashKey: &hash}
	}
	const second = "340282366920938463463374607431768211455"
	put := func(entries ...types.PutRecordsRequestEntry) (failed []int) {
		t.Helper()
		out, err := client.PutRecords(ctx, putRecords("s", entries...))
		noError(t, err)
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				failed = append(failed, i)
				if *r.ErrorCode != "ProvisionedThroughputExceededException" || !strings.Contains(*r.ErrorMessage, "Rate exceeded for shard shardId-00000000000") {
					t.Errorf("entry %d: %s %s", i, *r.ErrorCode, *r.ErrorMessage)
				}
			}
		}
		if int(*out.FailedRecordCount) != len(failed) {
			t.Errorf("FailedRecordCount %d, %d entries failed", *out.FailedRecordCount, len(failed))
		}
		return failed
	}
	var twelve []types.PutRecordsRequestEntry
	for range 12 {
		twelve = append(twelve, entry("0", 2))
	}
	if got := put(append(twelve, entry(second, 2))...); fmt.Sprint(got) != "[10 11]" {
		t.Errorf("of 12 records to one shard and 1 to another, %v failed", got)
	}
	now = now.Add(time.Second)
	if got := put(entry("0", 600), entry("0", 600), entry("0", 400)); fmt.Sprint(got) != "[1]" {
		t.Errorf("of 600, 600 and 400 bytes, %v failed", got)
	}
	if got := s.Kinesis().Stream("s").Len(); got != 13 {
		t.Errorf("%d records, want 13", got)
	}
}

func TestDryRun(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 1}})
	in := putRecords("s", kinesisEntries(1, 1)...)
	in.DryRun = aws.Bool(true)
	_, err := kinesisClient(t, s).PutRecords(testContext(t), in)
	wantCode(t, "dry run", err, "DryRunOperationException")
	if s.Kinesis().Total() != 0 {
		t.Error("a dry run left a record")
	}
}
