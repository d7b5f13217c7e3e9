package awsx

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
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
		return &bodyConn{c}, nil
	}
}

// dialPlain is dial for what is reached without TLS, or through a proxy.
func dialPlain(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &bodyConn{conn}, nil
	}
}

// errHandshake is a server that takes connections, and then does not speak TLS in time.
var errHandshake = fmt.Errorf("TLS handshake timeout: %w", context.DeadlineExceeded)

// bodyConn is a connection that writes a request's body from where it lies.
// net/http copies it piece by piece into a buffer of 32 KB, which it makes anew for
// each request: more than half of what there is to collect.
type bodyConn struct{ net.Conn }

// ReadFrom writes all of r. It is how net/http writes a body to a connection.
func (c *bodyConn) ReadFrom(r io.Reader) (n int64, err error) {
	if l, ok := r.(*io.LimitedReader); ok { // by Content-Length, which is a Body's own
		if body, ok := l.R.(*bodyReader); ok {
			return body.writeTo(c.Conn)
		}
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
