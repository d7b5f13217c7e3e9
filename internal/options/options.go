// Package options reads an output's configuration.
//
// A plugin asks for each option by name, with its default and what is allowed,
// while it fills its own config struct. Nothing fails half way: every problem
// is collected, so that a user sees all of them at the first start. Each names
// the option, the value found and what is allowed.
package options

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Getter gives an option's value as it stands in Fluent Bit's configuration,
// "" when it is not set. Fluent Bit has already put in ${ENVIRONMENT} values.
type Getter func(name string) string

// Set reads the options of one output.
type Set struct {
	get   Getter
	asked map[string]bool
	errs  []error
}

// New returns a Set that reads through get.
func New(get Getter) *Set {
	return &Set{get: get, asked: make(map[string]bool)}
}

// Lookup returns the value without its surrounding white space, and whether
// the option is set to anything at all.
func (s *Set) Lookup(name string) (string, bool) {
	s.asked[name] = true
	v := strings.TrimSpace(s.get(name))
	return v, v != ""
}

// Fail notes that option name has a value that cannot be used.
func (s *Set) Fail(name, value, allowed string) {
	s.errs = append(s.errs, fmt.Errorf("option %s: cannot use %q: allowed is %s", name, value, allowed))
}

// Conflict notes a problem between options, in one sentence.
func (s *Set) Conflict(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// Err returns all problems found so far, one a line, or nil.
func (s *Set) Err() error { return errors.Join(s.errs...) }

// Names returns every option asked for, sorted: what the plugin knows.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.asked))
	for n := range s.asked {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// String returns the option's text, def when it is not set.
func (s *Set) String(name, def string) string {
	if v, ok := s.Lookup(name); ok {
		return v
	}
	return def
}

// Raw returns the option's text with its white space, def when it is not set.
func (s *Set) Raw(name, def string) string {
	if _, ok := s.Lookup(name); !ok {
		return def
	}
	return s.get(name)
}

// Required returns the option's text, and notes a problem when it is not set.
func (s *Set) Required(name string) string {
	v, ok := s.Lookup(name)
	if !ok {
		s.errs = append(s.errs, fmt.Errorf("option %s: it is required and not set", name))
	}
	return v
}

// Bool takes what Fluent Bit itself takes for its own options: true, on, yes,
// 1 and false, off, no, 0, in any case.
func (s *Set) Bool(name string, def bool) bool {
	v, ok := s.Lookup(name)
	if !ok {
		return def
	}
	switch strings.ToLower(v) {
	case "true", "on", "yes", "1":
		return true
	case "false", "off", "no", "0":
		return false
	}
	s.Fail(name, v, "true, on, yes, 1, false, off, no or 0")
	return def
}

// Int returns a whole number from min to max.
func (s *Set) Int(name string, def, min, max int) int {
	v, ok := s.Lookup(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < min || n > max {
		s.Fail(name, v, fmt.Sprintf("a whole number from %d to %d", min, max))
		return def
	}
	return n
}

// OneOf returns one of the allowed words, in lower case; any case is taken.
// Give the allowed words in lower case.
func (s *Set) OneOf(name, def string, allowed ...string) string {
	v, ok := s.Lookup(name)
	if !ok {
		return def
	}
	for _, a := range allowed {
		if strings.EqualFold(v, a) {
			return a
		}
	}
	s.Fail(name, v, strings.Join(allowed, ", "))
	return def
}

// Duration takes "250ms", "10s", "2m", or a bare number of seconds.
func (s *Set) Duration(name string, def, min, max time.Duration) time.Duration {
	v, ok := s.Lookup(name)
	if !ok {
		return def
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		var seconds float64
		seconds, err = strconv.ParseFloat(v, 64)
		// Compared before the conversion, and so that NaN fails: beyond an int64
		// a conversion has no defined result.
		if err == nil && !(seconds >= min.Seconds() && seconds <= max.Seconds()) {
			err = strconv.ErrRange
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	if err != nil || d < min || d > max {
		s.Fail(name, v, fmt.Sprintf("a duration from %v to %v, as 250ms, 10s, 2m or a number of seconds", min, max))
		return def
	}
	return d
}

// Size takes a number of bytes, or one with K, KB, M, MB, G or GB (powers of
// 1,024, as Fluent Bit's own sizes).
func (s *Set) Size(name string, def, min, max int) int {
	v, ok := s.Lookup(name)
	if !ok {
		return def
	}
	n, err := parseSize(v)
	if err != nil || n < int64(min) || n > int64(max) {
		s.Fail(name, v, fmt.Sprintf("a size from %d to %d bytes, also as 512K or 1M", min, max))
		return def
	}
	return int(n)
}

func parseSize(v string) (int64, error) {
	number := strings.TrimSuffix(strings.ToUpper(v), "B")
	unit := int64(1)
	switch {
	case strings.HasSuffix(number, "K"):
		unit = 1 << 10
	case strings.HasSuffix(number, "M"):
		unit = 1 << 20
	case strings.HasSuffix(number, "G"):
		unit = 1 << 30
	}
	if unit > 1 {
		number = number[:len(number)-1]
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > (1<<62)/unit {
		return 0, strconv.ErrRange
	}
	return n * unit, nil
}

// List returns the parts of a comma separated option, each without its
// surrounding white space; empty parts are left out.
func (s *Set) List(name string) []string {
	v, _ := s.Lookup(name)
	var parts []string
	for _, p := range strings.Split(v, ",") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// Pairs returns the keys and values of "k=v,k2=v2", in that order. A value may
// hold "=" and be empty; a key may not.
func (s *Set) Pairs(name string) [][2]string {
	var pairs [][2]string
	for _, p := range s.List(name) {
		k, v, ok := strings.Cut(p, "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" {
			s.Fail(name, p, "key=value pairs with commas between them")
			continue
		}
		pairs = append(pairs, [2]string{k, v})
	}
	return pairs
}
