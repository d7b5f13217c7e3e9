package awsx

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// hosts returns where a session's calls of the three services go to.
func hosts(t *testing.T, o Options) string {
	t.Helper()
	var got []string
	s := load(t, o)
	defer s.Close()
	s.config.HTTPClient = &httpClient{transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.Scheme+"://"+r.URL.Host+r.URL.Path)
		return nil, http.ErrServerClosed
	})}
	PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	PutRecords(testContext(t), s.Kinesis(), "s", 1, NewBody([]byte("{}")))
	PutRecordBatch(testContext(t), s.Firehose(), "s", 1, NewBody([]byte("{}")))
	return strings.Join(got, " ")
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{Region: "us-east-1"}, "https://logs.us-east-1.amazonaws.com/ https://kinesis.us-east-1.amazonaws.com/ https://firehose.us-east-1.amazonaws.com/"},
		{Options{Region: "cn-north-1"}, "https://logs.cn-north-1.amazonaws.com.cn/ https://kinesis.cn-north-1.amazonaws.com.cn/ https://firehose.cn-north-1.amazonaws.com.cn/"},
		{Options{Region: "us-gov-west-1"}, "https://logs.us-gov-west-1.amazonaws.com/ https://kinesis.us-gov-west-1.amazonaws.com/ https://firehose.us-gov-west-1.amazonaws.com/"},
		{Options{Region: "eusc-de-east-1"}, "https://logs.eusc-de-east-1.amazonaws.eu/ https://kinesis.eusc-de-east-1.amazonaws.eu/ https://firehose.eusc-de-east-1.amazonaws.eu/"},
		{Options{Region: "us-iso-east-1"}, "https://logs.us-iso-east-1.c2s.ic.gov/ https://kinesis.us-iso-east-1.c2s.ic.gov/ https://firehose.us-iso-east-1.c2s.ic.gov/"},
		{Options{Region: "us-isob-east-1"}, "https://logs.us-isob-east-1.sc2s.sgov.gov/ https://kinesis.us-isob-east-1.sc2s.sgov.gov/ https://firehose.us-isob-east-1.sc2s.sgov.gov/"},
		{Options{Region: "us-east-2", UseFIPS: true}, "https://logs-fips.us-east-2.amazonaws.com/ https://kinesis-fips.us-east-2.amazonaws.com/ https://firehose-fips.us-east-2.amazonaws.com/"},
		{Options{Region: "us-east-1", UseDualStack: true}, "https://logs.us-east-1.api.aws/ https://kinesis.us-east-1.api.aws/ https://firehose.us-east-1.api.aws/"},
		{Options{Region: "us-east-1", Endpoint: "http://127.0.0.1:4566"}, "http://127.0.0.1:4566/ http://127.0.0.1:4566/ http://127.0.0.1:4566/"},
		{Options{Region: "us-east-1", Endpoint: "https://vpce.example.com/path"}, "https://vpce.example.com/path https://vpce.example.com/path https://vpce.example.com/path"},
	} {
		if got := hosts(t, c.opts); got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.opts, got, c.want)
		}
	}
}

// The SDK's own variables stay in force, and an option beats them.
func TestEndpointVariables(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://all.example.com")
	t.Setenv("AWS_ENDPOINT_URL_KINESIS", "http://kinesis.example.com")
	// Options that no other test has: what is shared is loaded only once.
	if got, want := hosts(t, Options{Timeout: 11 * time.Second}), "http://all.example.com/ http://kinesis.example.com/ http://all.example.com/"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := hosts(t, Options{Endpoint: "http://one.example.com", Timeout: 12 * time.Second}), strings.TrimSpace(strings.Repeat("http://one.example.com/ ", 3)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv("AWS_USE_FIPS_ENDPOINT", "true")
	t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
	if got, want := hosts(t, Options{Endpoint: "http://one.example.com", Timeout: 13 * time.Second}), strings.TrimSpace(strings.Repeat("http://one.example.com/ ", 3)); got != want {
		t.Errorf("with FIPS in the environment: got %s, want %s", got, want)
	}
	srv := local(t, awslocal.Config{})
	if c := whoCalls(t, srv, Options{RoleARN: farRole, STSEndpoint: srv.URL, Timeout: 14 * time.Second}); c.RoleARN != farRole {
		t.Errorf("STS with FIPS in the environment: got %+v", c)
	}
}

// Exactly one layer retries, and it is not this one.
func TestNoRetries(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "5")
	t.Setenv("AWS_RETRY_MODE", "adaptive")
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL, Timeout: 15 * time.Second})
	client := s.CloudWatchLogs()
	for _, kind := range []awslocal.Kind{awslocal.Throttle, awslocal.Error, awslocal.HTML, awslocal.LostAnswer, awslocal.CutAnswer} {
		before := srv.Counts("PutLogEvents").Requests
		srv.SetFaults("PutLogEvents", []awslocal.Fault{{Kind: kind, Probability: 1}})
		_, err := PutLogEvents(testContext(t), client, "g", "s", NewBody(logEvents("g", "s", 1)))
		if n := srv.Counts("PutLogEvents").Requests - before; err == nil || n != 1 {
			t.Errorf("%s: %d requests, %v", kind, n, err)
		}
	}
}

