package awslocal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Signature Version 4, the server's half, written from
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	sigMaxSkew   = 5 * time.Minute // either way
)

// Auth is what the Authorization header of a request says.
type Auth struct {
	AccessKeyID   string
	Date          string // yyyymmdd, of the credential scope
	Region        string // of the credential scope
	Service       string // of the credential scope
	SignedHeaders []string
	Signature     string
	SessionToken  string // X-Amz-Security-Token
	Verified      bool   // the signature was computed anew and is the same
	malformed     string // what is wrong with the header
}

// parseAuth takes an Authorization header apart.
func parseAuth(header string) Auth {
	var a Auth
	rest, ok := strings.CutPrefix(header, sigAlgorithm+" ")
	if !ok {
		a.malformed = "Authorization header does not begin with " + sigAlgorithm
		return a
	}
	parts := make(map[string]string)
	for _, p := range strings.Split(rest, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(p), "=")
		if !ok || parts[k] != "" {
			a.malformed = "Authorization header has a part that is not one name=value"
			return a
		}
		parts[k] = v
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[name] == "" {
			a.malformed = "Authorization header requires '" + name + "' parameter."
			return a
		}
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 || slices.Contains(scope, "") || scope[4] != "aws4_request" || !isDate(scope[1]) {
		a.malformed = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request"
		return a
	}
	a.AccessKeyID, a.Date, a.Region, a.Service = scope[0], scope[1], scope[2], scope[3]
	a.SignedHeaders = strings.Split(parts["SignedHeaders"], ";")
	if !slices.IsSorted(a.SignedHeaders) || slices.ContainsFunc(a.SignedHeaders, func(h string) bool { return h != strings.ToLower(h) }) {
		a.malformed = "SignedHeaders must be in lower case and sorted"
		return a
	}
	a.Signature = parts["Signature"]
	if b, err := hex.DecodeString(a.Signature); err != nil || len(b) != sha256.Size {
		a.malformed = "Signature must be 64 hexadecimal digits"
	}
	return a
}

func isDate(s string) bool {
	_, err := time.Parse("20060102", s)
	return err == nil
}

// authErrors names the errors of authentication: those of the JSON services,
// and those of STS.
var authErrors = map[string]struct {
	json, query string
	queryStatus int
}{
	"missing":   {"MissingAuthenticationTokenException", "MissingAuthenticationToken", 403},
	"malformed": {"IncompleteSignatureException", "IncompleteSignature", 400},
	"unknown":   {"UnrecognizedClientException", "InvalidClientTokenId", 403},
	"mismatch":  {"InvalidSignatureException", "SignatureDoesNotMatch", 403},
	"expired":   {"ExpiredTokenException", "ExpiredToken", 403},
}

func authError(sts bool, kind, message string) *apiError {
	e := authErrors[kind]
	if sts {
		return &apiError{status: e.queryStatus, code: e.query, message: message}
	}
	return &apiError{status: http.StatusBadRequest, code: e.json, message: message}
}

func expiredToken(sts bool) *apiError {
	return authError(sts, "expired", "The security token included in the request is expired")
}

