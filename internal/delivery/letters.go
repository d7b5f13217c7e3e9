package delivery

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// A record that is given up may be kept as a letter: one line of JSON that says
// why, to a stream of the service, or a file for what that does not take. While
// the chunk is Fluent Bit's to hold there is no need for copies: the flush notes
// which records it has given up, and reads them again at its end. What is not
// asked for costs nothing, and nothing waits in memory for a slow disk.

// Cause says why records are given up.
type Cause struct {
	Why           Reason
	Text          string // more of it: what the service says; of MissingKey the keys, of TooLarge the option
	Err           error  // instead of Text
	Group, Stream string // where they were to go, "" where that is not known; a group is CloudWatch Logs'
}

// dead is a record that was given up.
type dead struct{ record, cause int }

// keeps says whether records that are given up for a reason are worth a letter:
// there must be something in them, and a chunk to read it from.
func (l *letters) keeps(why Reason) bool {
	return (l.file != nil || l.side != nil) && why != Empty && why != Abandoned
}

// Side is an output that takes letters.
type Side interface {
	Flush(Chunk) Result
	Close()
}

// letters is where an output's letters go.
type letters struct {
	file  *letterFile // nil: none
	side  Side        // nil: none
	limit int         // bytes of one, for side
	group string      // log group of those for which none is known
	rest  atomic.Int64
}

const (
	// letterBudget bounds how long letters hold up a flush, the time of a call aside.
	letterBudget = 5 * time.Second
	// sideRest is how long the stream is left alone after it has taken nothing.
	sideRest = 30 * time.Second
	// letterPiece is how many bytes of letters are delivered at a time.
	letterPiece = 1 << 20
)

// parse reads the options dead_letter_file and dead_letter_max_size. The
// plugin's own, dead_letter_stream, leads to OpenLetters.
func (l *letters) parse(s *options.Set) {
	size := s.Size("dead_letter_max_size", 64<<20, 64<<10, 1<<40)
	path := s.String("dead_letter_file", "")
	if path == "" {
		return
	}
	l.file = openLetterFile(path, size)
	if err := l.file.check(); err != nil {
		s.Conflict("option dead_letter_file: cannot write to %q: %w", path, err)
	}
}

// LetterOutput is an output for letters.
type LetterOutput struct {
	Options map[string]string // that it has instead of those of the output whose letters it takes
	Open    func(Env, options.Getter) (Side, error)
	Bytes   int    // of one letter
	Group   string // log group of letters for which none is known
}

// OpenLetters opens an output for this one's letters, which is closed with it. get
// gives this one's options, and env is its environment.
func (d *Delivery) OpenLetters(env Env, get options.Getter, to LetterOutput) error {
	side, err := to.Open(d.letterEnv(env), d.letterOptions(get, to.Options))
	if err != nil {
		return err
	}
	d.letters.side, d.letters.group, d.letters.limit = side, to.Group, to.Bytes
	return nil
}

// letterEnv is the environment of an output for this one's letters: it has an
// account of its own that nobody sees, and says whose letters it speaks of.
func (d *Delivery) letterEnv(env Env) Env {
	env.Counters, env.Quit, env.letters = new(Counters), nil, d
	if env.Log != nil {
		log := logrus.New()
		log.SetOutput(nothing{})
		log.SetFormatter(nothing{})
		log.SetLevel(env.Log.Logger.GetLevel())
		log.AddHook(prefixed{env.Log})
		env.Log = logrus.NewEntry(log)
	}
	return env
}

// prefixed is a hook that hands lines on.
type prefixed struct{ to *logrus.Entry }

func (p prefixed) Levels() []logrus.Level { return logrus.AllLevels }
func (p prefixed) Fire(e *logrus.Entry) error {
	p.to.Log(e.Level, "dead letters: "+e.Message)
	return nil
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error)          { return len(p), nil }
func (nothing) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

// Keys of a letter as a record.
const (
	letterKey = "letter"    // the line
	groupKey  = "log_group" // where it goes, for a template
)

// LetterGroup is the template of a log group by letter.
const LetterGroup = "$(" + groupKey + ")"

// letterOptions are the options of an output for this one's letters: they are
// get's, save those that say what a record looks like, and own.
func (d *Delivery) letterOptions(get options.Getter, own map[string]string) options.Getter {
	fixed := map[string]string{
		"log_key": letterKey, "log_key_missing": "", "data_keys": "", "exclude_keys": "", "too_big": "", "concurrency": "1",
		"dead_letter_stream": "", "dead_letter_file": "", "dead_letter_max_size": "",
		"ledger_path": "", "summary_interval": "", "retry_budget": min(d.budget, letterBudget).String(),
	}
	maps.Copy(fixed, own)
	return func(name string) string {
		if value, ok := fixed[name]; ok {
			return value
		}
		return get(name)
	}
}

// bury notes that a record was given up. The lock is held.
func (f *Flush) bury(record int, c *Cause) {
	if !f.d.letters.keeps(c.Why) && f.chunk.Lost == nil {
		return
	}
	if !f.same {
		f.causes = append(f.causes, *c)
		f.same = true
	}
	f.dead = append(f.dead, dead{record, len(f.causes) - 1})
}

// post is the letters that wait to be delivered together.
type post struct {
	lines  []byte
	ends   []int
	groups []string
}

