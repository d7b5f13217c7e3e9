package awslocal

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of STS, from
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const (
	minSessionSeconds     = 900
	maxSessionSeconds     = 43_200
	defaultSessionSeconds = 3600
	maxExternalID         = 1224
)

var (
	roleARNPattern     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$`)
	sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalIDPattern  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

var stsService = &service{
	name:     "sts",
	protocol: awsQuery,
	operations: map[string]*operation{
		"AssumeRole":                {handle: (*Server).assumeRole},
		"AssumeRoleWithWebIdentity": {handle: (*Server).assumeRoleWithWebIdentity},
		"GetCallerIdentity":         {handle: (*Server).getCallerIdentity},
	},
}

// STS is the Security Token Service side of a Server, and the keeper of all
// credentials that the server gives out.
type STS struct {
	s     *Server
	mu    sync.Mutex // guards the following
	trust map[string]string
}

func newSTS(s *Server) *STS { return &STS{s: s} }

// Credentials returns all credentials given out so far, oldest first, those of
// the container and instance metadata endpoints included.
func (t *STS) Credentials() []Credentials { return t.s.keys.list() }

// Lookup returns the credentials of an access key id, also of a configured one.
func (t *STS) Lookup(accessKeyID string) (c Credentials, ok bool) { return t.s.keys.get(accessKeyID) }

// Expire makes credentials that were given out invalid from now on. It says
// whether there are any of that id.
func (t *STS) Expire(accessKeyID string) bool {
	return t.s.keys.expire(accessKeyID, t.s.cfg.Now())
}

// Trust lets a role be assumed with this external id (empty: with any or none).
// Once it was called, no other roles can be assumed.
func (t *STS) Trust(roleARN, externalID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trust == nil {
		t.trust = make(map[string]string)
	}
	t.trust[roleARN] = externalID
}

func (t *STS) trusts(roleARN, externalID string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	want, ok := t.trust[roleARN]
	return t.trust == nil || ok && (want == "" || want == externalID)
}

func (s *Server) assumeRole(c *call) (any, *apiError) {
	in, bad := sessionInput(c, "ExternalId", "Policy", "SerialNumber", "TokenCode", "SourceIdentity", "PolicyArns", "Tags", "TransitiveTagKeys", "ProvidedContexts")
	if bad != nil {
		return nil, bad
	}
	in.Source, in.CallerKeyID = "AssumeRole", c.rec.Auth.AccessKeyID
	in.ExternalID = c.form.Get("ExternalId")
	if c.form.Has("ExternalId") && (!externalIDPattern.MatchString(in.ExternalID) || len(in.ExternalID) > maxExternalID) {
		return nil, invalid("ValidationError", "externalId", `satisfy regular expression pattern: [\w+=,.@:\/-]* and have length between 2 and 1224`)
	}
	if !s.sts.trusts(in.RoleARN, in.ExternalID) {
		return nil, &apiError{status: http.StatusForbidden, code: "AccessDenied",
			message: "User: " + s.callerARN(c) + " is not authorized to perform: sts:AssumeRole on resource: " + in.RoleARN}
	}
	return assumeRoleOut{s.session(in)}, nil
}

func (s *Server) assumeRoleWithWebIdentity(c *call) (any, *apiError) {
	in, bad := sessionInput(c, "WebIdentityToken", "ProviderId", "Policy", "PolicyArns")
	if bad != nil {
		return nil, bad
	}
	in.Source, in.Token = "AssumeRoleWithWebIdentity", c.form.Get("WebIdentityToken")
	if len(in.Token) < 4 || len(in.Token) > 20_000 {
		return nil, invalid("ValidationError", "webIdentityToken", "have length between 4 and 20000")
	}
	if !s.sts.trusts(in.RoleARN, "") {
		return nil, &apiError{status: http.StatusForbidden, code: "AccessDenied", message: "Not authorized to perform sts:AssumeRoleWithWebIdentity"}
	}
	return assumeRoleWithWebIdentityOut{s.session(in), "sts.amazonaws.com", "system:serviceaccount:default:test"}, nil
}

func (s *Server) getCallerIdentity(c *call) (any, *apiError) {
	if bad := knownParameters(c.form); bad != nil {
		return nil, bad
	}
	return getCallerIdentityOut{Arn: s.callerARN(c), UserID: c.rec.Auth.AccessKeyID, Account: s.cfg.Account}, nil
}

// callerARN names whoever signed the call.
func (s *Server) callerARN(c *call) string {
	key, _ := s.keys.get(c.rec.Auth.AccessKeyID)
	if key.RoleARN == "" {
		return "arn:aws:iam::" + s.cfg.Account + ":user/" + c.rec.Auth.AccessKeyID
	}
	return assumedRoleARN(key)
}

func assumedRoleARN(c Credentials) string {
	arn := strings.Replace(c.RoleARN, ":iam:", ":sts:", 1)
	arn = strings.Replace(arn, ":role/", ":assumed-role/", 1)
	return arn + "/" + c.SessionName
}

// sessionInput reads what both ways to assume a role have in common.
func sessionInput(c *call, others ...string) (in Credentials, bad *apiError) {
	const code = "ValidationError"
	if bad := knownParameters(c.form, append(others, "RoleArn", "RoleSessionName", "DurationSeconds", "MinimumSessionTokenSize")...); bad != nil {
		return in, bad
	}
	in.RoleARN, in.SessionName = c.form.Get("RoleArn"), c.form.Get("RoleSessionName")
	if !roleARNPattern.MatchString(in.RoleARN) {
		return in, refuse(code, "%s is invalid", in.RoleARN)
	}
	if !sessionNamePattern.MatchString(in.SessionName) {
		return in, invalid(code, "roleSessionName", `satisfy regular expression pattern: [\w+=,.@-]* and have length between 2 and 64`)
	}
	if c.form.Has("DurationSeconds") {
		n, err := strconv.Atoi(c.form.Get("DurationSeconds"))
		if err != nil || n < minSessionSeconds || n > maxSessionSeconds {
			return in, invalid(code, "durationSeconds", "have value between 900 and 43200")
		}
		in.Duration = time.Duration(n) * time.Second
	}
	c.rec.Target = in.RoleARN
	return in, nil
}

// knownParameters refuses parameters given twice or not known. Lists and
// structures have names like Tags.member.1.Key.
func knownParameters(form url.Values, known ...string) *apiError {
	known = append(known, "Action", "Version")
	for name, values := range form {
		root, _, _ := strings.Cut(name, ".")
		if len(values) != 1 || !slices.Contains(known, root) {
			return refuse("ValidationError", "parameter %q is unknown or given twice", name)
		}
	}
	return nil
}

// session gives credentials out.
func (s *Server) session(in Credentials) sessionOut {
	ttl := in.Duration
	if ttl == 0 {
		ttl = defaultSessionSeconds * time.Second
	}
	c := s.issue(in, ttl)
	var out sessionOut
	out.Credentials.AccessKeyID, out.Credentials.SecretAccessKey, out.Credentials.SessionToken = c.AccessKeyID, c.SecretAccessKey, c.SessionToken
	out.Credentials.Expiration = c.Expires.UTC().Format(time.RFC3339)
	out.AssumedRoleUser.Arn = assumedRoleARN(c)
	out.AssumedRoleUser.AssumedRoleID = "AROAEXAMPLEROLEID0000:" + c.SessionName
	return out
}

// issue makes credentials that last for ttl, or for Config.CredentialsTTL.
func (s *Server) issue(in Credentials, ttl time.Duration) Credentials {
	if s.cfg.CredentialsTTL > 0 {
		ttl = s.cfg.CredentialsTTL
	}
	in.Expires = s.cfg.Now().Add(ttl)
	return s.keys.issue(in)
}

// AWSQUERY ON THE WIRE

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

type sessionOut struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	AssumedRoleUser struct {
		Arn           string
		AssumedRoleID string `xml:"AssumedRoleId"`
	}
}

type assumeRoleOut struct{ sessionOut }

type assumeRoleWithWebIdentityOut struct {
	sessionOut
	Audience                    string
	SubjectFromWebIdentityToken string
}

type getCallerIdentityOut struct {
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

// queryXML wraps an operation's result in its response.
func queryXML(c *call, out any) []byte {
	var b bytes.Buffer
	b.WriteString("<" + c.op.name + `Response xmlns="` + stsNamespace + `">`)
	_ = xml.NewEncoder(&b).EncodeElement(out, xml.StartElement{Name: xml.Name{Local: c.op.name + "Result"}}) // strings into memory
	b.WriteString("<ResponseMetadata><RequestId>" + c.rec.ID + "</RequestId></ResponseMetadata></" + c.op.name + "Response>")
	return b.Bytes()
}

func queryErrorXML(c *call, e *apiError) []byte {
	var b bytes.Buffer
	kind := "Sender"
	if e.status >= 500 {
		kind = "Receiver"
	}
	b.WriteString(`<ErrorResponse xmlns="` + stsNamespace + `"><Error><Type>` + kind + "</Type><Code>" + e.code + "</Code><Message>")
	_ = xml.EscapeText(&b, []byte(e.message)) // into memory
	b.WriteString("</Message></Error><RequestId>" + c.rec.ID + "</RequestId></ErrorResponse>")
	return b.Bytes()
}
