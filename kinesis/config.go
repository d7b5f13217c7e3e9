package kinesis

import (
	"strings"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records"
)

// What one PutRecords call takes. A stream takes records of 1 MiB until it is
// set to more (UpdateMaxRecordSize).
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
// https://docs.aws.amazon.com/streams/latest/dev/large-records.html
const (
	maxStreamName  = 128
	maxRecords     = 500
	maxBytes       = 10 << 20 // of data before base64, and partition keys
	recordBytes    = 1 << 20  // of one record's data and partition key, by default
	maxRecordBytes = 10 << 20 // the most that a stream can be set to

	// aggregateBytes is how large an aggregate becomes by default. A shard takes
	// 1 MiB a second, so one that is as large as a record may be uses up a shard's
	// second, and is refused as a whole; beyond 25 KB, Kinesis' unit of billing,
	// larger ones gain nothing.
	aggregateBytes = 256 << 10
	minAggregate   = 4 << 10
)

// config is what an output's options say. Each option's default stands here
// and in the README's table, nowhere else.
type config struct {
	records.Config
	key         *partitionKey
	aggregation bool   // the form of the Kinesis Producer Library
	aggregate   int    // bytes of an aggregate, of either kind
	format      string // of requests: auto, cbor or json
}

// What Kinesis takes for a stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
const (
	streamName = options.Pattern(`^[a-zA-Z0-9_.-]{1,128}$`)
	streamARN  = options.Pattern(`^arn:aws[\w-]*:kinesis:([\w-]+):\d{12}:stream/[a-zA-Z0-9_.-]{1,128}$`)
)

// Check returns all that is wrong with the options that get gives. It starts
// nothing, calls nobody, and asks for every option that the plugin has.
func Check(get options.Getter) error {
	return delivery.Check(get, func(s *options.Set) { parseConfig(s) })
}

// parseConfig reads all options; s collects what is wrong with them.
func parseConfig(s *options.Set) config {
	c := config{
		Config: records.Config{
			AWS:  awsx.ParseOptions(s, "kinesis"),
			Form: records.ParseForm(s, s.Bool("append_newline", false), recordBytes, maxRecordBytes),
		},
		key:         parsePartitionKey(s),
		aggregation: s.Bool("aggregation", false),
		format:      s.OneOf("request_format", "auto", "auto", "cbor", "json"),
	}
	c.ParseStreams(s, "stream", func(option, stream string) { checkStream(s, option, stream, c.AWS.Region) })
	if c.aggregation && c.Form.Concatenates() {
		s.Conflict("options aggregation and simple_aggregation: both are on, allowed is one of them")
	}
	c.aggregate = min(c.Form.Room(), s.Size("aggregation_max_size", aggregateBytes, minAggregate, maxRecordBytes))
	c.Concurrency = c.parseConcurrency(s)
	return c
}

func checkStream(s *options.Set, option, stream, region string) {
	if streamName.Match(stream) {
		return
	}
	arn := streamARN.Find(stream)
	if arn == nil {
		s.Fail(option, stream, "a name of 1 to 128 letters, digits and the characters _ . -, or a stream's ARN")
		return
	}
	// A call goes to one region, and its service knows the streams of that one only.
	if region != "" && region != arn[1] {
		s.Conflict("options %s and region: the stream is in region %q, option region is %q", option, arn[1], region)
	}
}

// parseConcurrency reads how many calls of a flush may be in flight. Records of
// one partition key are to arrive in their order, so with such keys there is
// one call at a time unless the options say otherwise.
//
// experimental_concurrency is AWS's Go plugin's name for it. There a chunk is
// acknowledged before it is sent; here never. Its _retries are taken as they are
// there and mean nothing any more: retry_budget says how long to try.
func (c *config) parseConcurrency(s *options.Set) int {
	n := records.InParallel
	if c.key != nil {
		n = 1
	}
	if old := s.Int("experimental_concurrency", 0, 0, 10); old > 0 {
		n = old
	}
	s.Int("experimental_concurrency_retries", 4, 0, 1000)
	return s.Int("concurrency", n, 1, 64)
}

// byARN says whether a stream is named by its ARN.
func byARN(stream string) bool { return strings.HasPrefix(stream, "arn:") }
