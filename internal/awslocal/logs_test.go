package awslocal

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// event makes an event at an age before now.
func event(now time.Time, age time.Duration, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: ptr(now.Add(-age).UnixMilli()), Message: &message}
}

func putTo(group, stream string, events ...types.InputLogEvent) *cloudwatchlogs.PutLogEventsInput {
	return &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events}
}

func manyEvents(n int, message string) []types.InputLogEvent {
	now := time.Now()
	out := make([]types.InputLogEvent, n)
	for i := range out {
		out[i] = event(now, 0, message)
	}
	return out
}

const invalidParameter = "InvalidParameterException"

func TestPutLogEventsLimits(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	client, ctx, now := logsClient(t, s), testContext(t), time.Now()
	const room = maxBatchBytes - eventOverhead // for the message of a single event
	text := func(n int) string { return strings.Repeat("x", n) }
	accented := func(n int) string { return strings.Repeat("é", n) } // 2 bytes each

	tests := []struct {
		name   string
		events []types.InputLogEvent
		want   string
	}{
		{"no event", []types.InputLogEvent{}, invalidParameter},
		{"one event", manyEvents(1, "x"), ""},
		{"9,999 events", manyEvents(9_999, "x"), ""},
		{"10,000 events", manyEvents(10_000, "x"), ""},
		{"10,001 events", manyEvents(10_001, "x"), invalidParameter},
		{"empty message", manyEvents(1, ""), invalidParameter},
		{"1,048,575 bytes", manyEvents(1, text(room-1)), ""},
		{"1,048,576 bytes", manyEvents(1, text(room)), ""},
		{"1,048,577 bytes", manyEvents(1, text(room+1)), invalidParameter},
		{"UTF-8 of 1,048,576 bytes", manyEvents(1, accented(room/2)), ""},
		{"UTF-8 of 1,048,578 bytes", manyEvents(1, accented(room/2+1)), invalidParameter},
		{"two events of 1,048,576 bytes", append(manyEvents(1, text(1000)), manyEvents(1, text(room-eventOverhead-1000))...), ""},
		{"two events of 1,048,577 bytes", append(manyEvents(1, text(1000)), manyEvents(1, text(room-eventOverhead-999))...), invalidParameter},
		{"same time", []types.InputLogEvent{event(now, 0, "a"), event(now, 0, "b")}, ""},
		{"out of order by 1 ms", []types.InputLogEvent{event(now, 0, "a"), event(now, time.Millisecond, "b")}, invalidParameter},
		{"24 h less 1 ms", []types.InputLogEvent{event(now, 24*time.Hour-time.Millisecond, "a"), event(now, 0, "b")}, ""},
		{"24 h", []types.InputLogEvent{event(now, 24*time.Hour, "a"), event(now, 0, "b")}, ""},
		{"24 h and 1 ms", []types.InputLogEvent{event(now, 24*time.Hour+time.Millisecond, "a"), event(now, 0, "b")}, invalidParameter},
		{"negative time", []types.InputLogEvent{{Timestamp: ptr(int64(-1)), Message: ptr("a")}}, invalidParameter},
	}
	accepted := 0
	for _, tt := range tests {
		_, err := client.PutLogEvents(ctx, putTo("g", "s", tt.events...))
		wantCode(t, tt.name, err, tt.want)
		if tt.want == "" {
			accepted += len(tt.events)
		}
	}
	if got := s.Logs().Stream("g", "s").Len(); got != accepted || s.Logs().Total() != accepted {
		t.Errorf("the stream has %d events of %d in all, want %d: a refused batch must leave nothing", got, s.Logs().Total(), accepted)
	}
}

func TestPutLogEventsRequiredMembers(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	tests := []struct{ body, want string }{
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"m"}]}`, ""},
		{`{"logStreamName":"s","logEvents":[{"timestamp":1,"message":"m"}]}`, invalidParameter},
		{`{"logGroupName":"g","logEvents":[{"timestamp":1,"message":"m"}]}`, invalidParameter},
		{`{"logGroupName":"g","logStreamName":"s"}`, invalidParameter},
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1}]}`, invalidParameter},
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[{"message":"m"}]}`, invalidParameter},
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[null]}`, invalidParameter},
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"m","level":"x"}]}`, "SerializationException"},
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"` + "\x80" + `"}]}`, "SerializationException"},
		{`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"m"}]`, "SerializationException"},
	}
	for _, tt := range tests {
		if _, got := rawCall(t, s, "Logs_20140328.PutLogEvents", tt.body, nil); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestMaxEventBytes(t *testing.T) {
	s := start(t, Config{MaxEventBytes: 262_144})
	s.Logs().CreateStream("g", "s")
	client, ctx := logsClient(t, s), testContext(t)
	for size, want := range map[int]string{262_144: "", 262_145: invalidParameter} {
		_, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, strings.Repeat("x", size-eventOverhead))...))
		wantCode(t, fmt.Sprint(size), err, want)
	}
}

