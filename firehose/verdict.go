package firehose

import (
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// actions are the error codes of PutRecordBatch that ask for something else here
// than what awsx makes of them for every service.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
// https://docs.aws.amazon.com/firehose/latest/APIReference/CommonErrors.html
var actions = map[string]delivery.Action{
	"InvalidSourceException":    delivery.Later, // the delivery stream reads from Kinesis or MSK
	"InvalidAction":             delivery.Later, // the endpoint is not Firehose
	"UnknownOperationException": delivery.Later,

	// Of the way that the request took, not of what is in it.
	"RequestAbortedException":       delivery.Again,
	"MalformedHttpRequestException": delivery.Again,
}

func verdict(err error) delivery.Verdict {
	v := awsx.Verdict(err, actions)
	v.Slow = v.Slow || awsx.Classify(err).Code == unavailable
	return v
}

// throttled says whether the code of a refused record means that the delivery
// stream is at its limit. The other one that is documented is InternalFailure.
func throttled(code string) bool {
	return code == unavailable || awsx.ClassOf(code) == awsx.Throttled
}

// unavailable is the code by which Firehose holds its callers back: the quotas
// of a delivery stream show as this one, for a call and for a record.
const unavailable = "ServiceUnavailableException"
