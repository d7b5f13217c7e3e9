package template

import (
	"strings"
	"testing"
)

func TestOpenTelemetry(t *testing.T) {
	in := &Input{
		Body: pack(t, map[string]any{"log": "hello", "otel_scope": map[string]any{"name": "of the record"}}),
		Metadata: pack(t, map[string]any{"otlp": map[string]any{
			"severity_text": "WARN", "attributes": map[string]any{"http.status": 503, "severity_text": []any{}}}}),
		Group: pack(t, map[string]any{
			"resource": map[string]any{"attributes": map[string]any{"service.name": "web", "nested": map[string]any{"a": true}, "empty": ""}, "schema_url": "url"},
			"scope":    map[string]any{"name": "lib", "version": "1.2", "attributes": map[string]any{"name": "attribute", "list": []any{1}}}}),
	}
	for text, want := range map[string]string{
		"/$(otel_resource['service.name'])/$(otel_resource['nested']['a'])": "/web/true",
		"$(otel_resource['schema_url'])":                                    "url",
		"$(otel_scope['name'])-$(otel_scope['version'])":                    "attribute-1.2",
		"$(otel_record['http.status'])":                                     "503",
		"$(otel_resource['none']|default)":                                  "default",
		"$(otel_resource['empty']|default)":                                 "default",
		"$(log)$(otel_resource['empty'])":                                   "hello",
	} {
		for _, parse := range []func(string) (*Template, error){Parse, ParseAccessor} {
			tm, err := parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if got, missing := tm.Append(nil, in); missing != nil || string(got) != want || !tm.NeedsRecord() || !tm.NeedsOpenTelemetry() || tm.NeedsEC2() || tm.NeedsECS() {
				t.Errorf("%s: got %q, %v, want %q", text, got, missing, want)
			}
			buf := make([]byte, 0, 256)
			if n := testing.AllocsPerRun(10, func() { _, _ = tm.Append(buf, in) }); n != 0 {
				t.Errorf("%s: %v allocations", text, n)
			}
		}
	}
	missing := func(text string, in *Input) {
		t.Helper()
		tm, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, missing := tm.Append(nil, in); missing == nil || !strings.Contains(missing.Error(), "OpenTelemetry") {
			t.Errorf("%s: got %q, %v", text, got, missing)
		}
	}
	missing("$(otel_resource['none'])", in)
	missing("$(otel_scope['list'])", in)
	missing("$(otel_resource['service.name'])", &Input{Body: in.Body})
	// Without OpenTelemetry it is the record's own key, as it is without brackets.
	tm, err := Parse("$(otel_scope['name'])")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := tm.Append(nil, &Input{Body: in.Body}); string(got) != "of the record" {
		t.Errorf("got %q", got)
	}
	plain, err := Parse("$(otel_scope)")
	if err != nil {
		t.Fatal(err)
	}
	if got, missing := plain.Append(nil, &Input{Body: pack(t, map[string]any{"otel_scope": "x"})}); missing != nil || string(got) != "x" || plain.NeedsOpenTelemetry() {
		t.Errorf("got %q, %v", got, missing)
	}
}
