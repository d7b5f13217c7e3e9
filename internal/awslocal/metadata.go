package awslocal

import (
	"net/http"
	"strings"
	"time"
)

// endpointService holds the endpoints that containers and instances find beside
// themselves. They are not APIs, but go wrong in the same ways, so they go
// through the same faults under these names.
var endpointService = &service{
	name:     "endpoint",
	protocol: plain,
	operations: map[string]*operation{
		"ContainerCredentials": {handle: (*Server).containerCredentials},
		"TaskMetadata":         {handle: (*Server).taskMetadata},
		"InstanceMetadata":     {handle: (*Server).instanceMetadata},
	},
}

// Task is what the ECS task metadata endpoint says about the task.
type Task struct {
	Cluster   string // short name or ARN; empty means the ARN of a cluster called default
	TaskARN   string // empty means a task of that cluster
	Family    string // empty means awslocal
	Revision  string // empty means 1
	Container string // its name; empty means log-router
}

func (t *Task) setDefaults(cfg *Config) {
	set := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	region := cfg.Region
	set(&region, "us-east-1")
	ecs := "arn:aws:ecs:" + region + ":" + cfg.Account + ":"
	set(&t.Cluster, ecs+"cluster/default")
	set(&t.TaskARN, ecs+"task/default/158d1c8083dd49d6b527399fd6414f5c")
	set(&t.Family, "awslocal")
	set(&t.Revision, "1")
	set(&t.Container, "log-router")
}

// TaskMetadataV3 is a value for ECS_CONTAINER_METADATA_URI.
func (s *Server) TaskMetadataV3() string { return s.ControlURL + "/v3/" + containerID }

// TaskMetadataV4 is a value for ECS_CONTAINER_METADATA_URI_V4.
func (s *Server) TaskMetadataV4() string { return s.ControlURL + "/v4/" + containerID }

// CredentialsURI is a value for AWS_CONTAINER_CREDENTIALS_FULL_URI.
func (s *Server) CredentialsURI() string { return s.ControlURL + "/credentials" }

const (
	containerID = "cd189a933e5849daa93386466019ab50-2495160603"
	taskRole    = "awslocal-task"
	nodeRole    = "awslocal-node"
)

// serveControl answers all that is not an API of a service.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	name := ""
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/awslocal/"):
		s.serveState(w, r)
		return
	case path == "/credentials":
		name = "ContainerCredentials"
	case path == "/v3" || path == "/v4" || strings.HasPrefix(path, "/v3/") || strings.HasPrefix(path, "/v4/"):
		name = "TaskMetadata"
	case strings.HasPrefix(path, "/latest/"):
		name = "InstanceMetadata"
	default:
		http.NotFound(w, r)
		return
	}
	c, done := s.newCall(r)
	defer done()
	c.op = endpointService.operations[name]
	c.rec.Service, c.rec.Operation = endpointService.name, name
	s.play(w, c, s.faults.pick(name, nil))
}

// containerCredentials is what ECS and the EKS pod identity agent serve:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func (s *Server) containerCredentials(c *call) (any, *apiError) {
	if want := s.cfg.ContainerToken; want != "" && c.http.Header.Get("Authorization") != want {
		return nil, &apiError{status: http.StatusUnauthorized, code: "Unauthorized", message: "the authorization token is missing or wrong"}
	}
	role := "arn:aws:iam::" + s.cfg.Account + ":role/" + taskRole
	key := s.issue(Credentials{Source: "ContainerCredentials", RoleARN: role, SessionName: containerID}, 6*time.Hour)
	return map[string]string{"AccessKeyId": key.AccessKeyID, "SecretAccessKey": key.SecretAccessKey, "Token": key.SessionToken,
		"Expiration": key.Expires.UTC().Format(time.RFC3339), "RoleArn": role}, nil
}

