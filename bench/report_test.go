package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	f := func(want float64, in ...float64) {
		t.Helper()
		if got := median(in); got != want {
			t.Errorf("%v: got %v, want %v", in, got, want)
		}
	}
	f(0)
	f(3, 3)
	f(2, 3, 1)
	f(2, 9, 2, 1)
	f(2.5, 9, 2, 3, 1)
}

func run3(cpu ...float64) round {
	return round{kindNull: {CPU: cpu[0], Peak: 10}, kindC: {CPU: cpu[1], Own: cpu[1], Peak: 20, Anon: 15, totals: totals{Requests: 10, Wire: 1000}},
		kindOurs: {CPU: cpu[2], Own: cpu[2], Wall: cpu[2], Peak: 30, Anon: 12, totals: totals{Requests: 5, Records: 1_000_000, Bytes: 800, Wire: 900}}}
}

var shown = caseOf{"kubernetes", 1, 0}

// Ratios are made round by round, and what failed is left out.
func TestSummarize(t *testing.T) {
	rounds := []round{run3(1, 3, 2), run3(1, 5, 2), run3(2, 4, 4)}
	r := summarize(shown, "kinesis", kindOurs, rounds)
	if r.CPU != 1 || r.Ratio != 0.5 || r.Own != 2 || r.OwnRatio != 2./3 || r.Wall != 2 || r.Peak != 30 || r.Anon != 12 || r.Requests != 5 || r.Bytes != 800 || r.Wire != 900 || r.Records != 1_000_000 || r.NullCPU != 1 || r.NullPeak != 10 || len(r.Rounds) != 3 {
		t.Errorf("got %+v", r)
	}
	if r := summarize(shown, "kinesis", kindC, rounds); r.Ratio != 1 || r.CPU != 2 {
		t.Errorf("the C plugin's: %+v", r)
	}
	delete(rounds[0], kindC)    // no ratio in this round
	delete(rounds[1], kindOurs) // no figure in this one
	if r := summarize(shown, "kinesis", kindOurs, rounds); r.Ratio != 1 || r.CPU != 1.5 || len(r.Rounds) != 2 {
		t.Errorf("with failures: %+v", r)
	}
	withoutOwn := run3(1, 3, 2)
	for kind, f := range withoutOwn {
		f.Own = 0
		withoutOwn[kind] = f
	}
	if r := summarize(shown, "kinesis", kindOurs, []round{withoutOwn, run3(1, 4, 2)}); r.Own != 2 || r.OwnRatio != 0.5 || len(r.Rounds) != 2 {
		t.Errorf("with a round of which the threads are not known: %+v", r)
	}
	rounds = []round{run3(1, 1, 2)} // the C plugin took no more than null
	if r := summarize(shown, "kinesis", kindOurs, rounds); r.Ratio != 0 || math.IsNaN(r.CPU) {
		t.Errorf("over nothing: %+v", r)
	}
	if r := summarize(shown, "kinesis", kindOurs, nil); r.CPU != 0 || r.Records != 0 {
		t.Errorf("of nothing: %+v", r)
	}
}

func sample() report {
	rounds := []round{run3(1, 3, 2)}
	failed := summarize(caseOf{"big", 4, 50}, "kinesis", "/p/other-kinesis.so", nil)
	failed.Failed = "delivered 1 of 2 records"
	return report{Machine: machine{"a CPU", 2, "6.1", "5.1.1", "go1.26"}, Commit: "abc", Records: 100, Rounds: 1,
		Results: []result{summarize(shown, "kinesis", kindC, rounds), summarize(shown, "kinesis", kindOurs, rounds), failed},
		Idle:    []idle{{Plugin: kindC, RSS: 1.5}, {Plugin: kindOurs, RSS: 9.25, PSS: 8}, {Plugin: "others", Failed: "it ended"}}}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	printReport(&b, sample())
	for _, want := range []string{
		"commit abc, 100 records of 0.9 KB, 1 rounds, on 2 cores of a CPU, Linux 6.1, Fluent Bit 5.1.1, go1.26",
		"kubernetes records, workers 1, answers after 0 ms\n",
		"kinesis aws-for-fluent-bit 1.00 0.50 2.00 0.67 2.0 30 1.50 12 0.80 5 0.50 0.0 1000000\n",
		"kinesis other-kinesis.so 0.00 – – – 0.0 0 – 0 – 0 – 0.0 0\n",
		"aws-for-fluent-bit 9.2 8.0 0.0\n",
		"FAILED: other-kinesis.so, kinesis, big records, workers 4, answers after 50 ms: delivered 1 of 2 records\n",
		"FAILED: idle, others: it ended\n",
	} {
		got := ""
		for line := range strings.Lines(b.String()) {
			got += strings.Join(strings.Fields(line), " ") + "\n"
		}
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

// What others lose is their matter; what ours lose fails the benchmark.
func TestFailure(t *testing.T) {
	r := sample()
	if err := r.failure(); err != nil {
		t.Errorf("got %v", err)
	}
	r.Results[1].Failed = "delivered 6 of 7 records"
	r.Idle[1].Failed = "it ended"
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "6 of 7") || !strings.Contains(err.Error(), "idle") {
		t.Errorf("got %v", err)
	}
}

func TestJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.json")
	if err := writeJSON(path, sample()); err != nil {
		t.Fatal(err)
	}
	r, err := readReport(path)
	if err != nil || !reflect.DeepEqual(r, sample()) {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readReport(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("of half a file: %v", err)
	}
}

func TestDraw(t *testing.T) {
	svg, err := draw(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "kinesis", "aws-for-fluent-bit", "plugin", "kubernetes records, workers 1", ">1<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %q in the chart", want)
		}
	}
	if strings.Contains(string(svg), "other-kinesis") {
		t.Error("the chart has plugins of another case")
	}
	if again, _ := draw(sample()); !bytes.Equal(svg, again) {
		t.Error("the same figures make another chart")
	}
	if _, err := draw(report{}); err == nil {
		t.Error("nothing makes a chart")
	}
}

