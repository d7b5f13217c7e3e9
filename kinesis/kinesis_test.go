package kinesis

import (
	"cmp"
	"slices"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records/recordstest"
)

func TestMain(m *testing.M) { recordstest.Main(m) }

// subject is this plugin to the tests that it shares with firehose.
var subject = &recordstest.Subject{
	Name:      "kinesis",
	Operation: "PutRecords",
	Options:   []string{"stream", "s", "request_format", "cbor"},
	Open: func(env delivery.Env, get options.Getter) (recordstest.Plugin, error) {
		return New(env, get)
	},
	Keys:        true,
	CallBytes:   maxBytes,
	RecordBytes: recordBytes,
	Received: func(srv *awslocal.Server, stream string) []recordstest.Record {
		return received(srv.Kinesis().Stream(stream))
	},
	Deaggregate: func(t testing.TB, r recordstest.Record) (data []string) {
		users, err := deaggregate(sentRecord{key: r.Key, data: r.Data})
		if err != nil {
			t.Fatalf("cannot de-aggregate: %v", err)
		}
		for _, u := range users {
			data = append(data, u.data)
		}
		return data
	},
	FailedCount: "FailedRecordCount", Responses: "Records", ID: "SequenceNumber",
	Throttled: "ProvisionedThroughputExceededException",
	Later: []string{"AccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSAccessDeniedException",
		"KMSNotFoundException", "KMSOptInRequired", "ResourceNotFoundException", "UnknownOperationException"},
}

// received are a stream's records in the order in which they came.
func received(st *awslocal.KinesisStream) (all []recordstest.Record) {
	records := st.Records()
	slices.SortFunc(records, func(a, b awslocal.KinesisRecord) int { return cmp.Compare(a.SequenceNumber, b.SequenceNumber) })
	for _, r := range records {
		all = append(all, recordstest.Record{Key: r.PartitionKey, Data: string(r.Data), Shard: r.ShardID})
	}
	return all
}

func TestStreamsByTag(t *testing.T) { subject.StreamsByTag(t) }
func TestForm(t *testing.T)         { subject.Form(t) }
func TestTooBig(t *testing.T)       { subject.TooBig(t) }
func TestDeadLetters(t *testing.T)  { subject.DeadLetters(t) }
func TestLimits(t *testing.T)       { subject.Limits(t) }
func TestDelivery(t *testing.T)     { subject.Delivery(t) }
func TestShare(t *testing.T)        { subject.Share(t) }
func TestAccess(t *testing.T)       { subject.Access(t) }
