package awsx

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkcredentials "github.com/aws/aws-sdk-go-v2/credentials"
)

// sameAnswer answers every request with the same.
type sameAnswer struct {
	status int
	header http.Header
	body   string
}

func (s sameAnswer) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(strings.NewReader(s.body)),
		ContentLength: int64(len(s.body)), Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}, nil
}

// FuzzAnswers gives any answer to calls of all three services, through the SDK's
// own reading of errors: nothing panics, an answer that is not one of success is
// an error of a class that has a verdict, and its code is fit for a log.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		"", "{}", "null", "[]", "<html>502</html>", `{"__type":"ThrottlingException","message":"slow down"}`, `{"__type":"com.amazonaws.kinesis#ProvisionedThroughputExceededException"}`,
		`{"__type":"InvalidSequenceTokenException","expectedSequenceToken":"49"}`, `{"code":"AccessDeniedException:http://internal.amazon.com/","Message":"no"}`, `{"__type":5}`, `{"__type":{"a":[]}}`,
		`{"__type":"ResourceNotFoundException","message":null}`, `{"__type":"x\n[error] forged"}`, `{"FailedRecordCount":1,"Records":[{"ErrorCode":"InternalFailure","ErrorMessage":"x"}]}`,
		`{"FailedPutCount":1,"RequestResponses":[{"ErrorCode":"ServiceUnavailableException"}]}`, `{"nextSequenceToken":"1","rejectedLogEventsInfo":{"expiredLogEventEndIndex":1}}`, `{"FailedRecordCount":1e99}`,
		"\xff\xfe", `{"__type":"`,
	} {
		for _, status := range []int{200, 400, 403, 413, 429, 500, 503} {
			f.Add(status, body, "", "1")
		}
	}
	f.Add(400, "{}", "ThrottlingException:http://x/", "120")
	f.Add(503, "", "\x00", "Wed, 21 Oct 2015 07:28:00 GMT")
	f.Add(301, "", "", "-5")
	f.Fuzz(func(t *testing.T, status int, body, kind, retry string) {
		if status < 200 || status > 599 {
			return // the transport gives no such answer
		}
		header := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
		if kind != "" {
			header.Set("X-Amzn-Errortype", kind)
		}
		if retry != "" {
			header.Set("Retry-After", retry)
		}
		config := aws.Config{Region: "us-east-1", HTTPClient: sameAnswer{status, header, body}, Credentials: sdkcredentials.NewStaticCredentialsProvider("a", "b", ""),
			Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		send := NewBody([]byte("{}"))
		const n = 3
		session := &Session{config: config}
		_, logsErr := PutLogEvents(ctx, session.CloudWatchLogs(), "g", "s", send)
		records, kinesisErr := PutRecords(ctx, session.Kinesis(), "s", n, send)
		batch, firehoseErr := PutRecordBatch(ctx, session.Firehose(), "s", n, send)
		for i, a := range []RecordsAnswer{records, batch} {
			if err := []error{kinesisErr, firehoseErr}[i]; err == nil {
				last := -1
				for _, r := range a.Failed {
					if r.Index <= last || r.Index >= n || r.Code == "" {
						t.Fatalf("%q: %+v", body, a.Failed)
					}
					last = r.Index
				}
			}
		}
		for i, err := range []error{logsErr, kinesisErr, firehoseErr} {
			if err == nil {
				if status/100 != 2 {
					t.Fatalf("call %d: status %d is no error", i, status)
				}
				continue
			}
			c := Classify(err)
			if strings.HasPrefix(c.Class.String(), "class ") || c.Class == NoFailure || c.RetryAfter < 0 || c.RetryAfter > 24*time.Hour {
				t.Fatalf("%v: %+v", err, c)
			}
			// Whatever the endpoint is, it does not fill the log.
			if v := Verdict(err, nil); v.Reason == "" || len(v.Reason) > maxReason+10 || v.Pause != c.RetryAfter {
				t.Fatalf("%v: %+v", err, v)
			}
		}
	})
}
