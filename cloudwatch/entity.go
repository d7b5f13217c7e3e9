package cloudwatch

import (
	"bytes"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/jsonenc"
	"aws-for-fluent-bit/internal/template"
)

// maxEntityValue is the length of an attribute of an entity, which is in
// characters for the service and in bytes here.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Entity.html
const maxEntityValue = 512

// entityKeys are what Fluent Bit's filters kubernetes (use_pod_association) and
// aws (enable_entity) put into records for entities alone. They are not sent, as
// with Fluent Bit's C plugin (plugins/out_cloudwatch_logs/cloudwatch_api.c,
// parse_entity).
var entityKeys = fields.Without(
	[]string{"kubernetes", "aws_entity_service_name"}, []string{"kubernetes", "aws_entity_environment"},
	[]string{"kubernetes", "aws_entity_name_source"}, []string{"kubernetes", "aws_entity_platform"},
	[]string{"kubernetes", "aws_entity_cluster"}, []string{"kubernetes", "aws_entity_workload"},
	[]string{"aws_entity_ec2_instance_id"}, []string{"aws_entity_account_id"})

// entityMark is in all records that have one of them.
var entityMark = []byte("aws_entity_")

// entities tells which entity the records of a chunk belong to: the service that
// wrote them, by what the kubernetes filter or ECS says. CloudWatch shows what
// belongs together under "explore related". It is for one goroutine.
type entities struct {
	intern func([]byte) string
	ecs    *template.ECS // the task that Fluent Bit runs in; nil: it is in none, or not known

	// Those of one pod come one after the other, and have the same in front of all
	// that is different in them.
	kubernetes        []byte // of the last record; aliases the chunk
	account, instance string // and what else there was
	last              string
	text              []byte // owned, for reuse
}

// of returns the entity's JSON, "" if the record tells of none.
func (e *entities) of(record []byte) string {
	kubernetes, _ := chunk.Lookup(record, []string{"kubernetes"})
	account, instance := textAt(record, "aws_entity_account_id"), textAt(record, "aws_entity_ec2_instance_id")
	if instance == nil {
		instance = textAt(record, "ec2_instance_id")
	}
	switch {
	case kubernetes != nil:
		if bytes.Equal(kubernetes, e.kubernetes) && string(account) == e.account && string(instance) == e.instance {
			return e.last
		}
		e.text = ofPod(e.text[:0], kubernetes, string(account), string(instance))
		e.kubernetes, e.account, e.instance = kubernetes, string(account), string(instance)
		e.last = e.intern(e.text)
		return e.last
	default:
		e.text = e.ofTask(e.text[:0], record, string(account), string(instance))
		return e.intern(e.text)
	}
}

// service is an entity of type Service. Empty fields are left out.
type service struct {
	name, environment, account string
	attributes                 [6]attribute
}

type attribute struct{ key, value string }

// ofPod appends the service that a pod belongs to. Where nobody has given it a
// name it has that of its workload.
func ofPod(dst, kubernetes []byte, account, instance string) []byte {
	get := func(key string) string { return string(textAt(kubernetes, key)) }
	name, source, workload := get("aws_entity_service_name"), get("aws_entity_name_source"), get("aws_entity_workload")
	if workload == "" {
		workload = workloadOf(get("pod_name"))
	}
	if name == "" {
		name, source = workload, "K8sWorkload"
	}
	if name == "" {
		return dst
	}
	platform, clusterKey := "Generic", ""
	kind, cluster, namespace := get("aws_entity_platform"), get("aws_entity_cluster"), get("namespace_name")
	switch kind {
	case "eks":
		platform, clusterKey = "AWS::EKS", "EKS.Cluster"
	case "k8s":
		platform, clusterKey = "K8s", "K8s.Cluster"
	}
	environment := get("aws_entity_environment")
	if environment == "" && clusterKey != "" && cluster != "" && namespace != "" {
		environment = kind + ":" + cluster + "/" + namespace
	}
	s := service{name: name, environment: environment, account: account, attributes: [...]attribute{
		{"K8s.Namespace", namespace}, {"K8s.Node", get("host")}, {"K8s.Workload", workload},
		{"EC2.InstanceId", instance}, {"AWS.ServiceNameSource", source}, {clusterKey, cluster},
	}}
	return s.append(dst, platform)
}

