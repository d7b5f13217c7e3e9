package awsx

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Class is what kind of failure a call met. It says what happened, not what to
// do: that is the verdict's business, which may also look at the code.
type Class int

const (
	NoFailure          Class = iota
	Throttled                // too many calls or too much data: slow down
	ServerError              // the service could not, for now
	Timeout                  // no answer in time; the request may have been processed
	ConnectionNotSent        // no answer; the request was surely not processed
	ConnectionLost           // the answer was lost or is no use; the request may have been processed
	NoCredentials            // the call was not made: no provider gave credentials
	ExpiredCredentials       // credentials or signature refused: renew them, then try once more
	AccessDenied             // known, but not allowed to
	NotFound                 // the group, stream or delivery stream does not exist
	AlreadyExists            // what was to be created exists
	Invalid                  // refused for what is in the request
	TooLarge                 // refused for the size of the request
	Canceled                 // the caller ended the call; the request may have been processed
	Unknown                  // none of these, as an answer from a proxy that makes no sense
)

var classNames = [...]string{"no failure", "throttled", "server error", "timeout", "connection not sent",
	"connection lost", "no credentials", "expired credentials", "access denied", "not found", "already exists",
	"invalid", "too large", "canceled", "unknown"}

func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return "class " + strconv.Itoa(int(c))
	}
	return classNames[c]
}

// Failure is what Classify makes of an error.
type Failure struct {
	Class      Class
	Code       string        // the service's, without namespace; "" when it gave none
	Status     int           // of the answer; 0 without one
	RetryAfter time.Duration // how long the answer asks to wait; 0 when it does not
	RequestID  string        // for AWS support

	// Stale goes with ConnectionLost: a kept connection turned out to be closed.
	// There is nothing to wait for before the request is sent again. That it was
	// processed is unlikely, but cannot be ruled out.
	Stale bool
}

// codes are the error codes of the calls that the plugins make and those common
// to all services. A code that is missing is classified by the answer's status.
//
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
var codes = map[string]Class{
	"Throttling":                             Throttled,
	"ThrottlingException":                    Throttled,
	"ThrottledException":                     Throttled,
	"RequestThrottled":                       Throttled,
	"RequestThrottledException":              Throttled,
	"RequestLimitExceeded":                   Throttled,
	"TooManyRequestsException":               Throttled,
	"ProvisionedThroughputExceededException": Throttled,
	"BandwidthLimitExceeded":                 Throttled,
	"LimitExceededException":                 Throttled,
	"SlowDown":                               Throttled,
	"KMSThrottlingException":                 Throttled,

	"InternalFailure":             ServerError,
	"InternalFailureException":    ServerError,
	"InternalError":               ServerError,
	"InternalServerError":         ServerError,
	"InternalServerException":     ServerError,
	"ServiceUnavailable":          ServerError,
	"ServiceUnavailableException": ServerError,
	"RequestTimeout":              ServerError,
	"RequestTimeoutException":     ServerError,
	"OperationAbortedException":   ServerError, // two callers changed one group or stream at once

	"ExpiredToken":                   ExpiredCredentials,
	"ExpiredTokenException":          ExpiredCredentials,
	"TokenRefreshRequired":           ExpiredCredentials,
	"InvalidToken":                   ExpiredCredentials,
	"UnrecognizedClient":             ExpiredCredentials,
	"UnrecognizedClientException":    ExpiredCredentials,
	"InvalidClientTokenId":           ExpiredCredentials,
	"InvalidAccessKeyId":             ExpiredCredentials,
	"AuthFailure":                    ExpiredCredentials,
	"MissingAuthenticationToken":     ExpiredCredentials,
	"MissingAuthenticationException": ExpiredCredentials,
	"IncompleteSignature":            ExpiredCredentials,
	"IncompleteSignatureException":   ExpiredCredentials,
	// These come of a wrong clock too. The SDK learns the difference from the
	// answer, so the next call is signed with the right time.
	"InvalidSignatureException": ExpiredCredentials,
	"SignatureDoesNotMatch":     ExpiredCredentials,
	"RequestExpired":            ExpiredCredentials,
	"RequestTimeTooSkewed":      ExpiredCredentials,

	"AccessDenied":                AccessDenied,
	"AccessDeniedException":       AccessDenied,
	"NotAuthorized":               AccessDenied,
	"UnauthorizedOperation":       AccessDenied,
	"OptInRequired":               AccessDenied,
	"KMSAccessDeniedException":    AccessDenied,
	"KMSDisabledException":        AccessDenied,
	"KMSInvalidStateException":    AccessDenied,
	"KMSNotFoundException":        AccessDenied,
	"KMSOptInRequired":            AccessDenied,
	"InvalidKMSResourceException": AccessDenied,

	"ResourceNotFoundException":      NotFound,
	"ResourceAlreadyExistsException": AlreadyExists,

	"InvalidParameterException":     Invalid,
	"InvalidParameterValue":         Invalid,
	"InvalidParameterCombination":   Invalid,
	"InvalidArgumentException":      Invalid,
	"InvalidSourceException":        Invalid, // Firehose: the stream does not take direct puts
	"ValidationException":           Invalid,
	"ValidationError":               Invalid,
	"SerializationException":        Invalid,
	"InvalidAction":                 Invalid,
	"UnknownOperationException":     Invalid,
	"InvalidSequenceTokenException": Invalid,
	"DataAlreadyAcceptedException":  Invalid,

	"RequestEntityTooLarge":          TooLarge,
	"RequestEntityTooLargeException": TooLarge,
}

