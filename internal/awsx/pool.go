package awsx

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// pool keeps the connections over which requests with a Body go to the services.
//
// net/http's Transport has two goroutines for each connection, which hand each
// request and each answer to each other. To make a call in the goroutine that wants
// it, by what net/http has to write requests and to read answers, takes little more
// than half of the CPU where requests are small (BenchmarkSmallCall). The Transport
// is for all else: what goes through a proxy, and what has no body.
type pool struct {
	dial, dialTLS dialFunc

	keep time.Duration // how long a connection may be idle

	mu     sync.Mutex
	idle   map[place][]*conn // what was used last is at the end
	tidy   *time.Timer       // closes what was idle for too long; nil: nothing is idle
	closed bool
}

// place is where connections go.
type place struct{ scheme, host string }

func newPool(dial, dialTLS dialFunc) *pool {
	return &pool{dial: dial, dialTLS: dialTLS, keep: idleTimeout, idle: make(map[place][]*conn)}
}

// send makes a request with the body that the reader has, and notes in got on what
// connection. The end of ctx ends it, until the answer's body is closed. The
// request's own body and context are not looked at.
func (p *pool) send(ctx context.Context, req *http.Request, body *bodyReader, got *connection) (*http.Response, error) {
	c, err := p.get(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	got.made, got.reused = true, c.used
	return c.send(ctx, req, body)
}

// get returns a connection: an idle one that the other side has not closed, or a
// new one.
func (p *pool) get(ctx context.Context, u *url.URL) (*conn, error) {
	to := place{u.Scheme, u.Host}
	for c := p.take(to); c != nil; c = p.take(to) {
		if time.Since(c.since) < p.keep && c.open() {
			return c, nil
		}
		c.under.Close()
	}
	dial, port := p.dial, "80"
	if u.Scheme == "https" {
		dial, port = p.dialTLS, "443"
	}
	if u.Port() != "" {
		port = u.Port()
	}
	with, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	return newConn(p, to, with), nil
}

func (p *pool) take(to place) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[to]
	if len(idle) == 0 {
		return nil
	}
	c := idle[len(idle)-1]
	p.idle[to] = slices.Delete(idle, len(idle)-1, len(idle))
	return c
}

// put keeps a connection for the next request.
func (p *pool) put(c *conn) {
	if !p.kept(c) {
		c.Close()
	}
}

func (p *pool) kept(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle[c.to]) >= idlePerHost {
		return false
	}
	c.used, c.since = true, time.Now()
	p.idle[c.to] = append(p.idle[c.to], c)
	if p.tidy == nil {
		p.tidy = time.AfterFunc(p.keep, p.closeOld)
	}
	return true
}

// closeOld closes what was idle for too long.
func (p *pool) closeOld() { p.drop(p.keep) }

// close closes what is idle, and the other connections as they become so.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drop(0)
}

// drop closes what has been idle for so long, and looks again while there is more.
func (p *pool) drop(after time.Duration) {
	p.mu.Lock()
	var old []*conn
	left := 0
	for to, idle := range p.idle {
		n := 0
		for n < len(idle) && time.Since(idle[n].since) >= after {
			n++
		}
		old = append(old, idle[:n]...)
		p.idle[to] = slices.Delete(idle, 0, n)
		left += len(p.idle[to])
	}
	if p.tidy != nil {
		p.tidy.Stop()
		p.tidy = nil
	}
	if left > 0 {
		p.tidy = time.AfterFunc(p.keep/4, p.closeOld)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}
