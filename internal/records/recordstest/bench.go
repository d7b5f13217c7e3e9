package recordstest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/delivery"
)

// sinkEnv makes the test binary a sink for requests: a process of its own, so
// that what it costs is not counted. Main looks at it.
const sinkEnv = "RECORDS_TEST_SINK"

// serveSink accepts all records of every request, by answers made beforehand,
// until its standard input is closed.
func serveSink() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr())
	go func() { _ = http.Serve(l, Sink()) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Sink accepts all records of every call, in JSON or in CBOR, by answers made
// beforehand.
func Sink() http.Handler {
	answers := make(map[bool]string) // of full calls, by whether they are Firehose's
	for _, firehose := range []bool{false, true} {
		answers[firehose] = sinkAnswer(firehose, callRecords)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if form := r.Header.Get("Content-Type"); form == typeCBOR {
			w.Header().Set("Content-Type", form)
			_, _ = io.WriteString(w, sinkAnswerCBOR(strings.Count(string(body), "\x64Data")))
			return
		}
		target := r.Header.Get("X-Amz-Target")
		firehose := strings.HasPrefix(target, "Firehose")
		answer := answers[firehose]
		if strings.HasPrefix(target, "Logs") {
			answer = `{"nextSequenceToken":"49590302212388910001"}`
		} else if n := strings.Count(string(body), `"Data":`); n != callRecords {
			answer = sinkAnswer(firehose, n)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Requestid", "0")
		_, _ = io.WriteString(w, answer)
	})
}

// sinkAnswer is the answer to a request of n records, as long as it really is.
func sinkAnswer(firehose bool, n int) string {
	head, result := `{"FailedRecordCount":0,"Records":[`, `{"SequenceNumber":"49000000000000000000000000000000000000000000000000000001","ShardId":"shardId-000000000000"}`
	if firehose {
		head, result = `{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[`, `{"RecordId":"`+strings.Repeat("x", 220)+`"}`
	}
	return head + strings.TrimSuffix(strings.Repeat(result+",", n), ",") + "]}"
}

// sinkAnswerCBOR is Kinesis' in CBOR (RFC 8949).
func sinkAnswerCBOR(n int) string {
	const result = "\xbf\x6eSequenceNumber\x78\x3849590302212388910001000000000000000000000000000000000001\x67ShardId\x74shardId-000000000000\xff"
	return "\xbf\x71FailedRecordCount\x00\x67Records\x9f" + strings.Repeat(result, n) + "\xff\xff"
}

// StartSink returns the URL of a sink process, which ends with the benchmark.
func StartSink(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sinkEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(addr)
}

// cpu returns the CPU time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const callRecords = 500

// BenchRecords is the number of records in the chunks of benchmarks.
const BenchRecords = 1000

// KubernetesChunk is n records of about 1 KB as the kubernetes filter makes them.
func KubernetesChunk(n int) []byte { return KubernetesChunkAt(Second, n) }

// KubernetesChunkAt is that, with records of one time.
func KubernetesChunkAt(sec uint32, n int) (c []byte) {
	for i := range n {
		c = AppendRecord(c, sec, Map{
			"log", fmt.Sprintf(`10.1.128.166 - - [19/Dec/2019:17:41:12 +0000] "GET /api/v1/items/%08d?limit=20 HTTP/1.1" 200 612 "https://shop.example.com/cart" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" "52.95.4.2"`+"\n", i),
			"stream", "stdout",
			"time", "2019-12-19T17:41:12.70630778Z",
			"kubernetes", Map{
				"pod_name", "nginx-5468c5d4d7-n2swr",
				"namespace_name", "default",
				"pod_id", "198f7dd2-2270-11ea-be47-0a5d932f5920",
				"host", "ip-10-1-128-166.us-east-2.compute.internal",
				"container_name", "nginx",
				"docker_id", "b90a89309ac90fff2972822c66f11736933000c5aa6376dff0c11a441fa427ee",
				"container_hash", "0e61b143db3110f3b8ae29a67f107d5536b71a7c1f10afb14d4228711fc65a13",
				"labels", Map{"app", "nginx", "pod-template-hash", "5468c5d4d7", "app.kubernetes.io/managed-by", "Helm"},
				"annotations", Map{"fluentbit.io/parser", "nginx", "kubernetes.io/psp", "eks.privileged"},
			},
		})
	}
	return c
}

// Variant is a way to configure a plugin.
type Variant struct {
	Name    string
	Options []string
}

// Measure runs the flush of a chunk of so many bytes and records. Beside the usual
// figures it reports the CPU time of this process for each record, and the bytes
// that are allocated, and become garbage, for each MB that is shipped.
func Measure(b *testing.B, bytes, records int, flush func() error) {
	if err := flush(); err != nil { // connects
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(bytes))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := cpu(b)
	for b.Loop() {
		if err := flush(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/float64(records), "cpu-ns/record")
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/(float64(bytes)/1e6), "B/MB")
}

// BenchmarkFlush is the whole way from a chunk of 1,000 records to the answers
// of the service: this plugin's in each variant, and peer's, which is given the
// service's URL and the texts of a call's records.
func (s *Subject) BenchmarkFlush(b *testing.B, variants []Variant, peer func(url string) (put func(texts [][]byte) error)) {
	url := StartSink(b)
	chunk := KubernetesChunk(BenchRecords)
	measure := func(b *testing.B, flush func() error) { Measure(b, len(chunk), BenchRecords, flush) }
	for _, v := range variants {
		b.Run(v.Name, func(b *testing.B) {
			r := s.StartAt(b, url, v.Options...)
			measure(b, func() error {
				if got := r.Flush(delivery.Chunk{Tag: "tag", Data: chunk}); got != delivery.OK {
					return fmt.Errorf("got %v", got)
				}
				return nil
			})
		})
	}
	b.Run("plugin,3 records", func(b *testing.B) {
		r := s.StartAt(b, url)
		few := KubernetesChunk(3)
		Measure(b, len(few), 3, func() error {
			if got := r.Flush(delivery.Chunk{Tag: "tag", Data: few}); got != delivery.OK {
				return fmt.Errorf("got %v", got)
			}
			return nil
		})
	})
	b.Run("sdk", func(b *testing.B) {
		put := peer(url)
		measure(b, func() error {
			var texts [][]byte
			return DecodeWithSDK(chunk, func(_ time.Time, text []byte) (err error) {
				texts = append(texts, append(text, '\n'))
				if len(texts) == callRecords {
					err, texts = put(texts), nil
				}
				return err
			})
		})
	})
}

// WantNoAllocs wants a flush of 400 records to allocate as often as one of 100,
// both of one call: what a record costs is 0. The service is one that does not
// look into its requests, in this process; what it allocates is the same for both.
func WantNoAllocs(t *testing.T, name string, p Plugin) {
	t.Helper()
	// A collection would empty the pools, whose buffers were then made anew.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	allocs := func(n int) float64 {
		chunk := delivery.Chunk{Tag: "s.of.it", Data: KubernetesChunk(n)}
		for range 3 { // until every buffer has its size
			p.Flush(chunk)
		}
		return testing.AllocsPerRun(10, func() {
			if got := p.Flush(chunk); got != delivery.OK {
				t.Errorf("%s: got %v", name, got)
			}
		})
	}
	few, many := allocs(100), allocs(400)
	// More bytes may be read in a few more pieces.
	if many-few > 3 {
		t.Errorf("%s: %v allocations for 100 records, %v for 400, want the same", name, few, many)
	}
}

// DoNotAllocate wants the way of a record to allocate nothing, with each of the
// options: what is allocated is for the flush and its call.
func (s *Subject) DoNotAllocate(t *testing.T, variants ...[]string) {
	if Race {
		t.Skip("the race detector allocates")
	}
	for _, opts := range variants {
		srv := s.Serve(t, awslocal.Config{Discard: true, KeepRequests: -1})
		p, err := s.Open(delivery.Env{}, s.Getter(append([]string{"endpoint", srv.URL}, opts...)...))
		if err != nil {
			t.Fatal(err)
		}
		WantNoAllocs(t, fmt.Sprint(opts), p)
		p.Close()
	}
}

// Session is one with the SDK's own serializer in its clients.
func Session(t testing.TB, url string) *awsx.Session {
	session, err := awsx.Load(context.Background(), awsx.Options{Region: "us-east-1", Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}
