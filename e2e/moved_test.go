//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// movedRecord is record i of a node whose containers write JSON.
type movedRecord struct {
	i  int
	at time.Time
}

func (r movedRecord) time() string { return r.at.Format("2006-01-02T15:04:05.000Z") }
func (r movedRecord) log() string {
	return fmt.Sprintf(`  order %d <paid> & "shipped", 注文`, r.i)
}
func (r movedRecord) logJSON() string   { return `"` + strings.ReplaceAll(r.log(), `"`, `\"`) + `"` }
func (r movedRecord) host() string      { return fmt.Sprintf("node-%d", r.i%2) }
func (r movedRecord) pod() string       { return fmt.Sprintf("web-%d", r.i%3) }
func (r movedRecord) container() string { return fmt.Sprintf("c%d", r.i%5) }

// labeled tells whether the record's pod has labels: names made of them have to
// do without for some.
func (r movedRecord) labeled() bool { return r.i%10 != 9 }

// kubernetes is the record's map of this name, with dot in the place of dots.
func (r movedRecord) kubernetes(dot string, labels bool) string {
	text := fmt.Sprintf(`{"namespace_name":"shop","pod_name":%q,"container_id":%q`, r.pod(), r.container())
	if labels && r.labeled() {
		text += `,"labels":{"app":"web","app.kubernetes.io/name":"web"}`
	}
	return strings.ReplaceAll(text, ".", dot) + "}"
}

// head is what the record begins with, up to its host.
func (r movedRecord) head(stream string) string {
	return fmt.Sprintf(`{"time":%q,"n":%d,"log":%s,%s"service":"checkout","host":%q`, r.time(), r.i, r.logJSON(), stream, r.host())
}

func (r movedRecord) whole() string {
	return r.head(`"stream":"stdout",`) + `,"kubernetes":` + r.kubernetes(".", true) + "}"
}

// places are what arrived: the records in each place, as a log group and stream,
// or a stream and a partition key.
type places map[string][]string

func (p places) add(place, text string) { p[place] = append(p[place], text) }

// check compares without order.
func (p places) check(t *testing.T, what string, want places) {
	t.Helper()
	for place, texts := range want {
		got := slices.Sorted(slices.Values(p[place]))
		slices.Sort(texts)
		if slices.Equal(got, texts) {
			continue
		}
		first := ""
		for i := range min(len(got), len(texts)) {
			if got[i] != texts[i] {
				first = fmt.Sprintf(", the first that differs is\n%s\nwant\n%s", got[i], texts[i])
				break
			}
		}
		t.Errorf("%s: %s has %d records, want %d%s", what, place, len(got), len(texts), first)
	}
	for place := range p {
		if want[place] == nil {
			t.Errorf("%s: there are %d records in %s, where there should be none", what, len(p[place]), place)
		}
	}
}

// logsOf, streamsOf and archiveOf are what the services have; open takes a
// compression off.
func logsOf(aws *awslocal.Server) places {
	got := make(places)
	for _, st := range aws.Logs().Streams() {
		for _, m := range st.Messages() {
			got.add(st.Group+" "+st.Name, m)
		}
	}
	return got
}

func streamsOf(t *testing.T, aws *awslocal.Server, open func([]byte) ([]byte, error)) places {
	got := make(places)
	for _, st := range aws.Kinesis().Streams() {
		for _, r := range st.Records() {
			r.Data = opened(t, r.Data, open)
			for _, text := range userRecords(t, r) {
				got.add(st.Name+" "+r.PartitionKey, string(text))
			}
		}
	}
	return got
}

