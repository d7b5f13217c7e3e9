package awslocal

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, url, nil)
	noError(t, err)
	resp, err := http.DefaultClient.Do(req)
	noError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	noError(t, err)
	return resp.StatusCode, string(body)
}

func TestContainerCredentials(t *testing.T) {
	s := start(t, Config{ContainerToken: "secret", RefuseUnknownKeys: true})
	s.Logs().CreateStream("g", "s")
	ctx := testContext(t)
	use := func(token string) error {
		cfg := sdkConfig(t, s)
		cfg.Credentials = endpointcreds.New(s.CredentialsURI(), func(o *endpointcreds.Options) { o.AuthorizationToken, o.Retryer = token, cfg.Retryer() })
		_, err := cloudwatchlogs.NewFromConfig(cfg).PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
		return err
	}
	noError(t, use("secret"))
	if err := use("wrong"); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("wrong token: %v", err)
	}
	c := s.STS().Credentials()
	if len(c) != 1 || c[0].Source != "ContainerCredentials" || time.Until(c[0].Expires) < 5*time.Hour {
		t.Fatalf("given out: %+v", c)
	}
	if r := s.Requests("PutLogEvents")[0]; r.Auth.AccessKeyID != c[0].AccessKeyID || !r.Auth.Verified {
		t.Errorf("signed by %+v", r.Auth)
	}
	if r := s.Requests("ContainerCredentials"); len(r) != 2 || r[0].Header.Get("Authorization") != "secret" || r[0].Status != 200 || r[1].Status != 401 {
		t.Errorf("requests %+v", r)
	}
}

// TestContainerCredentialsFromEnvironment takes the way that containers take.
func TestContainerCredentialsFromEnvironment(t *testing.T) {
	s := start(t, Config{RefuseUnknownKeys: true})
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.CredentialsURI()} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(testContext(t), config.WithRegion("us-east-1"))
	noError(t, err)
	c, err := cfg.Credentials.Retrieve(testContext(t))
	noError(t, err)
	if _, ok := s.STS().Lookup(c.AccessKeyID); !ok {
		t.Errorf("%s was not given out", c.AccessKeyID)
	}
}

func TestTaskMetadata(t *testing.T) {
	s := start(t, Config{Region: "eu-west-1", Task: Task{Container: "app"}})
	type task struct {
		Cluster, TaskARN, Family, Revision, LaunchType string
		Containers                                     []struct{ Name string }
	}
	for _, base := range []string{s.TaskMetadataV3(), s.TaskMetadataV4(), s.ControlURL + "/v3", s.PlainURL + "/v4"} {
		status, body := get(t, base+"/task")
		var got task
		noError(t, json.Unmarshal([]byte(body), &got))
		if status != 200 || got.Cluster != "arn:aws:ecs:eu-west-1:123456789012:cluster/default" || got.Family != "awslocal" || len(got.Containers) != 1 || got.Containers[0].Name != "app" ||
			got.TaskARN != "arn:aws:ecs:eu-west-1:123456789012:task/default/158d1c8083dd49d6b527399fd6414f5c" {
			t.Errorf("%s/task: %d %s", base, status, body)
		}
		if v4 := strings.Contains(base, "/v4"); v4 != (got.LaunchType == "FARGATE") {
			t.Errorf("%s/task: launch type %q", base, got.LaunchType)
		}
		status, body = get(t, base)
		var container struct{ Labels map[string]string }
		noError(t, json.Unmarshal([]byte(body), &container))
		if status != 200 || container.Labels["com.amazonaws.ecs.task-arn"] != got.TaskARN {
			t.Errorf("%s: %d %s", base, status, body)
		}
	}
	own := start(t, Config{Task: Task{Cluster: "short", TaskARN: "arn:aws:ecs:us-west-2:123456789012:task/short/1"}})
	if _, body := get(t, own.TaskMetadataV4()+"/task"); !strings.Contains(body, `"short"`) || !strings.Contains(body, "task/short/1") {
		t.Errorf("own task: %s", body)
	}
	for _, path := range []string{"/v3/a/b", "/v4/a/task/stats", "/v3/a/stats"} {
		if status, body := get(t, s.ControlURL+path); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if n := s.Counts("TaskMetadata").Requests; n != 11 {
		t.Errorf("%d requests counted, want 11", n)
	}
}

func TestInstanceMetadata(t *testing.T) {
	s := start(t, Config{Region: "eu-west-1", RefuseUnknownKeys: true})
	ctx := testContext(t)
	client := imds.New(imds.Options{Endpoint: s.ControlURL})
	region, err := client.GetRegion(ctx, &imds.GetRegionInput{})
	noError(t, err)
	if region.Region != "eu-west-1" {
		t.Errorf("region %q", region.Region)
	}
	c, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client }).Retrieve(ctx)
	noError(t, err)
	if got, ok := s.STS().Lookup(c.AccessKeyID); !ok || got.Source != "InstanceMetadata" || got.SecretAccessKey != c.SecretAccessKey {
		t.Errorf("given out %+v, the client has %s", got, c.AccessKeyID)
	}
	for _, path := range []string{"instance-id", "placement/availability-zone", "placement/region"} {
		if _, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path}); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "mac"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("unknown path: %v", err)
	}
	if status, _ := get(t, s.ControlURL+"/latest/meta-data/instance-id"); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	if status, _ := get(t, s.ControlURL+"/latest/api/token"); status != 400 {
		t.Errorf("token by GET: %d", status)
	}
	if status, _ := get(t, s.ControlURL+"/other"); status != 404 {
		t.Errorf("other path: %d", status)
	}
}

// TestMetadataFaults: the metadata endpoints go wrong as the services do.
func TestMetadataFaults(t *testing.T) {
	s := start(t, Config{})
	s.SetFaults(AnyOperation, []Fault{{Kind: Throttle, Probability: 1}})
	if status, _ := get(t, s.TaskMetadataV4()); status != 200 {
		t.Errorf("a fault of all operations played for an endpoint: %d", status)
	}
	s.Script("TaskMetadata", Fault{Kind: Error, Status: 503}, Fault{Kind: HTML}, Fault{Kind: Throttle}, Fault{Kind: None})
	for _, want := range []int{503, 502, 429, 200} {
		if status, body := get(t, s.TaskMetadataV4()); status != want {
			t.Errorf("got %d %s, want %d", status, body, want)
		}
	}
	s.Script("ContainerCredentials", Fault{Kind: Hang})
	client := http.Client{Timeout: 50 * time.Millisecond}
	if resp, err := client.Get(s.CredentialsURI()); err == nil {
		resp.Body.Close()
		t.Error("a hanging endpoint answered")
	}
}
