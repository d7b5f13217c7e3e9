//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/faults"
)

// outage is how long the endpoint is down: MATRIX_OUTAGE, or 10 s.
func outage(t *testing.T) time.Duration {
	text := os.Getenv("MATRIX_OUTAGE")
	if text == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("MATRIX_OUTAGE: %v", err)
	}
	return d
}

const (
	matrixRecords = 12_000
	matrixParts   = 12 // files, and so at least as many chunks
	// matrixUnit is the time of a slow answer, see faults.All.
	matrixUnit = 500 * time.Millisecond
	// missingFor is how long a stream is not there.
	missingFor = 3 * time.Second
	// scrapeEvery is how often Fluent Bit copies the metrics for its endpoint
	// (src/flb_metrics_exporter.c).
	scrapeEvery = time.Second
	// inParallel is how many fluent-bits run at a time. They wait more than they work.
	inParallel = 4
)

var matrixTable = newTable(fmt.Sprintf("the fault matrix: %d records under fluent-bit; lost: neither delivered nor counted as dropped;\nanswers lost: records of calls that were processed and not answered; account: what the metrics say at the end", matrixRecords),
	"fault", "plugin", "workers", "delivered", "duplicates", "answers lost", "dropped", "lost", "seconds", "account: in = sent + dropped + pending", "resent", "skipped", "throttled", "failed", "given back", "calls")

// Whatever goes wrong, each record arrives, and once: save for those of calls
// whose answer was lost, of which nobody can know. And the counters say so.
func TestFaultMatrix(t *testing.T) {
	all := writeParts(t, matrixParts, matrixRecords)
	var jobs []job
	for _, f := range faults.All(matrixUnit) {
		for _, s := range faults.Sinks {
			for _, workers := range []int{0, 1, 4} {
				if f.Of(s) {
					jobs = append(jobs, job{fmt.Sprintf("%s/%s/workers=%d", f.Name, s.Plugin, workers),
						func(t *testing.T) { runFault(t, all, f, s, workers) }})
				}
			}
		}
	}
	began := time.Now()
	inParallelOf(t, inParallel, jobs)
	matrixTable.sort()
	t.Logf("%d cells in %.0f s, %d at a time", len(jobs), time.Since(began).Seconds(), inParallel)
}

