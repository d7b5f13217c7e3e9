package template

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
)

// pack returns v as msgpack.
func pack(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgp.AppendIntf(nil, v)
	if err != nil {
		t.Fatalf("cannot pack %v: %v", v, err)
	}
	return b
}

func testInput(t testing.TB) *Input {
	ec2 := &EC2{InstanceID: "i-instance", InstanceType: "m5.large", AvailabilityZone: "az", PrivateIP: "10.0.0.1"}
	return &Input{
		Tag: "syslog.0",
		Body: pack(t, map[string]any{
			"ident": "cron",
			"empty": "",
			"raw":   []byte("SubIt3m"),
			"bad":   "a\xffb",
			"yes":   true,
			"no":    false,
			"zero":  0,
			"neg":   -42,
			"big":   uint64(math.MaxUint64),
			"min":   int64(math.MinInt64),
			"half":  0.5,
			"f32":   float32(0.1),
			"mega":  1.2e6,
			"huge":  1e21,
			"tiny":  1e-7,
			"nan":   math.NaN(),
			"inf":   math.Inf(-1),
			"nil":   nil,
			"time":  time.Unix(1, 0),
			"list":  []any{"first", []any{"deep", 7}, map[string]any{"z": "last"}},
			"long":  strings.Repeat("x", maxValue+1),
			"a)b":   "paren",
			"tag":   "not the tag",

			"ec2_instance_id":   "i-record",
			"ec2_instance_type": "",
			"uuid":              map[string]any{"k": "nested uuid"},
			"pam": map[string]any{
				"item": "soup",
				"item2": map[string]any{
					"subitem":  []byte("SubIt3m"),
					"subitem2": map[string]any{"more": "final"},
					"none":     "",
					"it's":     "quoted",
				},
			},
		}),
		Time: chunk.Time{Sec: 1795478341, Nsec: 250_999_999}, // 2026-11-23 23:59:01
		UUID: "123",
		ECS:  &ECS{TaskID: "taskID", Cluster: "cluster", TaskARN: "taskARN", Family: "family", Revision: "7"},
		EC2:  func() *EC2 { return ec2 },
	}
}

