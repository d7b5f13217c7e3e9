package awsx

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// testPool returns a pool, and a URL of the server that serve is. The connections
// are what wrap makes of them; it may be nil.
func testPool(t *testing.T, wrap func(*net.TCPConn) net.Conn, serve func(n int, c *net.TCPConn)) (*pool, string) {
	t.Helper()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil || wrap == nil {
			return c, err
		}
		return wrap(c.(*net.TCPConn)), nil
	}
	p := newPool(dial, nil)
	t.Cleanup(p.close)
	return p, rawServer(t, serve)
}

// post makes a request by a pool, as httpClient does.
func post(t *testing.T, ctx context.Context, p *pool, url string, body *Body) (*http.Response, connection, error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(body.Len())
	req.Header.Set("X-Amz-Target", "target")
	var got connection
	resp, err := p.send(ctx, req, body.open(), &got)
	return resp, got, err
}

// read reads an answer and closes it.
func read(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return readAllOf(t, resp.Body)
}

// wrapped is a TCP connection whose writes are seen.
type wrapped struct {
	*net.TCPConn
	write func(p []byte) (int, error)
}

func (w wrapped) Write(p []byte) (int, error) { return w.write(p) }

// What goes over the wire is a request as any other; of a small one in one write,
// and of a large one from where it lies.
func TestRequestOnTheWire(t *testing.T) {
	for name, bytes := range map[string]int{"small": maxSmall, "large": maxSmall + 1} {
		data := make([]byte, bytes)
		var writes, inPlace int
		seen := make(chan *http.Request, 3)
		p, url := testPool(t, func(c *net.TCPConn) net.Conn {
			return wrapped{c, func(p []byte) (int, error) {
				writes++
				if &p[len(p)-1] == &data[bytes-1] {
					inPlace += len(p)
				}
				return c.Write(p)
			}}
		}, func(_ int, c *net.TCPConn) {
			r := bufio.NewReader(c)
			for range 3 {
				req, err := http.ReadRequest(r)
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := io.Copy(io.Discard, req.Body); n != int64(bytes) || err != nil {
					t.Errorf("%s: the body has %d bytes, %v", name, n, err)
				}
				seen <- req
				io.WriteString(c, goodAnswer)
			}
		})
		for i := range 3 {
			resp, got, err := post(t, t.Context(), p, url+"/path?q", NewBody(data))
			if text := read(t, resp, err); text != "{}" || !got.made || got.reused != (i > 0) {
				t.Errorf("%s: got %q, %+v", name, text, got)
			}
			if kept := p.idle[place{"http", url[len("http://"):]}]; len(kept) != 1 || kept[0].request.Body != nil {
				t.Errorf("%s: %d connections are idle, or one of them keeps the body", name, len(kept))
			}
			req := <-seen
			if req.Method != "POST" || req.RequestURI != "/path?q" || req.Host != url[len("http://"):] || req.ContentLength != int64(bytes) || req.Header.Get("X-Amz-Target") != "target" {
				t.Errorf("%s: the server got %+v", name, req)
			}
		}
		if want := map[string][2]int{"small": {3, 0}, "large": {6, 3 * bytes}}[name]; writes != want[0] || inPlace != want[1] {
			t.Errorf("%s: %d writes, %d bytes from where they are, want %v", name, writes, inPlace, want)
		}
	}
}

