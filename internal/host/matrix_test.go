package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/faults"
)

// The built plugins against everything that goes wrong, driven as Fluent Bit
// drives them. The same under a real fluent-bit is in e2e.

// environment gives the credentials that awslocal knows, and hides those of the
// machine.
func environment() []string {
	env := []string{"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "EKS_POD_EXECUTION_ROLE",
		"ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4", "HTTP_PROXY", "HTTPS_PROXY", "FLB_LOG_LEVEL"} {
		env = append(env, name+"=")
	}
	return env
}

// startPlugins starts a host with all three plugins.
func startPlugins(t *testing.T, level string) *Host {
	t.Helper()
	dir := build(t, Variant{})
	c := Config{LogLevel: level, Env: environment()}
	for _, s := range faults.Sinks {
		c.Loaders = append(c.Loaders, filepath.Join(dir, s.Plugin+".so"))
	}
	return start(t, c)
}

func initOutput(t *testing.T, h *Host, plugin string, workers int, options [][2]string) *Instance {
	t.Helper()
	m := make(map[string]string)
	for _, o := range options {
		m[o[0]] = o[1]
	}
	in, err := h.Init(plugin, m, workers)
	if err != nil {
		t.Fatalf("%v\n%s", err, h.LogText())
	}
	return in
}

// numberedChunk makes records n to m-1.
func numberedChunk(n, m int) (chunk []byte) {
	now := time.Now()
	for ; n < m; n++ {
		chunk = event(chunk, now, numberedBody(n))
	}
	return chunk
}

func numberedBody(n int) []byte {
	b := msgp.AppendMapHeader(nil, 2)
	b = msgp.AppendInt(msgp.AppendString(b, "n"), n)
	return msgp.AppendString(msgp.AppendString(b, "log"), strings.Repeat("ユーザー ", 5+n%20))
}

// event appends a record as Fluent Bit 2.1 and later write it: [[time, {}], body].
func event(chunk []byte, t time.Time, body []byte) []byte {
	chunk = msgp.AppendArrayHeader(chunk, 2)
	chunk = msgp.AppendArrayHeader(chunk, 2)
	sec, nsec := uint32(t.Unix()), uint32(t.Nanosecond())
	chunk = append(chunk, 0xd7, 0, byte(sec>>24), byte(sec>>16), byte(sec>>8), byte(sec), byte(nsec>>24), byte(nsec>>16), byte(nsec>>8), byte(nsec))
	chunk = msgp.AppendMapHeader(chunk, 0)
	return append(chunk, body...)
}

// count says how many different numbers arrived, and how many a second time.
func count(t *testing.T, records [][]byte, total int) (distinct, duplicates int) {
	t.Helper()
	seen := make([]bool, total)
	for _, r := range records {
		var v struct{ N *int }
		if err := json.Unmarshal(r, &v); err != nil || v.N == nil || *v.N < 0 || *v.N >= total {
			t.Errorf("not a record of the test: %.100s", r)
			continue
		}
		if seen[*v.N] {
			duplicates++
			continue
		}
		seen[*v.N] = true
		distinct++
	}
	return distinct, duplicates
}

// account is what an output's metrics say of its records.
type account struct{ in, sent, dropped, pending uint64 }

func (a account) String() string {
	return fmt.Sprintf("%d = %d + %d + %d", a.in, a.sent, a.dropped, a.pending)
}

func accountOf(t *testing.T, in *Instance) (a account) {
	t.Helper()
	m, err := in.Metrics()
	if err != nil {
		t.Error(err)
	}
	for series, value := range m {
		switch name, _, _ := strings.Cut(series, "{"); name {
		case "fluentbit_aws_records_in_total":
			a.in = value
		case "fluentbit_aws_records_sent_total":
			a.sent = value
		case "fluentbit_aws_records_dropped_total":
			a.dropped += value
		case "fluentbit_aws_records_pending":
			a.pending = value
		}
	}
	if a.in != a.sent+a.dropped+a.pending {
		t.Errorf("the account does not add up: %v", a)
	}
	return a
}

const (
	matrixChunks = 6
	matrixEach   = 600 // records of a chunk: two calls of Kinesis and Firehose
	matrixTotal  = matrixChunks * matrixEach
	// matrixUnit is the time of a slow answer, see faults.All.
	matrixUnit = 200 * time.Millisecond
)

