// Command instructions counts what a record costs in the plugins, as instructions
// by valgrind's callgrind: a figure that does not depend on how busy the machine
// is, and can be compared from one commit to the next.
//
//	instructions -write FILE   counts, and writes the table
//	instructions -check FILE   counts, and compares with the table
//
// Counted is our Go code and what it calls, from a chunk to the signed request on
// a plain connection to loopback. The same program runs with few flushes and with
// many, and the difference is divided by the records between: its start is not
// in it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"aws-for-fluent-bit/internal/records/recordstest"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "drive" {
		exit(drive(os.Args[2:]))
	}
	write := flag.String("write", "", "write the table to this file")
	check := flag.String("check", "", "compare with the table in this file")
	tolerance := flag.Float64("tolerance", 3, "how many percent a line may be off with -check")
	only := flag.String("only", "", "count only lines that begin with this, as cloudwatch")
	flag.Parse()
	exit(run(*write, *check, *only, *tolerance))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Flushes of the two runs: the first few make what is kept, and give every
// buffer its size.
const fewFlushes, manyFlushes = 4, 12

func run(write, check, only string, tolerance float64) error {
	if (write == "") == (check == "") || write != "" && only != "" {
		return fmt.Errorf("cannot count: say either -write FILE or -check FILE, -only with the latter")
	}
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		fmt.Println("SKIP instructions: no valgrind on the PATH")
		return nil
	}
	var before table
	if check != "" {
		text, err := os.ReadFile(check)
		if err != nil {
			return err
		}
		if before, err = readTable(string(text)); err != nil {
			return fmt.Errorf("%s: %w", check, err)
		}
	}
	dir, err := os.MkdirTemp("", "instructions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Built without C, so that it is Go alone that is counted.
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "drive"), "./internal/instructions")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build: %w\n%s", err, out)
	}
	sink := httptest.NewServer(recordstest.Sink())
	defer sink.Close()
	c := counter{valgrind: valgrind, dir: dir, url: sink.URL}
	var now table
	for _, v := range variants {
		for _, s := range shapes {
			name := v.name + ", " + s.name
			if !strings.HasPrefix(name, only) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s … ", name)
			line, err := c.line(v, s)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(os.Stderr, "%.0f\n", line.ours())
			now = append(now, line)
		}
	}
	if write != "" {
		version, err := exec.Command(valgrind, "--version").Output()
		if err != nil {
			return err
		}
		return os.WriteFile(write, []byte(now.markdown(strings.TrimSpace(string(version)))), 0o644)
	}
	report, err := compare(before, now, tolerance)
	fmt.Print(report)
	return err
}

// counter runs the driver under callgrind.
type counter struct{ valgrind, dir, url string }

// line counts a line of the table.
func (c counter) line(v variant, s shape) (l line, err error) {
	few, err := c.count(v, s, fewFlushes)
	if err != nil {
		return l, err
	}
	many, err := c.count(v, s, manyFlushes)
	if err != nil {
		return l, err
	}
	l = line{Plugin: v.name, Shape: s.name, Stages: make(map[string]float64)}
	for f, n := range many {
		l.Stages[stageOf(f)] += float64(n-few[f]) / float64((manyFlushes-fewFlushes)*s.records)
	}
	return l, nil
}

// count returns the instructions of each function in a run with so many flushes.
func (c counter) count(v variant, s shape, flushes int) (map[string]int64, error) {
	out := filepath.Join(c.dir, "callgrind.out")
	cmd := exec.Command(c.valgrind, "--tool=callgrind", "--dump-line=no", "--compress-strings=no", "--compress-pos=no", "--callgrind-out-file="+out,
		filepath.Join(c.dir, "drive"), "drive", v.name, s.name, strconv.Itoa(flushes), c.url)
	// One thread and no collector, so that two runs do the same. valgrind does not
	// take the signals by which Go interrupts a goroutine.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMAXPROCS=1",
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("valgrind: %w\n%s", err, log.String())
	}
	f, err := os.Open(out)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readCallgrind(f)
}
