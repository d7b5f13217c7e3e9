package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// measure runs all that is asked for, and says how far it is.
func (b *benchmark) measure(ctx context.Context, r *report) (err error) {
	b.progress = &progress{w: os.Stderr, runs: b.runs(), started: time.Now()}
	for _, c := range b.cases {
		some, err := b.measureCase(ctx, c)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, some...)
	}
	r.Idle, err = b.measureIdle(ctx)
	return err
}

// roundsOf is how many rounds a case has.
func (b *benchmark) roundsOf(c caseOf) int {
	if c.shape == "trickle" {
		return b.trickleRounds
	}
	return b.rounds
}

// runs is how often fluent-bit will be started.
func (b *benchmark) runs() (n int) {
	for _, c := range b.cases {
		each := 1 // null
		for _, service := range b.services {
			each += len(b.plugins(c, service))
		}
		n += each * b.roundsOf(c)
	}
	n += 3 * b.rounds // idle
	if len(b.others) > 0 {
		n += b.rounds
	}
	return n
}

// measureCase runs null and then each plugin in turn, round by round, so that
// whatever else the machine does meets all of them.
func (b *benchmark) measureCase(ctx context.Context, c caseOf) (all []result, err error) {
	rounds := make(map[string][]round) // by service
	failed := make(map[string]string)  // by service and kind
	for n := range b.roundsOf(c) {
		one := func(p plugin) (f figures, ok bool, err error) {
			done := b.progress.begin(fmt.Sprintf("%v, round %d: %s %s", c, n+1, p.service, label(p.kind)))
			f, err = b.ship(ctx, p, c)
			if ctx.Err() != nil {
				return f, false, ctx.Err()
			}
			done(fmt.Sprintf("%.2f s of CPU, %.1f s", f.CPU, f.Wall), err)
			if err != nil {
				failed[p.service+p.kind] = firstError(err)
			}
			return f, err == nil, nil
		}
		null, nullOK, err := one(plugin{kind: kindNull})
		if err != nil {
			return nil, err
		}
		for _, service := range b.services {
			runs := make(round)
			if nullOK {
				runs[kindNull] = null
			}
			for _, p := range b.plugins(c, service) {
				f, ok, err := one(p)
				if err != nil {
					return nil, err
				}
				if ok {
					runs[p.kind] = f
				}
			}
			rounds[service] = append(rounds[service], runs)
		}
	}
	for _, service := range b.services {
		for _, p := range b.plugins(c, service) {
			r := summarize(c, service, p.kind, rounds[service])
			if r.Failed = failed[service+p.kind]; r.Failed == "" {
				r.Failed = failed[kindNull]
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// plugins are what is compared for a service. Where workers and the service's
// latency decide how fast records go, the C plugin is there twice: with as many
// workers, and with its default, which is one worker that has many calls in flight.
func (b *benchmark) plugins(c caseOf, service string) []plugin {
	all := []plugin{{kind: kindC, service: service, name: cNames[service]}}
	if c.latency > 0 && c.workers != 1 {
		all = append(all, plugin{kind: kindCDefault, service: service, name: cNames[service]})
	}
	all = append(all, plugin{kind: kindOurs, service: service, name: service, so: filepath.Join(b.bin, service+".so")})
	for _, o := range b.others {
		if serviceOf(o.path) == service && !slices.ContainsFunc(all, func(p plugin) bool { return p.kind == o.path }) {
			all = append(all, plugin{kind: o.path, service: service, name: o.name, so: o.path})
		}
	}
	return all
}

// progress says how far a benchmark is.
type progress struct {
	w          io.Writer
	runs, done int
	started    time.Time
}

// begin says what runs now. What it returns says how that went.
func (p *progress) begin(what string) func(result string, err error) {
	fmt.Fprintf(p.w, "[%d of %d%s] %s … ", p.done+1, p.runs, p.left(time.Since(p.started)), what)
	return func(result string, err error) {
		p.done++
		if err != nil {
			result = "FAILED: " + firstError(err)
		}
		fmt.Fprintln(p.w, result)
	}
}

// left says about how long it will take, going by what it has taken.
func (p *progress) left(took time.Duration) string {
	if p.done == 0 {
		return ""
	}
	return fmt.Sprintf(", about %v left", (took / time.Duration(p.done) * time.Duration(p.runs-p.done)).Round(time.Second))
}
