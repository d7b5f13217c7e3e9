package fields

import (
	"slices"

	"aws-for-fluent-bit/internal/options"
)

// Pick is what of each record is sent. It does not change and may be used by
// several goroutines. The zero value takes records as they are.
type Pick struct {
	log    List // the first of these that a record has is sent alone
	whole  bool // what has none of them is sent whole; else it is dropped
	filter *Filter
}

// ParsePick reads the options that say what of a record is sent:
//
//	log_key, log_key_missing    one value alone
//	data_keys, exclude_keys     of records that are sent whole: only these keys, without these
func ParsePick(s *options.Set) Pick {
	p := Pick{log: ParseList(s, "log_key"), filter: ParseFilter(s, "data_keys", "exclude_keys")}
	p.whole = s.OneOf("log_key_missing", "drop", "drop", "record") == "record"
	return p
}

// LogKey returns the text of the option log_key, "" if it is not set.
func (p *Pick) LogKey() string { return p.log.String() }

// TakeTops returns the keys that data_keys names, and leaves them to the caller,
// if they are all that there is to the filter and all at the top of records.
func (p *Pick) TakeTops() (keys []string) {
	if p.filter == nil || p.filter.drop != nil {
		return nil
	}
	for key, in := range p.filter.keep {
		if len(in) > 0 {
			return nil
		}
		keys = append(keys, key)
	}
	p.filter = nil
	slices.Sort(keys)
	return keys
}

// Found says what Value has returned.
type Found int

const (
	Record  Found = iota // the record
	Whole                // the record, since it has no value for log_key
	Value                // the value of log_key
	Missing              // nothing: the record has no value for log_key, and is to be dropped
)

// Value returns what is to be sent of a record, one msgpack value that aliases
// body or is in *buf, which is used again each time.
func (p *Pick) Value(buf *[]byte, body []byte) (value []byte, found Found) {
	if !p.log.Empty() {
		value, ok := p.log.Find(body)
		switch {
		case ok:
			return value, Value
		case !p.whole:
			return nil, Missing
		}
		found = Whole
	}
	if p.filter == nil {
		return body, found
	}
	*buf = p.filter.Append((*buf)[:0], body)
	return *buf, found
}

// IsContainer says whether a msgpack value is a map or an array.
func IsContainer(value []byte) bool {
	c := value[0]
	return c >= 0x80 && c <= 0x9f || c >= 0xdc && c <= 0xdf
}
