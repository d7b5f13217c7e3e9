package cloudwatch

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/template"
)

// What the service takes as names.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	// maxName is 512 characters for the service. It is counted in bytes here, as
	// AWS's Go plugin does, so that long names stay what they are there.
	maxName     = 512
	groupLegal  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./#"
	streamWrong = ":*"
)

const (
	// maxNames bounds the names that are remembered: those made from records
	// have no end.
	maxNames = 10_000
	// reportEvery is how often it is said again that a variable is missing.
	reportEvery = 10 * time.Minute
)

// target is where an event goes. It is a key of maps as it is: put together to
// one text, group "a" with stream "bc" and "ab" with "c" would be the same.
type target struct{ group, stream string }

// nameConfig is what the options say about names.
type nameConfig struct {
	group, stream nameRule
	tags          []*template.Template // of groups: made of the same
}

// nameRule is how one of the two names is made: by the first of its sources
// that gives one, or else it is the default.
type nameRule struct {
	alphabet      *alphabet
	sources       []nameSource
	defaultOption string
	defaultName   string
}

// nameSource is an option that gives a name.
type nameSource struct {
	option   string
	template *template.Template
	misses   []*missCount // one for each variable, and one for a name that comes out empty
}

// missCount counts the records that a source had no name for.
type missCount struct {
	records  atomic.Uint64
	reported atomic.Uint64 // of them, when it was last said
	last     atomic.Int64  // when that was, in nanoseconds since 1970; 0: never
}

// parseNames reads the options about names.
//
// log_group_template and log_stream_template are the C plugin's, and come
// first, as there. With one of them, log_group_name, or log_stream_name and
// log_stream_prefix, may be left out; the C plugin insists on them.
func parseNames(s *options.Set) nameConfig {
	c := nameConfig{
		group:  nameRule{alphabet: &groupAlphabet},
		stream: nameRule{alphabet: &streamAlphabet},
	}
	c.group.setDefault(s, "default_log_group_name", "fluentbit-default")
	c.group.addTemplate(s, "log_group_template", template.ParseAccessor)
	c.group.addTemplate(s, "log_group_name", template.Parse)
	if len(c.group.sources) == 0 {
		s.Required("log_group_name")
	}

	c.stream.setDefault(s, "default_log_stream_name", "/fluentbit-default")
	c.stream.addTemplate(s, "log_stream_template", template.ParseAccessor)
	c.stream.addTemplate(s, "log_stream_name", template.Parse)
	prefix, hasPrefix := s.Lookup("log_stream_prefix")
	_, hasName := s.Lookup("log_stream_name")
	switch {
	case hasPrefix && hasName:
		s.Conflict("options log_stream_name and log_stream_prefix: both are set, allowed is one of them")
	case hasPrefix:
		c.stream.add("log_stream_prefix", template.PrefixTag(prefix))
	case len(c.stream.sources) == 0:
		s.Conflict("options log_stream_name and log_stream_prefix: neither is set, one of them is required")
	}
	return c
}

func (r *nameRule) setDefault(s *options.Set, option, def string) {
	r.defaultOption = option
	r.defaultName = string(r.alphabet.clean(new([]byte), []byte(s.String(option, def))))
}

// addTemplate adds the option if it is set. One that cannot be read is added
// too, as an empty one, so that it does not count as missing as well.
func (r *nameRule) addTemplate(s *options.Set, option string, parse func(string) (*template.Template, error)) {
	text, ok := s.Lookup(option)
	if !ok {
		return
	}
	t, err := parse(text)
	if err != nil {
		s.Conflict("option %s: %w", option, err)
		t = &template.Template{}
	}
	r.add(option, t)
}

func (r *nameRule) add(option string, t *template.Template) {
	src := nameSource{option: option, template: t}
	for range t.Variables() + 1 {
		src.misses = append(src.misses, new(missCount))
	}
	r.sources = append(r.sources, src)
}

// perRecord tells whether two records with one tag may get different names.
func (r *nameRule) perRecord() bool {
	for i := range r.sources {
		if r.sources[i].template.NeedsRecord() {
			return true
		}
	}
	return false
}

// instead is the option that is used when source i has no name.
func (r *nameRule) instead(i int) string {
	if i+1 < len(r.sources) {
		return r.sources[i+1].option
	}
	return r.defaultOption
}

// nameMiss says that an option had no name for some records.
type nameMiss struct {
	option   string // whose value is template
	template string
	reason   string // names the variable
	instead  string // the option that is used in its place
	tag      string // of one of the records
	records  uint64 // since this was last said; 0: none yet, but it will happen
}

