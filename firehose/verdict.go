package firehose

import (
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// actions are the error codes of PutRecordBatch that ask for something else here
// than what awsx makes of them for every service.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
var actions = map[string]delivery.Action{
	"InvalidSourceException":    delivery.Later, // the delivery stream reads from Kinesis or MSK
	"InvalidAction":             delivery.Later, // the endpoint is not Firehose
	"UnknownOperationException": delivery.Later,
}

// recordActions are the error codes of single records. Both that are documented
// pass; ServiceUnavailableException is how Firehose says that a stream's quota
// is used up.
var recordActions = map[string]delivery.Action{
	"ServiceUnavailableException": delivery.Again,
	"InternalFailure":             delivery.Again,
}

func verdict(err error) delivery.Verdict {
	v := awsx.Verdict(err, actions)
	v.Slow = v.Slow || awsx.Classify(err).Code == throttled
	return v
}

func recordVerdict(code string) delivery.Verdict {
	v := awsx.RecordVerdict(code, recordActions)
	v.Slow = v.Slow || code == throttled
	return v
}

// throttled is the code by which Firehose holds callers back: the quotas of a
// delivery stream show as this one, for a call and for a record.
const throttled = "ServiceUnavailableException"
