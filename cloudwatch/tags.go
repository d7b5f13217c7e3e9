package cloudwatch

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/template"
)

// tagTemplates are the tags of new log groups whose values are templates, by key.
type tagTemplates map[string]*template.Template

// tagger makes the tags of log groups that a flush may have to create, for each
// from the first record that goes there. Walking goroutine and senders use it.
type tagger struct {
	p     *Plugin
	names *chunkNames // for the walking goroutine alone

	mu     sync.Mutex
	groups map[string]map[string]string // by the group's name
}

// newTagger returns nil if no tag goes by records, or no group gets tags.
func (p *Plugin) newTagger(names *chunkNames) *tagger {
	if len(p.tagTemplates) == 0 || !p.createGroup && p.existing != updateGroup {
		return nil
	}
	return &tagger{p: p, names: names, groups: make(map[string]map[string]string)}
}

// see is called for each stream of the flush, right after its first record got
// its names.
func (t *tagger) see(group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.groups[group]; ok {
		return
	}
	tags := make(map[string]string, len(t.p.groupTags))
	var raw []byte
	for _, tag := range t.p.groupTags {
		value := tag.value
		if tm := t.p.tagTemplates[tag.key]; tm != nil {
			var missing *template.MissingError
			if raw, missing = tm.Append(raw[:0], &t.names.in); missing != nil {
				t.p.Said.Warn("tag "+tag.key, "option new_log_group_tags: a log group gets no tag %q: %v", tag.key, missing)
				continue
			}
			value = cleanTag(raw)
		}
		tags[tag.key] = value
	}
	t.groups[group] = tags
}

// of returns a group's tags.
func (t *tagger) of(group string) map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.groups[group]
}

// cleanTag returns a value that the service takes for a tag: other characters
// become dots, and what is too long is cut off.
func cleanTag(value []byte) string {
	var b strings.Builder
	for n := 0; len(value) > 0 && n < maxTagValue; n++ {
		r, size := utf8.DecodeRune(value)
		value = value[size:]
		switch {
		case r == utf8.RuneError, !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r):
			b.WriteByte('.')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
