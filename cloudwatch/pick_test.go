package cloudwatch

import (
	"slices"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// TestLogKeys has the first of several keys that a record has be sent, and what
// has none of them dropped or, by option, sent whole.
func TestLogKeys(t *testing.T) {
	t.Parallel()
	bodies := []any{
		map[string]any{"msg": "b", "log": "a"},
		map[string]any{"msg": "b"},
		map[string]any{"deep": map[string]any{"er": []any{"zero", map[string]any{"text": "c"}}}},
		map[string]any{"deep": map[string]any{"er": "d"}},
		map[string]any{"msg": map[string]any{"n": 1}},
		"e",
	}
	for missing, want := range map[string][]string{
		"drop":   {"a", "b", "c", `{"n":1}`},
		"record": {"a", "b", "c", `{"deep":{"er":"d"}}`, `{"n":1}`, `"e"`},
	} {
		r := newRig(t, awslocal.Config{}, logKey, "log, msg, $deep['er'][1]['text']", "log_key_missing", missing)
		var c []byte
		for i, body := range bodies {
			c = append(c, chunkOf(record{int64(i), body})...)
		}
		r.flush(delivery.OK, c)
		if got := r.messages("g", "s"); !slices.Equal(got, want) {
			t.Errorf("%s: got  %q\nwant %q", missing, got, want)
		}
		if missing == "drop" {
			r.account(6, 4, 0, delivery.MissingKey, 2)
			r.wantCount(delivery.SentWhole, 0)
			r.log.Want(t, "warning", `it has no key "log, msg, $deep['er'][1]['text']", which option log_key names`)
		} else {
			r.account(6, 6, 0)
			r.wantCount(delivery.SentWhole, 2)
			r.log.None(t, "log_key")
		}
	}
}

// TestFewerKeys sends records with some of their keys, or without some, while
// names are made of the whole record.
func TestFewerKeys(t *testing.T) {
	t.Parallel()
	body := map[string]any{"log": "text", "kubernetes": map[string]any{"pod": "p", "labels": map[string]any{"app": "web"}}}
	for _, test := range []struct {
		options []string
		want    string
	}{
		{[]string{"data_keys", "log"}, `{"log":"text"}`},
		{[]string{"data_keys", "kubernetes->labels->app"}, `{"kubernetes":{"labels":{"app":"web"}}}`},
		{[]string{"exclude_keys", "kubernetes"}, `{"log":"text"}`},
		{[]string{"data_keys", "kubernetes", "exclude_keys", "$kubernetes['labels']"}, `{"kubernetes":{"pod":"p"}}`},
		{[]string{"exclude_keys", "kubernetes,log"}, `{}`},
		{[]string{"log_key", "none", "log_key_missing", "record", "exclude_keys", "kubernetes"}, `{"log":"text"}`},
		{[]string{"log_key", "log", "exclude_keys", "log"}, `text`},
	} {
		r := newRig(t, awslocal.Config{}, append(test.options, "log_stream_name", "$(kubernetes['pod'])")...)
		r.flush(delivery.OK, chunkOf(record{0, body}, record{1, body}))
		if got := r.messages("g", "p"); !slices.Equal(got, []string{test.want, test.want}) {
			t.Errorf("%q: got %q", test.options, got)
		}
	}
}
