package awsx

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"syscall"
	"time"

	"aws-for-fluent-bit/internal/spare"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialTLS returns what dials a host and shakes hands with it, within limit.
func dialTLS(dial dialFunc, config *tls.Config, limit time.Duration) dialFunc {
	turns := make(chan struct{}, handshakes)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		own.ServerName = host
		c := tls.Client(&tlsRecords{Conn: plain}, own)
		ended, err := takeTurn(ctx, turns)
		if err != nil {
			plain.Close()
			return nil, err
		}
		defer ended()
		shaking, cancel := context.WithTimeoutCause(ctx, limit, errHandshake)
		defer cancel()
		if err := shake(shaking, c); err != nil {
			plain.Close()
			if cause := context.Cause(shaking); cause == errHandshake {
				err = cause
			}
			return nil, err
		}
		return c, nil
	}
}

// A handshake takes 32 KB of stack, for ML-KEM's keys most of it. So it has a goroutine
// of its own, or each flush would keep that stack until its call is answered. And few go
// at a time, when a hundred files begin to grow at the same time, unless they take long,
// as with a server that does not answer.
const (
	handshakes        = 8
	handshakePatience = 100 * time.Millisecond
)

// takeTurn waits until a handshake may begin. What it returns is called after it.
func takeTurn(ctx context.Context, turns chan struct{}) (ended func(), err error) {
	late := time.NewTimer(handshakePatience)
	defer late.Stop()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, nil
	case <-late.C:
		return func() {}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// shake shakes hands in a goroutine.
func shake(ctx context.Context, c *tls.Conn) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil { // the flush would catch it
				done <- fmt.Errorf("panic in the TLS handshake: %v", v)
			}
		}()
		done <- c.HandshakeContext(ctx)
	}()
	return <-done
}

// errHandshake is a server that takes connections, and then does not speak TLS in time.
var errHandshake = fmt.Errorf("TLS handshake timeout: %w", context.DeadlineExceeded)

const (
	// maxSmall is the largest body, in bytes, that is copied to be sent with its
	// head in one write, which is one TLS record: of most pods' few lines in a second
	// much of the cost is to write and to encrypt. A larger one is written from where
	// it lies: to copy it would be to touch all of it once more.
	maxSmall = 8 << 10

	// maxHead bounds the head of an answer, in bytes.
	maxHead = 64 << 10

	// earlyAnswer is how long an answer is waited for from a server that takes no
	// more of the request. It gave the answer before it closed the connection.
	earlyAnswer = 50 * time.Millisecond
)

var errHeadTooLarge = fmt.Errorf("the head of the answer is larger than %d bytes", maxHead)

// conn is a connection over which one request goes at a time. net/http writes the
// request and reads the answer, in the caller's goroutine.
type conn struct {
	net.Conn
	under net.Conn        // without TLS
	tls   *tlsRecords     // that is it; nil: there is no TLS
	raw   syscall.RawConn // of that; nil: it has none
	pool  *pool
	to    place
	used  bool      // for a request before
	since time.Time // idle

	abort func()      // ends reading and writing
	stop  func() bool // keeps the end of the request's context from doing so

	r    *bufio.Reader
	left int // bytes that may still be read

	request http.Request // as it is written
	head    []byte       // of it, while it is written; a small one's body, too
	fault   error        // of writing; net/http hides it

	look   func(fd uintptr) bool
	silent bool // what look has seen
}

// heads are buffers for conn.head: many connections wait for answers, and few write.
var heads spare.List[[]byte]

func newConn(p *pool, to place, with net.Conn) *conn {
	c := &conn{Conn: with, under: with, pool: p, to: to}
	if t, ok := with.(*tls.Conn); ok {
		c.under = t.NetConn()
		c.tls, _ = c.under.(*tlsRecords)
	}
	if s, ok := c.under.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // it fails for a closed one: then nothing is sent either
	}
	c.abort = func() { _ = c.SetDeadline(time.Unix(1, 0)) }
	c.look = func(fd uintptr) bool { c.silent = silent(fd); return true }
	c.r = bufio.NewReader((*answerReader)(c))
	return c
}

// open says whether an idle connection can be used: the other side has not closed
// it, and has not said anything either.
func (c *conn) open() bool {
	c.silent = false
	return c.raw != nil && c.raw.Read(c.look) == nil && c.silent
}

