package awslocal

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

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
	if strings.HasPrefix(name, "aws/") {
		return nil, refuse("InvalidParameterException", "Log groups starting with AWS/ are reserved for AWS.")
	}
	info := LogGroup{Name: name, Tags: in.Tags}
	if in.LogGroupClass != nil {
		info.Class = *in.LogGroupClass
		if !slices.Contains(logGroupClasses, info.Class) {
			return nil, invalid("InvalidParameterException", "logGroupClass", "satisfy enum value set: ["+strings.Join(logGroupClasses, ", ")+"]")
		}
	}
	if in.KMSKeyID != nil {
		if bad := checkKMSKey(in.KMSKeyID); bad != nil {
			return nil, bad
		}
		info.KMSKeyID = *in.KMSKeyID
	}
	info.Protected = in.DeletionProtectionEnabled != nil && *in.DeletionProtectionEnabled
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
	g, bad := l.findGroup(name)
	if bad != nil {
		return nil, bad
	}
	if g.info.Protected {
		return nil, refuse("ValidationException", "Log group cannot be deleted: deletion protection is enabled.")
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
	return s.logs.set(name, func(g *LogGroup) { g.RetentionDays = *in.RetentionInDays })
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
	name, ok := strings.CutPrefix(*in.ResourceARN, s.arn("logs", "log-group:"))
	if !ok || !logGroupPattern.MatchString(name) { // the form that ends with :* is for other purposes
		return nil, refuse("InvalidParameterException", "Invalid resource ARN.")
	}
	return s.tagGroup(c, name, in.Tags)
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

// set changes what a group has, and returns the answer to the call that asks for it.
func (l *Logs) set(name string, change func(*LogGroup)) (any, *apiError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, bad := l.findGroup(name)
	if bad != nil {
		return nil, bad
	}
	change(&g.info)
	return nothing{}, nil
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
