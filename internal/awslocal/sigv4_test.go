package awslocal

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// TestSignatureExample is the GET of AWS's own test suite for Signature Version
// 4 (get-vanilla-query-order-key-case), which neither side here had a hand in.
func TestSignatureExample(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://example.amazonaws.com/?Param2=value2&Param1=value1", nil)
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	a := parseAuth("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
		"Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
	if a.malformed != "" {
		t.Fatal(a.malformed)
	}
	if got := signature("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &call{http: r}, &a); got != a.Signature {
		t.Errorf("signature %s, want %s", got, a.Signature)
	}
}

// TestSignatureOddities holds paths, queries and headers that need care against
// the SDK's signer.
func TestSignatureOddities(t *testing.T) {
	for _, target := range []string{"/", "/a/b", "/a%20b/%C3%A9", "/?b=2&a=1&a=0", "/?a+b=c%20d&e=%2F", "/x?flag"} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:1"+target, strings.NewReader("body"))
		r.URL = &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		r.Header.Set("X-Amz-Target", "  two  spaces ")
		r.Header.Add("X-Amz-Meta", "one")
		r.Header.Add("X-Amz-Meta", "two")
		sum := sha256.Sum256([]byte("body"))
		now := time.Now().UTC()
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "A", SecretAccessKey: "S"}, r, hex.EncodeToString(sum[:]), "logs", "us-east-1", now)
		noError(t, err)
		a := parseAuth(r.Header.Get("Authorization"))
		if a.malformed != "" {
			t.Fatal(a.malformed)
		}
		if got := signature("S", &call{http: r, raw: []byte("body")}, &a); got != a.Signature {
			t.Errorf("%s: signature %s, the SDK's %s", target, got, a.Signature)
		}
	}
}

func TestSignaturesOfAllServices(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 1}, DeliveryStreams: []string{"s"}, RefuseUnknownKeys: true, Region: "us-east-1"})
	s.Logs().CreateStream("g", "s")
	ctx := testContext(t)
	_, err := logsClient(t, s).PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "é\x00<&>")...))
	noError(t, err)
	_, err = kinesisClient(t, s).PutRecords(ctx, putRecords("s", kinesisEntries(3, 10)...))
	noError(t, err)
	_, err = firehoseClient(t, s).PutRecordBatch(ctx, putBatch("s", firehoseRecords(3, 10)...))
	noError(t, err)
	_, err = stsClient(t, s).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	noError(t, err)
	for _, r := range s.Requests("") {
		if a := r.Auth; !a.Verified || a.AccessKeyID != "AKIDEXAMPLE" || a.Region != "us-east-1" || a.Service != r.Service {
			t.Errorf("%s: %+v", r.Operation, a)
		}
	}
}

func TestBadSignatures(t *testing.T) {
	s := start(t, Config{KinesisStreams: map[string]int{"s": 1}, DeliveryStreams: []string{"s"}, RefuseUnknownKeys: true, Region: "us-east-1"})
	s.Logs().CreateStream("g", "s")
	key := func(id, secret, token string) func(*aws.Config) {
		return func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token) }
	}
	tests := []struct {
		name       string
		change     func(*aws.Config)
		json, form string
	}{
		{"wrong secret", key("AKIDEXAMPLE", "wrong", ""), "InvalidSignatureException", "SignatureDoesNotMatch"},
		{"unknown key", key("AKIDOTHER", "x", ""), "UnrecognizedClientException", "InvalidClientTokenId"},
		{"token of a key that has none", key("AKIDEXAMPLE", DefaultKeys["AKIDEXAMPLE"], "token"), "UnrecognizedClientException", "InvalidClientTokenId"},
		{"wrong region", func(c *aws.Config) { c.Region = "eu-west-1" }, "InvalidSignatureException", "SignatureDoesNotMatch"},
		{"not signed", func(c *aws.Config) { c.Credentials = aws.AnonymousCredentials{} }, "MissingAuthenticationTokenException", "MissingAuthenticationToken"},
	}
	for _, tt := range tests {
		cfg, ctx := sdkConfig(t, s), testContext(t)
		tt.change(&cfg)
		_, err := cloudwatchlogs.NewFromConfig(cfg).PutLogEvents(ctx, putTo("g", "s", manyEvents(1, "x")...))
		wantCode(t, tt.name+", logs", err, tt.json)
		_, err = kinesis.NewFromConfig(cfg).PutRecords(ctx, putRecords("s", kinesisEntries(1, 1)...))
		wantCode(t, tt.name+", kinesis", err, tt.json)
		_, err = firehose.NewFromConfig(cfg).PutRecordBatch(ctx, putBatch("s", firehoseRecords(1, 1)...))
		wantCode(t, tt.name+", firehose", err, tt.json)
		_, err = sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		wantCode(t, tt.name+", sts", err, tt.form)
	}
	if n := s.Counts(""); n.Accepted != 0 || n.Succeeded != 0 {
		t.Errorf("something was accepted: %+v", n)
	}
}

