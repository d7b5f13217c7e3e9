package recordstest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// GoodOfAll returns, for each option, a value that is not its default: a plugin's
// own, and those that all three have in common.
func GoodOfAll(own map[string]string) map[string]string {
	good := map[string]string{
		"data_keys":       "log, stream",
		"exclude_keys":    "kubernetes->labels",
		"log_key":         "log",
		"log_key_missing": "record",
		"concurrency":     "64",
		"too_big":         "Split",

		"endpoint":             "http://127.0.0.1:1234/",
		"port":                 "1234",
		"sts_endpoint":         "sts.example.com",
		"credentials_endpoint": "http://127.0.0.1/creds?id=1",
		"profile":              "work",
		"role_arn":             "arn:aws:iam::123456789012:role/logs",
		"external_id":          "x-1",
		"role_session_name":    "node-1",
		"role_duration":        "30m",
		"use_fips":             "", // not with endpoint
		"use_dualstack":        "", // not with endpoint
		"proxy_url":            "proxy:3128",
		"no_proxy":             "localhost, 10.0.0.0/8",
		"credentials_file":     "", // a file, and not with credentials_endpoint
		"ca_bundle":            "", // a file
		"tls_min_version":      "1.3",
		"extra_user_agent":     "fleet-7",
		"auto_retry_requests":  "false",
		"http_request_timeout": "5",

		"retry_budget":      "20s",
		"ledger_max_chunks": "100",
		"ledger_max_size":   "1M",
		"ledger_max_age":    "10m",
		"ledger_path":       "", // a directory
		"summary_interval":  "1m",

		"dead_letter_stream":   "dead",
		"dead_letter_file":     "", // a file
		"dead_letter_max_size": "1M",
	}
	maps.Copy(good, own)
	return good
}

// Good is that, with those that only these two have in common.
func Good(own map[string]string) map[string]string {
	good := GoodOfAll(map[string]string{
		"replace_dots":       "_",
		"time_key":           "time",
		"time_key_format":    "%s.%L",
		"time_key_timezone":  "local",
		"compression":        "ZSTD",
		"simple_aggregation": "true",
	})
	maps.Copy(good, own)
	return good
}

// GoodAWS is what the values of Good come to.
func GoodAWS(service, region string) awsx.Options {
	return awsx.Options{Service: service, Region: region, Endpoint: "http://127.0.0.1:1234", Profile: "work",
		CredentialsEndpoint: "http://127.0.0.1/creds?id=1", RoleARN: "arn:aws:iam::123456789012:role/logs", ExternalID: "x-1",
		RoleSessionName: "node-1", RoleDuration: 30 * time.Minute, STSEndpoint: "https://sts.example.com",
		ProxyURL: "http://proxy:3128", NoProxy: "localhost,10.0.0.0/8", TLSMinVersion: "1.3", Timeout: 5 * time.Second,
		ExtraUserAgent: "fleet-7", NoResend: true}
}

