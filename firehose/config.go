package firehose

import (
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
)

// What one PutRecordBatch call takes.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
const (
	maxStreamName  = 64
	maxRecords     = 500
	maxBytes       = 4 << 20     // of data, before base64
	maxRecordBytes = 1_000 << 10 // of one record's data, before base64
)

// streamName is what Firehose takes for a name.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
const streamName = options.Pattern(`^[a-zA-Z0-9_.-]{1,64}$`)

// Check returns all that is wrong with the options that get gives. It starts
// nothing, calls nobody, and asks for every option that the plugin has.
func Check(get options.Getter) error {
	return delivery.Check(get, func(s *options.Set) { parseConfig(s) })
}

// parseConfig reads all options; s collects what is wrong with them.
func parseConfig(s *options.Set) records.Config {
	c := records.Config{
		AWS: awsx.ParseOptions(s, "firehose"),
		// A newline ends each record, as in both of the peers: Firehose writes
		// records into a file one behind the other.
		Form:        records.ParseForm(s, true, maxRecordBytes, maxRecordBytes),
		Concurrency: s.Int("concurrency", records.InParallel, 1, 64),
	}
	c.ParseStreams(s, "delivery_stream", func(option, stream string) {
		if !streamName.Match(stream) {
			s.Fail(option, stream, "1 to 64 letters, digits and the characters _ . -")
		}
	})
	return c
}
