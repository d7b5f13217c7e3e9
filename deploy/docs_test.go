package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The options of the plugins that users come from; those of AWS's Go plugins by
// their README files, those of Fluent Bit's by the config maps of 5.1.1.
var peers = map[string]string{
	"### `cloudwatch`": "region log_group_name log_stream_name default_log_group_name default_log_stream_name log_stream_prefix log_key log_format " +
		"role_arn external_id auto_create_group auto_create_stream new_log_group_tags log_retention_days endpoint sts_endpoint credentials_endpoint extra_user_agent",
	"### `kinesis`": "region stream partition_key data_keys log_key role_arn endpoint sts_endpoint append_newline time_key time_key_format replace_dots " +
		"aggregation compression experimental_concurrency experimental_concurrency_retries http_request_timeout",
	"### `firehose`": "region delivery_stream data_keys log_key role_arn endpoint sts_endpoint time_key time_key_format replace_dots simple_aggregation",
	"### `cloudwatch_logs`": "region port endpoint sts_endpoint role_arn external_id profile extra_user_agent auto_retry_requests log_group_name log_stream_name log_stream_prefix " +
		"log_group_template log_stream_template log_key log_format log_retention_days log_group_class auto_create_group metric_namespace metric_dimensions add_entity",
	"### `kinesis_streams`":  "region port stream endpoint sts_endpoint role_arn external_id profile auto_retry_requests time_key time_key_format log_key simple_aggregation compression",
	"### `kinesis_firehose`": "region port delivery_stream endpoint sts_endpoint role_arn external_id profile auto_retry_requests time_key time_key_format log_key simple_aggregation compression",
}

var row = regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*) \\|")

// Whoever comes from another plugin finds each of its options, and what is
// called the same is an option here.
func TestMigration(t *testing.T) {
	text := read(t, "../docs/migration.md")
	for heading, options := range peers {
		at := strings.Index(text, heading+" becomes")
		if at < 0 {
			at = strings.Index(text, heading+"\n")
		}
		if at < 0 {
			t.Errorf("migration.md has no %s", heading)
			continue
		}
		part, _, _ := strings.Cut(text[at+4:], "\n### ")
		own := map[string]string{"### `cloudwatch_logs`": "cloudwatch", "### `kinesis_streams`": "kinesis", "### `kinesis_firehose`": "firehose"}[heading]
		if own == "" {
			own = strings.Trim(heading, "#` ")
		}
		_, asked, _ := start(own, nil)
		var found []string
		for _, m := range row.FindAllStringSubmatch(part, -1) {
			for _, option := range strings.Split(m[1], ", ") {
				option = strings.Trim(option, "`")
				found = append(found, option)
				if m[2] == "the same" && !slices.Contains(asked, option) {
					t.Errorf("%s: %s has no option %s", heading, own, option)
				}
			}
		}
		for _, option := range strings.Fields(options) {
			if !slices.Contains(found, option) {
				t.Errorf("%s lacks the option %s", heading, option)
			}
		}
	}
}

var (
	link = regexp.MustCompile(`\]\(([\w./-]+)\)`)
	file = regexp.MustCompile("`((?:deploy|docs|demo|loader)/[\\w./-]+)`")
)

// What the pages name is there.
func TestDocsNameWhatIsThere(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../docs", m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, m := range file.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
