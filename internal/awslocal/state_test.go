package awslocal

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func post(t testing.TB, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	noError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	noError(t, err)
	return resp.StatusCode, string(answer)
}

// TestState: what is told over HTTP is what happened.
func TestState(t *testing.T) {
	s := faultServer(t, Config{})
	ctx := testContext(t)
	all := puts(t, s)
	s.Script("PutLogEvents", Fault{Kind: Throttle}, Fault{Kind: LostAnswer})
	for range 3 {
		_ = all["PutLogEvents"](ctx) // the first two fail
	}
	noError(t, all["PutRecords"](ctx))
	noError(t, all["PutRecordBatch"](ctx))
	noError(t, all["PutRecordBatch"](ctx))
	_, err := stsClient(t, s).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: ptr(roleARN), RoleSessionName: ptr("session"), ExternalId: ptr("the-id"), DurationSeconds: ptr(int32(900))})
	noError(t, err)

	for _, base := range []string{s.URL, s.ControlURL} {
		status, body := get(t, base+"/awslocal/state")
		var got State
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		if got.Totals != (Totals{LogEvents: 6, KinesisRecords: 3, FirehoseRecords: 6, LostRecords: 3}) || got.Down {
			t.Errorf("totals %+v", got.Totals)
		}
		if g := got.Logs[0]; g.Name != "g" || g.Class != "STANDARD" || g.Streams[0].Name != "s" || g.Streams[0].Count != 6 || g.Streams[0].Puts != 2 ||
			g.Streams[0].Bytes != 6*(1+eventOverhead) || len(g.Streams[0].First) != firstRecords || g.Streams[0].First[0].Message != "x" {
			t.Errorf("group %+v", g)
		}
		if k := got.Kinesis[0]; k.Name != "s" || k.Count != 3 || len(k.Shards) != 2 || len(k.First) != 3 || string(k.First[0].Data) != "d" {
			t.Errorf("kinesis %+v", k)
		}
		if f := got.Firehose[0]; f.Name != "s" || f.Count != 6 || f.Bytes != 6 || len(f.First) != firstRecords {
			t.Errorf("firehose %+v", f)
		}
		if c := got.STS[0]; c.RoleARN != roleARN || c.ExternalID != "the-id" || c.Seconds != 900 || c.Source != "AssumeRole" {
			t.Errorf("credentials %+v", c)
		}
		if secret := s.STS().Credentials()[0].SecretAccessKey; strings.Contains(body, secret) {
			t.Error("the state tells a secret")
		}
		if n := got.Operations["PutLogEvents"]; n.Requests != 3 || n.Succeeded != 1 || n.Accepted != 6 || n.LostRecords != 3 || n.LostAnswers != 1 || n.BodyBytes == 0 {
			t.Errorf("operation %+v", n)
		}
		if n := got.Faults["PutLogEvents"]; n[Throttle] != 1 || n[LostAnswer] != 1 {
			t.Errorf("faults %v", n)
		}
	}
}

