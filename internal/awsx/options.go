// Package awsx connects a plugin to AWS: it turns options into clients of the
// AWS SDK, keeps credentials fresh and connections bounded in time, sends a
// request body that is ready as bytes, and says what an error means.
//
// The SDK keeps what it is good at: the credential chain, endpoint rules and
// signing. What it is not good at is replaced: its serializer, which costs four
// fifths of a PutLogEvents call, and its retries, because the plugins resend
// single records and nothing may retry beneath them.
package awsx

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"aws-for-fluent-bit/internal/options"
)

// DefaultTimeout bounds one call, from asking for credentials to the last byte
// of the answer. AWS's own Go plugin has none, and then waits for ever on a
// connection that hangs.
const DefaultTimeout = 10 * time.Second

// Options say which AWS to talk to, as whom and how. The zero value of each
// means its default; ParseOptions fills them from a configuration. Options are
// comparable: outputs with the same settings share connections and credentials.
type Options struct {
	Service string // logs, kinesis or firehose; for messages only

	Region   string
	Endpoint string // URL of the service; "": the region's own

	Profile             string // of the shared config and credentials files
	CredentialsFile     string // shared credentials; "": AWS_SHARED_CREDENTIALS_FILE or the home's
	CredentialsEndpoint string // URL that answers with credentials, instead of the default chain
	EKSRoleARN          string // assumed first, with the credentials above
	RoleARN             string // assumed with what comes out of the above
	ExternalID          string // for RoleARN
	RoleSessionName     string // "": aws-for-fluent-bit
	RoleDuration        time.Duration
	STSEndpoint         string // URL of STS; "": the region's own

	UseFIPS      bool
	UseDualStack bool

	ProxyURL      string // may hold a password: never printed whole; "": HTTPS_PROXY and so on
	NoProxy       string // hosts to reach directly, with commas between them
	CABundle      string // PEM file, instead of the system's; "": AWS_CA_BUNDLE
	TLSMinVersion string // "1.2" or "1.3"

	Timeout        time.Duration // of one call; 0: DefaultTimeout
	ExtraUserAgent string
	// NoResend turns off the silent second try of a request for which a reused
	// connection turned out to be closed.
	NoResend bool
}

const (
	regionName  = options.Pattern(`^[a-zA-Z0-9-]{1,63}$`)
	roleARN     = options.Pattern(`^arn:[\w-]+:iam::[^:]*:role/\S+$`)
	externalID  = options.Pattern(`^[\w+=,.@:/-]{2,}$`)
	sessionName = options.Pattern(`^[\w+=,.@-]{2,64}$`)
)

// ParseOptions reads the options that have to do with AWS. Problems are left in
// s, each with the option's name, its value and what is allowed.
//
// The names are those of AWS's Go plugins and of Fluent Bit's C plugins; the
// variable EKS_POD_EXECUTION_ROLE is read as both do.
func ParseOptions(s *options.Set, service string) Options {
	o := Options{
		Service:             service,
		Region:              s.Required("region"),
		Endpoint:            parseEndpoint(s, "endpoint"),
		STSEndpoint:         parseEndpoint(s, "sts_endpoint"),
		CredentialsEndpoint: parseCredentialsEndpoint(s),
		Profile:             s.String("profile", ""),
		CredentialsFile:     s.String("credentials_file", ""),
		EKSRoleARN:          strings.TrimSpace(os.Getenv("EKS_POD_EXECUTION_ROLE")),
		RoleARN:             s.String("role_arn", ""),
		ExternalID:          s.String("external_id", ""),
		RoleSessionName:     s.String("role_session_name", ""),
		// A role's own limit is at least one hour, and exactly that for a role
		// assumed with another's credentials (AWS STS, AssumeRole).
		RoleDuration:   s.Duration("role_duration", time.Hour, 15*time.Minute, 12*time.Hour),
		UseFIPS:        s.Bool("use_fips", false),
		UseDualStack:   s.Bool("use_dualstack", false),
		ProxyURL:       parseProxy(s),
		NoProxy:        strings.Join(s.List("no_proxy"), ","),
		CABundle:       s.String("ca_bundle", ""),
		TLSMinVersion:  s.OneOf("tls_min_version", "1.2", "1.2", "1.3"),
		ExtraUserAgent: s.String("extra_user_agent", ""),
		NoResend:       !s.Bool("auto_retry_requests", true),
		Timeout:        s.Duration("http_request_timeout", 0, 0, time.Hour),
	}
	if o.Timeout == 0 {
		// AWS's kinesis plugin has 0 for "no limit"; nothing here is without one.
		o.Timeout = DefaultTimeout
	}
	o.Endpoint = addPort(s, o.Endpoint)
	o.check(s)
	return o
}

