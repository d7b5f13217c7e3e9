//go:build cgo

package cloudwatch

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/fluent/fluent-bit-go/output"
	jsoniter "github.com/json-iterator/go"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// startSink returns the URL of a sink process, which ends with the benchmark.
func startSink(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sinkEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(addr)
}

const benchRecords = 1000

// BenchmarkFlush is the whole way from a chunk of 1,000 records to the answer of
// PutLogEvents: this plugin's, and that of fluent-bit-go's decoder with
// json-iterator's Marshal and the SDK's own serializer.
func BenchmarkFlush(b *testing.B) {
	url := startSink(b)
	chunk := kubernetesChunk(benchRecords)
	measure := func(b *testing.B, flush func() error) { recordstest.Measure(b, len(chunk), benchRecords, flush) }
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
		measure(b, func() error { return flushWithSDK(client, chunk) })
	})
}

// flushWithSDK does what a plugin does that is written with fluent-bit-go,
// json-iterator and the SDK alone.
func flushWithSDK(client *cloudwatchlogs.Client, chunk []byte) error {
	dec := output.NewDecoder(unsafe.Pointer(&chunk[0]), len(chunk))
	json := jsoniter.ConfigCompatibleWithStandardLibrary
	var events []types.InputLogEvent
	for {
		ret, ts, record := output.GetRecord(dec)
		if ret != 0 {
			break
		}
		text, err := json.Marshal(stringsOf(record))
		if err != nil {
			return err
		}
		when := time.Now()
		if t, ok := ts.(output.FLBTime); ok {
			when = t.Time
		}
		events = append(events, types.InputLogEvent{Message: aws.String(string(text)), Timestamp: aws.Int64(when.UnixMilli())})
	}
	if len(events) != benchRecords {
		return fmt.Errorf("decoded %d records", len(events))
	}
	_, err := client.PutLogEvents(context.Background(), &cloudwatchlogs.PutLogEventsInput{
		LogGroupName: aws.String("group"), LogStreamName: aws.String("stream"), LogEvents: events})
	return err
}

// stringsOf makes strings of the decoder's byte slices, which would be written
// as base64.
func stringsOf(m map[any]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		key := fmt.Sprint(k)
		if b, ok := k.([]byte); ok {
			key = string(b)
		}
		switch v := v.(type) {
		case []byte:
			out[key] = string(v)
		case map[any]any:
			out[key] = stringsOf(v)
		default:
			out[key] = v
		}
	}
	return out
}
