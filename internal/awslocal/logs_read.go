package awslocal

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
)

type describedGroup struct {
	ARN             string `json:"arn"`
	LogGroupARN     string `json:"logGroupArn"`
	LogGroupName    string `json:"logGroupName"`
	LogGroupClass   string `json:"logGroupClass"`
	CreationTime    int64  `json:"creationTime"`
	RetentionInDays int    `json:"retentionInDays,omitempty"`
	KMSKeyID        string `json:"kmsKeyId,omitempty"`
	Protected       bool   `json:"deletionProtectionEnabled"`
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
			CreationTime: g.info.Created.UnixMilli(), RetentionInDays: g.info.RetentionDays, KMSKeyID: g.info.KMSKeyID,
			Protected: g.info.Protected}
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
