package awsx

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"aws-for-fluent-bit/internal/awslocal"
)

// These are the ways to credentials that a deployment has, each against a
// stand-in of STS, of the container agents or of EC2's instance metadata.

// noKeys takes away the keys that all tests have in their environment.
func noKeys(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
}

func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// noCredentials makes a call that must fail for want of them, and returns why.
func noCredentials(t *testing.T, srv *awslocal.Server, o Options) string {
	t.Helper()
	o.Endpoint = srv.URL
	s := load(t, o)
	defer s.Close()
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != NoCredentials {
		t.Fatalf("got %+v, %v", f, err)
	}
	return err.Error()
}

// The EKS pod identity agent listens on a link-local address of IPv6 as well. Its
// token is a file that Kubernetes writes anew: it is read each time.
func TestPodIdentityByIPv6(t *testing.T) {
	srv, err := awslocal.Start(awslocal.Config{Addr: "[::1]:0", ContainerToken: "first", RefuseUnknownKeys: true})
	if err != nil {
		t.Skipf("SKIP: no IPv6 on this machine: %v", err)
	}
	t.Cleanup(srv.Close)
	if !strings.HasPrefix(srv.CredentialsURI(), "http://[::1]:") {
		t.Fatalf("the agent is at %s", srv.CredentialsURI())
	}
	noKeys(t)
	token := writeFile(t, "token", "first")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", srv.CredentialsURI())
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	s := load(t, Options{Endpoint: srv.URL, Timeout: 6001 * time.Millisecond})
	prepare(t, s.CloudWatchLogs())

	if err := os.WriteFile(token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if !s.Invalidate(begun) {
		t.Fatal("Invalidate: got false")
	}
	_, err = PutLogEvents(testContext(t), s.CloudWatchLogs(), "group", "log", NewBody(logEvents("group", "log", 1)))
	if f := Classify(err); f.Class != NoCredentials || strings.Contains(err.Error(), "second") {
		t.Errorf("with a token that the agent does not know: got %+v, %v", f, err)
	}
}

// Roles on roles: a profile's source is a profile with a role of its own, or the
// environment, or a container's agent; the option comes on top of them.
func TestProfileChains(t *testing.T) {
	srv := local(t, awslocal.Config{})
	secret := awslocal.DefaultKeys["AKIDEXAMPLE"]
	const inner, middle, outer = "arn:aws:iam::111111111111:role/inner", "arn:aws:iam::222222222222:role/middle", "arn:aws:iam::333333333333:role/outer"
	t.Setenv("AWS_CONFIG_FILE", writeFile(t, "config", strings.Join([]string{
		"[profile keys]", "aws_access_key_id = AKIDEXAMPLE", "aws_secret_access_key = " + secret,
		"[profile inner]", "role_arn = " + inner, "source_profile = keys", "role_session_name = first", "duration_seconds = 1800",
		"[profile middle]", "role_arn = " + middle, "source_profile = inner", "external_id = open sesame,", "role_session_name = second",
		"[profile environment]", "role_arn = " + inner, "credential_source = Environment",
		"[profile container]", "role_arn = " + inner, "credential_source = EcsContainer",
		"[profile instance]", "role_arn = " + inner, "credential_source = Ec2InstanceMetadata",
		"[profile loop]", "role_arn = " + inner, "source_profile = loop2",
		"[profile loop2]", "role_arn = " + middle, "source_profile = loop", ""}, "\n")))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", srv.CredentialsURI())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.ControlURL)

	// roles are those of the call's credentials, of what these were got with, and
	// so on, down to where the chain begins.
	roles := func(c awslocal.Credentials) (chain []string) {
		for {
			if c.Source != "AssumeRole" {
				return append(chain, c.Source)
			}
			chain = append(chain, c.RoleARN[len("arn:aws:iam::"):][:1]+" "+c.SessionName+" "+c.Duration.String())
			c, _ = srv.STS().Lookup(c.CallerKeyID)
		}
	}
	for _, test := range []struct {
		profile string
		options Options
		keys    bool // in the environment
		want    []string
	}{
		{"keys", Options{}, false, []string{"key"}},
		{"inner", Options{}, false, []string{"1 first 30m0s", "key"}},
		{"inner", Options{RoleARN: outer, RoleSessionName: "top", RoleDuration: 20 * time.Minute}, false, []string{"3 top 20m0s", "1 first 30m0s", "key"}},
		{"environment", Options{}, true, []string{"1 * 15m0s", "key"}},
		{"container", Options{}, false, []string{"1 * 15m0s", "ContainerCredentials"}},
		{"container", Options{EKSRoleARN: middle, RoleARN: outer}, false,
			[]string{"3 aws-for-fluent-bit 1h0m0s", "2 aws-for-fluent-bit 1h0m0s", "1 * 15m0s", "ContainerCredentials"}},
		{"instance", Options{}, false, []string{"1 * 15m0s", "InstanceMetadata"}},
	} {
		if !test.keys {
			noKeys(t)
		} else {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
			t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
		}
		test.options.Profile, test.options.STSEndpoint = test.profile, srv.URL
		got := roles(whoCalls(t, srv, test.options))
		for i := range got { // a session name that nobody has set is a number
			if i < len(test.want) && strings.Contains(test.want[i], " * ") {
				words := strings.Fields(got[i])
				words[1] = "*"
				got[i] = strings.Join(words, " ")
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.profile, got, test.want)
		}
	}
	noKeys(t)
	if _, err := Load(testContext(t), Options{Region: "us-east-1", Profile: "loop"}); err == nil {
		t.Error("profiles that are each other's source: no error")
	}
	// STS refuses an external id with a space; what it says comes through.
	if text := noCredentials(t, srv, Options{Profile: "middle", STSEndpoint: srv.URL}); !strings.Contains(text, "externalId") {
		t.Errorf("got %s", text)
	}
}

// A credential_process may give keys that end, fail, say nonsense, or hang.
func TestCredentialProcess(t *testing.T) {
	srv := local(t, awslocal.Config{})
	noKeys(t)
	secret := awslocal.DefaultKeys["AKIDEXAMPLE"]
	count := writeFile(t, "count", "")
	process := func(name, script string) string { return writeFile(t, name, "#!/bin/sh\n"+script+"\n") }
	keys := fmt.Sprintf(`"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"%s"`, secret)
	soon := time.Now().Add(2 * time.Minute).UTC().Format(time.RFC3339)
	t.Setenv("AWS_CONFIG_FILE", writeFile(t, "config", strings.Join([]string{
		"[profile ends]", "credential_process = " + process("ends", "echo x >> "+count+"; echo '{"+keys+`,"Expiration":"`+soon+`"}'`),
		"[profile fails]", "credential_process = " + process("fails", "echo 's3cret'; exit 7"),
		"[profile nonsense]", "credential_process = " + process("nonsense", "echo s3cret"),
		"[profile cut]", "credential_process = " + process("cut", `echo '{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s3cret'`),
		"[profile hangs]", "credential_process = " + process("hangs", "exec sleep 4 >/dev/null 2>&1"), ""}, "\n")))

	s := load(t, Options{Endpoint: srv.URL, Profile: "ends"})
	for range 3 {
		prepare(t, s.CloudWatchLogs())
	}
	runs := func() int {
		text, err := os.ReadFile(count)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "x")
	}
	if runs() != 1 {
		t.Errorf("it ran %d times for several calls", runs())
	}
	// In the second half of what is left they are renewed, without anyone waiting.
	s.shared.creds.mu.Lock()
	s.shared.creds.now = func() time.Time { return time.Now().Add(time.Minute + 10*time.Second) }
	s.shared.creds.mu.Unlock()
	prepare(t, s.CloudWatchLogs())
	settle(s.shared.creds)
	if runs() != 2 {
		t.Errorf("it ran %d times, want a second time before the end", runs())
	}

	for profile, want := range map[string]string{"fails": "exit status 7", "nonsense": "the output of credential_process is not the JSON that is expected, from byte 1 on", "cut": "is not the JSON that is expected, from byte 60 on", "hangs": ""} {
		begun := time.Now()
		text := noCredentials(t, srv, Options{Profile: profile, Timeout: 500 * time.Millisecond})
		if !strings.Contains(text, want) || strings.Contains(text, "s3cret") {
			t.Errorf("%s: got %s", profile, text)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: it took %v", profile, took)
		}
	}
}

