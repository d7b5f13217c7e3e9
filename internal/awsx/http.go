package awsx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	dialTimeout         = 5 * time.Second
	tlsHandshakeTimeout = 5 * time.Second

	// CloudWatch Logs closes a connection that was idle for about 6 s. Closing
	// it first keeps a request from meeting the service's own close half way.
	idleTimeout = 4 * time.Second

	// As many as may be in flight at once over all workers of all outputs; more
	// would be closed and dialed again after each call. They end after 4 s, so
	// a large number costs nothing.
	idlePerHost = 128

	maxAnswer      = 16 << 20 // bytes of a 2xx answer; PutRecords' largest is well below 1 MiB
	maxErrorAnswer = 64 << 10 // bytes of any other answer; the rest of an error page is cut off

	// A pool full of closed connections is worked through at most this often.
	maxResend = 8
)

var errAnswerTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxAnswer)

// SendError is a request without an answer.
type SendError struct {
	Err error
	// NotSent: the service surely did not process the request, since it cannot
	// have got all of its body.
	NotSent bool
	// Reused: it went out on a kept connection, which then ended without a byte
	// of an answer. Most likely the other side had closed it just then.
	Reused bool
}

func (e *SendError) Error() string { return e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }

// newTransport returns the pool of connections for the services' calls, and
// net/http's for all else.
//
// HTTP/1.1 on purpose: with HTTP/2 all requests to a host share one connection
// and its flow control window, and each body is copied into frames once more. A
// call with 1 MB costs 0.58 ms of CPU with the one and 1.10 ms with the other
// (BenchmarkProtocol).
func newTransport(o Options, roots *x509.CertPool, life context.Context) (*pool, *http.Transport) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	config := &tls.Config{
		MinVersion: tlsVersion(o.TLSMinVersion),
		RootCAs:    roots,
		// A connection that was idle is closed: the next one need not check the
		// certificates again.
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		// Small records at a connection's start help a browser show the first
		// lines sooner. A request body is of use only when it is whole.
		DynamicRecordSizingDisabled: true,
	}
	handshake := min(tlsHandshakeTimeout, o.timeout())
	dialer := newDialer(o)
	return newPool(dialer.DialContext, dialTLS(dialer.DialContext, config, handshake)), &http.Transport{
		Proxy:                 proxyFunc(o, false),
		DialContext:           dialWithin(life, dialer),
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   handshake,
		ResponseHeaderTimeout: o.timeout(),
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   idlePerHost,
		// Answers are small; asking for gzip costs both sides more than it saves.
		DisableCompression: true,
		Protocols:          protocols,
	}
}

func newDialer(o Options) *net.Dialer {
	return &net.Dialer{Timeout: min(dialTimeout, o.timeout())}
}

func tlsVersion(v string) uint16 {
	if v == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// dialWithin ends dialing when life ends. The Transport goes on dialing for its pool
// after the request that wanted the connection has given up.
func dialWithin(life context.Context, d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(life, cancel)
		defer stop()
		return d.DialContext(ctx, network, address)
	}
}

// httpClient sends the SDK's requests. It follows no redirect: records go where
// the configuration says and nowhere else.
type httpClient struct {
	pool      *pool // nil: all goes by transport
	proxy     func(*http.Request) (*url.URL, error)
	transport http.RoundTripper
	resend    bool
	limit     time.Duration // of a call; 0: DefaultTimeout
	routes    routes
}

func (c *httpClient) timeout() time.Duration { return Options{Timeout: c.limit}.timeout() }

type bodyKey struct{}

// Do sends one request.
//
// A reused connection may turn out to have been closed by the other side. The
// request is then sent again at once on another one, but only when it is sure
// that it was not processed: see connection.notSent. When everything was written
// and no answer came, the request may have been processed. That is for the
// caller to decide on: see Classify.
func (c *httpClient) Do(req *http.Request) (*http.Response, error) {
	body, err := bodyOf(req)
	if err != nil {
		return nil, &SendError{Err: err, NotSent: true}
	}
	return c.send(req.Context(), req, body)
}

// send is Do for a request whose body is known. Its own context is not looked at.
func (c *httpClient) send(ctx context.Context, req *http.Request, body *Body) (*http.Response, error) {
	pooled := c.pooled(req, body)
	for try := 0; ; try++ {
		var conn connection
		var reader *bodyReader
		if body != nil {
			reader = body.open()
		}
		var resp *http.Response
		var err error
		if pooled {
			resp, err = c.pool.send(ctx, req, reader, &conn)
		} else {
			resp, err = c.roundTrip(ctx, req, reader, &conn)
		}
		if err == nil {
			limitAnswer(resp)
			asJSON(resp)
			return resp, nil
		}
		if reader != nil {
			_ = reader.Close() // from here on what was sent does not change
		}
		notSent := body != nil && !body.whole() || conn.notSent(err)
		if c.resend && notSent && conn.reused && try < maxResend && ctx.Err() == nil {
			if body != nil && !closedBeforeWrite(err) {
				body.resent()
			}
			continue
		}
		return nil, &SendError{
			Err:     fmt.Errorf("cannot reach %s: %w", req.URL.Host, err),
			NotSent: notSent,
			Reused:  conn.reused && !isTimeout(err),
		}
	}
}