// TestRejectedEvents has the service's own clock, so that events can be put to
// the millisecond.
func TestRejectedEvents(t *testing.T) {
	now := time.Now()
	s := start(t, Config{Now: func() time.Time { return now }})
	client, ctx := logsClient(t, s), testContext(t)
	const day, ms = 24 * time.Hour, time.Millisecond
	tests := []struct {
		name                    string
		retention               int32
		ages                    []time.Duration
		tooOld, expired, tooNew int // -1: not in the answer
		accepted                int
	}{
		{"14 days less 1 ms", 0, []time.Duration{14*day - ms}, -1, -1, -1, 1},
		{"14 days", 0, []time.Duration{14 * day}, -1, -1, -1, 1},
		{"14 days and 1 ms", 0, []time.Duration{14*day + ms}, 1, -1, -1, 0},
		{"2 hours ahead less 1 ms", 0, []time.Duration{-2*time.Hour + ms}, -1, -1, -1, 1},
		{"2 hours ahead", 0, []time.Duration{-2 * time.Hour}, -1, -1, -1, 1},
		{"2 hours and 1 ms ahead", 0, []time.Duration{-2*time.Hour - ms}, -1, -1, 0, 0},
		{"retention less 1 ms", 3, []time.Duration{3*day - ms}, -1, -1, -1, 1},
		{"retention", 3, []time.Duration{3 * day}, -1, -1, -1, 1},
		{"retention and 1 ms", 3, []time.Duration{3*day + ms}, -1, 1, -1, 0},
		{"all ways", 3, []time.Duration{20 * day, 15 * day, 3*day + 2*ms, 3*day + ms, 3 * day, 2*day + 2*ms, -3 * time.Hour}, 2, 4, 6, 2},
		{"long retention expires nothing that is not too old", 30, []time.Duration{31 * day, 20 * day, 0}, 2, -1, -1, 1},
		{"rejected ones do not count for the span", 0, []time.Duration{30 * day, 15 * day, 0, -3 * time.Hour}, 2, -1, 3, 1},
		{"none left", 0, []time.Duration{15 * day, -3 * time.Hour}, 1, -1, 1, 0},
	}
	// The documentation counts as valid, for the span, what is neither too old
	// nor too new: expired events are among them.
	s.Logs().CreateStream("span", "s")
	_, err := client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: ptr("span"), RetentionInDays: ptr(int32(3))})
	noError(t, err)
	_, err = client.PutLogEvents(ctx, putTo("span", "s", event(now, 3*day+ms, "expired"), event(now, 2*day, "good")))
	wantCode(t, "more than 24 h from an expired event", err, invalidParameter)

	for i, tt := range tests {
		group := fmt.Sprint("g", i)
		s.Logs().CreateStream(group, "s")
		if tt.retention > 0 {
			_, err := client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: &tt.retention})
			noError(t, err)
		}
		var events []types.InputLogEvent
		for _, age := range tt.ages {
			events = append(events, event(now, age, "x"))
		}
		out, err := client.PutLogEvents(ctx, putTo(group, "s", events...))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		info := out.RejectedLogEventsInfo
		if info == nil {
			info = &types.RejectedLogEventsInfo{}
		}
		index := func(p *int32) int {
			if p == nil {
				return -1
			}
			return int(*p)
		}
		got := [3]int{index(info.TooOldLogEventEndIndex), index(info.ExpiredLogEventEndIndex), index(info.TooNewLogEventStartIndex)}
		if want := [3]int{tt.tooOld, tt.expired, tt.tooNew}; got != want {
			t.Errorf("%s: too old, expired, too new = %v, want %v", tt.name, got, want)
		}
		if got := s.Logs().Stream(group, "s").Len(); got != tt.accepted {
			t.Errorf("%s: %d accepted, want %d", tt.name, got, tt.accepted)
		}
		if r := s.Requests("PutLogEvents"); r[len(r)-1].Accepted != tt.accepted || r[len(r)-1].Records != len(tt.ages) {
			t.Errorf("%s: request says %d of %d accepted", tt.name, r[len(r)-1].Accepted, r[len(r)-1].Records)
		}
	}
}

