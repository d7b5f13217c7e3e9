package firehose

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"aws-for-fluent-bit/internal/records/recordstest"
)

func TestBodies(t *testing.T) {
	subject.Bodies(t, func(url string, texts, _ []string) error {
		var entries []types.Record
		for i := range texts {
			entries = append(entries, types.Record{Data: []byte(texts[i])})
		}
		_, err := recordstest.Session(t, url).Firehose().PutRecordBatch(context.Background(), &sdk.PutRecordBatchInput{DeliveryStreamName: aws.String("s"), Records: entries})
		return err
	})
}

func TestWaitingFlushes(t *testing.T) { subject.WaitingFlushes(t) }

func TestRecordsDoNotAllocate(t *testing.T) {
	subject.DoNotAllocate(t,
		nil,
		[]string{"replace_dots", "_", "data_keys", "log,kubernetes", "time_key", "t"},
		[]string{"delivery_stream", "$(tag[0]|none)"},
		[]string{"log_key", "log"},
		[]string{"compression", "gzip"},
		[]string{"compression", "zlib"},
		[]string{"simple_aggregation", "true"},
		[]string{"simple_aggregation", "true", "compression", "snappy"},
	)
}

func BenchmarkFlush(b *testing.B) {
	subject.BenchmarkFlush(b, []recordstest.Variant{
		{Name: "plugin"},
		{Name: "plugin,simple_aggregation", Options: []string{"simple_aggregation", "true"}},
		{Name: "plugin,gzip", Options: []string{"compression", "gzip"}},
	}, func(url string) func([][]byte) error {
		client := recordstest.Session(b, url).Firehose()
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
