package cloudwatch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/emf"
	"aws-for-fluent-bit/internal/fields"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/parts"
	"aws-for-fluent-bit/internal/template"
)

// config is what an output's options say. Each option's default stands here
// and in the README's table, nowhere else.
type config struct {
	aws   awsx.Options
	names nameConfig

	pick           fields.Pick
	emf            emf.Config
	allEMF         bool  // log_format json/emf: every call has the header x-amzn-logs-format
	addEntity      bool  // add_entity: calls say what their events belong to
	autoFormat     bool  // log_format auto: documents are told from other records
	otelAttributes bool  // otel_attributes
	createGroup    bool  // auto_create_group
	createStream   bool  // auto_create_stream
	groupTags      []tag // for groups that are created, or updated
	tagTemplates   tagTemplates
	groupClass     string       // STANDARD, INFREQUENT_ACCESS, ESSENTIALS or DELIVERY; "" is the service's default
	retentionDays  int          // 0: left alone
	kmsKey         string       // ARN of the key for groups that are created, or updated; "": none is named
	protect        *bool        // deletion protection of such groups; nil: left alone
	existing       string       // what is done to groups that were there: keepGroup, retentionOfOld, updateGroup
	asked          settings     // all that the options have a say on
	maxEvent       int          // bytes of one message
	tooBig         parts.TooBig // what becomes of one that has more
	outOfRange     outOfRange   // what becomes of events whose time the service does not take
	letterStream   string       // dead_letter_stream; "": none
	gzip           bool         // request_compression
	concurrency    int          // calls in flight within one flush
}

type tag struct{ key, value string }

// legal says whether CreateLogGroup takes the tag.
func (t tag) legal() bool {
	return utf8.RuneCountInString(t.key) <= maxTagKey && utf8.RuneCountInString(t.value) <= maxTagValue &&
		tagText(t.key) && tagText(t.value) && !strings.HasPrefix(strings.ToLower(t.key), "aws:")
}

// retentionDays are the values that PutRetentionPolicy takes.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731,
	1096, 1827, 2192, 2557, 2922, 3288, 3653}

// What CreateLogGroup takes for tags.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
const (
	maxGroupTags = 50
	maxTagKey    = 128 // characters
	maxTagValue  = 256 // characters
	maxKMSKey    = 256 // bytes
)

// kmsKeyARN is told from the bare id and the alias's name that other services
// take as well. Whether there is such a key, and it may be used, the service knows.
const kmsKeyARN = options.Pattern(`^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]+:[a-z]+/.+$`)

// tagText says whether a tag's key or value has only characters that CreateLogGroup
// takes. https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
func tagText(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	})
}

// Check returns all that is wrong with the options that get gives. It starts
// nothing, calls nobody, and asks for every option that the plugin has.
func Check(get options.Getter) error {
	return delivery.Check(get, func(s *options.Set) { parseConfig(s) })
}

// parseConfig reads all options; s collects what is wrong with them.
func parseConfig(s *options.Set) config {
	c := config{
		aws:            awsx.ParseOptions(s, "logs"),
		names:          parseNames(s),
		pick:           fields.ParsePick(s),
		emf:            emf.ParseConfig(s),
		addEntity:      s.Bool("add_entity", false),
		otelAttributes: s.Bool("otel_attributes", false),
		createGroup:    s.Bool("auto_create_group", false),
		createStream:   s.Bool("auto_create_stream", true),
		groupClass:     strings.ToUpper(s.OneOf("log_group_class", "", "standard", "infrequent_access", "essentials", "delivery")),
		kmsKey:         s.String("log_group_kms_key", ""),
		existing:       s.OneOf("existing_group", defaultExisting, keepGroup, retentionOfOld, updateGroup),
		maxEvent:       s.Size("max_event_size", maxEventBytes, parts.MinLimit, maxEventBytes),
		tooBig:         parts.ParseTooBig(s),
		outOfRange:     parseOutOfRange(s),
		letterStream:   parseLetterStream(s),
		gzip:           s.OneOf("request_compression", "none", "none", "gzip") == "gzip",
		concurrency:    s.Int("concurrency", 8, 1, 64),
	}
	format := s.OneOf("log_format", "json", "json", "json/emf", "auto")
	c.allEMF, c.autoFormat = format == "json/emf", format == "auto"
	if v, ok := s.Lookup("log_retention_days"); ok {
		n, err := strconv.Atoi(v)
		if err != nil || n != 0 && !slices.Contains(retentionDays, n) {
			s.Fail("log_retention_days", v, fmt.Sprintf("0 (leave it as it is) or one of %s", join(retentionDays)))
		}
		c.retentionDays = n
	}
	if c.kmsKey != "" && (len(c.kmsKey) > maxKMSKey || !kmsKeyARN.Match(c.kmsKey)) {
		s.Fail("log_group_kms_key", c.kmsKey, "the ARN of a KMS key, as arn:aws:kms:us-east-2:123456789012:key/0123")
	}
	if _, ok := s.Lookup("log_group_deletion_protection"); ok {
		on := s.Bool("log_group_deletion_protection", false)
		c.protect = &on
	}
	c.parseGroupTags(s)
	c.asked = c.settings()
	return c
}

// parseGroupTags reads the tags of log groups.
func (c *config) parseGroupTags(s *options.Set) {
	for _, p := range s.Pairs("new_log_group_tags") {
		t := tag{p[0], p[1]}
		if strings.Contains(t.value, "$") {
			c.parseTagTemplate(s, &t)
		}
		if !t.legal() {
			s.Fail("new_log_group_tags", t.key+"="+t.value,
				"letters, digits, spaces and _.:/=+-@, up to 128 for a key that does not begin with aws:, up to 256 for a value")
		}
		c.groupTags = append(c.groupTags, t)
	}
	if len(c.groupTags) > maxGroupTags {
		s.Conflict("option new_log_group_tags: has %d tags: allowed are %d", len(c.groupTags), maxGroupTags)
	}
}

// parseTagTemplate reads a tag's value that is a template. In the tag nothing is
// left of it, so that the tag's key alone is to be legal.
func (c *config) parseTagTemplate(s *options.Set, t *tag) {
	tm, err := template.ParseAccessor(t.value)
	if err != nil {
		s.Conflict("option new_log_group_tags: %w", err)
		tm = &template.Template{}
	}
	if c.tagTemplates == nil {
		c.tagTemplates = make(tagTemplates)
	}
	c.tagTemplates[t.key] = tm
	c.names.tags = append(c.names.tags, tm)
	t.value = ""
}

func join(numbers []int) string {
	var b strings.Builder
	for i, n := range numbers {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}