func TestMissingGroupAndStream(t *testing.T) {
	s := start(t, Config{})
	client, ctx := logsClient(t, s), testContext(t)
	put := func() error {
		_, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
		return err
	}
	wantMessage := func(err error, want string) {
		t.Helper()
		wantCode(t, want, err, "ResourceNotFoundException")
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	wantMessage(put(), "The specified log group does not exist.")
	_, err := client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: ptr("g"), LogStreamName: ptr("s")})
	wantMessage(err, "The specified log group does not exist.")
	_, err = client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: ptr("g"), RetentionInDays: ptr(int32(1))})
	wantMessage(err, "The specified log group does not exist.")
	_, err = client.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: ptr("g")})
	wantMessage(err, "The specified log group does not exist.")

	_, err = client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: ptr("g")})
	noError(t, err)
	_, err = client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: ptr("g")})
	wantCode(t, "group again", err, "ResourceAlreadyExistsException")
	wantMessage(put(), "The specified log stream does not exist.")
	_, err = client.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: ptr("g"), LogStreamName: ptr("s")})
	wantMessage(err, "The specified log stream does not exist.")
	_, err = client.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: ptr("g"), LogStreamName: ptr("s")})
	wantMessage(err, "The specified log stream does not exist.")

	stream := &cloudwatchlogs.CreateLogStreamInput{LogGroupName: ptr("g"), LogStreamName: ptr("s")}
	_, err = client.CreateLogStream(ctx, stream)
	noError(t, err)
	_, err = client.CreateLogStream(ctx, stream)
	wantCode(t, "stream again", err, "ResourceAlreadyExistsException")
	noError(t, put())

	_, err = client.DeleteLogStream(ctx, &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: ptr("g"), LogStreamName: ptr("s")})
	noError(t, err)
	wantMessage(put(), "The specified log stream does not exist.")
	_, err = client.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: ptr("g")})
	noError(t, err)
	wantMessage(put(), "The specified log group does not exist.")
	if s.Logs().Stream("g", "s") != nil || s.Logs().Total() != 1 {
		t.Errorf("after deletion: stream %v, total %d", s.Logs().Stream("g", "s"), s.Logs().Total())
	}
	if st := s.Logs().Stream("g", "s"); st.Len() != 0 || st.Events() != nil || st.Messages() != nil || st.First(1) != nil || st.Puts() != 0 || st.Format() != "" || st.Entity() != nil {
		t.Error("a stream that does not exist is not empty")
	}
}

func TestLogNames(t *testing.T) {
	s := start(t, Config{})
	client, ctx := logsClient(t, s), testContext(t)
	s.Logs().CreateGroup("base")
	long := func(n int) string { return strings.Repeat("n", n) }
	groups := map[string]string{
		"a": "", "/aws/ecs/x_y-z.1#2": "", long(511): "", long(512): "", long(513): invalidParameter,
		"": invalidParameter, "a b": invalidParameter, "a:b": invalidParameter, "a*": invalidParameter, "é": invalidParameter, "a$": invalidParameter,
		"aws/x": invalidParameter, "awsx": "",
	}
	for name, want := range groups {
		_, err := client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
		wantCode(t, "group "+name, err, want)
	}
	streams := map[string]string{
		"a": "", "a b/é$[]": "", long(511): "", long(512): "", strings.Repeat("é", 512): "", strings.Repeat("é", 513): invalidParameter,
		long(513): invalidParameter, "": invalidParameter, "a:b": invalidParameter, "a*": invalidParameter,
	}
	for name, want := range streams {
		_, err := client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: ptr("base"), LogStreamName: &name})
		wantCode(t, "stream "+name, err, want)
	}
}

func TestCreateLogGroupOptions(t *testing.T) {
	s := start(t, Config{})
	client, ctx := logsClient(t, s), testContext(t)
	tags := func(n int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprint("k", i)] = "v"
		}
		return m
	}
	long := func(n int) string { return strings.Repeat("n", n) }
	tests := []struct {
		name string
		in   cloudwatchlogs.CreateLogGroupInput
		want string
	}{
		{"50 tags", cloudwatchlogs.CreateLogGroupInput{Tags: tags(50)}, ""},
		{"51 tags", cloudwatchlogs.CreateLogGroupInput{Tags: tags(51)}, invalidParameter},
		{"tag key of 128", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{long(128): ""}}, ""},
		{"tag key of 129", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{long(129): ""}}, invalidParameter},
		{"tag key of AWS", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{"aws:x": ""}}, invalidParameter},
		{"tag key with a comma", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{"a,b": ""}}, invalidParameter},
		{"tag value of 256", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{"k": long(256)}}, ""},
		{"tag value of 257", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{"k": long(257)}}, invalidParameter},
		{"tag value with a semicolon", cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{"k": ";"}}, invalidParameter},
		{"standard", cloudwatchlogs.CreateLogGroupInput{LogGroupClass: "STANDARD"}, ""},
		{"infrequent access", cloudwatchlogs.CreateLogGroupInput{LogGroupClass: "INFREQUENT_ACCESS"}, ""},
		{"essentials", cloudwatchlogs.CreateLogGroupInput{LogGroupClass: "ESSENTIALS"}, ""},
		{"no such class", cloudwatchlogs.CreateLogGroupInput{LogGroupClass: "FREQUENT"}, invalidParameter},
		{"key of 256", cloudwatchlogs.CreateLogGroupInput{KmsKeyId: ptr(testKMSKey + long(256-len(testKMSKey)))}, ""},
		{"key of 257", cloudwatchlogs.CreateLogGroupInput{KmsKeyId: ptr(testKMSKey + long(257-len(testKMSKey)))}, invalidParameter},
		{"key that is no ARN", cloudwatchlogs.CreateLogGroupInput{KmsKeyId: ptr("alias/logs")}, invalidParameter},
	}
	for i, tt := range tests {
		tt.in.LogGroupName = ptr(fmt.Sprint("g", i))
		_, err := client.CreateLogGroup(ctx, &tt.in)
		wantCode(t, tt.name, err, tt.want)
	}

	_, err := client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: ptr("all"), LogGroupClass: "INFREQUENT_ACCESS",
		KmsKeyId: ptr(testKMSKey), Tags: map[string]string{"team": "blue"}, DeletionProtectionEnabled: ptr(true)})
	noError(t, err)
	g, ok := s.Logs().Group("all")
	if !ok || g.Class != "INFREQUENT_ACCESS" || g.KMSKeyID != testKMSKey || !g.Protected || g.Tags["team"] != "blue" || g.RetentionDays != 0 {
		t.Errorf("group is %+v", g)
	}
	if _, ok := s.Logs().Group("none"); ok {
		t.Error("there is a group that was never made")
	}
}

