//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// TestSoak runs for as long as SOAK says (`make soak`: 30m), with all three
// plugins in one fluent-bit and other faults each minute. SOAK_RATE is the
// records a second, 500 by default. Each fifth minute is calm: memory is
// compared between such minutes, when no backlog is in it.
//
// At the end nothing is lost, what arrived twice is what was in calls whose
// answer was lost, and fluent-bit is not larger than after five minutes.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK says for how long, as 30m")
	}
	rate := 500
	if text := os.Getenv("SOAK_RATE"); text != "" {
		if rate, err = strconv.Atoi(text); err != nil || rate < 10 {
			t.Fatalf("SOAK_RATE: cannot use %q, allowed is a number from 10", text)
		}
	}
	aws := awsForSinks(t, awslocal.Config{Seed: 11, KeepRequests: -1, IdleTimeout: 6 * time.Second})
	aws.Logs().CreateStream("e2e", "all")
	sinks := []sink{cloudwatchSink, kinesisSink, firehoseSink}
	in := startWriter(t, rate)
	config := in.input("app.log")
	for _, s := range sinks {
		config += s.output(aws, "Alias "+s.plugin, "workers 2", "http_request_timeout 5")
	}
	p := start(t, run{service: in.service() + "\nscheduler.cap 5\nFlush 1", config: config, env: []string{
		"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + aws.CredentialsURI()}})

	began := time.Now()
	var calm []float64 // resident MB at the end of each fifth minute
	report("minute  RSS MB  threads  files  CPU s  written  pending of cloudwatch, kinesis, firehose  faults of each")
	for minute := 1; time.Since(began) < length; minute++ {
		names := setSoakFaults(aws, sinks, minute)
		rss := soakMinute(p, min(time.Minute, length-time.Since(began)))
		u := p.usage()
		if minute%5 == 0 {
			calm = append(calm, rss)
		}
		var pending []string
		for _, s := range sinks {
			a := p.account(s.plugin)
			if !a.adds() {
				t.Errorf("%s: the account does not add up: %v", s.plugin, a)
			}
			pending = append(pending, strconv.Itoa(a.pending))
		}
		report("%6d  %6.1f  %7d  %5d  %5.1f  %7d  %-40s %s", minute, rss, u.threads, u.files, p.cpuSoFar(), in.written.Load(), strings.Join(pending, ", "), strings.Join(names, " | "))
	}
	aws.ClearFaults()
	n := in.end(t)
	p.wait("all records are accounted for", 3*time.Minute, func() bool {
		time.Sleep(time.Second)
		return !slices.ContainsFunc(sinks, func(s sink) bool {
			a := p.account(s.plugin)
			return a.in != n.records || a.pending != 0
		})
	})
	p.stop(30 * time.Second)

	lines := slices.DeleteFunc(p.problems(), ownLine)
	report("%d records, %.0f s of CPU, %d lines of errors and warnings", n.records, p.cpu().Seconds(), len(lines))
	for _, s := range sinks {
		a, counts := n.checkTexts(s.records(aws)), aws.Counts(s.operation)
		report("%-10s delivered %d, duplicates %d, records of calls whose answer was lost %d, calls %d, faults played %v",
			s.plugin, a.distinct, a.duplicates, counts.LostRecords, counts.Requests, aws.FaultsPlayed()[s.operation])
		if a.distinct != n.records || len(a.wrong) > 0 {
			t.Errorf("%s: of %d records arrived: %v", s.plugin, n.records, a)
		}
		if a.duplicates != counts.LostRecords {
			t.Errorf("%s: %d duplicates, and %d records of calls whose answer was lost", s.plugin, a.duplicates, counts.LostRecords)
		}
		if said := p.lastAccount(s.plugin); said != (account{in: n.records, sent: n.records}) {
			t.Errorf("%s: the last account is %v", s.plugin, said)
		}
	}
	if len(calm) < 2 {
		t.Logf("too short to compare memory: %v", calm)
		return
	}
	first, last := calm[0], calm[len(calm)-1]
	report("RSS at minute 5: %.1f MB, at the end: %.1f MB (%+.1f %%), every five minutes: %.1f", first, last, 100*(last/first-1), calm)
	if last > 1.1*first {
		t.Errorf("fluent-bit grew from %.1f MB at minute 5 to %.1f MB", first, last)
	}
}

// report prints a line at once: a soak is watched.
func report(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
}

// soakMinute lets d pass, with a scrape of the metrics each ten seconds as a
// monitoring system does it, and returns the median of the memory at its end.
func soakMinute(p *process, d time.Duration) (rss float64) {
	var seen []float64
	end := time.Now().Add(d)
	for second := 0; time.Now().Before(end); second++ {
		time.Sleep(min(time.Second, time.Until(end)))
		if second%10 == 0 {
			p.prometheus()
		}
		if time.Until(end) < 20*time.Second {
			seen = append(seen, p.usage().rss)
		}
		select {
		case <-p.exited:
			p.t.Fatalf("fluent-bit ended: %v", p.cmd.ProcessState)
		default:
		}
	}
	slices.Sort(seen)
	return seen[len(seen)/2]
}

// soakFaults come one after the other, to each plugin another one.
var soakFaults = []struct {
	name   string
	random []awslocal.Fault
}{
	{"throttle", []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.5}}},
	{"partial", []awslocal.Fault{{Kind: awslocal.Partial, Rate: 0.2, Probability: 0.8}}},
	{"500", []awslocal.Fault{{Kind: awslocal.Error, Probability: 0.5}}},
	{"503", []awslocal.Fault{{Kind: awslocal.Error, Status: 503, Code: "ServiceUnavailable", RetryAfter: "2", Probability: 0.4}}},
	{"reset", []awslocal.Fault{{Kind: awslocal.Reset, Probability: 0.5}}},
	{"hang", []awslocal.Fault{{Kind: awslocal.Hang, Probability: 0.2}}},
	{"slow", []awslocal.Fault{{Kind: awslocal.Slow, Delay: 2 * time.Second, Probability: 0.5}}},
	{"lost answer", []awslocal.Fault{{Kind: awslocal.LostAnswer, Probability: 0.1}, {Kind: awslocal.CutAnswer, Probability: 0.1}}},
	{"HTML 502", []awslocal.Fault{{Kind: awslocal.HTML, Probability: 0.5}}},
	{"expired credentials", []awslocal.Fault{{Kind: awslocal.ExpiredToken, Probability: 0.3}}},
	{"stale connection", []awslocal.Fault{{Kind: awslocal.Stale, Probability: 0.5}, {Kind: awslocal.CloseAfter, Probability: 0.3}}},
	{"access denied", []awslocal.Fault{{Kind: awslocal.AccessDenied, Probability: 0.3}}},
}