// TestTampering changes a request after it was signed.
func TestTampering(t *testing.T) {
	s := start(t, Config{})
	s.Logs().CreateStream("g", "s")
	const body = `{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1,"message":"m"}]}`
	sum := sha256.Sum256([]byte(body))
	sign := func(r *http.Request, at time.Time) {
		t.Helper()
		r.Header.Del("Authorization")
		r.Header.Del("X-Amz-Date")
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: DefaultKeys["AKIDEXAMPLE"]},
			r, hex.EncodeToString(sum[:]), "logs", "us-east-1", at)
		noError(t, err)
	}
	now := time.Now()
	tests := []struct {
		name   string
		sent   string
		change func(*http.Request)
		want   string
	}{
		{"untouched", body, func(r *http.Request) { sign(r, now) }, ""},
		{"body", strings.Replace(body, `"m"`, `"n"`, 1), func(r *http.Request) { sign(r, now) }, "InvalidSignatureException"},
		{"target", body, func(r *http.Request) { sign(r, now); r.Header.Set("X-Amz-Target", "Logs_20140328.GetLogEvents") }, "InvalidSignatureException"},
		{"header of AWS not signed", body, func(r *http.Request) { sign(r, now); r.Header.Set("X-Amz-Extra", "1") }, "InvalidSignatureException"},
		{"header of others not signed", body, func(r *http.Request) { sign(r, now); r.Header.Set("Extra", "1") }, ""},
		{"date", body, func(r *http.Request) {
			sign(r, now)
			r.Header.Set("X-Amz-Date", now.Add(-time.Second).UTC().Format(sigTime))
		}, "InvalidSignatureException"},
		{"no date", body, func(r *http.Request) { sign(r, now); r.Header.Del("X-Amz-Date") }, "IncompleteSignatureException"},
		{"4 minutes old", body, func(r *http.Request) { sign(r, now.Add(-4*time.Minute)) }, ""},
		{"6 minutes old", body, func(r *http.Request) { sign(r, now.Add(-6*time.Minute)) }, "InvalidSignatureException"},
		{"6 minutes ahead", body, func(r *http.Request) { sign(r, now.Add(6*time.Minute)) }, "InvalidSignatureException"},
		{"other service", body, func(r *http.Request) {
			sign(r, now)
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/logs/", "/kinesis/", 1))
		}, "InvalidSignatureException"},
		{"signature", body, func(r *http.Request) {
			sign(r, now)
			h := r.Header.Get("Authorization")
			r.Header.Set("Authorization", h[:len(h)-64]+strings.Repeat("0", 64))
		}, "InvalidSignatureException"},
	}
	for _, tt := range tests {
		if _, got := rawCall(t, s, "Logs_20140328.PutLogEvents", tt.sent, tt.change); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestParseAuth(t *testing.T) {
	sig := strings.Repeat("a", 64)
	good := "AWS4-HMAC-SHA256 Credential=A/20260102/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + sig
	if a := parseAuth(good); a.malformed != "" || a.AccessKeyID != "A" || a.Region != "r" || a.Service != "s" || a.Date != "20260102" || a.Signature != sig || len(a.SignedHeaders) != 2 {
		t.Errorf("parsed as %+v", a)
	}
	if a := parseAuth(strings.ReplaceAll(good, ", ", ",")); a.malformed != "" {
		t.Errorf("without spaces: %s", a.malformed)
	}
	for _, change := range [][2]string{
		{"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"}, {"AWS4-HMAC-SHA256", "Bearer"}, {"Credential=", "Cred="}, {"SignedHeaders=", "Signed="}, {"Signature=", "Sig="},
		{"A/20260102", "20260102"}, {"A/20260102", "/20260102"}, {"20260102", "20261302"}, {"20260102", "yesterday"}, {"aws4_request", "aws5_request"}, {"/r/s/", "/r/s/t/"},
		{"host;x-amz-date", "x-amz-date;host"}, {"host;", "Host;"}, {sig, sig[1:]}, {sig, sig[1:] + "z"}, {"SignedHeaders=host", "SignedHeaders=a, SignedHeaders=host"}, {", Sig", " Sig"},
	} {
		header := strings.Replace(good, change[0], change[1], 1)
		if header == good {
			t.Fatalf("no change by %q", change)
		}
		if a := parseAuth(header); a.malformed == "" {
			t.Errorf("%s: accepted as %+v", header, a)
		}
	}
	s := start(t, Config{})
	for header, want := range map[string]string{"": "MissingAuthenticationTokenException", "Bearer x": "IncompleteSignatureException"} {
		_, got := rawCall(t, s, "Logs_20140328.PutLogEvents", "{}", func(r *http.Request) { r.Header.Set("Authorization", header) })
		if got != want {
			t.Errorf("Authorization %q: got %q, want %q", header, got, want)
		}
	}
	_, got := rawCall(t, s, "Logs_20140328.PutLogEvents", "{}", func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
	})
	if got != "InvalidSignatureException" {
		t.Errorf("host not signed: %q", got)
	}
}