func (o *Options) check(s *options.Set) {
	if o.Region != "" && !regionName.Match(o.Region) {
		s.Fail("region", o.Region, "the name of an AWS region, as us-east-1")
	}
	if o.RoleARN != "" && !roleARN.Match(o.RoleARN) {
		s.Fail("role_arn", o.RoleARN, "a role's name, as arn:aws:iam::123456789012:role/name")
	}
	if o.EKSRoleARN != "" && !roleARN.Match(o.EKSRoleARN) {
		s.Conflict("environment variable EKS_POD_EXECUTION_ROLE: cannot use %q: allowed is a role's name, as arn:aws:iam::123456789012:role/name", o.EKSRoleARN)
	}
	if o.ExternalID != "" && (len(o.ExternalID) > 1224 || !externalID.Match(o.ExternalID)) {
		s.Fail("external_id", o.ExternalID, "2 to 1224 letters, digits and _+=,.@:/-")
	}
	if o.RoleSessionName != "" && !sessionName.Match(o.RoleSessionName) {
		s.Fail("role_session_name", o.RoleSessionName, "2 to 64 letters, digits and _+=,.@-")
	}
	if o.Endpoint != "" && o.UseFIPS {
		s.Conflict("options use_fips and endpoint: give one of them; with an endpoint, name a FIPS one")
	}
	if o.Endpoint != "" && o.UseDualStack {
		s.Conflict("options use_dualstack and endpoint: give one of them; with an endpoint, name a dual-stack one")
	}
	if o.CredentialsFile != "" {
		if _, err := os.ReadFile(o.CredentialsFile); err != nil {
			s.Fail("credentials_file", o.CredentialsFile, "a readable file with shared credentials ("+err.Error()+")")
		}
		if o.CredentialsEndpoint != "" {
			s.Conflict("options credentials_file and credentials_endpoint: both are set, allowed is one of them")
		}
	}
	if o.CABundle != "" {
		if _, err := readCABundle(o.CABundle); err != nil {
			s.Fail("ca_bundle", o.CABundle, "a readable file with PEM certificates ("+err.Error()+")")
		}
	}
}

// parseEndpoint takes a URL, or a host with or without a port as Fluent Bit's C
// plugins do. The result is a URL with nothing after the path, or "".
func parseEndpoint(s *options.Set, name string) string {
	const allowed = "a host, host:port, or a http:// or https:// URL without user, query and fragment"
	v, ok := s.Lookup(name)
	if !ok {
		return ""
	}
	text := v
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || !isHTTP(u) || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		s.Fail(name, withoutPassword(v), allowed)
		return ""
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u.String()
}

// parseCredentialsEndpoint takes what AWS's Go plugin takes: a whole URL.
func parseCredentialsEndpoint(s *options.Set) string {
	v, ok := s.Lookup("credentials_endpoint")
	if !ok {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || !isHTTP(u) || u.Fragment != "" {
		s.Fail("credentials_endpoint", withoutPassword(v), "a http:// or https:// URL")
		return ""
	}
	return v
}

func parseProxy(s *options.Set) string {
	v, ok := s.Lookup("proxy_url")
	if !ok {
		return ""
	}
	text := v
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	good := err == nil && u.Hostname() != "" && goodPort(u) && (u.Path == "" || u.Path == "/") && u.RawQuery == ""
	if good {
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
			return text
		}
	}
	s.Fail("proxy_url", withoutPassword(v), "a host:port, or a http://, https:// or socks5:// URL of a proxy")
	return ""
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Opaque == "" && goodPort(u)
}

// goodPort is needed since url.Parse takes any number for a port.
func goodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n > 0 && n < 1<<16
}

// addPort handles the C plugins' option port, which goes with their endpoint.
func addPort(s *options.Set, endpoint string) string {
	port := s.Int("port", 0, 1, 1<<16-1)
	if port == 0 {
		return endpoint
	}
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil {
		if port != 443 {
			s.Conflict("option port: %d needs an endpoint: AWS's own listen on 443", port)
		}
		return endpoint
	}
	if u.Port() != "" && u.Port() != strconv.Itoa(port) {
		s.Conflict("options port and endpoint: they name different ports, %d and %s", port, u.Port())
		return endpoint
	}
	u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
	return u.String()
}

// withoutPassword makes a URL fit to be shown.
func withoutPassword(v string) string {
	at := strings.LastIndexByte(v, '@')
	if at < 0 {
		return v
	}
	if u, err := url.Parse(v); err == nil && u.User != nil {
		return u.Redacted()
	}
	return "***" + v[at:] // cannot be told apart
}

// String is the line for the log at start: what is in force, without secrets.
func (o Options) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "region=%s", o.Region)
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, value)
		}
	}
	add("endpoint", o.Endpoint)
	add("profile", o.Profile)
	add("credentials_file", o.CredentialsFile)
	if o.CredentialsEndpoint != "" {
		// Its path or query may be the secret that opens it.
		u, err := url.Parse(o.CredentialsEndpoint)
		if err == nil {
			add("credentials_endpoint", u.Scheme+"://"+u.Host)
		}
	}
	add("eks_pod_execution_role", o.EKSRoleARN)
	add("role_arn", o.RoleARN)
	if o.ExternalID != "" {
		add("external_id", "(set)")
	}
	add("role_session_name", o.RoleSessionName)
	add("sts_endpoint", o.STSEndpoint)
	if o.UseFIPS {
		add("use_fips", "true")
	}
	if o.UseDualStack {
		add("use_dualstack", "true")
	}
	if o.ProxyURL != "" {
		add("proxy_url", withoutPassword(o.ProxyURL))
	}
	add("no_proxy", o.NoProxy)
	add("ca_bundle", o.CABundle)
	add("http_request_timeout", o.timeout().String())
	return b.String()
}

func (o Options) timeout() time.Duration {
	if o.Timeout <= 0 {
		return DefaultTimeout
	}
	return o.Timeout
}
