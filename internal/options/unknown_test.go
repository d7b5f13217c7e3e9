package options

import (
	"reflect"
	"strings"
	"testing"
)

// known are some options of the plugins, enough to be confused with each other.
var known = []string{"region", "log_group_name", "log_group_class", "log_group_template", "log_stream_name", "log_stream_prefix",
	"log_stream_template", "auto_create_group", "auto_create_stream", "log_key", "data_keys", "role_arn", "external_id", "endpoint",
	"sts_endpoint", "stream", "delivery_stream", "partition_key", "profile", "port", "time_key", "time_key_format", "no_proxy", "use_fips"}

func TestFindUnknown(t *testing.T) {
	for _, test := range []struct {
		key, nearest string
		misspelt     bool
	}{
		// Slips of the keyboard.
		{"auto_create_grup", "auto_create_group", true},
		{"auto_creat_group", "auto_create_group", true},
		{"auto_craete_stream", "auto_create_stream", true},
		{"Log_Gruop_Name", "log_group_name", true},
		{"log-group-name", "log_group_name", true},
		{"loggroupname", "log_group_name", true},
		{"regoin", "region", true},
		{"rolearn", "role_arn", true},
		{"streams", "stream", true},
		{"datakeys", "data_keys", true},
		{"partitionkey", "partition_key", true},
		{"usefips", "use_fips", true},
		// Fluent Bit's own reach the plugin when they are misspelt.
		{"retry_limits", "retry_limit", true},
		{"Worker", "workers", true},
		{"storage.total_limit", "storage.total_limit_size", false},
		{"storage.total_limit_sizes", "storage.total_limit_size", true},

		// Near by their words.
		{"log_group", "log_group_name", false},
		{"stream_name", "log_stream_name", false},
		{"stream_prefix", "log_stream_prefix", false},
		{"delivery_stream_name", "delivery_stream", false},
		{"time_format", "time_key_format", false},

		// Like nothing.
		{"my_name", "", false},
		{"codec", "", false},
		{"kms", "", false},
		{"p", "", false},
		{"sort", "", false},
		{"", "", false},
		{strings.Repeat("x", 1000), "", false},
	} {
		want := []Unknown{{test.key, test.nearest, test.misspelt}}
		if got := FindUnknown([]string{test.key}, known); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", test.key, got, want)
		}
	}
}

func TestFindUnknownLeavesOut(t *testing.T) {
	keys := []string{"region", "REGION", "Name", "Match", "match_regex", "alias", "Workers", "Retry_Limit", "log_level", "host", "tls",
		"tls.verify", "net.keepalive", "oauth2.enable", "oauth2_url", "_debug.http.request_headers", "storage.total_limit_size", "active", "condition"}
	if got := FindUnknown(keys, known); got != nil {
		t.Errorf("got %+v", got)
	}
	if got := FindUnknown([]string{"a_b_c", "A", "a_b_c"}, known); len(got) != 2 {
		t.Errorf("a key that is there twice: got %+v", got)
	}
}

// No option of the plugins is taken for a misspelt one of the others: a section
// that has an option of another plugin gets a hint and starts.
func TestKnownOnesAreNotAlike(t *testing.T) {
	for i, name := range known {
		others := append(append([]string{}, known[:i]...), known[i+1:]...)
		if name == "port" { // Fluent Bit's
			continue
		}
		if got := FindUnknown([]string{name}, others); len(got) != 1 || got[0].Misspelt {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestFindRepeated(t *testing.T) {
	if got := FindRepeated([]string{"a", "b", "A", "c", "a", "b"}); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("got %q", got)
	}
	if got := FindRepeated([]string{"a", "b"}); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestUnknownString(t *testing.T) {
	for _, test := range []struct {
		u    Unknown
		want string
	}{
		{Unknown{"regoin", "region", true}, "option regoin: there is no such option, the nearest is region"},
		{Unknown{"log_group", "log_group_name", false}, "option log_group: there is no such option, it has no effect; the nearest is log_group_name"},
		{Unknown{"codec", "", false}, "option codec: there is no such option, it has no effect"},
	} {
		if got := test.u.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "acb", 1},
		{"abcd", "badc", 2}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want || distance(test.b, test.a) != test.want {
			t.Errorf("%q to %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