const testKMSKey = "arn:aws:kms:us-east-1:123456789012:key/0123"

func TestKMSKeyAndProtection(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateGroup("g")
	client, ctx := logsClient(t, s), testContext(t)
	associate := func(key, resource *string) error {
		_, err := client.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: ptr("g"), KmsKeyId: key, ResourceIdentifier: resource})
		return err
	}
	wantCode(t, "no ARN", associate(ptr("0123"), nil), invalidParameter)
	wantCode(t, "both", associate(ptr(testKMSKey), ptr("arn:aws:logs:us-east-1:123456789012:query-result:*")), invalidParameter)
	wantCode(t, "key", associate(ptr(testKMSKey), nil), "")
	protect := func(on bool) {
		t.Helper()
		_, err := client.PutLogGroupDeletionProtection(ctx, &cloudwatchlogs.PutLogGroupDeletionProtectionInput{LogGroupIdentifier: ptr("g"), DeletionProtectionEnabled: &on})
		noError(t, err)
	}
	if _, got := rawCall(t, s, "Logs_20140328.PutLogGroupDeletionProtection", `{"logGroupIdentifier":"g"}`, nil); got != invalidParameter {
		t.Errorf("neither on nor off: %q", got)
	}
	protect(true)
	d, err := client.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupIdentifiers: []string{"g"}})
	noError(t, err)
	if len(d.LogGroups) != 1 || !*d.LogGroups[0].DeletionProtectionEnabled || *d.LogGroups[0].KmsKeyId != testKMSKey {
		t.Errorf("got %+v", d.LogGroups)
	}
	_, err = client.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: ptr("g")})
	wantCode(t, "delete what is protected", err, "ValidationException")
	protect(false)
	_, err = client.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: ptr("g")})
	wantCode(t, "delete", err, "")
}

func TestRetentionAndTags(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateGroup("g")
	client, ctx := logsClient(t, s), testContext(t)
	for days, want := range map[int32]string{0: invalidParameter, 1: "", 2: invalidParameter, 3653: "", 3654: invalidParameter, 365: "", 366: invalidParameter, 400: ""} {
		_, err := client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: ptr("g"), RetentionInDays: &days})
		wantCode(t, fmt.Sprint(days, " days"), err, want)
		if g, _ := s.Logs().Group("g"); want == "" && g.RetentionDays != int(days) {
			t.Errorf("retention is %d, want %d", g.RetentionDays, days)
		}
	}

	for arn, want := range map[string]string{
		"arn:aws:logs:us-east-1:123456789012:log-group:g":   "",
		"arn:aws:logs:us-east-1:123456789012:log-group:g:*": invalidParameter,
		"arn:aws:logs:us-east-2:123456789012:log-group:g":   invalidParameter,
		"g": invalidParameter,
		"arn:aws:logs:us-east-1:123456789012:log-group:none": "ResourceNotFoundException",
	} {
		_, err := client.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"a": "1"}})
		wantCode(t, arn, err, want)
	}
	_, err := client.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: ptr("arn:aws:logs:us-east-1:123456789012:log-group:g"), Tags: map[string]string{}})
	wantCode(t, "no tags", err, invalidParameter)
	if _, got := rawCall(t, s, "Logs_20140328.TagResource", `{"tags":{"a":"b"}}`, nil); got != invalidParameter {
		t.Errorf("no ARN: %q", got)
	}
	//nolint:staticcheck // deprecated by AWS, and still what older clients call
	_, err = client.TagLogGroup(ctx, &cloudwatchlogs.TagLogGroupInput{LogGroupName: ptr("g"), Tags: map[string]string{"b": "2"}})
	noError(t, err)
	if g, _ := s.Logs().Group("g"); len(g.Tags) != 2 || g.Tags["a"] != "1" || g.Tags["b"] != "2" {
		t.Errorf("tags are %v", g.Tags)
	}
	many := make(map[string]string)
	for i := range 49 {
		many[fmt.Sprint("more", i)] = "x"
	}
	_, err = client.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: ptr("arn:aws:logs:us-east-1:123456789012:log-group:g"), Tags: many})
	wantCode(t, "51 tags in two calls", err, "TooManyTagsException")
}

