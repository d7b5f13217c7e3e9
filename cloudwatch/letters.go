package cloudwatch

import (
	"strings"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
)

// parseLetterStream reads the option dead_letter_stream.
func parseLetterStream(s *options.Set) string {
	const option = "dead_letter_stream"
	stream, _ := s.Lookup(option)
	if strings.Contains(stream, "$") {
		s.Fail(option, stream, "a log stream's name, no template")
	} else {
		checkStreamName(s, option, stream)
	}
	return stream
}

// openLetters opens the output for letters of records that are given up, if the
// options ask for it: they go to a log stream in the log group of their record.
func (p *Plugin) openLetters(env delivery.Env, get options.Getter) error {
	if p.letterStream == "" {
		return nil
	}
	own := map[string]string{
		"log_stream_name": p.letterStream, "log_stream_template": "", "log_stream_prefix": "",
		"metric_namespace": "", "metric_dimensions": "", "otel_attributes": "", "add_entity": "",
		"log_format": "", "max_event_size": "", "out_of_range": "", "out_of_range_stream": "",
	}
	group := &p.config.names.group
	if group.perRecord() {
		// A letter has not what the record's group is made of, but the group.
		own["log_group_name"], own["log_group_template"] = delivery.LetterGroup, ""
	}
	return p.OpenLetters(env, get, delivery.LetterOutput{Options: own, Bytes: maxEventBytes, Group: group.defaultName,
		Open: func(env delivery.Env, get options.Getter) (delivery.Side, error) { return New(env, get) }})
}

// in says where the record in hand is to go, for its letter.
func (s *sender) in(t target) { s.flush.Group, s.flush.Stream = t.group, t.stream }

// cause is why events of a target are given up.
func (t target) cause(why delivery.Reason, text string) delivery.Cause {
	return delivery.Cause{Why: why, Text: text, Group: t.group, Stream: t.stream}
}
