package cloudwatch

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// allSettings asks for everything that a group can have.
var allSettings = []string{logKey, "log", "log_retention_days", "30", "new_log_group_tags", "a=b,c=$(log)",
	"log_group_kms_key", testKMSKey, "log_group_deletion_protection", "on", "log_group_class", "infrequent_access"}

func wantGroup(t *testing.T, r *rig, want awslocal.LogGroup) {
	t.Helper()
	g, _ := r.srv.Logs().Group("g")
	if g.RetentionDays != want.RetentionDays || g.KMSKeyID != want.KMSKeyID || g.Protected != want.Protected || g.Class != want.Class || !maps.Equal(g.Tags, want.Tags) {
		t.Errorf("got  %+v\nwant %+v", g, want)
	}
}

// TestNewGroup makes a group with all that it can be made with.
func TestNewGroup(t *testing.T) {
	t.Parallel()
	for _, existing := range []string{"keep", "retention", "update"} {
		r := newRig(t, awslocal.Config{}, append(allSettings, "existing_group", existing)...)
		r.flush(delivery.OK, numbered(0, 10))
		r.flush(delivery.OK, numbered(10, 20))
		wantGroup(t, r, awslocal.LogGroup{RetentionDays: 30, KMSKeyID: testKMSKey, Protected: true, Class: "INFREQUENT_ACCESS",
			Tags: map[string]string{"a": "b", "c": message(0)}})
		r.wantCalls("CreateLogGroup", 1)
		r.wantCalls("PutRetentionPolicy", 1)
		for _, not := range []string{"DescribeLogGroups", "TagResource", "AssociateKmsKey", "PutLogGroupDeletionProtection"} {
			r.wantCalls(not, 0)
		}
		r.log.None(t, "was there")
		r.wantOnce("g", "s", 0, 20)
	}
}

// TestExistingGroup does to a group that was there what the option says, says so
// once, and does not do it again.
func TestExistingGroup(t *testing.T) {
	t.Parallel()
	plain := awslocal.LogGroup{Class: "STANDARD"}
	retained := awslocal.LogGroup{Class: "STANDARD", RetentionDays: 30}
	full := awslocal.LogGroup{Class: "STANDARD", RetentionDays: 30, KMSKeyID: testKMSKey, Protected: true, Tags: map[string]string{"a": "b", "c": message(0)}}
	for _, tt := range []struct {
		existing, create string
		want             awslocal.LogGroup
		said             string
	}{
		{"keep", "on", plain, `log group "g" was there: its retention, tags, KMS key, deletion protection left alone (option existing_group is keep)`},
		{"retention", "on", retained, `log group "g" was there: its retention set, its tags, KMS key, deletion protection left alone (option existing_group is retention)`},
		{"retention", "off", plain, `log group "g" was there: its retention, tags, KMS key, deletion protection left alone (option existing_group is retention)`},
		{"update", "on", full, `log group "g" was there: its retention, tags, KMS key, deletion protection set, its class STANDARD left, which cannot be changed (option existing_group is update)`},
		{"update", "off", full, `log group "g" was there: its retention, tags, KMS key, deletion protection set,`},
	} {
		r := newRig(t, awslocal.Config{}, append(allSettings, "existing_group", tt.existing, "auto_create_group", tt.create)...)
		r.srv.Logs().CreateGroup("g")
		for i := range 3 {
			r.flush(delivery.OK, numbered(i*10, i*10+10))
		}
		wantGroup(t, r, tt.want)
		r.log.Want(t, "info", tt.said)
		if n := r.count("PutRetentionPolicy") + r.count("DescribeLogGroups"); n > 2 {
			t.Errorf("%s: %d calls, want each once", tt.existing, n)
		}
		r.log.NoErrors(t)
		r.account(30, 30, 0)
	}
}

// TestGroupAsAskedFor leaves alone what is right already, and turns off what is on.
func TestGroupAsAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, awslocal.Config{}, append(allSettings, "existing_group", "update")...)
	r.flush(delivery.OK, numbered(0, 10))
	again := newRigOn(t, r.srv, r.srv.URL, append(allSettings, "existing_group", "update")...)
	again.flush(delivery.OK, numbered(0, 10))
	again.log.Want(t, "info", `log group "g" was there: its tags set, its retention, KMS key, deletion protection found as asked for (option`)
	off := newRigOn(t, r.srv, r.srv.URL, logKey, "log", "log_group_deletion_protection", "off", "existing_group", "update")
	off.flush(delivery.OK, numbered(0, 10))
	off.log.Want(t, "info", `log group "g" was there: its deletion protection set (option`)
	if g, _ := r.srv.Logs().Group("g"); g.Protected {
		t.Error("the group is still protected")
	}
}

