package emf

import (
	"math"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
)

// statistics are what CloudWatch keeps of many values. With count 0 there were
// none.
type statistics struct{ min, max, sum, count float64 }

// statistics reads the sample of a histogram or summary. Its smallest and
// largest value are known no better than its buckets or quantiles tell.
func (f *family) statistics(sample []byte) (s statistics) {
	switch f.kind {
	case summary:
		in, _ := chunk.Lookup(sample, []string{"summary"})
		s.sum, s.count = math.Float64frombits(bits(in, "sum")), number(in, "count")
		set := bits(in, "quantiles_set") != 0
		first := true
		for _, q := range allBits(in, "quantiles") {
			v := math.Float64frombits(q)
			if !set || !finite(v) {
				continue
			}
			if first {
				s.min, s.max, first = v, v, false
			}
			s.min, s.max = min(s.min, v), max(s.max, v)
		}
		if first && s.count > 0 {
			s.min, s.max = s.sum/s.count, s.sum/s.count
		}
	case histogram:
		in, _ := chunk.Lookup(sample, []string{"histogram"})
		s.sum, s.count = number(in, "sum"), number(in, "count")
		s.min, s.max = f.reach(numbers(in, "buckets"), s)
	case expHistogram:
		in, _ := chunk.Lookup(sample, []string{"exp_histogram"})
		s.sum, s.count = math.Float64frombits(bits(in, "sum")), number(in, "count")
		s.min, s.max = exponentialReach(in)
		if s.count > 0 && bits(in, "sum_set") == 0 {
			s.sum = (s.min + s.max) / 2 * s.count // it was not told: what is halfway
		}
	}
	return s
}

// reach returns the bounds of the buckets that have values. The last bucket has
// no upper one: then it is its lower.
func (f *family) reach(buckets []float64, s statistics) (low, high float64) {
	if n := len(buckets); n > 1 && buckets[n-1] == s.count {
		// As Prometheus counts: each bucket has the values of those before it, too.
		total := 0.0
		for _, v := range buckets {
			total += v
		}
		if total != s.count {
			buckets = append([]float64(nil), buckets...)
			for i := n - 1; i > 0; i-- {
				buckets[i] -= buckets[i-1]
			}
		}
	}
	first := true
	for i, v := range buckets {
		if v <= 0 || i > len(f.bounds) {
			continue
		}
		if first {
			first = false
			if i > 0 {
				low = f.bounds[i-1]
			} else if len(f.bounds) > 0 {
				low = min(0, f.bounds[0])
			}
		}
		switch {
		case i < len(f.bounds):
			high = f.bounds[i]
		case i > 0:
			high = f.bounds[i-1]
		}
	}
	if first || !finite(high) { // no buckets, or a last one that is written with its bound
		average := 0.0
		if s.count > 0 {
			average = s.sum / s.count
		}
		return min(low, average), max(low, average)
	}
	return low, high
}

// exponentialReach does the same for buckets whose bounds are powers of a base.
// https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
func exponentialReach(in []byte) (low, high float64) {
	base := math.Exp2(math.Exp2(-number(in, "scale")))
	ends := func(name string) (small, large float64, any bool) {
		offset := number(in, name+"_offset")
		for i, n := range numbers(in, name+"_buckets") {
			if n > 0 {
				if !any {
					small, any = math.Pow(base, offset+float64(i)), true
				}
				large = math.Pow(base, offset+float64(i)+1)
			}
		}
		return small, large, any
	}
	small, large, above := ends("positive")
	nearest, farthest, below := ends("negative")
	zero := number(in, "zero_count") > 0
	switch {
	case below:
		low = -farthest
	case above && !zero:
		low = small
	}
	switch {
	case above:
		high = large
	case below && !zero:
		high = -nearest
	}
	return low, high
}

// each calls f for each element of an array; what is none has no elements.
func each(array []byte, f func([]byte) error) error {
	if len(array) == 0 || msgp.NextType(array) != msgp.ArrayType {
		return nil
	}
	n, rest, err := msgp.ReadArrayHeaderBytes(array)
	for ; n > 0 && err == nil; n-- {
		var after []byte
		if after, err = msgp.Skip(rest); err == nil {
			err = f(rest[:len(rest)-len(after)])
			rest = after
		}
	}
	return err
}

// texts returns the elements of an array, "" for one that is no text.
func texts(array []byte) (all []string, err error) {
	err = each(array, func(v []byte) error {
		text, _, err := msgp.ReadStringZC(v)
		if err != nil {
			text = nil
		}
		all = append(all, string(text))
		return nil
	})
	return all, err
}

// text returns the text at a path, "" if there is none.
func text(in []byte, path ...string) string {
	v, ok := chunk.Lookup(in, path)
	if !ok {
		return ""
	}
	text, _, err := msgp.ReadStringZC(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// number returns the number under a key, 0 if there is none.
func number(in []byte, key string) float64 {
	v, ok := chunk.Lookup(in, []string{key})
	if !ok {
		return 0
	}
	return toFloat(v)
}

func numbers(in []byte, key string) (all []float64) {
	v, _ := chunk.Lookup(in, []string{key})
	_ = each(v, func(v []byte) error { all = append(all, toFloat(v)); return nil }) // Lookup has seen that it is whole
	return all
}

func toFloat(v []byte) float64 {
	switch msgp.NextType(v) {
	case msgp.Float64Type, msgp.Float32Type:
		f, _, _ := msgp.ReadFloat64Bytes(v)
		return f
	case msgp.IntType, msgp.UintType:
		if n, _, err := msgp.ReadInt64Bytes(v); err == nil {
			return float64(n)
		}
		n, _, _ := msgp.ReadUint64Bytes(v)
		return float64(n)
	}
	return 0
}

// bits returns an unsigned number with all its bits: some of them are floats.
func bits(in []byte, key string) uint64 {
	v, ok := chunk.Lookup(in, []string{key})
	if !ok {
		return 0
	}
	n, _, err := msgp.ReadUint64Bytes(v)
	if err != nil {
		return 0
	}
	return n
}

func allBits(in []byte, key string) (all []uint64) {
	v, _ := chunk.Lookup(in, []string{key})
	_ = each(v, func(v []byte) error {
		n, _, err := msgp.ReadUint64Bytes(v)
		if err == nil {
			all = append(all, n)
		}
		return nil
	})
	return all
}
