package recordstest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

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
	answers := make(map[bool]string) // of full calls, by whether they are Firehose's
	for _, firehose := range []bool{false, true} {
		answers[firehose] = sinkAnswer(firehose, callRecords)
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			n := strings.Count(string(body), `"Data":`)
			firehose := strings.HasPrefix(r.Header.Get("X-Amz-Target"), "Firehose")
			answer := answers[firehose]
			if n != callRecords {
				answer = sinkAnswer(firehose, n)
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.Header().Set("X-Amzn-Requestid", "0")
			_, _ = io.WriteString(w, answer)
		}))
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// sinkAnswer is the answer to a request of n records, as long as it really is.
func sinkAnswer(firehose bool, n int) string {
	head, result := `{"FailedRecordCount":0,"Records":[`, `{"SequenceNumber":"49000000000000000000000000000000000000000000000000000001","ShardId":"shardId-000000000000"}`
	if firehose {
		head, result = `{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[`, `{"RecordId":"`+strings.Repeat("x", 220)+`"}`
	}
	return head + strings.TrimSuffix(strings.Repeat(result+",", n), ",") + "]}"
}

// startSink returns the URL of a sink process, which ends with the benchmark.
func startSink(b *testing.B) string {
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

const (
	callRecords  = 500
	benchRecords = 1000
)

// KubernetesChunk is n records of about 1 KB as the kubernetes filter makes them.
func KubernetesChunk(n int) (c []byte) {
	for i := range n {
		c = AppendRecord(c, Second, Map{
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

// BenchmarkFlush is the whole way from a chunk of 1,000 records to the answers
// of the service: this plugin's in each variant, and peer's, which is given the
// service's URL and the texts of a call's records. cpu-ns/record is of this
// process alone.
func (s *Subject) BenchmarkFlush(b *testing.B, variants []Variant, peer func(url string) (put func(texts [][]byte) error)) {
	url := startSink(b)
	chunk := KubernetesChunk(benchRecords)
	measure := func(b *testing.B, flush func() error) {
		if err := flush(); err != nil { // connects
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetBytes(int64(len(chunk)))
		start := cpu(b)
		for b.Loop() {
			if err := flush(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/benchRecords, "cpu-ns/record")
	}
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
	b.Run("sdk", func(b *testing.B) {
		put := peer(url)
		measure(b, func() error { return flushWithSDK(put, chunk) })
	})
}

// WantNoAllocs wants a flush of 400 records to allocate as often as one of 100,
// both of one call: what a record costs is 0. The service is one that does not
// look into its requests, in this process.
func WantNoAllocs(t *testing.T, name string, p Plugin) {
	t.Helper()
	allocs := func(n int) float64 {
		chunk := delivery.Chunk{Tag: "tag", Data: KubernetesChunk(n)}
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
	// A collection now and then empties the pools, whose buffers are made anew.
	if perRecord := (many - few) / 300; perRecord > 0.1 {
		t.Errorf("%s: %v allocations for 100 records, %v for 400, want the same", name, few, many)
	}
}
