package firehose

import (
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records/recordstest"
)

func TestMain(m *testing.M) { recordstest.Main(m) }

// subject is this plugin to the tests that it shares with kinesis.
var subject = &recordstest.Subject{
	Name:      "firehose",
	Operation: "PutRecordBatch",
	Options:   []string{"delivery_stream", "s"},
	Open: func(env delivery.Env, get options.Getter) (recordstest.Plugin, error) {
		return New(env, get)
	},
	Newline:     true,
	CallBytes:   maxBytes,
	RecordBytes: maxRecordBytes,
	Received: func(srv *awslocal.Server, stream string) (all []recordstest.Record) {
		for _, r := range srv.Firehose().Stream(stream).Records() {
			all = append(all, recordstest.Record{Data: string(r)})
		}
		return all
	},
	FailedCount: "FailedPutCount", Responses: "RequestResponses", ID: "RecordId",
	Throttled: "ServiceUnavailableException",
	Later: []string{"AccessDeniedException", "ResourceNotFoundException", "InvalidSourceException", "InvalidKMSResourceException",
		"UnknownOperationException"},
}

func TestStreamsByTag(t *testing.T) { subject.StreamsByTag(t) }
func TestForm(t *testing.T)         { subject.Form(t) }
func TestTooBig(t *testing.T)       { subject.TooBig(t) }
func TestDeadLetters(t *testing.T)  { subject.DeadLetters(t) }
func TestLimits(t *testing.T)       { subject.Limits(t) }
func TestDelivery(t *testing.T)     { subject.Delivery(t) }
func TestShare(t *testing.T)        { subject.Share(t) }
func TestAccess(t *testing.T)       { subject.Access(t) }
