//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// What options make of names and records, as Fluent Bit hands both over: keys of
// nested maps, elements of arrays, the record's time, the environment, tags.
func TestKeysAndTemplates(t *testing.T) {
	aws := startAWS(t, awslocal.Config{KinesisStreams: map[string]int{"logs-form": 1}, DeliveryStreams: []string{"logs-none"}})
	input, service := formInput(t)
	common := []string{"Match *", "workers 1", "region us-east-2", "endpoint " + aws.URL}
	year := time.Now().UTC().Format("2006")
	p := start(t, run{service: service, env: []string{"TEAM=web"}, config: input +
		section("OUTPUT", append(common, "Name cloudwatch", "auto_create_group on", "log_group_name /${TEAM}/$(time:%Y)/$(kubernetes['ns']|none)",
			"log_stream_template $TAG[0].$keep.$(time:%Y-%m)", "new_log_group_tags team=${TEAM},kept=$(keep),tag=$TAG",
			"log_key nothing,$a.b['c.d'][0]['e.f']", "log_key_missing record")...) +
		section("OUTPUT", append(common, "Name kinesis", "stream logs-$(tag[0]|none)", "partition_key $(keep)-$(tag)-$(n)", "data_keys n,a.b->c.d")...) +
		section("OUTPUT", append(common, "Name firehose", "delivery_stream logs-$(tag[1]|none)", "exclude_keys big,a.b,message", "log_level info")...)})
	group := "/web/" + year + "/none"
	stream := "form.me." + time.Now().UTC().Format("2006-01")
	p.wait("all records have arrived everywhere", 30*time.Second, func() bool {
		return aws.Logs().Total() >= formRecords && len(aws.Kinesis().Stream("logs-form").Records()) >= formRecords &&
			len(aws.Firehose().Stream("logs-none").Records()) >= formRecords
	})
	p.stop(20 * time.Second)
	if got := aws.Logs().Stream(group, stream).Messages(); !slices.Equal(got, []string{"1.5", "1.5", "1.5", "1.5"}) {
		t.Errorf("CloudWatch Logs has %q", got)
	}
	if g, _ := aws.Logs().Group(group); g.Tags["team"] != "web" || g.Tags["kept"] != "me" || g.Tags["tag"] != "form" {
		t.Errorf("the group has the tags %v", g.Tags)
	}
	for i, r := range aws.Kinesis().Stream("logs-form").Records() {
		n := string(rune('0' + i))
		if string(r.Data) != `{"a.b":{"c.d":[{"e.f":1.5}]},"n":`+n+`}` || r.PartitionKey != "me-form-"+n {
			t.Errorf("Kinesis has %s with the key %s", r.Data, r.PartitionKey)
		}
	}
	for i, data := range aws.Firehose().Stream("logs-none").Records() {
		if want := `{"keep":"me","n":` + string(rune('0'+i)) + "}\n"; string(data) != want {
			t.Errorf("Firehose has %s, want %s", data, want)
		}
	}
	if lines := slices.DeleteFunc(p.problems(), harmless); len(lines) > 0 {
		t.Errorf("the log has\n%s", strings.Join(lines, "\n"))
	}
}

// A misspelt option ends Fluent Bit at the start, and the nearest right one is
// named, for all of the three plugins and for Fluent Bit's own.
func TestMisspeltOptions(t *testing.T) {
	for _, f := range []struct{ output, line, want string }{
		{"cloudwatch", "auto_create_grup on", "option auto_create_grup: there is no such option, the nearest is auto_create_group"},
		{"kinesis", "agregation on", "option agregation: there is no such option, the nearest is aggregation"},
		{"firehose", "delivery_streams x", "option delivery_streams: there is no such option, the nearest is delivery_stream"},
		{"firehose", "Retry_Limits 3", "option retry_limits: there is no such option, the nearest is retry_limit"},
	} {
		p := start(t, run{config: section("INPUT", "Name dummy") +
			section("OUTPUT", "Name "+f.output, "Match *", "workers 1", "region us-east-2", "log_group_name g", "log_stream_name s", "stream s", "delivery_stream s", f.line)})
		if code := p.end(20 * time.Second); code == 0 {
			t.Errorf("%s: Fluent Bit ends as if all were well", f.line)
		}
		// Fluent Bit 1.9 leaves keys as they are written.
		if log := strings.ToLower(p.log.String()); !strings.Contains(log, "cannot start: "+f.want) {
			t.Errorf("%s: the log does not say %s", f.line, f.want)
		}
	}
}
