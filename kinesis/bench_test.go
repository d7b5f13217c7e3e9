package kinesis

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// sdkClient is a client with the SDK's own serializer.
func sdkClient(t testing.TB, url string) *sdk.Client {
	session, err := awsx.Load(context.Background(), awsx.Options{Region: "us-east-1", Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session.Kinesis()
}

func TestBodies(t *testing.T) {
	subject.Bodies(t, func(url string, texts, keys []string) error {
		var entries []types.PutRecordsRequestEntry
		for i := range texts {
			entries = append(entries, types.PutRecordsRequestEntry{Data: []byte(texts[i]), PartitionKey: &keys[i]})
		}
		_, err := sdkClient(t, url).PutRecords(context.Background(), &sdk.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
		return err
	})
}

// The way of a record allocates nothing; what is allocated is for the flush and
// its call.
func TestRecordsDoNotAllocate(t *testing.T) {
	if recordstest.Race {
		t.Skip("the race detector allocates")
	}
	for _, opts := range [][]string{
		nil,
		{"partition_key", "kubernetes->pod_name", "replace_dots", "_", "data_keys", "log,kubernetes", "time_key", "t", "append_newline", "true"},
		{"stream", "$(tag[0]|none)", "partition_key", "$(kubernetes['pod_name'])-$(tag)-$(time:%H%M%S)-$(none|x)"},
		{"log_key", "log"},
		{"compression", "gzip"},
		{"compression", "zstd"},
		{"aggregation", "true"},
		{"aggregation", "true", "partition_key", "stream"},
		{"simple_aggregation", "true", "compression", "snappy"},
	} {
		srv := subject.Serve(t, awslocal.Config{Discard: true, KeepRequests: -1})
		p, err := New(delivery.Env{}, subject.Getter(append([]string{"endpoint", srv.URL}, opts...)...))
		if err != nil {
			t.Fatal(err)
		}
		recordstest.WantNoAllocs(t, fmt.Sprint(opts), p)
		p.Close()
	}
}

func BenchmarkFlush(b *testing.B) {
	subject.BenchmarkFlush(b, []recordstest.Variant{
		{Name: "plugin"},
		{Name: "plugin,partition_key", Options: []string{"partition_key", "kubernetes->pod_name"}},
		{Name: "plugin,aggregation", Options: []string{"aggregation", "true"}},
		{Name: "plugin,gzip", Options: []string{"compression", "gzip"}},
	}, func(url string) func([][]byte) error {
		client := sdkClient(b, url)
		return func(texts [][]byte) error {
			entries := make([]types.PutRecordsRequestEntry, len(texts))
			for i, text := range texts {
				entries[i] = types.PutRecordsRequestEntry{Data: text, PartitionKey: aws.String(fmt.Sprintf("%08x", i))}
			}
			_, err := client.PutRecords(context.Background(), &sdk.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
			return err
		}
	})
}
