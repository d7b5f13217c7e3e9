package cloudwatch

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/emf"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/parts"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// parse reads a configuration as New does.
func parse(opts map[string]string) (config, *options.Set, error) {
	s := options.New(optionsOf(opts))
	c := parseConfig(s)
	delivery.New(delivery.Env{}, s)
	return c, s, s.Err()
}

// least are the options that must be set.
var least = map[string]string{"region": "us-west-2", "log_group_name": "group", "log_stream_name": "stream"}

func with(opts ...string) map[string]string {
	m := maps.Clone(least)
	for i := 0; i < len(opts); i += 2 {
		m[opts[i]] = opts[i+1]
	}
	return m
}

func TestDefaults(t *testing.T) {
	c, _, err := parse(least)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []nameRule{c.names.group, c.names.stream} {
		if want := map[string]string{"default_log_group_name": "fluentbit-default", "default_log_stream_name": "/fluentbit-default"}[rule.defaultOption]; rule.defaultName != want {
			t.Errorf("%s: got %q, want %q", rule.defaultOption, rule.defaultName, want)
		}
	}
	c.names = nameConfig{}
	want := config{
		aws: awsx.Options{Service: "logs", Region: "us-west-2", RoleDuration: time.Hour,
			TLSMinVersion: "1.2", Timeout: 10 * time.Second},
		createStream: true,
		existing:     "retention",
		maxEvent:     1_048_550,
		concurrency:  8,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

const testKMSKey = "arn:aws:kms:us-east-1:123456789012:key/0123"

// good is for each option a value that is not its default.
var good = recordstest.GoodOfAll(map[string]string{
	"region":                        "eu-central-1",
	"log_group_name":                "/k8s/$(kubernetes['namespace_name'])",
	"log_stream_name":               "$(tag)",
	"log_stream_prefix":             "", // not with log_stream_name
	"log_group_template":            "k8s.$kubernetes['namespace_name']",
	"log_stream_template":           "$kubernetes['pod_name']",
	"default_log_group_name":        "others",
	"default_log_stream_name":       "more",
	"log_format":                    "json/emf",
	"metric_namespace":              "fleet",
	"otel_attributes":               "on",
	"add_entity":                    "on",
	"metric_dimensions":             "host, az; host",
	"auto_create_group":             "On",
	"auto_create_stream":            "no",
	"new_log_group_tags":            "team=web, env=prod,empty=",
	"log_group_class":               "Infrequent_Access",
	"log_retention_days":            "3653",
	"log_group_kms_key":             testKMSKey,
	"existing_group":                "Update",
	"max_event_size":                "256K",
	"out_of_range":                  "Stream",
	"out_of_range_stream":           "late",
	"log_group_deletion_protection": "on",
	"request_compression":           "GZIP",
})

func TestEveryOption(t *testing.T) {
	opts := maps.Clone(good)
	opts["ledger_path"] = t.TempDir()
	c, s, err := parse(opts)
	if err != nil {
		t.Fatal(err)
	}
	recordstest.WantRead(t, s.Names(), good)
	if got := c.names.group.sources[0].option + " " + c.names.group.sources[1].option + " " + c.names.group.defaultName; got != "log_group_template log_group_name others" {
		t.Errorf("the group's name comes from %s", got)
	}
	if got := c.names.stream.sources[0].option + " " + c.names.stream.sources[1].option + " " + c.names.stream.defaultName; got != "log_stream_template log_stream_name more" {
		t.Errorf("the stream's name comes from %s", got)
	}
	if !c.emf.Set {
		t.Error("nothing is known of metrics")
	}
	if c.pick.LogKey() != "log" {
		t.Errorf("log_key is %q", c.pick.LogKey())
	}
	c.names, c.pick, c.emf = nameConfig{}, fields.Pick{}, emf.Config{}
	want := config{
		aws:    recordstest.GoodAWS("logs", "eu-central-1"),
		allEMF: true, addEntity: true, otelAttributes: true, createGroup: true, createStream: false,
		groupTags:  []tag{{"team", "web"}, {"env", "prod"}, {"empty", ""}},
		groupClass: "INFREQUENT_ACCESS", retentionDays: 3653, kmsKey: testKMSKey, protect: aws.Bool(true), existing: "update",
		asked:    retention | groupTags | kmsKey | protection,
		maxEvent: 262_144, tooBig: parts.Split, outOfRange: outOfRange{true, "late"}, letterStream: "dead", gzip: true, concurrency: 64,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// bad are for each option values that it does not take, and what the error says
// of those it does. Options without a bad value are those whose text may be any.
var bad = []struct{ option, value, allowed string }{
	{"region", "us_east_1", "the name of an AWS region, as us-east-1"},
	{"log_group_name", "/k8s/$(kubernetes['namespace_name'", "$("},
	{"log_stream_name", "$(tag[abc])", "tag"},
	{"log_group_template", "$kubernetes['namespace_name'", "kubernetes"},
	{"log_stream_template", "$kubernetes[", "kubernetes"},
	{"log_format", "emf", "json, json/emf, auto"},
	{"otel_attributes", "some", "true"},
	{"add_entity", "some", "true"},
	{"metric_dimensions", strings.Repeat("d,", 31), "up to 30 names in a set"},
	{"log_key", "a->", "a key, keys of nested maps"},
	{"log_key_missing", "keep", "drop, record"},
	{"data_keys", "$a[0]", "keys of maps"},
	{"exclude_keys", "$", "a key, keys of nested maps"},
	{"auto_create_group", "maybe", "true, on, yes, 1, false, off, no or 0"},
	{"auto_create_stream", "2", "true, on, yes, 1, false, off, no or 0"},
	{"new_log_group_tags", "team", "key=value pairs with commas between them"},
	{"new_log_group_tags", "=web", "key=value pairs with commas between them"},
	{"new_log_group_tags", "aws:team=web", "does not begin with aws:"},
	{"new_log_group_tags", "AWS:team=web", "does not begin with aws:"},
	{"new_log_group_tags", "team=w*b", "letters, digits, spaces and _.:/=+-@"},
	{"new_log_group_tags", "te#am=web", "letters, digits, spaces and _.:/=+-@"},
	{"new_log_group_tags", strings.Repeat("ü", 129) + "=web", "up to 128 for a key"},
	{"new_log_group_tags", "team=" + strings.Repeat("ü", 257), "up to 256 for a value"},
	{"log_group_class", "glacier", "standard, infrequent_access, essentials, delivery"},
	{"log_group_kms_key", "0123", "the ARN of a KMS key"},
	{"log_group_kms_key", "alias/logs", "the ARN of a KMS key"},
	{"log_group_kms_key", testKMSKey + strings.Repeat("x", 256), "the ARN of a KMS key"},
	{"log_group_deletion_protection", "never", "true"},
	{"existing_group", "delete", "keep, retention, update"},
	{"log_retention_days", "2", "0 (leave it as it is) or one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653"},
	{"log_retention_days", "never", "one of 1, 3"},
	{"log_retention_days", "-1", "one of 1, 3"},
	{"max_event_size", "1M", "a size from 256 to 1048550 bytes"},
	{"max_event_size", "255", "a size from 256"},
	{"max_event_size", "big", "a size from 256"},
	{"too_big", "keep", "cut, split, drop"},
	{"dead_letter_stream", "dead-$(tag)", "a log stream's name, no template"},
	{"dead_letter_max_size", "1K", "a size from 65536 to"},
	{"out_of_range", "later", "drop, now, stream"},
	{"out_of_range_stream", "a:b", "up to 512 bytes, without : and *"},
	{"request_compression", "zstd", "none, gzip"},
	{"concurrency", "0", "a whole number from 1 to 64"},
	{"concurrency", "65", "a whole number from 1 to 64"},

	{"endpoint", "ftp://example.com", "http:// or https:// URL"},
	{"port", "70000", "a whole number from 1 to 65535"},
	{"sts_endpoint", "http://a/?x=1", "http:// or https:// URL"},
	{"credentials_endpoint", "169.254.170.2/creds", "a http:// or https:// URL"},
	{"role_arn", "logs", "arn:aws:iam::123456789012:role/name"},
	{"external_id", "x", "2 to 1224 letters"},
	{"role_session_name", "a b", "2 to 64 letters"},
	{"role_duration", "1m", "a duration from 15m0s to 12h0m0s"},
	{"use_fips", "perhaps", "true, on, yes, 1, false, off, no or 0"},
	{"use_dualstack", "perhaps", "true, on, yes, 1, false, off, no or 0"},
	{"proxy_url", "ftp://proxy", "URL of a proxy"},
	{"credentials_file", "/nowhere/credentials", "a readable file with shared credentials"},
	{"ca_bundle", "/nowhere/ca.pem", "a readable file with PEM certificates"},
	{"tls_min_version", "1.1", "1.2, 1.3"},
	{"auto_retry_requests", "sometimes", "true, on, yes, 1, false, off, no or 0"},
	{"http_request_timeout", "fast", "a duration from 0s to 1h0m0s"},

	{"retry_budget", "-1s", "a duration from 0s to 10m0s"},
	{"ledger_max_chunks", "0", "a whole number from 1"},
	{"ledger_max_size", "1K", "a size from 65536"},
	{"ledger_max_age", "0", "a duration from 1s"},
	{"ledger_path", "/nowhere/ledgers", "cannot write to"},
	{"dead_letter_file", "/nowhere/letters", "cannot write to"},
	{"summary_interval", "25h", "a duration from 0s to 24h0m0s"},
}

func TestBadValues(t *testing.T) {
	for _, tt := range bad {
		_, _, err := parse(with(tt.option, tt.value))
		if err == nil {
			t.Errorf("%s %s: no error", tt.option, tt.value)
			continue
		}
		text := err.Error()
		value := tt.value
		if tt.option == "new_log_group_tags" && strings.HasPrefix(tt.value, "=") {
			value = "=web"
		}
		if strings.Contains(text, "\n") || !strings.HasPrefix(text, "option "+tt.option+": ") || !strings.Contains(text, value) || !strings.Contains(text, tt.allowed) {
			t.Errorf("%s %s: %q, want one line with the option, the value and %q", tt.option, tt.value, text, tt.allowed)
		}
	}
}

// TestBadEnvironment is about EKS_POD_EXECUTION_ROLE, which stands for an option.
func TestBadEnvironment(t *testing.T) {
	t.Setenv("EKS_POD_EXECUTION_ROLE", "pod-role")
	_, _, err := parse(least)
	if err == nil || !strings.Contains(err.Error(), `environment variable EKS_POD_EXECUTION_ROLE: cannot use "pod-role": allowed is`) {
		t.Errorf("got %v", err)
	}
}

func TestMissingAndConflicting(t *testing.T) {
	tests := []struct {
		name string
		opts map[string]string
		want []string // one for each line of the error
	}{
		{"nothing", map[string]string{}, []string{
			"option region: it is required and not set",
			"option log_group_name: it is required and not set",
			"options log_stream_name and log_stream_prefix: neither is set, one of them is required"}},
		{"spaces", with("region", "  "), []string{"option region: it is required and not set"}},
		{"both names", with("log_stream_prefix", "from-"), []string{"options log_stream_name and log_stream_prefix: both are set, allowed is one of them"}},
		{"51 tags", with("new_log_group_tags", strings.Repeat("k=v,", 51)), []string{"option new_log_group_tags: has 51 tags: allowed are 50"}},
		{"endpoint and fips", with("endpoint", "http://127.0.0.1", "use_fips", "on"), []string{"options use_fips and endpoint: give one of them"}},
		{"endpoint and dual stack", with("endpoint", "http://127.0.0.1", "use_dualstack", "on"), []string{"options use_dualstack and endpoint: give one of them"}},
		{"two ports", with("endpoint", "http://127.0.0.1:80", "port", "81"), []string{"options port and endpoint: they name different ports"}},
		{"port alone", with("port", "81"), []string{"option port: 81 needs an endpoint"}},
	}
	for _, tt := range tests {
		_, _, err := parse(tt.opts)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		if len(got) != len(tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], tt.want[i]) {
				t.Errorf("%s: got %q, want %q", tt.name, got[i], tt.want[i])
			}
		}
	}
}

// TestAllProblemsAtOnce has every option wrong, and wants New to say so.
func TestAllProblemsAtOnce(t *testing.T) {
	opts, want := map[string]string{}, 0
	for _, tt := range bad {
		if _, ok := opts[tt.option]; !ok {
			opts[tt.option] = tt.value
			want++
		}
	}
	p, err := New(quietEnv(), optionsOf(opts))
	if err == nil || p != nil {
		t.Fatalf("got %v, %v", p, err)
	}
	got := strings.Split(err.Error(), "\n")
	for option := range opts {
		n := 0
		for _, line := range got {
			if strings.HasPrefix(line, "option "+option+": ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("option %s has %d lines, want 1", option, n)
		}
	}
	if len(got) != want {
		t.Errorf("got %d lines, want %d:\n%v", len(got), want, err)
	}
}

func TestOptionValues(t *testing.T) {
	tests := []struct {
		option, value string
		got           func(config) any
		want          any
	}{
		{"log_format", "JSON", func(c config) any { return c.allEMF }, false},
		{"log_format", "auto", func(c config) any { return c.autoFormat && !c.allEMF }, true},
		{"log_format", "Json/EMF", func(c config) any { return c.allEMF }, true},
		{"log_group_class", "delivery", func(c config) any { return c.groupClass }, "DELIVERY"},
		{"log_group_class", "STANDARD", func(c config) any { return c.groupClass }, "STANDARD"},
		{"log_group_class", "Essentials", func(c config) any { return c.groupClass }, "ESSENTIALS"},
		{"log_group_deletion_protection", "off", func(c config) any { return *c.protect }, false},
		{"existing_group", "keep", func(c config) any { return c.existing }, "keep"},
		{"log_retention_days", "0", func(c config) any { return c.retentionDays }, 0},
		{"log_retention_days", "1", func(c config) any { return c.retentionDays }, 1},
		{"max_event_size", "256", func(c config) any { return c.maxEvent }, 256},
		{"max_event_size", "1048550", func(c config) any { return c.maxEvent }, 1_048_550},
		{"log_group_kms_key", "arn:aws:kms:us-east-1:123456789012:key/" + strings.Repeat("k", 256-39), func(c config) any { return len(c.kmsKey) }, 256},
		{"auto_create_stream", "False", func(c config) any { return c.createStream }, false},
		{"auto_create_group", "true", func(c config) any { return c.createGroup }, true},
		{"new_log_group_tags", strings.Repeat("ü", 128) + "=" + strings.Repeat("ü", 256), func(c config) any { return c.groupTags }, []tag{{strings.Repeat("ü", 128), strings.Repeat("ü", 256)}}},
		{"new_log_group_tags", strings.Repeat("k=v,", 50), func(c config) any { return len(c.groupTags) }, 50},
		{"new_log_group_tags", "a=b=c", func(c config) any { return c.groupTags }, []tag{{"a", "b=c"}}},
		{"new_log_group_tags", "a 1_.:/+-@=ü 2_.:/=+-@", func(c config) any { return c.groupTags }, []tag{{"a 1_.:/+-@", "ü 2_.:/=+-@"}}},
		{"http_request_timeout", "0", func(c config) any { return c.aws.Timeout }, 10 * time.Second},
		{"endpoint", "logs.example.com:8443", func(c config) any { return c.aws.Endpoint }, "https://logs.example.com:8443"},
		{"use_fips", "yes", func(c config) any { return c.aws.UseFIPS }, true},
		{"use_dualstack", "1", func(c config) any { return c.aws.UseDualStack }, true},
	}
	for _, tt := range tests {
		c, _, err := parse(with(tt.option, tt.value))
		if err != nil {
			t.Errorf("%s %s: %v", tt.option, tt.value, err)
		} else if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: got %v, want %v", tt.option, tt.value, got, tt.want)
		}
	}
	for _, days := range retentionDays {
		if c, _, err := parse(with("log_retention_days", join([]int{days}))); err != nil || c.retentionDays != days {
			t.Errorf("log_retention_days %d: got %d, %v", days, c.retentionDays, err)
		}
	}
	prefix := with("log_stream_prefix", "from-")
	delete(prefix, "log_stream_name")
	if c, _, err := parse(prefix); err != nil || c.names.stream.sources[0].option != "log_stream_prefix" {
		t.Errorf("log_stream_prefix: %+v, %v", c.names.stream, err)
	}
}

// TestFilesAtStart is about what is only found wrong when it is loaded.
func TestFilesAtStart(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(broken, []byte("[profile work\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", broken)
	p, _, err := open("http://127.0.0.1:1", "profile", "nobody")
	if err == nil || p != nil || !strings.Contains(err.Error(), "cannot load the AWS configuration") || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("got %v, %v", p, err)
	}
}
