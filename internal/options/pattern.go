package options

import "regexp"

// Pattern is a regular expression that an option's value is to match. It is compiled
// where a value is checked, which is once for an output, and not kept: compiled in
// advance, all of them would take memory for as long as the library is loaded, whether
// or not there are such options.
type Pattern string

// Match says whether the value matches.
func (p Pattern) Match(value string) bool { return regexp.MustCompile(string(p)).MatchString(value) }

// Find returns the match and what its groups match, nil for no match.
func (p Pattern) Find(value string) []string {
	return regexp.MustCompile(string(p)).FindStringSubmatch(value)
}