// TestSettingRefused has what cannot be set not hold up the events, nor the
// other settings, and be tried again after a minute.
func TestSettingRefused(t *testing.T) {
	t.Parallel()
	for operation, warned := range map[string]string{
		"DescribeLogGroups":             "cannot set the tags of log group",
		"TagResource":                   "cannot set the tags of log group",
		"AssociateKmsKey":               "cannot set the KMS key of log group",
		"PutRetentionPolicy":            "cannot set the retention of log group",
		"PutLogGroupDeletionProtection": "cannot set the deletion protection of log group",
	} {
		for _, fault := range []awslocal.Fault{
			{Kind: awslocal.AccessDenied}, {Kind: awslocal.Throttle},
			{Kind: awslocal.Error, Status: 400, Code: "OperationAbortedException"},
			{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"},
		} {
			t.Run(operation+" "+string(fault.Kind)+fault.Code, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, awslocal.Config{}, append(allSettings, "existing_group", "update", "log_group_class", "", "new_log_group_tags", "a=b")...)
				r.srv.Logs().CreateStream("g", "s")
				r.srv.Script(operation, fault)
				r.flush(delivery.OK, numbered(0, 10))
				r.flush(delivery.OK, numbered(10, 20))
				r.wantCalls(operation, 1)
				r.log.Want(t, "warning", warned, "tries again in a minute")
				r.log.None(t, "was there")
				r.targets.group("g").tried = time.Now().Add(-settleAgain) // no flush is under way
				r.flush(delivery.OK, numbered(20, 30))
				wantGroup(t, r, awslocal.LogGroup{Class: "STANDARD", RetentionDays: 30, KMSKeyID: testKMSKey, Protected: true,
					Tags: map[string]string{"a": "b"}})
				r.log.Want(t, "info", `log group "g" was there`)
				r.wantOnce("g", "s", 0, 30)
				r.log.NoErrors(t)
				r.account(30, 30, 0)
			})
		}
	}
}

// TestIsRefusal tells what is refused for good from what passes.
func TestIsRefusal(t *testing.T) {
	if isRefusal(nil) {
		t.Error("no error is a refusal")
	}
	for code, want := range map[string]bool{"AccessDeniedException": true, "InvalidParameterException": true, "ThrottlingException": false, "ServiceUnavailableException": false} {
		if got := isRefusal(&smithy.GenericAPIError{Code: code}); got != want {
			t.Errorf("%s: got %v", code, got)
		}
	}
}

// TestGroupMadePlain makes a group without what is refused, so that its events
// arrive; but never without its key.
func TestGroupMadePlain(t *testing.T) {
	t.Parallel()
	denied := awslocal.Fault{Kind: awslocal.AccessDenied}
	r := newRig(t, awslocal.Config{}, append(allSettings, "existing_group", "update")...)
	r.srv.Script("CreateLogGroup", denied)
	r.flush(delivery.OK, numbered(0, 10))
	r.flush(delivery.OK, numbered(10, 20))
	wantGroup(t, r, awslocal.LogGroup{Class: "INFREQUENT_ACCESS", RetentionDays: 30, KMSKeyID: testKMSKey})
	r.wantCalls("CreateLogGroup", 2)
	r.log.Want(t, "warning", `log group "g" was made without its tags, deletion protection: AccessDeniedException`)
	r.account(20, 20, 0)

	r = newRig(t, awslocal.Config{}, logKey, "log", "log_group_kms_key", testKMSKey)
	r.srv.Script("CreateLogGroup", awslocal.Fault{Kind: awslocal.Error, Status: 400, Code: "InvalidParameterException"})
	r.flush(delivery.Retry, numbered(0, 10))
	r.wantCalls("CreateLogGroup", 1)
	if _, there := r.srv.Logs().Group("g"); there {
		t.Error("the group was made without its key")
	}
	r.flush(delivery.OK, numbered(0, 10))
	r.account(10, 10, 0)
}

// TestDescribedGroup takes the ARN for tags from the group of that very name, in
// either of the forms that an answer may have it in.
func TestDescribedGroup(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:logs:us-east-1:123456789012:log-group:g"
	for answer, tagged := range map[string]string{
		`{"logGroups":[{"logGroupName":"g","arn":"` + arn + `:*","logGroupArn":"` + arn + `"}]}`: arn,
		`{"logGroups":[{"logGroupName":"g","arn":"` + arn + `:*"}]}`:                             arn,
		`{"logGroups":[{"logGroupName":"g-2","arn":"` + arn + `-2:*"}]}`:                         "",
		`{"logGroups":[]}`: "",
	} {
		var got atomic.Value
		url, calls := scripted(t, func(operation string, n int, body []byte, w http.ResponseWriter) {
			switch operation {
			case "DescribeLogGroups":
				_, _ = w.Write([]byte(answer))
			case "TagResource":
				got.Store(string(body))
				fallthrough
			default:
				_, _ = w.Write([]byte("{}"))
			}
		})
		r := newRigOn(t, nil, url, logKey, "log", "new_log_group_tags", "a=b", "existing_group", "update")
		r.flush(delivery.OK, numbered(0, 10))
		if tagged == "" {
			r.log.Want(t, "warning", "cannot set the tags", "DescribeLogGroups does not know the log group")
			if calls("TagResource") != 0 {
				t.Errorf("%s: another group is tagged", answer)
			}
			continue
		}
		if body, _ := got.Load().(string); !strings.Contains(body, `"`+tagged+`"`) || !strings.Contains(body, `"a":"b"`) {
			t.Errorf("%s: TagResource got %s", answer, body)
		}
	}
}
