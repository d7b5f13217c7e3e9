package awsx

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	fhtypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	targetPutLogEvents   = "Logs_20140328.PutLogEvents"
	targetPutRecords     = "Kinesis_20131202.PutRecords"
	targetPutRecordBatch = "Firehose_20150804.PutRecordBatch"
)

// PutLogEvents sends a ready body, the whole JSON of the request, to CloudWatch
// Logs. group and stream are the names in it. When it returns, nothing reads the
// body any more.
//
// The error is for Classify; errors.As finds the SDK's types, as
// *types.InvalidSequenceTokenException with the expected token.
func PutLogEvents(ctx context.Context, c *LogsClient, group, stream string, body *Body, opts ...BodyOption) (LogEventsAnswer, error) {
	var a LogEventsAnswer
	err := (&call{
		service: cloudwatchlogs.ServiceID, operation: "PutLogEvents",
		key: routeKey{target: targetPutLogEvents}, body: body, opts: opts, means: c.means,
		read: func(resp *http.Response, data []byte) (err error) {
			if len(data) == 0 && resp.Header.Get("X-Amzn-Requestid") != "" {
				return nil // the service's, though without a word
			}
			a, err = parseLogEventsAnswer(data)
			return err
		},
		sdk: func(client aws.HTTPClient, ready *readyBody, hook *answerHook) error {
			in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String(group), LogStreamName: aws.String(stream), LogEvents: []cwtypes.InputLogEvent{}}
			_, err := c.PutLogEvents(ctx, in, func(o *cloudwatchlogs.Options) {
				o.APIOptions = append(o.APIOptions, ready.add, hook.add)
				if client != nil {
					o.HTTPClient = client
				}
			})
			return err
		},
	}).do(ctx, &cloudwatchlogs.PutLogEventsOutput{})
	return a, err
}

// PutRecords sends a ready body of the given number of records to Kinesis Data
// Streams, JSON or, with option CBOR, that. stream is the name or the ARN in it. When it returns, nothing reads
// the body any more.
func PutRecords(ctx context.Context, c *KinesisClient, stream string, records int, body *Body, opts ...BodyOption) (RecordsAnswer, error) {
	var a RecordsAnswer
	err := (&call{
		service: kinesis.ServiceID, operation: "PutRecords",
		key: routeKey{targetPutRecords, stream}, body: body, opts: opts, means: c.means,
		read: func(_ *http.Response, data []byte) (err error) {
			parse := parseRecordsAnswer
			if isCBOR(data) {
				parse = parseRecordsCBOR
			}
			a, err = parse(data, records, kinesisFormat)
			return err
		},
		sdk: func(client aws.HTTPClient, ready *readyBody, hook *answerHook) error {
			in := &kinesis.PutRecordsInput{Records: []ktypes.PutRecordsRequestEntry{}}
			if strings.HasPrefix(stream, "arn:") {
				in.StreamARN = aws.String(stream) // the endpoint rules may look at it
			} else {
				in.StreamName = aws.String(stream)
			}
			_, err := c.PutRecords(ctx, in, func(o *kinesis.Options) {
				o.APIOptions = append(o.APIOptions, ready.add, hook.add)
				if client != nil {
					o.HTTPClient = client
				}
			})
			return err
		},
	}).do(ctx, &kinesis.PutRecordsOutput{})
	return a, err
}

// PutRecordBatch sends a ready body of the given number of records to Data
// Firehose. stream is the delivery stream's name. When it returns, nothing reads
// the body any more.
func PutRecordBatch(ctx context.Context, c *FirehoseClient, stream string, records int, body *Body, opts ...BodyOption) (RecordsAnswer, error) {
	var a RecordsAnswer
	err := (&call{
		service: firehose.ServiceID, operation: "PutRecordBatch",
		key: routeKey{target: targetPutRecordBatch}, body: body, opts: opts, means: c.means,
		read: func(_ *http.Response, data []byte) (err error) {
			a, err = parseRecordsAnswer(data, records, firehoseFormat)
			return err
		},
		sdk: func(client aws.HTTPClient, ready *readyBody, hook *answerHook) error {
			in := &firehose.PutRecordBatchInput{DeliveryStreamName: aws.String(stream), Records: []fhtypes.Record{}}
			_, err := c.PutRecordBatch(ctx, in, func(o *firehose.Options) {
				o.APIOptions = append(o.APIOptions, ready.add, hook.add)
				if client != nil {
					o.HTTPClient = client
				}
			})
			return err
		},
	}).do(ctx, &firehose.PutRecordBatchOutput{})
	return a, err
}

// called ends a call: it takes the body back, and notes on an error whether the
// service can have got all of it. The SDK forgets that when a deadline ends the call.
func called(body *Body, err error) error {
	body.Detach()
	if err == nil || body.whole() || answerOf(err).Status != 0 {
		return err
	}
	return &SendError{Err: err, NotSent: true}
}
