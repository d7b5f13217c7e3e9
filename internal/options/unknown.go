package options

import (
	"fmt"
	"slices"
	"strings"
)

// fluentBits are the options of an [OUTPUT] that Fluent Bit takes for itself.
// None of them reaches a plugin, save with an empty value (src/flb_output.c,
// flb_output_set_property; active and condition are of
// src/flb_config_map.c, flb_config_map_properties_check).
var fluentBits = []string{
	"name", "match", "match_regex", "alias", "active", "condition", "workers", "retry_limit", "log_level",
	"log_suppress_interval", "host", "port", "ipv6", "tls", "storage.total_limit_size", "processors",
}

// fluentBitsPrefixes begin options that are Fluent Bit's too.
var fluentBitsPrefixes = []string{"net.", "tls.", "oauth2", "_debug."}

// IsFluentBits says whether an option of an [OUTPUT] is one of Fluent Bit's own.
func IsFluentBits(key string) bool {
	key = strings.ToLower(key)
	for _, p := range fluentBitsPrefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return slices.Contains(fluentBits, key)
}

// Unknown is an option of a section that neither the plugin nor Fluent Bit has.
type Unknown struct {
	Key     string
	Nearest string // the option it looks most like; "" when it looks like none
	// Misspelt says that Key and Nearest differ by so little that one was meant
	// for the other.
	Misspelt bool
}

func (u Unknown) String() string {
	switch {
	case u.Misspelt:
		return fmt.Sprintf("option %s: there is no such option, the nearest is %s", u.Key, u.Nearest)
	case u.Nearest != "":
		return fmt.Sprintf("option %s: there is no such option, it has no effect; the nearest is %s", u.Key, u.Nearest)
	}
	return fmt.Sprintf("option %s: there is no such option, it has no effect", u.Key)
}

// FindUnknown returns those of a section's keys that are not among known, what
// the plugin asks for, nor among Fluent Bit's own. Keys of any case are taken, as
// Fluent Bit does.
func FindUnknown(keys, known []string) (unknown []Unknown) {
	all := append(slices.Clone(known), fluentBits...)
	for _, key := range keys {
		lower := strings.ToLower(key)
		if slices.Contains(known, lower) || IsFluentBits(lower) {
			continue
		}
		u := Unknown{Key: key}
		u.Nearest, u.Misspelt = nearest(lower, all)
		if !slices.Contains(unknown, u) {
			unknown = append(unknown, u)
		}
	}
	return unknown
}

// FindRepeated returns the keys that are there more than once, each once.
func FindRepeated(keys []string) (repeated []string) {
	seen := make(map[string]int)
	for _, key := range keys {
		lower := strings.ToLower(key)
		if seen[lower]++; seen[lower] == 2 {
			repeated = append(repeated, lower)
		}
	}
	return repeated
}

// nearest returns which of the names is most like key, "" if none is. sure says
// that they differ by a slip of the keyboard or two; else one has all the words
// of the other.
func nearest(key string, names []string) (name string, sure bool) {
	// A hyphen or a dot for an underscore is no difference of words.
	plain := strings.NewReplacer("-", "_", ".", "_", " ", "_").Replace
	key = plain(key)
	best := 0
	for _, n := range names {
		d := distance(key, plain(n))
		// One slip, or two in a long name; none in a short one: "sort" is not "port".
		slip := d <= 2 && 4*d < min(len(key), len(n))
		if !slip && (n == "name" || !sameWords(key, plain(n))) {
			continue // nobody who writes log_group_name means Name
		}
		if name == "" || slip && !sure || slip == sure && d < best {
			name, sure, best = n, slip, d
		}
	}
	return name, sure
}

// sameWords says whether one has all the words of the other, and one or two more.
func sameWords(a, b string) bool {
	few, many := strings.Split(a, "_"), strings.Split(b, "_")
	if len(few) > len(many) {
		few, many = many, few
	}
	if len(many)-len(few) > 2 {
		return false
	}
	for _, word := range few {
		if word == "" || !slices.Contains(many, word) {
			return false
		}
	}
	return true
}

// distance is how many letters have to be put in, left out, changed, or swapped
// with their neighbor to make b of a.
func distance(a, b string) int {
	// Three rows of the table of distances between prefixes.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := last[j-1]
			if a[i-1] != b[j-1] {
				d = 1 + min(d, last[j], row[j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, 1+before[j-2])
			}
			row[j] = d
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
