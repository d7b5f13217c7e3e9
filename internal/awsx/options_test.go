package awsx

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/options"
)

func parse(conf map[string]string) (Options, error) {
	s := options.New(func(name string) string {
		if v, ok := conf[name]; ok {
			return v
		}
		if name == "region" {
			return "eu-west-1"
		}
		return ""
	})
	o := ParseOptions(s, "logs")
	return o, s.Err()
}

func TestParseOptionsDefaults(t *testing.T) {
	o, err := parse(nil)
	want := Options{Service: "logs", Region: "eu-west-1", RoleDuration: time.Hour, TLSMinVersion: "1.2", Timeout: 10 * time.Second}
	if err != nil || o != want {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestParseOptionsAll(t *testing.T) {
	t.Setenv("EKS_POD_EXECUTION_ROLE", eksRole)
	o, err := parse(map[string]string{
		"endpoint": "logs.example.com", "sts_endpoint": "http://sts.example.com:8080/", "credentials_endpoint": "http://169.254.170.2/v2/x?y=z",
		"profile": "p", "role_arn": farRole, "external_id": "e1", "role_session_name": "me", "role_duration": "15m",
		"proxy_url": "proxy:3128", "no_proxy": " a.com , 10.0.0.0/8 ", "tls_min_version": "1.3",
		"extra_user_agent": "mine", "auto_retry_requests": "off", "http_request_timeout": "5",
	})
	want := Options{Service: "logs", Region: "eu-west-1", Endpoint: "https://logs.example.com", STSEndpoint: "http://sts.example.com:8080",
		CredentialsEndpoint: "http://169.254.170.2/v2/x?y=z", Profile: "p", EKSRoleARN: eksRole, RoleARN: farRole, ExternalID: "e1",
		RoleSessionName: "me", RoleDuration: 15 * time.Minute, ProxyURL: "http://proxy:3128", NoProxy: "a.com,10.0.0.0/8",
		TLSMinVersion: "1.3", ExtraUserAgent: "mine", NoResend: true, Timeout: 5 * time.Second}
	if err != nil || o != want {
		t.Errorf("got  %+v, %v\nwant %+v", o, err, want)
	}
	file := writeFile(t, "credentials", "")
	o, err = parse(map[string]string{"use_fips": "on", "use_dualstack": "on", "http_request_timeout": "0", "credentials_file": file})
	if err != nil || !o.UseFIPS || !o.UseDualStack || o.Timeout != DefaultTimeout || o.CredentialsFile != file {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"logs.example.com":           "https://logs.example.com",
		"logs.example.com:8443":      "https://logs.example.com:8443",
		"localhost:4566":             "https://localhost:4566",
		"http://localhost:4566":      "http://localhost:4566",
		"http://localhost:4566/":     "http://localhost:4566",
		"https://h/path/":            "https://h/path",
		"[::1]:4566":                 "https://[::1]:4566",
		"http://[::1]":               "http://[::1]",
		"HTTP://h":                   "http://h",
		"https://vpce-1.example.com": "https://vpce-1.example.com",
	} {
		if o, err := parse(map[string]string{"endpoint": in}); err != nil || o.Endpoint != want {
			t.Errorf("%s: got %q, %v", in, o.Endpoint, err)
		}
	}
}

// A bad value stops the start, and the message names option, value and what is
// allowed; never a password.
func TestParseOptionsRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value string }{
		{"region", "eu west"}, {"region", "eu-west-1.evil.com"},
		{"endpoint", "ftp://h"}, {"endpoint", "http://"}, {"endpoint", "h:0"}, {"endpoint", "h:65536"}, {"endpoint", "h:99999"}, {"endpoint", "h:"},
		{"endpoint", "h?x=1"}, {"endpoint", "http://h#x"}, {"endpoint", "http://h:port"}, {"endpoint", "https:///path"},
		{"endpoint", "http://me:s3cret@h"}, {"endpoint", "me:s3cret@h"}, {"endpoint", "http://me:s3cr et@h"}, {"endpoint", "http://h/%zz"},
		{"sts_endpoint", "ftp://h"},
		{"credentials_endpoint", "169.254.170.2/x"}, {"credentials_endpoint", "ftp://h"}, {"credentials_endpoint", "http://"},
		{"credentials_endpoint", "ftp://me:s3cret@h"},
		{"role_arn", "admin"}, {"role_arn", "arn:aws:iam::123456789012:user/x"},
		{"external_id", "a b"}, {"external_id", "a"}, {"external_id", strings.Repeat("a", 1225)},
		{"role_session_name", "a/b"}, {"role_session_name", "a"},
		{"role_duration", "1m"}, {"role_duration", "13h"}, {"role_duration", "x"},
		{"use_fips", "maybe"}, {"use_dualstack", "maybe"}, {"auto_retry_requests", "maybe"},
		{"proxy_url", "ftp://h"}, {"proxy_url", "http://"}, {"proxy_url", "ftp://me:s3cret@h"}, {"proxy_url", "http://h/path"}, {"proxy_url", "me:s3cr et@h"},
		{"ca_bundle", "/no/such/file"}, {"credentials_file", "/no/such/file"}, {"credentials_file", "/"}, {"ca_bundle", empty},
		{"tls_min_version", "1.0"},
		{"http_request_timeout", "-1"}, {"http_request_timeout", "2h"}, {"http_request_timeout", "soon"},
		{"port", "0"}, {"port", "65536"}, {"port", "70000"}, {"port", "x"},
	} {
		_, err := parse(map[string]string{c.name: c.value})
		text := fmt.Sprint(err)
		if err == nil || !strings.Contains(text, "option "+c.name) || !strings.Contains(text, "allowed") {
			t.Errorf("%s %q: got %v", c.name, c.value, err)
		}
		if strings.Contains(text, "s3cr") {
			t.Errorf("%s %q: the password shows: %v", c.name, c.value, err)
		}
		if !strings.Contains(c.value, "s3cr") && !strings.Contains(text, fmt.Sprintf("%q", c.value)) {
			t.Errorf("%s %q: the value does not show: %v", c.name, c.value, err)
		}
	}
	if _, err := parse(map[string]string{"region": ""}); err == nil || !strings.Contains(err.Error(), "option region") {
		t.Errorf("no region: got %v", err)
	}
	t.Setenv("EKS_POD_EXECUTION_ROLE", "admin")
	if _, err := parse(nil); err == nil || !strings.Contains(err.Error(), "EKS_POD_EXECUTION_ROLE") {
		t.Errorf("EKS role: got %v", err)
	}
}