// The chart and the sentence in README.md are what figures.json makes of them.
func TestCheckedIn(t *testing.T) {
	r, err := readReport("figures.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := draw(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("cpu.svg"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("cpu.svg is not what figures.json draws (%v): run make bench-chart", err)
	}
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := putSentence(text, r); err != nil || !bytes.Equal(text, again) {
		t.Errorf("README.md does not say what figures.json has (%v): run make bench-chart", err)
	}
	if !strings.Contains(string(text), "](bench/cpu.svg)") {
		t.Error("README.md does not show the chart")
	}
}

func TestSentence(t *testing.T) {
	text, err := putSentence([]byte("a\n"+sentenceBegins+"\nold\n"+sentenceEnds+"\nz"), sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a\n" + sentenceBegins, "`kinesis` 1.00 µs, 0.50 of the C plugin's", "all three take 9.2 MB", "commit abc on 2 cores", sentenceEnds + "\nz"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("the old one is still there:\n%s", text)
	}
	if _, err := putSentence([]byte("a"+sentenceBegins), sample()); err == nil {
		t.Error("a document without a place for it is taken")
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, runs: 4, started: time.Now()}
	p.begin("one")("1 s", nil)
	p.begin("two")("", errors.New("broken\nin many lines"))
	if got := b.String(); !strings.HasPrefix(got, "[1 of 4] one … 1 s\n[2 of 4, about ") || !strings.HasSuffix(got, "two … FAILED: broken\n") {
		t.Errorf("got %q", got)
	}
	p.done = 1
	if got := p.left(10 * time.Second); got != ", about 30s left" {
		t.Errorf("got %q", got)
	}
}

func TestCPUModel(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n"); got != "A CPU @ 2 GHz" {
		t.Errorf("got %q", got)
	}
	if got := cpuModel("nothing"); got != unknown {
		t.Errorf("got %q", got)
	}
	if got := firstLine("/does/not/exist"); got != unknown {
		t.Errorf("got %q", got)
	}
}

func TestMemory(t *testing.T) {
	if kb, err := memoryIn([]byte("Pss_Dirty: 1 kB\nPss:     2048 kB\n"), "Pss"); kb != 2048 || err != nil {
		t.Errorf("got %d, %v", kb, err)
	}
	if _, err := memoryIn([]byte("Pss: 1 kB\n"), "VmHWM"); err == nil {
		t.Error("what is not there is found")
	}
	if kb, err := memory(os.Getpid(), "status", "VmHWM"); kb == 0 || err != nil {
		t.Errorf("of this process: %d, %v", kb, err)
	}
	if _, err := memory(-1, "status", "VmHWM"); err == nil {
		t.Error("there is a process -1")
	}
}

func TestOwnCPU(t *testing.T) {
	tasks := t.TempDir()
	for id, thread := range map[string][2]string{
		"1": {"fluent-bit", "250000000 1 2"}, "2": {pipelineThread, "9000000000 1 2"}, "3": {"flb-out-kinesis", "1500000000 3 4"},
		"4": {"odd", ""}, // has ended meanwhile
	} {
		if err := os.Mkdir(filepath.Join(tasks, id), 0o700); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"comm", "schedstat"} {
			if err := os.WriteFile(filepath.Join(tasks, id, name), []byte(thread[i]+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := ownCPU(tasks); got != 1.75 {
		t.Errorf("got %v s, want 1.75", got)
	}
	if got := ownCPU(filepath.Join(tasks, "none")); got != 0 {
		t.Errorf("of no process: %v s", got)
	}
	if own := ownCPU("/proc/self/task"); own <= 0 {
		t.Errorf("of this process: %v s", own)
	}
}

// The most of both kinds of memory counts, whenever that was.
func TestLookAt(t *testing.T) {
	var u usage
	for _, status := range []string{"VmHWM: 2048 kB\nRssAnon: 1024 kB\n", "VmHWM: 4096 kB\nRssAnon: 512 kB\n", ""} {
		u.lookAt([]byte(status))
	}
	if u.peak != 4 || u.anon != 1 {
		t.Errorf("got %+v", u)
	}
}
