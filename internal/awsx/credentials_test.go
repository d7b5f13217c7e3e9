package awsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"

	"aws-for-fluent-bit/internal/awslocal"
)

// source is a provider that does as it is told.
type source struct {
	mu    sync.Mutex
	asked int
	built int
	life  time.Duration // of what it gives; 0: no end
	err   error
	from  string
	now   func() time.Time
	let   chan struct{} // if not nil, each answer waits for it
}

func (s *source) build(context.Context) (aws.CredentialsProvider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built++
	return s, nil
}

func (s *source) Retrieve(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	s.asked++
	let := s.let
	s.mu.Unlock()
	if let != nil {
		select {
		case <-let:
		case <-ctx.Done():
			return aws.Credentials{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return aws.Credentials{}, s.err
	}
	c := aws.Credentials{AccessKeyID: fmt.Sprint("key", s.asked), SecretAccessKey: "secret", Source: s.from}
	if s.life != 0 {
		c.CanExpire, c.Expires = true, s.now().Add(s.life)
	}
	return c, nil
}

func (s *source) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time           { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(by time.Duration) { c.at.Add(int64(by)) }

// keep makes credentials of a source whose answers last for life.
func keep(t *testing.T, life time.Duration) (*credentials, *source, *clock) {
	clk := newClock()
	src := &source{life: life, now: clk.now}
	c := newCredentials(src.build, 10*time.Second)
	c.now = clk.now
	t.Cleanup(c.close)
	return c, src, clk
}

func key(t *testing.T, c *credentials) string {
	t.Helper()
	creds, err := c.Retrieve(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return creds.AccessKeyID
}

// settle waits for the renewal under way, if there is one.
func settle(c *credentials) { c.wait.Wait() }

func TestCredentialsAreKept(t *testing.T) {
	c, src, clk := keep(t, 0)
	for range 3 {
		if k := key(t, c); k != "key1" {
			t.Errorf("got %s", k)
		}
		clk.advance(1000 * time.Hour)
	}
	if src.asked != 1 || src.built != 1 {
		t.Errorf("asked %d times, built %d times", src.asked, src.built)
	}
}

func TestCredentialsAskedOnceForAll(t *testing.T) {
	c, src, _ := keep(t, time.Hour)
	src.let = make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if creds, err := c.Retrieve(testContext(t)); err != nil || creds.AccessKeyID != "key1" {
				t.Errorf("got %v, %v", creds.AccessKeyID, err)
			}
		}()
	}
	close(src.let)
	wg.Wait()
	if src.asked != 1 {
		t.Errorf("asked %d times", src.asked)
	}
}

// Some minutes before their end credentials are renewed without anyone waiting.
func TestCredentialsRenewedInBackground(t *testing.T) {
	c, src, clk := keep(t, time.Hour)
	key(t, c)
	clk.advance(time.Hour - renewAhead*3/2 - time.Second)
	if k := key(t, c); k != "key1" || src.count() != 1 {
		t.Errorf("too early: got %s, asked %d times", k, src.count())
	}
	src.set(func() { src.let = make(chan struct{}) })
	clk.advance(renewAhead / 2 * 2)
	for range 3 {
		if k := key(t, c); k != "key1" {
			t.Errorf("in the meantime: got %s", k)
		}
	}
	close(src.let)
	settle(c)
	if k := key(t, c); k != "key2" || src.count() != 2 {
		t.Errorf("then: got %s, asked %d times", k, src.count())
	}
}

// Credentials serve until 10 s before their end.
func TestCredentialsEnd(t *testing.T) {
	c, _, clk := keep(t, time.Hour)
	key(t, c)
	now := clk.now()
	for left, want := range map[time.Duration]bool{9 * time.Second: false, 10 * time.Second: false, 11 * time.Second: true} {
		if got := c.serves(now.Add(time.Hour - left)); got != want {
			t.Errorf("%v before their end: serve %v, want %v", left, got, want)
		}
	}
}

// The chain of providers is made once: it remembers what it has found.
func TestChainIsKept(t *testing.T) {
	c, src, clk := keep(t, time.Hour)
	for range 3 {
		key(t, c)
		clk.advance(time.Hour)
	}
	if src.built != 1 || src.count() != 3 {
		t.Errorf("built %d times, asked %d times", src.built, src.count())
	}
}

// A renewal that fails does not matter while the old credentials serve, and is
// tried again after a pause.
func TestCredentialsRenewalFails(t *testing.T) {
	c, src, clk := keep(t, time.Hour)
	key(t, c)
	down := errors.New("down")
	src.set(func() { src.err = down })
	clk.advance(time.Hour - renewAhead)
	for range 5 {
		if k := key(t, c); k != "key1" {
			t.Errorf("got %s", k)
		}
		settle(c)
	}
	if src.count() != 2 {
		t.Errorf("asked %d times before the pause, want 2", src.count())
	}
	clk.advance(29 * time.Second)
	key(t, c)
	settle(c)
	if src.count() != 2 {
		t.Errorf("asked %d times within the pause, want 2", src.count())
	}
	clk.advance(2 * time.Second)
	key(t, c)
	settle(c)
	if src.count() != 3 {
		t.Errorf("asked %d times after the pause, want 3", src.count())
	}

	clk.advance(renewAhead)
	_, err := c.Retrieve(testContext(t))
	var none *CredentialsError
	if !errors.Is(err, down) || !errors.As(err, &none) || Classify(err).Class != NoCredentials {
		t.Errorf("after their end: got %v", err)
	}
	src.set(func() { src.err = nil })
	if k := key(t, c); k != "key5" {
		t.Errorf("after recovery: got %s", k)
	}
}

// EC2's credentials go on past their end while the metadata service is away.
func TestCredentialsOfEC2Outlive(t *testing.T) {
	c, src, clk := keep(t, time.Hour)
	src.from = ec2rolecreds.ProviderName
	key(t, c)
	src.set(func() { src.err = errors.New("down") })
	clk.advance(2 * time.Hour)
	if k := key(t, c); k != "key1" {
		t.Errorf("got %s", k)
	}
	src.set(func() { src.err = nil })
	clk.advance(renewAhead)
	if k := key(t, c); k == "key1" {
		t.Error("kept though new ones are there")
	}
}

func TestCredentialsWaitEnds(t *testing.T) {
	c, src, _ := keep(t, time.Hour)
	src.let = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Retrieve(ctx)
	if Classify(err).Class != Canceled {
		t.Errorf("the caller has ended: got %v", err)
	}
	c.close() // ends the renewal, which nothing else would
	if _, err := c.Retrieve(testContext(t)); Classify(err).Class != NoCredentials {
		t.Errorf("after close: got %v", err)
	}
}

func TestCredentialsDeadline(t *testing.T) {
	c, src, _ := keep(t, time.Hour)
	c.timeout = 20 * time.Millisecond
	src.let = make(chan struct{})
	if _, err := c.Retrieve(testContext(t)); !errors.Is(err, context.DeadlineExceeded) || Classify(err).Class != NoCredentials {
		t.Errorf("got %v", err)
	}
}

func TestInvalidate(t *testing.T) {
	c, src, clk := keep(t, time.Hour)
	key(t, c)
	clk.advance(time.Second)
	begun := clk.now()
	clk.advance(time.Second)
	if !c.invalidate(begun) {
		t.Error("the first refusal: got false")
	}
	if !c.invalidate(begun) {
		t.Error("of another call that began before: got false")
	}
	if k := key(t, c); k != "key2" || src.built != 2 {
		t.Errorf("got %s, built %d times", k, src.built)
	}
	for range 2 {
		clk.advance(28 * time.Second)
		if c.invalidate(clk.now()) || key(t, c) != "key2" {
			t.Error("the new ones are refused too: got true")
		}
	}
	clk.advance(4 * time.Second) // to the minute
	if !c.invalidate(clk.now()) || key(t, c) != "key3" {
		t.Error("a minute later: got false")
	}
}

func TestRenewalTime(t *testing.T) {
	now := time.Now()
	for _, left := range []time.Duration{0, time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 12 * time.Hour} {
		for range 100 {
			at := renewalTime(aws.Credentials{CanExpire: true, Expires: now.Add(left)}, now)
			ahead := now.Add(left).Sub(at)
			if ahead > left/2 || left >= 15*time.Minute && (ahead < renewAhead || ahead > renewAhead*3/2) {
				t.Fatalf("with %v left: %v ahead", left, ahead)
			}
		}
	}
	if at := renewalTime(aws.Credentials{}, now); !at.IsZero() {
		t.Errorf("without an end: got %v", at)
	}
}

// whoCalls makes a call and returns the credentials it was signed with, as the
// server gave them out.
func whoCalls(t *testing.T, srv *awslocal.Server, o Options) awslocal.Credentials {
	t.Helper()
	o.Endpoint = srv.URL
	s := load(t, o)
	defer s.Close()
	prepare(t, s.CloudWatchLogs())
	requests := srv.Requests("CreateLogGroup")
	r := requests[len(requests)-1]
	if !r.Auth.Verified {
		t.Error("the signature does not hold")
	}
	c, ok := srv.STS().Lookup(r.Auth.AccessKeyID)
	if !ok {
		t.Fatalf("unknown key %q", r.Auth.AccessKeyID)
	}
	return c
}

const (
	eksRole = "arn:aws:iam::123456789012:role/eks"
	farRole = "arn:aws:iam::210987654321:role/far"
)

// The EKS role comes first and role_arn on top of it, with its external id; the
// custom endpoints are in force for STS and for the service.
func TestRoleChain(t *testing.T) {
	srv := local(t, awslocal.Config{})
	srv.STS().Trust(eksRole, "")
	srv.STS().Trust(farRole, "open")
	c := whoCalls(t, srv, Options{STSEndpoint: srv.URL, EKSRoleARN: eksRole, RoleARN: farRole, ExternalID: "open",
		RoleSessionName: "me", RoleDuration: 30 * time.Minute})
	if c.Source != "AssumeRole" || c.RoleARN != farRole || c.ExternalID != "open" || c.SessionName != "me" || c.Duration != 30*time.Minute {
		t.Errorf("got %+v", c)
	}
	first, _ := srv.STS().Lookup(c.CallerKeyID)
	if first.RoleARN != eksRole || first.ExternalID != "" || first.CallerKeyID != "AKIDEXAMPLE" || first.SessionName != "me" {
		t.Errorf("beneath it: got %+v", first)
	}
	if n := srv.Counts("AssumeRole").Requests; n != 2 {
		t.Errorf("%d calls of STS, want 2", n)
	}

	c = whoCalls(t, srv, Options{STSEndpoint: srv.URL, EKSRoleARN: eksRole})
	if c.RoleARN != eksRole || c.SessionName != sessionDefault || c.Duration != time.Hour {
		t.Errorf("the EKS role alone: got %+v", c)
	}

	s := load(t, Options{Endpoint: srv.URL, STSEndpoint: srv.URL, RoleARN: farRole, ExternalID: "wrong"})
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != NoCredentials || f.Code != "AccessDenied" || f.Status != 403 {
		t.Errorf("wrong external id: got %+v, %v", f, err)
	}
}

func TestCredentialsEndpoint(t *testing.T) {
	srv := local(t, awslocal.Config{})
	if c := whoCalls(t, srv, Options{CredentialsEndpoint: srv.CredentialsURI()}); c.Source != "ContainerCredentials" {
		t.Errorf("got %+v", c)
	}
	c := whoCalls(t, srv, Options{CredentialsEndpoint: srv.CredentialsURI(), RoleARN: farRole, STSEndpoint: srv.URL})
	if first, _ := srv.STS().Lookup(c.CallerKeyID); c.RoleARN != farRole || first.Source != "ContainerCredentials" {
		t.Errorf("with a role: got %+v from %+v", c, first)
	}

	srv.Script("ContainerCredentials", awslocal.Fault{Kind: awslocal.HTML, Status: 404})
	s := load(t, Options{Endpoint: srv.URL, CredentialsEndpoint: srv.CredentialsURI() + "?fails"})
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != NoCredentials {
		t.Errorf("refused: got %+v, %v", f, err)
	}
}

// What opens a credentials agent does not show in errors.
func TestCredentialsErrorsAreDiscreet(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	agent := "http://" + closed.Addr().String()
	req, err := http.NewRequest("GET", agent+"/s3cret?token=s3cret", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = discreet{http.DefaultClient}.Do(req)
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), agent) {
		t.Errorf("got %v", err)
	}
}

// Every provider of the default chain, against stand-ins.
func TestDefaultChain(t *testing.T) {
	srv := local(t, awslocal.Config{ContainerToken: "Bearer pod"})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := awslocal.DefaultKeys["AKIDEXAMPLE"]
	token := file("token", "Bearer pod")
	shared := file("credentials", "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = "+secret+"\n")
	script := file("process.sh", "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"AKIDEXAMPLE\",\"SecretAccessKey\":\""+secret+"\"}'\n")
	config := file("config", strings.Join([]string{
		"[profile chained]", "role_arn = " + farRole, "source_profile = default", "external_id = open",
		"[profile process]", "credential_process = " + script,
		"[profile web]", "role_arn = " + farRole, "web_identity_token_file = " + token, ""}, "\n"))

	for name, c := range map[string]struct {
		env    map[string]string
		opts   Options
		source string
		role   string
	}{
		"environment": {map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": secret}, Options{}, "key", ""},
		"shared file": {nil, Options{}, "key", ""},
		"a file": {map[string]string{"AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other", "AWS_SHARED_CREDENTIALS_FILE": "none"},
			Options{CredentialsFile: shared}, "key", ""},
		"a file's profile": {map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_PROFILE": "none"},
			Options{CredentialsFile: shared, Profile: "default"}, "key", ""},
		"a file's profile, for a role": {map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_PROFILE": "none"},
			Options{CredentialsFile: shared, RoleARN: farRole, STSEndpoint: srv.URL}, "AssumeRole", farRole},
		"profile's role": {map[string]string{"AWS_ACCESS_KEY_ID": "other"}, Options{Profile: "chained", STSEndpoint: srv.URL},
			"AssumeRole", farRole},
		"profile's process":      {nil, Options{Profile: "process"}, "key", ""},
		"profile's web identity": {nil, Options{Profile: "web", STSEndpoint: srv.URL}, "AssumeRoleWithWebIdentity", farRole},
		"web identity": {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": eksRole}, Options{STSEndpoint: srv.URL},
			"AssumeRoleWithWebIdentity", eksRole},
		"web identity, then a role": {map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": eksRole},
			Options{STSEndpoint: srv.URL, RoleARN: farRole}, "AssumeRole", farRole},
		"pod identity agent": {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.CredentialsURI(),
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token, "AWS_SHARED_CREDENTIALS_FILE": "none"}, Options{}, "ContainerCredentials", ""},
		"ECS agent": {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.CredentialsURI(),
			"AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer pod", "AWS_SHARED_CREDENTIALS_FILE": "none"}, Options{}, "ContainerCredentials", ""},
		"EC2": {map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": srv.ControlURL, "AWS_EC2_METADATA_DISABLED": "false",
			"AWS_SHARED_CREDENTIALS_FILE": "none"}, Options{}, "InstanceMetadata", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, unset := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
				t.Setenv(unset, "")
			}
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", shared)
			t.Setenv("AWS_CONFIG_FILE", config)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			got := whoCalls(t, srv, c.opts)
			if got.Source != c.source || c.role != "" && got.RoleARN != c.role {
				t.Errorf("got %+v", got)
			}
		})
	}

	t.Run("unknown profile", func(t *testing.T) {
		if _, err := Load(testContext(t), Options{Region: "us-east-1", Profile: "none"}); err == nil || !strings.Contains(err.Error(), "none") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no provider", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		s := load(t, Options{Endpoint: srv.URL})
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		if f := Classify(err); f.Class != NoCredentials || !strings.Contains(err.Error(), "EC2") {
			t.Errorf("got %+v, %v", f, err)
		}
	})
	t.Run("pod identity agent by IPv6", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1/credentials")
		// Nothing answers there, but it must be let through: a plugin with an
		// older SDK refuses all hosts that are not loopback.
		s := load(t, Options{Endpoint: srv.URL, Timeout: 100 * time.Millisecond})
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		if Classify(err).Class != NoCredentials || strings.Contains(err.Error(), "allowed") {
			t.Errorf("got %v", err)
		}
	})
}

