package firehose

import (
	"context"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/records"
)

// newService says how calls for a delivery stream are made: the rest is common to
// Kinesis and Firehose.
func (p *Plugin) newService(stream string) *records.Service {
	head := append([]byte(`{"DeliveryStreamName":`), jsonenc.AppendQuoted(nil, stream)...)
	head = append(head, `,"Records":[`...)
	return &records.Service{
		Delivery:    p.Delivery,
		Name:        "Data Firehose",
		Destination: stream,
		JSON:        &records.Wire{Head: head},
		Limits:      records.Limits{Records: maxRecords, Bytes: maxBytes},
		Concurrency: p.concurrency,
		Bill:        p.bill,
		Put: func(ctx context.Context, n int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			return awsx.PutRecordBatch(ctx, p.client, stream, n, body, opts...)
		},
		Verdict:    verdict,
		Throttled:  throttled,
		Invalidate: p.session.Invalidate,
	}
}
