package awsx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// scripted is a transport whose attempts go as its script says, and then well.
type scripted struct {
	script   []attempt
	attempts int
	bodies   []string
}

// attempt is one that fails.
type attempt struct {
	noConn, fresh bool // the connection; otherwise it is a reused one
	read          int  // bytes of the body that the transport takes; -1: all
	err           error
}

func (s *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	s.attempts++
	trace := httptrace.ContextClientTrace(req.Context())
	if s.attempts > len(s.script) {
		trace.GotConn(httptrace.GotConnInfo{})
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		s.bodies = append(s.bodies, string(b))
		return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}, nil
	}
	a := s.script[s.attempts-1]
	if !a.noConn {
		trace.GotConn(httptrace.GotConnInfo{Reused: !a.fresh})
	}
	if a.read < 0 {
		a.read = 1 << 20
	}
	io.CopyN(io.Discard, req.Body, int64(a.read))
	return nil, a.err
}

var (
	errReset      = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	errPipe       = fmt.Errorf("transport connection broken: %w", &net.OpError{Op: "write", Err: syscall.EPIPE})
	errReadFrom   = &net.OpError{Op: "readfrom", Err: &net.OpError{Op: "write", Err: syscall.ECONNRESET}}
	errIdleClosed = errors.New("http: server closed idle connection")
	errRefused    = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
)

func TestResend(t *testing.T) {
	reused := func(read int, err error) []attempt { return []attempt{{read: read, err: err}} }
	for name, c := range map[string]struct {
		script   []attempt
		attempts int
		err      error // nil: it went well in the end
		notSent  bool
	}{
		"at once":                        {nil, 1, nil, false},
		"nothing taken, end":             {reused(0, io.EOF), 2, nil, false},
		"part taken, reset":              {reused(3, errReset), 2, nil, false},
		"all taken, writing failed":      {reused(-1, errPipe), 2, nil, false},
		"all taken, copying failed":      {reused(-1, errReadFrom), 2, nil, false},
		"all taken, closed before":       {reused(-1, errIdleClosed), 2, nil, false},
		"all taken, end":                 {reused(-1, io.EOF), 1, io.EOF, false},
		"all taken, reset":               {reused(-1, errReset), 1, errReset, false},
		"new connection, part taken":     {[]attempt{{fresh: true, read: 3, err: errReset}}, 1, errReset, true},
		"new connection, all taken":      {[]attempt{{fresh: true, read: -1, err: errReset}}, 1, errReset, false},
		"no connection":                  {[]attempt{{noConn: true, err: errRefused}}, 1, errRefused, true},
		"two closed, then a new one":     {[]attempt{{err: io.EOF}, {err: io.EOF}}, 3, nil, false},
		"closed, then lost":              {[]attempt{{err: io.EOF}, {read: -1, err: io.EOF}}, 2, io.EOF, false},
		"closed, then refused":           {[]attempt{{err: io.EOF}, {noConn: true, err: errRefused}}, 2, errRefused, true},
		"more closed than can be pooled": {slices.Repeat([]attempt{{err: io.EOF}}, maxResend+1), maxResend + 1, io.EOF, true},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &scripted{script: c.script}
			body := NewBody([]byte("0123456789"))
			req, err := http.NewRequest("POST", "http://127.0.0.1/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&httpClient{transport: tr, resend: true}).send(testContext(t), req, body)
			if tr.attempts != c.attempts {
				t.Errorf("%d attempts, want %d", tr.attempts, c.attempts)
			}
			resent := c.attempts - 1
			if len(c.script) > 0 && c.script[0].err == errIdleClosed {
				resent = 0 // nothing of it had left
			}
			if body.Resent() != resent {
				t.Errorf("says that it was sent %d times again, want %d", body.Resent(), resent)
			}
			body.rewind()
			if body.Resent() != 0 {
				t.Error("the next call has the count of this one")
			}
			if c.err == nil {
				if err != nil || resp.StatusCode != 200 || tr.bodies[0] != "0123456789" {
					t.Fatalf("got %v and bodies %q", err, tr.bodies)
				}
				return
			}
			var send *SendError
			if !errors.Is(err, c.err) || !errors.As(err, &send) || send.NotSent != c.notSent {
				t.Errorf("got %v (not sent: %v), want %v (%v)", err, send.NotSent, c.err, c.notSent)
			}
		})
	}
}