func TestSequenceTokens(t *testing.T) {
	s := start(t, Config{SequenceTokens: true})
	s.Logs().CreateStream("g", "s")
	client, ctx := logsClient(t, s), testContext(t)
	put := func(token *string, message string) (*cloudwatchlogs.PutLogEventsOutput, error) {
		in := putTo("g", "s", types.InputLogEvent{Timestamp: ptr(time.Now().UnixMilli() / 100_000 * 100_000), Message: &message})
		in.SequenceToken = token
		return client.PutLogEvents(ctx, in)
	}
	expected := func(err error) *string {
		t.Helper()
		var invalid *types.InvalidSequenceTokenException
		var again *types.DataAlreadyAcceptedException
		switch {
		case asError(err, &invalid):
			return invalid.ExpectedSequenceToken
		case asError(err, &again):
			return again.ExpectedSequenceToken
		}
		t.Fatalf("got %v, want a sequence token error", err)
		return nil
	}
	_, err := put(ptr("nonsense"), "0")
	wantCode(t, "wrong first token", err, "InvalidSequenceTokenException")
	if e := expected(err); e != nil {
		t.Errorf("a new stream expects %q, want none", *e)
	}
	out, err := put(nil, "1")
	noError(t, err)
	first := out.NextSequenceToken
	_, err = put(nil, "2")
	wantCode(t, "no token", err, "InvalidSequenceTokenException")
	if got := expected(err); got == nil || *got != *first {
		t.Errorf("expected token %v, want %s", got, *first)
	}
	_, err = put(nil, "1")
	wantCode(t, "same batch", err, "DataAlreadyAcceptedException")
	if got := expected(err); got == nil || *got != *first {
		t.Errorf("expected token %v, want %s", got, *first)
	}
	out, err = put(first, "2")
	noError(t, err)
	if *out.NextSequenceToken == *first {
		t.Error("the token did not change")
	}
	d, err := client.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: ptr("g")})
	noError(t, err)
	if got := d.LogStreams[0].UploadSequenceToken; got == nil || *got != *out.NextSequenceToken {
		t.Errorf("described token %v, want %s", got, *out.NextSequenceToken)
	}
	if got := s.Logs().Stream("g", "s").Messages(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("messages %q", got)
	}

	// A batch that was refused has not been accepted.
	now := time.Now()
	tooLong := putTo("g", "s", event(now, 48*time.Hour, "a"), event(now, 0, "b"))
	for range 2 {
		tooLong.SequenceToken = out.NextSequenceToken
		_, err = client.PutLogEvents(ctx, tooLong)
		wantCode(t, "48 h", err, invalidParameter)
	}

	s.Logs().DemandSequenceTokens(false)
	_, err = put(ptr("nonsense"), "3")
	noError(t, err)
	s.Logs().DemandSequenceTokens(true)
	_, err = put(ptr("nonsense"), "4")
	wantCode(t, "demanded again", err, "InvalidSequenceTokenException")
	noError(t, s.Reset())
	s.Logs().CreateStream("g", "s")
	_, err = put(ptr("nonsense"), "5")
	wantCode(t, "as configured after a reset", err, "InvalidSequenceTokenException")

	lax := start(t, Config{})
	lax.Logs().CreateStream("g", "s")
	in := putTo("g", "s", manyEvents(1, "x")...)
	in.SequenceToken = ptr("nonsense")
	_, err = logsClient(t, lax).PutLogEvents(ctx, in)
	noError(t, err)
}

