package awslocal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

func start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// sdkConfig makes clients that sign with the default key and do not retry.
func sdkConfig(t testing.TB, s *Server) aws.Config {
	transport := &http.Transport{MaxIdleConnsPerHost: 8, TLSClientConfig: tlsConfig(t, s), ForceAttemptHTTP2: s.cfg.HTTP2}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(s.URL),
		HTTPClient:   &http.Client{Transport: plainBodies{transport}},
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", DefaultKeys["AKIDEXAMPLE"], ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// plainBodies hides WriteTo of the request's body. The SDK closes a body as soon
// as an answer begins; WriteTo of a closed body fails, and if net/http is still
// looking whether there is more of it, it then drops the connection together
// with what has yet to come of the answer. Read does not fail.
type plainBodies struct{ *http.Transport }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.WithContext(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.Transport.RoundTrip(r)
}

func tlsConfig(t testing.TB, s *Server) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if s.CAPEM != nil && !pool.AppendCertsFromPEM(s.CAPEM) {
		t.Fatal("CAPEM is not a certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

func logsClient(t testing.TB, s *Server) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(sdkConfig(t, s))
}

func kinesisClient(t testing.TB, s *Server) *kinesis.Client {
	return kinesis.NewFromConfig(sdkConfig(t, s))
}

func firehoseClient(t testing.TB, s *Server) *firehose.Client {
	return firehose.NewFromConfig(sdkConfig(t, s))
}

func stsClient(t testing.TB, s *Server) *sts.Client { return sts.NewFromConfig(sdkConfig(t, s)) }

// code returns the error code that a client got, "" for success, and
// "no answer" if the call failed without one.
func code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	return "no answer"
}

func wantCode(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: got %q, want %q (%v)", what, got, want, err)
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rawCall sends a body as it is, signed (in form only) by a key that the server
// does not know. It returns the status and the error code.
func rawCall(t testing.TB, s *Server, target, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodPost, s.URL+"/", strings.NewReader(body))
	noError(t, err)
	rawHeaders(req, target)
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	noError(t, err)
	defer resp.Body.Close()
	var out struct {
		Type string `json:"__type"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&out) // not all answers are JSON
	return resp.StatusCode, out.Type
}

// rawHeaders sets the headers of a JSON call, with a signature in form only.
func rawHeaders(req *http.Request, target string) {
	now := time.Now().UTC()
	service := map[string]string{"Logs_20140328": "logs", "Kinesis_20131202": "kinesis", "Firehose_20150804": "firehose"}[target[:strings.IndexByte(target, '.')]]
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Date", now.Format(sigTime))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDUNKNOWN/"+now.Format("20060102")+"/us-east-1/"+service+
		"/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="+strings.Repeat("0", 64))
}

func ptr[T any](v T) *T { return &v }

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

func kinesisList(stream string) kinesis.ListShardsInput {
	return kinesis.ListShardsInput{StreamName: &stream}
}