// Of a write that broke off, what the service got of the body says whether it can
// have done anything; the head is no part of that.
func TestWriteBreaksOff(t *testing.T) {
	small, large := make([]byte, 10), make([]byte, maxSmall+1)
	for name, tt := range map[string]struct {
		body  []byte
		good  int // writes that go well
		wrote int // by the one that does not, from its end
		whole bool
	}{
		"small, in the head":  {small, 0, -11, false},
		"small, at the body":  {small, 0, -10, false},
		"small, in the body":  {small, 0, -1, false},
		"small, all of it":    {small, 0, 0, true},
		"large, in the head":  {large, 0, -1, false},
		"large, at the body":  {large, 1, -len(large), false},
		"large, in the body":  {large, 1, -1, false},
		"large, all of it":    {large, 1, 0, true},
		"large, and no fault": {large, 2, 0, true},
	} {
		broken := &net.OpError{Op: "write", Err: syscall.EPIPE}
		writes := 0
		p, url := testPool(t, func(c *net.TCPConn) net.Conn {
			return wrapped{c, func(p []byte) (int, error) {
				if writes++; writes <= tt.good {
					return c.Write(p)
				}
				return len(p) + tt.wrote, broken
			}}
		}, func(_ int, c *net.TCPConn) {
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil && tt.good == 2 {
				io.Copy(io.Discard, req.Body)
				io.WriteString(c, goodAnswer)
			}
		})
		body := NewBody(tt.body)
		resp, got, err := post(t, t.Context(), p, url, body)
		if name == "large, and no fault" {
			if text := read(t, resp, err); text != "{}" {
				t.Errorf("%s: got %q", name, text)
			}
		} else if err != broken || !got.made || got.reused {
			t.Errorf("%s: got %v, %+v", name, err, got)
		}
		if body.whole() != tt.whole {
			t.Errorf("%s: whole is %v", name, body.whole())
		}
	}
}

// A server may answer before it has read the request, and then close. What it said
// is worth more than that the connection broke.
func TestEarlyAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int
	}{
		"refused":  {"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\n{}", 413},
		"moved":    {"HTTP/1.1 300 Elsewhere\r\nContent-Length: 2\r\n\r\n{}", 300},
		"accepted": {goodAnswer, 0}, // it cannot be
		"nothing":  {"", 0},
		"garbage":  {"no HTTP at all\r\n\r\n", 0},
	} {
		p, url := testPool(t, nil, func(_ int, c *net.TCPConn) {
			c.Read(make([]byte, 10))
			io.WriteString(c, tt.answer)
			c.Close()
		})
		body := NewBody(make([]byte, 32<<20)) // more than the kernel takes
		resp, _, err := post(t, t.Context(), p, url, body)
		if body.whole() {
			t.Errorf("%s: all of it was sent", name)
		}
		if tt.status == 0 {
			if !writingFailed(err) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if text := read(t, resp, err); text != "{}" || resp.StatusCode != tt.status {
			t.Errorf("%s: got %d %q", name, resp.StatusCode, text)
		}
		if c := p.take(place{"http", url[len("http://"):]}); c != nil {
			t.Errorf("%s: the connection is kept, though it has not taken a whole request", name)
		}
	}
}

// A connection is kept after an answer that leaves nothing on it.
func TestWhatIsKept(t *testing.T) {
	for name, tt := range map[string]struct {
		answer  string
		read    bool
		reused  bool
		content string
	}{
		"read":                     {goodAnswer, true, true, "{}"},
		"in chunks":                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true, true, "{}"},
		"after a word in between":  {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + goodAnswer, true, true, "{}"},
		"without a body":           {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, true, ""},
		"that never has one":       {"HTTP/1.1 204 No Content\r\n\r\n", false, true, ""},
		"not read":                 {goodAnswer, false, false, "{}"},
		"that says it is the last": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", true, false, "{}"},
		"of HTTP/1.0":              {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", true, false, "{}"},
		"with more than it says":   {goodAnswer + "more", true, false, "{}"},
	} {
		p, url := testPool(t, nil, func(_ int, c *net.TCPConn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				io.WriteString(c, tt.answer)
			}
		})
		for i, reused := range []bool{false, tt.reused} {
			resp, got, err := post(t, t.Context(), p, url, NewBody([]byte("{}")))
			if err != nil {
				t.Fatal(err)
			}
			if tt.read {
				if text := readAllOf(t, resp.Body); text != tt.content {
					t.Errorf("%s: got %q", name, text)
				}
			}
			resp.Body.Close()
			resp.Body.Close() // as readers do
			if got.reused != reused {
				t.Errorf("%s: request %d: reused is %v", name, i+1, got.reused)
			}
		}
	}
}

