package kinesis

import (
	"context"
	"testing"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// callCodes are the documented errors of PutRecords.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
var callCodes = []recordstest.CallCode{
	{Status: 400, Code: "AccessDeniedException", Action: delivery.Later},
	{Status: 500, Code: "InternalFailureException", Action: delivery.Again},
	{Status: 400, Code: "InvalidArgumentException", Action: delivery.Split},
	{Status: 400, Code: "KMSAccessDeniedException", Action: delivery.Later},
	{Status: 400, Code: "KMSDisabledException", Action: delivery.Later},
	{Status: 400, Code: "KMSInvalidStateException", Action: delivery.Later},
	{Status: 400, Code: "KMSNotFoundException", Action: delivery.Later},
	{Status: 400, Code: "KMSOptInRequired", Action: delivery.Later},
	{Status: 400, Code: "KMSThrottlingException", Action: delivery.Again, Slow: true},
	{Status: 400, Code: "ProvisionedThroughputExceededException", Action: delivery.Again, Slow: true},
	{Status: 400, Code: "ResourceNotFoundException", Action: delivery.Later},
	{Status: 503, Code: "ServiceUnavailableException", Action: delivery.Again},
}

func TestCallVerdicts(t *testing.T) {
	recordstest.CallVerdicts(t, callCodes, verdict, func(ctx context.Context, session *awsx.Session) error {
		_, err := awsx.PutRecords(ctx, session.Kinesis(), "s", 1, awsx.NewBody([]byte("{}")))
		return err
	})
}

func TestRecordVerdicts(t *testing.T) {
	recordstest.RecordVerdicts(t, throttled, map[string]bool{
		"ProvisionedThroughputExceededException": true,
		"KMSThrottlingException":                 true,
	})
}
