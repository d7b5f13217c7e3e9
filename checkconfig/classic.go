package main

import (
	"fmt"
	"strings"
)

// readClassic reads the classic format as src/config_format/flb_cf_fluentbit.c
// does: [SECTION] and @COMMAND begin a line, KEY VALUE lines are indented, all of
// a file in the same way, and a key ends at the first space.
func (c *config) readClassic(file, text string) error {
	var now *section
	indent := ""
	group := false // lines with twice the indent are of a group, as [PROCESSORS]
	number := 0
	for line := range strings.Lines(text) {
		number++
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("%s:%d: %w", file, number, fmt.Errorf(format, args...))
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		rest := strings.TrimLeft(line, " \t")
		switch {
		case rest == "" || rest[0] == '#':
			continue
		case line[0] == '@':
			if err := c.command(file, line); err != nil {
				return wrong("%w", err)
			}
			continue
		case line[0] == '[':
			name, _, ok := strings.Cut(line[1:], "]")
			if !ok {
				return wrong("a section's name has no ]")
			}
			group = false
			now = &section{file: file, line: number, kind: strings.ToLower(name)}
			c.sections = append(c.sections, now)
			continue
		}

		if indent == "" {
			indent = line[:len(line)-len(rest)]
		}
		own := line[:len(line)-len(rest)]
		switch {
		case indent == "":
			return wrong("%q is not indented", line)
		case own != indent && own != indent+indent:
			return wrong("it is not indented like the lines before")
		case rest[0] == '[':
			group = true
			continue
		case own == indent:
			group = false
		case group:
			continue
		}
		key, value, _ := strings.Cut(rest, " ")
		if value = strings.TrimSpace(value); value == "" {
			return wrong("%s has no value", key)
		}
		if now == nil {
			return wrong("%s is in no section", key)
		}
		now.entries = append(now.entries, entry{strings.ToLower(key), value, number})
	}
	return nil
}

// command does what a line that begins with @ says.
func (c *config) command(file, line string) error {
	name, argument, _ := strings.Cut(line[1:], " ")
	switch strings.ToLower(name) {
	case "include":
		return c.includeAll(file, argument)
	case "set":
		key, value, ok := strings.Cut(strings.TrimSpace(argument), "=")
		if !ok {
			return fmt.Errorf("@SET wants NAME=VALUE")
		}
		c.env[key] = value
	}
	return nil
}
