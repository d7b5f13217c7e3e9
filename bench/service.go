package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serveSink is the sink's process: it answers each line of its standard input
// with what it has seen so far, and ends when its standard input does.
func serveSink(args []string) error {
	if len(args) != 2 {
		return errors.New("cannot start the sink: it wants the CA's file and a latency")
	}
	latency, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	cert, ca, err := certificate()
	if err != nil {
		return err
	}
	if err := os.WriteFile(args[0], ca, 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	t := &counters{latency: time.Duration(latency) * time.Millisecond}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go t.serve(tls.Server(&wire{c, &t.wire}, config))
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := out.Encode(t.totals()); err != nil {
			return err
		}
	}
	return out.Encode(t.totals())
}

// wire counts what comes in by a connection.
type wire struct {
	net.Conn
	bytes *atomic.Int64
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.bytes.Add(int64(n))
	return n, err
}

// counters are the totals of all connections.
type counters struct {
	latency                                               time.Duration
	requests, bytes, wire, records, others, last, refused atomic.Int64
	why                                                   atomic.Value
}

func (t *counters) totals() totals {
	why, _ := t.why.Load().(string)
	return totals{t.requests.Load(), t.bytes.Load(), t.wire.Load(), t.records.Load(), t.others.Load(), t.refused.Load(), why, t.last.Load()}
}

// operation is what a call of a service looks like.
type operation struct {
	mark             string // that each record begins with
	records          int    // in a call, at most
	bytes            int    // of a body, at most, with all that JSON and base64 add
	head, each, tail string // of an answer
	sep              string // between its results
}

// operations are the calls that carry records, with the quotas of AWS's pages on
// them (PutLogEvents, PutRecords, PutRecordBatch).
var operations = map[string]operation{
	// 1,048,576 bytes of messages: JSON of JSON may double them.
	"PutLogEvents": {`"timestamp":`, 10_000, 4 << 20, `{"nextSequenceToken":"49590302212388910001"}`, "", "", ""},
	// 10 MiB and 4 MiB of data: base64 adds a third, where it is needed.
	"PutRecords": {`"Data":`, 500, 14 << 20, `{"FailedRecordCount":0,"Records":[`,
		`{"SequenceNumber":"49590302212388910001000000000000000000000000000000000001","ShardId":"shardId-000000000000"}`, `]}`, ","},
	"PutRecords in CBOR": {"\x64Data", 500, 11 << 20, "\xbf\x71FailedRecordCount\x00\x67Records\x9f",
		"\xbf\x6eSequenceNumber\x78\x3849590302212388910001000000000000000000000000000000000001\x67ShardId\x74shardId-000000000000\xff", "\xff\xff", ""},
	"PutRecordBatch": {`"Data":`, 500, 6 << 20, `{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[`,
		`{"RecordId":"Yf6GrPkIuc4rSq3VRT6kHJNEtcE0mEAQo6rVWOFlmn6lpEJDxaMPQR9QBvKzHUJlQ7gqgLxOAoJU4ZbCTd5"}`, `]}`, ","},
}

// head is what a request's head says.
type head struct {
	operation string
	length    int // -1: not said
	signed    bool
	gzip      bool
	cbor      bool // which Kinesis takes beside JSON
}

const typeCBOR = "application/x-amz-cbor-1.1"

// name is the operation, and how it is written.
func (h head) name() string {
	if h.cbor {
		return h.operation + " in CBOR"
	}
	return h.operation
}

// serve answers the requests of a connection. It is no HTTP server but as much
// of one as the plugins need, since it shares the cores with what is measured.
func (t *counters) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	var body, answer []byte
	for {
		h, err := readHead(r)
		if err != nil {
			return
		}
		if h.length < 0 || h.length > maxBody {
			t.refuse(c, fmt.Sprintf("its length is %d bytes", h.length))
			return // where the next one begins is not known
		}
		if cap(body) < h.length {
			body = make([]byte, h.length)
		}
		body = body[:h.length]
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		o, ok := operations[h.name()]
		answer = append(answer[:0], "{}"...)
		if ok {
			n, err := o.count(h, body)
			if err != nil {
				t.refuse(c, err.Error())
				continue
			}
			t.requests.Add(1)
			t.bytes.Add(int64(h.length))
			answer = o.answer(answer[:0], n)
			time.Sleep(t.latency)
			t.records.Add(int64(n))
			t.last.Store(time.Now().UnixNano())
		} else {
			t.others.Add(1)
		}
		kind := "application/x-amz-json-1.1"
		if h.cbor {
			kind = typeCBOR
		}
		if err := respond(c, "200 OK", kind, answer); err != nil {
			return
		}
	}
}

// maxBody is the longest body of any operation.
const maxBody = 14 << 20

func respond(c net.Conn, status, kind string, answer []byte) error {
	text := fmt.Appendf(nil, "HTTP/1.1 %s\r\nx-amzn-RequestId: 0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", status, kind, len(answer))
	_, err := c.Write(append(text, answer...))
	return err
}

// refuse answers as a service does to a request that it never takes.
func (t *counters) refuse(c net.Conn, why string) {
	t.why.Store(why)
	t.refused.Add(1)
	_ = respond(c, "400 Bad Request", "application/x-amz-json-1.1", []byte(`{"__type":"InvalidParameterException","message":"refused by the benchmark's sink"}`))
}

// count is how many records a call carries, or why no service would take it: a
// plugin that goes beyond the quotas would look better than it is.
func (o operation) count(h head, body []byte) (int, error) {
	if !h.signed {
		return 0, errors.New("it is not signed")
	}
	if h.gzip {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return 0, fmt.Errorf("its body is no gzip: %w", err)
		}
		if body, err = io.ReadAll(io.LimitReader(z, int64(o.bytes)+1)); err != nil {
			return 0, fmt.Errorf("its body is no gzip: %w", err)
		}
	}
	if len(body) > o.bytes {
		return 0, fmt.Errorf("it has %d bytes, at most %d are taken", len(body), o.bytes)
	}
	n := bytes.Count(body, []byte(o.mark))
	if n == 0 || n > o.records {
		return 0, fmt.Errorf("it has %d records, 1 to %d are taken", n, o.records)
	}
	return n, nil
}

// answer appends the answer to a call with n records.
func (o operation) answer(dst []byte, n int) []byte {
	dst = append(dst, o.head...)
	if o.each == "" {
		return dst
	}
	for i := range n {
		if i > 0 {
			dst = append(dst, o.sep...)
		}
		dst = append(dst, o.each...)
	}
	return append(dst, o.tail...)
}

// readHead reads a request's head.
func readHead(r *bufio.Reader) (h head, err error) {
	h.length = -1
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return h, err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "":
			return h, nil
		case "content-length":
			if h.length, err = strconv.Atoi(value); err != nil {
				h.length = -1
			}
		case "content-encoding":
			h.gzip = value == "gzip"
		case "authorization":
			h.signed = strings.HasPrefix(value, "AWS4-HMAC-SHA256 ") && strings.Contains(value, "Signature=")
		case "content-type":
			h.cbor = value == typeCBOR
		case "x-amz-target":
			_, h.operation, _ = strings.Cut(value, ".")
		}
	}
}

// certificate makes a CA and a certificate of it for loopback.
func certificate() (cert tls.Certificate, ca []byte, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	until := time.Now().Add(24 * time.Hour)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench CA"}, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, root, root, caKey.Public(), caKey)
	if err != nil {
		return cert, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: until,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), caKey)
	if err != nil {
		return cert, nil, err
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca, nil
}