func TestRecordsOverHTTP(t *testing.T) {
	s := faultServer(t, Config{})
	s.Logs().CreateStream("g", "empty")
	for _, put := range puts(t, s) {
		noError(t, put(testContext(t)))
	}
	var events []LogEvent
	status, body := get(t, s.URL+"/awslocal/events?group=g&stream=s")
	noError(t, json.Unmarshal([]byte(body), &events))
	if status != 200 || len(events) != 3 || events[2].Message != "x" || strings.Count(body, "\n") != 5 {
		t.Errorf("events: %d %s", status, body)
	}
	status, body = get(t, s.URL+"/awslocal/events?group=g&stream=empty")
	noError(t, json.Unmarshal([]byte(body), &events))
	if status != 200 || len(events) != 0 {
		t.Errorf("no events: %d %s", status, body)
	}
	var records []KinesisRecord
	status, body = get(t, s.URL+"/awslocal/kinesis?stream=s")
	noError(t, json.Unmarshal([]byte(body), &records))
	if status != 200 || len(records) != 3 || string(records[0].Data) != "d" || !strings.HasPrefix(records[0].PartitionKey, "k00") {
		t.Errorf("records: %d %s", status, body)
	}
	if status, body = get(t, s.URL+"/awslocal/firehose?stream=s"); status != 200 || body != "ddd" {
		t.Errorf("data: %d %s", status, body)
	}
	var requests []Request
	status, body = get(t, s.URL+"/awslocal/requests?operation=PutRecords")
	noError(t, json.Unmarshal([]byte(body), &requests))
	if status != 200 || len(requests) != 1 || requests[0].Auth.AccessKeyID != "AKIDEXAMPLE" || requests[0].Records != 3 {
		t.Errorf("requests: %d %s", status, body)
	}
	for _, path := range []string{"events?group=g&stream=none", "events?group=none&stream=s", "kinesis?stream=none", "firehose?stream=none", "nothing", "faults", "reset"} {
		if status, body := get(t, s.URL+"/awslocal/"+path); status != 404 {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
}

func TestFaultsOverHTTP(t *testing.T) {
	s := faultServer(t, Config{})
	put := puts(t, s)["PutLogEvents"]
	order := func(body string) {
		t.Helper()
		if status, answer := post(t, s.URL+"/awslocal/faults", body); status != 200 {
			t.Fatalf("%s: %d %s", body, status, answer)
		}
	}
	order(`{"operation":"PutLogEvents","script":[{"kind":"throttle"},{"kind":"none"},{"kind":"error","status":400,"code":"Odd","message":"m","retry_after":"3","delay":"1ms","target":"s"}]}`)
	for _, want := range []string{"ThrottlingException", "", "Odd", ""} {
		wantCode(t, "script", put(testContext(t)), want)
	}
	order(`{"operation":"*","random":[{"kind":"access_denied","probability":1}]}`)
	wantCode(t, "random", put(testContext(t)), "AccessDeniedException")
	order(`{"operation":"*","random":[]}`)
	wantCode(t, "taken back", put(testContext(t)), "")
	order(`{"operation":"PutLogEvents","script":[{"kind":"throttle"}]}`)
	order(`{"clear":true,"operation":"PutLogEvents","script":[{"kind":"access_denied"}]}`)
	wantCode(t, "cleared first", put(testContext(t)), "AccessDeniedException")
	order(`{"operation":"TaskMetadata","script":[{"kind":"error"}]}`)
	if status, _ := get(t, s.TaskMetadataV3()); status != 500 {
		t.Errorf("task metadata: %d", status)
	}
	for _, bad := range []string{`{`, `{"operation":"PutLogEvents","script":[{"kind":"odd"}]}`, `{"operation":"PutEvents","script":[{"kind":"none"}]}`,
		`{"script":[{"kind":"none"}]}`, `{"random":[{"kind":"none"}]}`, `{"operation":"*","random":[{"kind":"throttle","probability":2}]}`,
		`{"operation":"*","random":[{"kind":"partial","rate":-1}]}`, `{"operation":"*","script":[{"kind":"slow","delay":"soon"}]}`,
		`{"operation":"*","script":[{"kind":"slow","delay":"-1s"}]}`, `{"operation":"*","script":[{"knd":"slow"}]}`, `{"operation":"*","script":[{"kind":"slow","delay":5}]}`} {
		if status, answer := post(t, s.URL+"/awslocal/faults", bad); status != 400 || answer == "" {
			t.Errorf("%s: %d %s", bad, status, answer)
		}
	}
	wantCode(t, "bad orders change nothing", put(testContext(t)), "")
}

func TestResetEverything(t *testing.T) {
	dir := t.TempDir()
	s := faultServer(t, Config{FirehoseDir: dir})
	for _, put := range puts(t, s) {
		noError(t, put(testContext(t)))
	}
	noError(t, s.Kinesis().CreateStream("extra", 1))
	s.STS().Trust(roleARN, "x")
	get(t, s.CredentialsURI())
	s.Script("PutLogEvents", Fault{Kind: Throttle})
	if status, body := post(t, s.URL+"/awslocal/reset", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	got := s.State()
	if got.Totals != (Totals{}) || len(got.Logs) != 0 || len(got.Kinesis) != 1 || len(got.Firehose) != 1 || got.Kinesis[0].Count != 0 || got.Firehose[0].Count != 0 ||
		len(got.STS) != 0 || len(got.Operations) != 0 || len(got.Faults) != 0 || len(s.Requests("")) != 0 {
		t.Errorf("after a reset: %+v", got)
	}
	s.Logs().CreateStream("g", "s")
	for _, put := range puts(t, s) {
		noError(t, put(testContext(t)))
	}
	_, err := stsClient(t, s).AssumeRole(testContext(t), &sts.AssumeRoleInput{RoleArn: ptr(roleARN), RoleSessionName: ptr("session")})
	noError(t, err)
}

func TestDownOverHTTP(t *testing.T) {
	s := faultServer(t, Config{})
	put := puts(t, s)["PutLogEvents"]
	if status, body := post(t, s.URL+"/awslocal/down", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if !waitFor(10*time.Second, func() bool { return s.State().Down }) {
		t.Fatal("did not go down")
	}
	if put(testContext(t)) == nil {
		t.Error("a call went well while down")
	}
	if status, body := post(t, s.ControlURL+"/awslocal/up", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	noError(t, put(testContext(t)))
	if status, body := post(t, s.URL+"/awslocal/down?for=10ms", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if !waitFor(10*time.Second, func() bool { return put(testContext(t)) == nil }) {
		t.Error("did not come up")
	}
	for _, bad := range []string{"soon", "-1s", "10"} {
		if status, _ := post(t, s.ControlURL+"/awslocal/down?for="+bad, ""); status != 400 {
			t.Errorf("down for %s: %d", bad, status)
		}
	}
}