// ofTask appends the service of an ECS task, which has the name of its definition's
// family: by what FireLens puts into records, or else the task that Fluent Bit runs in.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/firelens-taskdef.html
func (e *entities) ofTask(dst, record []byte, account, instance string) []byte {
	family, _, _ := strings.Cut(string(textAt(record, "ecs_task_definition")), ":")
	cluster, arn := string(textAt(record, "ecs_cluster")), string(textAt(record, "ecs_task_arn"))
	if family == "" && e.ecs != nil {
		family, cluster, arn = e.ecs.Family, e.ecs.Cluster, e.ecs.TaskARN
	}
	if family == "" {
		return dst
	}
	if account == "" {
		if part := strings.Split(arn, ":"); len(part) > 4 {
			account = part[4]
		}
	}
	s := service{name: family, account: account, attributes: [6]attribute{{"EC2.InstanceId", instance}}}
	if cluster = cluster[strings.LastIndexByte(cluster, '/')+1:]; cluster != "" {
		s.environment = "ecs:" + cluster
	}
	return s.append(dst, "AWS::ECS")
}

// append appends the entity's JSON. The service wants an environment of each: what
// is in none that is known is in the one that the CloudWatch agent names so, too.
func (s *service) append(dst []byte, platform string) []byte {
	if s.environment == "" {
		s.environment = "generic:default"
	}
	dst = append(dst, `{"keyAttributes":{"Type":"Service"`...)
	for _, a := range []attribute{{"Name", s.name}, {"Environment", s.environment}, {"AwsAccountId", s.account}} {
		dst = a.append(dst)
	}
	dst = append(dst, `},"attributes":{"PlatformType":`...)
	dst = jsonenc.AppendQuoted(dst, platform)
	for _, a := range s.attributes {
		dst = a.append(dst)
	}
	return append(dst, "}}"...)
}

func (a attribute) append(dst []byte) []byte {
	if a.key == "" || a.value == "" {
		return dst
	}
	dst = append(dst, ',')
	dst = jsonenc.AppendQuoted(dst, a.key)
	dst = append(dst, ':')
	return jsonenc.AppendQuoted(dst, a.value[:jsonenc.CutText([]byte(a.value), maxEntityValue)])
}

// textAt returns the text under a key, nil if there is none.
func textAt(in []byte, key string) []byte {
	v, ok := chunk.Lookup(in, []string{key})
	if !ok {
		return nil
	}
	text, _, err := msgp.ReadStringZC(v)
	if err != nil {
		return nil
	}
	return text
}

// workloadOf returns the name of what made a pod, which Kubernetes makes the pod's
// name of: web-5d9c7b8d4-x2x7k of the deployment web, agent-x2x7k of a daemon set
// or job, db-0 of a stateful set. What looks like none of these is the workload.
// Its random parts have no vowels, nor what could be taken for them:
// https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go
func workloadOf(pod string) string {
	const random = "bcdfghjklmnpqrstvwxz2456789"
	cut := func(name string, min, max int, letters string) (string, bool) {
		i := strings.LastIndexByte(name, '-')
		part := name[i+1:]
		if i <= 0 || len(part) < min || len(part) > max || strings.Trim(part, letters) != "" {
			return name, false
		}
		return name[:i], true
	}
	if set, ok := cut(pod, 5, 5, random); ok {
		name, _ := cut(set, 6, 10, random)
		return name
	}
	name, _ := cut(pod, 1, 4, "0123456789")
	return name
}