// Whatever goes wrong, each record arrives, and once: save for those of calls
// whose answer was lost, of which nobody can know. And the counters say so.
func TestFaultMatrix(t *testing.T) {
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\tplugin\tworkers\tdelivered\tduplicates\tanswers lost\tin = sent + dropped + pending\tcalls\tflushes\tseconds")
	var mu sync.Mutex
	rows := make(map[string]string)
	var chunks [][]byte
	for i := range matrixChunks {
		chunks = append(chunks, numberedChunk(i*matrixEach, (i+1)*matrixEach))
	}
	all := faults.All(matrixUnit)
	began := time.Now()
	var fault sync.WaitGroup
	slots := make(chan struct{}, 4) // hosts at a time: most of them wait
	for i, f := range all {
		fault.Add(1)
		go func() {
			defer fault.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(f.Name, func(t *testing.T) {
				h := startPlugins(t, "off")
				var cells sync.WaitGroup
				for j, s := range faults.Sinks {
					for _, workers := range []int{0, 1, 4} {
						if !f.Of(s) {
							continue
						}
						aws, err := f.Start(s, awslocal.Config{Region: "us-east-2", Seed: 7})
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(aws.Close)
						in := initOutput(t, h, s.Plugin, workers, f.Output(s, aws))
						cells.Go(func() {
							row := runCell(t, f, s, aws, in, workers, chunks)
							mu.Lock()
							rows[fmt.Sprint(100+i, j, workers)] = row
							mu.Unlock()
						})
					}
				}
				cells.Wait()
			})
		}()
	}
	fault.Wait()
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for key := range rows {
			if !yield(key) {
				return
			}
		}
	}) {
		fmt.Fprintln(table, rows[key])
	}
	table.Flush()
	t.Logf("%d cells of %d records in %.1f s\n%s", len(rows), matrixTotal, time.Since(began).Seconds(), text.String())
}

// runCell has the chunks delivered as the engine does, and returns a row.
func runCell(t *testing.T, f faults.Fault, s faults.Sink, aws *awslocal.Server, in *Instance, workers int, chunks [][]byte) string {
	name := fmt.Sprintf("%s, workers %d", s.Plugin, workers)
	began := time.Now()
	flushes := 0
	var mu sync.Mutex
	deliver := func(chunks [][]byte, all *sync.WaitGroup) {
		for i, c := range chunks {
			all.Go(func() {
				result, n, err := in.Deliver(fmt.Sprint("app.", i), c, 500, 50*time.Millisecond)
				if result != delivery.OK || err != nil {
					t.Errorf("%s: after %d flushes: %v, %v", name, n, result, err)
				}
				mu.Lock()
				flushes += n
				mu.Unlock()
			})
		}
	}
	var all sync.WaitGroup
	if f.Down {
		deliver(chunks[:len(chunks)/2], &all)
		all.Wait()
		aws.DownFor(4 * matrixUnit)
		chunks = chunks[len(chunks)/2:]
	}
	deliver(chunks, &all)
	if f.Missing {
		aws.WaitRequests(s.Operation, 1, time.Minute)
		time.Sleep(matrixUnit)
		s.Make(aws)
	}
	all.Wait()
	took := time.Since(began)

	distinct, duplicates := count(t, s.Records(aws), matrixTotal)
	refused, lost := faults.Refused(aws, s), aws.LostRecords()
	a := accountOf(t, in)
	if distinct+refused != matrixTotal {
		t.Errorf("%s: %d of %d records arrived, %d were refused", name, distinct, matrixTotal, refused)
	}
	if duplicates != lost || f.Lossy == (lost == 0) {
		t.Errorf("%s: %d duplicates, and %d records of calls whose answer was lost", name, duplicates, lost)
	}
	if want := (account{uint64(matrixTotal), uint64(matrixTotal - refused), uint64(refused), 0}); a != want {
		t.Errorf("%s: the account is %v, want %v", name, a, want)
	}
	if played := aws.FaultsPlayed()[s.Operation]; (f.Set != nil) == (len(played) == 0) {
		t.Errorf("%s: faults played: %v", name, played)
	}
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%v\t%d\t%d\t%.1f", f.Name, s.Plugin, workers, distinct, duplicates, lost, a,
		aws.Counts(s.Operation).Requests, flushes, took.Seconds())
}

