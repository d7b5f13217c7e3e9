package cloudwatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// actions are the error codes of PutLogEvents, CreateLogStream and
// CreateLogGroup that ask for something else here than what awsx makes of them
// for every service.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
var actions = map[string]delivery.Action{
	"ResourceNotFoundException": delivery.Create, // the group or the stream, as create finds out
	"LimitExceededException":    delivery.Later,  // the account has as many groups as it may
	"InvalidAction":             delivery.Later,  // the endpoint is not CloudWatch Logs
	"UnknownOperationException": delivery.Later,

	// Of the way that the request took, not of what is in it.
	"RequestAbortedException":       delivery.Again,
	"MalformedHttpRequestException": delivery.Again,
}

// verdict says what an error of PutLogEvents means.
func verdict(err error) delivery.Verdict { return awsx.Verdict(err, actions) }

// createVerdict says what an error of making a group or stream means for the
// events that wait for it. None of them is to blame.
func createVerdict(err error) delivery.Verdict {
	var off *switchedOffError
	if errors.As(err, &off) {
		return delivery.Verdict{Action: delivery.Later, Reason: err.Error()}
	}
	v := verdict(err)
	switch v.Action {
	case delivery.Create: // the group was deleted in the meantime
		v.Action = delivery.Again
	case delivery.Split:
		v.Action = delivery.Later
	}
	v.Slow = false // Plugin.making has been told
	var making *makingError
	if errors.As(err, &making) {
		v.Reason = "cannot create the " + making.what + ": " + verdict(making.err).Reason
	}
	return v
}

// makingError says that a stream, or its group, could not be made.
type makingError struct {
	what string // log group or log stream
	err  error
}

func (e *makingError) Error() string { return "cannot create the " + e.what + ": " + e.err.Error() }
func (e *makingError) Unwrap() error { return e.err }

// switchedOffError says that something is missing which the options do not
// allow to make.
type switchedOffError struct {
	missing string // what the service says is
	option  string
}

func (e *switchedOffError) Error() string {
	return fmt.Sprintf("%s, and option %s is off", e.missing, e.option)
}

// errNoTime is the end of a wait for what another flush does, or for a call's turn.
var errNoTime = fmt.Errorf("no time is left for it in this flush: %w", context.DeadlineExceeded)

func alreadyExists(err error) bool {
	var exists *types.ResourceAlreadyExistsException
	return errors.As(err, &exists)
}

func missing(err error) bool {
	var gone *types.ResourceNotFoundException
	return errors.As(err, &gone)
}
