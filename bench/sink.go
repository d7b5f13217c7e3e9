package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// totals are what a sink has seen.
type totals struct {
	Requests int64 // that carry records
	Bytes    int64 // of their bodies
	Records  int64
	Others   int64 // requests that carry none
}

// sink is a process that plays the services over TLS: it counts the records of
// a call and accepts them all.
type sink struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	addr   string
	caFile string
}

// startSink starts a sink whose certificate's CA is written to a file in dir.
func startSink(dir string, latency int) (*sink, error) {
	s := &sink{caFile: dir + "/ca.pem"}
	s.cmd = exec.Command(os.Args[0], "sink", s.caFile, strconv.Itoa(latency))
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if s.addr, err = s.out.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the sink did not start: %w", err)
	}
	s.addr = strings.TrimSpace(s.addr)
	return s, nil
}

// stop ends the sink and returns what it saw.
func (s *sink) stop() (t totals, err error) {
	s.in.Close()
	err = json.NewDecoder(s.out).Decode(&t)
	if waitErr := s.cmd.Wait(); err == nil {
		err = waitErr
	}
	return t, err
}

// serveSink is the sink's process. It ends when its standard input does.
func serveSink(args []string) error {
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
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	var t counters
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go t.serve(c, time.Duration(latency)*time.Millisecond)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return json.NewEncoder(os.Stdout).Encode(totals{t.requests.Load(), t.bytes.Load(), t.records.Load(), t.others.Load()})
}

type counters struct{ requests, bytes, records, others atomic.Int64 }

// marks is what each record of a call begins with, and its answer.
var marks = map[string]struct{ mark, head, each, tail string }{
	"PutLogEvents": {`"timestamp":`, `{"nextSequenceToken":"49590302212388910001"}`, "", ""},
	"PutRecords": {`"Data":`, `{"FailedRecordCount":0,"Records":[`,
		`{"SequenceNumber":"49590302212388910001000000000000000000000000000000000001","ShardId":"shardId-000000000000"}`, `]}`},
	"PutRecordBatch": {`"Data":`, `{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[`,
		`{"RecordId":"Yf6GrPkIuc4rSq3VRT6kHJNEtcE0mEAQo6rVWOFlmn6lpEJDxaMPQR9QBvKzHUJlQ7gqgLxOAoJU4ZbCTd5"}`, `]}`},
}

// serve answers the requests of a connection. It is no HTTP server but as much
// of one as the plugins need, since it shares two cores with what is measured.
func (t *counters) serve(c net.Conn, latency time.Duration) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	var body, answer []byte
	for {
		operation, length, err := readHead(r)
		if err != nil {
			return
		}
		body = append(body[:0], make([]byte, length)...)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		m, ok := marks[operation]
		answer = answer[:0]
		if ok {
			n := bytes.Count(body, []byte(m.mark))
			t.requests.Add(1)
			t.bytes.Add(int64(length))
			t.records.Add(int64(n))
			answer = append(answer, m.head...)
			if m.each != "" {
				for i := range n {
					if i > 0 {
						answer = append(answer, ',')
					}
					answer = append(answer, m.each...)
				}
				answer = append(answer, m.tail...)
			}
		} else {
			t.others.Add(1)
			answer = append(answer, "{}"...)
		}
		time.Sleep(latency)
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nx-amzn-RequestId: 0\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n", len(answer))
		if _, err := c.Write(append([]byte(head), answer...)); err != nil {
			return
		}
	}
}

// readHead reads a request's head.
func readHead(r *bufio.Reader) (operation string, length int, err error) {
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return "", 0, err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		switch strings.ToLower(name) {
		case "":
			return operation, length, nil
		case "content-length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case "x-amz-target":
			_, operation, _ = strings.Cut(value, ".")
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
