package awsx

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// newDirect returns a transport as sessions have it.
func newDirect(t testing.TB) *direct {
	d := newTransport(Options{}, nil, context.Background())
	t.Cleanup(d.CloseIdleConnections)
	return d
}

// post sends a ready body and returns the answer's text.
func post(ctx context.Context, d *direct, url string, data []byte) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	req.Body = NewBody(data).open()
	resp, err := d.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Which answers leave the connection good for another request.
func TestDirectKeeps(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   string
		kept   bool
	}{
		"length":       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", true},
		"nothing":      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
		"chunks":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}", true},
		"continue":     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", true},
		"told to":      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "{}", false},
		"old":          {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", false},
		"more than it": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", "{}", false},
	} {
		var conns atomic.Int64
		url := rawServer(t, func(n int, c2 *net.TCPConn) {
			conns.Store(int64(n))
			r := bufio.NewReader(c2)
			for range 3 {
				if _, err := r.Peek(1); err != nil {
					return
				}
				answer(t, c2, r, c.answer)
			}
		})
		d := newDirect(t)
		for range 3 {
			status, text, err := post(testContext(t), d, url, []byte("0123456789"))
			if status != 200 || text != c.want || err != nil {
				t.Errorf("%s: got %d %q %v", name, status, text, err)
			}
		}
		if n := conns.Load(); (n == 1) != c.kept {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

// An answer without a length ends with the connection.
func TestDirectAnswerToTheEnd(t *testing.T) {
	url := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\n\r\nall of it")
		c.Close()
	})
	d := newDirect(t)
	if _, text, err := post(testContext(t), d, url, nil); text != "all of it" || err != nil {
		t.Errorf("got %q %v", text, err)
	}
	if len(d.idle) > 0 {
		t.Error("the connection was kept")
	}
}

// An answer that is not read to its end takes its connection along.
func TestDirectAnswerNotRead(t *testing.T) {
	url := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall of it")
	})
	d := newDirect(t)
	req, err := http.NewRequestWithContext(testContext(t), http.MethodPost, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Body = NewBody(nil).open()
	resp, err := d.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if n, err := resp.Body.Read(make([]byte, 5)); n != 0 || !errors.Is(err, errAnswerClosed) {
		t.Errorf("got %d, %v", n, err)
	}
	if len(d.idle) > 0 {
		t.Error("the connection was kept")
	}
}

// waitFor waits until what is asked for holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s", what)
}

// kept returns a kept connection, which stays kept.
func (d *direct) kept() *wire {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, all := range d.idle {
		for _, w := range all {
			return w
		}
	}
	return nil
}

// What the other side does to a kept connection shows before the next request.
func TestDirectIdle(t *testing.T) {
	for name, disturb := range map[string]func(c *net.TCPConn){
		"closed": func(c *net.TCPConn) { c.Close() },
		"reset":  func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"spoken": func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		var conns atomic.Int64
		url := rawServer(t, func(n int, c *net.TCPConn) {
			conns.Store(int64(n))
			answer(t, c, bufio.NewReader(c), goodAnswer)
			if n == 1 {
				disturb(c)
			}
		})
		d := newDirect(t)
		for range 2 {
			if status, text, err := post(testContext(t), d, url, []byte("x")); status != 200 || text != "{}" || err != nil {
				t.Errorf("%s: got %d %q %v", name, status, text, err)
			}
			if w := d.kept(); w != nil && conns.Load() == 1 {
				waitFor(t, name, w.readable)
			}
		}
		if n := conns.Load(); n != 2 {
			t.Errorf("%s: %d connections, want 2", name, n)
		}
	}
}

