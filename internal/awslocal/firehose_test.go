package awslocal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
)

func firehoseRecords(n, size int) []types.Record {
	out := make([]types.Record, n)
	data := []byte(strings.Repeat("d", size))
	for i := range out {
		out[i].Data = data
	}
	return out
}

func putBatch(stream string, records ...types.Record) *firehose.PutRecordBatchInput {
	return &firehose.PutRecordBatchInput{DeliveryStreamName: &stream, Records: records}
}

func TestPutRecordBatchLimits(t *testing.T) {
	s := start(t, Config{DeliveryStreams: []string{"s"}})
	client, ctx := firehoseClient(t, s), testContext(t)
	const record, batch = 1_024_000, 4_194_304
	tests := []struct {
		name    string
		stream  string
		records []types.Record
		want    string
	}{
		{"no record", "s", []types.Record{}, validation},
		{"1 record", "s", firehoseRecords(1, 1), ""},
		{"499 records", "s", firehoseRecords(499, 1), ""},
		{"500 records", "s", firehoseRecords(500, 1), ""},
		{"501 records", "s", firehoseRecords(501, 1), validation},
		{"empty record", "s", firehoseRecords(1, 0), ""},
		{"1,000 KiB less 1", "s", firehoseRecords(1, record-1), ""},
		{"1,000 KiB", "s", firehoseRecords(1, record), ""},
		{"1,000 KiB and 1", "s", firehoseRecords(1, record+1), validation},
		{"4 MiB less 1", "s", append(firehoseRecords(4, record), firehoseRecords(1, batch-4*record-1)...), ""},
		{"4 MiB", "s", append(firehoseRecords(4, record), firehoseRecords(1, batch-4*record)...), ""},
		{"4 MiB and 1", "s", append(firehoseRecords(4, record), firehoseRecords(1, batch-4*record+1)...), invalidArgument},
		{"unknown stream", "none", firehoseRecords(1, 1), "ResourceNotFoundException"},
		{"bad name", "a b", firehoseRecords(1, 1), validation},
	}
	accepted := 0
	for _, tt := range tests {
		out, err := client.PutRecordBatch(ctx, putBatch(tt.stream, tt.records...))
		wantCode(t, tt.name, err, tt.want)
		if err == nil {
			accepted += len(tt.records)
			if *out.FailedPutCount != 0 || len(out.RequestResponses) != len(tt.records) || aws.ToString(out.RequestResponses[0].RecordId) == "" {
				t.Errorf("%s: %d failed, %d answered", tt.name, *out.FailedPutCount, len(out.RequestResponses))
			}
		}
	}
	if got := s.Firehose().Stream("s").Len(); got != accepted || s.Firehose().Total() != accepted {
		t.Errorf("%d records, want %d: a refused call must leave nothing", got, accepted)
	}
	for body, want := range map[string]string{
		`{"DeliveryStreamName":"s","Records":[{"Data":"YQ=="}]}`:               "",
		`{"DeliveryStreamName":"s","Records":[{}]}`:                            validation,
		`{"DeliveryStreamName":"s"}`:                                           validation,
		`{"Records":[{"Data":"YQ=="}]}`:                                        validation,
		`{"DeliveryStreamName":"s","Records":[{"Data":"Y Q="}]}`:               "SerializationException",
		`{"DeliveryStreamName":"s","Records":[{"Data":"YQ==","Data":"YQ=="}]}`: "SerializationException",
	} {
		if _, got := rawCall(t, s, "Firehose_20150804.PutRecordBatch", body, nil); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestDeliveryIntoMemory(t *testing.T) {
	s := start(t, Config{DeliveryStreams: []string{"s"}})
	client, ctx := firehoseClient(t, s), testContext(t)
	for i := range 3 {
		_, err := client.PutRecordBatch(ctx, putBatch("s", types.Record{Data: fmt.Appendf(nil, "%d-a\n", i)}, types.Record{Data: fmt.Appendf(nil, "%d-b\n", i)}))
		noError(t, err)
	}
	st := s.Firehose().Stream("s")
	data, err := st.Data()
	noError(t, err)
	if string(data) != "0-a\n0-b\n1-a\n1-b\n2-a\n2-b\n" || len(st.Records()) != 6 || st.Objects() != nil {
		t.Errorf("delivered %q", data)
	}
}

func TestDeliveryIntoFiles(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 4, 5, 59, 58, 0, time.UTC)
	s := start(t, Config{DeliveryStreams: []string{"s"}, FirehoseDir: dir, Now: func() time.Time { return now }})
	client, ctx := firehoseClient(t, s), testContext(t)
	var want []byte
	put := func(record []byte) {
		t.Helper()
		want = append(want, record...)
		_, err := client.PutRecordBatch(ctx, putBatch("s", types.Record{Data: record}))
		noError(t, err)
	}
	for i := range 12 { // more than are kept in memory
		put(fmt.Appendf(nil, "record %d\n", i))
	}
	st := s.Firehose().Stream("s")
	if n := len(st.Objects()); n != 1 {
		t.Errorf("%d objects, want 1", n)
	}
	for range 6 { // more than fits into one object
		put([]byte(strings.Repeat("x", 1_000_000)))
	}
	if n := len(st.Objects()); n != 2 {
		t.Errorf("%d objects, want 2", n)
	}
	now = now.Add(2 * time.Second) // the next hour
	put([]byte("last"))

	objects := st.Objects()
	if n := len(objects); n != 3 {
		t.Fatalf("%d objects, want 3", n)
	}
	for i, prefix := range []string{"s/2026/03/04/05/s-1-2026-03-04-05-59-58-", "s/2026/03/04/05/s-1-2026-03-04-05-59-58-", "s/2026/03/04/06/s-1-2026-03-04-06-00-00-"} {
		rel, err := filepath.Rel(dir, objects[i])
		noError(t, err)
		if !strings.HasPrefix(filepath.ToSlash(rel), prefix) {
			t.Errorf("object %q, want it to begin with %q", rel, prefix)
		}
	}
	got, err := st.Data()
	noError(t, err)
	if string(got) != string(want) {
		t.Errorf("%d bytes delivered, want %d", len(got), len(want))
	}
	if len(st.Records()) != keptBesideFiles || st.Len() != 19 {
		t.Errorf("%d records kept of %d", len(st.Records()), st.Len())
	}

	noError(t, os.Remove(objects[0]))
	if _, err := st.Data(); err == nil {
		t.Error("no error for an object that is gone")
	}
}

// TestDeliveryFails: what cannot be written is not acknowledged.
func TestDeliveryFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	noError(t, os.WriteFile(file, nil, 0o600))
	s := start(t, Config{DeliveryStreams: []string{"s"}, FirehoseDir: file})
	_, err := firehoseClient(t, s).PutRecordBatch(testContext(t), putBatch("s", firehoseRecords(1, 1)...))
	wantCode(t, "directory that is a file", err, "InternalFailure")
	if s.Firehose().Total() != 0 {
		t.Error("a record that was not written was counted")
	}
}

