package kinesis

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
	client := session.Kinesis()
	endpoint := client.Options().BaseEndpoint
	inCBOR := p.format == "cbor" || p.format == "auto" && (endpoint == nil || awsx.IsAWS(*endpoint))
	return records.Kind{
		Name:      "Kinesis Data Streams",
		Limits:    records.Limits{Records: maxRecords, Bytes: maxBytes},
		Bill:      p.newBill(),
		Verdict:   verdict,
		Throttled: throttled,
		Longest:   maxStreamName,
		Wires: func(stream string) (json, cbor *records.Wire) {
			name := "StreamName"
			if byARN(stream) {
				name = "StreamARN"
			}
			head := jsonenc.AppendQuoted([]byte(`{"`+name+`":`), stream)
			json = &records.Wire{Head: append(head, `,"Records":[`...)}
			if inCBOR {
				cbor = &records.Wire{Head: records.HeadCBOR(name, stream), CBOR: true}
			}
			return json, cbor
		},
		Put: func(ctx context.Context, stream string, n int, body *awsx.Body, opts ...awsx.BodyOption) (awsx.RecordsAnswer, error) {
			return awsx.PutRecords(ctx, client, stream, n, body, opts...)
		},
		Letters: delivery.LetterOutput{
			Options: map[string]string{"stream": p.Letters, "partition_key": "", "aggregation": "", "simple_aggregation": "", "compression": "", "max_record_size": ""},
			Open:    func(env delivery.Env, get options.Getter) (delivery.Side, error) { return New(env, get) },
			Bytes:   recordBytes - 4*maxKeyChars,
		},
	}
}
