//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// What is too large is parted or kept, and what is given up is kept, in a file and
// in a stream.
func TestDeadLetters(t *testing.T) {
	aws := startAWS(t, awslocal.Config{KinesisStreams: map[string]int{"s": 1}, DeliveryStreams: []string{"s", "dead-form"}})
	input, service := formInput(t)
	file := filepath.Join(t.TempDir(), "letters")
	common := []string{"Match *", "workers 1", "region us-east-2", "endpoint " + aws.URL}
	p := start(t, run{service: service, config: input +
		section("OUTPUT", append(common, "Name cloudwatch", "log_group_name g", "log_stream_name s", "log_key nothing", "dead_letter_file "+file)...) +
		section("OUTPUT", append(common, "Name kinesis", "stream s", "too_big split", "max_record_size 4K", "partition_key keep")...) +
		section("OUTPUT", append(common, "Name firehose", "delivery_stream s", "too_big drop", "max_record_size 4K", "dead_letter_stream dead-$(tag)")...)})
	p.wait("all records are somewhere", 30*time.Second, func() bool {
		text, _ := os.ReadFile(file) // not there yet
		return strings.Count(string(text), "\n") >= formRecords && len(aws.Kinesis().Stream("s").Records()) >= 2*formRecords &&
			len(aws.Firehose().Stream("dead-form").Records()) > 0
	})
	p.stop(20 * time.Second)
	var texts []string
	for _, r := range aws.Kinesis().Stream("s").Records() {
		texts = append(texts, string(r.Data))
	}
	whole, parts := recordstest.Joined(t, texts)
	if parts != 2*formRecords || len(whole) != formRecords {
		t.Fatalf("%d parts of %d records", parts, len(whole))
	}
	dead := ""
	for _, r := range aws.Firehose().Stream("dead-form").Records() {
		dead += string(r)
	}
	for name, letters := range map[string][]string{
		"missing_key": recordstest.LetterFile(t, file),
		"too_large":   strings.Split(strings.TrimSuffix(dead, "\n"), "\n"),
	} {
		if len(letters) != formRecords {
			t.Errorf("%s: %d letters", name, len(letters))
			continue
		}
		for i, l := range recordstest.Letters(t, letters...) {

			if !strings.HasPrefix(l, name+" ") || !strings.HasSuffix(l, whole[i]) {
				t.Errorf("%s: letter %d is %.100q, and not of %.100q", name, i, l, whole[i])
			}
		}
	}
	for _, text := range []string{"and is sent in parts", "was dropped: it is larger than", "dropped missing_key 4, dead letters 4", "dropped too_large 4, dead letters 4"} {
		if !strings.Contains(p.log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, p.log.String())
		}
	}
}