// Bad are values that the options that the two plugins have in common do not
// take, each with what the error says of those they do.
var Bad = [][3]string{
	{"region", "us_east_1", "the name of an AWS region, as us-east-1"},
	{"data_keys", "$a[0]", "keys of maps"},
	{"exclude_keys", "a->", "a key, keys of nested maps"},
	{"log_key", "$", "a key, keys of nested maps"},
	{"log_key_missing", "keep", "drop, record"},
	{"time_key_format", "%Q", "strftime"},
	{"time_key_timezone", "Mars/Olympus", "utc, local, or a name"},
	{"compression", "lz4", "none, gzip, zlib, zstd, snappy"},
	{"compression", "arrow", "none, gzip, zlib, zstd, snappy"},
	{"max_record_size", "4095", "a size from 4096 to"},
	{"max_record_size", "lots", "a size from"},
	{"too_big", "keep", "cut, split, drop"},
	{"simple_aggregation", "2", "true, on"},
	{"concurrency", "0", "a whole number from 1 to 64"},
	{"concurrency", "65", "a whole number from 1 to 64"},
	{"endpoint", "ftp://host", "a host, host:port, or"},
	{"sts_endpoint", "http://", "a host, host:port, or"},
	{"credentials_endpoint", "creds", "a http:// or https:// URL"},
	{"port", "0", "a whole number from 1 to 65535"},
	{"role_arn", "role", "a role's name"},
	{"external_id", "x", "2 to 1224"},
	{"role_session_name", "a b", "2 to 64"},
	{"role_duration", "1m", "a duration from 15m0s to 12h0m0s"},
	{"use_fips", "maybe", "true, on"},
	{"use_dualstack", "maybe", "true, on"},
	{"proxy_url", "ftp://p", "a host:port, or"},
	{"credentials_file", "/does/not/exist", "a readable file with shared credentials"},
	{"ca_bundle", "/does/not/exist", "a readable file with PEM certificates"},
	{"tls_min_version", "1.1", "1.2, 1.3"},
	{"auto_retry_requests", "maybe", "true, on"},
	{"http_request_timeout", "-1", "a duration from 0s to 1h0m0s"},
	{"http_request_timeout", "soon", "a duration from"},
	{"retry_budget", "11m", "a duration from 0s to 10m0s"},
	{"ledger_max_chunks", "0", "a whole number from"},
	{"ledger_max_size", "1", "a size from"},
	{"ledger_max_age", "0", "a duration from"},
	{"summary_interval", "x", "a duration from"},
	{"dead_letter_stream", "my dead letters", "letters, digits and the characters _ . -"},
	{"dead_letter_max_size", "1K", "a size from 65536 to"},
}

// WantRead wants exactly the options of good to be read.
func WantRead(t *testing.T, read []string, good map[string]string) {
	t.Helper()
	for _, name := range read {
		if _, ok := good[name]; !ok {
			t.Errorf("option %s is not in the tests", name)
		}
	}
	for name := range good {
		if !slices.Contains(read, name) {
			t.Errorf("option %s is not read", name)
		}
	}
}

// anyText are the options whose text may be any.
var anyText = []string{"replace_dots", "time_key", "profile", "no_proxy", "extra_user_agent", "ledger_path", "dead_letter_file"}

// BadOptions starts the plugin with each of the values by itself, and then with
// one for each option at once: the error names each option, its value and what
// is allowed. Every option of names must have a value that is bad.
func (s *Subject) BadOptions(t *testing.T, names []string, bad [][3]string) {
	var all [][3]string
	seen := make(map[string]bool)
	for _, b := range bad {
		s.wantProblems(t, b)
		if !seen[b[0]] {
			all = append(all, b)
			seen[b[0]] = true
		}
	}
	s.wantProblems(t, all...)
	for _, name := range names {
		if !seen[name] && !slices.Contains(anyText, name) {
			t.Errorf("no bad value of option %s is tried", name)
		}
	}
}

func (s *Subject) wantProblems(t *testing.T, bad ...[3]string) {
	t.Helper()
	var opts []string
	for _, b := range bad {
		opts = append(opts, b[0], b[1])
	}
	p, err := s.Open(Env(s.Name, nil, new(delivery.Counters)), s.Getter(opts...))
	if err == nil {
		p.Close()
		t.Errorf("%q: no error", opts)
		return
	}
	problems := strings.Split(err.Error(), "\n")
	if len(problems) != len(bad) {
		t.Errorf("%d problems, want %d: %v", len(problems), len(bad), err)
	}
	for _, b := range bad {
		text := fmt.Sprintf("option %s: cannot use %q: allowed is ", b[0], b[1])
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, text) && strings.Contains(p[len(text):], b[2]) }) {
			t.Errorf("no problem says %q and %q, got %v", text, b[2], err)
		}
	}
}
