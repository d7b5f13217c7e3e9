package awslocal

import (
	"crypto/sha256"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Limits of CloudWatch Logs, from
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
const (
	maxBatchEvents    = 10_000
	maxBatchBytes     = 1_048_576 // sum of the messages in UTF-8 and of eventOverhead for each
	eventOverhead     = 26        // bytes
	maxBatchSpan      = 24 * time.Hour
	maxEventAge       = 14 * 24 * time.Hour
	maxEventFuture    = 2 * time.Hour
	maxLogName        = 512 // characters
	maxTags           = 50
	maxTagKey         = 128
	maxTagValue       = 256
	maxKMSKey         = 256
	maxGetEvents      = 10_000
	maxGetBytes       = 1 << 20
	maxDescribedItems = 50
)

var (
	logGroupPattern  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]+$`)
	logStreamPattern = regexp.MustCompile(`^[^:*]*$`)
	tagKeyPattern    = regexp.MustCompile(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$`)
	tagValuePattern  = regexp.MustCompile(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`)

	// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
	retentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

	logGroupClasses = []string{"STANDARD", "INFREQUENT_ACCESS", "ESSENTIALS", "DELIVERY"}
)

var logsService = &service{
	name:   "logs",
	target: "Logs_20140328",
	operations: map[string]*operation{
		"CreateLogGroup":     {handle: (*Server).createLogGroup},
		"DeleteLogGroup":     {handle: (*Server).deleteLogGroup},
		"CreateLogStream":    {handle: (*Server).createLogStream},
		"DeleteLogStream":    {handle: (*Server).deleteLogStream},
		"DescribeLogGroups":  {handle: (*Server).describeLogGroups},
		"DescribeLogStreams": {handle: (*Server).describeLogStreams},
		"PutRetentionPolicy": {handle: (*Server).putRetentionPolicy},
		"AssociateKmsKey":    {handle: (*Server).associateKMSKey},

		"PutLogGroupDeletionProtection": {handle: (*Server).putLogGroupDeletionProtection},

		"TagResource":  {handle: (*Server).tagResource},
		"TagLogGroup":  {handle: (*Server).tagLogGroup},
		"PutLogEvents": {handle: (*Server).putLogEvents, discard: (*Server).discardLogEvents},
		"GetLogEvents": {handle: (*Server).getLogEvents},
	},
}

// Logs is the CloudWatch Logs side of a Server.
type Logs struct {
	s      *Server
	mu     sync.Mutex // guards the following, and all groups and streams
	groups map[string]*logGroup
	total  int
	tokens bool // sequence tokens are demanded
}

type logGroup struct {
	info    LogGroup
	streams map[string]*LogStream
}

// LogGroup describes a log group.
type LogGroup struct {
	Name          string            `json:"name"`
	Class         string            `json:"class"`
	KMSKeyID      string            `json:"kms_key_id,omitempty"`
	RetentionDays int               `json:"retention_days"` // 0: events are kept forever
	Protected     bool              `json:"deletion_protection,omitempty"`
	Tags          map[string]string `json:"tags,omitempty"`
	Created       time.Time         `json:"created"`
	Streams       []string          `json:"-"` // in order of name
}

// LogStream is a log stream with all it was given. A nil LogStream, as returned
// for one that does not exist, is empty.
type LogStream struct {
	Group, Name string
	Created     time.Time

	logs   *Logs
	events []LogEvent // in order of arrival
	sorted []LogEvent // in order of time; nil if events came since
	bytes  int        // messages and overhead
	puts   int        // accepted calls
	token  int        // number of the next sequence token
	last   [sha256.Size]byte
	format string
	entity *Entity
}

// LogEvent is an event as CloudWatch Logs keeps it. Times are in milliseconds
// since 1970.
type LogEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
	Ingested  int64  `json:"ingestionTime"`
}

// Entity is the entity that events were said to belong to.
type Entity struct {
	KeyAttributes map[string]string `json:"keyAttributes"`
	Attributes    map[string]string `json:"attributes"`
}

func newLogs(s *Server) *Logs {
	return &Logs{s: s, groups: make(map[string]*logGroup), tokens: s.cfg.SequenceTokens}
}

// DemandSequenceTokens changes Config.SequenceTokens for calls from now on.
func (l *Logs) DemandSequenceTokens(demand bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = demand
}

// Stream returns a stream, nil if there is none of that name.
func (l *Logs) Stream(group, stream string) *LogStream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[group]; g != nil {
		return g.streams[stream]
	}
	return nil
}

// Group describes a group; ok is false if there is none of that name.
func (l *Logs) Group(name string) (g LogGroup, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.groups[name]
	if found == nil {
		return LogGroup{}, false
	}
	return found.describe(), true
}

// Groups describes all groups, in order of name.
func (l *Logs) Groups() []LogGroup {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]LogGroup, 0, len(l.groups))
	for _, name := range slices.Sorted(maps.Keys(l.groups)) {
		out = append(out, l.groups[name].describe())
	}
	return out
}

func (g *logGroup) describe() LogGroup {
	info := g.info
	info.Tags = maps.Clone(info.Tags)
	info.Streams = slices.Sorted(maps.Keys(g.streams))
	return info
}

// Streams returns all streams, in order of group and name.
func (l *Logs) Streams() []*LogStream {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*LogStream
	for _, group := range slices.Sorted(maps.Keys(l.groups)) {
		streams := l.groups[group].streams
		for _, name := range slices.Sorted(maps.Keys(streams)) {
			out = append(out, streams[name])
		}
	}
	return out
}

// Total counts the events accepted so far, those since deleted included.
func (l *Logs) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// CreateGroup makes a group, as CreateLogGroup does; one that exists is left alone.
func (l *Logs) CreateGroup(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.createGroup(LogGroup{Name: name})
}

// CreateStream makes a stream, and its group if need be; one that exists is left alone.
func (l *Logs) CreateStream(group, stream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.createStream(l.createGroup(LogGroup{Name: group}), stream)
}

// DeleteGroup deletes a group with all its streams.
func (l *Logs) DeleteGroup(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.groups, name)
}

// DeleteStream deletes a stream.
func (l *Logs) DeleteStream(group, stream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[group]; g != nil {
		delete(g.streams, stream)
	}
}

// createGroup returns the group of that name, made if need be. l.mu is held.
func (l *Logs) createGroup(info LogGroup) *logGroup {
	if g := l.groups[info.Name]; g != nil {
		return g
	}
	if info.Class == "" {
		info.Class = "STANDARD"
	}
	info.Created = l.s.cfg.Now()
	g := &logGroup{info: info, streams: make(map[string]*LogStream)}
	l.groups[info.Name] = g
	return g
}

// createStream returns the stream of that name, made if need be. l.mu is held.
func (l *Logs) createStream(g *logGroup, name string) *LogStream {
	if st := g.streams[name]; st != nil {
		return st
	}
	st := &LogStream{Group: g.info.Name, Name: name, Created: l.s.cfg.Now(), logs: l}
	g.streams[name] = st
	return st
}

// Events returns a copy of the stream's events in the order in which they came.
func (st *LogStream) Events() []LogEvent {
	if st == nil {
		return nil
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return slices.Clone(st.events)
}

// ByTime returns a copy of the stream's events as the service gives them out: in order
// of time, those of one time in the order in which they came.
func (st *LogStream) ByTime() []LogEvent {
	if st == nil {
		return nil
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return slices.Clone(st.byTime())
}

// First returns up to n of the events that came first.
func (st *LogStream) First(n int) []LogEvent {
	if st == nil {
		return nil
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return slices.Clone(st.events[:min(n, len(st.events))])
}

// Messages returns the stream's messages in the order in which they came.
func (st *LogStream) Messages() []string {
	if st == nil {
		return nil
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	out := make([]string, len(st.events))
	for i, e := range st.events {
		out[i] = e.Message
	}
	return out
}

// Len counts the stream's events.
func (st *LogStream) Len() int {
	if st == nil {
		return 0
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return len(st.events)
}

// Puts counts the PutLogEvents calls that the stream accepted.
func (st *LogStream) Puts() int {
	if st == nil {
		return 0
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return st.puts
}

// Format returns the x-amzn-logs-format header of the latest call.
func (st *LogStream) Format() string {
	if st == nil {
		return ""
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return st.format
}

// Entity returns the entity of the latest call, nil if it had none.
func (st *LogStream) Entity() *Entity {
	if st == nil {
		return nil
	}
	st.logs.mu.Lock()
	defer st.logs.mu.Unlock()
	return st.entity
}

// byTime returns the events in order of time, those of one time in the order in
// which they came. logs.mu is held.
func (st *LogStream) byTime() []LogEvent {
	if st.sorted == nil {
		st.sorted = slices.Clone(st.events)
		slices.SortStableFunc(st.sorted, func(a, b LogEvent) int {
			switch {
			case a.Timestamp < b.Timestamp:
				return -1
			case a.Timestamp > b.Timestamp:
				return 1
			}
			return 0
		})
	}
	return st.sorted
}
