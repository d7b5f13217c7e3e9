package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// settings are the command's options, and the directories it works in.
type settings struct {
	gremlins, argued, keep string
	again, verbose         bool
	workers                int
	least                  time.Duration // that a run of tests is given
	out                    io.Writer
	root, work             string
}

// memory is what a test may take, in KiB of addresses: a mutant that appends
// without end is ended by it and not by the machine.
const memory = 6 << 20

// listed is what go list says of a package.
type listed struct {
	GoFiles, CgoFiles []string
	ImportPath        string
	Export            string
}

// target is a package whose mutants are run.
type target struct {
	*settings
	dir     string
	tests   []string // directories of the packages whose tests are run: its own, and others
	env     []string
	limit   time.Duration
	mutants []*mutant
}

// onPackage finds the mutants of the first package of dirs, and what becomes of
// them in the tests of all.
func (s *settings) onPackage(dirs []string) ([]*mutant, error) {
	dir := dirs[0]
	t := &target{settings: s, dir: dir, tests: dirs, env: os.Environ()}
	own, exports, err := t.list()
	if err != nil {
		return nil, err
	}
	if t.mutants, err = s.find(dir, own.GoFiles, t.env); err != nil {
		return nil, err
	}
	results, err := t.results(own.GoFiles)
	if err != nil {
		return nil, err
	}
	c, err := check(s.root, dir, own.GoFiles, exports)
	if err != nil {
		return nil, err
	}
	single, err := t.buildAll(c)
	if err != nil {
		return nil, err
	}
	if err := t.testUnchanged(); err != nil {
		return nil, err
	}
	t.runAll(single, results)
	return t.mutants, results.Close()
}

// tries are how often tests that are to pass are run, on a machine that is busy.
const tries = 3

// testUnchanged runs the tests without a change, for the time that they take.
func (t *target) testUnchanged() error {
	var out string
	for range tries {
		t.limit = 2 * time.Minute
		start := time.Now()
		var result end
		if result, out = t.test("all", -1); result == lived {
			t.limit = t.least + 5*time.Since(start)
			return nil
		}
	}
	return fmt.Errorf("the tests fail without a change:\n%s", out)
}

// runAll runs the tests with each mutant of which nothing is known yet.
func (t *target) runAll(single map[*mutant]bool, results io.Writer) {
	work := make(chan *mutant)
	var all sync.WaitGroup
	var one sync.Mutex
	for range t.workers {
		all.Go(func() {
			for m := range work {
				if single[m] {
					m.end = t.alone(m)
				} else {
					m.end, _ = t.test("all", m.number)
				}
				one.Lock()
				fmt.Fprintf(results, "%d %s\n", m.number, m.end)
				one.Unlock()
			}
		})
	}
	for _, m := range t.mutants {
		if m.end == unknown {
			work <- m
		}
	}
	close(work)
	all.Wait()
}

// list returns what go list says of the package and where the export data of its
// imports is. What needs no C is built without it, which links faster.
func (t *target) list() (own listed, exports map[string]string, err error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Export,GoFiles,CgoFiles", "./"+t.dir)
	cmd.Dir = t.root
	out, err := cmd.Output()
	if err != nil {
		return own, nil, fmt.Errorf("cannot run go list: %w", err)
	}
	exports = make(map[string]string)
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := in.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return own, nil, err
		}
		exports[l.ImportPath] = l.Export
		own = l // the last one is the package itself
	}
	if len(own.CgoFiles) == 0 {
		t.env = append(t.env, "CGO_ENABLED=0")
	}
	return own, exports, nil
}