// EC2's metadata service may hang, as for a container that is too many hops away,
// or refuse; a call ends with its deadline, and the error names it. A proxy of
// the environment is not asked for it.
func TestInstanceMetadata(t *testing.T) {
	srv := local(t, awslocal.Config{})
	noKeys(t)
	p := newProxy(t)
	t.Setenv("HTTP_PROXY", p.URL)
	t.Setenv("http_proxy", p.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.ControlURL)
	if c := whoCalls(t, srv, Options{Timeout: 7001 * time.Millisecond}); c.Source != "InstanceMetadata" {
		t.Errorf("got %+v", c)
	}
	for name, fault := range map[string]awslocal.Fault{
		"hangs":   {Kind: awslocal.Hang},
		"refuses": {Kind: awslocal.HTML, Status: 403},
	} {
		fault.Probability = 1
		srv.SetFaults("InstanceMetadata", []awslocal.Fault{fault})
		begun := time.Now()
		if text := noCredentials(t, srv, Options{Timeout: 400 * time.Millisecond, TLSMinVersion: name[:1]}); !strings.Contains(text, "EC2") && !strings.Contains(text, "deadline") {
			t.Errorf("%s: got %s", name, text)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	if n := p.seen.Load(); n > 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

// What gets credentials goes the way that the options say, as the calls do: by
// the proxy, with the authorities to trust, and no TLS older than allowed.
func TestNetworkOfSTS(t *testing.T) {
	t.Parallel()
	srv := local(t, awslocal.Config{TLS: true})
	call := func(o Options) error {
		o.Region, o.RoleARN = "us-east-1", farRole
		cfg, err := loadConfig(testContext(t), o)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		_, err = chainOf(cfg, o).Retrieve(testContext(t))
		return err
	}
	if err := call(Options{STSEndpoint: srv.URL}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the bundle: got %v", err)
	}
	if err := call(Options{STSEndpoint: srv.URL, CABundle: caFile(t, srv)}); err != nil {
		t.Errorf("with the bundle: %v", err)
	}
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	old.TLS.MaxVersion = tlsVersion("1.2")
	if err := call(Options{STSEndpoint: old.URL, TLSMinVersion: "1.3"}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("an STS of TLS 1.2: got %v", err)
	}

	// A name that only the proxy knows.
	var seen []string
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Host)
		if r.URL.Host == "sts.example.invalid" {
			far, err := url.Parse(srv.PlainURL)
			if err != nil {
				t.Error(err)
			}
			r.URL.Host = far.Host // the signature is of the Host that was asked for
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer p.Close()
	if err := call(Options{STSEndpoint: "http://sts.example.invalid", ProxyURL: p.URL, NoProxy: "127.0.0.1"}); err != nil || !slices.Equal(seen, []string{"sts.example.invalid"}) {
		t.Errorf("by the proxy: %v, it was asked for %q", err, seen)
	}
	req, err := http.NewRequest("POST", "http://sts.example.invalid/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for except, proxied := range map[string]bool{".example.invalid": false, "example.org": true} {
		u, err := credentialsClient(Options{ProxyURL: p.URL, NoProxy: except}).GetTransport().Proxy(req)
		if err != nil || (u != nil) != proxied {
			t.Errorf("with no_proxy %s: got %v, %v", except, u, err)
		}
	}
}

// STS is the region's own, in all partitions, and follows the same options as the
// services.
func TestSTSEndpoints(t *testing.T) {
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{Region: "us-east-1"}, "https://sts.us-east-1.amazonaws.com/"},
		{Options{Region: "eu-central-1"}, "https://sts.eu-central-1.amazonaws.com/"},
		{Options{Region: "cn-north-1"}, "https://sts.cn-north-1.amazonaws.com.cn/"},
		{Options{Region: "us-gov-west-1"}, "https://sts.us-gov-west-1.amazonaws.com/"},
		{Options{Region: "eusc-de-east-1"}, "https://sts.eusc-de-east-1.amazonaws.eu/"},
		{Options{Region: "us-iso-east-1"}, "https://sts.us-iso-east-1.c2s.ic.gov/"},
		{Options{Region: "us-isob-east-1"}, "https://sts.us-isob-east-1.sc2s.sgov.gov/"},
		{Options{Region: "eu-isoe-west-1"}, "https://sts.eu-isoe-west-1.cloud.adc-e.uk/"},
		{Options{Region: "us-isof-south-1"}, "https://sts.us-isof-south-1.csp.hci.ic.gov/"},
		{Options{Region: "us-east-2", UseFIPS: true}, "https://sts-fips.us-east-2.amazonaws.com/"},
		{Options{Region: "us-east-1", UseDualStack: true}, "https://sts.us-east-1.api.aws/"},
		{Options{Region: "us-east-1", UseFIPS: true, STSEndpoint: "https://sts.example.com/path"}, "https://sts.example.com/path"},
	} {
		cfg, err := loadConfig(testContext(t), test.options)
		if err != nil {
			t.Fatal(err)
		}
		var asked []string
		cfg.HTTPClient = &httpClient{transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.String())
			return nil, http.ErrServerClosed
		})}
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		o := test.options
		o.EKSRoleARN, o.RoleARN = "", farRole
		if _, err := chainOf(cfg, o).Retrieve(testContext(t)); err == nil || !slices.Equal(asked, []string{test.want}) {
			t.Errorf("%v: went to %q, %v", o, asked, err)
		}
	}
}

