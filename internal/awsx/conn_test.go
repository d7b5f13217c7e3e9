package awsx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// secure returns a bodyConn, and the other end's.
func secure(t *testing.T) (c *bodyConn, other net.Conn) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.StartTLS() // for its certificate
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		server := tls.Server(conn, &tls.Config{Certificates: srv.TLS.Certificates})
		_ = server.Handshake()
		accepted <- server
	}()
	conn, err := dialTLS(new(net.Dialer).DialContext, &tls.Config{RootCAs: roots}, tlsHandshakeTimeout)(context.Background(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other = <-accepted
	t.Cleanup(func() { conn.Close(); other.Close() })
	return conn.(*bodyConn), other
}

// writes counts what is written to a connection at a time.
type writes struct {
	net.Conn
	n atomic.Int32
}

func (w *writes) Write(p []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(p)
}

// TestSmallRequestIsOneWrite: most pods have little to say in a second, and what a
// call costs is then to write and to encrypt, each time.
func TestSmallRequestIsOneWrite(t *testing.T) {
	var body atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if body.Store(n); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	for _, tt := range []struct {
		name          string
		bytes, writes int
		token         string
	}{
		{"small", maxSmall, 1, ""}, {"large", maxSmall + 1, 2, ""}, {"small with a long head", maxSmall, 3, strings.Repeat("x", 6000)},
	} {
		transport := newTransport(Options{}, nil, t.Context())
		var conn *writes
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			own := c.(*bodyConn)
			conn = &writes{Conn: own.Conn}
			own.Conn = conn
			return own, nil
		}
		client := &httpClient{transport: transport}
		for i := range 3 {
			ctx := context.WithValue(t.Context(), bodyKey{}, NewBody(make([]byte, tt.bytes)))
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = int64(tt.bytes)
			req.Header.Set("X-Amz-Security-Token", tt.token)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got, want := int(conn.n.Load()), (i+1)*tt.writes; got != want || body.Load() != int64(tt.bytes) {
				t.Errorf("%s: %d writes for %d requests, want %d; the body has %d bytes, want %d", tt.name, got, i+1, want, body.Load(), tt.bytes)
			}
		}
		transport.CloseIdleConnections()
	}
}

func TestReadFrom(t *testing.T) {
	c, other := secure(t)
	text := strings.Repeat("0123456789abcdef", 10_000)
	go func() {
		for _, r := range []io.Reader{
			strings.NewReader(text), io.LimitReader(strings.NewReader(text), 100), iotest.DataErrReader(strings.NewReader("the end")), strings.NewReader(""),
		} {
			if _, err := io.Copy(c, struct{ io.Reader }{r}); err != nil { // without the reader's own WriteTo
				t.Error(err)
			}
		}
		c.Close()
	}()
	got, err := io.ReadAll(other)
	if want := text + text[:100] + "the end"; err != nil || string(got) != want {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
}

func TestReadFromFails(t *testing.T) {
	c, other := secure(t)
	fault := errors.New("a fault")
	if n, err := c.ReadFrom(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(fault))); n != 4 || err != fault {
		t.Errorf("got %d, %v, want 4, %v", n, err, fault)
	}
	go io.Copy(io.Discard, other)
	c.Close()
	if n, err := c.ReadFrom(strings.NewReader("some")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: got %d, %v", n, err)
	}
}

// TestReadFromOfBody: net/http's way to write a Body, of which it has read some.
func TestReadFromOfBody(t *testing.T) {
	c, other := secure(t)
	text := strings.Repeat("0123456789abcdef", 100_000)
	body := NewBody([]byte(text))
	go func() {
		reader := body.open()
		_, err := io.ReadFull(reader, make([]byte, 4000))
		n, err2 := io.Copy(c, io.LimitReader(reader, int64(len(text))))
		if err != nil || n != int64(len(text)-4000) || err2 != nil || !body.whole() {
			t.Errorf("got %v, %d, %v; whole: %v", err, n, err2, body.whole())
		}
		if n, err := io.Copy(c, io.LimitReader(reader, 10)); n != 0 || err != nil {
			t.Errorf("at the end: got %d, %v", n, err)
		}
		c.Close()
	}()
	got, err := io.ReadAll(other)
	if err != nil || string(got) != text[4000:] {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, len(text)-4000)
	}
}

