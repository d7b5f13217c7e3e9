//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// numbered is a log file whose records carry a running number and a time of
// their own, a millisecond apart.
type numbered struct {
	file    string
	parsers string
	records int
	begin   time.Time
}

// writeNumbered writes records lines of about 200 bytes.
func writeNumbered(t *testing.T, records int) numbered {
	t.Helper()
	dir := t.TempDir()
	n := numbered{filepath.Join(dir, "app.log"), filepath.Join(dir, "parsers.conf"), records,
		time.Now().Add(-time.Duration(records) * time.Millisecond).UTC().Truncate(time.Millisecond)}
	parser := section("PARSER", "Name json_time", "Format json", "Time_Key time", "Time_Format %Y-%m-%dT%H:%M:%S.%L%z", "Time_Keep On")
	if err := os.WriteFile(n.parsers, []byte(parser), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(n.file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range records {
		fmt.Fprintf(w, `{"time":"%s","n":%d,"level":"info","service":"user-service","message":%q,"padding":"%s"}`+"\n",
			n.at(i).Format("2006-01-02T15:04:05.000Z"), i, numberedMessage(i), strings.Repeat("x", 60+i%40))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// numberedMessage is the text of record i.
func numberedMessage(i int) string {
	return fmt.Sprintf("ユーザーが登録されました \"%d\" <ok> & done", i)
}

// at is the time of record i.
func (n numbered) at(i int) time.Time { return n.begin.Add(time.Duration(i) * time.Millisecond) }

// input is the [INPUT] that reads the file once.
func (n numbered) input(tag string) string {
	return section("INPUT", "Name tail", "Tag "+tag, "Path "+n.file, "Parser json_time", "Read_from_Head On",
		"Buffer_Chunk_Size 512K", "Buffer_Max_Size 1M")
}

// service are the lines of [SERVICE] that the input needs.
func (n numbered) service() string {
	return "Parsers_File " + n.parsers + "\nscheduler.base 1\nscheduler.cap 3"
}

// arrived is what some records hold against the file.
type arrived struct {
	distinct, duplicates int
	wrong                []string // at most a few
	disorder             int      // events that are shown behind one which was written after them
	seen                 []bool
}

// whole says that everything is there, once, and as it was written.
func (a *arrived) whole(n numbered) bool {
	return a.distinct == n.records && a.duplicates == 0 && len(a.wrong) == 0
}

func (a *arrived) String() string {
	return fmt.Sprintf("%d distinct records, %d duplicates, wrong %q", a.distinct, a.duplicates, a.wrong)
}

// checkEvents looks at log streams, as the service gives their events out: by time, and
// those of one millisecond as they arrived.
func (n numbered) checkEvents(streams ...*awslocal.LogStream) *arrived {
	a := &arrived{seen: make([]bool, n.records)}
	for _, st := range streams {
		last := 0
		for _, e := range st.ByTime() {
			i, ok := a.record(e.Message)
			if !ok {
				continue
			}
			if e.Timestamp != n.at(i).UnixMilli() {
				a.note("record %d has the time %d, its own is %d", i, e.Timestamp, n.at(i).UnixMilli())
			}
			if i < last {
				a.disorder++
			}
			last = max(last, i)
		}
	}
	return a
}

// checkTexts looks at the data of records.
func (n numbered) checkTexts(records [][]byte) *arrived {
	a := &arrived{seen: make([]bool, n.records)}
	for _, r := range records {
		a.record(string(r))
	}
	return a
}

// record counts a record, and returns its number.
func (a *arrived) record(text string) (i int, ok bool) {
	var r struct {
		N       *int
		Message string
	}
	err := json.Unmarshal([]byte(text), &r)
	if err != nil || r.N == nil || *r.N < 0 || *r.N >= len(a.seen) || r.Message != numberedMessage(*r.N) {
		a.note("not a record of the file: %.200s", text)
		return 0, false
	}
	if a.seen[*r.N] {
		a.duplicates++
		return *r.N, true
	}
	a.seen[*r.N] = true
	a.distinct++
	return *r.N, true
}

func (a *arrived) note(format string, args ...any) {
	if len(a.wrong) < 5 {
		a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
	}
}

// cloudwatchOutput is an [OUTPUT] for aws, as the README's first example has it.
func cloudwatchOutput(aws *awslocal.Server, more ...string) string {
	return section("OUTPUT", append([]string{"Name cloudwatch", "Match *", "region us-east-2", "log_group_name fluentbit-cloudwatch",
		"log_stream_prefix fluentbit-", "auto_create_group true", "endpoint " + aws.URL, "Retry_Limit no_limits"}, more...)...)
}

func startAWS(t *testing.T, cfg awslocal.Config) *awslocal.Server {
	t.Helper()
	cfg.Region, cfg.RefuseUnknownKeys = "us-east-2", true
	aws, err := awslocal.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(aws.Close)
	return aws
}

// problems are the lines of the log that a run without any must not have.
func (p *process) problems() []string { return p.said("error", "warn") }

// harmless are warnings that Fluent Bit itself says at every stop.
func harmless(line string) bool { return strings.HasPrefix(line, "[engine] service will shutdown") }

var tailTable = newTable("tail of 100,000 records into CloudWatch Logs",
	"workers", "throttled", "delivered", "duplicates", "out of order", "calls", "calls throttled", "seconds", "CPU s")

// Everything there, exactly once, each event at its record's own time, and in
// order; with one worker in the order of the file even as it comes in, with
// several in the order of time, which is how the service gives events out.
func TestTail(t *testing.T) {
	const records = 100_000
	n := writeNumbered(t, records)
	for _, c := range []struct {
		workers  int
		throttle float64
	}{{1, 0}, {4, 0}, {1, 0.3}, {4, 0.3}} {
		t.Run(fmt.Sprintf("workers=%d,throttled=%.0f%%", c.workers, 100*c.throttle), func(t *testing.T) {
			aws := startAWS(t, awslocal.Config{Seed: 1})
			if c.throttle > 0 {
				aws.SetFaults("PutLogEvents", []awslocal.Fault{{Kind: awslocal.Throttle, Probability: c.throttle}})
			}
			began := time.Now()
			p := start(t, run{
				service: n.service(),
				config:  n.input("app.log") + cloudwatchOutput(aws, fmt.Sprintf("workers %d", c.workers)),
				plugins: []string{filepath.Join(bin, "cloudwatch.so")},
			})
			p.wait("all records have arrived", 2*time.Minute, func() bool { return aws.Logs().Total() >= records })
			took := time.Since(began)
			p.stop(20 * time.Second)

			a := n.checkEvents(aws.Logs().Streams()...)
			counts := aws.Counts("PutLogEvents")
			tailTable.add(c.workers, fmt.Sprintf("%.0f%%", 100*c.throttle), a.distinct, a.duplicates, a.disorder,
				counts.Requests, aws.FaultsPlayed()["PutLogEvents"][awslocal.Throttle],
				fmt.Sprintf("%.1f", took.Seconds()), fmt.Sprintf("%.2f", p.cpu().Seconds()))
			if !a.whole(n) {
				t.Errorf("of %d records arrived: %v", records, a)
			}
			if c.workers == 1 && a.disorder > 0 {
				t.Errorf("%d events are shown behind a later one", a.disorder)
			}
			if len(aws.Logs().Streams()) != 1 {
				t.Errorf("%d streams, want 1", len(aws.Logs().Streams()))
			}
			if errs := p.said("error"); len(errs) > 0 {
				t.Errorf("the log has errors: %q", errs)
			}
			warned := slices.DeleteFunc(p.said("warn"), harmless)
			if c.throttle == 0 && len(warned) > 0 {
				t.Errorf("the log has warnings: %q", warned)
			}
			if len(warned) > 20 {
				t.Errorf("the log has %d warnings for %d throttled calls: they are to be counted, not repeated", len(warned), counts.Requests)
			}
			account := fmt.Sprintf("account: in %d, sent %d", records, records)
			if !slices.ContainsFunc(p.said("info"), func(l string) bool { return strings.Contains(l, account) }) {
				t.Errorf("the log has no line %q", account)
			}
		})
	}
}

// A configuration that cannot work stops the start, and the log says which
// option it is.
func TestBadConfiguration(t *testing.T) {
	aws := startAWS(t, awslocal.Config{})
	f := func(name string, lines []string, want ...string) {
		t.Run(name, func(t *testing.T) {
			p := start(t, run{
				plugins: []string{filepath.Join(bin, "cloudwatch.so")},
				config: section("INPUT", "Name dummy") +
					section("OUTPUT", append([]string{"Name cloudwatch", "Match *", "endpoint " + aws.URL}, lines...)...),
			})
			if code := p.end(20 * time.Second); code == 0 {
				t.Errorf("fluent-bit ended with status 0")
			}
			errs := strings.Join(p.said("error"), "\n")
			for _, w := range want {
				if !strings.Contains(errs, w) {
					t.Errorf("no error line has %q", w)
				}
			}
		})
	}
	good := []string{"region us-east-2", "log_group_name g", "log_stream_prefix p-"}
	f("no region", good[1:], "option region")
	f("no group", []string{good[0], good[2]}, "option log_group_name")
	f("no stream", good[:2], "log_stream_name", "log_stream_prefix")
	f("retention", append(good[:3:3], "log_retention_days 8"), "option log_retention_days", `"8"`, "1, 3, 5, 7, 14")
	f("two at once", append(good[:3:3], "auto_create_group maybe", "retry_budget soon"),
		`option auto_create_group: cannot use "maybe"`, `option retry_budget: cannot use "soon"`)
	if n := len(aws.Requests("")); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// A loader without the library beside it cannot be loaded, and the message names
// what is missing.
func TestMissingLibrary(t *testing.T) {
	dir := t.TempDir()
	loader := filepath.Join(dir, "cloudwatch.so")
	so, err := os.ReadFile(filepath.Join(bin, "cloudwatch.so"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(loader, so, 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, run{plugins: []string{loader}, config: section("INPUT", "Name dummy") +
		section("OUTPUT", "Name cloudwatch", "Match *", "region us-east-2", "log_group_name g", "log_stream_prefix p-")})
	if code := p.end(20 * time.Second); code == 0 {
		t.Error("fluent-bit ended with status 0")
	}
	if !strings.Contains(p.log.String(), "libaws-for-fluent-bit.so") {
		t.Error("the log does not name libaws-for-fluent-bit.so")
	}
}

// Two outputs of one plugin get what each matches, and keep their own accounts.
func TestTwoInstances(t *testing.T) {
	const records = 20_000
	n := writeNumbered(t, records)
	aws := startAWS(t, awslocal.Config{})
	output := func(alias, match, group string) string {
		return section("OUTPUT", "Name cloudwatch", "Alias "+alias, "Match "+match, "workers 2", "region us-east-2",
			"log_group_name "+group, "log_stream_name all", "auto_create_group true", "endpoint "+aws.URL, "Retry_Limit no_limits")
	}
	p := start(t, run{service: n.service(), plugins: []string{filepath.Join(bin, "cloudwatch.so")},
		config: n.input("app.log") + output("first", "*", "one") + output("second", "app.*", "two") + output("third", "other.*", "three")})
	p.wait("both groups have all records", time.Minute, func() bool {
		return aws.Logs().Stream("one", "all").Len() >= records && aws.Logs().Stream("two", "all").Len() >= records
	})
	p.stop(20 * time.Second)
	for _, group := range []string{"one", "two"} {
		if a := n.checkEvents(aws.Logs().Stream(group, "all")); !a.whole(n) {
			t.Errorf("of %d records arrived in group %s: %v", records, group, a)
		}
	}
	if _, ok := aws.Logs().Group("three"); ok {
		t.Error("the third output, which matches nothing, made its group")
	}
	for alias, sent := range map[string]int{"first": records, "second": records, "third": 0} {
		want := fmt.Sprintf("[output:cloudwatch:%s] account: in %d, sent %d", alias, sent, sent)
		if !slices.ContainsFunc(p.said("info"), func(l string) bool { return strings.HasPrefix(l, want) }) {
			t.Errorf("the log has no line %q", want)
		}
	}
}

// What the plugins say goes into Fluent Bit's own log, wherever that is written
// to, in its format and at its level: the output's own where it has one.
func TestLog(t *testing.T) {
	aws := startAWS(t, awslocal.Config{})
	file := filepath.Join(t.TempDir(), "flb.log")
	p := start(t, run{
		service: "Log_File " + file,
		plugins: []string{filepath.Join(bin, "cloudwatch.so")},
		config: section("INPUT", "Name dummy", "Rate 20") +
			cloudwatchOutput(aws, "Alias talks", "workers 1") +
			cloudwatchOutput(aws, "Alias silent", "workers 1", "Log_Level error"),
	})
	p.wait("events arrive", 30*time.Second, func() bool { return aws.Logs().Total() > 4 })
	p.stop(20 * time.Second)
	if text := p.log.String(); strings.Contains(text, "[output:cloudwatch:") {
		t.Error("lines of the plugin went to standard error, not into Log_File")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	talked := false
	for _, l := range strings.Split(string(text), "\n") {
		m := logLine.FindStringSubmatch(colors.ReplaceAllString(l, ""))
		if strings.Contains(l, "[output:cloudwatch:talks] account:") {
			if talked = true; m == nil || m[1] != "info" {
				t.Errorf("not in Fluent Bit's format: %q", l)
			}
		}
		if strings.Contains(l, "[output:cloudwatch:silent] account:") {
			t.Errorf("an output with Log_Level error says %q", l)
		}
	}
	if !talked {
		t.Errorf("no account line in Log_File:\n%s", text)
	}
}

// The counters show on Fluent Bit's own metrics endpoint, and tell the truth.
func TestMetrics(t *testing.T) {
	const records = 20_000
	n := writeNumbered(t, records)
	aws := startAWS(t, awslocal.Config{Seed: 2})
	aws.SetFaults("PutLogEvents", []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.3}})
	p := start(t, run{service: n.service(), plugins: []string{filepath.Join(bin, "cloudwatch.so")},
		config: n.input("app.log") + cloudwatchOutput(aws, "workers 2")})
	const own = `{name="cloudwatch.0"}`
	p.wait("the metrics show all records as sent", time.Minute, func() bool {
		return p.prometheus()["fluentbit_aws_records_sent_total"+own] == records
	})
	m := p.prometheus()
	f := func(series string, want float64) {
		t.Helper()
		if got, ok := m[series]; !ok || got != want {
			t.Errorf("%s is %v (present: %v), want %v", series, got, ok, want)
		}
	}
	f("fluentbit_aws_records_in_total"+own, records)
	f("fluentbit_aws_records_pending"+own, 0)
	f("fluentbit_aws_throttled_total"+own, float64(aws.FaultsPlayed()["PutLogEvents"][awslocal.Throttle]))
	f("fluentbit_aws_requests_total"+own, float64(aws.Counts("").Requests))
	f(`fluentbit_aws_records_dropped_total{name="cloudwatch.0",reason="too_old"}`, 0)
	f("fluentbit_output_proc_records_total"+own, records) // Fluent Bit's own
	p.stop(20 * time.Second)
}
