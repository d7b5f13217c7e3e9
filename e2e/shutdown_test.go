//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

const (
	shutdownRecords = 12_000
	grace           = 5 // seconds, Fluent Bit's default
	// waiting is how many fluent-bits run at a time: these do little else.
	waiting = 6
	// overGrace is what may pass beyond the grace on a busy machine.
	overGrace = 4 * time.Second
	// blocked is how long a flush on the engine's thread may keep Fluent Bit from
	// beginning to count its grace: the budget of such a flush and a call's end.
	blocked = 3 * time.Second
)

// endpoint is a state of the service that Fluent Bit's end may meet.
type endpoint struct {
	name  string
	fault awslocal.Fault // of every call, once a few went through
	down  bool           // it is not reachable in the end
	alive bool           // what is left gets through within the grace
}

var endpoints = []endpoint{
	{name: "healthy", fault: awslocal.Fault{Kind: awslocal.Slow, Delay: 50 * time.Millisecond}, alive: true},
	{name: "throttling", fault: awslocal.Fault{Kind: awslocal.Throttle}},
	{name: "hanging", fault: awslocal.Fault{Kind: awslocal.Hang}},
	{name: "refusing connections", fault: awslocal.Fault{Kind: awslocal.Reset}, down: true},
}

// set makes the endpoint so; the first calls go well, or half so, so that
// Fluent Bit holds chunks of which a part is delivered.
func (e endpoint) set(aws *awslocal.Server, s sink) {
	for range 6 {
		aws.Script(s.operation, awslocal.Fault{Kind: awslocal.Partial, Rate: 0.5, Delay: 20 * time.Millisecond})
	}
	e.fault.Probability = 1
	aws.SetFaults(s.operation, []awslocal.Fault{e.fault})
}

var shutdownTable = newTable(fmt.Sprintf("SIGTERM with a backlog of %d records, grace %d s; held: by fluent-bit in the end; after a restart on the same storage and ledger_path", shutdownRecords, grace),
	"storage", "endpoint", "plugin", "workers", "seconds to the end", "delivered", "duplicates", "held", "account: in = sent + dropped + pending", "after restart: delivered", "duplicates", "answers lost", "skipped by the ledger", "lost")

// Fluent Bit ends in its time whatever the endpoint does, says what became of
// the records, and with filesystem storage delivers after a restart what it
// still held: nothing is lost, and nothing arrives twice.
func TestShutdown(t *testing.T) {
	n := writeParts(t, 12, shutdownRecords)
	var jobs []job
	for _, storage := range []string{"memory", "filesystem"} {
		for _, e := range endpoints {
			for _, s := range []sink{cloudwatchSink, kinesisSink, firehoseSink} {
				for _, workers := range []int{0, 2} {
					jobs = append(jobs, job{fmt.Sprintf("%s/%s/%s/workers=%d", storage, e.name, s.plugin, workers),
						func(t *testing.T) { runShutdown(t, n, storage, e, s, workers) }})
				}
			}
		}
	}
	inParallelOf(t, waiting, jobs)
	shutdownTable.sort()
}

// stored is a run whose tail input notes what it has read, and which keeps
// chunks in the given storage; both in its working directory.
func stored(n numbered, storage, output string, plugins []string) run {
	input := n.input("app.*\n    DB tail.db\n    storage.type " + storage)
	return run{plugins: plugins, config: input + output,
		service: n.service() + fmt.Sprintf("\nGrace %d\nstorage.path storage\nstorage.sync normal\nstorage.backlog.mem_limit 50M\nHot_Reload On", grace)}
}

