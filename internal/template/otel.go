package template

import "aws-for-fluent-bit/internal/chunk"

// otelPlace is where something of OpenTelemetry's is: among the attributes of its
// resource, its scope or the record, or else a field of these beside them, as the
// scope's name or the record's severity_text.
//
// Fluent Bit's input opentelemetry (plugins/in_opentelemetry/opentelemetry_logs.c)
// puts what records have in common into the marker that opens their group, and
// what is a record's own into its metadata.
type otelPlace struct {
	record           bool // in the record's metadata, else in the group's body
	attribute, field []string
}

// otelNames are the variables that take a key: $(otel_resource['service.name']).
var otelNames = map[string]otelPlace{
	"otel_resource": {attribute: []string{"resource", "attributes"}, field: []string{"resource"}},
	"otel_scope":    {attribute: []string{"scope", "attributes"}, field: []string{"scope"}},
	"otel_record":   {record: true, attribute: []string{"otlp", "attributes"}, field: []string{"otlp"}},
}

// at returns the place further down.
func (o otelPlace) at(keys []string) *otelPlace {
	o.attribute = append(o.attribute[:len(o.attribute):len(o.attribute)], keys...)
	o.field = append(o.field[:len(o.field):len(o.field)], keys...)
	return &o
}

func (o *otelPlace) find(in *Input) (value []byte, ok bool) {
	from := in.Group
	if o.record {
		from = in.Metadata
	}
	if from == nil {
		return nil, false
	}
	if value, ok = chunk.Lookup(from, o.attribute); ok {
		return value, true
	}
	return chunk.Lookup(from, o.field)
}
