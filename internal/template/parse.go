package template

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/timefmt"
)

// maxIndex bounds a tag part or array element that can be asked for: far more
// than there are, and small enough that nothing overflows.
const maxIndex = 9999

// lastSplit is the tag part of the $(...) language that also holds everything
// behind it. AWS's Go plugins split the tag into ten pieces at most
// (strings.SplitN(tag, ".", 10)), so that their $(tag[9]) is the ninth dot and
// all that follows, and streams are named after it. $(tag[10]) and up, where
// they read the first digit only, are single parts here.
const lastSplit = 9

// SyntaxError is a template that cannot be read.
type SyntaxError struct {
	Text   string
	Offset int // in bytes, of the variable that is wrong
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("cannot read template %q: at character %d, %q: %s",
		e.Text, utf8.RuneCountInString(e.Text[:e.Offset])+1, e.Text[e.Offset:], e.Reason)
}

// parser cuts a text into parts. Its methods return an error's reason, "" for
// none; the offset of the variable is the same for all of them.
type parser struct {
	t   *Template
	pos int
}

// Parse compiles the language of AWS's Go plugins:
//
//	$(key)                 a value at the top of the record
//	$(key['a']['b'])       a value further down
//	$(tag)                 the tag
//	$(tag[0])              a part of it, between dots; $(tag[9]) is the tenth
//	                       part and everything behind it
//	$(uuid)                one random id for the output
//	$(ecs_task_id)         of the ECS task that Fluent Bit runs in
//	$(ecs_cluster)
//	$(ecs_task_arn)
//
// and what they do not have:
//
//	$(time:%Y-%m-%d)       the record's time in UTC, by strftime as in package timefmt
//	$(ecs_task_family)     of the ECS task too, unless the record has this key
//	$(ecs_task_revision)
//	$(ec2_instance_id)     of the EC2 instance, unless the record has this key: Fluent
//	$(ec2_instance_type)   Bit's filter aws puts the first two into records
//	$(ec2_availability_zone)
//	$(ec2_private_ip)
//	$(otel_resource['key'])   of a record that came by OpenTelemetry: an attribute, or a
//	$(otel_scope['key'])      field, of its resource, its scope, or its own
//	$(otel_record['key'])
//	$(key|text)            the text where the value is missing or empty; for every
//	                       variable save the time, which is always there
//
// Everything else stands for itself; there is no way to write a literal "$(".
func Parse(text string) (*Template, error) {
	p := parser{t: &Template{text: text}}
	for {
		n := strings.Index(text[p.pos:], "$(")
		if n < 0 {
			p.literal(text[p.pos:])
			return p.t, nil
		}
		p.literal(text[p.pos : p.pos+n])
		start := p.pos + n
		p.pos = start + len("$(")
		if reason := p.variable(start); reason != "" {
			return nil, &SyntaxError{Text: text, Offset: start, Reason: reason}
		}
	}
}

// ParseAccessor compiles Fluent Bit's record accessor language, as
// log_group_template and log_stream_template of its C plugin take it
// (src/flb_record_accessor.c):
//
//	$key                   a value at the top of the record
//	$key['a']['b'][0]      a value further down; '' is a quote inside a key
//	$TAG                   the tag
//	$TAG[0]                a part of it, between dots
//
//	$(...)                 a variable of the other language, see Parse
//
// A key begins with a letter or "_" and goes on with those, digits, "-" and
// "/"; a dot ends it. Fluent Bit wants one of dot, space, comma or double quote
// after a variable; here any character may follow a bracket. What it skips
// quietly is an error or a missing value here: captures ($1), which a name has
// no expression for, a lone "$", and a part that the tag does not have.
func ParseAccessor(text string) (*Template, error) {
	p := parser{t: &Template{text: text}}
	for {
		n := strings.IndexByte(text[p.pos:], '$')
		if n < 0 {
			p.literal(text[p.pos:])
			return p.t, nil
		}
		p.literal(text[p.pos : p.pos+n])
		start := p.pos + n
		p.pos = start + len("$")
		read := p.accessor
		if strings.HasPrefix(text[p.pos:], "(") {
			p.pos += len("(")
			read = p.variable
		}
		if reason := read(start); reason != "" {
			return nil, &SyntaxError{Text: text, Offset: start, Reason: reason}
		}
	}
}