// Renewal ahead of the end, against STS: nobody waits for it, a failure of STS
// does not matter while the old credentials serve, and it is tried again.
func TestRenewalBySTS(t *testing.T) {
	t.Parallel()
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL, RoleARN: farRole, STSEndpoint: srv.URL})
	client := s.CloudWatchLogs()
	creds := s.shared.creds
	prepare(t, client)
	ahead := func(d time.Duration) {
		creds.mu.Lock()
		creds.now = func() time.Time { return time.Now().Add(d) }
		creds.mu.Unlock()
	}
	calls := func() int { return srv.Counts("AssumeRole").Requests }
	put := func() string {
		t.Helper()
		if _, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1))); err != nil {
			t.Fatal(err)
		}
		requests := srv.Requests("PutLogEvents")
		return requests[len(requests)-1].Auth.AccessKeyID
	}
	first := put()
	if calls() != 1 {
		t.Fatalf("%d calls of STS at the start", calls())
	}
	ahead(time.Hour - renewAhead)
	srv.STS().Trust(eksRole, "") // and no other
	if got := put(); got != first {
		t.Error("the call waited for a renewal")
	}
	settle(creds)
	failed := calls()
	if failed != 2 {
		t.Errorf("%d calls of STS, want a second one", failed)
	}
	if got := put(); got != first || calls() != failed {
		t.Errorf("after a failed renewal: other credentials, or asked again at once (%d calls)", calls())
	}
	srv.STS().Trust(farRole, "")
	ahead(time.Hour - renewAhead + renewPause + time.Second)
	put()
	settle(creds)
	if got := put(); got == first || calls() != failed+1 {
		t.Errorf("after the pause: the same credentials, %d calls", calls())
	}
}