// Outputs with the same settings share connections and credentials, whatever
// their service and endpoint.
func TestSharing(t *testing.T) {
	base := Options{Region: "us-east-1", RoleARN: farRole, Timeout: time.Second}
	other := base
	other.Service, other.Endpoint, other.ExtraUserAgent, other.NoResend = "kinesis", "http://127.0.0.1:9", "x", true
	apart := base
	apart.ExternalID = "other"
	a, b, c := load(t, base), load(t, other), load(t, apart)
	if a.shared != b.shared || a.shared == c.shared {
		t.Errorf("shared: %v, want true; %v, want false", a.shared == b.shared, a.shared == c.shared)
	}
	a.Close()
	a.Close()
	d := load(t, base)
	if d.shared != b.shared {
		t.Error("gone though one still uses it")
	}
	d.Close()
	b.Close()
	e := load(t, base)
	if e.shared == b.shared {
		t.Error("kept though nobody uses it")
	}
}

// Nothing stays behind, however often outputs come and go.
func TestNothingIsLeft(t *testing.T) {
	srv := local(t, awslocal.Config{})
	round := func() {
		s := load(t, Options{Endpoint: srv.URL, RoleARN: farRole, STSEndpoint: srv.URL, Timeout: 16 * time.Second})
		client := s.CloudWatchLogs()
		prepare(t, client)
		if _, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1))); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	round()
	before := settled()
	for range 20 {
		round()
	}
	after := 0
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if after = runtime.NumGoroutine(); after <= before {
			return
		}
	}
	t.Errorf("%d goroutines, %d before", after, before)
}

// settled waits until the number of goroutines stops falling.
func settled() int {
	n := runtime.NumGoroutine()
	for range 10 {
		time.Sleep(5 * time.Millisecond)
		if m := runtime.NumGoroutine(); m < n {
			n = m
		}
	}
	return n
}

// Load makes no call: all that could answer hangs, and it does not notice.
func TestLoadMakesNoCall(t *testing.T) {
	silent := local(t, awslocal.Config{})
	silent.SetFaults(awslocal.AnyOperation, []awslocal.Fault{{Kind: awslocal.Hang, Probability: 1}})
	for _, op := range []string{"ContainerCredentials", "InstanceMetadata"} {
		silent.SetFaults(op, []awslocal.Fault{{Kind: awslocal.Hang, Probability: 1}})
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.ControlURL)
	t.Setenv("AWS_DEFAULTS_MODE", "auto")
	load(t, Options{RoleARN: farRole, STSEndpoint: silent.URL, EKSRoleARN: eksRole, Timeout: 17 * time.Second})
	load(t, Options{CredentialsEndpoint: silent.CredentialsURI(), Timeout: 17 * time.Second})
	if n := silent.Counts("").Requests; n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A file that cannot be read to its end costs no more than the deadline.
func TestLoadDeadline(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "config")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", fifo)
	_, err := Load(testContext(t), Options{Region: "us-east-1", Timeout: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if f, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil {
		f.Close() // lets go of who is still reading
	}
}

func TestIsAWS(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"https://kinesis.us-east-1.amazonaws.com":                     true,
		"https://KINESIS.us-east-1.AmazonAWS.com:443/":                true,
		"https://vpce-0a1b-2c3d.kinesis.eu-west-1.vpce.amazonaws.com": true,
		"https://kinesis.cn-north-1.amazonaws.com.cn":                 true,
		"https://kinesis.eusc-de-east-1.amazonaws.eu":                 true,
		"https://kinesis.us-east-1.api.aws":                           true,
		"https://kinesis.cn-north-1.api.amazonwebservices.com.cn":     true,
		"http://127.0.0.1:4566":                                       false,
		"http://localhost.localstack.cloud:4566":                      false,
		"https://kinesis.us-east-1.amazonaws.com.example.org":         false,
		"https://myamazonaws.com":                                     false,
		"https://proxy.example.org/kinesis.us-east-1.amazonaws.com":   false,
		"https://user:x.amazonaws.com@proxy.example.org":              false,
		":": false,
		"":  false,
	} {
		if got := IsAWS(endpoint); got != want {
			t.Errorf("%q: got %v", endpoint, got)
		}
	}
}
