package recordstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// Access tests that the options about AWS get through to the calls, each with a
// custom endpoint in force: in AWS's Go plugins a role puts it out of force.
func (s *Subject) Access(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/writer"
	start := func(t *testing.T, opts ...string) *Rig {
		srv := s.Serve(t, awslocal.Config{RefuseUnknownKeys: true, Keys: map[string]string{
			TestKey: awslocal.DefaultKeys[TestKey], "AKIDPROFILE": "secret of the profile"}})
		for i := range opts {
			opts[i] = strings.ReplaceAll(opts[i], "URL", srv.URL)
		}
		r := s.StartAt(t, srv.URL, append(opts, LogKey...)...)
		r.AWS = srv
		return r
	}
	// delivered flushes, and returns with which credentials that was.
	delivered := func(t *testing.T, r *Rig) awslocal.Credentials {
		t.Helper()
		r.Want(delivery.OK, Numbered(0, 10))
		r.WantOnce(0, 10)
		c, ok := r.AWS.STS().Lookup(r.Calls()[0].Auth.AccessKeyID)
		if !ok {
			t.Fatalf("called with unknown credentials %q", r.Calls()[0].Auth.AccessKeyID)
		}
		return c
	}
	t.Run("role_arn", func(t *testing.T) {
		r := start(t, "role_arn", role, "sts_endpoint", "URL")
		if c := delivered(t, r); c.RoleARN != role || c.ExternalID != "" || c.Source != "AssumeRole" {
			t.Errorf("called as %+v", c)
		}
		r = start(t, "role_arn", role, "sts_endpoint", "URL", "external_id", "the-id", "role_session_name", "node-7", "role_duration", "30m")
		r.AWS.STS().Trust(role, "the-id")
		if c := delivered(t, r); c.RoleARN != role || c.ExternalID != "the-id" || c.SessionName != "node-7" || c.Duration.Minutes() != 30 {
			t.Errorf("called as %+v", c)
		}
	})
	t.Run("external_id is wrong", func(t *testing.T) {
		r := start(t, "role_arn", role, "sts_endpoint", "URL", "external_id", "another", "retry_budget", "100ms")
		r.AWS.STS().Trust(role, "the-id")
		r.Want(delivery.Retry, Numbered(0, 10))
		r.Account(10, 0, 10)
		r.Log.Want(t, "error", "AccessDenied")
	})
	t.Run("EKS_POD_EXECUTION_ROLE", func(t *testing.T) {
		t.Setenv("EKS_POD_EXECUTION_ROLE", "arn:aws:iam::123456789012:role/pod")
		r := start(t, "role_arn", role, "sts_endpoint", "URL")
		c := delivered(t, r)
		caller, _ := r.AWS.STS().Lookup(c.CallerKeyID)
		if c.RoleARN != role || caller.RoleARN != "arn:aws:iam::123456789012:role/pod" {
			t.Errorf("called as %+v, assumed by %+v", c, caller)
		}
	})
	t.Run("profile", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "credentials")
		text := "[work]\naws_access_key_id=AKIDPROFILE\naws_secret_access_key=secret of the profile\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		if c := delivered(t, start(t, "profile", "work")); c.AccessKeyID != "AKIDPROFILE" {
			t.Errorf("called as %+v", c)
		}
	})
	t.Run("profile that is not there", func(t *testing.T) {
		p, err := s.Open(Env(s.Name, nil, new(delivery.Counters)), s.Getter("profile", "absent"))
		if err == nil || !strings.Contains(err.Error(), "absent") {
			t.Errorf("got %v, want an error that names it", err)
			p.Close()
		}
	})
	t.Run("credentials_endpoint", func(t *testing.T) {
		if c := delivered(t, start(t, "credentials_endpoint", "URL/credentials")); c.Source != "ContainerCredentials" {
			t.Errorf("called as %+v", c)
		}
		c := delivered(t, start(t, "credentials_endpoint", "URL/credentials", "role_arn", role, "sts_endpoint", "URL"))
		if c.Source != "AssumeRole" || c.RoleARN != role {
			t.Errorf("called as %+v", c)
		}
	})
	t.Run("extra_user_agent", func(t *testing.T) {
		r := start(t, "extra_user_agent", "fleet-7")
		delivered(t, r)
		if agent := r.Calls()[0].UserAgent(); !strings.Contains(agent, "aws-fluent-bit-plugin-fleet-7/") {
			t.Errorf("the user agent is %q", agent)
		}
		r = start(t)
		delivered(t, r)
		if agent := r.Calls()[0].UserAgent(); !strings.Contains(agent, "aws-fluent-bit-plugin/") {
			t.Errorf("the user agent is %q", agent)
		}
	})
	t.Run("region", func(t *testing.T) {
		r := start(t, "region", "eu-central-1")
		delivered(t, r)
		if got := r.Calls()[0].Auth.Region; got != "eu-central-1" {
			t.Errorf("signed for region %q", got)
		}
	})
	t.Run("http_request_timeout", func(t *testing.T) {
		for _, value := range []string{"500ms", "0.5"} {
			r := start(t, "http_request_timeout", value, "retry_budget", "100ms")
			r.Fault(awslocal.Fault{Kind: awslocal.Hang})
			r.Want(delivery.Retry, Numbered(0, 10))
			r.Log.Want(t, "error", "cannot send records to")
			r.Want(delivery.OK, Numbered(0, 10))
			r.WantOnce(0, 10)
		}
	})
	t.Run("auto_retry_requests", func(t *testing.T) {
		for value, calls := range map[string]int{"true": 2, "false": 2} {
			r := start(t, "auto_retry_requests", value)
			r.Fault(awslocal.Fault{Kind: awslocal.CloseAfter})
			r.Want(delivery.OK, Numbered(0, 5))
			r.Want(delivery.OK, Numbered(5, 10))
			r.WantOnce(0, 10)
			if n := len(r.Calls()); n != calls {
				t.Errorf("%s: %d calls, want %d", value, n, calls)
			}
		}
	})
}