func TestEntity(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	client, ctx := logsClient(t, s), testContext(t)
	key := map[string]string{"Type": "Service", "Name": "web", "Environment": "test"}
	tests := []struct {
		name   string
		entity types.Entity
		want   string
	}{
		{"good", types.Entity{KeyAttributes: key, Attributes: map[string]string{"a": "b"}}, ""},
		{"one key attribute", types.Entity{KeyAttributes: map[string]string{"Type": "x"}}, invalidParameter},
		{"five key attributes", types.Entity{KeyAttributes: map[string]string{"a": "x", "b": "x", "c": "x", "d": "x", "e": "x"}}, invalidParameter},
		{"key of 33", types.Entity{KeyAttributes: map[string]string{"Type": "x", strings.Repeat("k", 33): "x"}}, invalidParameter},
		{"empty value", types.Entity{KeyAttributes: key, Attributes: map[string]string{"a": ""}}, invalidParameter},
		{"11 attributes", types.Entity{KeyAttributes: key, Attributes: map[string]string{"0": "x", "1": "x", "2": "x", "3": "x", "4": "x",
			"5": "x", "6": "x", "7": "x", "8": "x", "9": "x", "10": "x"}}, invalidParameter},
	}
	for _, tt := range tests {
		in := putTo("g", "s", manyEvents(1, "x")...)
		in.Entity = &tt.entity
		_, err := client.PutLogEvents(ctx, in)
		wantCode(t, tt.name, err, tt.want)
	}
	for want, key := range map[string]map[string]string{
		"":                      {"Type": "Service", "Name": "web", "Environment": "test", "AwsAccountId": "123456789012"},
		"InvalidTypeValue":      {"Type": "Server", "Name": "web"},
		"InvalidKeyAttributes":  {"Type": "Service", "Name": "web", "Environment": "test", "Owner": "me"},
		"MissingRequiredFields": {"Type": "Service", "Name": "web"},
	} {
		in := putTo("g", "entities", manyEvents(1, "x")...)
		in.Entity = &types.Entity{KeyAttributes: key}
		s.Logs().CreateStream("g", "entities")
		out, err := client.PutLogEvents(ctx, in)
		noError(t, err)
		got := ""
		if out.RejectedEntityInfo != nil {
			got = string(out.RejectedEntityInfo.ErrorType)
		}
		if e := s.Logs().Stream("g", "entities").Entity(); got != want || (e == nil) != (want != "") {
			t.Errorf("%v: got %q, entity %v, want %q", key, got, e, want)
		}
	}
	if e := s.Logs().Stream("g", "s").Entity(); e == nil || e.KeyAttributes["Name"] != "web" || e.Attributes["a"] != "b" {
		t.Errorf("entity is %+v", e)
	}
}

// asGzip compresses the body of every call, as the CloudWatch agent does.
func asGzip(o *cloudwatchlogs.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("gzip", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
			req := in.Request.(*smithyhttp.Request)
			req, err := req.SetStream(bytes.NewReader(gzipOf(readAll(req))))
			if err != nil {
				return middleware.SerializeOutput{}, middleware.Metadata{}, err
			}
			req.Header.Set("Content-Encoding", "gzip")
			in.Request = req
			return next.HandleSerialize(ctx, in)
		}), middleware.After)
	})
}

func readAll(req *smithyhttp.Request) []byte {
	var b bytes.Buffer
	_, _ = b.ReadFrom(req.GetStream())
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	s := start(t, Config{KeepBodies: true})
	s.Logs().CreateStream("g", "s")
	client, ctx := logsClient(t, s), testContext(t)
	_, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(100, "again and again")...), asGzip)
	noError(t, err)
	r := s.Requests("PutLogEvents")[0]
	if !r.Auth.Verified || r.Header.Get("Content-Encoding") != "gzip" || r.BodyBytes != len(r.Body) || len(r.Body) > 1000 {
		t.Errorf("request of %d bytes: %+v", len(r.Body), r)
	}
	if got := s.Logs().Stream("g", "s").Len(); got != 100 {
		t.Errorf("%d events, want 100", got)
	}
	_, err = client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: ptr("z")}, asGzip)
	wantCode(t, "another operation", err, "SerializationException")
	gzipped := func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
	if _, got := rawCall(t, s, "Logs_20140328.PutLogEvents", "not gzip", gzipped); got != "SerializationException" {
		t.Errorf("body that is not gzip: %q", got)
	}
	deflated := func(r *http.Request) { r.Header.Set("Content-Encoding", "deflate") }
	if _, got := rawCall(t, s, "Logs_20140328.PutLogEvents", "x", deflated); got != "SerializationException" {
		t.Errorf("deflate: %q", got)
	}
	for limit, ok := range map[int64]bool{9_999: false, 10_000: true, 10_001: true} {
		if body, err := gunzip(gzipOf(make([]byte, 10_000)), limit); (err == nil) != ok || ok && len(body) != 10_000 {
			t.Errorf("limit %d: %d bytes, %v", limit, len(body), err)
		}
	}
	if _, err := gunzip(gzipOf(make([]byte, 10_000))[:20], maxBodyBytes); err == nil {
		t.Error("half a compressed body was accepted")
	}
}

func gzipOf(plain []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(plain) // into memory
	_ = zw.Close()
	return b.Bytes()
}

func TestFormatHeader(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	client, ctx := logsClient(t, s), testContext(t)
	_, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "{}")...), func(o *cloudwatchlogs.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("x-amzn-logs-format", "json/emf"))
	})
	noError(t, err)
	if got := s.Logs().Stream("g", "s").Format(); got != "json/emf" {
		t.Errorf("format %q", got)
	}
	if r := s.Requests("PutLogEvents")[0]; r.Header.Get("X-Amzn-Logs-Format") != "json/emf" || r.Target != "g/s" || !strings.Contains(r.UserAgent(), "aws-sdk-go-v2") {
		t.Errorf("request %+v", r)
	}
}

