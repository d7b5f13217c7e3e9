package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	fhtypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// cannotCheck is printed when all tests have run: what the stand-ins do in
// another way than the services, and what therefore only internal/awslocal and
// AWS itself can check. A row with a probe is held against the stand-in.
var cannotCheck struct {
	sync.Mutex
	rows []string
}

// never are those that cannot be probed: it takes an order that no stand-in takes.
var never = []string{
	"all: throttling, 5xx answers, slow answers and broken connections",
	"all: some of a call's records refused (moto and kinesalite answer FailedRecordCount and FailedPutCount with 0, always)",
	"all: credentials that are refused or run out, and access denied",
	"all: quotas of an account, shards that are split under load, buffering and file formats of Firehose",
	"CloudWatch Logs: rejectedLogEventsInfo for a retention time; embedded metrics being taken out",
}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(cannotCheck.rows) > 0 {
		fmt.Println("\nwhat the stand-ins cannot check:")
		for _, r := range append(cannotCheck.rows, never...) {
			fmt.Println("  " + r)
		}
	}
	os.Exit(code)
}

// lacks notes a row if the stand-in still does what it should not. If it no
// longer does, the row has to go, and a test can check the real thing.
func lacks(t *testing.T, standIn, what string, err error, still bool) {
	t.Helper()
	if !still {
		t.Errorf("%s: %s: it now behaves (%v): take the row out, and have it check that", standIn, what, err)
		return
	}
	cannotCheck.Lock()
	defer cannotCheck.Unlock()
	row := standIn + ": " + what
	if err != nil {
		row += fmt.Sprintf(" [%.120s]", lastLine(err))
	}
	cannotCheck.rows = append(cannotCheck.rows, row)
}

func lastLine(err error) string {
	s := err.Error()
	return s[strings.LastIndex(s, ", ")+1:]
}

// wrongKey signs with a secret that nobody has.
func wrongKey() aws.Config {
	c := plain()
	c.Credentials = credentials.NewStaticCredentialsProvider(accessKey, "wrong", "")
	return c
}

func events(n, size int, begin, step int64) (list []cwtypes.InputLogEvent) {
	text := strings.Repeat("x", size)
	for i := range n {
		list = append(list, cwtypes.InputLogEvent{Message: &text, Timestamp: aws.Int64(begin + int64(i)*step)})
	}
	return list
}

func TestWhatMotoCannotCheckOfLogs(t *testing.T) {
	moto := startMoto(t)
	ctx := testContext(t)
	client := func(config aws.Config) *cloudwatchlogs.Client {
		return cloudwatchlogs.NewFromConfig(config, func(o *cloudwatchlogs.Options) { o.BaseEndpoint = &moto })
	}
	c := client(plain())
	for _, err := range []error{
		func() error {
			_, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("g")})
			return err
		}(),
		func() error {
			_, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")})
			return err
		}(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(c *cloudwatchlogs.Client, e []cwtypes.InputLogEvent, token *string) error {
		_, err := c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
			LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: e, SequenceToken: token})
		return err
	}
	now := time.Now().UnixMilli()
	f := func(what string, err error) { t.Helper(); lacks(t, "moto, CloudWatch Logs", what, err, err == nil) }
	f("takes more than 10,000 events in a call", put(c, events(10_001, 1, now, 0), nil))
	f("takes more than 1,048,576 bytes in a call, 26 for each event counted", put(c, events(1024, 1000, now, 0), nil))
	f("takes an event of more than 1 MB", put(c, events(1, 1<<20+1, now, 0), nil))
	f("takes events 24 hours apart in a call", put(c, events(2, 10, now-25*3600_000, 25*3600_000), nil))
	f("takes an empty message", put(c, events(1, 0, now, 0), nil))
	f("takes any sequence token", put(c, events(1, 10, now, 0), aws.String("12345")))
	f("takes a wrong signature", put(client(wrongKey()), events(1, 10, now, 0), nil))

	// What it does check, so that the tests that pass with it mean something.
	if err := put(c, append(events(1, 10, now, 0), events(1, 10, now-1, 0)...), nil); err == nil {
		t.Error("moto takes events that are not in the order of time")
	}
	out, err := c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"),
		LogEvents: []cwtypes.InputLogEvent{{Message: aws.String("x"), Timestamp: aws.Int64(now - 15*24*3600_000)}}})
	if err != nil || out.RejectedLogEventsInfo == nil || out.RejectedLogEventsInfo.TooOldLogEventEndIndex == nil {
		t.Fatalf("moto says nothing of an event that is too old: %+v, %v", out, err)
	}
	end := aws.ToInt32(out.RejectedLogEventsInfo.TooOldLogEventEndIndex)
	lacks(t, "moto, CloudWatch Logs", "gives the last event that is too old, where the service gives the one behind it",
		nil, end == 0)
	var missing *cwtypes.ResourceNotFoundException
	if _, err := c.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("none"),
		LogEvents: events(1, 1, now, 0)}); !errors.As(err, &missing) {
		t.Errorf("moto takes events for a stream that is not there: %v", err)
	}
}

