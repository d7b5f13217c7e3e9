//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// A record as the filters kubernetes and aws make it reaches its log group with
// its entity, and without what is there for the entity alone.
func TestEntity(t *testing.T) {
	aws := startAWS(t, awslocal.Config{})
	record := `{"log":"hello","kubernetes":{"pod_name":"web-5d9c7b8d4-x2x7k","namespace_name":"ns","aws_entity_platform":"eks","aws_entity_cluster":"blue"},"aws_entity_account_id":"123456789012"}`
	p := start(t, run{config: section("INPUT", "Name dummy", "Tag app", "Samples 3", "Dummy "+record) +
		section("OUTPUT", "Name cloudwatch", "Match *", "workers 1", "region us-east-2", "endpoint "+aws.URL, "auto_create_group on",
			"log_group_name g", "log_stream_name s", "add_entity on")})
	p.wait("all records", 30*time.Second, func() bool { return aws.Logs().Total() >= 3 })
	p.stop(20 * time.Second)
	e := aws.Logs().Stream("g", "s").Entity()
	if e == nil || e.KeyAttributes["Name"] != "web" || e.KeyAttributes["Environment"] != "eks:blue/ns" || e.KeyAttributes["AwsAccountId"] != "123456789012" || e.Attributes["EKS.Cluster"] != "blue" {
		t.Errorf("got the entity %+v", e)
	}
	want := `{"log":"hello","kubernetes":{"pod_name":"web-5d9c7b8d4-x2x7k","namespace_name":"ns"}}`
	if got := aws.Logs().Stream("g", "s").Messages(); !slices.Equal(got, []string{want, want, want}) {
		t.Errorf("got %q", got)
	}
	if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
		t.Errorf("the log has\n%s", strings.Join(lines, "\n"))
	}
}