func TestGetLogEvents(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	client, ctx, now := logsClient(t, s), testContext(t), time.Now().Truncate(time.Second)
	// Two calls whose events interleave: they come back in order of time.
	for _, offsets := range [][]int{{0, 2, 4, 4}, {1, 3, 4}} {
		var events []types.InputLogEvent
		for i, o := range offsets {
			events = append(events, event(now, -time.Duration(o)*time.Second, fmt.Sprint(o, "-", i)))
		}
		_, err := client.PutLogEvents(ctx, putTo("g", "s", events...))
		noError(t, err)
	}
	read := func(in cloudwatchlogs.GetLogEventsInput) ([]string, *cloudwatchlogs.GetLogEventsOutput) {
		t.Helper()
		in.LogGroupName, in.LogStreamName = ptr("g"), ptr("s")
		out, err := client.GetLogEvents(ctx, &in)
		noError(t, err)
		var messages []string
		for _, e := range out.Events {
			messages = append(messages, *e.Message)
		}
		return messages, out
	}
	want := []string{"0-0", "1-0", "2-1", "3-1", "4-2", "4-3", "4-2"}
	if got, _ := read(cloudwatchlogs.GetLogEventsInput{}); !slices.Equal(got, want) {
		t.Errorf("all: %q", got)
	}
	if got, _ := read(cloudwatchlogs.GetLogEventsInput{StartTime: ptr(now.Add(time.Second).UnixMilli()), EndTime: ptr(now.Add(3 * time.Second).UnixMilli())}); !slices.Equal(got, want[1:3]) {
		t.Errorf("from 1 s to 3 s: %q", got)
	}
	if got, _ := read(cloudwatchlogs.GetLogEventsInput{Limit: ptr(int32(2))}); !slices.Equal(got, want[5:]) {
		t.Errorf("the latest two: %q", got)
	}
	var paged []string
	in := cloudwatchlogs.GetLogEventsInput{Limit: ptr(int32(3)), StartFromHead: aws.Bool(true)}
	for {
		got, out := read(in)
		paged = append(paged, got...)
		if in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
			break // the end is where the token stays the same
		}
		in.NextToken = out.NextForwardToken
	}
	if !slices.Equal(paged, want) {
		t.Errorf("in pages of three: %q", paged)
	}
	got, out := read(cloudwatchlogs.GetLogEventsInput{Limit: ptr(int32(3))})
	more, _ := read(cloudwatchlogs.GetLogEventsInput{Limit: ptr(int32(3)), NextToken: out.NextBackwardToken})
	if !slices.Equal(got, want[4:]) || !slices.Equal(more, want[1:4]) {
		t.Errorf("backward: %q and %q", got, more)
	}
	for _, bad := range []cloudwatchlogs.GetLogEventsInput{{Limit: ptr(int32(0))}, {Limit: ptr(int32(10_001))}, {NextToken: ptr("x")}, {LogGroupIdentifier: ptr("g")}} {
		bad.LogGroupName, bad.LogStreamName = ptr("g"), ptr("s")
		_, err := client.GetLogEvents(ctx, &bad)
		wantCode(t, fmt.Sprintf("%+v", bad), err, invalidParameter)
	}
	_, err := client.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupIdentifier: ptr("arn:aws:logs:us-east-1:123456789012:log-group:g"), LogStreamName: ptr("s")})
	noError(t, err)
}

// TestGetLogEventsOneMegabyte: an answer holds at most 1 MiB, but at least one event.
func TestGetLogEventsOneMegabyte(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	client, ctx := logsClient(t, s), testContext(t)
	for range 3 {
		_, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, strings.Repeat("x", 600_000))...))
		noError(t, err)
	}
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: ptr("g"), LogStreamName: ptr("s"), StartFromHead: aws.Bool(true)}
	for range 3 {
		out, err := client.GetLogEvents(ctx, in)
		noError(t, err)
		if len(out.Events) != 1 {
			t.Fatalf("%d events in an answer, want 1", len(out.Events))
		}
		in.NextToken = out.NextForwardToken
	}
}

