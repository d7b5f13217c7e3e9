package cloudwatch

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// TestTagTemplates has each new group get the tags of the first record that goes
// there.
func TestTagTemplates(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "log_group_name", "/$(team)", "log_stream_name", "$(pod)", "new_log_group_tags",
		"team=$(team), owner=$owner['mail'], env=prod, cost=$(cost|none)-$(tag[1]), year=$(time:%Y), gone=$(gone)")
	var c []byte
	for i := range 40 {
		body := map[string]any{"team": fmt.Sprint("t", i%4), "pod": i, "owner": map[string]any{"mail": fmt.Sprintf("a%d,ö!<x>@b", i)}}
		if i == 1 {
			body["cost"] = 7
		}
		c = append(c, chunkOf(record{0, body})...)
	}
	if got := r.Flush(delivery.Chunk{Tag: "kube.tag", Data: c}); got != delivery.OK {
		t.Fatalf("got %v", got)
	}
	for i, cost := range []string{"none-tag", "7-tag", "none-tag", "none-tag"} {
		team := fmt.Sprint("t", i)
		want := map[string]string{"team": team, "owner": fmt.Sprintf("a%d.ö..x.@b", i), "env": "prod", "cost": cost, "year": now.UTC().Format("2006")}
		if got, ok := r.srv.Logs().Group("/" + team); !ok || !maps.Equal(got.Tags, want) {
			t.Errorf("%s: got %v, want %v", team, got.Tags, want)
		}
	}
	r.log.Want(t, "warning", `option new_log_group_tags: a log group gets no tag "gone": $(gone): the record has no such text`)
	r.account(40, 40, 0)
}

// Without auto_create_group nobody asks for tags.
func TestTagTemplatesNotNeeded(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, "new_log_group_tags", "a=$(a)", "auto_create_group", "false")
	if r.newTagger(nil) != nil {
		t.Error("tags are made for groups that are not")
	}
}

func TestTagTemplateErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ value, want string }{
		{"a=$(b", `option new_log_group_tags: cannot read template "$(b"`},
		{"aws:a=$(b)", `option new_log_group_tags: cannot use "aws:a="`},
	} {
		if _, _, err := open("http://127.0.0.1:1", "new_log_group_tags", test.value); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.value, err)
		}
	}
}

func TestCleanTag(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ value, want string }{
		{"", ""}, {"plain text 1_.:/=+-@", "plain text 1_.:/=+-@"}, {"ünï", "ünï"}, {"a,b;c\n", "a.b.c."}, {"\xff\xfe", ".."},
		{strings.Repeat("é", 300), strings.Repeat("é", maxTagValue)},
	} {
		if got := cleanTag([]byte(test.value)); got != test.want || !(tag{"k", got}).legal() {
			t.Errorf("%q: got %q, want %q", test.value, got, test.want)
		}
	}
}
