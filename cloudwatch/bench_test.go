package cloudwatch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// BenchmarkFlush is the whole way from a chunk of 1,000 records to the answer of
// PutLogEvents: this plugin's, and that of fluent-bit-go's decoder with
// json-iterator's Marshal and the SDK's own serializer.
func BenchmarkFlush(b *testing.B) {
	url := recordstest.StartSink(b)
	chunk := kubernetesChunk(recordstest.BenchRecords)
	measure := func(b *testing.B, flush func() error) {
		recordstest.Measure(b, len(chunk), recordstest.BenchRecords, flush)
	}
	for name, compression := range map[string]string{"plugin": "none", "plugin,gzip": "gzip"} {
		b.Run(name, func(b *testing.B) {
			env := quietEnv()
			p, err := New(env, optionsOf(map[string]string{"region": "us-east-2", "endpoint": url,
				"log_group_name": "group", "log_stream_name": "stream", "request_compression": compression}))
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			measure(b, func() error {
				if r := p.Flush(delivery.Chunk{Tag: "tag", Data: chunk}); r != delivery.OK {
					return fmt.Errorf("got %v", r)
				}
				return nil
			})
			b.ReportMetric(float64(env.Counters.Get(delivery.Bytes))/float64(env.Counters.Get(delivery.Sent)), "sent-B/record")
		})
	}
	b.Run("sdk", func(b *testing.B) {
		session, err := awsx.Load(context.Background(), awsx.Options{Region: "us-east-2", Endpoint: url})
		if err != nil {
			b.Fatal(err)
		}
		defer session.Close()
		client := session.CloudWatchLogs()
		measure(b, func() error { return flushWithSDK(client.Client, chunk) })
	})
}

// flushWithSDK does what a plugin does that is written with fluent-bit-go,
// json-iterator and the SDK alone.
func flushWithSDK(client *cloudwatchlogs.Client, chunk []byte) error {
	var events []types.InputLogEvent
	err := recordstest.DecodeWithSDK(chunk, func(at time.Time, text []byte) error {
		events = append(events, types.InputLogEvent{Message: aws.String(string(text)), Timestamp: aws.Int64(at.UnixMilli())})
		return nil
	})
	if err != nil {
		return err
	}
	_, err = client.PutLogEvents(context.Background(), &cloudwatchlogs.PutLogEventsInput{
		LogGroupName: aws.String("group"), LogStreamName: aws.String("stream"), LogEvents: events})
	return err
}
