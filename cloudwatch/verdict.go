package cloudwatch

import (
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
var actions = map[string]delivery.Action{
	"ResourceNotFoundException": delivery.Create, // the group or the stream, as create finds out
	"LimitExceededException":    delivery.Later,  // the account has as many groups as it may
	"InvalidAction":             delivery.Later,  // the endpoint is not CloudWatch Logs
	"UnknownOperationException": delivery.Later,
}

// verdict says what an error of a call means.
func verdict(err error) delivery.Verdict {
	var notAllowed *notAllowedError
	if errors.As(err, &notAllowed) {
		return delivery.Verdict{Action: delivery.Later, Reason: err.Error()}
	}
	return awsx.Verdict(err, actions)
}

// createVerdict says what an error of creating a group or stream means for the
// events that wait for it. None of them is to blame.
func createVerdict(err error) delivery.Verdict {
	v := verdict(err)
	switch v.Action {
	case delivery.Create: // the group was deleted in the meantime
		v.Action = delivery.Again
	case delivery.Split:
		v.Action = delivery.Later
	}
	return v
}

// notAllowedError says that something is missing which the options do not
// allow to create.
type notAllowedError struct {
	kind, option string
	target       target
}

func (e *notAllowedError) Error() string {
	return fmt.Sprintf("%s of %q/%q does not exist, and option %s is off", e.kind, e.target.group, e.target.stream, e.option)
}

func alreadyExists(err error) bool {
	var exists *types.ResourceAlreadyExistsException
	return errors.As(err, &exists)
}

func missing(err error) bool {
	var gone *types.ResourceNotFoundException
	return errors.As(err, &gone)
}