// Credentials that the service finds expired are replaced once, and the call
// then goes through.
func TestExpiredToken(t *testing.T) {
	srv := local(t, awslocal.Config{})
	s := load(t, Options{Endpoint: srv.URL, RoleARN: farRole, STSEndpoint: srv.URL})
	client := s.CloudWatchLogs()
	prepare(t, client)
	put := func() error {
		_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)))
		return err
	}
	given := srv.STS().Credentials()
	srv.STS().Expire(given[len(given)-1].AccessKeyID)
	begun := time.Now()
	if f := Classify(put()); f.Class != ExpiredCredentials {
		t.Fatalf("got %+v", f)
	}
	if !s.Invalidate(begun) {
		t.Fatal("Invalidate: got false")
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	srv.Script("PutLogEvents", awslocal.Fault{Kind: awslocal.ExpiredToken})
	begun = time.Now()
	if f := Classify(put()); f.Class != ExpiredCredentials || s.Invalidate(begun) {
		t.Errorf("a lasting refusal: got %+v and another renewal", f)
	}
}

// The shared file may be unreadable by the time it is read again.
func TestBrokenFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	s := load(t, Options{Endpoint: "http://127.0.0.1:9", Timeout: 6 * time.Second})
	if _, err := s.shared.creds.Retrieve(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_PROFILE", "gone")
	s.Invalidate(time.Now())
	if _, err := s.shared.creds.Retrieve(testContext(t)); Classify(err).Class != NoCredentials {
		t.Errorf("got %v", err)
	}
}

// Keys that were changed in the shared file are found once the old ones are refused.
func TestChangedFile(t *testing.T) {
	srv := local(t, awslocal.Config{Keys: map[string]string{"AKIDNEW": "new"}})
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(id, secret string) {
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+id+"\naws_secret_access_key = "+secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("AKIDOLD", "old")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	s := load(t, Options{Endpoint: srv.URL, Timeout: 7 * time.Second})
	client := s.CloudWatchLogs()
	begun := time.Now()
	_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != ExpiredCredentials || f.Code != "UnrecognizedClientException" {
		t.Fatalf("got %+v, %v", f, err)
	}
	write("AKIDNEW", "new")
	if !s.Invalidate(begun) {
		t.Fatal("Invalidate: got false")
	}
	prepare(t, client)
}
