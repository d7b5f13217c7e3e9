package awsx

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"aws-for-fluent-bit/internal/delivery"
)

// actions says what a class of failure asks for where a service's own table
// does not say otherwise.
var actions = map[Class]delivery.Action{
	Throttled:          delivery.Again,
	ServerError:        delivery.Again,
	Timeout:            delivery.Again,
	ConnectionNotSent:  delivery.Again,
	ConnectionLost:     delivery.Again,
	NoCredentials:      delivery.Again, // the place they come from may be slow or busy
	ExpiredCredentials: delivery.Refresh,
	AccessDenied:       delivery.Later,
	NotFound:           delivery.Later,
	AlreadyExists:      delivery.Again,
	Invalid:            delivery.Split,
	TooLarge:           delivery.Split,
	Canceled:           delivery.Later,
	Unknown:            delivery.Again, // as a proxy's page: it says nothing of the records
}

// Verdict says what an error of a call means: by its code in table, which a
// service has for what means something else there, or else by its class.
func Verdict(err error, table map[string]delivery.Action) delivery.Verdict {
	f := Classify(err)
	action, ok := table[f.Code]
	switch {
	case f.Class == ConnectionLost && f.Stale:
		action = delivery.AgainNow // most likely it was closed before the request came
	case !ok || f.Class == NoCredentials: // then the code is STS's, and not in the table's terms
		action = actions[f.Class]
	}
	return delivery.Verdict{
		Action: action,
		Pause:  f.RetryAfter,
		Slow:   f.Class == Throttled && action == delivery.Again,
		Reason: f.reason(err),
	}
}

// maxReason bounds what a log line quotes of an error.
const maxReason = 400

// reason is a failure as a person is to read it.
func (f Failure) reason(err error) string {
	text := err.Error()
	var api smithy.APIError
	if errors.As(err, &api) && f.Code != "" {
		text = f.Code + ": " + withoutValue(api.ErrorMessage())
		if f.RequestID != "" {
			text += fmt.Sprintf(" (status %d, request id %s)", f.Status, f.RequestID)
		}
	}
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// withoutValue leaves out what validation errors quote of the request, which may
// be a part of a record: "Value 'x' at 'records.1.member.partitionKey' failed".
func withoutValue(text string) string {
	before, rest, found := strings.Cut(text, "Value '")
	if !found {
		return text
	}
	if i := strings.LastIndex(rest, "' at '"); i >= 0 {
		return before + "Value at '" + rest[i+len("' at '"):]
	}
	return before + "a value is refused"
}
