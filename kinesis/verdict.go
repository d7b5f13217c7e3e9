package kinesis

import (
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// actions are the error codes of PutRecords that ask for something else here
// than what awsx makes of them for every service.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
// https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html
var actions = map[string]delivery.Action{
	"InvalidAction":             delivery.Later, // the endpoint is not Kinesis
	"UnknownOperationException": delivery.Later,

	// Of the way that the request took, not of what is in it.
	"RequestAbortedException":       delivery.Again,
	"MalformedHttpRequestException": delivery.Again,
}

func verdict(err error) delivery.Verdict { return awsx.Verdict(err, actions) }

// throttled says whether the code of a refused record means that its shard is
// at its limit. The other one that is documented is InternalFailure.
func throttled(code string) bool { return awsx.ClassOf(code) == awsx.Throttled }
