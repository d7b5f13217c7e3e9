package cloudwatch

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// elementOf is an element of a chunk with metadata.
func elementOf(sec uint32, metadata, body any) []byte {
	c := binary.BigEndian.AppendUint32([]byte{0x92, 0x92, 0xd7, 0x00}, sec)
	c = binary.BigEndian.AppendUint32(c, 0)
	for _, v := range []any{metadata, body} {
		var err error
		if c, err = msgp.AppendIntf(c, v); err != nil {
			panic(err)
		}
	}
	return c
}

// inGroup is a chunk of one record in a group, as from Fluent Bit's input
// opentelemetry, and one outside.
func inGroup(resource, scope, own map[string]any, body any) []byte {
	c := elementOf(0xffffffff, map[string]any{"schema": "otlp"}, map[string]any{"resource": resource, "scope": scope})
	c = append(c, elementOf(uint32(now.Unix()), map[string]any{"otlp": own}, body)...)
	c = append(c, elementOf(0xfffffffe, map[string]any{}, map[string]any{})...)
	return append(c, elementOf(uint32(now.Unix()), map[string]any{}, line("outside"))...)
}

// TestOpenTelemetryNames makes names and tags of what came with a record by
// OpenTelemetry.
func TestOpenTelemetryNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_group_name", "/$(otel_resource['service.name']|none)",
		"log_stream_template", "$(otel_scope['name']|none).$(otel_record['severity_text']|none)",
		"new_log_group_tags", "team=$(otel_resource['team']|none)")
	r.flush(delivery.OK, inGroup(map[string]any{"attributes": map[string]any{"service.name": "web", "team": "blue"}}, map[string]any{"name": "lib"},
		map[string]any{"severity_text": "WARN"}, line("inside")))
	if got := r.messages("/web", "lib.WARN"); !slices.Equal(got, []string{"inside"}) {
		t.Errorf("got %q", got)
	}
	if got := r.messages("/none", "none.none"); !slices.Equal(got, []string{"outside"}) {
		t.Errorf("got %q", got)
	}
	for group, team := range map[string]string{"/web": "blue", "/none": "none"} {
		if g, _ := r.srv.Logs().Group(group); g.Tags["team"] != team {
			t.Errorf("%s has the tags %v", group, g.Tags)
		}
	}
	r.account(2, 2, 0)
}

// TestOpenTelemetryAttributes adds what came with a record to it.
func TestOpenTelemetryAttributes(t *testing.T) {
	t.Parallel()
	resource := map[string]any{"attributes": map[string]any{"service.name": "web"}}
	for _, tt := range []struct {
		opts                 string
		resource, scope, own map[string]any
		body                 any
		want                 string
	}{
		{"", resource, map[string]any{"name": "lib"}, map[string]any{"severity_text": "WARN"}, line("inside"),
			`{"log":"inside","otel_resource":{"attributes":{"service.name":"web"}},"otel_scope":{"name":"lib"},"otel_record":{"severity_text":"WARN"}}`},
		{"", resource, map[string]any{}, nil, line("inside"), `{"log":"inside","otel_resource":{"attributes":{"service.name":"web"}}}`},
		{"", map[string]any{}, map[string]any{}, map[string]any{}, line("inside"), `{"log":"inside"}`},
		{"", resource, nil, nil, "text", `"text"`},
		{"data_keys log,otel_resource->attributes", resource, map[string]any{"name": "lib"}, nil, line("inside"), `{"log":"inside","otel_resource":{"attributes":{"service.name":"web"}}}`},
	} {
		option, value, _ := strings.Cut(tt.opts+" ", " ")
		if option == "" {
			option = "data_keys"
		}
		r := newRig(t, awslocal.Config{}, "otel_attributes", "on", option, strings.TrimSpace(value))
		r.flush(delivery.OK, inGroup(tt.resource, tt.scope, tt.own, tt.body))
		if got := r.messages("g", "s"); !slices.Equal(got, []string{tt.want, `{"log":"outside"}`}) {
			t.Errorf("got  %q\nwant %s", got, tt.want)
		}
	}
}
