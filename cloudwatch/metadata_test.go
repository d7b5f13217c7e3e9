package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/template"
)

// TestTimesInNames has names go with the records' own times, not with that of
// the flush.
func TestTimesInNames(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, logKey, "log", "log_group_name", "/app/$(time:%Y)", "log_stream_name", "", "log_stream_template", "$log.$(time:%Y-%m-%d.%H)")
	day := now.Add(-24 * time.Hour).UTC()
	var c []byte
	var want []string
	for i, hours := range []int{0, 0, 1, 30, 31} {
		at := day.Truncate(time.Hour).Add(-time.Duration(hours)*time.Hour + 59*time.Minute + 59*time.Second)
		text := fmt.Sprintf("m%d", i/2)
		c = appendRecord(c, at, line(text))
		want = append(want, at.Format("/app/2006 ")+text+at.Format(".2006-01-02.15"))
	}
	r.flush(delivery.OK, c)
	var got []string
	for _, st := range r.srv.Logs().Streams() {
		for range st.Len() {
			got = append(got, st.Group+" "+st.Name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r.wantCount(delivery.DefaultName, 0)
}

// TestDefaultInNames puts in a text where a record has no value, and then no
// default name is needed.
func TestDefaultInNames(t *testing.T) {
	t.Parallel()
	n, misses := newTestNames(t, "log_group_name", "/k8s/$(kubernetes['namespace']|none)", "log_stream_name", "$(ecs_cluster|here)-$(tag[5]|x)-$(pod|)")
	for body, want := range map[string]target{
		"web": {"/k8s/web", "here-x-"},
		"":    {"/k8s/none", "here-x-"},
	} {
		record := packMap(t, map[string]any{"kubernetes": map[string]any{"namespace": body}})
		if got, substitute := n.chunk(context.Background(), "t").target(chunk.Time{}, record); got != want || substitute {
			t.Errorf("%q: got %q, %v", body, got, substitute)
		}
	}
	if len(*misses) > 0 {
		t.Errorf("misses %q", *misses)
	}
}

// TestEC2InNames takes a record's own values, and asks the instance metadata
// service for what it lacks, once.
func TestEC2InNames(t *testing.T) {
	srv := startServer(t, awslocal.Config{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.ControlURL)
	r := newRigOn(t, srv, srv.URL, "log_stream_name", "$(ec2_instance_id)/$(ec2_instance_type)/$(ec2_availability_zone)/$(ec2_private_ip)")
	all := map[string]any{"ec2_instance_id": "i-1", "ec2_instance_type": "t3", "ec2_availability_zone": "z", "ec2_private_ip": "::1"}
	r.flush(delivery.OK, chunkOf(record{0, all}))
	r.wantCalls("InstanceMetadata", 0)
	r.flush(delivery.OK, chunkOf(record{0, all}, record{0, map[string]any{"ec2_instance_id": "i-2"}}, record{0, map[string]any{"a": 1}}))
	calls := r.count("InstanceMetadata")
	r.flush(delivery.OK, chunkOf(record{0, map[string]any{"a": 2}}))
	r.wantCalls("InstanceMetadata", calls)
	for stream, n := range map[string]int{
		"i-1/t3/z/..1": 2, "i-2/m5.large/us-east-1a/10.0.0.108": 1, "i-0123456789abcdef0/m5.large/us-east-1a/10.0.0.108": 2,
	} {
		if got := len(r.messages("g", stream)); got != n {
			t.Errorf("%s has %d events, want %d", stream, got, n)
		}
	}
	if calls == 0 {
		t.Error("the service was not asked")
	}
}

// Off EC2, records without the values go to the default stream, which is said
// once; the service is left alone for a while.
func TestNotOnEC2(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "log_stream_name", "$(ec2_instance_id)") // AWS_EC2_METADATA_DISABLED
	for range 3 {
		r.flush(delivery.OK, chunkOf(record{0, line("x")}, record{0, line("y")}))
	}
	if got := len(r.messages("g", "/fluentbit-default")); got != 6 {
		t.Errorf("the default stream has %d events", got)
	}
	r.log.Want(t, "warning", "cannot get the metadata of the EC2 instance")
	r.log.WantOne(t, `"$(ec2_instance_id)" gives no name: $(ec2_instance_id): the record does not have it, and the EC2 instance is not known`)
}

func TestMetadataRests(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 0)
	asked, reported := 0, 0
	down := true
	m := &metadata[template.EC2]{rest: time.Minute, now: func() time.Time { return at }, report: func(error) { reported++ },
		fetch: func(context.Context) (*template.EC2, error) {
			if asked++; down {
				return nil, errors.New("down")
			}
			return &template.EC2{InstanceID: "i"}, nil
		}}
	check := func(known bool, wantAsked, wantReported int) {
		t.Helper()
		if got := m.get(context.Background()); (got != nil) != known || asked != wantAsked || reported != wantReported {
			t.Errorf("got %v, asked %d times, reported %d times", got, asked, reported)
		}
	}
	check(false, 1, 1)
	at = at.Add(59 * time.Second)
	check(false, 1, 1)
	at = at.Add(time.Second)
	down = false
	check(true, 2, 1)
	down = true
	at = at.Add(time.Hour)
	check(true, 2, 1)
	if (&metadata[template.EC2]{}).get(context.Background()) != nil {
		t.Error("nobody to ask, and something known")
	}
}

// The task's definition is known in ECS, and a record's own key comes first.
func TestTaskDefinitionInNames(t *testing.T) {
	srv := startServer(t, awslocal.Config{Task: awslocal.Task{Family: "web", Revision: "12"}})
	t.Setenv(ecsEnvV4, srv.TaskMetadataV4())
	r := newRigOn(t, srv, srv.URL, "log_stream_name", "$(ecs_task_family):$(ecs_task_revision)")
	r.flush(delivery.OK, chunkOf(record{0, line("x")}, record{0, map[string]any{"ecs_task_revision": 13}}))
	for _, stream := range []string{"web.12", "web.13"} {
		if got := len(r.messages("g", stream)); got != 1 {
			t.Errorf("%s has %d events", stream, got)
		}
	}
	if log := strings.Join(r.log.All(), "\n"); strings.Contains(log, "warning") {
		t.Error(log)
	}
}