func (m nameMiss) String() string {
	text := fmt.Sprintf("option %s: %q gives no name: %s; option %s is used instead", m.option, m.template, m.reason, m.instead)
	if m.records > 0 {
		text += fmt.Sprintf(" (tag %q, %d records)", m.tag, m.records)
	}
	return text
}

// names gives every record of an output its log group and log stream. It is
// safe for concurrent use.
type names struct {
	nameConfig
	uuid   string
	ecs    *ecsMetadata            // nil if no template needs it
	ec2    *metadata[template.EC2] // asked only for what a record lacks
	asked  bool                    // some template may ask it
	otel   bool                    // some template reads what comes by OpenTelemetry
	report func(nameMiss)
	now    func() time.Time

	mu    sync.RWMutex
	known map[string]string // names in use, so that they are not allocated again
}

// newNames makes what parseNames read ready for use. ecs is asked only when a
// template needs it; where EC2's metadata comes from is set later.
//
// report is told of each variable without a value when it is met for the first
// time, and then at most every reportEvery: AWS's plugin writes a line for
// every record, which made users 53 million of them in an hour. It is called
// during a flush, from any goroutine.
func newNames(c nameConfig, ecs *ecsMetadata, report func(nameMiss)) *names {
	n := &names{nameConfig: c, uuid: newID(time.Now()), report: report, now: time.Now, known: make(map[string]string)}
	for _, r := range []*nameRule{&c.group, &c.stream} {
		for i, src := range r.sources {
			n.asked = n.asked || src.template.NeedsEC2()
			n.otel = n.otel || src.template.NeedsOpenTelemetry()
			if !src.template.NeedsECS() {
				continue
			}
			n.ecs = ecs
			if ecs.inTask() || !src.template.FailsWithoutECS() {
				continue
			}
			// Not an error: a configuration made for ECS is tried out elsewhere
			// too, and with AWS's plugin it runs there with the default names.
			report(nameMiss{
				option: src.option, template: src.template.String(), instead: r.instead(i),
				reason: "it needs an ECS task, and neither " + ecsEnvV4 + " nor " + ecsEnvV3 + " is set",
			})
		}
	}
	for _, tm := range c.tags {
		n.asked = n.asked || tm.NeedsEC2()
		n.otel = n.otel || tm.NeedsOpenTelemetry()
		if tm.NeedsECS() {
			n.ecs = ecs
		}
	}
	return n
}

// chunkNames gives the names of one chunk's records. It is for one goroutine.
type chunkNames struct {
	names         *names
	in            template.Input
	group, stream namer
}

// chunk returns the names for records with this tag. It may wait up to
// ecsDeadline for the ECS task's metadata, if a template needs it and it is not
// known yet.
func (n *names) chunk(ctx context.Context, tag string) *chunkNames {
	c := &chunkNames{names: n, in: template.Input{Tag: tag, UUID: n.uuid}}
	if n.ecs != nil {
		c.in.ECS = n.ecs.get(ctx)
	}
	if n.asked && n.ec2 != nil {
		c.in.EC2 = func() *template.EC2 { return n.ec2.get(ctx) }
	}
	c.group.start(c, &n.nameConfig.group)
	c.stream.start(c, &n.nameConfig.stream)
	return c
}

// target returns where a record with this time and body goes, and whether an option had
// no name for it, so that another stands in. A name that was met before costs
// no allocation.
func (c *chunkNames) target(when chunk.Time, body []byte) (t target, substitute bool) {
	c.in.Time, c.in.Body = when, body
	c.group.next(c)
	c.stream.next(c)
	return target{c.group.name, c.stream.name}, c.group.missed+c.stream.missed > 0
}

// namer makes one of the two names for a chunk's records.
type namer struct {
	rule      *nameRule
	perRecord bool
	name      string
	missed    int         // how many of the rule's sources had no name
	why       [2]nameLack // for each of them
	raw, last []byte      // owned, for reuse: the text just made, and the one that name was made from
	scratch   []byte      // owned, for reuse
}

// nameLack is the reason that a source had no name: a variable, or nil if the
// name came out empty.
type nameLack struct{ variable *template.MissingError }

func (m *namer) start(c *chunkNames, r *nameRule) {
	m.rule = r
	if m.perRecord = r.perRecord(); !m.perRecord {
		m.make(c)
	}
}

func (m *namer) next(c *chunkNames) {
	if m.perRecord {
		m.make(c)
	}
	for i := range m.missed {
		c.names.count(m.rule, i, m.why[i], c.in.Tag)
	}
}

