package cloudwatch

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/records/recordstest"
)

// givenUp is a chunk in which one record of six is good. The service takes up to
// 1,000 bytes.
func givenUp() []byte {
	body := func(log any) map[string]any { return map[string]any{"log": log, "ns": "n"} }
	c := chunkOf(record{0, body("good")}, record{1, map[string]any{"lo": 1}}, record{2, body(strings.Repeat("x", 1000))},
		record{-15 * dayMillis, body("old")}, record{4, body(strings.Repeat("y", 2000))})
	return append(c, 0x91, 0x05)
}

var lettersOptions = []string{logKey, "log", "too_big", "drop", "max_event_size", "1500"}

// wantLetters wants the letters of givenUp's records in a group.
func wantLetters(t *testing.T, where, group, stream string, lines []string, reasons ...string) {
	t.Helper()
	all := map[string]string{
		"missing_key": "missing_key   {\"lo\":1}",
		"refused":     "refused " + group + " " + stream + ` {"log":"` + strings.Repeat("x", 1000) + `","ns":"n"}`,
		"too_old":     "too_old " + group + " " + stream + ` {"log":"old","ns":"n"}`,
		"too_large":   "too_large " + group + " " + stream + ` {"log":"` + strings.Repeat("y", 2000) + `","ns":"n"}`,
		"malformed":   "malformed   ?",
	}
	var want []string
	for _, why := range reasons {
		want = append(want, all[why])
	}
	got := recordstest.Letters(t, lines...)
	for i, l := range got { // keys of a map come in any order
		got[i] = strings.NewReplacer(`{"ns":"n","log":`, `{"log":`, `","ns":"n"}`, `"}`, `"}`, `"}`).Replace(l)
	}
	for i, l := range want {
		want[i] = strings.Replace(l, `","ns":"n"}`, `"}`, 1)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%.100q\nwant\n%.100q", where, got, want)
	}
}

// TestDeadLetters keeps records that are given up, with the reason, in a file and
// in a log stream of their group.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	all := []string{"missing_key", "refused", "too_old", "too_large", "malformed"}
	dropped := []any{delivery.MissingKey, 1, delivery.Refused, 1, delivery.TooOld, 1, delivery.TooLarge, 1, delivery.Malformed, 1}
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "letters")
		r := newRig(t, awslocal.Config{MaxEventBytes: 1000}, append(lettersOptions, "dead_letter_file", file)...)
		r.flush(delivery.OK, givenUp())
		wantLetters(t, "file", "g", "s", recordstest.LetterFile(t, file), all...)
		r.account(6, 1, 0, dropped...)
		r.wantCount(delivery.DeadLetters, 5)
	})
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		// The stream takes no more than the others: one letter is refused, and cannot
		// have a letter.
		r := newRig(t, awslocal.Config{MaxEventBytes: 1000}, append(lettersOptions, "dead_letter_stream", "dead", "data_keys", "ns")...)
		r.flush(delivery.OK, givenUp())
		wantLetters(t, "stream", "g", "s", r.messages("g", "dead"), "missing_key", "too_old", "malformed")
		r.srv = nil
		r.account(6, 1, 0, dropped...)
		r.wantCount(delivery.DeadLetters, 3)
		r.wantCount(delivery.LostLetters, 2)
		r.log.Want(t, "warning", "dead letters: CloudWatch Logs refuses 1 events", `stream "dead"`)
	})
	t.Run("stream of each group", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, awslocal.Config{}, append(lettersOptions, "dead_letter_stream", "dead",
			"log_group_name", "of-$(ns)", "log_stream_name", "by-$(ns)", "default_log_group_name", "other")...)
		r.flush(delivery.OK, givenUp())
		wantLetters(t, "its own", "of-n", "by-n", r.messages("of-n", "dead"), "too_old", "too_large")
		wantLetters(t, "the default", "", "", r.messages("other", "dead"), "missing_key", "malformed")
		r.log.None(t, "is missing")
		r.wantCount(delivery.DeadLetters, 4)
		r.log.NoErrors(t)
	})
}
