package kinesis

import (
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// actions are the error codes of PutRecords that ask for something else here
// than what awsx makes of them for every service.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
var actions = map[string]delivery.Action{
	"InvalidAction":             delivery.Later, // the endpoint is not Kinesis
	"UnknownOperationException": delivery.Later,
}

// recordActions are the error codes of single records. Both that are documented
// pass.
var recordActions = map[string]delivery.Action{
	"ProvisionedThroughputExceededException": delivery.Again,
	"InternalFailure":                        delivery.Again,
}

func verdict(err error) delivery.Verdict { return awsx.Verdict(err, actions) }

func recordVerdict(code string) delivery.Verdict { return awsx.RecordVerdict(code, recordActions) }
