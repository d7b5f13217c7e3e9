package awsx

import (
	"context"
	"fmt"
	"net/http"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"aws-for-fluent-bit/internal/spare"
)

// BodyOption adds to a request with a ready body.
type BodyOption func(*readyBody)

// Gzip says that the body's bytes are compressed with gzip. CloudWatch Logs
// takes that, as its own agent sends it; there is no sign that Kinesis or
// Firehose do.
func Gzip() BodyOption { return Header("Content-Encoding", "gzip") }

// Header sets a header, which is signed.
func Header(name, value string) BodyOption {
	return func(r *readyBody) { r.headers = append(r.headers, [2]string{name, value}) }
}

// WithBody has a call send body instead of what its input would be serialized
// to. Append it to the APIOptions of one call. The target is the value of
// X-Amz-Target, as "Logs_20140328.PutLogEvents". The call's input must pass the
// SDK's own checks, so give it the names and an empty, not nil, list of records.
//
// All else stays the SDK's: endpoint, signing, and errors.
func WithBody(target string, body *Body, opts ...BodyOption) func(*middleware.Stack) error {
	return newReadyBody(target, body, opts).add
}

func newReadyBody(target string, body *Body, opts []BodyOption) *readyBody {
	m := &readyBody{target: target, body: body}
	for _, opt := range opts {
		opt(m)
	}
	return m
}

// readyBody stands in for the SDK's serializer of one call.
type readyBody struct {
	target  string
	body    *Body
	headers [][2]string
}

func (m *readyBody) add(s *middleware.Stack) error {
	_, err := s.Serialize.Swap("OperationSerializer", m)
	return err
}

// ID is that of the middleware it replaces.
func (*readyBody) ID() string { return "OperationSerializer" }

func (m *readyBody) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, md middleware.Metadata, err error) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, md, fmt.Errorf("cannot send a ready body with a request of type %T", in.Request)
	}
	req.Method = http.MethodPost
	req.URL.Path = "/"
	req.Header.Set("Content-Type", typeJSON)
	req.Header.Set("X-Amz-Target", m.target)
	for _, h := range m.headers {
		req.Header.Set(h[0], h[1])
	}
	// The SDK takes where the body stands now for its start: left at its end it
	// would be sent empty, without an error.
	m.body.rewind()
	withStream, err := req.SetStream(m.body)
	if err != nil {
		return out, md, fmt.Errorf("cannot set the request body: %w", err)
	}
	*req = *withStream
	ctx = v4.SetPayloadHash(ctx, m.body.sha256())
	ctx = context.WithValue(ctx, bodyKey{}, m.body)
	return next.HandleSerialize(ctx, in)
}

// WithAnswer has read called with the body of a 2xx answer, which is valid only
// during that call, instead of having the SDK decode it. The call then returns
// result, which must be of the call's own output type. All other answers go the
// SDK's way and become its errors.
func WithAnswer(result any, read func(resp *http.Response, body []byte) error) func(*middleware.Stack) error {
	m := &answerHook{result: result, read: read}
	return m.add
}

// answerHook stands in for the SDK's deserializer of one call.
type answerHook struct {
	result any
	read   func(*http.Response, []byte) error
	learn  func(*route) // gets the way that a call takes, and nil after an answer that is no success; may be nil
	sdk    middleware.DeserializeMiddleware
}

func (m *answerHook) add(s *middleware.Stack) error {
	sdk, err := s.Deserialize.Swap("OperationDeserializer", m)
	m.sdk = sdk
	return err
}

// ID is that of the middleware it replaces.
func (*answerHook) ID() string { return "OperationDeserializer" }

func (m *answerHook) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	if m.learn != nil { // not only when the answer is here: all that begins in the meantime has a short cut, too
		m.learn(routeOf(in.Request))
	}
	out, md, err := next.HandleDeserialize(ctx, in)
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || resp.StatusCode < 200 || resp.StatusCode >= 300 {
		if m.learn != nil && ok {
			m.learn(nil)
		}
		return m.sdk.HandleDeserialize(ctx, in, middleware.DeserializeHandlerFunc(
			func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
				return out, md, err
			}))
	}
	if err := readAnswer(resp.Response, m.read); err != nil {
		return out, md, err
	}
	out.Result = m.result
	return out, md, nil
}

// readAnswer reads an answer of success to its end and closes it: else the
// connection cannot be used again.
func readAnswer(resp *http.Response, read func(*http.Response, []byte) error) error {
	defer resp.Body.Close()
	buf, ok := answers.Get()
	if !ok {
		buf = new(answerBuffer)
	}
	defer answers.put(buf)
	if err := buf.readFrom(resp); err != nil {
		return &AnswerError{Err: err}
	}
	if err := read(resp, buf.data); err != nil {
		return &AnswerError{Err: err}
	}
	return nil
}

// AnswerError is an answer of success that was lost or makes no sense. What the
// service did is not known.
type AnswerError struct{ Err error }

func (e *AnswerError) Error() string { return "cannot use the answer: " + e.Err.Error() }
func (e *AnswerError) Unwrap() error { return e.Err }

// answers holds buffers for answers. Those of PutLogEvents have a few bytes,
// those of PutRecords some 50 KB.
var answers answerList

type answerList struct{ spare.List[*answerBuffer] }

// put gives a buffer back, unless an unusual answer has made it huge.
func (l *answerList) put(b *answerBuffer) {
	if cap(b.data) <= 1<<20 {
		l.Put(b)
	}
}

type answerBuffer struct{ data []byte }

func (b *answerBuffer) readFrom(resp *http.Response) error {
	b.data = b.data[:0]
	if n := resp.ContentLength; n >= 0 && n < maxAnswer && int(n) >= cap(b.data) {
		b.data = make([]byte, 0, n+1) // one more, to find the end without growing
	}
	return readAll(&b.data, resp)
}
