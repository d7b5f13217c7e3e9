package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// policy is an IAM policy, or a role's trust policy.
type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect string
		Principal   map[string]string
		Action      list
		Resource    list
		Condition   map[string]map[string]string
	}
}

// list is one text or several.
type list []string

func (l *list) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

func readPolicy(t *testing.T, name string) (p policy) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(read(t, "iam/"+name+".json")))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if p.Version != "2012-10-17" {
		t.Errorf("%s has version %q", name, p.Version)
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" {
			t.Errorf("%s has effect %q", name, s.Effect)
		}
	}
	return p
}

// actions are those that a policy allows, with the resources of each.
func (p policy) actions() map[string][]string {
	all := make(map[string][]string)
	for _, s := range p.Statement {
		for _, a := range s.Action {
			all[a] = append(all[a], s.Resource...)
		}
	}
	return all
}

// chunk has one record.
func chunk() []byte {
	now := time.Now()
	b := msgp.AppendArrayHeader(nil, 2)
	b = msgp.AppendArrayHeader(b, 2)
	b = append(b, 0xd7, 0)
	for _, v := range []uint32{uint32(now.Unix()), uint32(now.Nanosecond())} { // until 2106, as Fluent Bit has it
		b = append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	b = msgp.AppendMapHeader(b, 0)
	b = msgp.AppendMapHeader(b, 1)
	return msgp.AppendString(msgp.AppendString(b, "log"), "hello")
}

const account = "123456789012"

// call is what a request asks IAM for.
type call struct{ action, resource string }

// calls returns what the requests that were made needed to be allowed.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
// and the pages of the other services beside it.
func calls(t *testing.T, aws *awslocal.Server) (all []call) {
	t.Helper()
	for _, r := range aws.Requests("") {
		var body struct {
			LogGroupName, LogStreamName, StreamName, DeliveryStreamName string
			ResourceArn, LogGroupIdentifier, LogGroupNamePrefix         string
			Tags                                                        map[string]string
		}
		if r.Operation != "AssumeRole" { // which is a form
			text, err := r.JSON()
			if err == nil {
				err = json.Unmarshal(text, &body)
			}
			if err != nil {
				t.Fatalf("%s: %v", r.Operation, err)
			}
		}
		group := "arn:aws:logs:us-east-2:" + account + ":log-group:" + body.LogGroupName
		switch r.Operation {
		case "PutLogEvents", "CreateLogStream":
			all = append(all, call{"logs:" + r.Operation, group + ":log-stream:" + body.LogStreamName})
		case "TagResource":
			all = append(all, call{"logs:TagResource", body.ResourceArn + ":"})
		case "PutLogGroupDeletionProtection":
			all = append(all, call{"logs:" + r.Operation, group + body.LogGroupIdentifier + ":"})
		case "DescribeLogGroups":
			all = append(all, call{"logs:" + r.Operation, group})
		case "CreateLogGroup", "PutRetentionPolicy", "AssociateKmsKey":
			all = append(all, call{"logs:" + r.Operation, group + ":"})
			if len(body.Tags) > 0 {
				all = append(all, call{"logs:TagResource", group + ":"})
			}
		case "PutRecords":
			all = append(all, call{"kinesis:PutRecords", "arn:aws:kinesis:us-east-2:" + account + ":stream/" + body.StreamName})
		case "PutRecordBatch":
			all = append(all, call{"firehose:PutRecordBatch", "arn:aws:firehose:us-east-2:" + account + ":deliverystream/" + body.DeliveryStreamName})
		case "AssumeRole":
			all = append(all, call{"sts:AssumeRole", "arn:aws:iam::210987654321:role/central-logs"})
		default:
			t.Errorf("no policy knows the call %s", r.Operation)
		}
	}
	return all
}

// Each policy allows what the plugin calls with the options that it is for, and
// nothing that it does not.
func TestPolicies(t *testing.T) {
	for _, e := range []string{"EKS_POD_EXECUTION_ROLE", "AWS_PROFILE", "AWS_ROLE_ARN", "HTTPS_PROXY", "HTTP_PROXY"} {
		t.Setenv(e, "")
	}
	for id, secret := range awslocal.DefaultKeys {
		t.Setenv("AWS_ACCESS_KEY_ID", id)
		t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")

	logs := map[string]string{"log_group_name": "fluentbit-cloudwatch", "log_stream_name": "app"}
	with := func(more ...string) map[string]string {
		o := maps.Clone(logs)
		for i := 0; i < len(more); i += 2 {
			o[more[i]] = more[i+1]
		}
		return o
	}
	for _, c := range []struct {
		policies   []string
		plugin     string
		options    map[string]string
		have       []string // what is there: group, stream
		notByCalls []string // actions that a service takes on the caller's behalf
	}{
		{[]string{"cloudwatch"}, "cloudwatch", with(), []string{"group"}, nil},
		{[]string{"cloudwatch-existing-streams"}, "cloudwatch", with("auto_create_stream", "false"), []string{"group", "stream"}, nil},
		{[]string{"cloudwatch-create-group"}, "cloudwatch", with("auto_create_group", "true"), nil, nil},
		{[]string{"cloudwatch-create-group-retention"}, "cloudwatch", with("auto_create_group", "true", "log_retention_days", "30"), nil, nil},
		{[]string{"cloudwatch-create-group-tags-retention"}, "cloudwatch",
			with("auto_create_group", "true", "log_retention_days", "30", "new_log_group_tags", "team=platform"), nil, nil},
		{[]string{"cloudwatch-update-group"}, "cloudwatch",
			with("existing_group", "update", "log_retention_days", "30", "new_log_group_tags", "team=platform", "log_group_deletion_protection", "true",
				"log_group_kms_key", "arn:aws:kms:us-east-2:123456789012:key/0123"), []string{"group"}, nil},
		{[]string{"kinesis"}, "kinesis", map[string]string{"stream": "fluentbit-kinesis"}, nil, nil},
		{[]string{"kinesis-encrypted"}, "kinesis", map[string]string{"stream": "fluentbit-kinesis"}, nil, []string{"kms:GenerateDataKey"}},
		{[]string{"firehose"}, "firehose", map[string]string{"delivery_stream": "fluentbit-firehose"}, nil, nil},
		{[]string{"firehose", "assume-role"}, "firehose",
			map[string]string{"delivery_stream": "fluentbit-firehose", "role_arn": "arn:aws:iam::210987654321:role/central-logs"}, nil, nil},
	} {
		t.Run(strings.Join(c.policies, "+"), func(t *testing.T) {
			aws, err := awslocal.Start(awslocal.Config{Region: "us-east-2", KeepBodies: true,
				KinesisStreams: map[string]int{"fluentbit-kinesis": 1}, DeliveryStreams: []string{"fluentbit-firehose"}})
			if err != nil {
				t.Fatal(err)
			}
			defer aws.Close()
			if slices.Contains(c.have, "group") {
				aws.Logs().CreateGroup("fluentbit-cloudwatch")
			}
			if slices.Contains(c.have, "stream") {
				aws.Logs().CreateStream("fluentbit-cloudwatch", "app")
			}
			o := map[string]string{"region": "us-east-2", "endpoint": aws.URL, "sts_endpoint": aws.URL}
			maps.Copy(o, c.options)
			p, _, err := start(c.plugin, o)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if r := p.Flush(delivery.Chunk{Tag: "app", Data: chunk()}); r != delivery.OK {
				t.Fatalf("flush: %v; requests: %v", r, aws.Requests(""))
			}
			allowed := make(map[string][]string)
			for _, name := range c.policies {
				for a, r := range readPolicy(t, name).actions() {
					allowed[a] = append(allowed[a], r...)
				}
			}
			used := make(map[string]bool)
			for _, a := range c.notByCalls {
				used[a] = true
			}
			for _, n := range calls(t, aws) {
				used[n.action] = true
				if !slices.ContainsFunc(allowed[n.action], func(pattern string) bool { return covers(pattern, n.resource) }) {
					t.Errorf("%s on %s is not allowed", n.action, n.resource)
				}
			}
			for a := range allowed {
				if !used[a] {
					t.Errorf("%s is allowed and not used", a)
				}
			}
		})
	}
}

// covers tells whether a policy's resource covers another: a * stands for any
// text, slashes included.
func covers(pattern, resource string) bool {
	flat := strings.NewReplacer("/", "|").Replace
	ok, err := path.Match(flat(pattern), flat(resource))
	return ok && err == nil
}

// Roles trust who is to take them on: the service account of the manifests, by
// IRSA or Pod Identity, or ECS' tasks; nobody else's.
func TestTrustPolicies(t *testing.T) {
	for name, want := range map[string]string{
		"trust-irsa":         "Federated sts:AssumeRoleWithWebIdentity",
		"trust-pod-identity": "Service sts:AssumeRole sts:TagSession",
		"trust-ecs-task":     "Service sts:AssumeRole",
	} {
		p := readPolicy(t, name)
		s := p.Statement[0]
		got := fmt.Sprint(slices.Collect(maps.Keys(s.Principal))[0], " ", strings.Join(s.Action, " "))
		if got != want || len(p.Statement) != 1 || len(s.Condition) == 0 {
			t.Errorf("%s is for %q with conditions %v, want %q", name, got, s.Condition, want)
		}
	}
	subject := ""
	for k, v := range readPolicy(t, "trust-irsa").Statement[0].Condition["StringEquals"] {
		if strings.HasSuffix(k, ":sub") {
			subject = v
		}
	}
	if subject != "system:serviceaccount:fluentbit-system:fluentbit" {
		t.Errorf("trust-irsa is for %q", subject)
	}
}