// send makes a request with the body that the reader has. The end of ctx ends it,
// until the answer's body is closed. After an error the connection is closed.
func (c *conn) send(ctx context.Context, req *http.Request, body *bodyReader) (*http.Response, error) {
	c.stop = context.AfterFunc(ctx, c.abort)
	resp, err := c.exchange(req, body)
	if err == nil {
		return resp, nil
	}
	c.stop()
	c.under.Close() // TLS would say goodbye first, which may take 5 s
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return nil, err
}

func (c *conn) exchange(req *http.Request, body *bodyReader) (*http.Response, error) {
	head, _ := heads.Get()
	c.request, c.head, c.fault, c.left = *req, head[:0], nil, maxHead
	c.request.Body = body
	unsent := c.request.Write((*requestWriter)(c))
	c.request = http.Request{} // the body is its owner's again
	heads.Put(c.head)
	c.head = nil
	if c.fault != nil {
		unsent = c.fault
	}
	if unsent != nil {
		_ = c.SetReadDeadline(time.Now().Add(earlyAnswer))
	}
	for {
		resp, err := http.ReadResponse(c.r, req)
		switch {
		case unsent != nil && (err != nil || resp.StatusCode >= 200 && resp.StatusCode < 300):
			return nil, unsent // nobody can have accepted what did not come
		case err != nil:
			return nil, err
		case resp.StatusCode < 200:
			continue // says that there will be an answer
		}
		c.left = math.MaxInt
		resp.Body = &answerBody{ReadCloser: resp.Body, conn: c, ended: resp.Body == http.NoBody, last: unsent != nil || resp.Close}
		return resp, nil
	}
}

// requestWriter is a conn as net/http writes a request to it: first its head, in
// pieces, then its body.
type requestWriter conn

func (w *requestWriter) Write(p []byte) (int, error) {
	w.head = append(w.head, p...)
	return len(p), nil
}

func (w *requestWriter) WriteString(s string) (int, error) {
	w.head = append(w.head, s...)
	return len(s), nil
}

// WriteByte keeps net/http from making a buffer.
func (w *requestWriter) WriteByte(b byte) error {
	w.head = append(w.head, b)
	return nil
}

var errNoBody = errors.New("the request has a body of another kind")

// ReadFrom writes head and body. What there was of the head does not count.
func (w *requestWriter) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader) // by Content-Length, which is a Body's own
	if !ok {
		return 0, errNoBody
	}
	body, ok := l.R.(*bodyReader)
	if !ok {
		return 0, errNoBody
	}
	rest, err := body.rest()
	if err != nil {
		return 0, err
	}
	if len(rest) <= maxSmall {
		head := len(w.head)
		w.head = append(w.head, rest...)
		return body.took(w.write(w.head) - head), w.fault
	}
	return body.took(w.writeLarge(rest)), w.fault
}

// writeLarge writes the head and a body from where it lies, and returns how much of
// the body, 0 if that is not known.
func (w *requestWriter) writeLarge(body []byte) (n int) {
	if w.tls == nil {
		if w.write(w.head); w.fault != nil {
			return 0
		}
		return w.write(body)
	}
	w.tls.hold()
	if w.write(w.head); w.fault == nil {
		n = w.write(body)
	}
	if err := w.tls.release(w.fault == nil); err != nil {
		n, w.fault = 0, err
	}
	return n
}

func (w *requestWriter) write(p []byte) (n int) {
	n, w.fault = w.Conn.Write(p)
	return n
}

// answerReader is a conn as answers are read from it.
type answerReader conn

func (r *answerReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := r.Conn.Read(p)
	r.left -= n
	return n, err
}

// answerBody is the body of an answer. With Close the connection is free for the
// next request, if all of the body was read.
type answerBody struct {
	io.ReadCloser
	conn  *conn // nil: closed
	ended bool
	last  bool // the connection is of no use after it
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *answerBody) Close() error {
	c := b.conn
	if c == nil {
		return nil
	}
	b.conn = nil
	if inTime := c.stop(); !inTime || !b.ended || b.last || c.r.Buffered() > 0 {
		return c.under.Close()
	}
	c.pool.put(c)
	return nil
}