// taskMetadata answers /v3 and /v4, with or without an id, for the container,
// and the same with /task behind it for the task:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
func (s *Server) taskMetadata(c *call) (any, *apiError) {
	v4 := strings.HasPrefix(c.http.URL.Path, "/v4")
	t := &s.cfg.Task
	container := map[string]any{
		"DockerId": containerID, "Name": t.Container, "DockerName": t.Container, "Image": "awslocal:latest", "ImageID": "sha256:0",
		"Labels": map[string]string{
			"com.amazonaws.ecs.cluster":                 t.Cluster,
			"com.amazonaws.ecs.container-name":          t.Container,
			"com.amazonaws.ecs.task-arn":                t.TaskARN,
			"com.amazonaws.ecs.task-definition-family":  t.Family,
			"com.amazonaws.ecs.task-definition-version": t.Revision,
		},
		"DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": map[string]int{"CPU": 2}, "Type": "NORMAL",
		"CreatedAt": "2026-01-01T00:00:00Z", "StartedAt": "2026-01-01T00:00:01Z",
		"Networks": []any{map[string]any{"NetworkMode": "awsvpc", "IPv4Addresses": []string{"10.0.0.108"}}},
	}
	if v4 {
		container["ContainerARN"] = s.arn("ecs", "container/default/158d1c8083dd49d6b527399fd6414f5c/00000000-0000-0000-0000-000000000001")
	}
	switch path := strings.Split(strings.Trim(c.http.URL.Path, "/"), "/"); {
	case len(path) > 3:
	case path[len(path)-1] == "task":
		task := map[string]any{"Cluster": t.Cluster, "TaskARN": t.TaskARN, "Family": t.Family, "Revision": t.Revision,
			"DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Containers": []any{container},
			"PullStartedAt": "2026-01-01T00:00:00Z", "PullStoppedAt": "2026-01-01T00:00:01Z", "AvailabilityZone": s.region() + "a"}
		if v4 {
			task["LaunchType"] = "FARGATE"
		}
		return task, nil
	case len(path) <= 2:
		return container, nil
	}
	return nil, notFound(c)
}

// instanceMetadata is the part of the EC2 instance metadata service, version 2
// only, that credentials and the region come from:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
func (s *Server) instanceMetadata(c *call) (any, *apiError) {
	const token = "awslocal-instance-metadata-token"
	path := strings.TrimPrefix(c.http.URL.Path, "/latest/")
	if path == "api/token" {
		ttl := c.http.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds")
		if c.http.Method != http.MethodPut || ttl == "" {
			return nil, &apiError{status: http.StatusBadRequest, code: "BadRequest", message: "the token wants a PUT with its time to live"}
		}
		c.answerHeader = http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {ttl}}
		return token, nil
	}
	if c.http.Header.Get("X-Aws-Ec2-Metadata-Token") != token {
		return nil, &apiError{status: http.StatusUnauthorized, code: "Unauthorized", message: "the token is missing or wrong"}
	}
	switch path {
	case "meta-data/iam/security-credentials/":
		return nodeRole, nil
	case "meta-data/iam/security-credentials/" + nodeRole:
		now := s.cfg.Now().UTC()
		key := s.issue(Credentials{Source: "InstanceMetadata", RoleARN: "arn:aws:iam::" + s.cfg.Account + ":role/" + nodeRole,
			SessionName: "i-0123456789abcdef0"}, 6*time.Hour)
		return map[string]string{"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": now.Format(time.RFC3339),
			"AccessKeyId": key.AccessKeyID, "SecretAccessKey": key.SecretAccessKey, "Token": key.SessionToken,
			"Expiration": key.Expires.UTC().Format(time.RFC3339)}, nil
	case "meta-data/placement/region":
		return s.region(), nil
	case "meta-data/placement/availability-zone":
		return s.region() + "a", nil
	case "meta-data/instance-id":
		return "i-0123456789abcdef0", nil
	case "dynamic/instance-identity/document":
		return map[string]string{"accountId": s.cfg.Account, "region": s.region(), "availabilityZone": s.region() + "a",
			"instanceId": "i-0123456789abcdef0", "instanceType": "m5.large", "privateIp": "10.0.0.108"}, nil
	}
	return nil, notFound(c)
}

func notFound(c *call) *apiError {
	return &apiError{status: http.StatusNotFound, code: "NotFound", message: "nothing at " + c.http.URL.Path}
}
