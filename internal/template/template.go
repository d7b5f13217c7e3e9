// Package template makes names out of records, tags and the task Fluent Bit
// runs in: "/app/$(kubernetes['namespace_name'])/$(tag[2])".
//
// A template is compiled once, at start, and appended per record without an
// allocation. There are two languages with one compiled form: Parse reads the
// $(...) of AWS's Go plugins, ParseAccessor the $key['sub'] of Fluent Bit's
// record accessor. Both refuse what they cannot read. AWS's Go plugins pass a
// broken template through (/app/$(details['region') became /app/['region'),
// and nobody saw it before the logs were in the wrong place.
package template

import (
	"math"
	"strconv"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/timefmt"
)

// maxValue is how many bytes of one record value go into a name. The longest
// name there is has 512 characters of at most four bytes, so no name changes by
// it, and a megabyte of log text in the wrong key is not copied per record.
const maxValue = 4 * 512

// Input is what one name is made of. It is for one goroutine, and best used again
// for the next name: it keeps the text of the last second.
type Input struct {
	Tag  string
	Time chunk.Time // of the record; only read when NeedsRecord, as the next
	Body []byte     // the record, a msgpack map
	// Of a record that came by OpenTelemetry: its own metadata, and the body of its
	// group's marker; nil for others. Only read when NeedsOpenTelemetry.
	Metadata, Group []byte

	UUID string // for $(uuid): the caller's, one per output
	ECS  *ECS   // nil: not known; only read when NeedsECS
	// EC2 is asked for the instance when a record lacks what is wanted of it, and
	// returns nil when it is not known; only when NeedsEC2. nil is not known either.
	EC2 func() *EC2

	times []lastTime
}

// lastTime is the last second in one format.
type lastTime struct {
	format *timefmt.Format
	text   timefmt.Last
}

// ECS is the task that Fluent Bit runs in. An empty field counts as missing.
type ECS struct {
	TaskID   string
	Cluster  string
	TaskARN  string
	Family   string // of its definition
	Revision string
}

// EC2 is the instance that Fluent Bit runs on. An empty field counts as missing.
type EC2 struct {
	InstanceID       string
	InstanceType     string
	AvailabilityZone string
	PrivateIP        string
}

// MissingError says that a variable has no value for this record. There is one
// for each variable of a template, made when it is parsed, so that a million
// records without the value cost nothing.
type MissingError struct {
	Variable string // as the template has it: $(details['region'])
	Index    int    // which of the template's variables, below Variables()
	reason   string
}

func (e *MissingError) Error() string { return e.Variable + ": " + e.reason }

// Template is a compiled name. It may be used by several goroutines at once.
type Template struct {
	text  string
	parts []part
	vars  int // different variables
}

type kind uint8

const (
	literal kind = iota
	wholeTag
	tagPart // the index-th part of the tag
	tagRest // the index-th part and everything behind it
	uuid
	// From here on the record is read,
	recordTime
	recordValue
	otelValue // what came by OpenTelemetry, or else the record's value
	// from here on what the record has of this name comes first,
	ec2InstanceID
	ec2InstanceType
	ec2AvailabilityZone
	ec2PrivateIP
	// from here on the ECS task is,
	ecsFamily
	ecsRevision
	// and from here on only the task.
	ecsTaskID
	ecsCluster
	ecsTaskARN
)

// recordFirst says whether what a record has of this name comes first.
func (k kind) recordFirst() bool { return k >= ec2InstanceID && k <= ecsRevision }

type part struct {
	kind    kind
	text    string          // literal
	index   int             // tagPart, tagRest
	steps   []step          // recordValue, otelValue, and all that are recordFirst
	otel    *otelPlace      // otelValue
	format  *timefmt.Format // recordTime
	instead *string         // of a missing or empty value; nil: it is missing
	missing *MissingError   // all but literal
}

// step goes down from one value to another: along keys, or, where keys is nil,
// to an element of an array.
type step struct {
	keys  []string
	index int
}

// String returns the template's text as it was configured.
func (t *Template) String() string { return t.text }

// Static returns the name if it is always the same.
func (t *Template) Static() (string, bool) {
	if t.vars > 0 {
		return "", false
	}
	name, _ := t.Append(nil, &Input{})
	return string(name), true
}