// results opens the file of results of this very code. With -again, what it says
// was killed counts as such.
func (t *target) results(names []string) (io.WriteCloser, error) {
	if t.keep == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	h := sha256.New()
	for _, name := range names {
		source, err := os.ReadFile(filepath.Join(t.root, t.dir, name))
		if err != nil {
			return nil, err
		}
		h.Write(source)
	}
	if err := os.MkdirAll(t.keep, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(t.keep, fmt.Sprintf("%s-%x", strings.ReplaceAll(t.dir, "/", "-"), h.Sum(nil)[:8]))
	if !t.again {
		return os.Create(file)
	}
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		number, result, _ := strings.Cut(line, " ")
		if n, err := strconv.Atoi(number); err == nil && n < len(t.mutants) && end(result) != lived {
			t.mutants[n].end = end(result)
		}
	}
	return os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// said finds the place of an error in what the compiler says.
var said = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):`)

// buildAll builds the package's tests with all mutants that can be switched, and
// says which cannot: a constant has to be one, and a line that does not compile
// is left as it was.
func (t *target) buildAll(c *checked) (single map[*mutant]bool, err error) {
	single = make(map[*mutant]bool)
	for {
		replaced := make(map[string]string)
		for i, file := range c.files {
			name := c.set.Position(file.Pos()).Filename
			var ms []*mutant
			for _, m := range t.mutants {
				if m.file == name && !single[m] {
					ms = append(ms, m)
				}
			}
			text, switched := rewrite(c.set, file, c.sources[i], c.pkg, c.info, ms)
			for _, m := range ms {
				single[m] = !switched[m]
			}
			to := filepath.Join(t.work, "all-"+filepath.Base(name))
			if err := os.WriteFile(to, text, 0o644); err != nil {
				return nil, err
			}
			replaced[name] = to
		}
		out, err := t.build("all", replaced)
		if err == nil {
			return single, nil
		}
		some := false
		for _, place := range said.FindAllStringSubmatch(out, -1) {
			name, line := strings.TrimPrefix(filepath.Base(place[1]), "all-"), place[2]
			for _, m := range t.mutants {
				if filepath.Base(m.file) == name && strconv.Itoa(m.line) == line && !single[m] {
					single[m], some = true, true
				}
			}
		}
		if !some {
			return nil, fmt.Errorf("cannot build the tests: %w\n%s", err, out)
		}
	}
}

// binary is the file of the tests of a package in dir, with the changes of that name.
func (t *target) binary(name, dir string) string {
	return filepath.Join(t.work, name+"-"+filepath.Base(dir)+".test")
}

// build builds the tests with other texts for some of the package's files.
func (t *target) build(name string, replaced map[string]string) (out string, err error) {
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for file, to := range replaced {
		overlay.Replace[filepath.Join(t.root, file)] = to
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file := filepath.Join(t.work, name+".json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return "", err
	}
	for _, dir := range t.tests {
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", file, "-gcflags=-e", "-ldflags=-s -w", "-o", t.binary(name, dir), "./"+dir)
		cmd.Dir, cmd.Env = t.root, t.env
		if text, err := cmd.CombinedOutput(); err != nil {
			return string(text), err
		}
	}
	return "", nil
}

// alone builds the tests for one mutant and runs them.
func (t *target) alone(m *mutant) end {
	source, err := os.ReadFile(filepath.Join(t.root, m.file))
	if err != nil {
		return unknown
	}
	name := fmt.Sprintf("one-%d", m.number)
	to := filepath.Join(t.work, name+".go")
	changed := append(append(append([]byte{}, source[:m.offset]...), m.put...), source[m.offset+len(m.op):]...)
	if err := os.WriteFile(to, changed, 0o644); err != nil {
		return unknown
	}
	defer func() {
		for _, dir := range t.tests {
			os.Remove(t.binary(name, dir))
		}
	}()
	if _, err := t.build(name, map[string]string{m.file: to}); err != nil {
		return notViable
	}
	result, _ := t.test(name, -1)
	return result
}

// test runs the tests that were built with the changes of a name, with one of
// them or with none, up to the first package whose tests fail.
func (t *target) test(name string, number int) (result end, out string) {
	for _, dir := range t.tests {
		if result, out = t.testIn(dir, t.binary(name, dir), number); result != lived {
			break
		}
	}
	return result, out
}

func (t *target) testIn(dir, binary string, number int) (end, string) {
	ctx, cancel := context.WithTimeout(context.Background(), t.limit)
	defer cancel()
	limited := fmt.Sprintf(`ulimit -v %d; exec "$0" -test.short -test.failfast`, memory)
	cmd := exec.CommandContext(ctx, "sh", "-c", limited, binary)
	cmd.Dir, cmd.Env = filepath.Join(t.root, dir), append(t.env[:len(t.env):len(t.env)], fmt.Sprintf("MUTANT=%d", number))
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return timedOut, string(out)
	case err != nil:
		return killed, string(out)
	}
	return lived, string(out)
}
