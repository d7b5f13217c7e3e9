// Package emf is about CloudWatch's embedded metric format: log events from
// which CloudWatch takes metrics. It tells such documents from other records, and
// makes them of Fluent Bit's metrics and of the records of its inputs cpu and mem.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
package emf

import (
	"bytes"
	"strings"

	jsoniter "github.com/json-iterator/go"
	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// What the format allows.
const (
	maxDimensions    = 30 // of a set
	storedPerMinute  = 60 // StorageResolution, in seconds
	defaultNamespace = "fluent-bit-metrics"
)

var (
	mark        = []byte("_aws")
	metricsPath = []string{"_aws", "CloudWatchMetrics"}
)

// MayBe tells whether a record may be, or hold, a document: the search for four
// bytes that a record without any is to cost, and no more.
func MayBe(record []byte) bool { return bytes.Contains(record, mark) }

// Is tells whether a record, a msgpack value, is a document.
func Is(record []byte) bool {
	v, ok := chunk.Lookup(record, metricsPath)
	return ok && msgp.NextType(v) == msgp.ArrayType
}

// IsText tells whether the text that a msgpack value holds is a document.
func IsText(value []byte) bool {
	text, _, err := msgp.ReadStringZC(value)
	if err != nil {
		if text, _, err = msgp.ReadBytesZC(value); err != nil {
			return false
		}
	}
	return bytes.Contains(text, mark) && jsoniter.Get(text, "_aws", "CloudWatchMetrics").ValueType() == jsoniter.ArrayValue
}

// Config is what the options say about the documents that are made here.
type Config struct {
	// Set tells that one of the options is: then records of the inputs cpu and
	// mem become documents, too.
	Set bool

	namespace  string // "": the metrics' own
	dimensions [][]string
}

// ParseConfig reads metric_namespace and metric_dimensions, sets of names with
// semicolons between the sets and commas between the names.
func ParseConfig(s *options.Set) (c Config) {
	c.namespace = s.String("metric_namespace", "")
	sets := s.String("metric_dimensions", "")
	for set := range strings.SplitSeq(sets, ";") {
		var names []string
		for name := range strings.SplitSeq(set, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		if len(names) > maxDimensions {
			s.Fail("metric_dimensions", sets, "up to 30 names in a set")
		}
		if names != nil {
			c.dimensions = append(c.dimensions, names)
		}
	}
	c.Set = c.namespace != "" || c.dimensions != nil
	return c
}

// space returns the namespace for metrics that have one of their own, or "".
func (c *Config) space(own string) string {
	switch {
	case c.namespace != "":
		return c.namespace
	case own != "":
		return own
	}
	return defaultNamespace
}

// inputs are those whose records become documents, told by a key that only they
// have: Fluent Bit does not tell a Go plugin where a record comes from.
var inputs = []struct {
	sign    []string
	unit    string
	metrics []string // all that begins so
}{
	{[]string{"cpu_p"}, "Percent", []string{"cpu_", "user_p", "system_p"}},
	{[]string{"Mem.total"}, "Bytes", []string{"Mem.total", "Mem.used", "Mem.free", "Swap.total", "Swap.used", "Swap.free"}},
}

// Record appends the document made of a record of the input cpu or mem, as
// Fluent Bit's C plugin makes it: all of the record, and in front of it which of
// its values are metrics. ok is false for any other record.
func (c *Config) Record(dst []byte, millis int64, record []byte) (out []byte, ok bool) {
	for _, in := range inputs {
		if _, ok := chunk.Lookup(record, in.sign); !ok {
			continue
		}
		size, rest, err := msgp.ReadMapHeaderBytes(record)
		if err != nil {
			return dst, false
		}
		var names []string
		for at := rest; len(at) > 0; {
			key, more, err := msgp.ReadStringZC(at)
			if err != nil {
				return dst, false
			}
			for _, prefix := range in.metrics {
				if strings.HasPrefix(string(key), prefix) {
					names = append(names, string(key))
					break
				}
			}
			if at, err = msgp.Skip(more); err != nil {
				return dst, false
			}
		}
		dst = msgp.AppendMapHeader(dst, size+1)
		dst = appendHead(dst, millis, c.space(""), c.dimensions, in.unit, names)
		return append(dst, rest...), true
	}
	return dst, false
}

// appendHead appends the member _aws. unit is that of all metrics, "" for none.
func appendHead(dst []byte, millis int64, namespace string, dimensions [][]string, unit string, metrics []string) []byte {
	dst = msgp.AppendString(dst, "_aws")
	dst = msgp.AppendMapHeader(dst, 2)
	dst = msgp.AppendString(dst, "Timestamp")
	dst = msgp.AppendInt64(dst, millis)
	dst = msgp.AppendString(dst, "CloudWatchMetrics")
	dst = msgp.AppendArrayHeader(dst, 1)
	dst = msgp.AppendMapHeader(dst, 3)
	dst = msgp.AppendString(dst, "Namespace")
	dst = msgp.AppendString(dst, namespace)
	dst = msgp.AppendString(dst, "Dimensions")
	dst = msgp.AppendArrayHeader(dst, uint32(max(len(dimensions), 1)))
	if len(dimensions) == 0 {
		dst = msgp.AppendArrayHeader(dst, 0)
	}
	for _, set := range dimensions {
		dst = msgp.AppendArrayHeader(dst, uint32(len(set)))
		for _, name := range set {
			dst = msgp.AppendString(dst, name)
		}
	}
	dst = msgp.AppendString(dst, "Metrics")
	dst = msgp.AppendArrayHeader(dst, uint32(len(metrics)))
	for _, name := range metrics {
		fields := uint32(2)
		if unit != "" {
			fields++
		}
		dst = msgp.AppendMapHeader(dst, fields)
		dst = msgp.AppendString(dst, "Name")
		dst = msgp.AppendString(dst, name)
		if unit != "" {
			dst = msgp.AppendString(dst, "Unit")
			dst = msgp.AppendString(dst, unit)
		}
		dst = msgp.AppendString(dst, "StorageResolution")
		dst = msgp.AppendInt(dst, storedPerMinute)
	}
	return dst
}
