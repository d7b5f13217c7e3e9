package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// rounds is how often each sample log is written over: 46 lines make 552.
const rounds = 12

// lineGap is the time between two lines of one log.
const lineGap = 37*time.Millisecond + 1041*time.Nanosecond

// line is one line of a container log as it is to arrive somewhere.
type line struct {
	file string // of the container log, without its directory
	time string // as the container runtime wrote it; no other line of the file has it
	log  string // what the container wrote
}

// id tells a line from all others: the container's id, which is in the file's
// name and in the record's kubernetes metadata, and the line's time.
func (l line) id() string { return containerID(l.file) + " " + l.time }

// containerID returns the id in <pod>_<namespace>_<container>-<id>.log, the
// name that the kubelet gives to a log.
func containerID(file string) string {
	name := strings.TrimSuffix(file, ".log")
	return name[strings.LastIndexByte(name, '-')+1:]
}

// writeSamples writes the logs in from into to, rounds times over, with the
// placeholders of each line filled in:
//
//	@TIME@     the line's own time, RFC 3339 with nanoseconds, UTC
//	@CLOCK@    the same as nginx writes it into its access log
//	@SLASHED@  the same as nginx writes it into its error log
//	@N@        a running number
//
// The last line of each log has the time now. It returns all lines.
func writeSamples(from, to string, now time.Time) ([]line, error) {
	samples, err := filepath.Glob(filepath.Join(from, "*.log"))
	if err != nil || len(samples) == 0 {
		return nil, fmt.Errorf("cannot find sample logs in %s: %w", from, os.ErrNotExist)
	}
	var all []line
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			return nil, err
		}
		templates := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
		n := rounds * len(templates)
		var out bytes.Buffer
		for i := range n {
			at := now.Add(-time.Duration(n-1-i) * lineGap).UTC()
			text := stamp(strings.TrimSuffix(templates[i%len(templates)], "\n"), at, 1000+i)
			l, err := parseLine(text)
			if err != nil {
				return nil, fmt.Errorf("cannot use line %d of %s: %w", i%len(templates)+1, sample, err)
			}
			l.file = filepath.Base(sample)
			all = append(all, l)
			out.WriteString(text + "\n")
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(sample)), out.Bytes(), 0o644); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func stamp(template string, at time.Time, n int) string {
	return strings.NewReplacer(
		"@TIME@", at.Format("2006-01-02T15:04:05.000000000Z"),
		"@CLOCK@", at.Format("02/Jan/2006:15:04:05 -0700"),
		"@SLASHED@", at.Format("2006/01/02 15:04:05"),
		"@N@", strconv.Itoa(n),
	).Replace(template)
}

// parseLine reads a line as the container runtime wrote it: docker's JSON, or
// the CRI's "time stream tag text".
func parseLine(text string) (line, error) {
	if strings.HasPrefix(text, "{") {
		var d struct{ Log, Stream, Time string }
		err := json.Unmarshal([]byte(text), &d)
		return line{time: d.Time, log: d.Log}, err
	}
	parts := strings.SplitN(text, " ", 4)
	if len(parts) != 4 || parts[2] != "F" {
		return line{}, fmt.Errorf("neither docker's format nor the CRI's: %.40q", text)
	}
	return line{time: parts[0], log: parts[3]}, nil
}
