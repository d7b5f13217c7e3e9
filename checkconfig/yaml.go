package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// readYAML reads the YAML format as src/config_format/flb_cf_yaml.c does, as far
// as outputs and the service go.
func (c *config) readYAML(file string, text []byte) error {
	var document yaml.Node
	err := yaml.Unmarshal(text, &document)
	if errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0 {
		return nil // it is empty
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	y := yamlFile{config: c, file: file}
	return y.top(document.Content[0])
}

type yamlFile struct {
	*config
	file string
}

// pairs calls f for each key and value of a map.
func (y *yamlFile) pairs(n *yaml.Node, f func(key, value *yaml.Node) error) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: there must be keys and values", y.file, n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := f(n.Content[i], n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// items calls f for each item of a sequence.
func (y *yamlFile) items(n *yaml.Node, f func(item *yaml.Node) error) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("%s:%d: there must be a list", y.file, n.Line)
	}
	for _, item := range n.Content {
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}

func (y *yamlFile) top(n *yaml.Node) error {
	return y.pairs(n, func(key, value *yaml.Node) error {
		switch strings.ToLower(key.Value) {
		case "includes":
			return y.items(value, func(item *yaml.Node) error {
				if err := y.includeAll(y.file, item.Value); err != nil {
					return fmt.Errorf("%s:%d: %w", y.file, item.Line, err)
				}
				return nil
			})
		case "env":
			return y.environment(value)
		case "service":
			return y.section("service", key.Line, value)
		case "pipeline":
			return y.pairs(value, func(key, value *yaml.Node) error {
				if strings.ToLower(key.Value) != "outputs" {
					return nil
				}
				return y.items(value, func(item *yaml.Node) error { return y.section("output", item.Line, item) })
			})
		}
		return nil
	})
}

// environment is a map, or a list of maps: NAME: VALUE, or name: NAME, value: VALUE.
func (y *yamlFile) environment(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return y.items(n, y.environment)
	}
	named := make(map[string]string)
	err := y.pairs(n, func(key, value *yaml.Node) error {
		switch key.Value {
		case "name", "value", "uri", "refresh_interval":
			named[key.Value] = value.Value
		default:
			y.env[key.Value] = value.Value
		}
		return nil
	})
	if named["name"] != "" {
		y.env[named["name"]] = named["value"]
	}
	return err
}

// section reads one. A list sets its option once for each of its items.
func (y *yamlFile) section(kind string, line int, n *yaml.Node) error {
	s := &section{file: y.file, line: line, kind: kind}
	y.sections = append(y.sections, s)
	return y.pairs(n, func(key, value *yaml.Node) error {
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		name := snakeCase(key.Value)
		switch value.Kind {
		case yaml.ScalarNode:
			s.entries = append(s.entries, entry{name, value.Value, key.Line})
		case yaml.SequenceNode:
			for _, item := range value.Content {
				s.entries = append(s.entries, entry{name, item.Value, item.Line})
			}
		}
		return nil
	})
}

// snakeCase is what Fluent Bit makes of a key: autoCreateGroup is auto_create_group
// (src/config_format/flb_config_format.c, flb_cf_key_translate).
func snakeCase(key string) string {
	if key == "" || !unicode.IsLower(rune(key[0])) || strings.Contains(key, "_") {
		return strings.ToLower(key)
	}
	var b strings.Builder
	for _, r := range key {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
