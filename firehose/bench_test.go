package firehose

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

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
	return session.Firehose()
}

func TestBodies(t *testing.T) {
	subject.Bodies(t, func(url string, texts, _ []string) error {
		var entries []types.Record
		for i := range texts {
			entries = append(entries, types.Record{Data: []byte(texts[i])})
		}
		_, err := sdkClient(t, url).PutRecordBatch(context.Background(), &sdk.PutRecordBatchInput{DeliveryStreamName: aws.String("s"), Records: entries})
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
		{"replace_dots", "_", "data_keys", "log,kubernetes", "time_key", "t"},
		{"delivery_stream", "$(tag[0]|none)"},
		{"log_key", "log"},
		{"compression", "gzip"},
		{"compression", "zlib"},
		{"simple_aggregation", "true"},
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
		{Name: "plugin,simple_aggregation", Options: []string{"simple_aggregation", "true"}},
		{Name: "plugin,gzip", Options: []string{"compression", "gzip"}},
	}, func(url string) func([][]byte) error {
		client := sdkClient(b, url)
		return func(texts [][]byte) error {
			entries := make([]types.Record, len(texts))
			for i, text := range texts {
				entries[i] = types.Record{Data: text}
			}
			_, err := client.PutRecordBatch(context.Background(), &sdk.PutRecordBatchInput{DeliveryStreamName: aws.String("s"), Records: entries})
			return err
		}
	})
}
