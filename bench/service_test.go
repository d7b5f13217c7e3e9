package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const signature = "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0"

func TestCount(t *testing.T) {
	f := func(operation string, h head, body string, records int, want string) {
		t.Helper()
		n, err := operations[operation].count(h, []byte(body))
		if n != records || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s, %+v, %.40s: got %d, %v", operation, h, body, n, err)
		}
	}
	zipped := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, text)
		z.Close()
		return b.String()
	}
	signed := head{signed: true}
	data := `{"Data":"eA=="},`
	f("PutRecords", signed, data+data, 2, "")
	f("PutRecords in CBOR", head{signed: true, cbor: true}, "\x64Data\x41x\x64Data\x41y", 2, "")
	f("PutRecordBatch", signed, strings.Repeat(data, 500), 500, "")
	f("PutLogEvents", signed, strings.Repeat(`{"timestamp":1},`, 10_000), 10_000, "")
	f("PutLogEvents", head{signed: true, gzip: true}, zipped(`{"timestamp":1}`), 1, "")
	f("PutRecords", head{}, data, 0, "not signed")
	f("PutRecords", signed, "{}", 0, "0 records")
	f("PutRecords", signed, strings.Repeat(data, 501), 0, "501 records")
	f("PutRecordBatch", signed, strings.Repeat(data, 501), 0, "501 records")
	f("PutLogEvents", signed, strings.Repeat(`{"timestamp":1},`, 10_001), 0, "10001 records")
	f("PutLogEvents", signed, `{"timestamp":1,`+strings.Repeat("x", 4<<20), 0, "bytes")
	f("PutRecordBatch", head{signed: true, gzip: true}, zipped(data+strings.Repeat("x", 6<<20)), 0, "bytes")
	f("PutRecords", head{signed: true, gzip: true}, data, 0, "no gzip")
}