// NeedsRecord tells whether two records with one tag may get different names.
func (t *Template) NeedsRecord() bool { return t.has(recordTime, ecsRevision) }

// NeedsECS tells whether Input.ECS is read.
func (t *Template) NeedsECS() bool { return t.has(ecsFamily, ecsTaskARN) }

// NeedsEC2 tells whether Input.EC2 is asked.
func (t *Template) NeedsEC2() bool { return t.has(ec2InstanceID, ec2PrivateIP) }

// NeedsOpenTelemetry tells whether Input.Metadata and Input.Group are read.
func (t *Template) NeedsOpenTelemetry() bool { return t.has(otelValue, otelValue) }

// NeedsUUID tells whether Input.UUID is read.
func (t *Template) NeedsUUID() bool { return t.has(uuid, uuid) }

// FailsWithoutECS tells whether there is no name without an ECS task, whatever
// the record.
func (t *Template) FailsWithoutECS() bool {
	for i := range t.parts {
		if p := &t.parts[i]; p.kind >= ecsTaskID && p.kind <= ecsTaskARN && p.instead == nil {
			return true
		}
	}
	return false
}

// MayMiss returns the first variable that may have no value and nothing that
// stands in for it, "" if there is none.
func (t *Template) MayMiss() string {
	for i := range t.parts {
		switch p := &t.parts[i]; p.kind {
		case literal, wholeTag, recordTime:
		default:
			if p.instead == nil {
				return p.missing.Variable
			}
		}
	}
	return ""
}

func (t *Template) has(from, to kind) bool {
	for i := range t.parts {
		if k := t.parts[i].kind; k >= from && k <= to {
			return true
		}
	}
	return false
}

// Variables returns how many different variables there are.
func (t *Template) Variables() int { return t.vars }

// Append appends the name for in to dst. When a variable has no value, it
// returns dst as it was and that variable's error, which belongs to the
// template.
//
// Text and binary values are taken as they are, not necessarily valid UTF-8;
// numbers and booleans as JSON writes them. A map, an array, nil, NaN, an
// infinity and an extension type count as missing: AWS's Go plugin puts in
// nothing for a map, and two records meant for two streams share one.
func (t *Template) Append(dst []byte, in *Input) ([]byte, *MissingError) {
	start := len(dst)
	for i := range t.parts {
		p := &t.parts[i]
		var ok bool
		if dst, ok = p.append(dst, in); !ok {
			return dst[:start], p.missing
		}
	}
	return dst, nil
}

func (p *part) append(dst []byte, in *Input) ([]byte, bool) {
	start := len(dst)
	dst, ok := p.appendValue(dst, in)
	if p.instead != nil && (!ok || len(dst) == start) {
		return append(dst[:start], *p.instead...), true
	}
	return dst, ok
}

func (p *part) appendValue(dst []byte, in *Input) ([]byte, bool) {
	switch p.kind {
	case literal:
		return append(dst, p.text...), true
	case wholeTag:
		return append(dst, in.Tag...), true
	case tagPart:
		rest, ok := cutTag(in.Tag, p.index)
		first, _, _ := strings.Cut(rest, ".")
		return append(dst, first...), ok
	case tagRest:
		rest, ok := cutTag(in.Tag, p.index)
		return append(dst, rest...), ok
	case otelValue:
		if v, ok := p.otel.find(in); ok {
			if dst, ok = appendValue(dst, v); ok {
				return dst, true
			}
		}
		fallthrough
	case recordValue:
		v, ok := lookup(in.Body, p.steps)
		if !ok {
			return dst, false
		}
		return appendValue(dst, v)
	case recordTime:
		return p.format.Append(dst, in.last(p.format), in.Time.Sec, in.Time.Nsec), true
	case uuid:
		return appendKnown(dst, in.UUID)
	}
	if p.kind.recordFirst() {
		if v, ok := lookup(in.Body, p.steps); ok {
			start := len(dst)
			if dst, ok = appendValue(dst, v); ok && len(dst) > start {
				return dst, true
			}
		}
	}
	if p.kind >= ecsFamily {
		return in.ECS.append(dst, p.kind)
	}
	if in.EC2 == nil {
		return dst, false
	}
	return in.EC2().append(dst, p.kind)
}