// mustParse is for templates that are known to be good.
func mustParse(t testing.TB, parse func(string) (*Template, error), text string) *Template {
	t.Helper()
	tm, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func TestAppend(t *testing.T) {
	tests := []struct{ text, want, missing string }{
		{text: "", want: ""},
		{text: "/aws/ecs/test-stream-name", want: "/aws/ecs/test-stream-name"},
		{text: "a$b)c(d$", want: "a$b)c(d$"},
		{text: "$(ident)", want: "cron"},
		{text: "<$(ident)>$(ident)", want: "<cron>cron"},
		{text: "$(tag)", want: "syslog.0"},
		{text: "$(tag[0])/$(tag[1])", want: "syslog/0"},
		{text: "$(tag[01])", want: "0"},
		{text: "$(uuid)", want: "123"},
		{text: "$(ecs_task_id) $(ecs_cluster) $(ecs_task_arn)", want: "taskID cluster taskARN"},
		{text: "$(a)b)", missing: "$(a)"},
		{text: "$(pam['a)b'])", missing: "$(pam['a)b'])"},

		// The case of AWS's TestParseDataMapTags. Theirs has $(pam['item2']), a
		// map, where an empty text is here: they put in nothing for a map, which
		// sends records meant for different streams to one. It is missing here.
		{text: "$(ecs_task_id).$(ecs_cluster).$(ecs_task_arn).$(uuid).$(tag).$(pam['item2']['subitem2']['more'])." +
			"$(pam['item']).$(pam['item2']['none']).$(pam['item2']['subitem'])-$(pam['item2']['subitem2']['more'])-$(tag[1])",
			want: "taskID.cluster.taskARN.123.syslog.0.final.soup..SubIt3m-final-0"},
		{text: "$(ecs_task_id).$(pam['item2'])", missing: "$(pam['item2'])"},
		{text: "$(missing-variable).stuff", missing: "$(missing-variable)"},
		{text: "$(pam['item6']).stuff", missing: "$(pam['item6'])"},
		{text: "$(tag[9]).stuff", missing: "$(tag[9])"},
		// AWS's plugin reads one digit and takes part 1.
		{text: "$(tag[10])", missing: "$(tag[10])"},
		// It stops at a text and ignores the keys behind it; here they were not found.
		{text: "$(ident['x'])", missing: "$(ident['x'])"},

		// A text for what is missing or empty.
		{text: "$(ident|x)$(missing|-none)$(empty|-e)$(empty|)", want: "cron-none-e"},
		{text: "$(pam['item6']|p)$(pam['item']|p)$(list|l)", want: "psoupl"},
		{text: "$(pam['a|b']|c)", want: "c"},
		{text: "$(tag[9]|t) $(tag[1]|t) $(tag|t)", want: "t 0 syslog.0"},
		{text: "$(missing|a|b$c[d)", want: "a|b$c[d"},
		{text: "$(uuid|u)$(ecs_cluster|c)", want: "123cluster"},
		{text: "$(missing|x)$(missing)", missing: "$(missing)"},

		// The record's time, in UTC. "time" alone is a key.
		{text: "logs-$(time:%Y-%m-%d)", want: "logs-2026-11-23"},
		{text: "$(time:%H%M%S.%L|%j)$(time:%Y)", want: "235901.250|3272026"},
		{text: "$(time['zone']|none)", want: "none"},

		// Of the task and the instance, unless the record has it.
		{text: "$(ecs_task_family):$(ecs_task_revision)", want: "family:7"},
		{text: "$(ec2_instance_id)/$(ec2_instance_type)/$(ec2_availability_zone)/$(ec2_private_ip)", want: "i-record/m5.large/az/10.0.0.1"},

		// Only the bare names are special, as in AWS's plugin.
		{text: "$(uuid['k'])", want: "nested uuid"},
		{text: "$(ecs_cluster['k'])", missing: "$(ecs_cluster['k'])"},

		{text: "$(empty)", want: ""},
		{text: "$(raw)", want: "SubIt3m"},
		{text: "$(bad)", want: "a\xffb"},
		{text: "$(yes)$(no)", want: "truefalse"},
		{text: "$(zero) $(neg)", want: "0 -42"},
		{text: "$(big)", want: "18446744073709551615"},
		{text: "$(min)", want: "-9223372036854775808"},
		{text: "$(half) $(f32) $(mega)", want: "0.5 0.1 1200000"},
		{text: "$(huge) $(tiny)", want: "1e+21 1e-07"},
		{text: "$(nan)", missing: "$(nan)"},
		{text: "$(inf)", missing: "$(inf)"},
		{text: "$(nil)", missing: "$(nil)"},
		{text: "$(time)", missing: "$(time)"},
		{text: "$(list)", missing: "$(list)"},
		{text: "$(pam)", missing: "$(pam)"},
		{text: "$(long)", want: strings.Repeat("x", maxValue)},
	}
	in := testInput(t)
	for _, tt := range tests {
		checkAppend(t, mustParse(t, Parse, tt.text), in, tt.want, tt.missing)
	}
}

func checkAppend(t *testing.T, tm *Template, in *Input, want, missing string) {
	t.Helper()
	got, m := tm.Append([]byte("keep "), in)
	if m != nil {
		want = "" // nothing may have been added
	}
	if string(got) != "keep "+want {
		t.Errorf("%q: got %q, want %q", tm, got, "keep "+want)
	}
	switch {
	case m == nil && missing != "":
		t.Errorf("%q: %s is not missing", tm, missing)
	case m != nil && m.Variable != missing:
		t.Errorf("%q: missing is %v, want %q", tm, m, missing)
	case m != nil && (m.Index < 0 || m.Index >= tm.Variables()):
		t.Errorf("%q: index %d of %d variables", tm, m.Index, tm.Variables())
	}
}

func TestAccessor(t *testing.T) {
	tests := []struct{ text, want, missing string }{
		{text: "plain", want: "plain"},
		{text: "$ident", want: "cron"},
		{text: "text.$pam['item2']['subitem'].$TAG", want: "text.SubIt3m.syslog.0"},
		{text: "$TAG[0]-$TAG[1]", want: "syslog-0"},
		{text: "$TAG.x", want: "syslog.0.x"},
		{text: "$TAGS", want: "syslog.0S"}, // as Fluent Bit reads it
		{text: "$tag", want: "not the tag"},
		{text: "$pam['item2']['it''s']", want: "quoted"},
		{text: "$ident,$ident $ident\"", want: "cron,cron cron\""},
		{text: "$ident$ident:$ident]", want: "croncron:cron]"},
		{text: "$list[0]", want: "first"},
		{text: "$list[1][1]", want: "7"},
		{text: "$list[2]['z']/x", want: "last/x"},
		{text: "$yes", want: "true"},
		// "-" and "/" belong to a key: Fluent Bit's lexer has them in it.
		{text: "$ident-x", missing: "$ident-x"},
		{text: "$ident/x", missing: "$ident/x"},
		// Fluent Bit leaves such a part out: "syslog." of "$TAG[0].$TAG[2]".
		{text: "$TAG[0].$TAG[2]", missing: "$TAG[2]"},
		{text: "$TAG[9]", missing: "$TAG[9]"},
		{text: "$list[3]", missing: "$list[3]"},
		{text: "$list['a']", missing: "$list['a']"},
		{text: "$pam[0]", missing: "$pam[0]"},
		{text: "$list[1]", missing: "$list[1]"},
		{text: "$none['x']", missing: "$none['x']"},
		// The other language's variables, with all that they can.
		{text: "/$pam['item']/$(time:%Y)/$(ident)$(none|-)$TAG[0]", want: "/soup/2026/cron-syslog"},
		{text: "$ident$(pam['item'])$(gone)", missing: "$(gone)"},
		// Fluent Bit writes JSON for a map and "null" for nil.
		{text: "$pam['item2']", missing: "$pam['item2']"},
		{text: "$nil", missing: "$nil"},
	}
	in := testInput(t)
	for _, tt := range tests {
		checkAppend(t, mustParse(t, ParseAccessor, tt.text), in, tt.want, tt.missing)
	}
}

func TestTagParts(t *testing.T) {
	const tag = "0.1.2..4.5.6.7.8.9.10.11"
	tests := []struct{ tag, text, want, missing string }{
		{tag, "$(tag[0])", "0", ""},
		{tag, "$(tag[3])", "", ""}, // there, and empty
		{tag, "$(tag[8])", "8", ""},
		{tag, "$(tag[9])", "9.10.11", ""}, // the rest, as in AWS's plugin
		{tag, "$(tag[10])", "10", ""},
		{tag, "$(tag[11])", "11", ""},
		{tag, "$(tag[12])", "", "$(tag[12])"},
		{tag, "$(tag[9999])", "", "$(tag[9999])"},
		{"0.1.2.3.4.5.6.7.8.9", "$(tag[9])", "9", ""},
		{"0.1.2.3.4.5.6.7.8", "$(tag[9])", "", "$(tag[9])"},
		{"", "$(tag)", "", ""},
		{"", "$(tag[0])", "", ""},
		{"", "$(tag[1])", "", "$(tag[1])"},
		{"a.", "$(tag[1])", "", ""},
	}
	for _, tt := range tests {
		checkAppend(t, mustParse(t, Parse, tt.text), &Input{Tag: tt.tag}, tt.want, tt.missing)
	}
	checkAppend(t, mustParse(t, ParseAccessor, "$TAG[9]"), &Input{Tag: tag}, "9", "")
}

func TestPrefixTag(t *testing.T) {
	checkAppend(t, PrefixTag("from-$(x)-"), &Input{Tag: "a.b"}, "from-$(x)-a.b", "")
	checkAppend(t, PrefixTag(""), &Input{Tag: "a.b"}, "a.b", "")
	if got := PrefixTag("from-").String(); got != "from-$(tag)" {
		t.Errorf("it shows as %q", got)
	}
}

func TestMissingTask(t *testing.T) {
	for _, name := range []string{"$(ecs_task_id)", "$(ecs_cluster)", "$(ecs_task_arn)"} {
		tm := mustParse(t, Parse, name)
		checkAppend(t, tm, &Input{}, "", name)
		checkAppend(t, tm, &Input{ECS: &ECS{}}, "", name)
	}
	checkAppend(t, mustParse(t, Parse, "$(uuid)"), &Input{}, "", "$(uuid)")
}

// What the record lacks comes from the task or the instance, and may be missing there.
func TestRecordFirst(t *testing.T) {
	record := pack(t, map[string]any{"ec2_instance_id": "i-1", "ec2_private_ip": "", "ecs_task_family": "of the record", "ec2_availability_zone": []any{}})
	ec2 := func() *EC2 { return &EC2{InstanceID: "i-2", PrivateIP: "10.0.0.2", AvailabilityZone: "b"} }
	asked := 0
	count := func() *EC2 { asked++; return nil }
	for _, test := range []struct {
		in            *Input
		text          string
		want, missing string
	}{
		{&Input{Body: record, EC2: count}, "$(ec2_instance_id)", "i-1", ""},
		{&Input{Body: record, EC2: ec2}, "$(ec2_private_ip) $(ec2_availability_zone)", "10.0.0.2 b", ""},
		{&Input{EC2: ec2}, "$(ec2_instance_id)", "i-2", ""},
		{&Input{EC2: ec2}, "$(ec2_instance_type)", "", "$(ec2_instance_type)"},
		{&Input{EC2: ec2}, "$(ec2_instance_type|m)", "m", ""},
		{&Input{}, "$(ec2_instance_id)", "", "$(ec2_instance_id)"},
		{&Input{EC2: func() *EC2 { return nil }}, "$(ec2_instance_id)", "", "$(ec2_instance_id)"},
		{&Input{Body: record}, "$(ecs_task_family)", "of the record", ""},
		{&Input{Body: record}, "$(ecs_task_revision)", "", "$(ecs_task_revision)"},
		{&Input{Body: record, ECS: &ECS{}}, "$(ecs_task_revision)", "", "$(ecs_task_revision)"},
		{&Input{ECS: &ECS{Family: "f"}}, "$(ecs_task_family)", "f", ""},
		// With keys behind it, it is a key of the record and nothing else.
		{&Input{EC2: count}, "$(ec2_instance_id['x'])", "", "$(ec2_instance_id['x'])"},
	} {
		checkAppend(t, mustParse(t, Parse, test.text), test.in, test.want, test.missing)
	}
	if asked > 0 {
		t.Errorf("the instance was asked for %d times though the record has it", asked)
	}
}

// An Input is used for record after record, with two formats in one name.
func TestTimesFollowRecords(t *testing.T) {
	tm := mustParse(t, Parse, "$(time:%H:%M:%S)+$(time:%S.%3N)")
	in := &Input{}
	for _, test := range []struct {
		time chunk.Time
		want string
	}{
		{chunk.Time{}, "00:00:00+00.000"},
		{chunk.Time{Sec: 61, Nsec: 5_000_000}, "00:01:01+01.005"},
		{chunk.Time{Sec: 61, Nsec: 6_000_000}, "00:01:01+01.006"},
		{chunk.Time{Sec: -1}, "23:59:59+59.000"},
	} {
		in.Time = test.time
		checkAppend(t, tm, in, test.want, "")
	}
}

// A body that is broken or no map has no values, and does no harm.
func TestAppendBrokenBody(t *testing.T) {
	whole := testInput(t).Body
	bodies := [][]byte{nil, {}, {0xc0}, {0xc1}, {0xa1, 'x'}, {0x91, 0x01}, {0xdf, 0xff, 0xff, 0xff, 0xff}, {0x81, 0xa1, 'k'}}
	for _, body := range bodies {
		checkAppend(t, mustParse(t, Parse, "$(k)"), &Input{Body: body}, "", "$(k)")
		checkAppend(t, mustParse(t, ParseAccessor, "$k[1]"), &Input{Body: body}, "", "$k[1]")
	}
	tm := mustParse(t, ParseAccessor, "$list[2]['z']")
	for n := range whole {
		if got, m := tm.Append(nil, &Input{Body: whole[:n]}); m == nil && string(got) != "last" {
			t.Fatalf("the first %d bytes give %q", n, got)
		}
	}
	// An array that promises more than it has.
	broken := append([]byte{0x81, 0xa1, 'k'}, 0xdd, 0xff, 0xff, 0xff, 0xff, 0x01)
	checkAppend(t, mustParse(t, ParseAccessor, "$k[1]"), &Input{Body: broken}, "", "$k[1]")
}

func TestProperties(t *testing.T) {
	tests := []struct {
		text        string
		record, ecs bool
		vars        int
	}{
		{"plain", false, false, 0},
		{"", false, false, 0},
		{"$(tag)$(tag[1])$(tag[9])", false, false, 3},
		{"$(uuid)$(uuid)", false, false, 1},
		{"$(a)-$(a)-$(b)", true, false, 2},
		{"$(ecs_cluster)", false, true, 1},
		{"$(ecs_task_id)$(a)", true, true, 2},
		{"$(ecs_task_arn)", false, true, 1},
		{"$(time:%Y)", true, false, 1},
		{"$(ec2_instance_id)", true, false, 1},
		{"$(ecs_task_revision|x)", true, true, 1},
		{"$(tag[1]|x)$(tag[1])", false, false, 2},
	}
	for _, tt := range tests {
		tm := mustParse(t, Parse, tt.text)
		if tm.NeedsRecord() != tt.record || tm.NeedsECS() != tt.ecs || tm.Variables() != tt.vars {
			t.Errorf("%q: record %v, ECS %v, %d variables", tt.text, tm.NeedsRecord(), tm.NeedsECS(), tm.Variables())
		}
		name, static := tm.Static()
		if static != (tt.vars == 0) || static && name != tt.text {
			t.Errorf("%q: static is %q, %v", tt.text, name, static)
		}
	}
}

func TestWhatMayMiss(t *testing.T) {
	for _, test := range []struct {
		text     string
		mayMiss  string
		needsECS bool // without which there is no name
		ec2      bool
	}{
		{"plain $(tag)$(time:%Y)", "", false, false},
		{"$(a|x)$(tag[1]|x)$(ecs_cluster|x)$(ec2_private_ip|x)", "", false, true},
		{"$(a|x)$(tag[1])$(b)", "$(tag[1])", false, false},
		{"$(ecs_cluster)", "$(ecs_cluster)", true, false},
		{"$(ecs_task_family)", "$(ecs_task_family)", false, false},
		{"$(uuid)", "$(uuid)", false, false},
		{"$(ec2_instance_type)", "$(ec2_instance_type)", false, true},
	} {
		tm := mustParse(t, Parse, test.text)
		if tm.NeedsUUID() != (test.text == "$(uuid)") {
			t.Errorf("%q: needs an id %v", test.text, tm.NeedsUUID())
		}
		if tm.MayMiss() != test.mayMiss || tm.FailsWithoutECS() != test.needsECS || tm.NeedsEC2() != test.ec2 {
			t.Errorf("%q: may miss %q, fails without ECS %v, needs EC2 %v", test.text, tm.MayMiss(), tm.FailsWithoutECS(), tm.NeedsEC2())
		}
	}
}

// One variable has one error, so that a caller can count by it.
func TestMissingErrorIsReused(t *testing.T) {
	tm := mustParse(t, Parse, "$(ident)$(a)$(a)")
	_, first := tm.Append(nil, testInput(t))
	_, second := tm.Append(nil, &Input{Body: pack(t, map[string]any{"ident": "x"})})
	if first == nil || first != second || first.Index != 1 {
		t.Fatalf("got %v and %v", first, second)
	}
	want := "$(a): the record has no such text, number or boolean"
	if first.Error() != want {
		t.Errorf("got %q, want %q", first.Error(), want)
	}
}

func TestMissingReasons(t *testing.T) {
	tests := map[string]string{
		"$(tag[3])":      "$(tag[3]): the tag has no such part",
		"$(ecs_task_id)": "$(ecs_task_id): the ECS task is not known",
		"$(uuid)":        "$(uuid): there is no id",

		"$(ec2_private_ip)":  "$(ec2_private_ip): the record does not have it, and the EC2 instance is not known",
		"$(ecs_task_family)": "$(ecs_task_family): the record does not have it, and the ECS task is not known",
	}
	for text, want := range tests {
		_, m := mustParse(t, Parse, text).Append(nil, &Input{Tag: "a"})
		if m == nil || m.Error() != want {
			t.Errorf("%s: got %v, want %q", text, m, want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	const closing = `the ")" is missing`
	tests := []struct {
		parse  func(string) (*Template, error)
		text   string
		offset int
		reason string
	}{
		{Parse, "$(", 0, closing},
		{Parse, "a$(b", 1, closing},
		{Parse, "$(a$(b)", 0, closing},
		{Parse, "$(a['b']", 0, closing},
		{Parse, "$(tag", 0, closing},
		{Parse, "$()", 0, "a name is missing"},
		{Parse, "$(['a'])", 0, "a name is missing"},
		// AWS's own test expects /aws/ecs/['region' of this one.
		{Parse, "/aws/ecs/$(details['region')", 9, `the "']" is missing`},
		{Parse, "/aws/ecs/$(details['region'", 9, `the "']" is missing`},
		{Parse, "$(ok)$(a[b])", 5, "a key must be written as ['key']"},
		{Parse, `$(a["b"])`, 0, "a key must be written as ['key']"},
		{Parse, "$(a[0])", 0, "a key must be written as ['key']"},
		{Parse, "$(a[", 0, "a key must be written as ['key']"},
		{Parse, "$(a[''])", 0, "a key is empty"},
		{Parse, "$(a['b']c)", 0, `it must go on with ")", "|" or "['key']", not with "c)"`},
		{Parse, "$(tag[0]['a'])", 0, `it must go on with ")", "|" or "['key']", not with "['a'])"`},
		{Parse, "$(tag[)", 0, `the "]" is missing`},
		// AWS's plugin takes part 0 for the next two.
		{Parse, "$(tag[])", 0, `between the brackets must be a number from 0 to 9999, not ""`},
		{Parse, "$(tag[abc])", 0, `between the brackets must be a number from 0 to 9999, not "abc"`},
		{Parse, "$(tag['a'])", 0, `between the brackets must be a number from 0 to 9999, not "'a'"`},
		{Parse, "$(tag[-1])", 0, `between the brackets must be a number from 0 to 9999, not "-1"`},
		{Parse, "$(tag[+1])", 0, `between the brackets must be a number from 0 to 9999, not "+1"`},
		{Parse, "$(tag[10000])", 0, `between the brackets must be a number from 0 to 9999, not "10000"`},
		{Parse, "$(tag[99999999999999999999])", 0, `between the brackets must be a number from 0 to 9999, not "99999999999999999999"`},

		{ParseAccessor, "$", 0, `after "$" must come a key or TAG`},
		{ParseAccessor, "a.$.b", 2, `after "$" must come a key or TAG`},
		{ParseAccessor, "x$1", 1, `after "$" must come a key or TAG`},
		{ParseAccessor, "x$(a", 1, closing},
		{ParseAccessor, "$a$()", 2, "a name is missing"},

		{Parse, "$(time:)", 0, "a format is missing, as $(time:%Y-%m-%d)"},
		{Parse, "$(time:%Y", 0, closing},
		{Parse, "$(time:%Y$(a)", 0, closing},
		{Parse, "a$(time:%Y-%Q)", 1, "unknown directive %Q at byte 3"},
		{Parse, "$(a|b", 0, closing},
		{Parse, "$(a|$(b))", 0, closing},
		{Parse, "$(|b)", 0, "a name is missing"},
		{Parse, "$(tag[1|b])", 0, `between the brackets must be a number from 0 to 9999, not "1|b"`},
		{ParseAccessor, "${A}", 0, `after "$" must come a key or TAG`},
		{ParseAccessor, "$a[", 0, `the "]" is missing`},
		{ParseAccessor, "$a['", 0, `the "']" is missing`},
		{ParseAccessor, "$a['b''", 0, `the "']" is missing`},
		{ParseAccessor, "$a['b'", 0, "a key must be written as ['key'], a quote in it twice"},
		{ParseAccessor, "$a['it's']", 0, "a key must be written as ['key'], a quote in it twice"},
		{ParseAccessor, "$a['']", 0, "a key is empty"},
		{ParseAccessor, "$a[b]", 0, `between the brackets must be a number from 0 to 9999, not "b"`},
		{ParseAccessor, "$TAG[", 0, `the "]" is missing`},
		{ParseAccessor, "$TAG[x]", 0, `between the brackets must be a number from 0 to 9999, not "x"`},
	}
	for _, tt := range tests {
		tm, err := tt.parse(tt.text)
		e, ok := err.(*SyntaxError)
		if !ok || tm != nil {
			t.Errorf("%q: no syntax error but %v", tt.text, err)
			continue
		}
		if e.Text != tt.text || e.Offset != tt.offset || e.Reason != tt.reason {
			t.Errorf("%q: got offset %d, reason %q, want %d, %q", tt.text, e.Offset, e.Reason, tt.offset, tt.reason)
		}
	}
}

func TestSyntaxErrorText(t *testing.T) {
	_, err := Parse("/日本/$(details['region')")
	want := `cannot read template "/日本/$(details['region')": at character 5, "$(details['region')": the "']" is missing`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAppendAllocs(t *testing.T) {
	in := testInput(t)
	dst := make([]byte, 0, 4096)
	templates := []*Template{
		mustParse(t, Parse, "$(ecs_task_id).$(uuid).$(tag).$(tag[1]).$(ident)$(raw)$(neg)$(big)$(half)$(yes)$(pam['item2']['subitem'])"),
		mustParse(t, ParseAccessor, "$TAG.$TAG[0].$pam['item2']['subitem2']['more'].$list[2]['z']"),
		mustParse(t, Parse, "$(ident).$(not_there)"),
		mustParse(t, Parse, "$(tag[7])"),
		mustParse(t, Parse, "$(time:%Y-%m-%d/%H:%M:%S.%L)$(time:%H)$(none|instead)"),
		mustParse(t, Parse, "$(ec2_instance_id)$(ecs_task_family)$(ec2_private_ip)"),
	}
	for _, tm := range templates {
		if n := testing.AllocsPerRun(100, func() { tm.Append(dst, in) }); n > 0 {
			t.Errorf("%q: %v allocations", tm, n)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	in := testInput(f)
	for _, text := range []string{
		"", "plain", "$(a)", "$(a['b']['c'])x", "$(tag)$(tag[0])$(tag[12])", "$(uuid)-$(ecs_cluster)",
		"$(details['region'", "$(", "$()", "$(a[)", "$(tag[", "$key", "$key['a']['b'][0]", "$TAG[3]", "$TAG[", "$a['it''s']", "$", "$1", "é$(ident)",
		"$(time:%Y-%m-%d)$(time:%s.%9N)", "$(time:", "$(a|b)", "$(a['b']|", "$(tag[1]|x)$ident$(x|)", "$(ec2_instance_id)$(ecs_task_family|y)",
	} {
		f.Add(text, in.Tag, in.Body)
		f.Add(text, "", []byte{0x81, 0xa1, 'a', 0xdf})
	}
	f.Fuzz(func(t *testing.T, text, tag string, body []byte) {
		for _, parse := range []func(string) (*Template, error){Parse, ParseAccessor} {
			tm, err := parse(text)
			if err != nil {
				if _, ok := err.(*SyntaxError); !ok || err.Error() == "" {
					t.Fatalf("%q: %v", text, err)
				}
				continue
			}
			in := &Input{Tag: tag, Time: chunk.Time{Sec: int64(len(body)) << 25}, Body: body, UUID: "u",
				EC2: func() *EC2 { return &EC2{InstanceID: "i"} }, ECS: &ECS{TaskID: "i", Cluster: "c", TaskARN: "a"}}
			before := bytes.Clone(body)
			first, m := tm.Append([]byte("keep"), in)
			second, again := tm.Append(nil, in)
			if m != again || string(first) != "keep"+string(second) {
				t.Fatalf("%q: %q, %v and then %q, %v", text, first, m, second, again)
			}
			if m != nil && len(second) > 0 {
				t.Fatalf("%q: %q though %v", text, second, m)
			}
			if !bytes.Equal(before, body) {
				t.Fatalf("%q: the record was changed", text)
			}
			if m != nil && tm.MayMiss() == "" {
				t.Fatalf("%q: %v is missing", text, m)
			}
			if name, ok := tm.Static(); ok && (m != nil || name != string(second)) {
				t.Fatalf("%q: static %q, appended %q, %v", text, name, second, m)
			}
			if !strings.Contains(text, "$") && (m != nil || string(second) != text) {
				t.Fatalf("%q has no variable and gives %q, %v", text, second, m)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	body := pack(b, map[string]any{
		"log": strings.Repeat("x", 600),
		"kubernetes": map[string]any{
			"pod_name": "web-7d9c6b9f4d-abcde", "namespace_name": "shop", "container_name": "nginx",
			"labels": map[string]any{"app": "web", "tier": "front"},
		},
		"stream": "stdout",
	})
	in := &Input{Tag: "kube.var.log.containers.web.log", Time: chunk.Time{Sec: 1795478341}, Body: body, UUID: "u"}
	dst := make([]byte, 0, 1024)
	for name, tm := range map[string]*Template{
		"Tag":      mustParse(b, Parse, "/app/$(tag[4])"),
		"Record":   mustParse(b, Parse, "/app/$(kubernetes['namespace_name'])/$(kubernetes['container_name'])"),
		"Time":     mustParse(b, Parse, "/app/$(kubernetes['namespace_name'])/$(time:%Y-%m-%d)"),
		"Accessor": mustParse(b, ParseAccessor, "/app/$kubernetes['namespace_name'].$kubernetes['labels']['app']"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tm.Append(dst, in)
			}
		})
	}
}