func TestReadHead(t *testing.T) {
	f := func(text string, want head) {
		t.Helper()
		got, err := readHead(bufio.NewReader(strings.NewReader(text)))
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	f("POST / HTTP/1.1\r\nX-Amz-Target: Logs_20140328.PutLogEvents\r\nContent-Length: 12\r\nAuthorization: "+signature+"\r\ncontent-encoding: gzip\r\n\r\n",
		head{"PutLogEvents", 12, true, true, false})
	f("POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\nContent-Type: application/x-amz-cbor-1.1\r\nContent-Length: 1\r\n\r\n",
		head{operation: "PutRecords", length: 1, cbor: true})
	f("POST / HTTP/1.1\r\nAuthorization: Basic x\r\n\r\n", head{length: -1})
	f("POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", head{length: -1})
	if _, err := readHead(bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\n"))); err == nil {
		t.Error("half a head is taken")
	}
}

// The sink as a process: what it takes, what it refuses, and what it counts.
func TestSink(t *testing.T) {
	s, err := startSink(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	pem, err := os.ReadFile(s.caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	f := func(target, authorization, body string, status int, want string) {
		t.Helper()
		req, err := http.NewRequest("POST", "https://"+s.addr, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "Service."+target)
		req.Header.Set("Authorization", authorization)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || !strings.Contains(string(text), want) {
			t.Errorf("%s: got %d %s, %v", target, resp.StatusCode, text, err)
		}
	}
	f("PutRecords", signature, `{"Data":""},{"Data":""}`, 200, `"},{"SequenceNumber"`)
	f("PutLogEvents", signature, `{"timestamp":1}`, 200, `nextSequenceToken`)
	f("CreateLogGroup", signature, `{}`, 200, `{}`)
	f("PutRecords", "", `{"Data":""}`, 400, "refused")
	f("PutRecordBatch", signature, strings.Repeat(`{"Data":""},`, 501), 400, "InvalidParameterException")
	now, err := s.now()
	if err != nil || now.Requests != 2 || now.Records != 3 || now.Others != 1 || now.Refused != 2 || now.Last == 0 || now.Bytes != 23+15 {
		t.Errorf("got %+v, %v", now, err)
	}
	if now.Wire < now.Bytes+1000 {
		t.Errorf("%d bytes on the wire, %d of bodies", now.Wire, now.Bytes)
	}
	if !strings.Contains(now.Why, "501 records") {
		t.Errorf("refused since %q", now.Why)
	}
	if got, err := s.stop(); err != nil || got.Records != now.Records {
		t.Errorf("at the end: %+v, %v", got, err)
	}
	if _, err := s.now(); err == nil {
		t.Error("a sink that has ended answers")
	}
}

func TestSinkRefusesToStart(t *testing.T) {
	for _, args := range [][]string{nil, {"ca.pem"}, {"ca.pem", "soon"}, {filepath.Join(t.TempDir(), "none", "ca.pem"), "0"}} {
		if err := serveSink(args); err == nil {
			t.Errorf("%q: started", args)
		}
	}
	if _, err := startSink("/does/not/exist", 0); err == nil {
		t.Error("a sink without a directory has started")
	}
}

func TestWrong(t *testing.T) {
	f := func(got totals, want string) {
		t.Helper()
		err := figures{totals: got}.wrong(10, "its log")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", got, err, want)
		}
	}
	f(totals{Records: 10}, "")
	f(totals{Records: 9}, "delivered 9 of 10 records\nits log")
	f(totals{Records: 11}, "delivered 11 of 10")
	f(totals{Records: 10, Refused: 1, Why: "x"}, "1 requests were refused, the last one since x")
}

// A plugin that does not start, loses records or never ends is one failed run and
// not the end of the benchmark: a script stands in for fluent-bit.
func TestShipFails(t *testing.T) {
	dir := t.TempDir()
	fake := filepath.Join(dir, "fluent-bit")
	f := func(script, want string) {
		t.Helper()
		if err := os.WriteFile(fake, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
		b := benchmark{fluentBit: fake, dir: dir, records: 2}
		_, err := b.ship(context.Background(), plugin{kind: kindC, service: "kinesis", name: "kinesis_streams"}, caseOf{"kubernetes", 1, 0})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", script, err, want)
		}
	}
	f("echo no such plugin; exit 3", "exit status 3\nno such plugin")
	f("exit 0", "delivered 0 of 2 records")
}

func TestInput(t *testing.T) {
	b := benchmark{dir: t.TempDir(), records: 18}
	f := func(shape string, lines int) {
		t.Helper()
		conf, files, err := b.input(shape, b.dir, true)
		if err != nil || files != nil || !strings.Contains(conf, "Exit_On_Eof") || !strings.Contains(conf, "Mem_Buf_Limit 64MB") {
			t.Errorf("%s: %q, %v, %v", shape, conf, files, err)
		}
		text, err := os.ReadFile(filepath.Join(b.dir, shape+".log"))
		if n := bytes.Count(text, []byte("\n")); err != nil || n != lines {
			t.Errorf("%s: %d lines, %v, want %d", shape, n, err, lines)
		}
		size := len(text) / lines
		if want := shapeBytes[shape]; size < want*9/10 || size > want*15/10 {
			t.Errorf("%s: lines of %d bytes, want about %d", shape, size, want)
		}
	}
	f("kubernetes", 18)
	f("small", 162)
	f("big", 1) // 16 KB once
	conf, files, err := b.input("trickle", b.dir, false)
	if err != nil || len(files) != trickleFiles || strings.Contains(conf, "Exit_On_Eof") {
		t.Fatalf("trickle: %q, %d files, %v", conf, len(files), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := trickle(ctx, files); err == nil {
		t.Error("it trickles on after the end")
	}
	for _, file := range files {
		file.Close()
	}
	if got := fmt.Sprint(countOf("trickle", 5)); got != "8000" {
		t.Errorf("%s records trickle", got)
	}
}
