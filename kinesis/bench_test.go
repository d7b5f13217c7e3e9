package kinesis

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"aws-for-fluent-bit/internal/records/recordstest"
)

func TestBodies(t *testing.T) {
	subject.Bodies(t, func(url string, texts, keys []string) error {
		var entries []types.PutRecordsRequestEntry
		for i := range texts {
			entries = append(entries, types.PutRecordsRequestEntry{Data: []byte(texts[i]), PartitionKey: &keys[i]})
		}
		_, err := recordstest.Session(t, url).Kinesis().PutRecords(context.Background(), &sdk.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
		return err
	})
}

func TestWaitingFlushes(t *testing.T) { subject.WaitingFlushes(t) }

func TestRecordsDoNotAllocate(t *testing.T) {
	subject.DoNotAllocate(t,
		nil,
		[]string{"partition_key", "kubernetes->pod_name", "replace_dots", "_", "data_keys", "log,kubernetes", "time_key", "t", "append_newline", "true"},
		[]string{"stream", "$(tag[0]|none)", "partition_key", "$(kubernetes['pod_name'])-$(tag)-$(time:%H%M%S)-$(none|x)"},
		[]string{"log_key", "log"},
		[]string{"compression", "gzip"},
		[]string{"compression", "zstd"},
		[]string{"aggregation", "true"},
		[]string{"aggregation", "true", "partition_key", "stream"},
		[]string{"simple_aggregation", "true", "compression", "snappy"},
	)
}

func BenchmarkFlush(b *testing.B) {
	subject.BenchmarkFlush(b, []recordstest.Variant{
		{Name: "plugin"},
		{Name: "plugin,partition_key", Options: []string{"partition_key", "kubernetes->pod_name"}},
		{Name: "plugin,aggregation", Options: []string{"aggregation", "true"}},
		{Name: "plugin,gzip", Options: []string{"compression", "gzip"}},
	}, func(url string) func([][]byte) error {
		client := recordstest.Session(b, url).Kinesis()
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
