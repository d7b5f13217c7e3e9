package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// verdictCase is a documented error and what is to be done about it.
type verdictCase struct {
	code   string
	status int
	action delivery.Action
	slow   bool
}

// common are the errors that every call may meet.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
var common = []verdictCase{
	{"AccessDeniedException", 403, delivery.Later, false},
	{"ExpiredTokenException", 403, delivery.Refresh, false},
	{"IncompleteSignature", 403, delivery.Refresh, false},
	{"InternalFailure", 500, delivery.Again, false},
	{"MalformedHttpRequestException", 400, delivery.Again, false},
	{"NotAuthorized", 401, delivery.Later, false},
	{"OptInRequired", 403, delivery.Later, false},
	{"RequestAbortedException", 400, delivery.Again, false},
	{"RequestExpired", 400, delivery.Refresh, false},
	{"RequestTimeoutException", 408, delivery.Again, false},
	{"ServiceUnavailable", 503, delivery.Again, false},
	{"ThrottlingException", 400, delivery.Again, true},
	{"UnrecognizedClientException", 403, delivery.Refresh, false},
	{"UnknownOperationException", 404, delivery.Later, false},
	{"InvalidAction", 400, delivery.Later, false},
	{"InvalidClientTokenId", 403, delivery.Refresh, false},
	{"MissingAuthenticationToken", 403, delivery.Refresh, false},
	{"SignatureDoesNotMatch", 403, delivery.Refresh, false},
	{"InvalidSignatureException", 403, delivery.Refresh, false},
	{"ExpiredToken", 400, delivery.Refresh, false},
	{"Throttling", 400, delivery.Again, true},
	{"InternalServerError", 500, delivery.Again, false},
	{"", 429, delivery.Again, true},
	{"", 502, delivery.Again, false}, // a page of a proxy
	{"", 503, delivery.Again, false},
	{"", 504, delivery.Again, false},
	{"", 404, delivery.Again, false},
	{"", 403, delivery.Later, false},
	{"", 302, delivery.Again, false},
}

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
// The two about sequence tokens are looked at before the table is.
var putLogEvents = append([]verdictCase{
	{"InvalidParameterException", 400, delivery.Split, false},
	{"ResourceNotFoundException", 400, delivery.Create, false},
	{"ServiceUnavailableException", 500, delivery.Again, false},
	{"UnrecognizedClientException", 400, delivery.Refresh, false},
	{"SerializationException", 400, delivery.Split, false},
	{"ValidationError", 400, delivery.Split, false},
	{"ValidationException", 400, delivery.Split, false},
	{"RequestEntityTooLargeException", 413, delivery.Split, false},
	{"", 413, delivery.Split, false},
}, common...)

// making are those of CreateLogStream and CreateLogGroup.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var making = append([]verdictCase{
	{"InvalidParameterException", 400, delivery.Later, false},
	{"LimitExceededException", 400, delivery.Later, false},
	{"OperationAbortedException", 400, delivery.Again, false},
	{"ResourceNotFoundException", 400, delivery.Again, false}, // gone again
	{"ServiceUnavailableException", 500, delivery.Again, false},
	{"ValidationException", 400, delivery.Later, false},
}, common...)

// refused makes calls of a service that refuses them in one way, and returns the
// errors that the SDK makes of it.
func refused(t *testing.T, c verdictCase) (*Plugin, map[string]error) {
	t.Helper()
	url, _ := scripted(t, func(_ string, _ int, _ []byte, w http.ResponseWriter) {
		if c.code == "" {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("<html>no</html>"))
			return
		}
		refusal(w, c.status, c.code)
	})
	p, _, err := open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	ctx, errs := context.Background(), make(map[string]error)
	_, errs["PutLogEvents"] = awsx.PutLogEvents(ctx, p.client, "g", "s", awsx.NewBody([]byte("{}")))
	_, errs["CreateLogStream"] = p.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")})
	_, errs["CreateLogGroup"] = p.client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("g")})
	_, errs["PutRetentionPolicy"] = p.client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("g"), RetentionInDays: aws.Int32(1)})
	return p, errs
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, c verdictCase, got delivery.Verdict, slow bool) {
		t.Helper()
		if got.Action != c.action || got.Slow != slow || c.code != "" && !strings.Contains(got.Reason, c.code) || got.Reason == "" {
			t.Errorf("got %+v, want %v, slow %v", got, c.action, slow)
		}
	}
	for _, c := range putLogEvents {
		t.Run(fmt.Sprint("PutLogEvents ", c.status, c.code), func(t *testing.T) {
			t.Parallel()
			_, errs := refused(t, c)
			check(t, c, verdict(errs["PutLogEvents"]), c.slow)
		})
	}
	for _, c := range making {
		t.Run(fmt.Sprint("making ", c.status, c.code), func(t *testing.T) {
			t.Parallel()
			_, errs := refused(t, c)
			for _, operation := range []string{"CreateLogStream", "CreateLogGroup", "PutRetentionPolicy"} {
				got := createVerdict(errs[operation])
				check(t, c, got, false) // the events of other streams are not to go slower
				if verdict(errs[operation]).Slow != c.slow {
					t.Errorf("%s: slow is not %v for the making of others", operation, c.slow)
				}
			}
			got := createVerdict(&makingError{"log group", errs["CreateLogGroup"]})
			check(t, c, got, false)
			if !strings.HasPrefix(got.Reason, "cannot create the log group: ") {
				t.Errorf("got %q", got.Reason)
			}
		})
	}
}

// TestAlreadyExistsAndMissing are the two errors that are answers.
func TestAlreadyExistsAndMissing(t *testing.T) {
	t.Parallel()
	for code, want := range map[string][2]bool{
		"ResourceAlreadyExistsException": {true, false},
		"ResourceNotFoundException":      {false, true},
		"InvalidParameterException":      {false, false},
	} {
		_, errs := refused(t, verdictCase{code: code, status: 400})
		for _, operation := range []string{"CreateLogStream", "CreateLogGroup"} {
			if got := [2]bool{alreadyExists(errs[operation]), missing(errs[operation])}; operation == "CreateLogStream" && got != want || got[0] != want[0] {
				t.Errorf("%s %s: got %v", operation, code, got)
			}
		}
	}
	if alreadyExists(nil) || missing(nil) || missing(errNoTime) {
		t.Error("no error is one")
	}
}

// TestOwnVerdicts are those of errors that no service has made.
func TestOwnVerdicts(t *testing.T) {
	off := createVerdict(&switchedOffError{"ResourceNotFoundException: no such group", "auto_create_group"})
	if off.Action != delivery.Later || off.Reason != "ResourceNotFoundException: no such group, and option auto_create_group is off" {
		t.Errorf("got %+v", off)
	}
	late := createVerdict(&makingError{"log stream", errNoTime})
	if late.Action != delivery.Again || late.Slow || !strings.HasPrefix(late.Reason, "cannot create the log stream: no time is left") {
		t.Errorf("got %+v", late)
	}
	if !errors.Is(errNoTime, context.DeadlineExceeded) {
		t.Error("no time is no deadline")
	}
	if got := createVerdict(&makingError{"log stream", context.Canceled}); got.Action != delivery.Later {
		t.Errorf("got %+v", got)
	}
}
