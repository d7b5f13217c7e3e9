package awslocal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

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
	l := s.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	g, st, bad := l.find(group, stream)
	if bad != nil {
		return nil, bad
	}
	var digest [sha256.Size]byte // knows a batch that was accepted before
	if l.tokens {
		digest = sha256.Sum256(c.body)
		if bad := st.checkToken(in.SequenceToken, digest); bad != nil {
			return nil, bad
		}
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
	why := rejectEntity(in.Entity)
	if c.fault.Kind == RejectEntity {
		why = cmp.Or(c.fault.Code, "InvalidEntity")
	}
	if why != "" {
		out.RejectedEntityInfo = &rejectedEntityInfo{ErrorType: why}
		st.entity = nil
	}
	return out, nil
}

// entityTypes are the types of entities with the other attributes that identify
// one, all of which are needed.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/adding-your-own-related-telemetry.html
var entityTypes = map[string][]string{
	"Service": {"Name", "Environment"}, "RemoteService": {"Name"}, "AWS::Service": {"Name"},
	"Resource": {"ResourceType", "Identifier"}, "AWS::Resource": {"ResourceType", "Identifier"},
}

// rejectEntity returns why an entity is left out while its events are taken, ""
// if it is not. AWS's own agents send AwsAccountId, which the API's page lacks.
func rejectEntity(e *Entity) string {
	if e == nil || e.KeyAttributes == nil {
		return ""
	}
	needed, ok := entityTypes[e.KeyAttributes["Type"]]
	if !ok {
		return "InvalidTypeValue"
	}
	for key := range e.KeyAttributes {
		if !slices.Contains([]string{"Type", "ResourceType", "Identifier", "Name", "Environment", "AwsAccountId"}, key) {
			return "InvalidKeyAttributes"
		}
	}
	for _, key := range needed {
		if e.KeyAttributes[key] == "" {
			return "MissingRequiredFields"
		}
	}
	return ""
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

// checkEntity holds an entity against
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Entity.html
func checkEntity(e *Entity) *apiError {
	const code = "InvalidParameterException"
	if e == nil {
		return nil
	}
	if len(e.Attributes) > 10 {
		return invalid(code, "entity.attributes", "have length less than or equal to 10")
	}
	if e.KeyAttributes != nil && (len(e.KeyAttributes) < 2 || len(e.KeyAttributes) > 4) {
		return invalid(code, "entity.keyAttributes", "have length between 2 and 4")
	}
	within := func(attributes map[string]string, maxKey int) bool {
		for k, v := range attributes {
			if k == "" || characters(k) > maxKey || v == "" || characters(v) > 512 {
				return false
			}
		}
		return true
	}
	if !within(e.Attributes, 256) {
		return invalid(code, "entity.attributes", "have keys of 1 to 256 characters and values of 1 to 512")
	}
	if !within(e.KeyAttributes, 32) {
		return invalid(code, "entity.keyAttributes", "have keys of 1 to 32 characters and values of 1 to 512")
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

func (st *LogStream) checkToken(token *string, digest [sha256.Size]byte) *apiError {
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