// corpus returns chunks that are odd: what the fuzzers of chunk and jsonenc have
// found worth keeping (testdata/odd.txt, a Go string a line), and what they may
// have found since (testdata/fuzz of those packages), as they are, as bodies of
// records, and cut and flipped.
func corpus(t *testing.T) (chunks [][]byte) {
	t.Helper()
	var values [][]byte
	text, err := os.ReadFile("testdata/odd.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		v, err := strconv.Unquote(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		values = append(values, []byte(v))
	}
	literal := regexp.MustCompile(`(?m)^\[\]byte\((".*")\)$`)
	for _, pattern := range []string{"../chunk/testdata/fuzz/*/*", "../jsonenc/testdata/fuzz/*/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range literal.FindAllSubmatch(text, -1) {
				v, err := strconv.Unquote(string(m[1]))
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				values = append(values, []byte(v))
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	for i, v := range values {
		good := numberedBody(i)
		chunks = append(chunks, v, event(nil, now, v), event(event(event(nil, now, good), now, v), now, good))
		if len(v) > 1 {
			chunks = append(chunks, v[:rng.IntN(len(v))])
			flipped := bytes.Clone(v)
			flipped[rng.IntN(len(v))] ^= 1 << rng.IntN(8)
			chunks = append(chunks, event(nil, now, flipped))
		}
	}
	return chunks
}

// Nothing that is in a chunk ends the host, holds it up, or is lost count of;
// and all that is sent of it is taken by a service that is strict about JSON.
func TestOddChunks(t *testing.T) {
	all := corpus(t)
	h := startPlugins(t, "off")
	for _, s := range faults.Sinks {
		for _, more := range [][2]string{{"", ""}, {"log_key", "log"}, {"data_keys", "log,n,kubernetes"}, {"time_key", "time"}, {"replace_dots", "-"},
			{"compression", "gzip"}, {"aggregation", "true"}, {"partition_key", "log"}, {"log_format", "json/emf"},
			{"log_stream_name", "$(log)"}, {"log_group_name", "/$(kubernetes['namespace_name'])/$(tag)"}} {
			if !takes(s, more[0]) {
				continue
			}
			chunks := all
			if more[0] != "" { // another part of them for each option
				chunks = nil
				for i := len(more[0]) % 4; i < len(all); i += 4 {
					chunks = append(chunks, all[i])
				}
			}
			t.Run(strings.TrimSpace(s.Plugin+" "+more[0]), func(t *testing.T) {
				aws, err := awslocal.Start(awslocal.Config{Region: "us-east-2", KeepRequests: -1})
				if err != nil {
					t.Fatal(err)
				}
				defer aws.Close()
				s.Make(aws)
				options := slices.DeleteFunc(faults.Fault{}.Output(s, aws), func(o [2]string) bool { return o[0] == more[0] })
				if more[0] != "" {
					options = append(options, more)
				}
				in := initOutput(t, h, s.Plugin, 4, options)
				results := make(map[delivery.Result]int)
				var mu sync.Mutex
				var flushes sync.WaitGroup
				queue := make(chan []byte)
				for range 8 {
					flushes.Go(func() {
						for c := range queue {
							result, err := in.Flush("odd", c)
							if err != nil {
								t.Errorf("chunk %q: %v", c, err)
							}
							mu.Lock()
							results[result]++
							mu.Unlock()
						}
					})
				}
				for _, c := range chunks {
					queue <- c
				}
				close(queue)
				flushes.Wait()
				m, err := in.Metrics()
				if err != nil {
					t.Fatal(err)
				}
				a := accountOf(t, in)
				if a.pending != 0 || results[delivery.Retry] > 0 {
					t.Errorf("%d records are pending, the results are %v", a.pending, results)
				}
				for series, value := range m {
					if strings.Contains(series, "refused}") && value > 0 {
						t.Errorf("%d records are refused by the service", value)
					}
				}
				if sent := uint64(s.Total(aws)); more[0] != "aggregation" && a.sent != sent {
					t.Errorf("the account is %v, the service has %d", a, sent)
				}
				if a.sent == 0 || a.dropped == 0 || results[delivery.OK] == 0 || results[delivery.Error] == 0 {
					t.Errorf("the account is %v, the results are %v: not odd enough", a, results)
				}
				t.Logf("%d chunks: %v, account %v", len(chunks), results, a)
				if err := in.Exit(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// takes says whether a plugin has an option.
func takes(s faults.Sink, option string) bool {
	switch option {
	case "log_group_name", "log_stream_name", "log_format":
		return s.Plugin == "cloudwatch"
	case "aggregation", "partition_key":
		return s.Plugin == "kinesis"
	case "data_keys", "time_key", "replace_dots", "compression":
		return s.Plugin != "cloudwatch"
	}
	return true
}

// Outputs that were made, used and exited leave nothing behind: no thread, no
// connection, no memory. Every second chunk is given back, so that the ledger is
// in use at the exit.
func TestUsedOutputsLeaveNothing(t *testing.T) {
	rounds, part := 400, 100
	if testing.Short() {
		rounds, part = 40, 10
	}
	aws, err := awslocal.Start(awslocal.Config{Region: "us-east-2", KeepRequests: -1, Discard: true,
		KinesisStreams: map[string]int{"e2e": 4}, DeliveryStreams: []string{"e2e"}})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	h := startPlugins(t, "off")
	chunk := numberedChunk(0, 500)
	var usage []Usage
	for i := range rounds {
		s := faults.Sinks[i%len(faults.Sinks)]
		options := append(faults.Fault{}.Output(s, aws), [2]string{"retry_budget", "0"})
		in := initOutput(t, h, s.Plugin, i%3, options)
		want := delivery.OK
		if i%2 == 1 {
			want = delivery.Retry
			aws.Script(s.Operation, awslocal.Fault{Kind: awslocal.AccessDenied})
		}
		if got, err := in.Flush("app", chunk); got != want || err != nil {
			t.Fatalf("round %d, %s: got %v, %v, want %v", i, s.Plugin, got, err, want)
		}
		if err := in.Exit(); err != nil {
			t.Fatal(err)
		}
		if (i+1)%part == 0 {
			u, err := h.Usage()
			if err != nil {
				t.Fatal(err)
			}
			usage = append(usage, u)
		}
	}
	for i, u := range usage {
		t.Logf("after %d rounds %+v", (i+1)*part, u)
	}
	first, last := usage[0], usage[len(usage)-1]
	// The collector lets a small heap double before it looks.
	if last.Anonymous > first.Anonymous+6<<20 {
		t.Errorf("anonymous memory grew from %d to %d bytes", first.Anonymous, last.Anonymous)
	}
	// Go starts one more thread whenever all others are held in system calls, on a
	// busy machine at any round; one left behind by each tenth output would be 30.
	if last.Threads > first.Threads+8 || last.Files > first.Files+2 {
		t.Errorf("threads grew from %d to %d, open files from %d to %d", first.Threads, last.Threads, first.Files, last.Files)
	}
}

// Three outputs of each plugin with eight workers, faults, and an exit while the
// others go on: the race detector finds nothing in all of it.
func TestPluginsUnderRaceDetector(t *testing.T) {
	if testing.Short() || runtime.NumCPU() < 2 {
		t.Skip("builds the library a second time")
	}
	dir := build(t, Variant{Probe: true, Race: true}) // the one that TestRaceDetector builds
	c := Config{Race: true, LogLevel: "error", Env: environment()}
	for _, s := range faults.Sinks {
		c.Loaders = append(c.Loaders, filepath.Join(dir, s.Plugin+".so"))
	}
	h := start(t, c)
	var chunks [][]byte
	for i := range 8 {
		chunks = append(chunks, numberedChunk(i*150, (i+1)*150))
	}
	total := len(chunks) * 150
	var all sync.WaitGroup
	for i := range 3 {
		for _, s := range faults.Sinks {
			aws, err := awslocal.Start(awslocal.Config{Region: "us-east-2", Seed: uint64(i)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(aws.Close)
			s.Make(aws)
			aws.SetFaults(s.Operation, []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.2}, {Kind: awslocal.Reset, Probability: 0.1},
				{Kind: awslocal.ExpiredToken, Probability: 0.1}, {Kind: awslocal.Partial, Rate: 0.2, Probability: 0.3}})
			f := faults.Fault{Renewed: true, Options: [][2]string{{"retry_budget", "1s"}}}
			in := initOutput(t, h, s.Plugin, 8, f.Output(s, aws))
			all.Go(func() {
				var deliveries sync.WaitGroup
				for j, chunk := range chunks {
					deliveries.Go(func() {
						if result, n, err := in.Deliver(fmt.Sprint("app.", j), chunk, 500, 10*time.Millisecond); result != delivery.OK || err != nil {
							t.Errorf("%s: after %d flushes: %v, %v", s.Plugin, n, result, err)
						}
					})
				}
				deliveries.Wait()
				if distinct, duplicates := count(t, s.Records(aws), total); distinct != total || duplicates != 0 {
					t.Errorf("%s: %d of %d records arrived, %d a second time", s.Plugin, distinct, total, duplicates)
				}
				if a := accountOf(t, in); a != (account{uint64(total), uint64(total), 0, 0}) {
					t.Errorf("%s: the account is %v", s.Plugin, a)
				}
				if err := in.Exit(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
}
