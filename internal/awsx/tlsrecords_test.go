package awsx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tlsPool returns a pool, and a URL of a server that wants bodies of so many bytes. The
// writes of TLS go by write.
func tlsPool(t *testing.T, bytes int, write func(c *net.TCPConn, p []byte) (int, error)) (*pool, string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n != int64(bytes) || err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, "{}")
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.DynamicRecordSizingDisabled = true
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tcp := c.(*net.TCPConn)
		return wrapped{tcp, func(p []byte) (int, error) { return write(tcp, p) }}, nil
	}
	p := newPool(nil, dialTLS(dial, config, 5*time.Second))
	t.Cleanup(p.close)
	return p, srv.URL
}

// emptyHeld takes all buffers that are kept, and returns how many there are.
func emptyHeld() (n int) {
	for _, ok := heldBuffers.Get(); ok; _, ok = heldBuffers.Get() {
		n++
	}
	return n
}

// The records of a large body go out some at a time, and those of a handshake and a
// small body as they come. In between no connection has a buffer for them.
func TestTLSRecords(t *testing.T) {
	emptyHeld()
	for _, tt := range []struct{ bytes, writes int }{
		{maxSmall, 1}, {maxSmall + 1, 1}, {3*16<<10 - 1000, 1}, {3 * 16 << 10, 2}, {6 * 16 << 10, 3}, {100_000, 3}, {1_000_000, 21},
	} {
		var writes []int
		p, url := tlsPool(t, tt.bytes, func(c *net.TCPConn, p []byte) (int, error) {
			writes = append(writes, len(p))
			return c.Write(p)
		})
		for i := range 3 {
			writes = nil
			resp, got, err := post(t, t.Context(), p, url, NewBody(make([]byte, tt.bytes)))
			if text := read(t, resp, err); resp.StatusCode != 200 || text != "{}" || got.reused != (i > 0) {
				t.Fatalf("%d bytes: got %d, %q, %+v", tt.bytes, resp.StatusCode, text, got)
			}
			if i == 0 {
				continue // with a handshake
			}
			sum := 0
			for _, n := range writes {
				sum += n
				if n > maxHeld {
					t.Errorf("%d bytes: a write of %d bytes", tt.bytes, n)
				}
			}
			if len(writes) != tt.writes || sum < tt.bytes {
				t.Errorf("%d bytes: writes of %v bytes, want %d of them", tt.bytes, writes, tt.writes)
			}
		}
		for to, idle := range p.idle {
			if len(idle) != 1 || idle[0].tls == nil || idle[0].tls.held != nil {
				t.Errorf("%d bytes: %v has %d idle connections, or one with a buffer", tt.bytes, to, len(idle))
			}
		}
	}
	if n := emptyHeld(); n != 1 {
		t.Errorf("%d buffers are kept, want 1", n)
	}
}

// Whichever write fails, the service has not got all of the body, and the buffer goes
// back without what was in it.
func TestTLSRecordsFail(t *testing.T) {
	const bytes = 100_000
	emptyHeld()
	for fail := range 3 {
		n := -1 // write of the body
		p, url := tlsPool(t, bytes, func(c *net.TCPConn, p []byte) (int, error) {
			if n >= 0 {
				if n++; n > fail {
					return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
				}
			}
			return c.Write(p)
		})
		resp, _, err := post(t, t.Context(), p, url, NewBody([]byte("x"))) // shakes hands
		read(t, resp, err)
		n = 0
		body := NewBody(make([]byte, bytes))
		resp, got, err := post(t, t.Context(), p, url, body)
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, syscall.EPIPE) || !writingFailed(err) || body.whole() || !got.reused {
			t.Errorf("write %d fails: got %v, all of the body is gone: %v", fail, err, body.whole())
		}
		if n != fail+1 {
			t.Errorf("write %d fails: %d writes", fail, n)
		}
		if held, ok := heldBuffers.Get(); !ok || len(held) != 0 || cap(held) != maxHeld {
			t.Errorf("write %d fails: a buffer of %d bytes with %d in it is kept: %v", fail, cap(held), len(held), ok)
		}
	}
}

// A connection that cannot be looked at is not used twice, under TLS too.
func TestTLSRecordsHidden(t *testing.T) {
	if _, err := (&tlsRecords{Conn: new(tls.Conn)}).SyscallConn(); err == nil || !strings.Contains(err.Error(), syscall.EINVAL.Error()) {
		t.Errorf("got %v", err)
	}
}

// What is larger than the buffer goes by itself.
func TestTLSRecordTooLarge(t *testing.T) {
	var writes []int
	records := &tlsRecords{Conn: wrapped{nil, func(p []byte) (int, error) {
		writes = append(writes, len(p))
		return len(p), nil
	}}}
	records.hold()
	for _, n := range []int{10, maxHeld + 1, 20} {
		if got, err := records.Write(make([]byte, n)); got != n || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
	if err := records.release(true); err != nil || len(writes) != 3 || writes[0] != 10 || writes[1] != maxHeld+1 || writes[2] != 20 {
		t.Errorf("writes of %v bytes, %v", writes, err)
	}
}
