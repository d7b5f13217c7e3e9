package awsx

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialTLS returns what dials a host and shakes hands with it, within limit. What
// is reached through a proxy is left to net/http.
func dialTLS(dial dialFunc, config *tls.Config, limit time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		own.ServerName = host
		c := tls.Client(conn, own)
		shaking, cancel := context.WithTimeoutCause(ctx, limit, errHandshake)
		defer cancel()
		if err := c.HandshakeContext(shaking); err != nil {
			conn.Close()
			if cause := context.Cause(shaking); cause == errHandshake {
				err = cause
			}
			return nil, err
		}
		return &bodyConn{Conn: c}, nil
	}
}

// dialPlain is dial for what is reached without TLS, or through a proxy.
func dialPlain(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &bodyConn{Conn: conn}, nil
	}
}

// errHandshake is a server that takes connections, and then does not speak TLS in time.
var errHandshake = fmt.Errorf("TLS handshake timeout: %w", context.DeadlineExceeded)

// bodyConn is a connection that writes a request's body from where it lies.
// net/http copies it piece by piece into a buffer of 32 KB, which it makes anew for
// each request: more than half of what there is to collect.
//
// Of a small request it makes one write, of one TLS record. net/http makes one of
// the head and another of the body, in case that has to be waited for; of most pods'
// few lines in a second much of the cost is to write and to encrypt.
type bodyConn struct {
	net.Conn
	hold bool   // what is written next is the head of a small request
	head []byte // that is held back until its body comes
}

// maxSmall is the largest body, in bytes, that is copied to be sent with its head.
const maxSmall = 8 << 10

func (c *bodyConn) Write(p []byte) (int, error) {
	if c.hold {
		c.hold = false
		c.head = append(slices.Grow(c.head[:0], len(p)+maxSmall), p...)
		return len(p), nil
	}
	if err := c.release(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// release writes a head that is held back.
func (c *bodyConn) release() error {
	if len(c.head) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.head)
	c.head = c.head[:0]
	return err
}

// ReadFrom writes all of r. It is how net/http writes a body to a connection.
func (c *bodyConn) ReadFrom(r io.Reader) (n int64, err error) {
	if l, ok := r.(*io.LimitedReader); ok { // by Content-Length, which is a Body's own
		if body, ok := l.R.(*bodyReader); ok {
			n, err = body.writeTo(c.Conn, c.head)
			c.head = c.head[:0]
			return n, err
		}
	}
	if err := c.release(); err != nil {
		return 0, err
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
