package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// section is one section of a Fluent Bit configuration in the classic format.
type section struct {
	name string // INPUT, OUTPUT, ...
	keys []string
	vals []string
}

// get returns a key's value, "" if it is not set. Case does not matter.
func (s section) get(key string) string {
	for i, k := range s.keys {
		if strings.EqualFold(k, key) {
			return s.vals[i]
		}
	}
	return ""
}

var envReference = regexp.MustCompile(`\$\{[A-Za-z_0-9]+\}`)

// readConfig reads the sections called name from a configuration file, with
// ${NAME} replaced from the environment. It knows of comments and sections,
// which is what the demo's own files need.
func readConfig(file, name string) ([]section, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []section
	for n, l := range strings.Split(string(text), "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || l[0] == '#':
		case l[0] == '[' && l[len(l)-1] == ']':
			all = append(all, section{name: l[1 : len(l)-1]})
		case len(all) == 0:
			return nil, fmt.Errorf("cannot read line %d of %s: it belongs to no section", n+1, file)
		default:
			key, val, _ := strings.Cut(l, " ")
			val = envReference.ReplaceAllStringFunc(strings.TrimSpace(val), func(ref string) string { return os.Getenv(ref[2 : len(ref)-1]) })
			s := &all[len(all)-1]
			s.keys, s.vals = append(s.keys, key), append(s.vals, val)
		}
	}
	var found []section
	for _, s := range all {
		if strings.EqualFold(s.name, name) {
			found = append(found, s)
		}
	}
	return found, nil
}