func send(ctx context.Context, c *httpClient) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://127.0.0.1/", strings.NewReader("0123456789"))
	if err != nil {
		return nil, err
	}
	return c.Do(req)
}

func TestResendNotWanted(t *testing.T) {
	tr := &scripted{script: []attempt{{err: io.EOF}}}
	_, err := send(testContext(t), &httpClient{transport: tr})
	var failed *SendError
	if !errors.As(err, &failed) || !failed.NotSent || tr.attempts != 1 {
		t.Errorf("option off: %v after %d attempts", err, tr.attempts)
	}

	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	tr = &scripted{script: []attempt{{err: io.EOF}}}
	if _, err := send(ctx, &httpClient{transport: tr, resend: true}); err == nil || tr.attempts != 1 {
		t.Errorf("the call has ended: %v after %d attempts", err, tr.attempts)
	}
}

func TestBodyOf(t *testing.T) {
	for name, c := range map[string]struct {
		body io.Reader
		want string
	}{"none": {nil, "none"}, "no body": {http.NoBody, "none"}, "text": {strings.NewReader("text"), "text"}, "broken": {iotest.ErrReader(io.ErrClosedPipe), "error"}} {
		req, err := http.NewRequest("POST", "http://127.0.0.1/", c.body)
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if b, err := bodyOf(req); err != nil {
			got = "error"
		} else if b != nil {
			got = string(b.data)
		}
		if got != c.want {
			t.Errorf("%s: got %s", name, got)
		}
	}
	req, err := http.NewRequest("POST", "http://127.0.0.1/", iotest.ErrReader(io.ErrClosedPipe))
	if err != nil {
		t.Fatal(err)
	}
	var failed *SendError
	if _, err := (&httpClient{}).Do(req); !errors.As(err, &failed) || !failed.NotSent {
		t.Errorf("got %v", err)
	}
}