// Kept connections end by themselves, at the transport's end, and when there are
// too many.
func TestDirectKeepsForAWhile(t *testing.T) {
	url := rawServer(t, func(_ int, c *net.TCPConn) {
		r := bufio.NewReader(c)
		answer(t, c, r, goodAnswer)
	})
	d := newDirect(t)
	d.keepFor = 20 * time.Millisecond
	if _, _, err := post(testContext(t), d, url, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is closed", func() bool { return d.kept() == nil })

	d.keepFor = time.Hour
	if _, _, err := post(testContext(t), d, url, nil); err != nil {
		t.Fatal(err)
	}
	w := d.kept()
	d.expire(&wire{key: w.key}) // one that was taken meanwhile
	if d.kept() != w {
		t.Error("another one's expiry has closed it")
	}
	d.CloseIdleConnections()
	if _, err := w.conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) || d.kept() != nil {
		t.Errorf("after the end: got %v", err)
	}

	for range idlePerHost {
		d.keep(&wire{d: d, key: "k", Conn: nopConn{}, conn: nopConn{}})
	}
	closed := make(chan bool)
	d.keep(&wire{d: d, key: "k", conn: closing{nopConn{}, closed}})
	<-closed
	if n := len(d.idle["k"]); n != idlePerHost {
		t.Errorf("%d are kept", n)
	}
}

type nopConn struct{ net.Conn }

func (nopConn) Close() error { return nil }

type closing struct {
	net.Conn
	closed chan bool
}

func (c closing) Close() error { close(c.closed); return nil }

// A refusal that comes before the request was read is not lost: neither when the
// other side closes then, nor when it just stops reading.
func TestDirectEarlyAnswer(t *testing.T) {
	const refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
	for name, c := range map[string]struct {
		serve func(c *net.TCPConn)
		body  int
	}{
		"stops reading": {func(c *net.TCPConn) { io.WriteString(c, refusal) }, 32 << 20},
		"closes its side": {func(c *net.TCPConn) {
			io.WriteString(c, refusal)
			c.CloseWrite()
		}, 32 << 20},
		"reads all later": {func(c *net.TCPConn) {
			io.WriteString(c, refusal)
			io.Copy(io.Discard, c)
		}, 32 << 20},
		"is quick": {func(c *net.TCPConn) { io.WriteString(c, refusal) }, 10},
	} {
		url := rawServer(t, func(_ int, conn *net.TCPConn) {
			conn.SetReadBuffer(16 << 10)
			conn.Read(make([]byte, 100))
			c.serve(conn)
		})
		d := newDirect(t)
		d.stall = 50 * time.Millisecond
		status, text, err := post(testContext(t), d, url, make([]byte, c.body))
		if status != 413 || text != "no" || err != nil {
			t.Errorf("%s: got %d %q %v", name, status, text, err)
		}
	}
}

// A request whose writing stalls, without an answer, goes on when it can.
func TestDirectStall(t *testing.T) {
	body := make([]byte, 32<<20)
	for _, secure := range []bool{false, true} {
		stalled := make(chan bool)
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body.Read(make([]byte, 100))
			<-stalled
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n > int64(len(body))-200, err)
		}))
		if secure {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		d := newDirect(t)
		d.tls.InsecureSkipVerify = true
		d.stall = 10 * time.Millisecond
		time.AfterFunc(15*d.stall, func() { close(stalled) })
		_, text, err := post(testContext(t), d, srv.URL, body)
		if text != "true <nil>" || err != nil {
			t.Errorf("TLS %v: got %q %v", secure, text, err)
		}
		srv.Close()
	}
}

func TestDirectHeadTooLarge(t *testing.T) {
	url := rawServer(t, func(_ int, c *net.TCPConn) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\n")
		line := "X-Long: " + strings.Repeat("x", 1000) + "\r\n"
		for range maxHead / 1000 {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	})
	if _, _, err := post(testContext(t), newDirect(t), url, nil); !errors.Is(err, errHeadTooLarge) {
		t.Errorf("got %v", err)
	}
}