func runShutdown(t *testing.T, n numbered, storage string, e endpoint, s sink, workers int) {
	aws := awsForSinks(t, awslocal.Config{Seed: 5})
	aws.Logs().CreateStream("e2e", "all")
	e.set(aws, s)
	dir := t.TempDir()
	r := stored(n, storage, s.output(aws, fmt.Sprintf("workers %d", workers), "ledger_path "+dir), []string{s.loader()})
	r.dir = dir
	p := start(t, r)
	p.wait("the input has read everything and the endpoint was met", 60*time.Second, func() bool {
		time.Sleep(100 * time.Millisecond)
		return aws.Counts(s.operation).Requests > 6 && int(p.prometheus()[`fluentbit_input_records_total{name="tail.0"}`]) == n.records
	})
	if e.down {
		aws.Down()
	}
	took := p.stop(grace*time.Second + 60*time.Second)
	first := n.checkTexts(s.records(aws))
	name := s.plugin + ".0"
	a := p.lastAccount(name)
	limit := grace*time.Second + overGrace
	if workers == 0 {
		limit += blocked
	}
	if took > limit {
		t.Errorf("it took %v to end, the grace is %d s", took, grace)
	}
	if !a.adds() || a.sent != first.distinct || a.dropped != 0 || a.in > n.records {
		t.Errorf("the account is %v, %d records arrived", a, first.distinct)
	}
	if first.duplicates != aws.LostRecords() || len(first.wrong) > 0 {
		t.Errorf("%v arrived, %d records of calls whose answer was lost", first, aws.LostRecords())
	}
	if e.alive && first.distinct != n.records {
		t.Errorf("with a healthy endpoint %d of %d records are delivered", first.distinct, n.records)
	}
	if !e.alive && first.distinct == n.records {
		t.Error("there was no backlog")
	}
	row := []any{storage, e.name, s.plugin, workers, fmt.Sprintf("%.1f", took.Seconds()), first.distinct, first.duplicates, n.records - first.distinct, a}
	if storage == "memory" {
		shutdownTable.add(append(row, "-", "-", aws.LostRecords(), "-", "-")...)
		return
	}

	if e.down {
		if err := aws.Up(); err != nil {
			t.Fatal(err)
		}
	}
	aws.ClearFaults()
	p = start(t, r)
	p.wait("what was held has arrived", time.Minute, func() bool {
		time.Sleep(100 * time.Millisecond)
		return s.total(aws)-aws.LostRecords() >= n.records && p.account(name).pending == 0
	})
	time.Sleep(time.Second) // for what should not come
	skipped := int(p.prometheus()[fmt.Sprintf("fluentbit_aws_records_skipped_total{name=%q}", name)])
	p.stop(20 * time.Second)
	second := n.checkTexts(s.records(aws))
	shutdownTable.add(append(row, second.distinct, second.duplicates, aws.LostRecords(), skipped, n.records-second.distinct)...)
	if second.distinct != n.records || len(second.wrong) > 0 || second.duplicates != aws.LostRecords() {
		t.Errorf("after a restart %v have arrived, %d records of calls whose answer was lost", second, aws.LostRecords())
	}
	if b := p.lastAccount(name); !b.adds() || b.pending != 0 || b.dropped != 0 || a.sent+b.sent != n.records {
		t.Errorf("the accounts are %v and %v, of %d records", a, b, n.records)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.ledger*")); err != nil || len(left) > 0 {
		t.Errorf("ledgers are left though everything is delivered: %v, %v", left, err)
	}
}

var reloadTable = newTable(fmt.Sprintf("hot reload with a backlog of %d records, workers 0", shutdownRecords),
	"Fluent Bit waits for", "endpoint", "plugin", "by", "storage", "delivered before", "seconds to reload", "delivered", "duplicates", "answers lost", "skipped by the ledger", "lost")

// After a hot reload what Fluent Bit still held is delivered, and not twice.
// By default it waits for all of it to be delivered, however long that takes;
// with Hot_Reload.Ensure_Thread_Safety off it waits for its grace. Then the
// ledger goes from the old output to the new one, within the process.
//
// This is with workers 0. With workers, Fluent Bit 5.1.1 ends in a fault of its
// own at a hot reload, whatever the Go plugin: see TestFluentBitHotReload of
// internal/host.
func TestHotReload(t *testing.T) {
	n := writeParts(t, 12, shutdownRecords)
	var jobs []job
	for _, s := range []sink{cloudwatchSink, kinesisSink, firehoseSink} {
		for _, e := range endpoints {
			for _, r := range []reload{{"SIGHUP", "the grace", "filesystem"}, {"HTTP", "everything", "memory"}} {
				jobs = append(jobs, job{fmt.Sprintf("%s/%s/%s", r.waits, e.name, s.plugin),
					func(t *testing.T) { runReload(t, n, e, s, r) }})
			}
		}
	}
	inParallelOf(t, waiting, jobs)
	reloadTable.sort()
}

