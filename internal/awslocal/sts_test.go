package awslocal

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const roleARN = "arn:aws:iam::123456789012:role/path/shipper"

// TestAssumedRole goes the whole way: a role is assumed, and its credentials are
// the ones that sign what comes after.
func TestAssumedRole(t *testing.T) {
	s := start(t, Config{RefuseUnknownKeys: true})
	s.Logs().CreateStream("g", "s")
	cfg, ctx := sdkConfig(t, s), testContext(t)
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(stsClient(t, s), roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.ExternalID, o.RoleSessionName, o.Duration = ptr("the-id"), "session", 20*time.Minute
	}))
	client := cloudwatchlogs.NewFromConfig(cfg)
	for range 2 {
		_, err := client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
		noError(t, err)
	}
	all := s.STS().Credentials()
	if len(all) != 1 {
		t.Fatalf("%d sets of credentials given out, want 1", len(all))
	}
	c := all[0]
	if c.Source != "AssumeRole" || c.RoleARN != roleARN || c.ExternalID != "the-id" || c.SessionName != "session" || c.Duration != 20*time.Minute || c.CallerKeyID != "AKIDEXAMPLE" {
		t.Errorf("credentials %+v", c)
	}
	for _, r := range s.Requests("PutLogEvents") {
		if r.Auth.AccessKeyID != c.AccessKeyID || !r.Auth.Verified || r.Auth.SessionToken != c.SessionToken {
			t.Errorf("signed by %+v", r.Auth)
		}
	}
	if got, ok := s.STS().Lookup(c.AccessKeyID); !ok || got != c {
		t.Errorf("Lookup returns %+v", got)
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	noError(t, err)
	if *who.Arn != "arn:aws:sts::123456789012:assumed-role/path/shipper/session" || *who.Account != "123456789012" {
		t.Errorf("caller is %s", *who.Arn)
	}

	if !s.STS().Expire(c.AccessKeyID) || s.STS().Expire("none") {
		t.Error("Expire does not tell what there is")
	}
	_, err = client.PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
	wantCode(t, "expired", err, "ExpiredTokenException")

	stolen := sdkConfig(t, s)
	stolen.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, "other")
	_, err = cloudwatchlogs.NewFromConfig(stolen).PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
	wantCode(t, "wrong session token", err, "UnrecognizedClientException")
}

func TestCredentialsTTL(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	s := start(t, Config{CredentialsTTL: 3 * time.Second, Now: func() time.Time { return now }})
	out, err := stsClient(t, s).AssumeRole(testContext(t), &sts.AssumeRoleInput{RoleArn: ptr(roleARN), RoleSessionName: ptr("session"), DurationSeconds: ptr(int32(900))})
	noError(t, err)
	if !out.Credentials.Expiration.Equal(now.Add(3 * time.Second)) {
		t.Errorf("expires %v, want 3 s from %v", out.Credentials.Expiration, now)
	}
	cfg := sdkConfig(t, s)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	client := sts.NewFromConfig(cfg)
	_, err = client.GetCallerIdentity(testContext(t), &sts.GetCallerIdentityInput{})
	noError(t, err)
	now = now.Add(3 * time.Second)
	_, err = client.GetCallerIdentity(testContext(t), &sts.GetCallerIdentityInput{})
	wantCode(t, "after 3 s", err, "ExpiredToken")
}

