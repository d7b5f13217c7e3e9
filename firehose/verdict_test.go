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
	recordstest.CallVerdicts(t, append(callCodes, recordstest.CallCodes...), func(url string) delivery.Verdict {
		session, err := awsx.Load(context.Background(), awsx.Options{Region: "us-east-1", Endpoint: url})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		_, err = awsx.PutRecordBatch(context.Background(), session.Firehose(), "s", 1, awsx.NewBody([]byte("{}")))
		return verdict(err)
	})
}

func TestRecordVerdicts(t *testing.T) {
	for code, want := range map[string]bool{
		"ServiceUnavailableException": true,
		"ThrottlingException":         true,
		"InternalFailure":             false,
		"NewToUs":                     false,
		awsx.CodeNoResult:             false,
	} {
		if got := throttled(code); got != want {
			t.Errorf("%s: got %v, want %v", code, got, want)
		}
	}
}