func (m *namer) make(c *chunkNames) {
	m.missed = 0
	for i := range m.rule.sources {
		var missing *template.MissingError
		m.raw, missing = m.rule.sources[i].template.Append(m.raw[:0], &c.in)
		if missing == nil && len(m.raw) > 0 {
			m.use(c.names)
			return
		}
		m.why[i] = nameLack{missing}
		m.missed++
	}
	m.name, m.last = m.rule.defaultName, m.last[:0]
}

// use takes the text in raw for the name. Most records have the name of the one
// before, which is seen without cleaning it and looking it up.
func (m *namer) use(n *names) {
	if bytes.Equal(m.raw, m.last) {
		return
	}
	m.name = n.intern(m.rule.alphabet.clean(&m.scratch, m.raw))
	m.raw, m.last = m.last, m.raw
}

// intern returns b as a string, the same one each time.
func (n *names) intern(b []byte) string {
	n.mu.RLock()
	s, ok := n.known[string(b)] // does not allocate
	n.mu.RUnlock()
	if ok {
		return s
	}
	s = string(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= maxNames {
		clear(n.known)
	}
	n.known[s] = s
	return s
}

// count notes that the rule's source i had no name for a record.
func (n *names) count(r *nameRule, i int, why nameLack, tag string) {
	src := &r.sources[i]
	reason, index := "the name comes out empty", len(src.misses)-1
	if why.variable != nil {
		index = why.variable.Index
	}
	m := src.misses[index]
	records := m.records.Add(1)

	now, last := n.now().UnixNano(), m.last.Load()
	if last != 0 && now-last < int64(reportEvery) || !m.last.CompareAndSwap(last, now) {
		return
	}
	if why.variable != nil {
		reason = why.variable.Error()
	}
	n.report(nameMiss{
		option: src.option, template: src.template.String(), reason: reason,
		instead: r.instead(i), tag: tag, records: records - m.reported.Swap(records),
	})
}

// alphabet is the characters that a kind of name may have.
type alphabet struct {
	ascii   [utf8.RuneSelf]bool
	unicode bool // all others
}

var groupAlphabet, streamAlphabet = newGroupAlphabet(), newStreamAlphabet()

func newGroupAlphabet() (a alphabet) {
	for _, c := range groupLegal {
		a.ascii[c] = true
	}
	return a
}

func newStreamAlphabet() (a alphabet) {
	for c := range a.ascii {
		a.ascii[c] = !bytes.ContainsRune([]byte(streamWrong), rune(c))
	}
	a.unicode = true
	return a
}

// clean returns a name that the service takes: each character outside of the
// alphabet becomes one dot, bytes that are not UTF-8 count as U+FFFD, and what
// is over maxName bytes is cut off, in front of a character. The result is
// either name, or a part of it, or in scratch, which grows to hold it; name is never
// written to.
//
// AWS's Go plugin puts a dot for every byte, so that "é" becomes two, and for
// "#", which is legal; it may cut a character in half; and it lets prefixed and
// default names through as they are, which the service then refuses.
func (a *alphabet) clean(scratch *[]byte, name []byte) []byte {
	i := 0
	for i < len(name) && i < maxName && name[i] < utf8.RuneSelf && a.ascii[name[i]] {
		i++
	}
	if i == len(name) || i == maxName {
		return name[:i]
	}
	out := append((*scratch)[:0], name[:i]...)
	for i < len(name) {
		r, size := utf8.DecodeRune(name[i:])
		i += size
		if r < utf8.RuneSelf && !a.ascii[r] || r >= utf8.RuneSelf && !a.unicode {
			r = '.'
		}
		if len(out)+utf8.RuneLen(r) > maxName {
			break
		}
		out = utf8.AppendRune(out, r)
	}
	*scratch = out
	return out
}

// newID returns a random id of the form that AWS's Go plugin documents for
// $(uuid): four bytes of time and sixteen random ones, as 27 letters and
// digits. Ids sort by the second they were made in.
func newID(now time.Time) string {
	const (
		digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		epoch  = 1_400_000_000 // of May 2014, for 32 bits to last until 2150
	)
	var b [20]byte
	binary.BigEndian.PutUint32(b[:], uint32(now.Unix()-epoch))
	rand.Read(b[4:])

	// The bytes are one number, divided by 62 for each digit from the last on.
	var id [27]byte
	for i := len(id) - 1; i >= 0; i-- {
		rest := 0
		for j, v := range b {
			n := rest<<8 | int(v)
			b[j], rest = byte(n/len(digits)), n%len(digits)
		}
		id[i] = digits[rest]
	}
	return string(id[:])
}