// rawServer serves each connection with a function of its number, from 1.
func rawServer(t testing.TB, serve func(n int, c *net.TCPConn)) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quit := make(chan struct{})
	t.Cleanup(func() { close(quit); ln.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // not closed before the end, unless serve does: hanging is its business
				defer c.Close()
				serve(n, c.(*net.TCPConn))
				<-quit
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// answer reads a request and answers it, and returns the length of its body.
func answer(t testing.TB, c net.Conn, r *bufio.Reader, text string) int64 {
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Errorf("cannot read the request: %v", err)
		return -1
	}
	n, err := io.Copy(io.Discard, req.Body)
	if err != nil {
		t.Errorf("cannot read the request body: %v", err)
	}
	io.WriteString(c, text)
	return n
}

const goodAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Amzn-Requestid: x\r\n\r\n{}"

// A server that cuts a kept connection while a large request comes in costs
// nothing: the request goes out whole once more, silently.
func TestReusedConnectionCutInRequest(t *testing.T) {
	body := make([]byte, 16<<20) // more than the kernel holds for two sockets
	whole := make(chan int64, 1)
	url := rawServer(t, func(n int, c *net.TCPConn) {
		c.SetReadBuffer(64 << 10)
		r := bufio.NewReaderSize(c, 4096)
		if n == 1 {
			answer(t, c, r, goodAnswer)
			r.Peek(1) // the next request has begun
			c.SetLinger(0)
			c.Close()
			return
		}
		whole <- answer(t, c, r, goodAnswer)
	})
	s := load(t, Options{Endpoint: url, Timeout: 20 * time.Second})
	client := s.CloudWatchLogs()
	if _, err := PutLogEvents(testContext(t), client, "g", "s", NewBody([]byte("{}"))); err != nil {
		t.Fatal(err)
	}
	if _, err := PutLogEvents(testContext(t), client, "g", "s", NewBody(body)); err != nil {
		t.Fatal(err)
	}
	if n := <-whole; n != int64(len(body)) {
		t.Errorf("the second request came with %d bytes, want %d", n, len(body))
	}
}

// Connections that the server closes while they are idle never show, over TLS or
// by a proxy, which is this server here; and no request is made twice.
func TestIdleConnectionsClosed(t *testing.T) {
	for name, options := range map[string]func(srv *awslocal.Server) Options{
		"TLS": func(srv *awslocal.Server) Options { return Options{Endpoint: srv.URL, CABundle: caFile(t, srv)} },
		"proxy": func(srv *awslocal.Server) Options {
			return Options{Endpoint: "http://logs.example.com", ProxyURL: srv.PlainURL}
		},
	} {
		srv := local(t, awslocal.Config{TLS: true, IdleTimeout: time.Millisecond})
		o := options(srv)
		o.Timeout = 10 * time.Second
		client := load(t, o).CloudWatchLogs()
		srv.Logs().CreateStream("group", "log") // by the client, it could meet a close
		good := 0
		const calls = 30
		for range calls {
			_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1)))
			switch Classify(err).Class {
			case NoFailure:
				good++
			case ConnectionLost: // the close crossed the request: possible, and not to be hidden
			default:
				t.Fatal(err)
			}
			time.Sleep(4 * time.Millisecond)
		}
		if good < calls/2 {
			t.Errorf("%s: %d of %d calls went well", name, good, calls)
		}
		if n := srv.Counts("PutLogEvents").Requests; n > calls {
			t.Errorf("%s: %d requests for %d calls", name, n, calls)
		}
	}
}

// A kept connection that is reset after a small request has come in is not
// hidden, as nobody can know what became of the request; but it is told apart.
func TestStale(t *testing.T) {
	url := rawServer(t, func(n int, c *net.TCPConn) {
		r := bufio.NewReader(c)
		if n == 1 {
			answer(t, c, r, goodAnswer)
		}
		answer(t, c, r, "")
		c.SetLinger(0)
		c.Close()
	})
	s := load(t, Options{Endpoint: url})
	client := s.CloudWatchLogs()
	put := func() Failure {
		_, err := PutLogEvents(testContext(t), client, "group", "log", NewBody([]byte("{}")))
		return Classify(err)
	}
	if f := put(); f.Class != NoFailure {
		t.Fatalf("got %+v", f)
	}
	if f := put(); f.Class != ConnectionLost || !f.Stale {
		t.Errorf("on the connection that was kept: got %+v", f)
	}
	if f := put(); f.Class != ConnectionLost || f.Stale {
		t.Errorf("on a new connection: got %+v", f)
	}
}

