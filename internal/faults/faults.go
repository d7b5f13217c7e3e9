// Package faults is what goes wrong with the services, as rows of a matrix: for
// the tests that hold the plugins against all of it, under a real fluent-bit
// (e2e) and without one (internal/host).
package faults

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// Sink is a plugin with the place that its records go to.
type Sink struct {
	Plugin    string
	Operation string      // that carries records
	Options   [][2]string // that name the place
}

// Sinks are those of the three plugins.
var Sinks = []Sink{
	{"cloudwatch", "PutLogEvents", [][2]string{{"log_group_name", "e2e"}, {"log_stream_name", "all"}, {"auto_create_group", "true"}}},
	{"kinesis", "PutRecords", [][2]string{{"stream", "e2e"}}},
	{"firehose", "PutRecordBatch", [][2]string{{"delivery_stream", "e2e"}}},
}

// Total is how many records the service has accepted.
func (s Sink) Total(aws *awslocal.Server) int {
	switch s.Plugin {
	case "cloudwatch":
		return aws.Logs().Total()
	case "kinesis":
		return aws.Kinesis().Total()
	}
	return aws.Firehose().Total()
}

// Records returns the data of all records that are there.
func (s Sink) Records(aws *awslocal.Server) (all [][]byte) {
	switch s.Plugin {
	case "cloudwatch":
		if st := aws.Logs().Stream("e2e", "all"); st != nil {
			for _, m := range st.Messages() {
				all = append(all, []byte(m))
			}
		}
	case "kinesis":
		if st := aws.Kinesis().Stream("e2e"); st != nil {
			for _, r := range st.Records() {
				all = append(all, r.Data)
			}
		}
	case "firehose":
		if st := aws.Firehose().Stream("e2e"); st != nil {
			for _, r := range st.Records() {
				all = append(all, bytes.TrimSuffix(r, []byte("\n")))
			}
		}
	}
	return all
}

// Make makes the place, but for the log stream: that is the plugin's business.
func (s Sink) Make(aws *awslocal.Server) {
	switch s.Plugin {
	case "cloudwatch":
		aws.Logs().CreateGroup("e2e")
	case "kinesis":
		_ = aws.Kinesis().CreateStream("e2e", 4) // fails if it is there, which is as good
	case "firehose":
		_ = aws.Firehose().CreateStream("e2e")
	}
}

// Fault is a row of the matrix: what goes wrong, and what that may cost.
type Fault struct {
	Name string
	// Plugins are those that it can happen to; nil means all.
	Plugins []string
	// Config changes the server before it starts.
	Config func(*awslocal.Config)
	// Set makes the server go wrong. Without it, Down or Missing says how it does.
	Set func(*awslocal.Server, Sink)
	// Options are added to those of the output.
	Options [][2]string

	// Down: the endpoint cannot be reached for a while, with half of the records
	// still to come.
	Down bool
	// Missing: the stream is not there for a while, and cannot be made.
	Missing bool
	// Ready: the fault needs calls that would be accepted without it, so the
	// stream is there from the start.
	Ready bool
	// Renewed: credentials come from a place that has new ones.
	Renewed bool
	// Lossy: answers get lost, and the records of their calls arrive twice.
	Lossy bool
}

