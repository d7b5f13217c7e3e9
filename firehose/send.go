package firehose

import (
	"context"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
)

// kind says what the service is like: the rest is common to Kinesis and Firehose.
func (p *Plugin) kind(session *awsx.Session) records.Kind {
	client := session.Firehose()
	return records.Kind{
		Name:      "Data Firehose",
		Limits:    records.Limits{Records: maxRecords, Bytes: maxBytes},
		Bill:      p.newBill(),
		Verdict:   verdict,
		Throttled: throttled,
		Longest:   maxStreamName,
		Wires: func(stream string) (json, cbor *records.Wire) {
			head := append([]byte(`{"DeliveryStreamName":`), jsonenc.AppendQuoted(nil, stream)...)
			return &records.Wire{Head: append(head, `,"Records":[`...)}, nil
		},
		Put: func(ctx context.Context, stream string, n int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			return awsx.PutRecordBatch(ctx, client, stream, n, body, opts...)
		},
		Letters: delivery.LetterOutput{
			Options: map[string]string{"delivery_stream": p.Letters, "simple_aggregation": "true", "compression": "", "max_record_size": ""},
			Open:    func(env delivery.Env, get options.Getter) (delivery.Side, error) { return New(env, get) },
			Bytes:   maxRecordBytes - len("\n"),
		},
	}
}
