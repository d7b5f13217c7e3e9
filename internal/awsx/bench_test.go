package awsx

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"aws-for-fluent-bit/internal/awslocal"
)

// serveVariable has the test binary be the benchmarks' server: in a process of
// its own, so that only the client is measured.
const serveVariable = "AWSX_SERVE_BENCHMARK"

type benchServer struct{ URL, PlainURL, CA string }

func serveBenchmark() {
	srv, err := awslocal.Start(awslocal.Config{TLS: true, HTTP2: true, Discard: true, KeepRequests: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(benchServer{srv.URL, srv.PlainURL, string(srv.CAPEM)})
	io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	srv.Close()
}

func startBenchmarkServer(b *testing.B) (s benchServer, ca string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&s); err != nil {
		b.Fatal(err)
	}
	ca = b.TempDir() + "/ca.pem"
	if err := os.WriteFile(ca, []byte(s.CA), 0o600); err != nil {
		b.Fatal(err)
	}
	return s, ca
}

// cpu returns the processor time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports the processor time of each run beside the usual figures.
func measure(b *testing.B, bytes int, run func() error) {
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	if err := run(); err != nil { // connects
		b.Fatal(err)
	}
	before := cpu()
	for b.Loop() {
		if err := run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// records are 1,000 of 1 KB, as JSON that a request quotes.
func records() (plain []string, body []byte) {
	var b strings.Builder
	b.WriteString(`{"logGroupName":"group","logStreamName":"log","logEvents":[`)
	for i := range 1000 {
		record := fmt.Sprintf(`{"log":%q,"stream":"stdout","kubernetes":{"pod_name":"pod-%d"}}`, strings.Repeat("GET /index.html 200 ", 47), i)
		quoted, _ := json.Marshal(record)
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"timestamp":1,"message":` + string(quoted) + `}`)
		plain = append(plain, record)
	}
	b.WriteString(`]}`)
	return plain, []byte(b.String())
}

// BenchmarkPutLogEvents compares a call with a ready body to the same call
// through the SDK's own serializer, on the same client.
func BenchmarkPutLogEvents(b *testing.B) {
	srv, ca := startBenchmarkServer(b)
	for _, at := range []struct{ name, url string }{{"plain", srv.PlainURL}, {"tls", srv.URL}} {
		s := load(b, Options{Endpoint: at.url, CABundle: ca})
		client := s.CloudWatchLogs()
		plain, ready := records()
		b.Run(at.name+"/sdk", func(b *testing.B) {
			measure(b, len(ready), func() error {
				events := make([]types.InputLogEvent, len(plain))
				for i := range plain {
					events[i] = types.InputLogEvent{Message: &plain[i], Timestamp: aws.Int64(1)}
				}
				_, err := client.PutLogEvents(testContext(b), &cloudwatchlogs.PutLogEventsInput{
					LogGroupName: aws.String("group"), LogStreamName: aws.String("log"), LogEvents: events})
				return err
			})
		})
		b.Run(at.name+"/ready", func(b *testing.B) {
			body := NewBody(nil)
			measure(b, len(ready), func() error {
				body.Reset(ready)
				_, err := PutLogEvents(testContext(b), client, "group", "log", body)
				return err
			})
		})
	}
}

// BenchmarkSmallCall is a call of a few records, as tailed files make many of.
func BenchmarkSmallCall(b *testing.B) {
	srv, ca := startBenchmarkServer(b)
	_, ready := records()
	for _, n := range []int{1, 3, 10} {
		few := bytes.Join(bytes.SplitAfterN(ready, []byte("},{"), n+1)[:n], nil)
		body := append(bytes.TrimSuffix(few, []byte(",{")), "]}"...)
		for _, at := range []struct{ name, url string }{{"plain", srv.PlainURL}, {"tls", srv.URL}} {
			client := load(b, Options{Endpoint: at.url, CABundle: ca}).CloudWatchLogs()
			b.Run(fmt.Sprintf("%s/%d records", at.name, n), func(b *testing.B) {
				measure(b, len(body), func() error {
					_, err := PutLogEvents(testContext(b), client, "group", "log", NewBody(body))
					return err
				})
			})
		}
	}
}

// BenchmarkProtocol is why HTTP/1.1 is used: the same calls, four at a time,
// over either.
func BenchmarkProtocol(b *testing.B) {
	srv, ca := startBenchmarkServer(b)
	_, ready := records()
	for _, name := range []string{"http1", "http2"} {
		b.Run(name, func(b *testing.B) {
			s := load(b, Options{Endpoint: srv.URL, CABundle: ca})
			if name == "http2" {
				t := s.shared.transport.Clone()
				t.Protocols = new(http.Protocols)
				t.Protocols.SetHTTP2(true)
				b.Cleanup(t.CloseIdleConnections)
				s.config.HTTPClient = &httpClient{transport: t}
			}
			client := s.CloudWatchLogs()
			b.SetParallelism(2)
			b.SetBytes(int64(len(ready)))
			before := cpu()
			b.RunParallel(func(pb *testing.PB) {
				body := NewBody(ready)
				for pb.Next() {
					if _, err := PutLogEvents(testContext(b), client, "group", "log", body); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((cpu()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkShortcut is a call without a network and without hashing its body: by
// all of the SDK's middlewares, and by what they made of the call before.
func BenchmarkShortcut(b *testing.B) {
	for _, name := range []string{"sdk", "shortcut"} {
		b.Run(name, func(b *testing.B) {
			s := load(b, Options{Endpoint: "http://127.0.0.1:9"})
			h := &httpClient{transport: new(quiet)}
			s.config.HTTPClient = h
			client := s.CloudWatchLogs()
			body := NewBody([]byte("{}"))
			measure(b, 2, func() error {
				if name == "sdk" {
					h.routes.all = nil
				}
				_, err := PutLogEvents(testContext(b), client, "g", "s", body)
				return err
			})
		})
	}
}

// BenchmarkParseRecordsAnswer is the usual answer to a full PutRecords.
func BenchmarkParseRecordsAnswer(b *testing.B) {
	good := allGood(500)
	bad := []byte(strings.Replace(string(good), `"FailedRecordCount":0`, `"FailedRecordCount":1`, 1))
	for name, in := range map[string][]byte{"delivered": good, "decoded": bad} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parseRecordsAnswer(in, 500, kinesisFormat); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