func runFault(t *testing.T, n numbered, f faults.Fault, s faults.Sink, workers int) {
	aws, err := f.Start(s, awslocal.Config{Region: "us-east-2", RefuseUnknownKeys: true, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(aws.Close)
	more := func() {}
	if f.Down {
		n, more = n.inHalves(t)
	}
	output := []string{"Name " + s.Plugin, "Match *", "Retry_Limit no_limits", fmt.Sprintf("workers %d", workers)}
	for _, o := range f.Output(s, aws) {
		output = append(output, o[0]+" "+o[1])
	}
	name := s.Plugin + ".0"
	began := time.Now()
	p := start(t, run{service: n.service(), plugins: []string{filepath.Join(bin, s.Plugin+".so")},
		config: n.input("app.*") + section("OUTPUT", output...)})
	switch {
	case f.Down:
		// With their answers: those are not to be among what gets lost.
		p.wait("half of the records are delivered", 30*time.Second, func() bool { return p.account(name).sent >= n.records/2 })
		aws.DownFor(outage(t))
		more()
	case f.Missing:
		p.wait("a call found it missing", 30*time.Second, func() bool { return aws.Counts(s.Operation).Requests > 0 })
		time.Sleep(missingFor)
		s.Make(aws)
	}
	var a account
	p.wait("all records are accounted for", 2*time.Minute+outage(t), func() bool {
		time.Sleep(200 * time.Millisecond)
		a = p.account(name)
		if !a.adds() {
			// Fluent Bit may copy the metrics in the middle of their being set, one by
			// one; but not twice in a row.
			time.Sleep(scrapeEvery)
			if a = p.account(name); !a.adds() {
				t.Errorf("the account does not add up: %v", a)
				return true
			}
		}
		return a.in == n.records && a.pending == 0
	})
	took := lastSuccess(aws, s.Operation).Sub(began)
	m := p.prometheus()
	p.stop(30 * time.Second)

	got := n.checkTexts(s.Records(aws))
	dropped, lostAnswers := faults.Refused(aws, s), aws.LostRecords()
	lost := n.records - got.distinct - a.dropped
	of := func(series string) int { return int(m[fmt.Sprintf("fluentbit_%s{name=%q}", series, name)]) }
	matrixTable.add(f.Name, s.Plugin, workers, got.distinct, got.duplicates, lostAnswers, a.dropped, lost, fmt.Sprintf("%.1f", took.Seconds()), a,
		of("aws_records_resent_total"), of("aws_records_skipped_total"), of("aws_throttled_total"), of("aws_requests_failed_total"),
		of("aws_chunks_retried_total"), of("aws_requests_total"))

	if lost != 0 || len(got.wrong) > 0 {
		t.Errorf("%d of %d records are lost: %v", lost, n.records, got)
	}
	if got.duplicates != lostAnswers {
		t.Errorf("%d duplicates, and %d records of calls whose answer was lost", got.duplicates, lostAnswers)
	}
	if f.Lossy == (lostAnswers == 0) {
		t.Errorf("%d records of calls whose answer was lost", lostAnswers)
	}
	if a.dropped != dropped || a.sent != n.records-dropped {
		t.Errorf("the account is %v, want %d dropped", a, dropped)
	}
	if said := p.lastAccount(name); said != a {
		t.Errorf("the last account in the log is %v, the metrics said %v", said, a)
	}
	for _, series := range []string{"output_dropped_records_total", "output_retries_failed_total"} {
		if of(series) != 0 {
			t.Errorf("fluent-bit's %s is %d", series, of(series))
		}
	}
	if played := aws.FaultsPlayed()[s.Operation]; (f.Set != nil) == (len(played) == 0) {
		t.Errorf("faults played: %v", played)
	}
	if lines := slices.DeleteFunc(p.problems(), ownLine); len(lines) > 12 {
		t.Errorf("%d lines of errors and warnings: %q", len(lines), lines)
	}
}

// ownLine says that a line is not from a plugin of ours.
func ownLine(line string) bool {
	return !strings.HasPrefix(line, "[output:") && !strings.HasPrefix(line, "[aws-for-fluent-bit]")
}

// lastSuccess is when the last call came that the service accepted.
func lastSuccess(aws *awslocal.Server, operation string) (last time.Time) {
	for _, r := range aws.Requests(operation) {
		if r.Accepted > 0 && r.Time.After(last) {
			last = r.Time
		}
	}
	return last
}

// account is what an output says of its records.
type account struct{ in, sent, dropped, pending int }

func (a account) String() string {
	return fmt.Sprintf("%d = %d + %d + %d", a.in, a.sent, a.dropped, a.pending)
}

func (a account) adds() bool { return a.in == a.sent+a.dropped+a.pending }

// account reads the metrics of an output.
func (p *process) account(name string) (a account) {
	own := fmt.Sprintf("{name=%q", name)
	for series, value := range p.prometheus() {
		metric, labels, _ := strings.Cut(series, "{")
		if !strings.HasPrefix("{"+labels, own+",") && "{"+labels != own+"}" {
			continue
		}
		switch metric {
		case "fluentbit_aws_records_in_total":
			a.in = int(value)
		case "fluentbit_aws_records_sent_total":
			a.sent = int(value)
		case "fluentbit_aws_records_dropped_total": // one for each reason
			a.dropped += int(value)
		case "fluentbit_aws_records_pending":
			a.pending = int(value)
		}
	}
	return a
}

var (
	accountLine = regexp.MustCompile(`^\[output:\w+:([^\]]+)\] account: in (\d+), sent (\d+)(.*)$`)
	accountItem = regexp.MustCompile(`, (dropped \w+|pending) (\d+)`)
)

// lastAccount is the account that an output said last, at its end.
func (p *process) lastAccount(name string) account {
	all := p.accounts(name)
	if len(all) == 0 {
		p.t.Errorf("%s has said no account", name)
		return account{}
	}
	return all[len(all)-1]
}

// accounts are those that an output has said.
func (p *process) accounts(name string) (all []account) {
	for _, line := range p.said("info") {
		m := accountLine.FindStringSubmatch(line)
		if m == nil || m[1] != name {
			continue
		}
		a := account{in: number(m[2]), sent: number(m[3])}
		for _, item := range accountItem.FindAllStringSubmatch(m[4], -1) {
			if item[1] == "pending" {
				a.pending = number(item[2])
			} else {
				a.dropped += number(item[2])
			}
		}
		all = append(all, a)
	}
	return all
}

// number reads digits that a pattern has found.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// writeParts writes records as writeNumbered does, into several files: each has
// a tag of its own, and so chunks of its own.
func writeParts(t *testing.T, parts, records int) numbered {
	t.Helper()
	n := writeNumbered(t, records)
	lines, err := os.ReadFile(n.file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writers := make([]*bufio.Writer, parts)
	for i := range writers {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("part-%02d.log", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		writers[i] = bufio.NewWriter(f)
	}
	i := 0
	for line := range strings.Lines(string(lines)) {
		if _, err := writers[i*parts/records].WriteString(line); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for _, w := range writers {
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	n.file = filepath.Join(dir, "*.log")
	return n
}

// inHalves is the same records, of which the second half comes when more is called.
func (n numbered) inHalves(t *testing.T) (_ numbered, more func()) {
	t.Helper()
	files, err := filepath.Glob(n.file)
	if err != nil || len(files) < 2 {
		t.Fatalf("%v of %s: %v", files, n.file, err)
	}
	dir := t.TempDir()
	link := func(files []string) {
		for _, f := range files {
			if err := os.Link(f, filepath.Join(dir, filepath.Base(f))); err != nil {
				t.Fatal(err)
			}
		}
	}
	link(files[:len(files)/2])
	n.file = filepath.Join(dir, "*.log\n    Refresh_Interval 1")
	return n, func() { link(files[len(files)/2:]) }
}

// job is a test to run beside others.
type job struct {
	name string
	run  func(*testing.T)
}

// inParallelOf runs jobs as subtests, n at a time, in their order.
func inParallelOf(t *testing.T, n int, jobs []job) {
	queue := make(chan job)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for j := range queue {
				t.Run(j.name, j.run)
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	all.Wait()
}

// sort puts rows that came from tests in parallel in the order of their first
// three cells.
func (t *table) sort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.rows, func(a, b []string) int { return slices.Compare(a[:min(3, len(a))], b[:min(3, len(b))]) })
}

var instancesTable = newTable("three instances of each plugin in one process; every call by chance throttled or failing",
	"workers", "records", "instances", "delivered", "duplicates", "calls throttled", "calls failed", "seconds", "threads", "RSS MB")

// One worker has many flushes under way, as with Fluent Bit's own outputs: what
// waits for an answer does not hold up the chunks of other tags. Those of one tag
// keep their order.
func TestFlushesShareAWorker(t *testing.T) {
	const records, files = 6_000, 30
	n := writeParts(t, files, records)
	aws := awsForSinks(t, awslocal.Config{Latency: 300 * time.Millisecond})
	p := start(t, run{service: n.service(), config: n.input("app.*") + section("OUTPUT", "Name cloudwatch", "Match *", "region us-east-2",
		"endpoint "+aws.URL, "log_group_name g", "log_stream_prefix s-", "auto_create_group on", "workers 1")})
	p.wait("all records have arrived", time.Minute, func() bool {
		return aws.Logs().Total() >= records
	})
	if said := p.said("warn", "error"); len(said) > 0 {
		t.Errorf("the log has %q", said)
	}
	p.stop(20 * time.Second)
	streams := aws.Logs().Streams()
	if a := n.checkEvents(streams...); !a.whole(n) || a.disorder > 0 || len(streams) != files {
		t.Errorf("%v in %d streams, %d out of order", a, len(streams), a.disorder)
	}
	if a := p.lastAccount("cloudwatch.0"); a != (account{in: records, sent: records}) {
		t.Errorf("the account is %v", a)
	}
	calls := aws.Requests("PutLogEvents")
	if most := atATime(calls); most < 10 {
		t.Errorf("%d calls at a time, of %d", most, len(calls))
	}
}

// TestFirstFlush: a thread's first flush leaves it to the others, too.
func TestFirstFlush(t *testing.T) {
	const records, files = 600, 3
	n := writeParts(t, files, records)
	aws := awsForSinks(t, awslocal.Config{Latency: time.Second})
	p := start(t, run{service: n.service(), plugins: []string{firehoseSink.loader()}, config: n.input("app.*") + firehoseSink.output(aws, "workers 1", "concurrency 1")})
	p.wait("all records have arrived", time.Minute, func() bool { return firehoseSink.total(aws) >= records })
	p.stop(20 * time.Second)
	if a := n.checkTexts(firehoseSink.records(aws)); !a.whole(n) {
		t.Errorf("of %d records arrived: %v", records, a)
	}
	calls := aws.Requests(firehoseSink.operation)
	slices.SortFunc(calls, func(a, b *awslocal.Request) int { return a.Time.Compare(b.Time) })
	if len(calls) < 2 || !calls[1].Time.Before(calls[0].Time.Add(calls[0].Took)) {
		t.Errorf("of %d calls the second waits for the first", len(calls))
	}
}

// TestChunksOfATag: one file alone fills chunk after chunk. Several of them are under way
// with a service that takes its time, where the order lets them; and with one worker the
// events of CloudWatch Logs are shown in theirs.
func TestChunksOfATag(t *testing.T) {
	const records = 60_000
	n := writeNumbered(t, records)
	all, one, some := []sink{cloudwatchSink, kinesisSink, firehoseSink}, func(n int) bool { return n == 1 }, func(n int) bool { return n > 4 }
	for options, want := range map[string]struct {
		sinks  []sink
		enough func(int) bool
	}{
		"workers 1\nconcurrency 4": {all, some}, // more than of one chunk
		"workers 1\nconcurrency 1": {all, one},
		"workers 2":                {[]sink{cloudwatchSink}, func(n int) bool { return n > 2 }},
	} {
		enough := want.enough
		for _, s := range want.sinks {
			t.Run(s.plugin+", "+strings.ReplaceAll(options, "\n", ", "), func(t *testing.T) {
				aws := awsForSinks(t, awslocal.Config{Latency: 60 * time.Millisecond})
				// Their times are those of being read: many of one millisecond.
				input := section("INPUT", "Name tail", "Tag app.log", "Path "+n.file, "Read_from_Head On", "Buffer_Chunk_Size 512K", "Buffer_Max_Size 1M")
				p := start(t, run{service: n.service(), plugins: []string{s.loader()}, config: input + s.output(aws, append(strings.Split(options, "\n"), "log_key log")...)})
				p.wait("all records have arrived", time.Minute, func() bool { return s.total(aws) >= records })
				p.stop(20 * time.Second)
				if a := n.checkTexts(s.records(aws)); !a.whole(n) {
					t.Errorf("of %d records arrived: %v", records, a)
				}
				if most := atATime(aws.Requests(s.operation)); !enough(most) {
					t.Errorf("%d calls at a time", most)
				}
				if a := n.checkEvents(aws.Logs().Streams()...); a.disorder > 0 && !strings.HasPrefix(options, "workers 2") {
					t.Errorf("%d events are shown behind a later one", a.disorder)
				}
			})
		}
	}
}

// Several outputs of each plugin in one process have the same workers at work
// on the same chunks, and each delivers all of them once.
func TestManyInstances(t *testing.T) {
	const records = 6_000
	n := writeParts(t, 6, records)
	for _, workers := range []int{1, 4, 8} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			type output struct {
				sink
				aws  *awslocal.Server
				name string
			}
			var outputs []output
			config := n.input("app.*")
			for i := range 3 {
				for _, s := range []sink{cloudwatchSink, kinesisSink, firehoseSink} {
					aws := awsForSinks(t, awslocal.Config{Seed: uint64(i)})
					aws.SetFaults(s.operation, []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.2}, {Kind: awslocal.Error, Probability: 0.1},
						{Kind: awslocal.Partial, Rate: 0.1, Probability: 0.2}})
					outputs = append(outputs, output{s, aws, fmt.Sprintf("%s-%d", s.plugin, i)})
					config += s.output(aws, fmt.Sprintf("workers %d", workers), fmt.Sprintf("Alias %s-%d", s.plugin, i))
				}
			}
			began := time.Now()
			p := start(t, run{service: n.service(), config: config})
			p.wait("all outputs have accounted for all records", 2*time.Minute, func() bool {
				time.Sleep(200 * time.Millisecond)
				return !slices.ContainsFunc(outputs, func(o output) bool {
					a := p.account(o.name)
					return a.in != records || a.pending != 0
				})
			})
			took := time.Since(began)
			usage := p.usage()
			p.stop(30 * time.Second)
			delivered, duplicates := 0, 0
			played := make(map[awslocal.Kind]int)
			for _, o := range outputs {
				a := n.checkTexts(o.records(o.aws))
				delivered, duplicates = delivered+a.distinct, duplicates+a.duplicates
				if !a.whole(n) {
					t.Errorf("%s: %v", o.name, a)
				}
				if a := p.lastAccount(o.name); a != (account{in: records, sent: records}) {
					t.Errorf("%s: the account is %v", o.name, a)
				}
				for kind, n := range o.aws.FaultsPlayed()[o.operation] {
					played[kind] += n
				}
			}
			instancesTable.add(workers, records, len(outputs), delivered, duplicates, played[awslocal.Throttle], played[awslocal.Error],
				fmt.Sprintf("%.1f", took.Seconds()), usage.threads, fmt.Sprintf("%.1f", usage.rss))
		})
	}
}

