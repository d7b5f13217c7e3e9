package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// config is what the files of a configuration say.
type config struct {
	sections []*section
	env      map[string]string // of @SET and env
	lookup   func(string) (string, bool)
	files    []string // read so far; Fluent Bit reads none twice
}

// section is [SERVICE], an [OUTPUT] and so on.
type section struct {
	file    string
	line    int
	kind    string // service, output, ...
	entries []entry
}

// entry is an option as it is written; the key is in Fluent Bit's spelling.
type entry struct {
	key, value string
	line       int
}

// get returns the value of the first entry with that key, "" if there is none.
func (s *section) get(key string) (value string, line int) {
	for _, e := range s.entries {
		if strings.EqualFold(e.key, key) {
			return e.value, e.line
		}
	}
	return "", s.line
}

// read reads a configuration by the format that its name says.
func read(file string, lookupEnv func(string) (string, bool)) (*config, error) {
	c := &config{env: make(map[string]string), lookup: lookupEnv}
	if err := c.include(file); err != nil {
		return nil, err
	}
	return c, nil
}

// include reads one file. Fluent Bit goes by the name too (src/config_format/flb_config_format.c,
// flb_cf_create_from_file).
func (c *config) include(file string) error {
	for _, f := range c.files {
		if f == file {
			return fmt.Errorf("%s: it is included twice", file)
		}
	}
	c.files = append(c.files, file)
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	switch filepath.Ext(file) {
	case ".yaml", ".yml":
		return c.readYAML(file, text)
	}
	return c.readClassic(file, string(text))
}

// includeAll reads what a pattern names, which is relative to the file it stands in.
func (c *config) includeAll(from, pattern string) error {
	pattern = strings.TrimSpace(pattern)
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	if !strings.Contains(pattern, "*") {
		return c.include(pattern)
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no file is like %s", pattern)
	}
	for _, f := range files {
		if err := c.include(f); err != nil {
			return err
		}
	}
	return nil
}

// expand puts in ${NAME} and ${NAME:-default}, as src/flb_env.c does. unset are the
// names that have no value here.
func (c *config) expand(text string) (value string, unset []string) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed || name == "" {
			b.WriteString(text)
			return b.String(), unset
		}
		b.WriteString(before)
		name, def, hasDefault := strings.Cut(name, ":-")
		v, isSet := c.variable(name)
		switch {
		case hasDefault && v == "":
			b.WriteString(def)
		case !isSet:
			unset = append(unset, name)
		default:
			b.WriteString(v)
		}
		text = after
	}
}

func (c *config) variable(name string) (string, bool) {
	if v, ok := c.env[name]; ok {
		return v, true
	}
	v, ok := c.lookup(name)
	if !ok && name == "HOSTNAME" { // Fluent Bit sets this one itself
		host, err := os.Hostname()
		return host, err == nil
	}
	return v, ok
}
