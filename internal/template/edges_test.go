package template

import (
	"strings"
	"testing"
)

// Each of these is a change of one character in the code that no other test had
// noticed.
func TestEdges(t *testing.T) {
	for text, want := range map[string]bool{"$(ecs_task_id)": true, "$(ecs_cluster)": true, "$(ecs_task_arn)": true, "$(ecs_task_family)": false, "$(ec2_instance_id)": false, "$(uuid)": false} {
		if got := mustParse(t, Parse, text).FailsWithoutECS(); got != want {
			t.Errorf("%s fails without ECS: %v, want %v", text, got, want)
		}
	}
	// What a record has of these names comes first, and of the task's own does not.
	ecs := &ECS{TaskID: "task", Cluster: "cluster", TaskARN: "arn"}
	for name, first := range map[string]bool{"ec2_instance_id": true, "ec2_private_ip": true, "ecs_task_family": true, "ecs_task_revision": true, "ecs_task_id": false, "ecs_task_arn": false} {
		in := &Input{Tag: "t", Body: pack(t, map[string]any{name: "record"}), ECS: ecs}
		got, miss := mustParse(t, Parse, "$("+name+")").Append(nil, in)
		if (string(got) == "record") != first || miss != nil {
			t.Errorf("%s: got %q, %v", name, got, miss)
		}
	}
	in := &Input{Tag: "t", Body: []byte("\x82\xa4list\x92\xa1a\xa1b\xa1x\xa4leak")}
	for _, text := range []string{"$list[2]", "$list[3]"} {
		if got, miss := mustParse(t, ParseAccessor, text).Append(nil, in); miss == nil {
			t.Errorf("%s: got %q from behind the list", text, got)
		}
	}
	in.Body = pack(t, map[string]any{"zAZa09": "1", "AzZ": "2", "Z_-/9": "3"})
	for text, want := range map[string]string{"$zAZa09.": "1.", "$AzZ.": "2.", "$Z_-/9.": "3."} {
		if got, miss := mustParse(t, ParseAccessor, text).Append(nil, in); string(got) != want || miss != nil {
			t.Errorf("%s: got %q, %v", text, got, miss)
		}
	}
	in.Body = pack(t, map[string]any{"otel_resource": "the record's own"})
	if got, miss := mustParse(t, Parse, "$(otel_resource)").Append(nil, in); string(got) != "the record's own" || miss != nil {
		t.Errorf("a key with the name of a place: got %q, %v", got, miss)
	}
	in.Body = pack(t, map[string]any{"f": 1e21, "g": 1e20, "h": 1e-6, "i": 9e-7})
	for text, want := range map[string]string{"$(f)": "1e+21", "$(g)": "1" + strings.Repeat("0", 20), "$(h)": "0.000001", "$(i)": "9e-07"} {
		if got, miss := mustParse(t, Parse, text).Append(nil, in); string(got) != want || miss != nil {
			t.Errorf("%s: got %q, %v", text, got, miss)
		}
	}
}
