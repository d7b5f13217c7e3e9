package awslocal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
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
	maxEntityAttrs    = 10
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

	logGroupClasses = []string{"STANDARD", "INFREQUENT_ACCESS", "DELIVERY"}
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
		"TagResource":        {handle: (*Server).tagResource},
		"TagLogGroup":        {handle: (*Server).tagLogGroup},
		"PutLogEvents":       {handle: (*Server).putLogEvents, discard: (*Server).discardLogEvents},
		"GetLogEvents":       {handle: (*Server).getLogEvents},
	},
}

// Logs is the CloudWatch Logs side of a Server.
type Logs struct {
	s      *Server
	mu     sync.Mutex // guards the following, and all groups and streams
	groups map[string]*logGroup
	total  int
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

func newLogs(s *Server) *Logs { return &Logs{s: s, groups: make(map[string]*logGroup)} }

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

// PUTLOGEVENTS

type putLogEventsIn struct {
	LogEvents     []inputLogEvent `json:"logEvents"`
	LogGroupName  *string         `json:"logGroupName"`
	LogStreamName *string         `json:"logStreamName"`
	SequenceToken *string         `json:"sequenceToken"`
	Entity        *Entity         `json:"entity"`
}

type inputLogEvent struct {
	Timestamp *int64  `json:"timestamp"`
	Message   *string `json:"message"`
}

type putLogEventsOut struct {
	NextSequenceToken     string              `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejectedLogEvents  `json:"rejectedLogEventsInfo,omitempty"`
	RejectedEntityInfo    *rejectedEntityInfo `json:"rejectedEntityInfo,omitempty"`
}

// rejectedLogEvents is the API's RejectedLogEventsInfo: the end indexes are
// exclusive, the start index is inclusive. They are indexes, not counts: events
// both too old and expired are below both end indexes. From
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_RejectedLogEventsInfo.html
type rejectedLogEvents struct {
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredLogEventEndIndex  *int `json:"expiredLogEventEndIndex,omitempty"`
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
}

type rejectedEntityInfo struct {
	ErrorType string `json:"errorType"`
}

func (s *Server) putLogEvents(c *call) (any, *apiError) {
	var in putLogEventsIn
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	group, stream, bad := checkGroupAndStream(in.LogGroupName, in.LogStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target, c.rec.Records = group+"/"+stream, len(in.LogEvents)
	if bad := s.checkEvents(in.LogEvents); bad != nil {
		return nil, bad
	}
	if bad := checkEntity(in.Entity); bad != nil {
		return nil, bad
	}
	digest := sha256.Sum256(c.body)

	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, st, bad := l.find(group, stream)
	if bad != nil {
		return nil, bad
	}
	if bad := st.checkToken(s.cfg.SequenceTokens, in.SequenceToken, digest); bad != nil {
		return nil, bad
	}
	now := s.cfg.Now()
	accepted, rejected, bad := sift(in.LogEvents, now, g.info.RetentionDays, c.fault)
	if bad != nil {
		return nil, bad
	}
	for _, e := range accepted {
		st.events = append(st.events, LogEvent{*e.Timestamp, *e.Message, now.UnixMilli()})
		st.bytes += len(*e.Message) + eventOverhead
	}
	if len(accepted) > 0 {
		st.sorted = nil
	}
	l.total += len(accepted)
	c.rec.Accepted = len(accepted)
	st.puts++
	st.token++
	st.last = digest
	st.format = c.http.Header.Get("X-Amzn-Logs-Format")
	st.entity = in.Entity

	out := putLogEventsOut{NextSequenceToken: st.nextToken(), RejectedLogEventsInfo: rejected}
	if c.fault.Kind == RejectEntity {
		out.RejectedEntityInfo = &rejectedEntityInfo{ErrorType: c.fault.Code}
		if c.fault.Code == "" {
			out.RejectedEntityInfo.ErrorType = "InvalidEntity"
		}
		st.entity = nil
	}
	return out, nil
}

// discardLogEvents counts events by their timestamp members. Inside a message
// the quote after the name is escaped, so none is counted twice.
func (s *Server) discardLogEvents(c *call) any {
	n := bytes.Count(c.body, []byte(`timestamp":`))
	c.rec.Records, c.rec.Accepted = n, n
	l := s.logs
	l.mu.Lock()
	l.total += n
	l.mu.Unlock()
	return []byte(`{"nextSequenceToken":"0"}`)
}

// checkEvents checks what does not depend on the time or the stream.
func (s *Server) checkEvents(events []inputLogEvent) *apiError {
	const code = "InvalidParameterException"
	switch {
	case len(events) == 0:
		return invalid(code, "logEvents", "have length greater than or equal to 1")
	case len(events) > maxBatchEvents:
		return invalid(code, "logEvents", "have length less than or equal to 10000")
	}
	total := 0
	for i, e := range events {
		at := "logEvents." + strconv.Itoa(i+1) + ".member."
		switch {
		case e.Timestamp == nil:
			return invalid(code, at+"timestamp", "not be null")
		case *e.Timestamp < 0:
			return invalid(code, at+"timestamp", "have value greater than or equal to 0")
		case e.Message == nil:
			return invalid(code, at+"message", "not be null")
		case *e.Message == "":
			return invalid(code, at+"message", "have length greater than or equal to 1")
		case i > 0 && *e.Timestamp < *events[i-1].Timestamp:
			return refuse(code, "Log events in a single PutLogEvents request must be in chronological order.")
		}
		size := len(*e.Message) + eventOverhead
		if size > s.cfg.MaxEventBytes {
			return refuse(code, "Log event too large: %d bytes exceeds limit of %d", size, s.cfg.MaxEventBytes)
		}
		total += size
	}
	if total > maxBatchBytes {
		return refuse(code, "Upload too large: %d bytes exceeds limit of %d", total, maxBatchBytes)
	}
	return nil
}

func checkEntity(e *Entity) *apiError {
	if e == nil {
		return nil
	}
	if len(e.Attributes) > maxEntityAttrs {
		return invalid("InvalidParameterException", "entity.attributes", "have length less than or equal to 10")
	}
	if e.KeyAttributes != nil && (len(e.KeyAttributes) < 2 || len(e.KeyAttributes) > 4) {
		return invalid("InvalidParameterException", "entity.keyAttributes", "have length between 2 and 4")
	}
	return nil
}

// sift parts the events into those accepted and those rejected for their age.
// The events are in order of time.
func sift(events []inputLogEvent, now time.Time, retentionDays int, fault Fault) ([]inputLogEvent, *rejectedLogEvents, *apiError) {
	// firstNotBefore is the index of the first event at or after t.
	firstNotBefore := func(t time.Time) int {
		return sort.Search(len(events), func(i int) bool { return *events[i].Timestamp >= t.UnixMilli() })
	}
	tooOld := firstNotBefore(now.Add(-maxEventAge))
	tooNew := firstNotBefore(now.Add(maxEventFuture + time.Millisecond))
	expired := 0
	if retentionDays > 0 {
		expired = firstNotBefore(now.Add(-time.Duration(retentionDays) * 24 * time.Hour))
	}
	if expired <= tooOld {
		expired = 0 // all of these are said to be too old
	}
	if valid := events[tooOld:tooNew]; len(valid) > 0 {
		span := *valid[len(valid)-1].Timestamp - *valid[0].Timestamp
		if span > maxBatchSpan.Milliseconds() {
			return nil, nil, refuse("InvalidParameterException", "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
		}
	}
	if fault.Kind == RejectEvents {
		tooOld = max(tooOld, min(fault.TooOld, len(events)))
		expired = max(expired, min(fault.Expired, len(events)))
		tooNew = min(tooNew, max(len(events)-fault.TooNew, 0))
	}

	var info *rejectedLogEvents
	index := func(i int) *int {
		if info == nil {
			info = new(rejectedLogEvents)
		}
		return &i
	}
	if tooOld > 0 {
		p := index(tooOld)
		info.TooOldLogEventEndIndex = p
	}
	if expired > 0 {
		p := index(expired)
		info.ExpiredLogEventEndIndex = p
	}
	if tooNew < len(events) {
		p := index(tooNew)
		info.TooNewLogEventStartIndex = p
	}
	from := max(tooOld, expired)
	return events[from:max(from, tooNew)], info, nil
}

// nextToken is the sequence token that the next call should bring.
func (st *LogStream) nextToken() string {
	if st.token == 0 {
		return ""
	}
	return "4960" + strings.Repeat("0", 40) + strconv.Itoa(1_000_000_000+st.token)
}

func (st *LogStream) checkToken(enforced bool, token *string, digest [sha256.Size]byte) *apiError {
	if !enforced {
		return nil
	}
	given, expected := "", st.nextToken()
	if token != nil {
		given = *token
	}
	if given == expected {
		return nil
	}
	extra := map[string]any{}
	if expected != "" {
		extra["expectedSequenceToken"] = expected
	}
	if digest == st.last {
		e := refuse("DataAlreadyAcceptedException", "The given batch of log events has already been accepted. The next batch can be sent with sequenceToken: %s", expected)
		e.extra = extra
		return e
	}
	shown := expected
	if shown == "" {
		shown = "null"
	}
	e := refuse("InvalidSequenceTokenException", "The given sequenceToken is invalid. The next expected sequenceToken is: %s", shown)
	e.extra = extra
	return e
}

// GROUPS AND STREAMS

func (s *Server) createLogGroup(c *call) (any, *apiError) {
	var in struct {
		LogGroupName              *string           `json:"logGroupName"`
		LogGroupClass             *string           `json:"logGroupClass"`
		KMSKeyID                  *string           `json:"kmsKeyId"`
		Tags                      map[string]string `json:"tags"`
		DeletionProtectionEnabled *bool             `json:"deletionProtectionEnabled"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkGroupName(in.LogGroupName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	info := LogGroup{Name: name, Tags: in.Tags}
	if in.LogGroupClass != nil {
		info.Class = *in.LogGroupClass
		if !slices.Contains(logGroupClasses, info.Class) {
			return nil, invalid("InvalidParameterException", "logGroupClass", "satisfy enum value set: ["+strings.Join(logGroupClasses, ", ")+"]")
		}
	}
	if in.KMSKeyID != nil {
		info.KMSKeyID = *in.KMSKeyID
		if len(info.KMSKeyID) > maxKMSKey {
			return nil, invalid("InvalidParameterException", "kmsKeyId", "have length less than or equal to 256")
		}
	}
	if in.Tags != nil {
		if bad := checkTags(in.Tags); bad != nil {
			return nil, bad
		}
	}
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.groups[name] != nil {
		return nil, refuse("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	l.createGroup(info)
	return nothing{}, nil
}

// nothing is the answer of operations that return nothing.
type nothing struct{}

func (s *Server) deleteLogGroup(c *call) (any, *apiError) {
	var in struct {
		LogGroupName *string `json:"logGroupName"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkGroupName(in.LogGroupName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, bad := l.findGroup(name); bad != nil {
		return nil, bad
	}
	delete(l.groups, name)
	return nothing{}, nil
}

type groupAndStream struct {
	LogGroupName  *string `json:"logGroupName"`
	LogStreamName *string `json:"logStreamName"`
}

func (s *Server) createLogStream(c *call) (any, *apiError) {
	var in groupAndStream
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	group, stream, bad := checkGroupAndStream(in.LogGroupName, in.LogStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = group + "/" + stream
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, bad := l.findGroup(group)
	if bad != nil {
		return nil, bad
	}
	if g.streams[stream] != nil {
		return nil, refuse("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	l.createStream(g, stream)
	return nothing{}, nil
}

func (s *Server) deleteLogStream(c *call) (any, *apiError) {
	var in groupAndStream
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	group, stream, bad := checkGroupAndStream(in.LogGroupName, in.LogStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = group + "/" + stream
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, _, bad := l.find(group, stream)
	if bad != nil {
		return nil, bad
	}
	delete(g.streams, stream)
	return nothing{}, nil
}

func (s *Server) putRetentionPolicy(c *call) (any, *apiError) {
	var in struct {
		LogGroupName    *string `json:"logGroupName"`
		RetentionInDays *int    `json:"retentionInDays"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkGroupName(in.LogGroupName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	if in.RetentionInDays == nil || !slices.Contains(retentionDays, *in.RetentionInDays) {
		return nil, invalid("InvalidParameterException", "retentionInDays", "satisfy enum value set: "+fmt.Sprint(retentionDays))
	}
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, bad := l.findGroup(name)
	if bad != nil {
		return nil, bad
	}
	g.info.RetentionDays = *in.RetentionInDays
	return nothing{}, nil
}

func (s *Server) tagResource(c *call) (any, *apiError) {
	var in struct {
		ResourceARN *string           `json:"resourceArn"`
		Tags        map[string]string `json:"tags"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	if in.ResourceARN == nil {
		return nil, invalid("InvalidParameterException", "resourceArn", "not be null")
	}
	return s.tagGroup(c, groupOf(*in.ResourceARN), in.Tags)
}

func (s *Server) tagLogGroup(c *call) (any, *apiError) {
	var in struct {
		LogGroupName *string           `json:"logGroupName"`
		Tags         map[string]string `json:"tags"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := checkGroupName(in.LogGroupName)
	if bad != nil {
		return nil, bad
	}
	return s.tagGroup(c, name, in.Tags)
}

func (s *Server) tagGroup(c *call, name string, tags map[string]string) (any, *apiError) {
	c.rec.Target = name
	if bad := checkTags(tags); bad != nil {
		return nil, bad
	}
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, bad := l.findGroup(name)
	if bad != nil {
		return nil, bad
	}
	all := maps.Clone(g.info.Tags)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, tags)
	if len(all) > maxTags {
		return nil, refuse("TooManyTagsException", "The resource has more than 50 tags.")
	}
	g.info.Tags = all
	return nothing{}, nil
}

// groupOf returns the group's name of an ARN, or of a name.
func groupOf(identifier string) string {
	_, name, ok := strings.Cut(identifier, ":log-group:")
	if !ok {
		return identifier
	}
	return strings.TrimSuffix(name, ":*")
}

func (l *Logs) findGroup(name string) (*logGroup, *apiError) {
	if g := l.groups[name]; g != nil {
		return g, nil
	}
	return nil, refuse("ResourceNotFoundException", "The specified log group does not exist.")
}

func (l *Logs) find(group, stream string) (*logGroup, *LogStream, *apiError) {
	g, bad := l.findGroup(group)
	if bad != nil {
		return nil, nil, bad
	}
	if st := g.streams[stream]; st != nil {
		return g, st, nil
	}
	return nil, nil, refuse("ResourceNotFoundException", "The specified log stream does not exist.")
}

func checkGroupName(name *string) (string, *apiError) {
	return checkName("logGroupName", name, maxLogName, logGroupPattern, "InvalidParameterException")
}

func checkGroupAndStream(group, stream *string) (g, st string, bad *apiError) {
	if g, bad = checkGroupName(group); bad != nil {
		return "", "", bad
	}
	st, bad = checkName("logStreamName", stream, maxLogName, logStreamPattern, "InvalidParameterException")
	return g, st, bad
}

// checkName checks a required name. limit is in characters, as in all AWS constraints on names.
func checkName(member string, name *string, limit int, pattern *regexp.Regexp, code string) (string, *apiError) {
	switch {
	case name == nil:
		return "", invalid(code, member, "not be null")
	case *name == "":
		return "", invalid(code, member, "have length greater than or equal to 1")
	case characters(*name) > limit:
		return "", invalid(code, member, "have length less than or equal to "+strconv.Itoa(limit))
	case !pattern.MatchString(*name):
		return "", invalid(code, member, "satisfy regular expression pattern: "+strings.Trim(pattern.String(), "^$"))
	}
	return *name, nil
}

func characters(s string) int { return utf8.RuneCountInString(s) }

func checkTags(tags map[string]string) *apiError {
	const code = "InvalidParameterException"
	if len(tags) == 0 || len(tags) > maxTags {
		return invalid(code, "tags", "have length between 1 and 50")
	}
	for k, v := range tags {
		if k == "" || characters(k) > maxTagKey || !tagKeyPattern.MatchString(k) || strings.HasPrefix(k, "aws:") {
			return invalid(code, "tags", "have keys of 1 to 128 characters that satisfy regular expression pattern: "+tagKeyPattern.String())
		}
		if characters(v) > maxTagValue || !tagValuePattern.MatchString(v) {
			return invalid(code, "tags", "have values of at most 256 characters that satisfy regular expression pattern: "+tagValuePattern.String())
		}
	}
	return nil
}

// READING BACK

type describedGroup struct {
	ARN             string `json:"arn"`
	LogGroupARN     string `json:"logGroupArn"`
	LogGroupName    string `json:"logGroupName"`
	LogGroupClass   string `json:"logGroupClass"`
	CreationTime    int64  `json:"creationTime"`
	RetentionInDays int    `json:"retentionInDays,omitempty"`
	KMSKeyID        string `json:"kmsKeyId,omitempty"`
	StoredBytes     int    `json:"storedBytes"`
}

func (s *Server) describeLogGroups(c *call) (any, *apiError) {
	var in struct {
		AccountIdentifiers    []string `json:"accountIdentifiers"`
		IncludeLinkedAccounts *bool    `json:"includeLinkedAccounts"`
		Limit                 *int     `json:"limit"`
		LogGroupClass         *string  `json:"logGroupClass"`
		LogGroupIdentifiers   []string `json:"logGroupIdentifiers"`
		LogGroupNamePattern   *string  `json:"logGroupNamePattern"`
		LogGroupNamePrefix    *string  `json:"logGroupNamePrefix"`
		NextToken             *string  `json:"nextToken"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	limit, bad := describeLimit(in.Limit)
	if bad != nil {
		return nil, bad
	}
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	names := slices.Sorted(maps.Keys(l.groups))
	names = slices.DeleteFunc(names, func(n string) bool {
		return in.LogGroupNamePrefix != nil && !strings.HasPrefix(n, *in.LogGroupNamePrefix) ||
			in.LogGroupNamePattern != nil && !strings.Contains(n, *in.LogGroupNamePattern) ||
			in.LogGroupClass != nil && l.groups[n].info.Class != *in.LogGroupClass ||
			len(in.LogGroupIdentifiers) > 0 && !slices.ContainsFunc(in.LogGroupIdentifiers, func(id string) bool { return groupOf(id) == n })
	})
	names, next, bad := page(names, in.NextToken, limit)
	if bad != nil {
		return nil, bad
	}
	out := struct {
		LogGroups []describedGroup `json:"logGroups"`
		NextToken string           `json:"nextToken,omitempty"`
	}{LogGroups: []describedGroup{}, NextToken: next}
	for _, n := range names {
		g := l.groups[n]
		arn := s.arn("logs", "log-group:"+n)
		d := describedGroup{ARN: arn + ":*", LogGroupARN: arn, LogGroupName: n, LogGroupClass: g.info.Class,
			CreationTime: g.info.Created.UnixMilli(), RetentionInDays: g.info.RetentionDays, KMSKeyID: g.info.KMSKeyID}
		for _, st := range g.streams {
			d.StoredBytes += st.bytes
		}
		out.LogGroups = append(out.LogGroups, d)
	}
	return out, nil
}

type describedStream struct {
	ARN                 string `json:"arn"`
	LogStreamName       string `json:"logStreamName"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp *int64 `json:"firstEventTimestamp,omitempty"`
	LastEventTimestamp  *int64 `json:"lastEventTimestamp,omitempty"`
	LastIngestionTime   *int64 `json:"lastIngestionTime,omitempty"`
	UploadSequenceToken string `json:"uploadSequenceToken,omitempty"`
	StoredBytes         int    `json:"storedBytes"`
}

func (s *Server) describeLogStreams(c *call) (any, *apiError) {
	var in struct {
		Descending          *bool   `json:"descending"`
		Limit               *int    `json:"limit"`
		LogGroupIdentifier  *string `json:"logGroupIdentifier"`
		LogGroupName        *string `json:"logGroupName"`
		LogStreamNamePrefix *string `json:"logStreamNamePrefix"`
		NextToken           *string `json:"nextToken"`
		OrderBy             *string `json:"orderBy"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	name, bad := groupNameOrIdentifier(in.LogGroupName, in.LogGroupIdentifier)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = name
	limit, bad := describeLimit(in.Limit)
	if bad != nil {
		return nil, bad
	}
	byTime := false
	if in.OrderBy != nil {
		byTime = *in.OrderBy == "LastEventTime"
		if !byTime && *in.OrderBy != "LogStreamName" {
			return nil, invalid("InvalidParameterException", "orderBy", "satisfy enum value set: [LogStreamName, LastEventTime]")
		}
		if byTime && in.LogStreamNamePrefix != nil {
			return nil, refuse("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
		}
	}

	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, bad := l.findGroup(name)
	if bad != nil {
		return nil, bad
	}
	all := make(map[string]describedStream, len(g.streams))
	var names []string
	for n, st := range g.streams {
		if in.LogStreamNamePrefix == nil || strings.HasPrefix(n, *in.LogStreamNamePrefix) {
			all[n] = st.describe()
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		order := strings.Compare(a, b)
		if byTime {
			if ta, tb := all[a].lastTime(), all[b].lastTime(); ta != tb {
				order = map[bool]int{true: -1, false: 1}[ta < tb]
			}
		}
		if in.Descending != nil && *in.Descending {
			order = -order
		}
		return order
	})
	names, next, bad := page(names, in.NextToken, limit)
	if bad != nil {
		return nil, bad
	}
	out := struct {
		LogStreams []describedStream `json:"logStreams"`
		NextToken  string            `json:"nextToken,omitempty"`
	}{LogStreams: []describedStream{}, NextToken: next}
	for _, n := range names {
		out.LogStreams = append(out.LogStreams, all[n])
	}
	return out, nil
}

func (st *LogStream) describe() describedStream {
	d := describedStream{ARN: st.logs.s.arn("logs", "log-group:"+st.Group+":log-stream:"+st.Name), LogStreamName: st.Name,
		CreationTime: st.Created.UnixMilli(), UploadSequenceToken: st.nextToken(), StoredBytes: st.bytes}
	if n := len(st.events); n > 0 {
		sorted := st.byTime()
		d.FirstEventTimestamp, d.LastEventTimestamp, d.LastIngestionTime = &sorted[0].Timestamp, &sorted[n-1].Timestamp, &st.events[n-1].Ingested
	}
	return d
}

func (d describedStream) lastTime() int64 {
	if d.LastEventTimestamp == nil {
		return -1
	}
	return *d.LastEventTimestamp
}

func (s *Server) getLogEvents(c *call) (any, *apiError) {
	var in struct {
		LogStreamName      *string `json:"logStreamName"`
		EndTime            *int64  `json:"endTime"`
		Limit              *int    `json:"limit"`
		LogGroupIdentifier *string `json:"logGroupIdentifier"`
		LogGroupName       *string `json:"logGroupName"`
		NextToken          *string `json:"nextToken"`
		StartFromHead      *bool   `json:"startFromHead"`
		StartTime          *int64  `json:"startTime"`
		Unmask             *bool   `json:"unmask"`
	}
	if bad := c.input(&in); bad != nil {
		return nil, bad
	}
	group, bad := groupNameOrIdentifier(in.LogGroupName, in.LogGroupIdentifier)
	if bad != nil {
		return nil, bad
	}
	group, stream, bad := checkGroupAndStream(&group, in.LogStreamName)
	if bad != nil {
		return nil, bad
	}
	c.rec.Target = group + "/" + stream
	limit := maxGetEvents
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > maxGetEvents {
			return nil, invalid("InvalidParameterException", "limit", "have value between 1 and 10000")
		}
	}

	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	_, st, bad := l.find(group, stream)
	if bad != nil {
		return nil, bad
	}
	events := st.byTime()
	if in.EndTime != nil { // exclusive
		events = events[:sort.Search(len(events), func(i int) bool { return events[i].Timestamp >= *in.EndTime })]
	}
	if in.StartTime != nil { // inclusive
		events = events[sort.Search(len(events), func(i int) bool { return events[i].Timestamp >= *in.StartTime }):]
	}
	forward := in.StartFromHead != nil && *in.StartFromHead
	at := len(events)
	if forward {
		at = 0
	}
	if in.NextToken != nil {
		direction, number, _ := strings.Cut(*in.NextToken, "/")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || direction != "f" && direction != "b" {
			return nil, refuse("InvalidParameterException", "The specified nextToken is invalid.")
		}
		forward, at = direction == "f", min(n, len(events))
	}
	from, to := window(events, at, forward, limit)
	out := struct {
		Events            []LogEvent `json:"events"`
		NextForwardToken  string     `json:"nextForwardToken"`
		NextBackwardToken string     `json:"nextBackwardToken"`
	}{slices.Clone(events[from:to]), "f/" + strconv.Itoa(to), "b/" + strconv.Itoa(from)}
	if out.Events == nil {
		out.Events = []LogEvent{}
	}
	return out, nil
}

// window chooses the events of one answer: at most limit, and 1 MiB unless the
// first alone is larger.
func window(events []LogEvent, at int, forward bool, limit int) (from, to int) {
	from, to = at, at
	bytes := 0
	for to-from < limit {
		next := to
		if !forward {
			next = from - 1
		}
		if next < 0 || next >= len(events) {
			break
		}
		if bytes += len(events[next].Message) + eventOverhead; bytes > maxGetBytes && to > from {
			break
		}
		if forward {
			to++
		} else {
			from--
		}
	}
	return from, to
}

func groupNameOrIdentifier(name, identifier *string) (string, *apiError) {
	switch {
	case name != nil && identifier != nil:
		return "", refuse("InvalidParameterException", "LogGroup name and LogGroup identifier are mutually exclusive parameters.")
	case identifier != nil:
		return groupOf(*identifier), nil
	}
	return checkGroupName(name)
}

func describeLimit(limit *int) (int, *apiError) {
	if limit == nil {
		return maxDescribedItems, nil
	}
	if *limit < 1 || *limit > maxDescribedItems {
		return 0, invalid("InvalidParameterException", "limit", "have value between 1 and 50")
	}
	return *limit, nil
}

// page cuts one page out of sorted names. The token is the first name of the next page.
func page(names []string, token *string, limit int) (part []string, next string, bad *apiError) {
	if token != nil {
		first, err := base64.URLEncoding.DecodeString(*token)
		i := slices.Index(names, string(first))
		if err != nil || i < 0 {
			return nil, "", &apiError{status: http.StatusBadRequest, code: "InvalidParameterException", message: "The specified nextToken is invalid."}
		}
		names = names[i:]
	}
	if len(names) <= limit {
		return names, "", nil
	}
	return names[:limit], base64.URLEncoding.EncodeToString([]byte(names[limit])), nil
}
