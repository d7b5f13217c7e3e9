package cloudwatch

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/template"
)

// pod is a record of a pod with this metadata.
func pod(kubernetes ...string) map[string]any {
	return map[string]any{"log": "hello", "kubernetes": texts(kubernetes...)}
}

func texts(pairs ...string) map[string]any {
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// TestEntityOf has of each kind of record the entity that it tells of.
func TestEntityOf(t *testing.T) {
	full := pod("aws_entity_service_name", "shop", "aws_entity_environment", "prod", "aws_entity_name_source", "Instrumentation",
		"aws_entity_platform", "eks", "aws_entity_cluster", "blue", "aws_entity_workload", "web", "namespace_name", "ns", "host", "node-1", "pod_name", "web-1")
	full["aws_entity_account_id"], full["aws_entity_ec2_instance_id"] = "123456789012", "i-1"
	onEC2 := pod("pod_name", "db-0", "namespace_name", "ns")
	onEC2["ec2_instance_id"] = "i-2"
	task := &template.ECS{Family: "web", Cluster: "arn:aws:ecs:us-west-2:111122223333:cluster/default", TaskARN: "arn:aws:ecs:us-west-2:111122223333:task/default/1"}
	f := func(name string, ecs *template.ECS, record map[string]any, want string) {
		t.Helper()
		e := &entities{intern: func(b []byte) string { return string(b) }, ecs: ecs}
		if got := e.of(packMap(t, record)); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	f("all", nil, full, `{"keyAttributes":{"Type":"Service","Name":"shop","Environment":"prod","AwsAccountId":"123456789012"},`+
		`"attributes":{"PlatformType":"AWS::EKS","K8s.Namespace":"ns","K8s.Node":"node-1","K8s.Workload":"web","EC2.InstanceId":"i-1","AWS.ServiceNameSource":"Instrumentation","EKS.Cluster":"blue"}}`)
	f("environment of cluster and namespace", nil, pod("aws_entity_workload", "web", "aws_entity_platform", "k8s", "aws_entity_cluster", "blue", "namespace_name", "ns"),
		`{"keyAttributes":{"Type":"Service","Name":"web","Environment":"k8s:blue/ns"},"attributes":{"PlatformType":"K8s","K8s.Namespace":"ns","K8s.Workload":"web","AWS.ServiceNameSource":"K8sWorkload","K8s.Cluster":"blue"}}`)
	f("what every kubernetes filter knows", nil, onEC2,
		`{"keyAttributes":{"Type":"Service","Name":"db","Environment":"generic:default"},"attributes":{"PlatformType":"Generic","K8s.Namespace":"ns","K8s.Workload":"db","EC2.InstanceId":"i-2","AWS.ServiceNameSource":"K8sWorkload"}}`)
	f("values that are escaped, and too long", nil, pod("aws_entity_service_name", `"é`+strings.Repeat("é", 600)),
		`{"keyAttributes":{"Type":"Service","Name":"\"`+strings.Repeat("é", 255)+`","Environment":"generic:default"},"attributes":{"PlatformType":"Generic"}}`)
	f("no name", nil, pod("namespace_name", "ns"), "")
	f("kubernetes that is no map", task, map[string]any{"kubernetes": "x"}, "")
	f("no metadata", nil, line("hello"), "")
	f("in a task", task, line("hello"),
		`{"keyAttributes":{"Type":"Service","Name":"web","Environment":"ecs:default","AwsAccountId":"111122223333"},"attributes":{"PlatformType":"AWS::ECS"}}`)
	f("of FireLens", task, texts("ecs_task_definition", "api:3", "ecs_cluster", "green", "ecs_task_arn", "arn:aws:ecs:us-west-2:444455556666:task/green/2", "aws_entity_ec2_instance_id", "i-3"),
		`{"keyAttributes":{"Type":"Service","Name":"api","Environment":"ecs:green","AwsAccountId":"444455556666"},"attributes":{"PlatformType":"AWS::ECS","EC2.InstanceId":"i-3"}}`)
	f("of FireLens, without the rest", nil, texts("ecs_task_definition", "api", "aws_entity_account_id", "123456789012"),
		`{"keyAttributes":{"Type":"Service","Name":"api","Environment":"generic:default","AwsAccountId":"123456789012"},"attributes":{"PlatformType":"AWS::ECS"}}`)
	f("a task whose ARN is cut off", &template.ECS{Family: "web", TaskARN: "arn:aws:ecs:us-west-2"}, line("hello"),
		`{"keyAttributes":{"Type":"Service","Name":"web","Environment":"generic:default"},"attributes":{"PlatformType":"AWS::ECS"}}`)
	f("a task without a family", &template.ECS{TaskARN: "arn"}, line("hello"), "")
}

// Records of one pod may tell of another account or instance.
func TestEntityFollowsRecords(t *testing.T) {
	e := &entities{intern: func(b []byte) string { return string(b) }}
	for _, tt := range [][2]string{{"1", "i-1"}, {"1", "i-1"}, {"2", "i-1"}, {"2", "i-2"}, {"1", "i-1"}} {
		r := pod("aws_entity_service_name", "shop")
		r["aws_entity_account_id"], r["aws_entity_ec2_instance_id"] = tt[0], tt[1]
		if got := e.of(packMap(t, r)); !strings.Contains(got, `"AwsAccountId":"`+tt[0]+`"`) || !strings.Contains(got, `"EC2.InstanceId":"`+tt[1]+`"`) {
			t.Errorf("account %s, instance %s: got %s", tt[0], tt[1], got)
		}
	}
}

func TestWorkloadOf(t *testing.T) {
	for pod, want := range map[string]string{
		"web-5d9c7b8d4-x2x7k":     "web",
		"my-web-api-84c98d-bbbbb": "my-web-api",
		"agent-x2x7k":             "agent",
		"db-0":                    "db",
		"shard-12-3":              "shard-12",
		"web":                     "web",
		"web-prod":                "web-prod", // o is not among the letters
		"-x2x7k":                  "-x2x7k",
		"":                        "",
	} {
		if got := workloadOf(pod); got != want {
			t.Errorf("%s: got %q, want %q", pod, got, want)
		}
	}
}

// A pod's records come one after the other, and cost no allocation.
func TestEntityAllocates(t *testing.T) {
	n := newNames(nameConfig{}, nil, nil)
	e := &entities{intern: n.intern}
	record := packMap(t, pod("pod_name", "web-5d9c7b8d4-x2x7k", "namespace_name", "ns"))
	if got := testing.AllocsPerRun(100, func() { e.of(record) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestAddEntity has one call for each entity of a stream, and leaves out of
// records what is there for entities alone.
func TestAddEntity(t *testing.T) {
	t.Parallel()
	web, api := pod("aws_entity_service_name", "web", "pod_name", "w"), pod("aws_entity_service_name", "api")
	web["aws_entity_account_id"] = "123456789012"
	for add, calls := range map[string]int{"on": 3, "off": 1} {
		r := newRig(t, awslocal.Config{KeepBodies: true}, "add_entity", add)
		r.srv.Logs().CreateStream("g", "s")
		r.flush(delivery.OK, chunkOf(record{0, web}, record{1, api}, record{2, web}, record{3, line("plain")}))
		r.wantCalls("PutLogEvents", calls)
		names := make(map[string]int)
		for _, call := range r.srv.Requests("PutLogEvents") {
			_, name, _ := strings.Cut(string(call.Body), `"Name":"`)
			name, _, _ = strings.Cut(name, `"`)
			names[name] += call.Records
		}
		want, told := map[string]int{"web": 2, "api": 1, "": 1}, 0
		if add == "off" {
			want, told = map[string]int{"": 4}, 3
		}
		if !maps.Equal(names, want) {
			t.Errorf("%s: got %v, want %v", add, names, want)
		}
		messages := strings.Join(r.messages("g", "s"), "\n")
		if n := strings.Count(messages, "aws_entity_service_name"); n != told || strings.Contains(messages, "aws_entity_account_id") == (add == "on") {
			t.Errorf("%s: got %s", add, messages)
		}
		if n := strings.Count(messages, `{"pod_name":"w"}`); n != 2 && add == "on" {
			t.Errorf("%s: got %s", add, messages)
		}
		r.account(4, 4, 0)
	}
}

// TestEntityOfParts keeps the entity when a call is made again in parts, or has
// no room for all events.
func TestEntityOfParts(t *testing.T) {
	t.Parallel()
	const day = -30 * 3600 * 1000
	r := newRig(t, awslocal.Config{KeepBodies: true}, "add_entity", "on", logKey, "log", "out_of_range", "now", "concurrency", "1")
	r.srv.Logs().CreateStream("g", "s")
	r.srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"},
		awslocal.Fault{Kind: awslocal.RejectEvents, TooOld: 1})
	large := pod("pod_name", "web")
	large["log"] = strings.Repeat("x", maxBatchBytes-50)
	web := pod("pod_name", "web")
	r.flush(delivery.OK, chunkOf(record{0, web}, record{day, web}, record{-1, web}, record{day + 1, web}, record{1, large}))
	if n := r.count("PutLogEvents"); n < 5 {
		t.Errorf("%d calls, want those in parts", n)
	}
	for _, call := range r.srv.Requests("PutLogEvents") {
		if !strings.Contains(string(call.Body), `"logStreamName":"s","entity":{"keyAttributes":{"Type":"Service","Name":"web"`) {
			t.Errorf("got %.200s", call.Body)
		}
	}
	r.account(5, 5, 0)
}

// TestEntityRejected counts the events as sent, and says once that the entity was
// not taken.
func TestEntityRejected(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "add_entity", "on")
	r.srv.Logs().CreateStream("g", "s")
	fault := awslocal.Fault{Kind: awslocal.RejectEntity, Code: "UnsupportedLogGroupType"}
	r.srv.Script("PutLogEvents", fault, fault, fault)
	for i := range 3 {
		r.flush(delivery.OK, chunkOf(record{int64(i), pod("pod_name", "web")}))
	}
	r.log.Want(t, "warning", `CloudWatch Logs takes the events for log group "g", stream "s", and not the entity that they belong to (option add_entity): UnsupportedLogGroupType`)
	r.log.NoErrors(t)
	r.account(3, 3, 0)
}

// TestEntityOfTask asks ECS for the task, where Fluent Bit runs in one.
func TestEntityOfTask(t *testing.T) {
	t.Parallel()
	url, requests := ecsAgent(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, testTask) })
	for add, want := range map[string]string{"on": "web", "off": ""} {
		r := newRig(t, awslocal.Config{}, "add_entity", add)
		r.ecs, _ = newTestECS(ecsEnvV4, url)
		before := requests.Load()
		r.flush(delivery.OK, chunkOf(record{0, line("hello")}))
		r.flush(delivery.OK, chunkOf(record{0, line("hello")}))
		got := ""
		if e := r.srv.Logs().Stream("g", "s").Entity(); e != nil {
			got = e.KeyAttributes["Name"]
		}
		if n := int(requests.Load() - before); got != want || n != len(want)/len("web") {
			t.Errorf("%s: got %q and %d requests", add, got, n)
		}
	}
}