// A call that is canceled comes back, wherever it is, and takes its connection
// along; one that is canceled later does no harm.
func TestDirectCanceled(t *testing.T) {
	hang := rawServer(t, func(_ int, c *net.TCPConn) { c.SetReadBuffer(16 << 10) })
	for name, size := range map[string]int{"waiting for the answer": 10, "writing": 32 << 20} {
		ctx, cancel := context.WithCancel(testContext(t))
		time.AfterFunc(30*time.Millisecond, cancel)
		d := newDirect(t)
		d.stall = 10 * time.Millisecond
		if _, _, err := post(ctx, d, hang, make([]byte, size)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		if d.kept() != nil {
			t.Errorf("%s: the connection was kept", name)
		}
	}

	good := rawServer(t, func(n int, c *net.TCPConn) {
		r := bufio.NewReader(c)
		answer(t, c, r, goodAnswer)
		answer(t, c, r, goodAnswer)
	})
	d := newDirect(t)
	for range 2 {
		ctx, cancel := context.WithCancel(testContext(t))
		if _, text, err := post(ctx, d, good, nil); text != "{}" || err != nil {
			t.Errorf("got %q %v", text, err)
		}
		cancel()
	}
}

func TestDirectErrors(t *testing.T) {
	d := newDirect(t)
	closed := rawServer(t, func(_ int, c *net.TCPConn) { c.Close() })
	noise := rawServer(t, func(_ int, c *net.TCPConn) {
		io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	for name, c := range map[string]struct{ url, want string }{
		"closed":      {closed, "E"}, // EOF or ECONNRESET
		"noise":       {noise, "malformed HTTP"},
		"no host":     {"http://127.0.0.1:1", "refused"},
		"plain, TLS":  {strings.Replace(noise, "http", "https", 1), "TLS handshake"},
		"no TLS host": {"https://127.0.0.1:1", "refused"},
	} {
		_, _, err := post(testContext(t), d, c.url, []byte("x"))
		if err == nil || !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	req, err := http.NewRequestWithContext(testContext(t), http.MethodPost, noise, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	body := NewBody(nil)
	req.Body = body.open()
	body.Detach()
	if _, err := d.RoundTrip(req); !errors.Is(err, errDetached) {
		t.Errorf("a body that was taken back: got %v", err)
	}
}

// What is no ready body is net/http's business.
func TestDirectLeavesTheRest(t *testing.T) {
	d := newDirect(t)
	rest := 0
	d.rest = roundTripper(func(*http.Request) (*http.Response, error) { rest++; return nil, io.EOF })
	for _, body := range []io.Reader{nil, strings.NewReader("text")} {
		req, err := http.NewRequestWithContext(testContext(t), http.MethodPost, "http://127.0.0.1:1/", body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.RoundTrip(req); err != io.EOF {
			t.Errorf("got %v", err)
		}
	}
	if rest != 2 {
		t.Errorf("%d requests were left to it", rest)
	}
}

func TestAppendHead(t *testing.T) {
	req, err := http.NewRequest(http.MethodPost, "https://example.com:8443/a%20b?c=d", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-Amz-Target": {"t\r\nX-Evil: 1\x00"}, "Host": {"no"}, "Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}}
	want := "POST /a%20b?c=d HTTP/1.1\r\nHost: example.com:8443\r\nContent-Length: 7\r\nX-Amz-Target: t  X-Evil: 1 \r\n\r\n"
	if got := string(appendHead(nil, req, 7)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	req.Host = "other\r\nEvil: 1"
	if got := string(appendHead(nil, req, 7)); !strings.Contains(got, "\r\nHost: other  Evil: 1\r\n") {
		t.Errorf("got %q", got)
	}
}

// A second connection to a host takes up the first one's TLS session.
func TestDirectResumesTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	defer srv.Close()
	d := newDirect(t)
	d.tls.InsecureSkipVerify = true
	var resumed []bool
	ctx := httptrace.WithClientTrace(testContext(t), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		resumed = append(resumed, info.Conn.(*tls.Conn).ConnectionState().DidResume)
	}})
	for range 2 {
		if _, text, err := post(ctx, d, srv.URL, []byte("hello")); text != "hello" || err != nil {
			t.Fatalf("got %q %v", text, err)
		}
		d.CloseIdleConnections()
	}
	if fmt.Sprint(resumed) != "[false true]" {
		t.Errorf("got %v", resumed)
	}
}