// PrefixTag compiles prefix, taken literally, followed by the tag.
func PrefixTag(prefix string) *Template {
	p := parser{t: &Template{text: prefix + "$(tag)"}}
	p.literal(prefix)
	p.add("$(tag)", part{kind: wholeTag})
	return p.t
}

func (p *parser) literal(text string) {
	if text != "" {
		p.t.parts = append(p.t.parts, part{kind: literal, text: text})
	}
}

// add appends a variable, written as text. One that occurs twice is one.
func (p *parser) add(text string, v part) {
	for _, other := range p.t.parts {
		if other.missing != nil && other.missing.Variable == text {
			v.missing = other.missing
		}
	}
	if v.missing == nil {
		v.missing = &MissingError{Variable: text, Index: p.t.vars, reason: missingReason(v.kind)}
		p.t.vars++
	}
	p.t.parts = append(p.t.parts, v)
}

func missingReason(k kind) string {
	switch k {
	case tagPart, tagRest:
		return "the tag has no such part"
	case recordValue:
		return "the record has no such text, number or boolean"
	case otelValue:
		return "the record has no such text, number or boolean, nor has what came with it by OpenTelemetry"
	case uuid:
		return "there is no id"
	case ecsTaskID, ecsCluster, ecsTaskARN:
		return "the ECS task is not known"
	case ecsFamily, ecsRevision:
		return "the record does not have it, and the ECS task is not known"
	case ec2InstanceID, ec2InstanceType, ec2AvailabilityZone, ec2PrivateIP:
		return "the record does not have it, and the EC2 instance is not known"
	default: // wholeTag and recordTime, which are there even when they are empty
		return "it has no value"
	}
}

// variable reads what follows "$(", up to and with the ")".
func (p *parser) variable(start int) string {
	text := p.t.text
	if format, ok := strings.CutPrefix(text[p.pos:], "time:"); ok {
		return p.time(start, format)
	}
	end := strings.IndexAny(text[p.pos:], "[|)")
	if end < 0 {
		return `the ")" is missing`
	}
	name := text[p.pos : p.pos+end]
	p.pos += end
	if name == "" {
		return "a name is missing"
	}
	if strings.Contains(name, "$(") {
		return `the ")" is missing`
	}

	v := part{kind: recordValue}
	keys := []string{name}
	switch {
	case name == "tag" && text[p.pos] == '[':
		n, reason := p.index()
		if reason != "" {
			return reason
		}
		v = part{kind: tagPart, index: n}
		if n == lastSplit {
			v.kind = tagRest
		}
	case name == "tag":
		v.kind = wholeTag
	case text[p.pos] != '[' && special[name] != literal:
		v.kind = special[name]
		if v.kind.recordFirst() {
			v.steps = []step{{keys: keys}}
		}
	default:
		for strings.HasPrefix(text[p.pos:], "[") {
			key, reason := p.key()
			if reason != "" {
				return reason
			}
			keys = append(keys, key)
		}
		v.steps = []step{{keys: keys}}
		if place, ok := otelNames[name]; ok && len(keys) > 1 {
			v.kind, v.otel = otelValue, place.at(keys[1:])
		}
	}

	if strings.HasPrefix(text[p.pos:], "|") {
		instead, _, ok := strings.Cut(text[p.pos+len("|"):], ")")
		if !ok || strings.Contains(instead, "$(") {
			return `the ")" is missing`
		}
		v.instead = &instead
		p.pos += len("|") + len(instead)
	}
	if p.pos == len(text) {
		return `the ")" is missing`
	}
	if text[p.pos] != ')' {
		return fmt.Sprintf(`it must go on with ")", "|" or "['key']", not with %q`, text[p.pos:])
	}
	p.pos++
	p.add(text[start:p.pos], v)
	return ""
}

// time reads the format of $(time:format), which follows.
func (p *parser) time(start int, rest string) string {
	format, _, ok := strings.Cut(rest, ")")
	if !ok || strings.Contains(format, "$(") {
		return `the ")" is missing`
	}
	if format == "" {
		return "a format is missing, as $(time:%Y-%m-%d)"
	}
	compiled, err := timefmt.Compile(format, time.UTC)
	if err != nil {
		return err.Error()
	}
	p.pos += len("time:") + len(format) + len(")")
	p.add(p.t.text[start:p.pos], part{kind: recordTime, format: compiled})
	return ""
}

