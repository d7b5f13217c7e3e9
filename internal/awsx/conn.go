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

// bodyConn is a connection with a buffer of its own for the bodies that are copied
// to it. net/http makes one of 32 KB for each request, more than half of what there
// is to collect.
type bodyConn struct {
	net.Conn
	buf []byte // made with the first body; one request is written at a time
}

// copyBytes is io.Copy's: two records of TLS.
const copyBytes = 32 << 10

// ReadFrom writes all of r. It is how io.Copy writes to a connection.
func (c *bodyConn) ReadFrom(r io.Reader) (n int64, err error) {
	if c.buf == nil {
		c.buf = make([]byte, copyBytes)
	}
	for {
		read, readErr := r.Read(c.buf)
		if read > 0 {
			written, err := c.Write(c.buf[:read])
			n += int64(written)
			if err != nil {
				return n, err
			}
		}
		switch {
		case readErr == io.EOF:
			return n, nil
		case readErr != nil:
			return n, readErr
		}
	}
}