func TestAssumeRoleInput(t *testing.T) {
	s := start(t, Config{})
	client, ctx := stsClient(t, s), testContext(t)
	const bad = "ValidationError"
	long := func(n int) string { return strings.Repeat("n", n) }
	tests := []struct {
		name string
		in   sts.AssumeRoleInput
		want string
	}{
		{"plain", sts.AssumeRoleInput{}, ""},
		{"no role", sts.AssumeRoleInput{RoleArn: ptr("shipper")}, bad},
		{"user", sts.AssumeRoleInput{RoleArn: ptr("arn:aws:iam::123456789012:user/shipper")}, bad},
		{"China", sts.AssumeRoleInput{RoleArn: ptr("arn:aws-cn:iam::123456789012:role/shipper")}, ""},
		{"899 s", sts.AssumeRoleInput{DurationSeconds: ptr(int32(899))}, bad},
		{"900 s", sts.AssumeRoleInput{DurationSeconds: ptr(int32(900))}, ""},
		{"43,200 s", sts.AssumeRoleInput{DurationSeconds: ptr(int32(43_200))}, ""},
		{"43,201 s", sts.AssumeRoleInput{DurationSeconds: ptr(int32(43_201))}, bad},
		{"session of 1", sts.AssumeRoleInput{RoleSessionName: ptr("a")}, bad},
		{"session of 64", sts.AssumeRoleInput{RoleSessionName: ptr(long(64))}, ""},
		{"session of 65", sts.AssumeRoleInput{RoleSessionName: ptr(long(65))}, bad},
		{"session with a space", sts.AssumeRoleInput{RoleSessionName: ptr("a b")}, bad},
		{"external id of 1", sts.AssumeRoleInput{ExternalId: ptr("a")}, bad},
		{"external id of 1,224", sts.AssumeRoleInput{ExternalId: ptr(long(1224))}, ""},
		{"external id of 1,225", sts.AssumeRoleInput{ExternalId: ptr(long(1225))}, bad},
		{"external id with a space", sts.AssumeRoleInput{ExternalId: ptr("a b")}, bad},
		{"tags", sts.AssumeRoleInput{Tags: []types.Tag{{Key: ptr("k"), Value: ptr("v")}}}, ""},
	}
	for _, tt := range tests {
		if tt.in.RoleArn == nil {
			tt.in.RoleArn = ptr(roleARN)
		}
		if tt.in.RoleSessionName == nil {
			tt.in.RoleSessionName = ptr("session")
		}
		_, err := client.AssumeRole(ctx, &tt.in)
		wantCode(t, tt.name, err, tt.want)
	}
}

func TestTrust(t *testing.T) {
	s := start(t, Config{})
	client, ctx := stsClient(t, s), testContext(t)
	assume := func(role string, id *string) error {
		_, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: ptr("session"), ExternalId: id})
		return err
	}
	noError(t, assume(roleARN, nil))
	s.STS().Trust(roleARN, "the-id")
	s.STS().Trust("arn:aws:iam::123456789012:role/open", "")
	wantCode(t, "right id", assume(roleARN, ptr("the-id")), "")
	wantCode(t, "no id", assume(roleARN, nil), "AccessDenied")
	wantCode(t, "wrong id", assume(roleARN, ptr("other")), "AccessDenied")
	wantCode(t, "any id", assume("arn:aws:iam::123456789012:role/open", ptr("any")), "")
	wantCode(t, "another role", assume("arn:aws:iam::123456789012:role/other", nil), "AccessDenied")
}

type identityToken string

func (i identityToken) GetIdentityToken() ([]byte, error) { return []byte(i), nil }

func TestWebIdentity(t *testing.T) {
	s := start(t, Config{RefuseUnknownKeys: true})
	s.Logs().CreateStream("g", "s")
	cfg, ctx := sdkConfig(t, s), testContext(t)
	anonymous := sdkConfig(t, s)
	anonymous.Credentials = aws.AnonymousCredentials{}
	cfg.Credentials = stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(anonymous), roleARN, identityToken("the.token"), func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = "pod"
	})
	_, err := cloudwatchlogs.NewFromConfig(cfg).PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
	noError(t, err)
	c := s.STS().Credentials()[0]
	if c.Source != "AssumeRoleWithWebIdentity" || c.Token != "the.token" || c.SessionName != "pod" || c.RoleARN != roleARN {
		t.Errorf("credentials %+v", c)
	}
	if r := s.Requests("PutLogEvents")[0]; r.Auth.AccessKeyID != c.AccessKeyID || !r.Auth.Verified {
		t.Errorf("signed by %+v", r.Auth)
	}
	assume := func(role, token string) error {
		_, err := sts.NewFromConfig(anonymous).AssumeRoleWithWebIdentity(context.WithoutCancel(ctx), &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: ptr("pod"), WebIdentityToken: &token})
		return err
	}
	wantCode(t, "token too short", assume(roleARN, "abc"), "ValidationError")
	wantCode(t, "no role", assume("x", "token"), "ValidationError")
	s.STS().Trust("arn:aws:iam::123456789012:role/other", "")
	wantCode(t, "not trusted", assume(roleARN, "token"), "AccessDenied")
}
