package delivery

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// How often the same thing is said again, and how many different things are
// told apart: beyond that, what is new is counted together.
const (
	sayEvery  = time.Minute
	maxTopics = 1000
)

// theRest is the topic of all that is too much to tell apart.
const theRest = ""

// Said is a log for what may happen a million times: a topic is said at once
// the first time, then at most once a minute with the number of times since.
// What comes and goes all the time is said, and said to be over, once a minute too.
type Said struct {
	log     *logrus.Entry
	failing atomic.Int32 // topics that Over would end: mostly none, and then Over costs nothing

	mu     sync.Mutex
	topics map[string]*topic
	swept  time.Time
}

type topic struct {
	level   logrus.Level
	last    time.Time // when it was last said
	since   int       // times since, not said
	failing bool      // Error came, and Over did not yet
	told    bool      // that was said, so its end will be
	failed  int       // times, since it began to fail
}

// NewSaid returns a Said that writes to log; nil is nowhere.
func NewSaid(log *logrus.Entry) *Said {
	if log == nil {
		log = logrus.NewEntry(&logrus.Logger{Out: io.Discard, Formatter: new(logrus.TextFormatter)})
	}
	return &Said{log: log, topics: make(map[string]*topic)}
}

// Info says what happens seldom, each time.
func (s *Said) Info(format string, args ...any) { s.log.Infof(format, args...) }

// Warn says what went wrong with some records while the output goes on. The
// text must hold no record contents.
func (s *Said) Warn(about, format string, args ...any) {
	s.say(logrus.WarnLevel, about, format, args)
}

// Error says what keeps records from being delivered. Once that is over, call Over.
func (s *Said) Error(about, format string, args ...any) {
	s.say(logrus.ErrorLevel, about, format, args)
}

// Repeated counts a topic that was said so lately that Warn would only count
// it, and tells whether that is so. It is asked first where many records may
// have the same fault, since making a Warn's arguments is not free.
func (s *Said) Repeated(about string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[about]
	if t == nil || time.Since(t.last) >= sayEvery {
		return false
	}
	t.since++
	return true
}

func (s *Said) say(level logrus.Level, about, format string, args []any) {
	s.mu.Lock()
	now := time.Now()
	t, about := s.topic(about, now)
	t.level = level
	if level == logrus.ErrorLevel && about != theRest {
		if !t.failing {
			t.failing, t.failed = true, 0
			s.failing.Add(1)
		}
		t.failed++
	}
	if !t.last.IsZero() && now.Sub(t.last) < sayEvery {
		// Formatted only if it is said: a million times a Sprintf is a cost of its own.
		t.since++
		s.mu.Unlock()
		return
	}
	more := t.since
	t.since, t.last, t.told = 0, now, t.failing
	s.mu.Unlock()

	text := fmt.Sprintf(format, args...)
	switch {
	case more > 0 && about == theRest:
		text = fmt.Sprintf("%s (and %d times more this or something else, since it was last said)", text, more)
	case more > 0:
		text = fmt.Sprintf("%s (and %d times more since it was last said)", text, more)
	}
	s.log.Log(level, text)
}

// topic finds or makes the topic, or theRest when there are too many: names of
// groups and streams come and go, so those that have been quiet make room. The
// lock is held.
func (s *Said) topic(about string, now time.Time) (*topic, string) {
	if t := s.topics[about]; t != nil {
		return t, about
	}
	if len(s.topics) >= maxTopics && now.Sub(s.swept) >= sayEvery {
		s.sweep(now)
	}
	if len(s.topics) >= maxTopics {
		about = theRest
	}
	return s.open(about), about
}

func (s *Said) open(about string) *topic {
	t := s.topics[about]
	if t == nil {
		t = new(topic)
		s.topics[about] = t
	}
	return t
}

// sweep forgets the topics that have been quiet; what was not said of them is
// counted with the rest. The lock is held.
func (s *Said) sweep(now time.Time) {
	s.swept = now
	unsaid, level := 0, logrus.WarnLevel
	for about, t := range s.topics {
		if now.Sub(t.last) < sayEvery || about == theRest {
			continue
		}
		delete(s.topics, about)
		if t.failing {
			s.failing.Add(-1)
		}
		unsaid += t.since
		level = min(level, t.level) // the graver, the smaller
	}
	if unsaid > 0 {
		rest := s.open(theRest)
		rest.since += unsaid
		rest.level = level
	}
}

// Over says, once, that what Error said of the topic is over.
func (s *Said) Over(about, format string, args ...any) {
	if s.failing.Load() == 0 {
		return
	}
	s.mu.Lock()
	t := s.topics[about]
	if t == nil || !t.failing {
		s.mu.Unlock()
		return
	}
	t.failing = false
	s.failing.Add(-1)
	if !t.told { // nobody heard of it: it is counted when it is next said
		s.mu.Unlock()
		return
	}
	t.told, t.since = false, 0
	times := t.failed
	s.mu.Unlock()
	s.log.Infof("%s (after failing %d times)", fmt.Sprintf(format, args...), times)
}

// maxClosing is how many topics are told apart at the end.
const maxClosing = 20

// Close says how often each thing happened that was not said, the most frequent first.
func (s *Said) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unsaid []string
	for about, t := range s.topics {
		if t.since > 0 {
			unsaid = append(unsaid, about)
		}
	}
	slices.SortFunc(unsaid, func(a, b string) int {
		return cmp.Or(s.topics[b].since-s.topics[a].since, strings.Compare(a, b))
	})
	rest := 0
	for i, about := range unsaid {
		t := s.topics[about]
		if i >= maxClosing || about == theRest {
			rest += t.since
			continue
		}
		s.log.Log(t.level, fmt.Sprintf("%s: %d times more since it was last said", about, t.since))
	}
	if rest > 0 {
		s.log.Warnf("other things: %d times more since they were last said", rest)
	}
	clear(s.topics)
	s.failing.Store(0)
}
