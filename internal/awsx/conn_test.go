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
	"testing"
	"testing/iotest"
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

// TestReadFromKeepsItsBuffer: a request makes no buffer of its own.
func TestReadFromKeepsItsBuffer(t *testing.T) {
	c, other := secure(t)
	go io.Copy(io.Discard, other)
	var first *byte
	for range 3 {
		r := readerFunc(func(p []byte) (int, error) {
			if first == nil {
				first = &p[0]
			}
			if &p[0] != first || len(p) != copyBytes {
				t.Errorf("another buffer, of %d bytes", len(p))
			}
			return 100, io.EOF
		})
		// As net/http does.
		if n, err := io.Copy(c, io.LimitReader(r, 1<<20)); n != 100 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

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