func archiveOf(t *testing.T, aws *awslocal.Server, open func([]byte) ([]byte, error)) places {
	got := make(places)
	for _, st := range aws.Firehose().Streams() {
		for _, data := range st.Records() {
			for line := range strings.Lines(string(opened(t, data, open))) {
				got.add(st.Name, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return got
}

func opened(t *testing.T, data []byte, open func([]byte) ([]byte, error)) []byte {
	if open == nil {
		return data
	}
	data, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// moved is a configuration that came from elsewhere.
type moved struct {
	file    string
	outputs []string
	open    [2]func([]byte) ([]byte, error) // of Kinesis and Firehose
	keys    bool                            // whether its partition keys are of records
	harmful func(line string) bool          // warnings that are not to be there, those of the faults aside; nil: all
	want    func(r movedRecord, logs, streams, archive places)
	newline []string // streams whose records end with one
	group   string   // one of those that were created, with
	tags    map[string]string
	days    int // of retention
	role    string
}

var movedConfigurations = []moved{
	{
		file: "go.conf", outputs: []string{"cloudwatch.0", "kinesis.1", "kinesis.2", "firehose.3"}, keys: true,
		// It sets no workers, as AWS's plugins are used, and this is said.
		harmful: func(line string) bool {
			return !strings.Contains(line, "set workers to 1 or more") && !missesName(line)
		},
		want: func(r movedRecord, logs, streams, archive places) {
			group := "/eks/shop/web"
			if !r.labeled() {
				group = "/eks/others"
			}
			logs.add(group+" kube-"+r.pod(), r.log())
			streams.add("by-container "+r.container(), strings.TrimSuffix(r.whole(), "}")+`,"at":"`+strings.TrimSuffix(r.time(), "Z")+`"}`)
			streams.add("aggregated "+r.host(), fmt.Sprintf(`{"n":%d,"log":%s}`, r.i, r.logJSON()))
			archive.add("archive", fmt.Sprintf(`{"n":%d,"kubernetes":%s}`, r.i, r.kubernetes("_", true)))
		},
		newline: []string{"by-container"},
		group:   "/eks/shop/web", tags: map[string]string{"cluster": "shop", "paid by": "web team"}, days: 14,
	},
	{
		file: "c.yaml", outputs: []string{"cloudwatch.0", "kinesis.1", "firehose.2"}, open: [2]func([]byte) ([]byte, error){nil, gunzip},
		harmful: func(line string) bool { return !missesName(line) },
		want: func(r movedRecord, logs, streams, archive places) {
			group := "eks.shop.web"
			if !r.labeled() {
				group = "fluent-bit-cloudwatch"
			}
			logs.add(group+" "+r.pod()+"."+r.container(), r.whole())
			streams.add("app", strings.TrimSuffix(r.whole(), "}")+`,"at":"`+strings.TrimSuffix(r.time(), "Z")+`"}`)
			archive.add("archive", r.log())
		},
		newline: []string{"app"},
		group:   "eks.shop.web", days: 30,
	},
	{
		file: "vector.conf", outputs: []string{"cloudwatch.0", "kinesis.1", "firehose.2"}, open: [2]func([]byte) ([]byte, error){gunzip, nil}, keys: true,
		want: func(r movedRecord, logs, streams, archive places) {
			logs.add("/app/checkout "+r.host()+"/"+r.at.Format("2006-01-02"), r.head("")+`,"kubernetes":`+r.kubernetes(".", false)+"}")
			streams.add("app "+r.container(), fmt.Sprintf(`{"n":%d,"log":%s,"kubernetes":{"pod_name":%q}}`, r.i, r.logJSON(), r.pod()))
			archive.add("archive", r.log())
		},
		group: "/app/checkout", tags: map[string]string{"team": "web"}, days: 30, role: "arn:aws:iam::123456789012:role/shipper",
	},
}

// ofFaults are warnings that calls or records were refused, and are sent again.
var ofFaults = regexp.MustCompile(`holds (requests|calls) .*back|which are sent again|(throttled|refused in part): \d+ times more`)

// missesName is a warning that a template has no name for some records.
func missesName(line string) bool { return strings.Contains(line, "gives no name") }

// Configurations of AWS's Go plugins, Fluent Bit's C plugins and Vector, moved as
// docs/migration.md says: while the services throttle and refuse, each record
// arrives once, where and as it should. checkconfig's TestShipped reads them, too.
func TestMoved(t *testing.T) {
	const records = 3000
	for _, m := range movedConfigurations {
		t.Run(m.file, func(t *testing.T) {
			root := t.TempDir()
			logs, streams, archive := make(places), make(places), make(places)
			writeNew(t, filepath.Join(root, "var/log/containers/app.log"), m.lines(records, logs, streams, archive))
			aws := startAWS(t, awslocal.Config{Seed: 5, KinesisStreams: map[string]int{"by-container": 2, "aggregated": 2, "app": 2}, DeliveryStreams: []string{"archive"}})
			for _, operation := range []string{"PutLogEvents", "PutRecords", "PutRecordBatch"} {
				aws.SetFaults(operation, []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.1}, {Kind: awslocal.Partial, Probability: 0.5, Rate: 0.05}})
			}
			p := m.start(t, root, aws)
			got := func() (l, s, a places) {
				return logsOf(aws), streamsOf(t, aws, m.open[0]), archiveOf(t, aws, m.open[1])
			}
			p.wait("all records have arrived everywhere", 60*time.Second, func() bool {
				l, s, a := got()
				return l.total() >= logs.total() && s.total() >= streams.total() && a.total() >= archive.total()
			})
			p.stop(20 * time.Second)
			gotLogs, gotStreams, gotArchive := got()
			if !m.keys { // they are random, and many
				if len(gotStreams) < records/10 {
					t.Errorf("there are %d partition keys", len(gotStreams))
				}
				gotStreams = gotStreams.byStream()
			}
			gotLogs.check(t, "CloudWatch Logs", logs)
			gotStreams.check(t, "Kinesis", streams)
			gotArchive.check(t, "Firehose", archive)
			m.checkRun(t, p, aws, records)
		})
	}
}

// lines are the records as their containers wrote them. What is to become of them
// is added to the places.
func (m moved) lines(records int, logs, streams, archive places) string {
	var text strings.Builder
	begin := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	for i := range records {
		r := movedRecord{i, begin.Add(time.Duration(i) * time.Millisecond)}
		text.WriteString(r.whole() + "\n")
		m.want(r, logs, streams, archive)
	}
	return text.String()
}

// start starts fluent-bit with the file, whose paths alone are set for the test.
func (m moved) start(t *testing.T, root string, aws *awslocal.Server) *process {
	if err := os.MkdirAll(filepath.Join(root, "var/lib/fluent-bit"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := replace(t, read(t, "testdata/moved/"+m.file), "/fluent-bit/parsers/parsers.conf", shipped(t, "demo/parsers.conf"), " /var/", " var/")
	file := filepath.Join(root, m.file)
	writeNew(t, file, text)
	var args []string
	for _, s := range []sink{cloudwatchSink, kinesisSink, firehoseSink} {
		args = append(args, "-e", s.loader())
	}
	return startRaw(t, root, []string{"AWS_ENDPOINT_URL=" + aws.URL}, append(args, "-c", file)...)
}

// checkRun looks at the accounts, the log, the group and the role.
func (m moved) checkRun(t *testing.T, p *process, aws *awslocal.Server, records int) {
	t.Helper()
	for _, output := range m.outputs {
		if a := p.lastAccount(output); a != (account{in: records, sent: records}) {
			t.Errorf("the account of %s is %v", output, a)
		}
	}
	for _, line := range p.said("warn", "error") {
		if !harmless(line) && !ofFaults.MatchString(line) && (m.harmful == nil || m.harmful(line)) {
			t.Errorf("the log has %s", line)
		}
	}
	if strings.Contains(p.log.String(), "<paid>") {
		t.Error("the log has contents of records")
	}
	for _, operation := range []string{"PutLogEvents", "PutRecords", "PutRecordBatch"} {
		if aws.Counts(operation).Requests == 0 {
			t.Errorf("there was no %s", operation)
		}
	}
	for _, st := range aws.Kinesis().Streams() {
		for _, r := range st.Records() {
			data := opened(t, r.Data, m.open[0])
			if strings.HasSuffix(string(data), "\n") != slices.Contains(m.newline, st.Name) {
				t.Fatalf("stream %s has the record %q", st.Name, data)
			}
		}
	}
	g, _ := aws.Logs().Group(m.group)
	if g.RetentionDays != m.days {
		t.Errorf("group %s is kept for %d days, want %d", m.group, g.RetentionDays, m.days)
	}
	for key, value := range m.tags {
		if g.Tags[key] != value {
			t.Errorf("group %s has the tags %v", m.group, g.Tags)
		}
	}
	if calls := aws.Counts("AssumeRole").Requests; (calls > 0) != (m.role != "") {
		t.Errorf("%d roles were assumed", calls)
	}
}

func (p places) total() (n int) {
	for _, texts := range p {
		n += len(texts)
	}
	return n
}

// byStream leaves partition keys out.
func (p places) byStream() places {
	q := make(places)
	for place, texts := range p {
		stream, _, _ := strings.Cut(place, " ")
		q[stream] = append(q[stream], texts...)
	}
	return q
}

// The C plugins take what c.yaml was made from, and it is the same but for what
// its comments say.
func TestMovedFromC(t *testing.T) {
	original, now := read(t, "testdata/moved/c.original.yaml"), read(t, "testdata/moved/c.yaml")
	_, original, _ = strings.Cut(original, "service:")
	_, now, _ = strings.Cut(now, "service:")
	for line := range strings.Lines(now) {
		if text, comment, ok := strings.Cut(line, " # "); ok {
			was, named := strings.CutPrefix(strings.TrimSpace(comment), "was ")
			before := ""
			if named {
				before = text[:strings.LastIndex(text, " ")+1] + was + "\n"
			}
			now = strings.Replace(now, line, before, 1)
		}
	}
	if now != original {
		t.Errorf("c.yaml is not c.original.yaml, but\n%s", now)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	writeNew(t, file, "service:"+replace(t, original, "/fluent-bit/parsers/parsers.conf", shipped(t, "demo/parsers.conf")))
	p := startRaw(t, dir, nil, "--dry-run", "-c", file)
	code := p.end(20 * time.Second)
	if strings.Contains(p.log.String(), "'cloudwatch_logs' tried to instance a plugin name that doesn't exist") {
		t.Skip("SKIP: this fluent-bit was built without its plugins for AWS")
	}
	if code != 0 || !strings.Contains(p.log.String(), "configuration test is successful") {
		t.Errorf("--dry-run of c.original.yaml ended with %d:\n%s", code, p.log)
	}
}