// TestWriteOfBodyStops: nobody reads what is written, and the bytes are wanted back.
func TestWriteOfBodyStops(t *testing.T) {
	for name, stop := range map[string]func(body *Body, reader io.Closer){
		"Detach":          func(body *Body, _ io.Closer) { body.Detach() },
		"Reset":           func(body *Body, _ io.Closer) { body.Reset(nil) },
		"the next call":   func(body *Body, _ io.Closer) { body.rewind() },
		"another attempt": func(body *Body, _ io.Closer) { body.open() },
		"Close":           func(_ *Body, reader io.Closer) { reader.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := secure(t)
			data := make([]byte, 32<<20) // more than the kernel takes
			body := NewBody(data)
			reader := body.open()
			ended := make(chan error, 1)
			go func() {
				_, err := c.ReadFrom(io.LimitReader(reader, int64(len(data))))
				ended <- err
			}()
			for writing := false; !writing; {
				time.Sleep(time.Millisecond)
				body.mu.Lock()
				writing = body.conn != nil
				body.mu.Unlock()
			}
			stop(body, reader)
			clear(data) // the race detector sees who reads it still
			if err := <-ended; err != errDetached {
				t.Errorf("got %v, want %v", err, errDetached)
			}
			if name == "Detach" && body.whole() {
				t.Error("whole, though it was cut")
			}
			if n, err := c.ReadFrom(io.LimitReader(reader, 10)); n != 0 || err != errDetached {
				t.Errorf("afterwards: got %d, %v", n, err)
			}
			if n, err := c.Write([]byte("more")); err == nil {
				t.Errorf("the connection goes on: %d bytes", n)
			}
		})
	}
}

// TestWriteOfBodyStoppedAtItsEnd: it was to stop, and yet everything had left. Who
// takes it for not sent would send it twice.
func TestWriteOfBodyStoppedAtItsEnd(t *testing.T) {
	body := NewBody([]byte("0123456789"))
	reader := body.open().(*bodyReader)
	started, end := make(chan bool), make(chan bool)
	conn := writerConn{Conn: nil, write: func(p []byte) (int, error) {
		close(started)
		<-end
		return len(p), nil
	}, deadline: func() { close(end) }}
	var stopping sync.WaitGroup
	stopping.Go(func() {
		<-started
		body.Detach()
		if !body.whole() {
			t.Error("not whole, though all was written")
		}
	})
	if n, err := reader.writeTo(conn, nil); n != 10 || err != errDetached {
		t.Errorf("got %d, %v, want 10, %v", n, err, errDetached)
	}
	stopping.Wait()
}

// TestHeadIsNotCounted: of a write that broke off, what the service got of the body
// says whether it can have done anything.
func TestHeadIsNotCounted(t *testing.T) {
	for _, tt := range []struct {
		wrote int
		n     int64
		whole bool
	}{{0, 0, false}, {3, 0, false}, {4, 0, false}, {13, 9, false}, {14, 10, true}} {
		body := NewBody([]byte("0123456789"))
		broken := errors.New("broken")
		conn := writerConn{write: func(p []byte) (int, error) {
			if string(p) != "head0123456789" {
				t.Errorf("wrote %q", p)
			}
			return tt.wrote, broken
		}}
		n, err := body.open().(*bodyReader).writeTo(conn, []byte("head"))
		if n != tt.n || err != broken || body.whole() != tt.whole {
			t.Errorf("%d bytes written: got %d, %v, whole %v, want %d, %v, whole %v", tt.wrote, n, err, body.whole(), tt.n, broken, tt.whole)
		}
	}
}

// TestBodyIsNotCopied goes through all of net/http.
func TestBodyIsNotCopied(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	data := []byte(strings.Repeat("0123456789abcdef", 10_000))
	direct := 0
	transport := &http.Transport{DialContext: dialPlain(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return writerConn{Conn: conn, write: func(p []byte) (int, error) {
			if &p[len(p)-1] == &data[len(data)-1] {
				direct += len(p)
			}
			return conn.Write(p)
		}}, err
	})}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodPost, srv.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(data))
	resp, err := (&httpClient{transport: transport}).send(context.Background(), req, NewBody(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != string(data) || direct < len(data)-4096 {
		t.Errorf("came back: %d bytes, %v; written from where they are: %d of %d", len(got), err, direct, len(data))
	}
}

type writerConn struct {
	net.Conn
	write    func(p []byte) (int, error)
	deadline func()
}

func (c writerConn) Write(p []byte) (int, error) { return c.write(p) }

func (c writerConn) SetWriteDeadline(time.Time) error {
	c.deadline()
	return nil
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
