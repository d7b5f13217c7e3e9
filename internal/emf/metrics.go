package emf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
)

// The kinds of metrics (Fluent Bit, lib/cmetrics/include/cmetrics/cmetrics.h),
// as documents name them.
const (
	counter = iota
	gauge
	histogram
	summary
	untyped
	expHistogram
)

var kinds = []string{"counter", "gauge", "histogram", "summary", "untyped", "histogram"}

// IsMetrics tells a chunk of metrics from one of records, which is a run of arrays.
func IsMetrics(data []byte) bool {
	if len(data) == 0 || msgp.NextType(data) != msgp.MapType {
		return false
	}
	_, ok := chunk.Lookup(data, []string{"metrics"})
	return ok
}

// Next makes documents of the first of the collections of metrics that a chunk
// consists of. It appends them to dst in the form of a chunk of records with the
// time now, and returns what is left of data. left counts samples without a
// number that JSON has a text for.
//
// A document is one sample, in the form that Fluent Bit's C plugin has
// (lib/cmetrics/src/cmt_encode_cloudwatch_emf.c), with these exceptions:
// labels without a value are left out, since CloudWatch wants a value for each
// dimension; the unit of counters is Count, there "Counter", which CloudWatch
// does not know; and the smallest and largest value of a histogram come from the
// bounds of its buckets, there from the numbers in them.
func (c *Config) Next(dst, data []byte, now time.Time) (out, rest []byte, left int, err error) {
	rest, err = msgp.Skip(data)
	if err != nil {
		return dst, data, 0, fmt.Errorf("cannot read metrics: %w", err)
	}
	data = data[:len(data)-len(rest)]
	w := writer{config: c, dst: dst, now: now}
	if err := w.collection(data); err != nil {
		return w.dst, rest, w.left, fmt.Errorf("cannot read metrics: %w", err)
	}
	return w.dst, rest, w.left, nil
}

// label is a name with its value.
type label struct{ name, value string }

// family are the samples of one metric.
type family struct {
	kind      int
	namespace string
	name      string // in full
	unit      string
	labels    []string
	bounds    []float64 // of a histogram's buckets
}

type writer struct {
	config *Config
	dst    []byte
	now    time.Time
	left   int
	static []label // of all metrics
}

