package delivery

import (
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// How often the same thing is said again, and how many different things are
// told apart: beyond that, what is new is counted together.
const (
	sayEvery  = time.Minute
	maxTopics = 1000
)

// Said is a log for what may happen a million times: a topic is said at once
// the first time, then at most once a minute with the number of times since.
type Said struct {
	log *logrus.Entry

	mu     sync.Mutex
	topics map[string]*topic
}

type topic struct {
	last    time.Time
	since   int // times since then
	level   logrus.Level
	failing bool
}

// NewSaid returns a Said that writes to log.
func NewSaid(log *logrus.Entry) *Said {
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

func (s *Said) say(level logrus.Level, about, format string, args []any) {
	s.mu.Lock()
	t := s.topics[about]
	if t == nil {
		if len(s.topics) >= maxTopics {
			about = "" // the topic of all that is too much
			t = s.topics[about]
		}
		if t == nil {
			t = &topic{}
			s.topics[about] = t
		}
	}
	t.failing = level == logrus.ErrorLevel
	t.level = level
	if !t.last.IsZero() && time.Since(t.last) < sayEvery {
		// Formatted only if it is said: a million times a Sprintf is a cost of its own.
		t.since++
		s.mu.Unlock()
		return
	}
	more := t.since
	t.since, t.last = 0, time.Now()
	s.mu.Unlock()

	text := fmt.Sprintf(format, args...)
	if more > 0 {
		text = fmt.Sprintf("%s (and %d times more since it was last said)", text, more)
	}
	s.log.Log(level, text)
}

// Over says, once, that what Error said of the topic is over.
func (s *Said) Over(about, format string, args ...any) {
	s.mu.Lock()
	t := s.topics[about]
	if t == nil || !t.failing {
		s.mu.Unlock()
		return
	}
	times := t.since + 1
	delete(s.topics, about)
	s.mu.Unlock()
	s.log.Infof("%s (it had failed %d times since it was last said)", fmt.Sprintf(format, args...), times)
}

// Close says how often each thing happened that was not said.
func (s *Said) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for about, t := range s.topics {
		if t.since > 0 {
			s.log.Log(t.level, fmt.Sprintf("%s: %d times more since it was last said", about, t.since))
		}
	}
	clear(s.topics)
}