// pooled says whether a request goes by the pool.
func (c *httpClient) pooled(req *http.Request, body *Body) bool {
	if !canLook || c.pool == nil || body == nil || body.Len() == 0 {
		return false
	}
	via, err := c.proxy(req)
	return via == nil && err == nil // of an error the transport says more
}

// roundTrip makes a request by the transport. reader is nil for one without a body.
func (c *httpClient) roundTrip(ctx context.Context, req *http.Request, reader *bodyReader, got *connection) (*http.Response, error) {
	attempt := req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		got.made, got.reused = true, info.Reused
	}}))
	if reader != nil {
		attempt.Body = reader
		attempt.GetBody = func() (io.ReadCloser, error) { return reader.body.open(), nil }
	}
	return c.transport.RoundTrip(attempt)
}

// connection is what is known of the connection a request got.
type connection struct{ made, reused bool }

// notSent says whether a request that failed surely was not processed. Beside a
// body that the transport did not take whole (the signature covers all of it, so
// no part of it can be accepted), there are these cases:
//
//   - there was no connection at all;
//   - writing to it failed, so at least the end of the body did not leave;
//   - net/http saw the close before it began to write. It sends again by itself
//     only when nothing was written, and GetBody is there, and not always then.
//
// What is left is a close that crosses a small request on the way. It looks the
// same as a server that died over the request, so it counts as lost. It needs a
// server that closes connections which were idle for less than idleTimeout.
func (c *connection) notSent(err error) bool {
	return !c.made || writingFailed(err) || closedBeforeWrite(err)
}

func writingFailed(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if op, ok := err.(*net.OpError); ok && (op.Op == "write" || op.Op == "readfrom") {
			return true
		}
	}
	return false
}

// closedBeforeWrite recognizes net/http's errServerClosedIdle, which it does not
// export. persistConn.readLoop sets it only while no request is registered on
// the connection, and closes the connection under the same lock: nothing that
// is written later leaves.
func closedBeforeWrite(err error) bool {
	return strings.HasSuffix(err.Error(), "http: server closed idle connection")
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// bodyOf returns the request's Body: the caller's own, or for a request that
// the SDK has serialized, a small one, a copy.
func bodyOf(req *http.Request) (*Body, error) {
	if body, ok := req.Context().Value(bodyKey{}).(*Body); ok {
		return body, nil
	}
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	data, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("cannot read the request body: %w", err)
	}
	return NewBody(data), nil
}

func limitAnswer(resp *http.Response) {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxAnswer}
		return
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: maxErrorAnswer, cut: true}
}

// limitedBody bounds what an answer may make us read.
type limitedBody struct {
	io.ReadCloser
	left int
	cut  bool // the rest is left out; else it is an error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		if b.cut {
			return 0, io.EOF
		}
		return 0, errAnswerTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// readCABundle returns the certificates of a PEM file.
func readCABundle(path string) ([]byte, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, errors.New("it holds no certificate")
	}
	return pem, nil
}

// proxyFunc returns the choice of proxy: the option's, or what HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY say. Option no_proxy applies to either. With
// linkLocal, hosts that answer only on this machine or link, as the metadata
// services that give credentials, are always reached directly: no proxy could
// speak for this machine.
func proxyFunc(o Options, linkLocal bool) func(*http.Request) (*url.URL, error) {
	choose := http.ProxyFromEnvironment
	if o.ProxyURL != "" {
		u, err := url.Parse(o.ProxyURL)
		choose = func(*http.Request) (*url.URL, error) { return u, err }
	}
	var except []string
	if o.NoProxy != "" {
		except = strings.Split(o.NoProxy, ",")
	}
	return func(req *http.Request) (*url.URL, error) {
		if linkLocal && isLinkLocal(req.URL.Hostname()) || matchesNoProxy(except, req.URL) {
			return nil, nil
		}
		return choose(req)
	}
}

// metadataIPv6 is a unique local address, which netip does not count as link-local.
var metadataIPv6 = netip.MustParsePrefix("fd00:ec2::/32")

func isLinkLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost"
	}
	return ip.IsLoopback() || ip.IsLinkLocalUnicast() || metadataIPv6.Contains(ip)
}

// matchesNoProxy says whether u's host is in a list as NO_PROXY has it: "*",
// a domain and all below it, ".domain" for those below only, an address, a
// network as 10.0.0.0/8; each of the names and addresses also with a port.
func matchesNoProxy(list []string, u *url.URL) bool {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ip, ipErr := netip.ParseAddr(host)
	for _, entry := range list {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "*" {
			return true
		}
		if network, err := netip.ParsePrefix(entry); err == nil {
			if ipErr == nil && network.Contains(ip.Unmap()) {
				return true
			}
			continue
		}
		if h, p, err := net.SplitHostPort(entry); err == nil {
			if p != port {
				continue
			}
			entry = h
		}
		entry = strings.Trim(entry, "[]")
		if a, err := netip.ParseAddr(entry); err == nil {
			if ipErr == nil && a.Unmap() == ip.Unmap() {
				return true
			}
			continue
		}
		below := strings.TrimPrefix(entry, "*")
		if strings.HasPrefix(below, ".") {
			if strings.HasSuffix(host, below) { // host ends with no dot
				return true
			}
			continue
		}
		if entry != "" && (host == entry || strings.HasSuffix(host, "."+entry)) {
			return true
		}
	}
	return false
}
