package records

import (
	"strings"
	"sync"

	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/template"
)

// maxStreams bounds the streams that are remembered; what is forgotten costs a
// stream its pace.
const maxStreams = 1000

// Streams are where an output's chunks go: to one stream, or each to one that
// its tag names. A name that went by records would spread a chunk over several
// streams, and one that is missing would hold back what is for the others.
type Streams struct {
	template *template.Template // nil: there is one stream
	longest  int
	open     func(name string) *Service

	fixed *Service
	mu    sync.Mutex
	known map[string]*Service
}

// ParseStream reads an option that names a stream and may be a template of the
// tag, in either language. It returns nil if it is not one: then the option's
// value is for the plugin to check.
func ParseStream(s *options.Set, option string) (t *template.Template, isOne bool) {
	text, _ := s.Lookup(option)
	if !strings.Contains(text, "$") {
		return nil, false
	}
	t, err := template.ParseAccessor(text)
	switch {
	case err != nil:
		s.Conflict("option %s: %w", option, err)
	case t.NeedsRecord() || t.NeedsECS() || t.NeedsUUID():
		s.Fail(option, text, "variables of the tag, as $(tag) and $(tag[1]|default): a chunk goes to one stream")
	case t.MayMiss() != "":
		s.Conflict("option %s: %s may have no value: give it one, as $(tag[1]|default)", option, t.MayMiss())
	}
	return t, true
}

// NewStreams returns the streams of an output: what t makes of tags, or if it is
// nil, name. A stream's name has at most longest characters. open makes the
// Service of one.
func NewStreams(name string, t *template.Template, longest int, open func(name string) *Service) *Streams {
	if t == nil {
		return &Streams{fixed: open(name)}
	}
	return &Streams{template: t, longest: longest, open: open, known: make(map[string]*Service)}
}

// Of returns where chunks of a tag go.
func (s *Streams) Of(tag string) *Service {
	if s.template == nil {
		return s.fixed
	}
	// What is missing is the parser's to refuse.
	raw, _ := s.template.Append(nil, &template.Input{Tag: tag})
	name := streamName(raw, s.longest)
	s.mu.Lock()
	defer s.mu.Unlock()
	service := s.known[name]
	if service == nil {
		if len(s.known) >= maxStreams {
			clear(s.known)
		}
		service = s.open(name)
		s.known[name] = service
	}
	return service
}

// streamName returns a name that the services take: what is no letter, digit, _,
// - or dot becomes a dot, and what is too long is cut off.
func streamName(raw []byte, longest int) string {
	var b strings.Builder
	for _, r := range string(raw) {
		switch {
		case b.Len() == longest:
			return b.String()
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			b.WriteRune(r)
		default:
			b.WriteByte('.')
		}
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}