// Whatever hangs, a call ends with its deadline.
func TestHang(t *testing.T) {
	const timeout = 500 * time.Millisecond // enough for what does not hang, on a busy machine
	silent := rawServer(t, func(int, *net.TCPConn) {})
	headers := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
	})
	errorPage := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n{")
	})
	trickle := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		for {
			if _, err := io.WriteString(c, " "); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	noEnd := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "")
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	small, large := logEvents("g", "s", 1), make([]byte, 16<<20)
	for name, c := range map[string]struct {
		opts   Options
		body   []byte
		class  Class
		status int
	}{
		"no answer":              {Options{Endpoint: silent}, small, Timeout, 0},
		"request not read":       {Options{Endpoint: silent}, large, ConnectionNotSent, 0},
		"no TLS handshake":       {Options{Endpoint: "https" + strings.TrimPrefix(silent, "http")}, small, ConnectionNotSent, 0},
		"no proxy":               {Options{Endpoint: "https://127.0.0.1:9", ProxyURL: silent}, small, ConnectionNotSent, 0},
		"headers and no body":    {Options{Endpoint: headers}, small, ConnectionLost, 200},
		"error without its body": {Options{Endpoint: errorPage}, small, ServerError, 503},
		"trickling body":         {Options{Endpoint: trickle}, small, ConnectionLost, 200},
		"trickling headers":      {Options{Endpoint: noEnd}, small, Timeout, 0},
		"credentials endpoint":   {Options{Endpoint: silent, CredentialsEndpoint: silent}, small, NoCredentials, 0},
		"STS":                    {Options{Endpoint: silent, RoleARN: "arn:aws:iam::123456789012:role/r", STSEndpoint: silent}, small, NoCredentials, 0},
		"TLS handshake of STS":   {Options{Endpoint: silent, RoleARN: "arn:aws:iam::123456789012:role/r", STSEndpoint: "https" + strings.TrimPrefix(silent, "http")}, small, NoCredentials, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.Timeout = timeout
			s := load(t, c.opts)
			body := NewBody(c.body)
			begun := time.Now()
			_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", body)
			if took := time.Since(begun); took > 20*timeout {
				t.Errorf("it took %v", took)
			}
			f := Classify(err)
			if f.Class != c.class || f.Status != c.status {
				t.Errorf("got %q with status %d, want %q with %d: %v", f.Class, f.Status, c.class, c.status, err)
			}
			s.Close() // must not wait either
			if took := time.Since(begun); took > 40*timeout {
				t.Errorf("it took %v with Close", took)
			}
		})
	}
}

func TestAnswerLimits(t *testing.T) {
	for name, c := range map[string]struct {
		status, size int
		class        Class
	}{
		"usual":           {200, 1 << 20, NoFailure},
		"at the limit":    {200, maxAnswer - 1, NoFailure},
		"endless success": {200, maxAnswer + 1, ConnectionLost},
		"endless error":   {502, maxErrorAnswer * 100, ServerError},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(c.status)
			io.WriteString(w, "{}"+strings.Repeat(" ", c.size-2))
		}))
		s := load(t, Options{Endpoint: srv.URL})
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		if f := Classify(err); f.Class != c.class {
			t.Errorf("%s: got %q, want %q: %.200v", name, f.Class, c.class, err)
		}
		if c.status == 200 && c.class == ConnectionLost && !errors.Is(err, errAnswerTooLarge) {
			t.Errorf("%s: got %v", name, err)
		}
		srv.Close()
	}
}

// Only the bytes of success are all wanted, or the answer is an error.
func TestLimitAnswer(t *testing.T) {
	for status, all := range map[int]bool{199: false, 200: true, 299: true, 300: false} {
		resp := &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", maxErrorAnswer+1)))}
		limitAnswer(resp)
		body, err := io.ReadAll(resp.Body)
		if want := maxErrorAnswer; err != nil || len(body) != want && !all || len(body) != want+1 && all {
			t.Errorf("status %d: got %d bytes, %v", status, len(body), err)
		}
	}
}

// A request without a body fails as any other.
func TestNoBody(t *testing.T) {
	c := &httpClient{transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })}
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:9", nil)
	if err != nil {
		t.Fatal(err)
	}
	var failed *SendError
	if _, err := c.Do(req); !errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
}

// The times that connections are given; a call's own may be less.
func TestConnectionTimes(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 2 * time.Second: 2 * time.Second} {
		o := Options{Timeout: timeout}
		_, tr := newTransport(o, nil, context.Background())
		if got := newDialer(o).Timeout; got != want || tr.TLSHandshakeTimeout != want || tr.IdleConnTimeout != 4*time.Second {
			t.Errorf("timeout %v: dialing %v, TLS %v, idle %v", timeout, got, tr.TLSHandshakeTimeout, tr.IdleConnTimeout)
		}
	}
}

// Records go where the configuration says, whatever an answer wants.
func TestRedirectIsNotFollowed(t *testing.T) {
	var strays atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strays.Add(1) }))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	s := load(t, Options{Endpoint: srv.URL})
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != Unknown || f.Status != http.StatusTemporaryRedirect || strays.Load() != 0 {
		t.Errorf("got %+v and %d strays: %v", f, strays.Load(), err)
	}
}

