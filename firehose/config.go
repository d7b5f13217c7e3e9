package firehose

import (
	"regexp"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
	"aws-for-fluent-bit/internal/template"
)

// What one PutRecordBatch call takes.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
const (
	maxStreamName  = 64
	maxRecords     = 500
	maxBytes       = 4 << 20     // of data, before base64
	maxRecordBytes = 1_000 << 10 // of one record's data, before base64
)

// config is what an output's options say. Each option's default stands here
// and in the README's table, nowhere else.
type config struct {
	aws         awsx.Options
	stream      string             // delivery_stream
	streamOf    *template.Template // instead, of tags
	letters     string             // dead_letter_stream, as delivery_stream; "": none
	form        records.Form
	concurrency int // calls in flight within one flush
}

// streamName is what Firehose takes for a name.
// https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// Check returns all that is wrong with the options that get gives. It starts
// nothing, calls nobody, and asks for every option that the plugin has.
func Check(get options.Getter) error {
	s := options.New(get)
	parseConfig(s)
	delivery.New(delivery.Env{}, s)
	return s.Err()
}

// parseConfig reads all options; s collects what is wrong with them.
func parseConfig(s *options.Set) config {
	c := config{
		aws:    awsx.ParseOptions(s, "firehose"),
		stream: s.Required("delivery_stream"),
		// A newline ends each record, as in both of the peers: Firehose writes
		// records into a file one behind the other.
		form:        records.ParseForm(s, true, maxRecordBytes, maxRecordBytes),
		concurrency: s.Int("concurrency", 4, 1, 64),
	}
	c.streamOf = checkStream(s, "delivery_stream", c.stream)
	c.letters = s.String("dead_letter_stream", "")
	checkStream(s, "dead_letter_stream", c.letters)
	return c
}

// checkStream checks an option that names a delivery stream, which may be a
// template of the tag: then it returns that.
func checkStream(s *options.Set, option, stream string) *template.Template {
	t, isTemplate := records.ParseStream(s, option)
	if stream != "" && !isTemplate && !streamName.MatchString(stream) {
		s.Fail(option, stream, "1 to 64 letters, digits and the characters _ . -")
	}
	return t
}
