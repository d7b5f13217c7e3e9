package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/host"
)

// How often the built-in host brings a chunk again, and how long it waits before.
const (
	retries    = 5
	retryPause = time.Second
)

// runBuiltin ships the logs below root without a fluent-bit: the chunks of a
// node go to every [OUTPUT] of fluent-bit.conf, as Match * has it. It returns
// the log.
func runBuiltin(ctx context.Context, s setup) (log string, err error) {
	n, err := newNode(s.demo)
	if err != nil {
		return "", err
	}
	chunks, err := n.chunks(s.root)
	if err != nil {
		return "", err
	}
	outputs, err := readConfig(filepath.Join(s.demo, "fluent-bit.conf"), "OUTPUT")
	if err != nil {
		return "", err
	}
	var loaders []string
	for _, d := range destinations {
		loaders = append(loaders, s.loader(d.plugin))
	}
	logFile, err := os.Create(filepath.Join(s.root, "host.log"))
	if err != nil {
		return "", err
	}
	defer logFile.Close()
	h, err := host.Start(host.Config{Loaders: loaders, Copy: logFile})
	if err != nil {
		return "", err
	}
	err = deliver(ctx, h, outputs, chunks)
	err = errors.Join(err, h.Close())
	return h.LogText(), err // with what was logged at the end
}

// deliver hands all chunks to all outputs, to each from as many goroutines as it
// has workers.
func deliver(ctx context.Context, h *host.Host, outputs []section, chunks []nodeChunk) error {
	instances := make([]*host.Instance, len(outputs))
	workers := make([]int, len(outputs))
	for i, o := range outputs {
		options, n, err := instanceOptions(o)
		if err != nil {
			return err
		}
		if instances[i], err = h.Init(o.get("Name"), options, n); err != nil {
			return err
		}
		workers[i] = max(1, n) // one at a time without workers
	}
	var wait sync.WaitGroup
	var mu sync.Mutex // guards the following
	var errs []error
	for i, out := range instances {
		tasks := make(chan nodeChunk, len(chunks))
		for _, c := range chunks {
			tasks <- c
		}
		close(tasks)
		for range workers[i] {
			wait.Go(func() {
				for c := range tasks {
					if ctx.Err() != nil {
						return
					}
					result, _, err := out.Deliver(c.tag, c.data, retries, retryPause)
					if err == nil && result != delivery.OK {
						err = fmt.Errorf("a chunk of tag %s was answered with %v", c.tag, result)
					}
					if err != nil {
						mu.Lock()
						errs = append(errs, err)
						mu.Unlock()
					}
				}
			})
		}
	}
	wait.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// instanceOptions parts an [OUTPUT]'s keys into those that the plugin is asked
// to know and those that are Fluent Bit's own.
func instanceOptions(o section) (options map[string]string, workers int, err error) {
	options = make(map[string]string)
	for i, key := range o.keys {
		switch strings.ToLower(key) {
		case "name", "match", "retry_limit":
		case "workers":
			if workers, err = strconv.Atoi(o.vals[i]); err != nil {
				return nil, 0, fmt.Errorf("cannot use workers of output %s: %w", o.get("Name"), err)
			}
		default:
			options[key] = o.vals[i]
		}
	}
	return options, workers, nil
}