// proxy forwards requests and tunnels, and counts them by host.
type proxy struct {
	*httptest.Server
	seen atomic.Int64
	auth atomic.Value
}

func newProxy(t testing.TB) *proxy {
	p := &proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.seen.Add(1)
		p.auth.Store(r.Header.Get("Proxy-Authorization"))
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			w.WriteHeader(resp.StatusCode)
			io.Copy(w, resp.Body)
			return
		}
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		near, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(far, near); far.Close() }()
		io.Copy(near, far)
		near.Close()
	}))
	t.Cleanup(p.Close)
	return p
}

func TestProxy(t *testing.T) {
	srv := local(t, awslocal.Config{TLS: true})
	plain, ca := srv.PlainURL, caFile(t, srv)
	p := newProxy(t)
	withUser := strings.Replace(p.URL, "http://", "http://me:s3cret@", 1)
	for name, c := range map[string]struct {
		opts    Options
		proxied bool
	}{
		"plain":               {Options{Endpoint: plain, ProxyURL: p.URL}, true},
		"tunnel":              {Options{Endpoint: srv.URL, ProxyURL: p.URL}, true},
		"with a password":     {Options{Endpoint: srv.URL, ProxyURL: withUser}, true},
		"host excepted":       {Options{Endpoint: srv.URL, ProxyURL: p.URL, NoProxy: "127.0.0.1"}, false},
		"another is excepted": {Options{Endpoint: srv.URL, ProxyURL: p.URL, NoProxy: "example.com,10.0.0.0/8"}, true},
		"none":                {Options{Endpoint: srv.URL}, false},
	} {
		p.seen.Store(0)
		c.opts.CABundle = ca
		s := load(t, c.opts)
		client := s.CloudWatchLogs()
		prepare(t, client)
		if _, err := PutLogEvents(testContext(t), client, "group", "log", NewBody(logEvents("group", "log", 1))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := p.seen.Load() > 0; got != c.proxied {
			t.Errorf("%s: proxied is %v, want %v", name, got, c.proxied)
		}
		if name == "with a password" && p.auth.Load() != "Basic bWU6czNjcmV0" {
			t.Errorf("%s: got %q", name, p.auth.Load())
		}
		s.Close()
	}

	p.Close()
	s := load(t, Options{Endpoint: plain, ProxyURL: withUser})
	_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "group", "log", NewBody([]byte("{}")))
	if f := Classify(err); f.Class != ConnectionNotSent || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("proxy is down: got %q: %v", f.Class, err)
	}
}