// A kept connection is not used when the other side has closed it, or has said
// something that nobody asked for.
func TestKeptConnectionIsLookedAt(t *testing.T) {
	for name, tt := range map[string]struct {
		then   func(c *net.TCPConn)
		reused bool
	}{
		"silent": {func(*net.TCPConn) {}, true},
		"closed": {func(c *net.TCPConn) { c.Close() }, false},
		"reset":  {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, false},
		"spoken": {func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") }, false},
	} {
		idle, done := make(chan bool), make(chan bool)
		p, url := testPool(t, nil, func(n int, c *net.TCPConn) {
			r := bufio.NewReader(c)
			answer(t, c, r, goodAnswer)
			if n == 1 {
				<-idle
				tt.then(c)
				close(done)
			}
			if tt.reused {
				answer(t, c, r, goodAnswer)
			}
		})
		resp, _, err := post(t, t.Context(), p, url, NewBody([]byte("{}")))
		read(t, resp, err)
		close(idle)
		<-done
		if !tt.reused { // what the server did is on its way
			for c := p.take(place{"http", url[len("http://"):]}); ; time.Sleep(time.Millisecond) {
				if !c.open() {
					p.put(c)
					break
				}
			}
		}
		resp, got, err := post(t, t.Context(), p, url, NewBody([]byte("{}")))
		if text := read(t, resp, err); text != "{}" || got.reused != tt.reused {
			t.Errorf("%s: got %q, reused is %v", name, text, got.reused)
		}
	}
}

// A connection that cannot be looked at is not used again.
func TestConnectionThatHidesItself(t *testing.T) {
	p, url := testPool(t, func(c *net.TCPConn) net.Conn { return struct{ net.Conn }{c} },
		func(_ int, c *net.TCPConn) { answer(t, c, bufio.NewReader(c), goodAnswer) })
	for range 2 {
		resp, got, err := post(t, t.Context(), p, url, NewBody([]byte("{}")))
		if read(t, resp, err); got.reused {
			t.Error("it is used again")
		}
	}
}

// The head of an answer is bounded, with all that goes before it; its body is
// bounded by who reads it.
func TestAnswerHeadTooLarge(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		err    error
	}{
		"large head":        {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", maxHead/2) + "\r\nContent-Length: 2\r\n\r\n{}", nil},
		"large body":        {"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100_000), nil},
		"too large":         {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", maxHead) + "\r\nContent-Length: 2\r\n\r\n{}", errHeadTooLarge},
		"too much before":   {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHead/20) + goodAnswer, errHeadTooLarge},
		"no end of the end": {strings.Repeat("a", 2*maxHead), errHeadTooLarge},
	} {
		p, url := testPool(t, nil, func(_ int, c *net.TCPConn) { answer(t, c, bufio.NewReader(c), tt.answer) })
		resp, _, err := post(t, t.Context(), p, url, NewBody([]byte("{}")))
		if tt.err != nil {
			if !errors.Is(err, tt.err) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		read(t, resp, err)
	}
}

// The end of the context ends a request wherever it is, and says why.
func TestContextEndsRequest(t *testing.T) {
	why := errors.New("the reason")
	end := func(where string, body []byte, serve func(c *net.TCPConn, reached func())) {
		t.Run(where, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p, url := testPool(t, nil, func(_ int, c *net.TCPConn) { serve(c, func() { cancel(why) }) })
			resp, _, err := post(t, ctx, p, url, NewBody(body))
			if where == "answer's body" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(resp.Body); !isTimeout(err) {
					t.Errorf("got %v", err)
				}
				resp.Body.Close()
			} else if err != why {
				t.Errorf("got %v", err)
			}
			if c := p.take(place{"http", url[len("http://"):]}); c != nil {
				t.Error("the connection is kept")
			}
		})
	}
	small := []byte("{}")
	end("request", make([]byte, 32<<20), func(c *net.TCPConn, reached func()) { c.Read(make([]byte, 10)); reached() })
	end("answer", small, func(c *net.TCPConn, reached func()) { answer(t, c, bufio.NewReader(c), ""); reached() })
	end("answer's head", small, func(c *net.TCPConn, reached func()) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\nContent-")
		reached()
	})
	end("answer's body", small, func(c *net.TCPConn, reached func()) {
		answer(t, c, bufio.NewReader(c), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
		time.Sleep(10 * time.Millisecond) // it is read
		reached()
	})

	// After the answer, but before its body is closed.
	ctx, cancel := context.WithCancel(t.Context())
	p, url := testPool(t, nil, func(_ int, c *net.TCPConn) { answer(t, c, bufio.NewReader(c), goodAnswer) })
	resp, _, err := post(t, ctx, p, url, NewBody(small))
	if err != nil {
		t.Fatal(err)
	}
	readAllOf(t, resp.Body)
	cancel()
	resp.Body.Close()
	if c := p.take(place{"http", url[len("http://"):]}); c != nil {
		t.Error("a connection is kept that may have been ended")
	}
}

// A TLS server that reads nothing more does not hold up who gives up: to say goodbye
// to it would take five seconds.
func TestGivingUpIsQuick(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.StartTLS() // for its certificate
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	url := rawServer(t, func(_ int, c *net.TCPConn) {
		tls.Server(c, &tls.Config{Certificates: srv.TLS.Certificates}).Handshake()
	})
	dial := new(net.Dialer).DialContext
	p := newPool(dial, dialTLS(dial, &tls.Config{RootCAs: roots}, tlsHandshakeTimeout))
	defer p.close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, _, err := post(t, ctx, p, "https"+strings.TrimPrefix(url, "http"), NewBody(make([]byte, 32<<20)))
	if took := time.Since(begun); err != context.DeadlineExceeded || took > 4*time.Second {
		t.Errorf("got %v after %v", err, took)
	}
}

// Two requests at a time have a connection each; at rest they are closed.
func TestPool(t *testing.T) {
	var open atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	srv.Start()
	defer srv.Close()
	until := func(n int32) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); open.Load() != n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d connections are open, want %d", open.Load(), n)
			}
		}
	}
	keeping := func(keep time.Duration) *pool {
		p := newPool(new(net.Dialer).DialContext, nil)
		p.keep = keep
		t.Cleanup(p.close)
		return p
	}
	two := func(p *pool) (got [2]connection) {
		var resp [2]*http.Response
		for i := range resp {
			var err error
			if resp[i], got[i], err = post(t, t.Context(), p, srv.URL, NewBody([]byte("{}"))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range resp {
			read(t, resp[i], nil)
		}
		return got
	}
	p := keeping(time.Hour)
	if got := two(p); got[0].reused || got[1].reused {
		t.Errorf("got %+v", got)
	}
	if got := two(p); !got[0].reused || !got[1].reused {
		t.Errorf("again: got %+v", got)
	}
	until(2)
	p.drop(0)
	until(0)
	resp, _, err := post(t, t.Context(), p, srv.URL, NewBody([]byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	read(t, resp, nil) // what becomes idle after the end
	until(0)

	p = keeping(50 * time.Millisecond)
	if resp, _, err = post(t, t.Context(), p, srv.URL, NewBody([]byte("{}"))); err != nil {
		t.Fatal(err)
	}
	two(p)
	time.Sleep(10 * time.Millisecond) // the others are older
	read(t, resp, nil)
	until(0)

	p = keeping(time.Nanosecond) // over when it is wanted, though not yet closed
	p.tidy = time.NewTimer(time.Hour)
	two(p)
	if got := two(p); got[0].reused || got[1].reused {
		t.Errorf("idle for too long: got %+v", got)
	}
}

// Connections that wait for answers have no buffer that requests are written in.
func TestBuffersOfRequests(t *testing.T) {
	taken := func() (n int) {
		for _, ok := heads.Get(); ok; _, ok = heads.Get() {
			n++
		}
		return n
	}
	taken()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") }))
	defer srv.Close()
	p := newPool(new(net.Dialer).DialContext, nil)
	defer p.close()
	for range 3 {
		resp, _, err := post(t, t.Context(), p, srv.URL, NewBody([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		defer read(t, resp, nil) // so that the next one gets a connection of its own
	}
	if n := taken(); n != 1 {
		t.Errorf("%d buffers for requests one after the other, want 1", n)
	}
}

// closing is a connection that counts when it is closed.
type closing struct {
	net.Conn
	n *atomic.Int32
}

func (c closing) Close() error { c.n.Add(1); return nil }

func TestPoolIsBounded(t *testing.T) {
	p := newPool(nil, nil)
	var closed atomic.Int32
	for range idlePerHost + 1 {
		p.put(newConn(p, place{"http", "host"}, closing{n: &closed}))
	}
	if closed.Load() != 1 {
		t.Errorf("%d connections are closed that are too many, want 1", closed.Load())
	}
	p.put(newConn(p, place{"http", "another"}, closing{n: &closed}))
	if p.close(); closed.Load() != idlePerHost+2 {
		t.Errorf("%d connections are closed, want all", closed.Load())
	}
}

// What is idle is closed when its time is over, or within a quarter of it.
func TestPoolIsTidied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = time.Minute
		p := newPool(nil, nil)
		p.keep = keep
		var closed atomic.Int32
		p.put(newConn(p, place{"http", "a"}, closing{n: &closed}))
		time.Sleep(keep / 2)
		p.put(newConn(p, place{"http", "b"}, closing{n: &closed}))
		time.Sleep(keep/2 - time.Nanosecond)
		synctest.Wait()
		if closed.Load() != 0 {
			t.Fatalf("%d connections are closed before their time", closed.Load())
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if closed.Load() != 1 {
			t.Errorf("%d connections are closed, want the older one", closed.Load())
		}
		time.Sleep(keep / 2)
		synctest.Wait()
		if closed.Load() != 2 || p.tidy != nil {
			t.Errorf("%d connections are closed, want both and no timer", closed.Load())
		}
		p.put(newConn(p, place{"http", "a"}, closing{n: &closed}))
		if p.close(); closed.Load() != 3 {
			t.Errorf("%d connections are closed, want what became idle just now, too", closed.Load())
		}
	})
}

// Requests with bodies that are not ready are for net/http's Transport.
func TestOtherBodies(t *testing.T) {
	w := new(requestWriter)
	for name, r := range map[string]io.Reader{"no length": strings.NewReader("x"), "another kind": io.LimitReader(strings.NewReader("x"), 1)} {
		if n, err := w.ReadFrom(r); n != 0 || err != errNoBody {
			t.Errorf("%s: got %d, %v", name, n, err)
		}
	}
	body := NewBody([]byte("x"))
	reader := body.open()
	body.Detach()
	if n, err := w.ReadFrom(io.LimitReader(reader, 1)); n != 0 || err != errDetached {
		t.Errorf("taken back: got %d, %v", n, err)
	}
}

// What does not go by the pool.
func TestPooled(t *testing.T) {
	fault := errors.New("a fault")
	s := load(t, Options{Region: "us-east-1", ProxyURL: "http://127.0.0.1:9", NoProxy: "direct.example.com"})
	withProxy := s.config.HTTPClient.(*httpClient)
	for name, tt := range map[string]struct {
		client *httpClient
		url    string
		body   *Body
		want   bool
	}{
		"direct":          {withProxy, "https://direct.example.com", NewBody([]byte("{}")), canLook},
		"by a proxy":      {withProxy, "https://example.com", NewBody([]byte("{}")), false},
		"no body":         {withProxy, "https://direct.example.com", nil, false},
		"an empty body":   {withProxy, "https://direct.example.com", NewBody(nil), false},
		"no pool":         {&httpClient{}, "https://direct.example.com", NewBody([]byte("{}")), false},
		"a broken choice": {&httpClient{pool: withProxy.pool, proxy: func(*http.Request) (*url.URL, error) { return nil, fault }}, "https://direct.example.com", NewBody([]byte("{}")), false},
	} {
		req, err := http.NewRequest(http.MethodPost, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.client.pooled(req, tt.body); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestHandshakesTakeTurns: few go on at a time, but one that hangs does not hold up the
// others for long, and who gives up does not wait.
func TestHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, failed atomic.Int32
		ended := make(chan struct{})
		dial := dialTLS(func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				if _, err := server.Read(make([]byte, 1)); err == nil {
					begun.Add(1)
					<-ended
				}
			}()
			return client, nil
		}, &tls.Config{InsecureSkipVerify: true}, time.Minute)
		want := func(nowBegun, nowFailed int32) {
			t.Helper()
			if synctest.Wait(); begun.Load() != nowBegun || failed.Load() != nowFailed {
				t.Errorf("%d handshakes have begun and %d failed, want %d and %d", begun.Load(), failed.Load(), nowBegun, nowFailed)
			}
		}
		shake := func(ctx context.Context, n int) {
			for range n {
				go func() {
					if _, err := dial(ctx, "tcp", "host:443"); err != nil {
						failed.Add(1)
					}
				}()
			}
		}
		shake(t.Context(), handshakes+2)
		want(handshakes, 0)
		ctx, cancel := context.WithCancel(t.Context())
		shake(ctx, 1)
		cancel()
		want(handshakes, 1)
		ended <- struct{}{}
		want(handshakes+1, 2)
		time.Sleep(handshakePatience - 1)
		want(handshakes+1, 2)
		time.Sleep(time.Nanosecond)
		want(handshakes+2, 2)
		close(ended)
		want(handshakes+2, handshakes+3)
	})
}

// TestPanicInAHandshake: it is an error, and not the end of Fluent Bit.
func TestPanicInAHandshake(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	dial := dialTLS(new(net.Dialer).DialContext, &tls.Config{InsecureSkipVerify: true,
		VerifyConnection: func(tls.ConnectionState) error { panic("a fault") }}, time.Minute)
	if _, err := dial(t.Context(), "tcp", srv.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "a fault") {
		t.Errorf("got %v", err)
	}
}

func TestDialTLSRefuses(t *testing.T) {
	dial := dialTLS(new(net.Dialer).DialContext, &tls.Config{}, tlsHandshakeTimeout)
	if _, err := dial(context.Background(), "tcp", "no port"); err == nil || !strings.Contains(err.Error(), "missing port") {
		t.Errorf("got %v", err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	var unknown x509.UnknownAuthorityError
	if _, err := dial(context.Background(), "tcp", srv.Listener.Addr().String()); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
}

// The port that a URL does not name is its scheme's.
func TestPorts(t *testing.T) {
	fault := errors.New("a fault")
	var to string
	dial := func(scheme string) dialFunc {
		return func(_ context.Context, network, address string) (net.Conn, error) {
			to = scheme + " " + network + " " + address
			return nil, fault
		}
	}
	p := newPool(dial("http"), dial("https"))
	for at, want := range map[string]string{
		"http://host":         "http tcp host:80",
		"https://host":        "https tcp host:443",
		"https://host:99/":    "https tcp host:99",
		"http://[::1]":        "http tcp [::1]:80",
		"https://[fe80::1]:9": "https tcp [fe80::1]:9",
	} {
		if _, got, err := post(t, t.Context(), p, at, NewBody([]byte("{}"))); err != fault || got.made || to != want {
			t.Errorf("%s: got %q, %+v, %v", at, to, got, err)
		}
	}
}
