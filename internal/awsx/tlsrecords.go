package awsx

import (
	"net"
	"syscall"

	"aws-for-fluent-bit/internal/spare"
)

// maxTLSRecord is the most bytes that a TLS record takes: 16 KB, and what is around
// it in TLS 1.3 (22 bytes) or 1.2 (29).
const maxTLSRecord = 16<<10 + 32

// maxHeld is how many bytes of TLS records are put together for one write. Each
// write goes through all of the kernel's TCP; more than 64 KB of it are two packets
// for it again. To copy them costs less (make bench-peers CASES=kubernetes:1:0).
const maxHeld = 3 * maxTLSRecord

// heldBuffers are used while a body is written, and not kept by connections.
var heldBuffers spare.List[[]byte]

// tlsRecords is a connection to which crypto/tls writes, one record at a time.
type tlsRecords struct {
	net.Conn
	held []byte // to be written; nil: each record is, at once
}

// SyscallConn lets a kept connection be looked at.
func (t *tlsRecords) SyscallConn() (syscall.RawConn, error) {
	c, ok := t.Conn.(syscall.Conn)
	if !ok {
		return nil, syscall.EINVAL
	}
	return c.SyscallConn()
}

func (t *tlsRecords) Write(p []byte) (int, error) {
	if len(t.held)+len(p) > cap(t.held) {
		if err := t.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(t.held) {
		return t.Conn.Write(p)
	}
	t.held = append(t.held, p...)
	return len(p), nil
}

// hold has records put together until release.
func (t *tlsRecords) hold() {
	var ok bool
	if t.held, ok = heldBuffers.Get(); !ok {
		t.held = make([]byte, 0, maxHeld)
	}
}

// release writes what is held, if the connection is good, and has records written
// one by one again.
func (t *tlsRecords) release(good bool) (err error) {
	if good {
		err = t.flush()
	}
	heldBuffers.Put(t.held[:0])
	t.held = nil
	return err
}

func (t *tlsRecords) flush() error {
	if len(t.held) == 0 {
		return nil
	}
	_, err := t.Conn.Write(t.held)
	t.held = t.held[:0]
	return err
}