// outageEvery is after how many minutes the whole endpoint is down for a while,
// instead of faults.
const outageEvery = 7

// setSoakFaults makes the faults of a minute, and returns their names.
func setSoakFaults(aws *awslocal.Server, sinks []sink, minute int) (names []string) {
	aws.ClearFaults()
	switch {
	case minute%5 == 0:
		return []string{"calm"}
	case minute%outageEvery == 0:
		aws.DownFor(30 * time.Second)
		return []string{"down for 30 s"}
	}
	for i, s := range sinks {
		f := soakFaults[(minute+i*len(soakFaults)/len(sinks))%len(soakFaults)]
		if s.plugin == "cloudwatch" && f.name == "partial" { // it has no such thing
			f.name, f.random = "throttle 70 %", []awslocal.Fault{{Kind: awslocal.Throttle, Probability: 0.7}}
		}
		aws.SetFaults(s.operation, f.random)
		names = append(names, f.name)
	}
	return names
}

// cpuSoFar is the processor time, in seconds, that the process has used.
func (p *process) cpuSoFar() float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// After the command in parentheses: fields 14 and 15, in ticks of 10 ms.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return float64(number(fields[11])+number(fields[12])) / 100
}

// writer appends numbered records to a log file, so many a second.
type writer struct {
	numbered
	written atomic.Int64
	stop    chan struct{}
	ended   chan error // gets how write ended
}

func startWriter(t *testing.T, rate int) *writer {
	t.Helper()
	w := &writer{numbered: writeNumbered(t, 0), stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { w.ended <- w.write(rate) }()
	return w
}

// write appends until stop is closed. It goes by the clock, so that the rate is
// kept on a busy machine too.
func (w *writer) write(rate int) error {
	f, err := os.OpenFile(w.file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-w.stop:
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); n < due; n++ {
			fmt.Fprintf(out, `{"time":"%s","n":%d,"level":"info","message":%q,"padding":"%s"}`+"\n",
				time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), n, numberedMessage(n), strings.Repeat("x", 20+n%40))
		}
		if err := out.Flush(); err != nil {
			return err
		}
		w.written.Store(int64(n))
	}
}

// end stops writing, and returns the records that there are.
func (w *writer) end(t *testing.T) numbered {
	t.Helper()
	close(w.stop)
	if err := <-w.ended; err != nil {
		t.Fatalf("cannot write the log: %v", err)
	}
	n := w.numbered
	n.records = int(w.written.Load())
	return n
}
