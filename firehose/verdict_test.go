package firehose

import (
	"context"
	"testing"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// callCodes are the documented errors of PutRecordBatch.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
var callCodes = []recordstest.CallCode{
	{Status: 400, Code: "InvalidArgumentException", Action: delivery.Split},
	{Status: 400, Code: "InvalidKMSResourceException", Action: delivery.Later},
	{Status: 400, Code: "InvalidSourceException", Action: delivery.Later},
	{Status: 400, Code: "ResourceNotFoundException", Action: delivery.Later},
	{Status: 503, Code: "ServiceUnavailableException", Action: delivery.Again, Slow: true},
	{Status: 400, Code: "LimitExceededException", Action: delivery.Again, Slow: true},
}

func TestCallVerdicts(t *testing.T) {
	recordstest.CallVerdicts(t, callCodes, verdict, func(ctx context.Context, session *awsx.Session) error {
		_, err := awsx.PutRecordBatch(ctx, session.Firehose(), "s", 1, awsx.NewBody([]byte("{}")))
		return err
	})
}

func TestRecordVerdicts(t *testing.T) {
	recordstest.RecordVerdicts(t, throttled, map[string]bool{
		"ServiceUnavailableException": true,
		"ThrottlingException":         true,
	})
}
