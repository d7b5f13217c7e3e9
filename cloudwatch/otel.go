package cloudwatch

import (
	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
)

// otelKeys are the keys under which option otel_attributes adds to a record what
// came with it by OpenTelemetry: the names of the variables in templates.
var otelKeys = [...]struct {
	key    string
	record bool // it is in the record's own metadata, else in its group's marker
	place  []string
}{
	{"otel_resource", false, []string{"resource"}},
	{"otel_scope", false, []string{"scope"}},
	{"otel_record", true, []string{"otlp"}},
}

// withOpenTelemetry returns the record with what came with it by OpenTelemetry,
// appended to dst; for other records it returns nil.
func withOpenTelemetry(dst []byte, ev *chunk.Event) []byte {
	n, members, err := msgp.ReadMapHeaderBytes(ev.Body)
	if err != nil {
		return nil
	}
	var found [len(otelKeys)][]byte
	more := uint32(0)
	for i, k := range otelKeys {
		from := ev.GroupAttributes
		if k.record {
			from = ev.Metadata
		}
		if from == nil {
			continue
		}
		v, ok := chunk.Lookup(from, k.place)
		if size, _, err := msgp.ReadMapHeaderBytes(v); !ok || err == nil && size == 0 {
			continue
		}
		found[i] = v
		more++
	}
	if more == 0 {
		return nil
	}
	dst = msgp.AppendMapHeader(dst, n+more)
	dst = append(dst, members...)
	for i, k := range otelKeys {
		if found[i] != nil {
			dst = msgp.AppendString(dst, k.key)
			dst = append(dst, found[i]...)
		}
	}
	return dst
}
