package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/kinesis"
)

// plugins are the outputs that are checked.
var plugins = map[string]func(options.Getter) error{
	"cloudwatch": cloudwatch.Check,
	"kinesis":    kinesis.Check,
	"firehose":   firehose.Check,
}

// elsewhere are options that name files: they are where Fluent Bit runs, not here.
var elsewhere = []string{"ca_bundle", "credentials_file", "ledger_path", "dead_letter_file"}

// finding is something to say about an output.
type finding struct {
	file string
	line int
	what string // output cloudwatch, or the like
	text string
	hint bool // Fluent Bit starts all the same
}

func (f finding) String() string {
	kind := ""
	if f.hint {
		kind = "hint: "
	}
	return fmt.Sprintf("%s:%d: %s: %s%s", f.file, f.line, f.what, kind, f.text)
}

// check returns how many outputs of ours there are, and what is to be said of them.
func check(c *config) (outputs int, all []finding) {
	var ours []*output
	service := &section{}
	for _, s := range c.sections {
		switch s.kind {
		case "service":
			service = s
		case "output":
			name, _ := s.get("name")
			name, _ = c.expand(name)
			if name = strings.ToLower(name); plugins[name] != nil {
				ours = append(ours, &output{config: c, section: s, plugin: name})
			}
		}
	}
	if len(ours) == 0 {
		return 0, []finding{{file: c.files[0], line: 1, what: "outputs", text: "none of them is cloudwatch, kinesis or firehose"}}
	}
	if v, line := service.get("daemon"); isOn(v) {
		all = append(all, finding{service.file, line, "service", "option daemon: go plugins and fluent bit's daemon mode do not go together", false})
	}
	for _, o := range ours {
		o.check()
		if v, _ := service.get("hot_reload"); isOn(v) && o.workers() > 0 {
			o.say(true, "workers", "option hot_reload of the service: fluent bit 5.1.1 does not survive a reload of a go plugin that has workers")
		}
		all = append(all, o.found...)
	}
	return len(ours), all
}

// output is one [OUTPUT] of ours.
type output struct {
	*config
	*section
	plugin  string
	unknown []string // options whose value is not known here
	found   []finding
}

// say notes something about an option.
func (o *output) say(hint bool, option, format string, args ...any) {
	_, line := o.section.get(option)
	what := "output " + o.plugin
	if alias, _ := o.section.get("alias"); alias != "" {
		what += " " + alias
	}
	o.found = append(o.found, finding{o.section.file, line, what, fmt.Sprintf(format, args...), hint})
}

func (o *output) check() {
	o.values()
	o.names(o.options())
	o.fluentBits()
}

// values notes the options whose values cannot be known here.
func (o *output) values() {
	for _, e := range o.section.entries {
		_, unset := o.expand(e.value)
		for _, name := range unset {
			o.unknown = append(o.unknown, e.key)
			o.say(true, e.key, "option %s: the variable %s is not set here, so the option is not checked", e.key, name)
		}
		if slices.Contains(elsewhere, e.key) {
			o.say(true, e.key, "option %s: %q is to be where fluent bit runs, and is not looked for here", e.key, e.value)
		}
	}
}

// options has the plugin read its options, and returns their names.
func (o *output) options() (known []string) {
	err := plugins[o.plugin](func(name string) string {
		known = append(known, name)
		if slices.Contains(o.unknown, name) || slices.Contains(elsewhere, name) {
			return ""
		}
		value, _ := o.section.get(name)
		value, _ = o.expand(value)
		return value
	})
	for _, problem := range problems(err) {
		concerned := optionsOf(problem)
		// What follows from a value that is not known here is no problem.
		if slices.ContainsFunc(concerned, func(name string) bool { return slices.Contains(o.unknown, name) }) {
			continue
		}
		o.say(false, set(o.section, concerned), "%s", problem)
	}
	return known
}

// problems returns the single problems of what Check returns.
func problems(err error) (all []string) {
	if err == nil {
		return nil
	}
	var several interface{ Unwrap() []error }
	if !errors.As(err, &several) {
		return []string{err.Error()}
	}
	for _, e := range several.Unwrap() {
		all = append(all, e.Error())
	}
	return all
}

var aboutOptions = regexp.MustCompile(`^options? ([a-z0-9_]+)(?:(?:,| and) ([a-z0-9_]+))?(?: and ([a-z0-9_]+))?:`)

// optionsOf returns the options that a problem is about: it begins with them.
func optionsOf(problem string) (names []string) {
	m := aboutOptions.FindStringSubmatch(problem)
	if m == nil {
		return nil
	}
	return slices.DeleteFunc(m[1:], func(name string) bool { return name == "" })
}

// set returns the first of the options that the section has.
func set(s *section, names []string) string {
	for _, name := range names {
		if v, _ := s.get(name); v != "" {
			return name
		}
	}
	return ""
}

// names checks the names of the section's options.
func (o *output) names(known []string) {
	var keys []string
	for _, e := range o.section.entries {
		keys = append(keys, e.key)
	}
	for _, u := range options.FindUnknown(keys, known) {
		o.say(!u.Misspelt, u.Key, "%v", u)
	}
	for _, key := range options.FindRepeated(keys) {
		o.say(true, key, "option %s: it is set more than once, the first one counts", key)
	}
}

// workers returns how many threads the output has.
func (o *output) workers() int {
	v, _ := o.section.get("workers")
	v, _ = o.expand(v)
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0
	}
	return n
}

// manyRetries is how often a chunk is tried within a day or so, by Fluent Bit's
// default pauses.
const manyRetries = 50

// fluentBits gives advice on Fluent Bit's own options.
func (o *output) fluentBits() {
	if o.workers() < 1 && !slices.Contains(o.unknown, "workers") {
		o.say(true, "workers", "option workers: set it to 1 or more: without, the output runs on fluent bit's engine thread, where all else waits for it")
	}
	limit, _ := o.section.get("retry_limit")
	limit, _ = o.expand(limit)
	n, err := strconv.Atoi(limit)
	switch {
	case slices.Contains(o.unknown, "retry_limit"):
	case limit == "":
		o.say(true, "retry_limit", "option retry_limit: it is not set, so fluent bit drops a chunk that failed twice: no_limits keeps it, with storage.type filesystem at the inputs")
	case strings.EqualFold(limit, "no_retries"), err == nil && n < manyRetries:
		o.say(true, "retry_limit", "option retry_limit: with %s, fluent bit drops chunks when the service is away for a while: no_limits keeps them, with storage.type filesystem at the inputs", limit)
	}
	match, _ := o.section.get("match")
	regex, _ := o.section.get("match_regex")
	if match == "" && regex == "" {
		o.say(true, "match", "option match: it is not set, so no tag is sent here")
	}
}

func isOn(v string) bool {
	switch strings.ToLower(v) {
	case "on", "true", "yes", "1":
		return true
	}
	return false
}