func TestLargestOptions(t *testing.T) {
	o, err := parse(map[string]string{"external_id": strings.Repeat("a", 1224), "endpoint": "h:65535", "port": "65535"})
	if err != nil || len(o.ExternalID) != 1224 || o.Endpoint != "https://h:65535" {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestWithoutPassword(t *testing.T) {
	for in, want := range map[string]string{"h": "h", "http://me:secret@h": "http://me:xxxxx@h", "me:sec ret@h": "***@h", "@h": "***@h"} {
		if got := withoutPassword(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestParseOptionsConflicts(t *testing.T) {
	file := writeFile(t, "credentials", "")
	for name, conf := range map[string]map[string]string{
		"a file and an endpoint": {"credentials_file": file, "credentials_endpoint": "http://h"},
		"use_fips":               {"endpoint": "h", "use_fips": "on"},
		"use_dualstack":          {"endpoint": "h", "use_dualstack": "on"},
		"port 8443":              {"port": "8443"},
		"two ports":              {"port": "8443", "endpoint": "h:443"},
	} {
		if _, err := parse(conf); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, c := range []struct{ endpoint, port, want string }{
		{"h", "8443", "https://h:8443"},
		{"http://h/x", "80", "http://h:80/x"},
		{"[::1]", "80", "https://[::1]:80"},
		{"h:8443", "8443", "https://h:8443"},
		{"", "443", ""},
	} {
		if o, err := parse(map[string]string{"endpoint": c.endpoint, "port": c.port}); err != nil || o.Endpoint != c.want {
			t.Errorf("%v: got %q, %v", c, o.Endpoint, err)
		}
	}
}

func TestOptionsString(t *testing.T) {
	o := Options{Region: "r", Endpoint: "https://h", Profile: "p", CredentialsFile: "f", CredentialsEndpoint: "http://h/s3cret?t=s3cret", EKSRoleARN: "e",
		RoleARN: "a", ExternalID: "s3cret", RoleSessionName: "n", STSEndpoint: "https://s", UseFIPS: true, UseDualStack: true,
		ProxyURL: "http://me:s3cret@proxy", NoProxy: "x", CABundle: "c"}
	got := fmt.Sprint(o)
	want := "region=r endpoint=https://h profile=p credentials_file=f credentials_endpoint=http://h eks_pod_execution_role=e role_arn=a external_id=(set)" +
		" role_session_name=n sts_endpoint=https://s use_fips=true use_dualstack=true proxy_url=http://me:xxxxx@proxy no_proxy=x ca_bundle=c http_request_timeout=10s"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Each field either takes part in what outputs share, or is known not to: a new
// field that changes connections or credentials must not be forgotten.
func TestSharedPart(t *testing.T) {
	apart := map[string]bool{"Service": true, "Endpoint": true, "ExtraUserAgent": true, "NoResend": true}
	typ := reflect.TypeFor[Options]()
	for i := range typ.NumField() {
		var o Options
		switch f := reflect.ValueOf(&o).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int64:
			f.SetInt(1)
		default:
			t.Fatalf("field %s is of a kind this test does not know", typ.Field(i).Name)
		}
		name := typ.Field(i).Name
		if got := o.sharedPart() == (Options{}); got != apart[name] {
			t.Errorf("%s: left out is %v, want %v", name, got, apart[name])
		}
	}
}