// usage is what /proc says of a process.
type usage struct {
	rss     float64 // MB
	threads int
	files   int
}

func (p *process) usage() (u usage) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		p.t.Fatalf("cannot read what fluent-bit uses: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		switch name {
		case "VmRSS":
			u.rss = float64(number(digits)) / 1024
		case "Threads":
			u.threads = number(digits)
		}
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		p.t.Fatalf("cannot read what fluent-bit uses: %v", err)
	}
	u.files = len(files)
	return u
}

var missingKeyTable = newTable("100,000 records without the key that an option names: lines of the log",
	"plugin", "option", "delivered", "lines")

// A fault that all records have is said a few times, not a hundred thousand.
func TestMissingKeyIsSaidSeldom(t *testing.T) {
	const records = 100_000
	n := writeNumbered(t, records)
	for _, c := range []struct {
		sink
		option, metric string
		delivered      int
	}{
		{cloudwatchSink, "log_stream_name $(kubernetes['pod_name'])", "records_default_name_total", records},
		{cloudwatchSink, "log_key nothing", `records_dropped_total:missing_key`, 0},
		{kinesisSink, "partition_key nothing", "records_random_key_total", records},
		{kinesisSink, "log_key nothing", "records_dropped_total:missing_key", 0},
		{firehoseSink, "log_key nothing", "records_dropped_total:missing_key", 0},
	} {
		t.Run(c.plugin+","+c.option, func(t *testing.T) {
			aws := awsForSinks(t, awslocal.Config{})
			s := c.sink
			s.options = slices.DeleteFunc(slices.Clone(s.options), func(o string) bool { return sameOption(o, c.option) })
			p := start(t, run{service: n.service(), plugins: []string{s.loader()}, config: n.input("app.log") + s.output(aws, c.option, "workers 2")})
			name := s.plugin + ".0"
			p.wait("all records are accounted for", time.Minute, func() bool {
				a := p.account(name)
				return a.in == records && a.pending == 0
			})
			metric, reason, ok := strings.Cut(c.metric, ":")
			series := fmt.Sprintf("fluentbit_aws_%s{name=%q}", metric, name)
			if ok {
				series = fmt.Sprintf("fluentbit_aws_%s{name=%q,reason=%q}", metric, name, reason)
			}
			if got := p.prometheus()[series]; got != records {
				t.Errorf("%s is %v", series, got)
			}
			p.stop(20 * time.Second)
			if got := s.total(aws); got != c.delivered {
				t.Errorf("%d records arrived, want %d", got, c.delivered)
			}
			lines := slices.DeleteFunc(p.problems(), ownLine)
			missingKeyTable.add(c.plugin, c.option, s.total(aws), len(lines))
			if len(lines) == 0 || len(lines) > 5 {
				t.Errorf("%d lines: %q", len(lines), lines)
			}
		})
	}
}

// sameOption says that two lines set the same option.
func sameOption(a, b string) bool {
	return strings.Fields(a)[0] == strings.Fields(b)[0]
}

// The dashboard names no metric that this fluent-bit does not have.
func TestDashboardMetricsExist(t *testing.T) {
	text, err := os.ReadFile("../deploy/grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	n := writeNumbered(t, 100)
	aws := awsForSinks(t, awslocal.Config{})
	p := start(t, run{service: n.service(), config: n.input("app.log") + cloudwatchSink.output(aws, "workers 1")})
	p.wait("records are shown", time.Minute, func() bool { return p.account("cloudwatch.0").sent == 100 })
	page, err := p.get("/api/v2/metrics/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	p.stop(20 * time.Second)
	shown := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^(fluentbit_\w+)[ {]`).FindAllStringSubmatch(page, -1) {
		shown[m[1]] = true
	}
	named := regexp.MustCompile(`\bfluentbit_\w+`).FindAllString(string(text), -1)
	if len(named) == 0 {
		t.Error("the dashboard names no metrics")
	}
	for _, metric := range named {
		if !shown[metric] {
			t.Errorf("fluent-bit does not show %s", metric)
		}
	}
}
