package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/template"
)

// nameOptions are options of an output: name, value, name, value.
func nameOptions(pairs ...string) options.Getter {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func noECS() *ecsMetadata {
	return newECSMetadata(func(string) string { return "" }, func(error) {})
}

// newTestNames returns the names for options that are right, and the misses
// that were reported.
func newTestNames(t testing.TB, pairs ...string) (*names, *[]nameMiss) {
	t.Helper()
	s := options.New(nameOptions(pairs...))
	c := parseNames(s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	misses := &[]nameMiss{}
	return newNames(c, noECS(), func(m nameMiss) {
		mu.Lock()
		defer mu.Unlock()
		*misses = append(*misses, m)
	}), misses
}

func packMap(t testing.TB, v map[string]any) []byte {
	t.Helper()
	b, err := msgp.AppendIntf(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The cases of TestSetGroupStreamNames in AWS's Go plugin, and ours behind them.
func TestNames(t *testing.T) {
	long := strings.Repeat("_", 2*maxName)
	cron := map[string]any{
		"ident":   "cron",
		"msg":     "my cool log message",
		"details": map[string]any{"region": "us-west-2", "az": "a"},
		"empty":   "",
		"odd":     "a:b*ü#\xff",
		"long":    long,
		"wide":    strings.Repeat("ü", maxName),
		"port":    8080,
	}
	const group, stream = "fluentbit-default", "/fluentbit-default"
	tests := []struct {
		options    []string
		want       target
		substitute bool
	}{
		{[]string{"log_group_name", "g", "log_stream_name", "/aws/ecs/test-stream-name"}, target{"g", "/aws/ecs/test-stream-name"}, false},
		{[]string{"log_group_name", "g", "log_stream_prefix", "/aws/ecs/test-stream-prefix/"}, target{"g", "/aws/ecs/test-stream-prefix/syslog.0"}, false},
		{[]string{"log_group_name", "g", "log_stream_name", "/aws/ecs/$(tag[0])/$(tag[1])/$(details['region'])/$(details['az'])/$(ident)"},
			target{"g", "/aws/ecs/syslog/0/us-west-2/a/cron"}, false},
		{[]string{"log_group_name", "$(details['activity'])", "log_stream_name", "/aws/ecs/$(details['activity'])"}, target{group, stream}, true},
		{[]string{"log_group_name", "/aws/ecs/$(long)", "log_stream_name", "/aws/ecs/$(long)"},
			target{"/aws/ecs/" + long[:maxName-9], "/aws/ecs/" + long[:maxName-9]}, false},

		// Theirs has an empty log_group_name here, which is refused at start there
		// too; a name that comes out empty is the same.
		{[]string{"log_group_name", "$(empty)", "log_stream_name", "$(empty)"}, target{group, stream}, true},
		{[]string{"log_group_name", "$(empty)", "log_stream_name", "s", "default_log_group_name", "mine"}, target{"mine", "s"}, true},
		{[]string{"log_group_name", "g", "log_stream_name", "$(none)", "default_log_stream_name", "mine"}, target{"g", "mine"}, true},

		// Theirs: "a.b...#..." in a group, a stream that the service refuses.
		{[]string{"log_group_name", "$(odd)", "log_stream_name", "$(odd)"}, target{"a.b..#.", "a.b.ü#\uFFFD"}, false},
		{[]string{"log_group_name", "über", "log_stream_name", "x:y"}, target{".ber", "x.y"}, false},
		{[]string{"log_group_name", "g", "log_stream_prefix", "arn:*"}, target{"g", "arn..syslog.0"}, false},
		{[]string{"log_group_name", "g", "log_stream_prefix", long}, target{"g", long[:maxName]}, false},
		{[]string{"log_group_name", "$(no)", "log_stream_name", "$(no)", "default_log_group_name", "a:b" + long, "default_log_stream_name", "a:b" + long},
			target{"a.b" + long[:maxName-3], "a.b" + long[:maxName-3]}, true},
		{[]string{"log_group_name", "$(wide)", "log_stream_name", "x$(wide)"},
			target{strings.Repeat(".", maxName), "x" + strings.Repeat("ü", (maxName-1)/2)}, false},
		{[]string{"log_group_name", "g$(port)", "log_stream_name", "$(tag[9])"}, target{"g8080", stream}, true},
		{[]string{"log_group_name", "g", "log_stream_prefix", "$(ident)-"}, target{"g", "$(ident)-syslog.0"}, false},

		// The C plugin's templates come first, and stand in for the names.
		{[]string{"log_group_name", "g", "log_group_template", "app.$details['region']", "log_stream_prefix", "p-", "log_stream_template", "$ident.$TAG[0]"},
			target{"app.us-west-2", "cron.syslog"}, false},
		{[]string{"log_group_name", "g-$(ident)", "log_group_template", "$none", "log_stream_prefix", "p-", "log_stream_template", "$none"},
			target{"g-cron", "p-syslog.0"}, true},
		{[]string{"log_group_name", "$(none)", "log_group_template", "$none", "log_stream_name", "$(none)", "log_stream_template", "$none"},
			target{group, stream}, true},
		{[]string{"log_group_template", "$ident", "log_stream_template", "$ident"}, target{"cron", "cron"}, false},
		{[]string{"log_group_template", "$none", "log_stream_template", "$none"}, target{group, stream}, true},
	}
	body := packMap(t, cron)
	before := string(body)
	for _, tt := range tests {
		n, _ := newTestNames(t, tt.options...)
		c := n.chunk(context.Background(), "syslog.0")
		for range 2 {
			got, substitute := c.target(chunk.Time{}, body)
			if got != tt.want || substitute != tt.substitute {
				t.Errorf("%q: got %q, %v, want %q, %v", tt.options, got, substitute, tt.want, tt.substitute)
			}
		}
	}
	if string(body) != before {
		t.Error("the record was changed")
	}
}

// Records of one chunk, one after the other: no name may come from the record
// before.
func TestNamesFollowRecords(t *testing.T) {
	n, _ := newTestNames(t, "log_group_name", "g-$(a)", "log_stream_name", "s:$(b)")
	c := n.chunk(context.Background(), "t")
	tests := []struct {
		body       map[string]any
		want       target
		substitute bool
	}{
		{map[string]any{"a": "1", "b": "1"}, target{"g-1", "s.1"}, false},
		{map[string]any{"a": "1", "b": "1"}, target{"g-1", "s.1"}, false},
		{map[string]any{"a": "2", "b": "1"}, target{"g-2", "s.1"}, false},
		{map[string]any{"a": "2"}, target{"g-2", "/fluentbit-default"}, true},
		{map[string]any{"a": "2", "b": "1"}, target{"g-2", "s.1"}, false},
		{map[string]any{}, target{"fluentbit-default", "/fluentbit-default"}, true},
		{map[string]any{"a": "ab", "b": "c"}, target{"g-ab", "s.c"}, false},
		{map[string]any{"a": "a", "b": "bc"}, target{"g-a", "s.bc"}, false},
		{map[string]any{"a": "a:", "b": "bc"}, target{"g-a.", "s.bc"}, false},
		{map[string]any{"a": "a*", "b": "bc"}, target{"g-a.", "s.bc"}, false},
	}
	for i, tt := range tests {
		if got, substitute := c.target(chunk.Time{}, packMap(t, tt.body)); got != tt.want || substitute != tt.substitute {
			t.Errorf("record %d: got %q, %v, want %q, %v", i, got, substitute, tt.want, tt.substitute)
		}
	}
}

// ("a", "bc") and ("ab", "c") are two places; AWS's plugin has one stream for both.
func TestTargetIsAKey(t *testing.T) {
	m := map[target]int{{"a", "bc"}: 1, {"ab", "c"}: 2}
	if m[target{"a", "bc"}] != 1 || m[target{"ab", "c"}] != 2 {
		t.Errorf("got %v", m)
	}
}

func TestNameOptionErrors(t *testing.T) {
	tests := []struct {
		options []string
		want    string
	}{
		{[]string{"log_stream_name", "s"}, "option log_group_name: it is required and not set"},
		{[]string{"log_group_name", "g"}, "options log_stream_name and log_stream_prefix: neither is set, one of them is required"},
		{[]string{"log_group_name", "g", "log_stream_name", "s", "log_stream_prefix", "p"},
			"options log_stream_name and log_stream_prefix: both are set, allowed is one of them"},
		{[]string{"log_group_name", "g", "log_stream_template", "$a", "log_stream_name", "s", "log_stream_prefix", "p"},
			"options log_stream_name and log_stream_prefix: both are set, allowed is one of them"},
		// AWS's plugin starts with this and writes to /aws/ecs/['region'.
		{[]string{"log_group_name", "g", "log_stream_name", "/aws/ecs/$(details['region')"},
			`option log_stream_name: cannot read template "/aws/ecs/$(details['region')": at character 10, "$(details['region')": the "']" is missing`},
		{[]string{"log_group_name", "$(", "log_stream_template", "$"},
			`option log_group_name: cannot read template "$(": at character 1, "$(": the ")" is missing` + "\n" +
				`option log_stream_template: cannot read template "$": at character 1, "$": after "$" must come a key or TAG`},
		{[]string{"log_group_template", "$a[", "log_stream_name", "s"},
			`option log_group_template: cannot read template "$a[": at character 1, "$a[": the "]" is missing`},
	}
	for _, tt := range tests {
		s := options.New(nameOptions(tt.options...))
		parseNames(s)
		if err := s.Err(); err == nil || err.Error() != tt.want {
			t.Errorf("%q: got\n%v\nwant\n%s", tt.options, err, tt.want)
		}
	}
	var syntax *template.SyntaxError
	s := options.New(nameOptions("log_group_name", "$("))
	parseNames(s)
	if !errors.As(s.Err(), &syntax) {
		t.Error("the syntax error is not wrapped")
	}
}

// The cases of TestSanitizeGroup in AWS's Go plugin, and ours behind them.
func TestCleanGroup(t *testing.T) {
	const all = `!@#$%^&*()_+}{][=-';":/.?>,<~"']}`
	testClean(t, &groupAlphabet, []cleanCase{
		{"this.is.a.log.group.name", "this.is.a.log.group.name"},
		{"1234567890abcdefghijklmnopqrstuvwxyz", "1234567890abcdefghijklmnopqrstuvwxyz"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
		{all, "..#......._......-..../.........."}, // theirs has a dot for "#" as well
		{"", ""},
		{"a b", "a.b"},
		{"ü", "."}, // theirs: one for each byte
		{"日本/x", "../x"},
		{"a\xff\xfeb", "a..b"},
		{"a\x80b", "a.b"},
		{"a\u0080b", "a.b"},
		{"\xe6\x97", ".."},
		{"x\uFFFDy", "x.y"},
		{"a\x00\x7fb", "a..b"},
		{strings.Repeat("a", 511), strings.Repeat("a", 511)},
		{strings.Repeat("a", 512), strings.Repeat("a", 512)},
		{strings.Repeat("a", 513), strings.Repeat("a", 512)},
		{strings.Repeat("a", 511) + "ü", strings.Repeat("a", 511) + "."},
		{strings.Repeat("a", 512) + "ü", strings.Repeat("a", 512)},
		{strings.Repeat("日", 511), strings.Repeat(".", 511)},
		{strings.Repeat("日", 512), strings.Repeat(".", 512)},
		{strings.Repeat("日", 513), strings.Repeat(".", 512)},
	})
}

// The cases of TestSanitizeStream in AWS's Go plugin, and ours behind them.
func TestCleanStream(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	testClean(t, &streamAlphabet, []cleanCase{
		{"this.is.a.log.group.name", "this.is.a.log.group.name"},
		{"1234567890abcdefghijklmnopqrstuvwxyz", "1234567890abcdefghijklmnopqrstuvwxyz"},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
		{`!@#$%^&*()_+}{][=-';":/.?>,<~"']}`, `!@#$%^&.()_+}{][=-';"./.?>,<~"']}`},
		{"", ""},
		{"ü日本 x", "ü日本 x"},
		{"a\xffb", "a\uFFFDb"},
		{"a\x80b", "a\uFFFDb"},
		{"a\u0080b", "a\u0080b"},
		{"\xe6\x97", "\uFFFD\uFFFD"},
		{"a\uFFFDb", "a\uFFFDb"},
		{`C:\x`, `C.\x`},
		{a(511), a(511)},
		{a(512), a(512)},
		{a(513), a(512)},
		{a(510) + "ü", a(510) + "ü"},
		{a(511) + "ü", a(511)}, // theirs cuts it in half
		{a(512) + "ü", a(512)},
		{a(509) + "日x", a(509) + "日"},
		{a(510) + "日x", a(510)},
		{a(511) + "日x", a(511)},
		{a(508) + "😀x", a(508) + "😀"},
		{a(509) + "😀x", a(509)},
		{a(510) + "\xff", a(510)}, // three bytes as U+FFFD
		{a(509) + "\xff", a(509) + "\uFFFD"},
		{"ü" + a(510), "ü" + a(510)},
		{"ü" + a(511), "ü" + a(510)},
		{":" + a(512), "." + a(511)},
		{strings.Repeat("ü", 256), strings.Repeat("ü", 256)},
		{strings.Repeat("ü", 257), strings.Repeat("ü", 256)},
		{strings.Repeat("日", 171), strings.Repeat("日", 170)},
	})
}

type cleanCase struct{ in, want string }

func testClean(t *testing.T, a *alphabet, tests []cleanCase) {
	t.Helper()
	var scratch []byte
	for _, tt := range tests {
		in := []byte(tt.in)
		got := string(a.clean(&scratch, in))
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
		if string(in) != tt.in {
			t.Errorf("%q: the name was written to", tt.in)
		}
		if again := string(a.clean(new([]byte), []byte(got))); again != got {
			t.Errorf("%q: cleaned again it is %q", got, again)
		}
	}
}

var (
	groupPattern  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamPattern = regexp.MustCompile(`^[^:*]{1,512}$`)
)

func FuzzClean(f *testing.F) {
	for _, s := range []string{"a", "/x/y#", "ü:*", "\xff\xfe", strings.Repeat("日", 200), strings.Repeat("a", 511) + "\xf0\x9f"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		if len(name) == 0 {
			return
		}
		before := string(name)
		var scratch []byte
		group := string(groupAlphabet.clean(&scratch, name))
		stream := string(streamAlphabet.clean(&scratch, name))
		if string(name) != before {
			t.Fatalf("%q was written to", before)
		}
		if !groupPattern.MatchString(group) || len(group) != min(utf8.RuneCount(name), maxName) {
			t.Fatalf("%q: group %q", name, group)
		}
		if !streamPattern.MatchString(stream) || !utf8.ValidString(stream) || len(stream) > maxName {
			t.Fatalf("%q: stream %q", name, stream)
		}
		// Character by character, the slow and obvious way.
		var want strings.Builder
		for _, r := range before {
			if r == ':' || r == '*' {
				r = '.'
			}
			if want.Len()+utf8.RuneLen(r) > maxName {
				break
			}
			want.WriteRune(r)
		}
		if stream != want.String() {
			t.Fatalf("%q: stream %q, want %q", name, stream, want.String())
		}
	})
}

func TestMissesAreReportedOnceAndCounted(t *testing.T) {
	n, misses := newTestNames(t, "log_group_name", "/x/$(a)/$(b)", "log_stream_template", "$none", "log_stream_name", "$(e)")
	now := time.Unix(1_700_000_000, 0)
	n.now = func() time.Time { return now }
	noA := packMap(t, map[string]any{"b": "1", "e": ""})
	noB := packMap(t, map[string]any{"a": "1", "e": "s"})

	c := n.chunk(context.Background(), "kube.a")
	for range 5 {
		c.target(chunk.Time{}, noA)
	}
	c = n.chunk(context.Background(), "kube.b")
	c.target(chunk.Time{}, noB)
	const missing = "the record has no such text, number or boolean"
	want := []nameMiss{
		{"log_group_name", "/x/$(a)/$(b)", "$(a): " + missing, "default_log_group_name", "kube.a", 1},
		{"log_stream_template", "$none", "$none: " + missing, "log_stream_name", "kube.a", 1},
		{"log_stream_name", "$(e)", "the name comes out empty", "default_log_stream_name", "kube.a", 1},
		{"log_group_name", "/x/$(a)/$(b)", "$(b): " + missing, "default_log_group_name", "kube.b", 1},
	}
	if !reflect.DeepEqual(*misses, want) {
		t.Errorf("got  %q\nwant %q", *misses, want)
	}

	*misses = nil
	now = now.Add(reportEvery - 1)
	c.target(chunk.Time{}, noA)
	if len(*misses) != 0 {
		t.Errorf("said again too early: %q", *misses)
	}
	now = now.Add(1)
	c.target(chunk.Time{}, noA)
	want = []nameMiss{ // the four after the first, one just before and this one
		{"log_group_name", "/x/$(a)/$(b)", "$(a): " + missing, "default_log_group_name", "kube.b", 6},
		{"log_stream_template", "$none", "$none: " + missing, "log_stream_name", "kube.b", 7}, // noB lacks it too
		{"log_stream_name", "$(e)", "the name comes out empty", "default_log_stream_name", "kube.b", 6},
	}
	if !reflect.DeepEqual(*misses, want) {
		t.Errorf("got  %q\nwant %q", *misses, want)
	}
}

// A name that hangs on the tag alone is made once for the chunk, but every
// record without it counts.
func TestMissesOfTheTagCountRecords(t *testing.T) {
	n, misses := newTestNames(t, "log_group_name", "g", "log_stream_name", "$(tag[3])")
	now := time.Unix(1_700_000_000, 0)
	n.now = func() time.Time { return now }
	c := n.chunk(context.Background(), "a.b")
	for range 9 {
		c.target(chunk.Time{}, nil)
	}
	now = now.Add(reportEvery)
	if _, substitute := c.target(chunk.Time{}, nil); !substitute {
		t.Error("it is not said that another name stands in")
	}
	if len(*misses) != 2 || (*misses)[0].records != 1 || (*misses)[1].records != 9 {
		t.Errorf("got %v", *misses)
	}
}

func TestNameMissText(t *testing.T) {
	m := nameMiss{"log_group_name", "/$(a)", "$(a): the record has none", "default_log_group_name", "kube.a", 12}
	want := `option log_group_name: "/$(a)" gives no name: $(a): the record has none; ` +
		`option default_log_group_name is used instead (tag "kube.a", 12 records)`
	if m.String() != want {
		t.Errorf("got  %s\nwant %s", m, want)
	}
	m.records = 0
	if want, _, _ = strings.Cut(want, " (tag"); m.String() != want {
		t.Errorf("got  %s\nwant %s", m, want)
	}
}

// Outside of ECS a configuration made for it starts, says so and uses the
// default names.
func TestNamesOutsideOfECS(t *testing.T) {
	n, misses := newTestNames(t, "log_group_name", "g", "log_stream_name", "app-$(ecs_task_id)")
	want := []nameMiss{{
		option: "log_stream_name", template: "app-$(ecs_task_id)", instead: "default_log_stream_name",
		reason: "it needs an ECS task, and neither ECS_CONTAINER_METADATA_URI_V4 nor ECS_CONTAINER_METADATA_URI is set",
	}}
	if !reflect.DeepEqual(*misses, want) {
		t.Errorf("got %q, want %q", *misses, want)
	}
	if got, _ := n.chunk(context.Background(), "t").target(chunk.Time{}, nil); got != (target{"g", "/fluentbit-default"}) {
		t.Errorf("got %q", got)
	}
}

func TestNamesNeedNoECS(t *testing.T) {
	n, misses := newTestNames(t, "log_group_name", "g", "log_stream_name", "$(tag)")
	if n.ecs != nil || len(*misses) > 0 {
		t.Error("the ECS task is asked about though no template needs it")
	}
}

func TestUUID(t *testing.T) {
	n, _ := newTestNames(t, "log_group_name", "g-$(uuid)", "log_stream_name", "$(uuid)")
	other, _ := newTestNames(t, "log_group_name", "g", "log_stream_name", "$(uuid)")
	got, _ := n.chunk(context.Background(), "a").target(chunk.Time{}, nil)
	again, _ := n.chunk(context.Background(), "b").target(chunk.Time{}, nil)
	if got != again || got.group != "g-"+got.stream || !regexp.MustCompile(`^[0-9A-Za-z]{27}$`).MatchString(got.stream) {
		t.Errorf("got %q and %q", got, again)
	}
	if o, _ := other.chunk(context.Background(), "a").target(chunk.Time{}, nil); o.stream == got.stream {
		t.Error("two outputs have the same id")
	}
}

func TestNewIDSortsByTime(t *testing.T) {
	last := ""
	for _, year := range []int{2014, 2015, 2026, 2100, 2149} {
		id := newID(time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC))
		if len(id) != 27 || id <= last {
			t.Errorf("%d: %q after %q", year, id, last)
		}
		last = id
	}
}

func TestInternIsBounded(t *testing.T) {
	n, _ := newTestNames(t, "log_group_name", "g", "log_stream_name", "$(a)")
	c := n.chunk(context.Background(), "t")
	for i := range maxNames + 10 {
		want := fmt.Sprint("s", i)
		if got, _ := c.target(chunk.Time{}, packMap(t, map[string]any{"a": want})); got.stream != want {
			t.Fatalf("got %q, want %q", got.stream, want)
		}
		if len(n.known) > maxNames {
			t.Fatalf("%d names are kept", len(n.known))
		}
	}
	if len(n.known) > maxNames/2 {
		t.Errorf("%d names are kept", len(n.known))
	}
}

func TestTargetAllocs(t *testing.T) {
	bodies := [][]byte{
		packMap(t, map[string]any{"a": "x:", "n": 1}),
		packMap(t, map[string]any{"a": "üy", "n": 2}),
		packMap(t, map[string]any{"n": 3}), // without a name, and already reported
	}
	for _, opts := range [][]string{
		{"log_group_name", "g", "log_stream_name", "s"},
		{"log_group_name", "g", "log_stream_prefix", "p-"},
		{"log_group_name", "g-$(a)", "log_stream_name", "s-$(a)-$(n)"},
		{"log_group_name", "g-$(a)", "log_stream_template", "$a.$none", "log_stream_name", "$(tag[7])"},
	} {
		n, _ := newTestNames(t, opts...)
		c := n.chunk(context.Background(), "a.b")
		if got := testing.AllocsPerRun(100, func() {
			for _, b := range bodies {
				c.target(chunk.Time{}, b)
			}
		}); got > 0 {
			t.Errorf("%q: %v allocations", opts, got)
		}
	}
}

// Workers share the names, and every one gets those of its own records.
func TestNamesFromManyGoroutines(t *testing.T) {
	n, misses := newTestNames(t, "log_group_name", "g-$(a)", "log_stream_name", "$(tag)-$(a)")
	bodies := make([][]byte, 20)
	for i := range bodies {
		bodies[i] = packMap(t, map[string]any{"a": i})
	}
	none := packMap(t, map[string]any{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 20 {
				tag := fmt.Sprint("t", w)
				c := n.chunk(context.Background(), tag)
				for range 50 {
					i := r.IntN(len(bodies))
					want := target{fmt.Sprint("g-", i), fmt.Sprint(tag, "-", i)}
					if got, _ := c.target(chunk.Time{}, bodies[i]); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
				c.target(chunk.Time{}, none)
			}
		})
	}
	wg.Wait()
	if len(*misses) != 2 {
		t.Errorf("%d reports, want one for each option", len(*misses))
	}
	for _, rule := range []*nameRule{&n.nameConfig.group, &n.nameConfig.stream} {
		if got := rule.sources[0].misses[len(rule.sources[0].misses)-2].records.Load(); got != 160 {
			t.Errorf("%s: %d records counted, want 160", rule.sources[0].option, got)
		}
	}
}

// TestChunkNamesAreSmall: each chunk has its own, and most chunks have few records.
func TestChunkNamesAreSmall(t *testing.T) {
	if size := unsafe.Sizeof(chunkNames{}); size > maxName {
		t.Errorf("the names of a chunk take %d bytes, want no room for a name in them", size)
	}
}

func BenchmarkTarget(b *testing.B) {
	var bodies [][]byte
	for i := range 4 {
		bodies = append(bodies, packMap(b, map[string]any{
			"log": strings.Repeat("x", 600),
			"kubernetes": map[string]any{
				"namespace_name": "shop", "pod_name": fmt.Sprint("web-7d9c6b9f4d-", i), "container_name": "nginx",
			},
		}))
	}
	k8s := []string{"log_group_name", "/app/$(kubernetes['namespace_name'])", "log_stream_name", "$(kubernetes['pod_name'])/$(kubernetes['container_name'])"}
	for _, bb := range []struct {
		name    string
		options []string
		pods    int
	}{
		{"Prefix", []string{"log_group_name", "g", "log_stream_prefix", "p-"}, 1},
		{"OnePod", k8s, 1},
		{"FourPods", k8s, 4},
		{"Missing", []string{"log_group_name", "$(none)", "log_stream_name", "s"}, 1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			n, _ := newTestNames(b, bb.options...)
			c := n.chunk(context.Background(), "kube.a")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.target(chunk.Time{}, bodies[i%bb.pods])
				i++
			}
		})
	}
}