func (e *ECS) append(dst []byte, k kind) ([]byte, bool) {
	if e == nil {
		return dst, false
	}
	switch k {
	case ecsTaskID:
		return appendKnown(dst, e.TaskID)
	case ecsCluster:
		return appendKnown(dst, e.Cluster)
	case ecsFamily:
		return appendKnown(dst, e.Family)
	case ecsRevision:
		return appendKnown(dst, e.Revision)
	default: // ecsTaskARN
		return appendKnown(dst, e.TaskARN)
	}
}

func (e *EC2) append(dst []byte, k kind) ([]byte, bool) {
	if e == nil {
		return dst, false
	}
	switch k {
	case ec2InstanceID:
		return appendKnown(dst, e.InstanceID)
	case ec2InstanceType:
		return appendKnown(dst, e.InstanceType)
	case ec2AvailabilityZone:
		return appendKnown(dst, e.AvailabilityZone)
	default: // ec2PrivateIP
		return appendKnown(dst, e.PrivateIP)
	}
}

// last returns the last second in a format. There are few formats.
func (in *Input) last(f *timefmt.Format) *timefmt.Last {
	for i := range in.times {
		if in.times[i].format == f {
			return &in.times[i].text
		}
	}
	in.times = append(in.times, lastTime{format: f})
	return &in.times[len(in.times)-1].text
}

func appendKnown(dst []byte, s string) ([]byte, bool) {
	return append(dst, s...), s != ""
}

// cutTag returns the tag from its n-th part on.
func cutTag(tag string, n int) (string, bool) {
	for ; n > 0; n-- {
		_, rest, ok := strings.Cut(tag, ".")
		if !ok {
			return "", false
		}
		tag = rest
	}
	return tag, true
}

func lookup(body []byte, steps []step) (value []byte, ok bool) {
	value = body
	for i := range steps {
		if s := &steps[i]; s.keys != nil {
			value, ok = chunk.Lookup(value, s.keys)
		} else {
			value, ok = element(value, s.index)
		}
		if !ok {
			return nil, false
		}
	}
	return value, true
}

// element returns the n-th element of an array.
func element(array []byte, n int) ([]byte, bool) {
	size, rest, err := msgp.ReadArrayHeaderBytes(array)
	if err != nil || n >= int(size) {
		return nil, false
	}
	for ; n > 0; n-- {
		if rest, err = chunk.Skip(rest); err != nil {
			return nil, false
		}
	}
	after, err := chunk.Skip(rest)
	if err != nil {
		return nil, false
	}
	return rest[:len(rest)-len(after)], true
}

// appendValue appends a msgpack value as a name shows it.
func appendValue(dst, v []byte) ([]byte, bool) {
	var (
		err   error
		bytes []byte
	)
	switch msgp.NextType(v) {
	case msgp.StrType:
		bytes, _, err = msgp.ReadStringZC(v)
	case msgp.BinType:
		bytes, _, err = msgp.ReadBytesZC(v)
	case msgp.BoolType:
		var b bool
		if b, _, err = msgp.ReadBoolBytes(v); err == nil {
			return strconv.AppendBool(dst, b), true
		}
	case msgp.IntType:
		var n int64
		if n, _, err = msgp.ReadInt64Bytes(v); err == nil {
			return strconv.AppendInt(dst, n, 10), true
		}
	case msgp.UintType:
		var n uint64
		if n, _, err = msgp.ReadUint64Bytes(v); err == nil {
			return strconv.AppendUint(dst, n, 10), true
		}
	case msgp.Float32Type:
		var f float32
		if f, _, err = msgp.ReadFloat32Bytes(v); err == nil {
			return appendFloat(dst, float64(f), 32)
		}
	case msgp.Float64Type:
		var f float64
		if f, _, err = msgp.ReadFloat64Bytes(v); err == nil {
			return appendFloat(dst, f, 64)
		}
	default:
		return dst, false
	}
	if err != nil {
		return dst, false
	}
	return append(dst, bytes[:min(len(bytes), maxValue)]...), true
}

// appendFloat writes 3.5 and 1200000, and an exponent only where the digits
// would not end, at the bounds that JSON encoders share (ECMAScript's).
func appendFloat(dst []byte, f float64, bits int) ([]byte, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, false
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits), true
}