func (p *post) line(k int) []byte {
	if k == 0 {
		return p.lines[:p.ends[0]]
	}
	return p.lines[p.ends[k-1]:p.ends[k]]
}

// chunk is the letters as records.
func (p *post) chunk() (data []byte) {
	now := time.Now()
	for k, group := range p.groups {
		data = append(data, 0x92, 0x92, 0xd7, 0x00) // [[time, {}], {...}]
		data = binary.BigEndian.AppendUint32(data, uint32(now.Unix()))
		data = binary.BigEndian.AppendUint32(data, uint32(now.Nanosecond()))
		data = append(data, 0x80, 0x82)
		line := p.line(k)
		data = msgp.AppendStringFromBytes(msgp.AppendString(data, letterKey), line[:len(line)-1])
		data = msgp.AppendString(msgp.AppendString(data, groupKey), group)
	}
	return data
}

// deliver brings letters to where they go: the stream, and the file with what
// that does not take. They are lost when neither takes them.
func (l *letters) deliver(d *Delivery, c Chunk, p *post) {
	left := make([]int, len(p.ends))
	for k := range left {
		left[k] = k
	}
	if l.side != nil && time.Now().UnixNano() >= l.rest.Load() {
		all := len(left)
		left = left[:0]
		l.side.Flush(Chunk{Tag: c.Tag, Data: p.chunk(), OnEngine: c.OnEngine, Lost: &left})
		if len(left) == all {
			l.rest.Store(time.Now().Add(sideRest).UnixNano())
		}
	}
	if l.file != nil && len(left) > 0 {
		var lines []byte // its own: a write that takes too long goes on without us
		for _, k := range left {
			lines = append(lines, p.line(k)...)
		}
		if err := l.file.write(lines); err == nil {
			left = nil
			d.Said.Over("dead_letter_file", "dead letters reach the file %q again", l.file.path)
		} else {
			d.Said.Error("dead_letter_file", "cannot write dead letters: %v", err)
		}
	}
	d.Add(DeadLetters, len(p.ends)-len(left))
	if len(left) > 0 {
		d.Add(LostLetters, len(left))
		d.Said.Warn("letters", "%d records that were given up are not kept as dead letters", len(left))
	}
}

// HasLetters says whether Finish has letters to deliver, which may take its time.
func (f *Flush) HasLetters() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.d.letters.keeps(Malformed) && (len(f.dead) > 0 || f.broken)
}

// sendLetters reads the records that were given up again, at the flush's end, and
// delivers their letters. broken is why the chunk is given up, or nil.
func (f *Flush) sendLetters(broken error) {
	if !f.d.letters.keeps(Malformed) || len(f.dead) == 0 && broken == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			f.d.Said.Error("panic", "a panic over dead letters of a chunk of tag %q: %v", f.chunk.Tag, v)
		}
	}()
	slices.SortFunc(f.dead, func(a, b dead) int { return cmp.Compare(a.record, b.record) })
	l := &f.d.letters
	piece := letterPiece
	if l.file != nil {
		piece = min(piece, l.file.max)
	}
	p := new(post)
	w := letterWriter{flush: f}
	add := func(c *Cause) {
		start := len(p.lines)
		if start > 0 && start+len(w.line) > piece {
			l.deliver(f.d, f.chunk, p)
			p = new(post)
		}
		p.lines = append(p.lines, w.line...)
		p.ends = append(p.ends, len(p.lines))
		group := c.Group
		if group == "" {
			group = l.group
		}
		p.groups = append(p.groups, group)
	}
	w.each(f.dead, add)
	if broken != nil {
		w.rest(broken)
		add(&Cause{})
	}
	if len(p.ends) > 0 {
		l.deliver(f.d, f.chunk, p)
	}
}

// GiveUpChunk keeps all records of a chunk as letters, whose flush has failed in a
// way that nothing is known of what it has delivered.
func (d *Delivery) GiveUpChunk(c Chunk, why error) {
	if !d.letters.keeps(Malformed) {
		return
	}
	f := &Flush{d: d, chunk: c, causes: []Cause{{Why: Abandoned, Err: why}}}
	r := chunk.NewReader(c.Data)
	for i := 0; ; i++ {
		_, err := r.Next()
		var bad *chunk.RecordError
		if err == nil || errors.As(err, &bad) {
			f.dead = append(f.dead, dead{i, 0})
			continue
		}
		if err == io.EOF {
			err = nil
		}
		f.sendLetters(err)
		return
	}
}

// lost tells which records of a chunk that comes only once were not delivered.
func (f *Flush) lost() (list []int) {
	for i := range f.counted {
		if i>>6 >= len(f.settled) || f.settled[i>>6]&(1<<(i&63)) == 0 {
			list = append(list, i)
		}
	}
	for _, d := range f.dead {
		list = append(list, d.record)
	}
	slices.Sort(list)
	return list
}

// Then says, for the log, what becomes of records that are given up for this flush.
func (f *Flush) Then() string {
	if f.chunk.Lost != nil {
		return "and gives them up"
	}
	return "and has fluent bit bring them again"
}

// text is the cause in words.
func (c *Cause) text() string {
	switch {
	case c.Err != nil:
		return c.Err.Error()
	case c.Why == MissingKey:
		return fmt.Sprintf("it has no key %q, which option log_key names", c.Text)
	case c.Why == TooLarge:
		return "it is larger than option " + c.Text
	}
	return c.Text
}