// ClassOf returns the class of a service's error code, also of one that came in
// the result of a single record; Unknown for one that is not in the table.
func ClassOf(code string) Class {
	if c, ok := codes[cleanCode(code)]; ok {
		return c
	}
	return Unknown
}

// Classify says what an error of a call means. It looks at types, codes and
// statuses, not at texts.
func Classify(err error) Failure {
	if err == nil {
		return Failure{}
	}
	f := answerOf(err)
	var noCreds *CredentialsError
	if errors.As(err, &noCreds) {
		f.Class = NoCredentials
		if errors.Is(err, context.Canceled) {
			f.Class = Canceled
		}
		return f
	}
	if f.Status != 0 {
		f.Class = classOfAnswer(f.Code, f.Status)
		return f
	}
	var send *SendError
	sent := errors.As(err, &send)
	switch {
	case errors.Is(err, context.Canceled):
		f.Class = Canceled
	case sent && send.NotSent:
		f.Class = ConnectionNotSent
	case isTimeout(err):
		f.Class = Timeout
	case sent:
		f.Class = ConnectionLost
		f.Stale = send.Reused
	case f.Code != "":
		f.Class = ClassOf(f.Code)
	default:
		f.Class = Unknown
	}
	return f
}

// answerOf collects what the service's answer says about itself.
func answerOf(err error) Failure {
	var f Failure
	var api smithy.APIError
	if errors.As(err, &api) {
		f.Code = cleanCode(api.ErrorCode())
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		header := answer.Response.Header
		f.Status = answer.Response.StatusCode
		f.RetryAfter = retryAfter(header, time.Now())
		f.RequestID = header.Get("X-Amzn-Requestid")
		if f.Code == "" {
			// The body was no JSON; the header may still tell.
			f.Code = cleanCode(header.Get("X-Amzn-Errortype"))
		}
	}
	return f
}

func classOfAnswer(code string, status int) Class {
	if status < 300 {
		// Success, but what is in the answer was lost.
		return ConnectionLost
	}
	if c, ok := codes[code]; ok {
		return c
	}
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusRequestTimeout, status >= 500:
		return ServerError
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return AccessDenied
	case status >= 400 && code != "":
		// The service's own refusal, with a code that is new to us.
		return Invalid
	}
	return Unknown
}

// cleanCode takes away what may be around a code: "ns#Code", "Code:http://...".
func cleanCode(code string) string {
	code, _, _ = strings.Cut(code, ":")
	if i := strings.LastIndexByte(code, '#'); i >= 0 {
		code = code[i+1:]
	}
	code = strings.TrimSpace(code)
	if code == "UnknownError" {
		return "" // the SDK's own, for an answer without a code
	}
	return code
}

// retryAfter returns the wait that an answer asks for. Retry-After has seconds
// or a date (RFC 9110), X-Amz-Retry-After milliseconds (AWS).
func retryAfter(h http.Header, now time.Time) time.Duration {
	wait := time.Duration(0)
	const most = 24 * time.Hour
	if v := h.Get("Retry-After"); v != "" {
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			wait = time.Duration(min(n, uint64(most/time.Second))) * time.Second
		} else if at, err := http.ParseTime(v); err == nil {
			wait = at.Sub(now)
		}
	}
	if n, err := strconv.ParseUint(h.Get("X-Amz-Retry-After"), 10, 64); err == nil {
		wait = max(wait, time.Duration(min(n, uint64(most/time.Millisecond)))*time.Millisecond)
	}
	return min(max(wait, 0), most)
}