func (w *writer) collection(data []byte) error {
	if v, ok := chunk.Lookup(data, []string{"meta", "processing", "static_labels"}); ok {
		err := each(v, func(pair []byte) error {
			texts, err := texts(pair)
			if err == nil && len(texts) == 2 && texts[0] != "" && texts[1] != "" {
				w.static = append(w.static, label{texts[0], texts[1]})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	metrics, ok := chunk.Lookup(data, []string{"metrics"})
	if !ok {
		return errors.New("there are none")
	}
	return each(metrics, func(data []byte) error {
		f, err := readFamily(data)
		if err != nil {
			return err
		}
		values, _ := chunk.Lookup(data, []string{"values"})
		return each(values, func(sample []byte) error { return w.sample(f, sample) })
	})
}

func readFamily(data []byte) (f family, err error) {
	meta, ok := chunk.Lookup(data, []string{"meta"})
	if !ok {
		return f, errors.New("a metric has no description")
	}
	if f.kind = int(number(meta, "type")); f.kind < 0 || f.kind >= len(kinds) {
		return f, fmt.Errorf("a metric is of an unknown kind, %d", f.kind)
	}
	f.namespace, f.unit = text(meta, "opts", "ns"), text(meta, "opts", "unit")
	for _, part := range []string{f.namespace, text(meta, "opts", "ss")} {
		if part == "" {
			continue
		}
		f.name += part
		if part[len(part)-1] != '_' {
			f.name += "_"
		}
	}
	f.name += text(meta, "opts", "name")
	if f.name == "" {
		return f, errors.New("a metric has no name")
	}
	if v, ok := chunk.Lookup(meta, []string{"labels"}); ok {
		if f.labels, err = texts(v); err != nil {
			return f, err
		}
	}
	f.bounds = numbers(meta, "buckets")
	return f, nil
}

// sample appends one record.
func (w *writer) sample(f family, sample []byte) error {
	var values []string
	if v, ok := chunk.Lookup(sample, []string{"labels"}); ok {
		var err error
		if values, err = texts(v); err != nil {
			return err
		}
	}
	labels := make([]label, 0, len(f.labels)+len(w.static))
	for i, name := range f.labels {
		if i < len(values) && name != "" && values[i] != "" {
			labels = append(labels, label{name, values[i]})
		}
	}
	labels = append(labels, w.static...)
	value, ok := f.value(sample)
	if !ok {
		w.left++
		return nil
	}
	// Of the forms of a chunk's records the one with a time and no metadata.
	w.dst = append(w.dst, 0x92, 0xd7, 0x00)
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(w.now.Unix()))
	w.dst = binary.BigEndian.AppendUint32(w.dst, uint32(w.now.Nanosecond()))
	w.dst = msgp.AppendMapHeader(w.dst, uint32(3+len(labels)))
	millis := int64(bits(sample, "ts") / 1e6)
	w.dst = appendHead(w.dst, millis, w.config.space(f.namespace), w.config.sets(labels), unitOf(f.kind, f.unit), []string{f.name})
	for _, l := range labels {
		w.dst = msgp.AppendString(w.dst, l.name)
		w.dst = msgp.AppendString(w.dst, l.value)
	}
	w.dst = msgp.AppendString(w.dst, "prom_metric_type")
	w.dst = msgp.AppendString(w.dst, kinds[f.kind])
	w.dst = msgp.AppendString(w.dst, f.name)
	w.dst = append(w.dst, value...)
	return nil
}

// sets returns the sets of dimensions of a sample with these labels: all of them
// in one set, or those that the options name, as far as it has them.
func (c *Config) sets(labels []label) (sets [][]string) {
	all := make([]string, len(labels))
	for i, l := range labels {
		all[i] = l.name
	}
	if c.dimensions == nil {
		return [][]string{all[:min(len(all), maxDimensions)]}
	}
	for _, want := range c.dimensions {
		var set []string
		for _, name := range want {
			if slices.Contains(all, name) {
				set = append(set, name)
			}
		}
		if set != nil && !slices.ContainsFunc(sets, func(s []string) bool { return slices.Equal(s, set) }) {
			sets = append(sets, set)
		}
	}
	return sets
}

// unitOf returns CloudWatch's name for a unit, "" when it has none.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
func unitOf(kind int, unit string) string {
	switch unit {
	case "s", "seconds":
		return "Seconds"
	case "ms", "milliseconds":
		return "Milliseconds"
	case "us", "microseconds":
		return "Microseconds"
	case "By", "bytes":
		return "Bytes"
	case "%", "percent":
		return "Percent"
	}
	if unit == "" && kind == counter {
		return "Count"
	}
	return ""
}

// value returns what a sample has measured, as msgpack: a number, or what the
// format calls a statistic set. ok is false if there is nothing to write.
func (f *family) value(sample []byte) (value []byte, ok bool) {
	switch f.kind {
	case histogram, expHistogram, summary:
		s := f.statistics(sample)
		if s.count == 0 {
			return nil, false
		}
		average := s.sum / s.count
		s.min, s.max = min(s.min, average), max(s.max, average)
		value = msgp.AppendMapHeader(nil, 4)
		for _, m := range []struct {
			name string
			v    float64
		}{{"Min", s.min}, {"Max", s.max}, {"Sum", s.sum}, {"Count", s.count}} {
			if !finite(m.v) {
				return nil, false
			}
			value = msgp.AppendString(value, m.name)
			value = msgp.AppendFloat64(value, m.v)
		}
		return value, true
	}
	for _, key := range []string{"value_int64", "value_uint64"} {
		if v, ok := chunk.Lookup(sample, []string{key}); ok {
			return v, true
		}
	}
	v := number(sample, "value")
	return msgp.AppendFloat64(nil, v), finite(v)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