// special are the names that do not stand for a key of the record, besides tag.
var special = map[string]kind{
	"uuid":         uuid,
	"ecs_task_id":  ecsTaskID,
	"ecs_cluster":  ecsCluster,
	"ecs_task_arn": ecsTaskARN,

	"ecs_task_family":       ecsFamily,
	"ecs_task_revision":     ecsRevision,
	"ec2_instance_id":       ec2InstanceID,
	"ec2_instance_type":     ec2InstanceType,
	"ec2_availability_zone": ec2AvailabilityZone,
	"ec2_private_ip":        ec2PrivateIP,
}

// key reads ['key'], which ends at the first "']".
func (p *parser) key() (key, reason string) {
	rest := p.t.text[p.pos:]
	if !strings.HasPrefix(rest, "['") {
		return "", "a key must be written as ['key']"
	}
	key, _, ok := strings.Cut(rest[len("['"):], "']")
	switch {
	case !ok:
		return "", `the "']" is missing`
	case key == "":
		return "", "a key is empty"
	}
	p.pos += len("['") + len(key) + len("']")
	return key, ""
}

// index reads [12].
func (p *parser) index() (n int, reason string) {
	digits, _, ok := strings.Cut(p.t.text[p.pos+1:], "]")
	if !ok {
		return 0, `the "]" is missing`
	}
	// ParseUint, as Atoi takes a sign.
	u, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || u > maxIndex {
		return 0, fmt.Sprintf("between the brackets must be a number from 0 to %d, not %q", maxIndex, digits)
	}
	p.pos += len("[") + len(digits) + len("]")
	return int(u), ""
}

// accessor reads what follows "$".
func (p *parser) accessor(start int) string {
	text := p.t.text
	rest := text[p.pos:]
	if strings.HasPrefix(rest, "TAG") {
		return p.accessorTag(start)
	}
	n := 0
	for n < len(rest) && isKeyByte(rest[n], n == 0) {
		n++
	}
	if n == 0 {
		return `after "$" must come a key or TAG`
	}
	steps := []step{{keys: []string{rest[:n]}}}
	p.pos += n

	for strings.HasPrefix(text[p.pos:], "[") {
		if strings.HasPrefix(text[p.pos:], "['") {
			key, reason := p.quotedKey()
			if reason != "" {
				return reason
			}
			steps = addKey(steps, key)
			continue
		}
		i, reason := p.index()
		if reason != "" {
			return reason
		}
		steps = append(steps, step{index: i})
	}
	p.add(text[start:p.pos], part{kind: recordValue, steps: steps})
	return ""
}

func (p *parser) accessorTag(start int) string {
	p.pos += len("TAG")
	v := part{kind: wholeTag}
	if strings.HasPrefix(p.t.text[p.pos:], "[") {
		n, reason := p.index()
		if reason != "" {
			return reason
		}
		v = part{kind: tagPart, index: n}
	}
	p.add(p.t.text[start:p.pos], v)
	return ""
}

func isKeyByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		return true
	case c >= '0' && c <= '9', c == '-', c == '/':
		return !first
	}
	return false
}

func addKey(steps []step, key string) []step {
	if last := &steps[len(steps)-1]; last.keys != nil {
		last.keys = append(last.keys, key)
		return steps
	}
	return append(steps, step{keys: []string{key}})
}

// quotedKey reads ['key'], in which a quote is written twice.
func (p *parser) quotedKey() (key, reason string) {
	rest := p.t.text[p.pos+len("['"):]
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] != '\'':
			continue
		case strings.HasPrefix(rest[i:], "''"):
			i++
			continue
		case !strings.HasPrefix(rest[i:], "']"):
			return "", "a key must be written as ['key'], a quote in it twice"
		case i == 0:
			return "", "a key is empty"
		}
		p.pos += len("['") + i + len("']")
		return strings.ReplaceAll(rest[:i], "''", "'"), ""
	}
	return "", `the "']" is missing`
}