func TestWhatTheyCannotCheckOfKinesis(t *testing.T) {
	for _, s := range []struct {
		name  string
		start func(*testing.T) string
	}{{"moto, Kinesis", startMoto}, {"kinesalite", startKinesalite}} {
		t.Run(s.name, func(t *testing.T) {
			endpoint := s.start(t)
			ctx := testContext(t)
			c := kinesisClient(t, endpoint, "s")
			put := func(c *kinesis.Client, n, size int, key string) error {
				in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
				for range n {
					in.Records = append(in.Records, ktypes.PutRecordsRequestEntry{Data: bytes.Repeat([]byte("x"), size), PartitionKey: &key})
				}
				_, err := c.PutRecords(ctx, in, func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
				return err
			}
			f := func(what string, err error, still bool) { t.Helper(); lacks(t, s.name, what, err, still) }
			err := put(c, 9, 1_000_000, "k")
			f("refuses 9 MB in a call, which takes 10 MiB since 2025", err, err != nil)
			err = put(c, 1, 2<<20, "k")
			f("refuses records above 1 MiB, which a stream can be set to take", err, err != nil)
			err = put(kinesis.NewFromConfig(wrongKey(), func(o *kinesis.Options) { o.BaseEndpoint = &endpoint }), 1, 1, "k")
			f("takes a wrong signature", err, err == nil)
			_, err = c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamARN: aws.String("arn:aws:kinesis:us-east-2:123456789012:stream/s"),
				Records: []ktypes.PutRecordsRequestEntry{{Data: []byte("x"), PartitionKey: aws.String("k")}}})
			if s.name == "kinesalite" {
				f("knows no stream by its ARN", err, err != nil)
				if err := put(c, 1, 10, strings.Repeat("k", 257)); err == nil {
					t.Error("it takes a partition key of 257 characters")
				}
			} else if err != nil {
				t.Errorf("it does not know the stream by its ARN: %v", err)
			}
			if err := put(c, 501, 1, "k"); err == nil {
				t.Error("it takes 501 records in a call")
			}
		})
	}
}

func TestWhatMotoCannotCheckOfFirehose(t *testing.T) {
	moto := startMoto(t)
	ctx := testContext(t)
	c := makeDeliveryStream(t, moto, "limits")
	put := func(c *firehose.Client, n, size int) error {
		in := &firehose.PutRecordBatchInput{DeliveryStreamName: aws.String("limits")}
		for range n {
			in.Records = append(in.Records, fhtypes.Record{Data: bytes.Repeat([]byte("x"), size)})
		}
		_, err := c.PutRecordBatch(ctx, in)
		return err
	}
	f := func(what string, err error) { t.Helper(); lacks(t, "moto, Firehose", what, err, err == nil) }
	f("takes 501 records in a call", put(c, 501, 1))
	f("takes more than 4 MiB in a call", put(c, 5, 1_000_000))
	f("takes a record of more than 1,000 KiB", put(c, 1, 1_024_001))
	f("takes a wrong signature", put(firehose.NewFromConfig(wrongKey(), func(o *firehose.Options) { o.BaseEndpoint = &moto }), 1, 1))
	if _, err := c.PutRecordBatch(ctx, &firehose.PutRecordBatchInput{DeliveryStreamName: aws.String("none"),
		Records: []fhtypes.Record{{Data: []byte("x")}}}); err == nil {
		t.Error("moto takes records for a delivery stream that is not there")
	}
}

func TestWhatTheyCannotCheckOfTLS(t *testing.T) {
	moto := startMoto(t)
	ctx, cancel := context.WithTimeout(testContext(t), 10*time.Second)
	defer cancel()
	_, err := (&tls.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(moto, "http://"))
	lacks(t, "moto and kinesalite", "speak HTTP alone, as they are started here", err, err != nil)
}