// authenticate checks who signed the call, and whether.
func (s *Server) authenticate(c *call) *apiError {
	if c.op.name == "AssumeRoleWithWebIdentity" {
		return nil // authenticated by its token
	}
	sts := c.op.service == stsService
	header := c.http.Header
	a := &c.rec.Auth
	a.SessionToken = header.Get("X-Amz-Security-Token")
	if header.Get("Authorization") == "" {
		return authError(sts, "missing", "Missing Authentication Token")
	}
	if a.malformed != "" {
		return authError(sts, "malformed", a.malformed)
	}
	if a.Service != c.op.service.name {
		return authError(sts, "mismatch", "Credential should be scoped to correct service: '"+c.op.service.name+"'.")
	}
	if s.cfg.Region != "" && a.Region != s.cfg.Region {
		return authError(sts, "mismatch", "Credential should be scoped to a valid region, not '"+a.Region+"'.")
	}
	if missing := unsignedHeader(a.SignedHeaders, header); missing != "" {
		return authError(sts, "mismatch", "'"+missing+"' must be a signed header.")
	}
	signed, err := time.Parse(sigTime, header.Get("X-Amz-Date"))
	if err != nil || signed.Format("20060102") != a.Date {
		return authError(sts, "malformed", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	}
	if skew := time.Since(signed); skew > sigMaxSkew || skew < -sigMaxSkew {
		return authError(sts, "mismatch", "Signature expired or not yet current: "+header.Get("X-Amz-Date"))
	}

	key, known := s.keys.get(a.AccessKeyID)
	if !known {
		if s.cfg.RefuseUnknownKeys {
			return authError(sts, "unknown", "The security token included in the request is invalid.")
		}
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(key.SessionToken), []byte(a.SessionToken)) != 1 {
		return authError(sts, "unknown", "The security token included in the request is invalid.")
	}
	if signature(key.SecretAccessKey, c, a) != a.Signature {
		return authError(sts, "mismatch", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if !key.Expires.IsZero() && !s.cfg.Now().Before(key.Expires) {
		return expiredToken(sts)
	}
	a.Verified = true
	return nil
}

// unsignedHeader returns a header that has to be signed and is not.
func unsignedHeader(signed []string, header http.Header) string {
	if !slices.Contains(signed, "host") {
		return "Host"
	}
	for name := range header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(signed, lower) {
			return name
		}
	}
	return ""
}

// signature computes what the Signature of the call should be.
func signature(secret string, c *call, a *Auth) string {
	r := c.http
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n")
	canonical.WriteString(canonicalPath(r.URL) + "\n")
	canonical.WriteString(canonicalQuery(r.URL) + "\n")
	for _, name := range a.SignedHeaders {
		canonical.WriteString(name + ":" + headerForSigning(r, name) + "\n")
	}
	canonical.WriteString("\n" + strings.Join(a.SignedHeaders, ";") + "\n")
	canonical.WriteString(sha256Hex(c.raw))

	scope := a.Date + "/" + a.Region + "/" + a.Service + "/aws4_request"
	toSign := sigAlgorithm + "\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + sha256Hex([]byte(canonical.String()))
	key := hmacSHA256([]byte("AWS4"+secret), a.Date)
	key = hmacSHA256(key, a.Region)
	key = hmacSHA256(key, a.Service)
	key = hmacSHA256(key, "aws4_request")
	return hex.EncodeToString(hmacSHA256(key, toSign))
}

// headerForSigning returns a header's value as it is signed: spaces trimmed and
// runs of them made one, several values joined. net/http keeps Host and
// Content-Length apart from the others.
func headerForSigning(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// canonicalPath encodes the path twice, as all services but S3 want it.
func canonicalPath(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return strings.ReplaceAll(uriEncode(u.EscapedPath()), "%2F", "/")
}

func canonicalQuery(u *url.URL) string {
	values := u.Query()
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		vs := slices.Sorted(slices.Values(values[k]))
		for _, v := range vs {
			parts = append(parts, uriEncode(k)+"="+uriEncode(v))
		}
	}
	return strings.Join(parts, "&")
}

// uriEncode encodes all but the unreserved characters of RFC 3986.
func uriEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// Credentials is a set of credentials that the server knows.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string    // empty for a configured key
	Expires         time.Time // zero for a configured key

	// Source is "key" for a configured key, otherwise the operation that gave
	// these credentials out: AssumeRole, AssumeRoleWithWebIdentity,
	// ContainerCredentials or InstanceMetadata.
	Source      string
	RoleARN     string
	SessionName string
	ExternalID  string
	Duration    time.Duration // as asked for; 0 if the caller did not say
	CallerKeyID string        // access key id that signed the AssumeRole call
	Token       string        // of a web identity
}

// keyring holds the credentials that the server knows.
type keyring struct {
	mu     sync.Mutex // guards the following
	byID   map[string]Credentials
	issued []string // access key ids, oldest first
}

func (k *keyring) init(static map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID = make(map[string]Credentials)
	k.issued = nil
	for id, secret := range static {
		k.byID[id] = Credentials{AccessKeyID: id, SecretAccessKey: secret, Source: "key"}
	}
}

func (k *keyring) get(id string) (Credentials, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.byID[id]
	return c, ok
}

// issue fills in the secret parts of c and remembers it.
func (k *keyring) issue(c Credentials) Credentials {
	c.AccessKeyID = "ASIA" + base32.StdEncoding.EncodeToString(randomBytes(10))
	c.SecretAccessKey = base64.StdEncoding.EncodeToString(randomBytes(30))
	c.SessionToken = "IQoJ" + base64.StdEncoding.EncodeToString(randomBytes(120))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID[c.AccessKeyID] = c
	k.issued = append(k.issued, c.AccessKeyID)
	return c
}

func (k *keyring) list() []Credentials {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]Credentials, len(k.issued))
	for i, id := range k.issued {
		out[i] = k.byID[id]
	}
	return out
}

func (k *keyring) expire(id string, at time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.byID[id]
	if ok {
		c.Expires = at
		k.byID[id] = c
	}
	return ok
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func newRequestID() string {
	h := hex.EncodeToString(randomBytes(16))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