func TestMatchesNoProxy(t *testing.T) {
	for _, c := range []struct {
		list, url string
		want      bool
	}{
		{"*", "https://a.example.com", true},
		{"example.com", "https://example.com", true},
		{"example.com", "https://a.example.com", true},
		{"example.com", "https://EXAMPLE.com.", true},
		{"example.com", "https://notexample.com", false},
		{".example.com", "https://a.example.com", true},
		{".example.com", "https://example.com", false},
		{"*.example.com", "https://a.example.com", true},
		{"*.example.com", "https://example.com", false},
		{" Example.COM ", "https://example.com", true},
		{"example.com:443", "https://example.com", true},
		{"example.com:443", "https://example.com:8443", false},
		{"example.com:80", "http://example.com", true},
		{"10.1.2.3", "https://10.1.2.3:99", true},
		{"10.1.2.3:99", "https://10.1.2.3:99", true},
		{"10.1.2.3:98", "https://10.1.2.3:99", false},
		{"10.0.0.0/8", "https://10.1.2.3", true},
		{"10.0.0.0/8", "https://11.1.2.3", false},
		{"10.0.0.0/8", "https://example.com", false},
		{"::1", "http://[::1]:80", true},
		{"[::1]:80", "http://[::1]", true},
		{"fd00::/8", "http://[fd00:ec2::23]", true},
		{"a.com,b.com", "https://b.com", true},
		{"", "https://b.com", false},
		{".", "https://b.com", false},
		{".", "https://b.com.", false},
		{"*.", "https://b.com.", false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := matchesNoProxy(strings.Split(c.list, ","), u); got != c.want {
			t.Errorf("%q, %s: got %v", c.list, c.url, got)
		}
	}
}

// Credentials agents speak for this machine, so no proxy is asked for them.
func TestLinkLocalGoesDirect(t *testing.T) {
	choose := proxyFunc(Options{ProxyURL: "http://proxy.example.com:3128"}, true)
	for to, direct := range map[string]bool{
		"http://169.254.169.254/latest/":   true,
		"http://169.254.170.23/v1":         true,
		"http://[fd00:ec2::23]/v1":         true,
		"http://[fd00:ec2::254]/latest/":   true,
		"http://[fe80::1]/":                true,
		"http://127.0.0.1:51679/":          true,
		"http://localhost/":                true,
		"https://sts.eu-west-1.amazon.com": false,
		"https://10.0.0.1/":                false,
	} {
		req, err := http.NewRequest("GET", to, nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := choose(req)
		if err != nil || (u == nil) != direct {
			t.Errorf("%s: got %v, %v", to, u, err)
		}
	}
}

func TestCABundle(t *testing.T) {
	srv := local(t, awslocal.Config{TLS: true})
	call := func(o Options) error {
		o.Endpoint = srv.URL
		s := load(t, o)
		defer s.Close()
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody(logEvents("g", "s", 1)))
		if Classify(err).Class == NotFound {
			return nil // there is no such group, but an answer
		}
		return err
	}
	if err := call(Options{}); Classify(err).Class != ConnectionNotSent || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
	file := caFile(t, srv)
	if err := call(Options{CABundle: file}); err != nil {
		t.Errorf("option: %v", err)
	}
	t.Setenv("AWS_CA_BUNDLE", file)
	// The variable is read when connections are made anew: the timeout keeps
	// this session from sharing those above.
	if err := call(Options{Timeout: 9 * time.Second}); err != nil {
		t.Errorf("AWS_CA_BUNDLE: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "no PEM": "hello"} {
		bad := filepath.Join(t.TempDir(), "bad.pem")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(testContext(t), Options{Region: "us-east-1", CABundle: bad}); err == nil || !strings.Contains(err.Error(), "ca_bundle") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(t.TempDir(), "missing"))
	if _, err := Load(testContext(t), Options{Region: "us-east-1", Timeout: 8 * time.Second}); err == nil {
		t.Error("no error for a variable that names no file")
	}
}

func TestTLSMinVersion(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	srv.TLS.MaxVersion = tlsVersion("1.2")
	for version, class := range map[string]Class{"1.2": ConnectionNotSent, "1.3": ConnectionNotSent} {
		s := load(t, Options{Endpoint: srv.URL, TLSMinVersion: version})
		_, err := PutLogEvents(testContext(t), s.CloudWatchLogs(), "g", "s", NewBody([]byte("{}")))
		if f := Classify(err); f.Class != class {
			t.Errorf("%s: got %v", version, err)
		}
		// Both fail, for the certificate is unknown; but 1.3 fails before that.
		if got := strings.Contains(fmt.Sprint(err), "version"); got != (version == "1.3") {
			t.Errorf("%s: got %v", version, err)
		}
	}
}

// HTTP/2 is not used even with a server that offers it.
func TestHTTP1(t *testing.T) {
	srv := local(t, awslocal.Config{TLS: true, HTTP2: true})
	s := load(t, Options{Endpoint: srv.URL, CABundle: caFile(t, srv)})
	prepare(t, s.CloudWatchLogs())
	for _, r := range srv.Requests("") {
		if r.Proto != "HTTP/1.1" {
			t.Errorf("%s came by %s", r.Operation, r.Proto)
		}
	}
}

func caFile(t testing.TB, srv *awslocal.Server) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, srv.CAPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