// reload is a way to have Fluent Bit take its configuration anew.
type reload struct{ by, waits, storage string }

func (r reload) ask(p *process) error {
	if r.by == "SIGHUP" {
		return p.cmd.Process.Signal(syscall.SIGHUP)
	}
	return p.post("/api/v2/reload")
}

func runReload(t *testing.T, n numbered, e endpoint, s sink, re reload) {
	aws := awsForSinks(t, awslocal.Config{Seed: 5})
	aws.Logs().CreateStream("e2e", "all")
	e.set(aws, s)
	r := stored(n, re.storage, s.output(aws, "workers 0"), []string{s.loader()})
	if re.waits == "the grace" {
		r.service += "\nHot_Reload.Ensure_Thread_Safety Off"
	}
	p := start(t, r)
	p.wait("the input has read everything and the endpoint was met", 60*time.Second, func() bool {
		time.Sleep(100 * time.Millisecond)
		return aws.Counts(s.operation).Requests > 6 && int(p.prometheus()[`fluentbit_input_records_total{name="tail.0"}`]) == n.records
	})
	if e.down {
		aws.Down()
	}
	before := s.total(aws)
	began := time.Now()
	if err := re.ask(p); err != nil {
		t.Fatal(err)
	}
	recover := func() {
		if e.down {
			if err := aws.Up(); err != nil {
				t.Fatal(err)
			}
		}
		aws.ClearFaults()
	}
	if re.waits == "everything" {
		p.waitLog(`service will shutdown when all remaining tasks are flushed`, time.Minute)
		time.Sleep(2 * time.Second)
		if !e.alive && strings.Contains(p.log.String(), "[reload] start everything") {
			t.Error("it did not wait for what was not delivered")
		}
		recover()
	}
	p.waitLog(`\[reload\] start everything`, time.Minute)
	took := time.Since(began)
	recover()
	name := s.plugin + ".0"
	p.wait("everything has arrived", time.Minute, func() bool {
		time.Sleep(100 * time.Millisecond)
		return s.total(aws)-aws.LostRecords() >= n.records && p.account(name).pending == 0
	})
	p.waitLog(`\[reload\] successful reload done`, time.Minute)
	time.Sleep(time.Second) // for what should not come
	skipped := int(p.prometheus()[fmt.Sprintf("fluentbit_aws_records_skipped_total{name=%q}", name)])
	p.stop(20 * time.Second)
	got := n.checkTexts(s.records(aws))
	reloadTable.add(re.waits, e.name, s.plugin, re.by, re.storage, before, fmt.Sprintf("%.1f", took.Seconds()), got.distinct, got.duplicates, aws.LostRecords(), skipped, n.records-got.distinct)
	if got.distinct != n.records || len(got.wrong) > 0 || got.duplicates != aws.LostRecords() {
		t.Errorf("%v have arrived, %d records of calls whose answer was lost", got, aws.LostRecords())
	}
	accounts := p.accounts(name)
	if len(accounts) != 2 {
		t.Fatalf("there are %d accounts, want one for each life: %v", len(accounts), accounts)
	}
	if a, b := accounts[0], accounts[1]; !a.adds() || !b.adds() || b.pending != 0 || a.sent+b.sent != n.records {
		t.Errorf("the accounts are %v and %v, of %d records", a, b, n.records)
	}
	if strings.Contains(p.log.String(), "panic") {
		t.Error("the log has a panic")
	}
}

// post makes a request without a body to fluent-bit's HTTP server.
func (p *process) post(path string) error {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(p.metrics+path, "application/json", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", path, resp.Status)
	}
	return nil
}