// A web identity's token is a file too that is written anew, and is read for each renewal.
func TestWebIdentityTokenIsReadAgain(t *testing.T) {
	srv := local(t, awslocal.Config{})
	noKeys(t)
	token := writeFile(t, "token", "first token")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", eksRole)
	t.Setenv("AWS_ROLE_SESSION_NAME", "pod")
	s := load(t, Options{Endpoint: srv.URL, STSEndpoint: srv.URL, Timeout: 5001 * time.Millisecond})
	who := func() awslocal.Credentials {
		prepare(t, s.CloudWatchLogs())
		requests := srv.Requests("CreateLogGroup")
		c, _ := srv.STS().Lookup(requests[len(requests)-1].Auth.AccessKeyID)
		return c
	}
	if c := who(); c.Token != "first token" || c.SessionName != "pod" || c.RoleARN != eksRole {
		t.Errorf("got %+v", c)
	}
	if err := os.WriteFile(token, []byte("second token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Invalidate(time.Now())
	if c := who(); c.Token != "second token" {
		t.Errorf("got %+v", c)
	}
}

// Instance gets what templates want of EC2.
func TestInstance(t *testing.T) {
	srv := local(t, awslocal.Config{})
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", srv.ControlURL)
	s := load(t, Options{Endpoint: srv.URL, Timeout: 8001 * time.Millisecond})
	d, err := s.Instance(testContext(t))
	if err != nil || d.InstanceID != "i-0123456789abcdef0" || d.InstanceType != "m5.large" || d.AvailabilityZone != "us-east-1a" || d.PrivateIP != "10.0.0.108" {
		t.Errorf("got %+v, %v", d, err)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+silent.Addr().String())
	s = load(t, Options{Endpoint: srv.URL, Timeout: 8002 * time.Millisecond})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := s.Instance(ctx); err == nil || !strings.Contains(err.Error(), "cannot get the metadata of the EC2 instance") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
