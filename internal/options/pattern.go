package options

import "regexp"

// Pattern is a regular expression that an option's value is to match. It is compiled
// for each use, which is once at start: compiled in advance, those of the three
// plugins would be a twentieth of the memory that the library takes at rest, whether
// or not there are such options.
type Pattern string

// Match says whether the value matches.
func (p Pattern) Match(value string) bool { return regexp.MustCompile(string(p)).MatchString(value) }

// Find returns the match and what its groups match, nil for no match.
func (p Pattern) Find(value string) []string {
	return regexp.MustCompile(string(p)).FindStringSubmatch(value)
}