func TestDescribeLogs(t *testing.T) {
	s := start(t, Config{})
	client, ctx, now := logsClient(t, s), testContext(t), time.Now()
	for i := range 60 {
		s.Logs().CreateGroup(fmt.Sprintf("many-%02d", i))
		s.Logs().CreateStream("g", fmt.Sprintf("s-%02d", i))
	}
	_, err := client.PutLogEvents(ctx, putTo("g", "s-30", event(now, time.Minute, "abc"), event(now, 0, "d")))
	noError(t, err)
	_, err = client.PutLogEvents(ctx, putTo("g", "s-20", event(now, time.Hour, "old")))
	noError(t, err)

	var groups []string
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(client, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: ptr("many-")})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		noError(t, err)
		if len(out.LogGroups) > 50 {
			t.Errorf("%d groups in a page", len(out.LogGroups))
		}
		for _, g := range out.LogGroups {
			groups = append(groups, *g.LogGroupName)
		}
	}
	if len(groups) != 60 || !slices.IsSorted(groups) {
		t.Errorf("groups are %q", groups)
	}
	g, err := client.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePattern: ptr("g")})
	noError(t, err)
	if len(g.LogGroups) != 1 || *g.LogGroups[0].StoredBytes != 3+1+3+3*eventOverhead || *g.LogGroups[0].Arn != "arn:aws:logs:us-east-1:123456789012:log-group:g:*" {
		t.Errorf("group g is %+v", g.LogGroups)
	}

	streams := func(in cloudwatchlogs.DescribeLogStreamsInput) []string {
		t.Helper()
		in.LogGroupName = ptr("g")
		out, err := client.DescribeLogStreams(ctx, &in)
		noError(t, err)
		var names []string
		for _, st := range out.LogStreams {
			names = append(names, *st.LogStreamName)
		}
		return names
	}
	if got := streams(cloudwatchlogs.DescribeLogStreamsInput{LogStreamNamePrefix: ptr("s-3")}); len(got) != 10 || got[0] != "s-30" {
		t.Errorf("by prefix: %q", got)
	}
	if got := streams(cloudwatchlogs.DescribeLogStreamsInput{OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true), Limit: ptr(int32(2))}); !slices.Equal(got, []string{"s-30", "s-20"}) {
		t.Errorf("by time: %q", got)
	}
	out, err := client.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: ptr("g"), LogStreamNamePrefix: ptr("s-30")})
	noError(t, err)
	if st := out.LogStreams[0]; *st.FirstEventTimestamp != now.Add(-time.Minute).UnixMilli() || *st.LastEventTimestamp != now.UnixMilli() {
		t.Errorf("stream is from %d to %d", *st.FirstEventTimestamp, *st.LastEventTimestamp)
	}
	for _, bad := range []cloudwatchlogs.DescribeLogStreamsInput{
		{Limit: ptr(int32(0))}, {Limit: ptr(int32(51))}, {NextToken: ptr("x")}, {OrderBy: "Size"}, {OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: ptr("s")},
	} {
		bad.LogGroupName = ptr("g")
		_, err := client.DescribeLogStreams(ctx, &bad)
		wantCode(t, fmt.Sprintf("%+v", bad), err, invalidParameter)
	}
}

// TestSetUpByHand: what tests do to a server between calls.
func TestSetUpByHand(t *testing.T) {
	s := start(t, Config{})
	l := s.Logs()
	l.CreateGroup("a")
	l.CreateStream("b", "2")
	l.CreateStream("b", "1")
	first := l.Stream("b", "1")
	l.CreateStream("b", "1")
	if l.Stream("b", "1") != first {
		t.Error("a stream that existed was made anew")
	}
	_, err := logsClient(t, s).PutLogEvents(testContext(t), putTo("b", "1", manyEvents(2, "x")...))
	noError(t, err)
	var names []string
	for _, st := range l.Streams() {
		names = append(names, fmt.Sprint(st.Group, "/", st.Name, " ", st.Len(), " ", st.Puts()))
	}
	if !slices.Equal(names, []string{"b/1 2 1", "b/2 0 0"}) {
		t.Errorf("streams %q", names)
	}
	if g := l.Groups(); len(g) != 2 || g[0].Name != "a" || !slices.Equal(g[1].Streams, []string{"1", "2"}) {
		t.Errorf("groups %+v", g)
	}
	l.DeleteStream("b", "1")
	l.DeleteStream("b", "none")
	l.DeleteStream("none", "1")
	l.DeleteGroup("a")
	l.DeleteGroup("none")
	if l.Stream("b", "1") != nil || l.Stream("b", "2") == nil || len(l.Groups()) != 1 || first.Len() != 2 {
		t.Error("deleted the wrong things")
	}
}

// TestManyEvents: looking at a stream of 300,000 events must not cost more than
// its size.
func TestManyEvents(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	st := s.Logs().Stream("g", "s")
	for i := range 300_000 {
		st.events = append(st.events, LogEvent{Timestamp: int64(i * 7919 % 300_007), Message: "x"})
	}
	client, ctx := logsClient(t, s), testContext(t)
	out, err := client.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: ptr("g"), LogStreamName: ptr("s"), StartFromHead: aws.Bool(true)})
	noError(t, err)
	if len(out.Events) != maxGetEvents || *out.Events[0].Timestamp > *out.Events[1].Timestamp {
		t.Errorf("%d events", len(out.Events))
	}
	if len(st.Events()) != 300_000 || len(st.First(5)) != 5 || st.Len() != 300_000 {
		t.Error("events are missing")
	}
	if allocs := testing.AllocsPerRun(3, func() { _ = st.Events() }); allocs > 2 {
		t.Errorf("Events allocates %v times", allocs)
	}
	if allocs := testing.AllocsPerRun(3, func() { _ = s.State() }); allocs > 100 {
		t.Errorf("State allocates %v times", allocs)
	}
}