// All are the faults. A timeout of calls, where one is needed, is four units; a
// slow answer takes one.
func All(unit time.Duration) []Fault {
	timeout := [][2]string{{"http_request_timeout", (4 * unit).String()}}
	return []Fault{
		{Name: "endpoint down", Down: true},
		{Name: "missing stream", Missing: true},
		{Name: "hang", Set: first(3, 0.02, awslocal.Fault{Kind: awslocal.Hang}), Options: timeout},
		{Name: "trickled answer", Ready: true, Lossy: true, Set: first(2, 0, awslocal.Fault{Kind: awslocal.Trickle, Delay: unit / 2}), Options: timeout},
		{Name: "expired credentials", Renewed: true, Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.ExpiredToken})},
		{Name: "throttle", Set: first(3, 0.3, awslocal.Fault{Kind: awslocal.Throttle})},
		{Name: "partial refusal", Ready: true, Set: partial},
		{Name: "status 500", Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.Error})},
		{Name: "status 503", Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.Error, Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"})},
		{Name: "HTML 502", Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.HTML})},
		{Name: "reset", Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.Reset})},
		{Name: "stale connection", Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.Stale})},
		{Name: "slow answer", Set: first(2, 0.3, awslocal.Fault{Kind: awslocal.Slow, Delay: unit})},
		{Name: "lost answer", Ready: true, Lossy: true, Set: func(aws *awslocal.Server, s Sink) {
			aws.Script(s.Operation, awslocal.Fault{Kind: awslocal.LostAnswer}, awslocal.Fault{Kind: awslocal.CutAnswer},
				awslocal.Fault{Kind: awslocal.None}, awslocal.Fault{Kind: awslocal.LostAnswer})
		}},
		{Name: "wrong sequence token", Plugins: []string{"cloudwatch"}, Config: func(c *awslocal.Config) { c.SequenceTokens = true },
			Set: first(1, 0.1, awslocal.Fault{Kind: awslocal.Error, Status: http.StatusBadRequest, Code: "InvalidSequenceTokenException"})},
		// Without a budget each flush that meets a fault is given back to Fluent Bit:
		// it is the ledger alone that keeps records from going out twice.
		{Name: "throttle, no budget", Set: first(2, 0.1, awslocal.Fault{Kind: awslocal.Throttle}), Options: [][2]string{{"retry_budget", "0"}}},
		{Name: "partial refusal, no budget", Plugins: []string{"kinesis", "firehose"}, Options: [][2]string{{"retry_budget", "0"}},
			Set: first(2, 0.5, awslocal.Fault{Kind: awslocal.Partial, Rate: 0.2})},
	}
}

// Of says whether the fault can happen to a plugin.
func (f Fault) Of(s Sink) bool { return f.Plugins == nil || slices.Contains(f.Plugins, s.Plugin) }

// first plays a fault for the first n calls that carry records, and then by chance.
func first(n int, probability float64, x awslocal.Fault) func(*awslocal.Server, Sink) {
	return func(aws *awslocal.Server, s Sink) {
		for range n {
			aws.Script(s.Operation, x)
		}
		if x.Probability = probability; probability > 0 {
			aws.SetFaults(s.Operation, []awslocal.Fault{x})
		}
	}
}

// rejectedEach is how many events a call to CloudWatch Logs loses for good.
const rejectedEach = 3

// partial refuses entries for now, or events for good: CloudWatch Logs knows
// nothing between.
func partial(aws *awslocal.Server, s Sink) {
	if s.Plugin == "cloudwatch" {
		first(4, 0, awslocal.Fault{Kind: awslocal.RejectEvents, TooOld: rejectedEach})(aws, s)
		return
	}
	first(2, 1, awslocal.Fault{Kind: awslocal.Partial, Rate: 0.2})(aws, s)
}

// Refused is how many records the service has refused for good: these are to be
// counted as dropped.
func Refused(aws *awslocal.Server, s Sink) int {
	return rejectedEach * aws.FaultsPlayed()[s.Operation][awslocal.RejectEvents]
}

// Start starts a server with the place of a sink, unless it is to be missing,
// and lets it go wrong.
func (f Fault) Start(s Sink, cfg awslocal.Config) (*awslocal.Server, error) {
	if f.Config != nil {
		f.Config(&cfg)
	}
	aws, err := awslocal.Start(cfg)
	if err != nil {
		return nil, err
	}
	if !f.Missing && s.Plugin != "cloudwatch" { // which makes its own
		s.Make(aws)
	}
	if f.Ready && s.Plugin == "cloudwatch" {
		aws.Logs().CreateStream("e2e", "all")
	}
	if f.Set != nil {
		f.Set(aws, s)
	}
	return aws, nil
}

// Output are the options of an output for the sink, with those of the fault.
func (f Fault) Output(s Sink, aws *awslocal.Server) (options [][2]string) {
	options = append(options, [2]string{"region", "us-east-2"}, [2]string{"endpoint", aws.URL})
	for _, o := range s.Options {
		if f.Missing && o[0] == "auto_create_group" {
			o[1] = "false"
		}
		options = append(options, o)
	}
	if f.Renewed {
		options = append(options, [2]string{"credentials_endpoint", aws.CredentialsURI()})
	}
	return append(options, f.Options...)
}
