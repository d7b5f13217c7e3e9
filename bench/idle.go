package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// idle is what the plugins of all services take at rest, loaded together with one
// worker each and without a record, beyond Fluent Bit with the null output.
type idle struct {
	Plugin string
	// MB, medians over the rounds. RSS counts what is shared with other
	// processes in full, PSS by its share, Private not at all.
	RSS, PSS, Private float64
	Failed            string
}

// settled is how long after the start memory is looked at: Go gives pages back
// that its start has used.
const settled = 3 * time.Second

// measureIdle measures memory at rest.
func (b *benchmark) measureIdle(ctx context.Context) (all []idle, err error) {
	kinds := []string{kindNull, kindC, kindOurs}
	if len(b.others) > 0 {
		kinds = append(kinds, "others")
	}
	runs := make(map[string][]idle)
	failed := make(map[string]string)
	for range b.rounds {
		for _, kind := range kinds {
			done := b.progress.begin("idle: " + kind)
			one, err := b.rest(ctx, kind)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				failed[kind] = err.Error()
			}
			done(fmt.Sprintf("%.1f MB", one.RSS), err)
			runs[kind] = append(runs[kind], one)
		}
	}
	for _, kind := range kinds[1:] {
		i := idle{Plugin: kind, Failed: failed[kind] + failed[kindNull]}
		if i.Failed == "" {
			i.RSS = medianOver(runs[kind], runs[kindNull], func(i idle) float64 { return i.RSS })
			i.PSS = medianOver(runs[kind], runs[kindNull], func(i idle) float64 { return i.PSS })
			i.Private = medianOver(runs[kind], runs[kindNull], func(i idle) float64 { return i.Private })
		}
		all = append(all, i)
	}
	return all, nil
}

// medianOver is the median of what is more in a round's figure than in null's.
func medianOver[T any](mine, null []T, figure func(T) float64) float64 {
	var all []float64
	for i := range mine {
		all = append(all, figure(mine[i])-figure(null[i]))
	}
	return median(all)
}

// rest runs fluent-bit with all plugins of a kind and nothing to do.
func (b *benchmark) rest(ctx context.Context, kind string) (i idle, err error) {
	dir, err := os.MkdirTemp(b.dir, "idle-")
	if err != nil {
		return i, err
	}
	defer os.RemoveAll(dir)
	ca := filepath.Join(dir, "ca.pem")
	_, pem, err := certificate()
	if err != nil {
		return i, err
	}
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		return i, err
	}
	conf := fmt.Sprintf("    Flush 1\n[INPUT]\n    Name tail\n    Path %s\n", filepath.Join(dir, "none-*.log"))
	plugins := b.atRest(kind)
	for _, p := range plugins {
		conf += p.section(caseOf{workers: 1}, "*", "127.0.0.1:9", ca)
	}
	s, err := b.startShipper(ctx, dir, conf, ca, plugins...)
	if err != nil {
		return i, err
	}
	select {
	case <-time.After(settled):
	case <-s.done:
		return i, fmt.Errorf("fluent-bit has ended: %v\n%s", s.err, tail(s.log.String(), 2000))
	}
	for _, f := range []struct {
		to   *float64
		name string
	}{{&i.RSS, "Rss"}, {&i.PSS, "Pss"}, {&i.Private, "Private_Dirty"}} {
		kb, err := memory(s.cmd.Process.Pid, "smaps_rollup", f.name)
		if err != nil {
			_ = s.end()
			return i, err
		}
		*f.to = float64(kb) / 1024
	}
	return i, s.end()
}

// atRest are the plugins of a kind: of each service one.
func (b *benchmark) atRest(kind string) (all []plugin) {
	if kind == kindNull {
		return []plugin{{kind: kindNull}}
	}
	for _, service := range []string{"cloudwatch", "kinesis", "firehose"} {
		for _, p := range b.plugins(caseOf{workers: 1}, service) {
			if p.kind == kind || kind == "others" && p.kind != kindC && p.kind != kindOurs {
				all = append(all, p)
			}
		}
	}
	return all
}

// memory reads a figure in kB of a process, as VmHWM of /proc/PID/status.
func memory(pid int, file, name string) (kb int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	return memoryIn(text, name)
}

func memoryIn(text []byte, name string) (kb int, err error) {
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) > 1 && fields[0] == name+":" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("cannot find %s of a process", name)
}
