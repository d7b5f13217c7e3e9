package kinesis

import (
	"context"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/records"
)

// newService says how calls for a stream are made: the rest is common to Kinesis
// and Firehose.
func (p *Plugin) newService(stream string) *records.Service {
	name := "StreamName"
	if byARN(stream) {
		name = "StreamARN"
	}
	head := jsonenc.AppendQuoted([]byte(`{"`+name+`":`), stream)
	s := &records.Service{
		Delivery:    p.Delivery,
		Name:        "Kinesis Data Streams",
		Destination: stream,
		JSON:        &records.Wire{Head: append(head, `,"Records":[`...)},
		Limits:      records.Limits{Records: maxRecords, Bytes: maxBytes},
		Concurrency: p.concurrency,
		Bill:        p.bill,
		Put: func(ctx context.Context, n int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			return awsx.PutRecords(ctx, p.client, stream, n, body, opts...)
		},
		Verdict:    verdict,
		Throttled:  throttled,
		Invalidate: p.session.Invalidate,
	}
	if p.cbor {
		s.CBOR = &records.Wire{Head: records.HeadCBOR(name, stream), CBOR: true}
	}
	return s
}