func TestDeliveryStreams(t *testing.T) {
	s := start(t, Config{})
	client, ctx := firehoseClient(t, s), testContext(t)
	long := func(n int) string { return strings.Repeat("n", n) }
	for _, tt := range []struct{ name, want string }{
		{"a", ""}, {"a", "ResourceInUseException"}, {"x_y-z.1", ""}, {long(63), ""}, {long(64), ""}, {long(65), validation},
		{"", validation}, {"a b", validation}, {"a/b", validation}, {"..", invalidArgument},
	} {
		_, err := client.CreateDeliveryStream(ctx, &firehose.CreateDeliveryStreamInput{DeliveryStreamName: &tt.name,
			ExtendedS3DestinationConfiguration: &types.ExtendedS3DestinationConfiguration{RoleARN: ptr("arn:r"), BucketARN: ptr("arn:b")}})
		wantCode(t, tt.name, err, tt.want)
	}
	d, err := client.DescribeDeliveryStream(ctx, &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: ptr("a")})
	noError(t, err)
	if got := d.DeliveryStreamDescription; got.DeliveryStreamStatus != types.DeliveryStreamStatusActive || *got.DeliveryStreamARN != "arn:aws:firehose:us-east-1:123456789012:deliverystream/a" {
		t.Errorf("stream a is %+v", got)
	}
	list, err := client.ListDeliveryStreams(ctx, &firehose.ListDeliveryStreamsInput{Limit: ptr(int32(3)), ExclusiveStartDeliveryStreamName: ptr("a")})
	noError(t, err)
	if len(list.DeliveryStreamNames) != 3 || *list.HasMoreDeliveryStreams {
		t.Errorf("listed %q, more: %v", list.DeliveryStreamNames, *list.HasMoreDeliveryStreams)
	}
	_, err = client.ListDeliveryStreams(ctx, &firehose.ListDeliveryStreamsInput{Limit: ptr(int32(0))})
	wantCode(t, "limit 0", err, validation)
	_, err = client.DeleteDeliveryStream(ctx, &firehose.DeleteDeliveryStreamInput{DeliveryStreamName: ptr("a")})
	noError(t, err)
	_, err = client.DeleteDeliveryStream(ctx, &firehose.DeleteDeliveryStreamInput{DeliveryStreamName: ptr("a")})
	wantCode(t, "deleted", err, "ResourceNotFoundException")
	_, err = client.DescribeDeliveryStream(ctx, &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: ptr("a")})
	wantCode(t, "deleted", err, "ResourceNotFoundException")
	if err := s.Firehose().CreateStream("x_y-z.1"); err == nil {
		t.Error("a stream was made twice")
	}
	s.Firehose().DeleteStream("x_y-z.1")
	s.Firehose().DeleteStream("x_y-z.1")
	if st := s.Firehose().Stream("x_y-z.1"); st.Len() != 0 || st.Records() != nil || st.Objects() != nil {
		t.Error("a stream that does not exist is not empty")
	}
}
