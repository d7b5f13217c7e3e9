package delivery

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aws-for-fluent-bit/internal/options"
)

// After a hot reload, and with ledger_path after a restart, what was delivered
// of a chunk is not sent again.
func TestLedgerIsCarriedOver(t *testing.T) {
	for _, c := range []struct {
		name    string
		path    bool
		restart bool
		skipped int
	}{
		{"hot reload", false, false, 35},
		{"restart", false, true, 0},
		{"hot reload with ledger_path", true, false, 35},
		{"restart with ledger_path", true, true, 35},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := config{"stream", t.Name()}
			if c.path {
				options = append(options, "ledger_path", t.TempDir())
			}
			a, b := chunkOf("a", 100), chunkOf("b", 300)
			first, _ := open(t, "kinesis.0", options)
			flush(first, a, 70, even)
			flush(first, b, 300, none)
			first.Close()
			if c.restart {
				left.Clear()
			}
			idle, _ := open(t, "kinesis.0", options)
			idle.Close() // no flush: all stays where it is
			other, _ := open(t, "kinesis.1", options)
			flush(other, a, 70, all)
			want(t, other, In, 70, Sent, 70, Skipped, 0)
			other.Close()
			changed, _ := open(t, "kinesis.0", append(config{"stream", "another"}, options...))
			flush(changed, chunkOf("c", 9), 10, all)
			want(t, changed, In, 10, Sent, 10)

			next, got := open(t, "kinesis.0", options)
			want(t, next, In, 0)
			flush(next, chunkOf("c", 9), 10, all)
			carried := 0
			if c.skipped > 0 {
				carried = 35 + 300
			}
			want(t, next, In, 10+carried, Sent, 10)
			flush(next, a, 70, all)
			flush(next, b, 300, all)
			want(t, next, In, 10+70+300-c.skipped, Sent, 10+70+300-c.skipped, Skipped, c.skipped)
			if lines := got.take(); len(lines) != 0 {
				t.Errorf("logged %q", lines)
			}
			next.Close()
			changed.Close()
			if c.path {
				files, err := os.ReadDir(options.get("ledger_path"))
				if err != nil || len(files) != 0 {
					t.Errorf("files %v are left, error %v", files, err)
				}
			}
			left.Range(func(key, _ any) bool {
				t.Errorf("entries of %v are left", key)
				return true
			})
		})
	}
}

// Time goes on while nobody is there.
func TestCarriedLedgerAges(t *testing.T) {
	for _, c := range []struct {
		away      time.Duration
		abandoned int
	}{{50 * time.Minute, 0}, {70 * time.Minute, 5}} {
		synctest.Test(t, func(t *testing.T) {
			options := config{"ledger_path", t.TempDir()}
			first, _ := open(t, "out.0", options)
			flush(first, chunkOf("a", 30), 10, even)
			time.Sleep(5 * time.Minute)
			first.Close()
			time.Sleep(c.away)
			next, _ := open(t, "out.0", options)
			flush(next, chunkOf("b", 30), 10, all)
			want(t, next, In, 15, Sent, 10, Abandoned, c.abandoned)
			next.Close()
		})
	}
}

// The bounds hold for what is carried over too.
func TestCarriedLedgerIsBounded(t *testing.T) {
	options := config{"ledger_path", t.TempDir()}
	first, _ := open(t, "out.0", options)
	for _, tag := range []string{"a", "b", "c"} {
		flush(first, chunkOf(tag, 30), 10, even)
	}
	first.Close()
	next, _ := open(t, "out.0", append(options, "ledger_max_chunks", "2"))
	flush(next, chunkOf("a", 30), 10, all)
	flush(next, chunkOf("c", 30), 10, all)
	want(t, next, In, 15+10, Sent, 15, Abandoned, 5, Skipped, 5)
}

// A file that is damaged is no reason to stop, and never to take a record for
// delivered.
func TestDamagedLedger(t *testing.T) {
	const good = `{"chunks":[{"tag":"a","size":30,"sum":1,"records":10,"settled":"AQ==","kept":"2026-01-02T03:04:05Z"}]}`
	for _, c := range []struct{ name, text string }{
		{"empty", ""},
		{"cut off", good[:50]},
		{"another form", `[1]`},
		{"all settled", strings.Replace(good, `"AQ=="`, `"/wM="`, 1)},
		{"settled beyond the end", strings.Replace(good, `"AQ=="`, `"AAQ="`, 1)},
		{"no records", strings.Replace(good, `10,`, `-1,`, 1)},
		{"too many records", strings.Replace(good, `10,`, `31,`, 1)},
		{"bits that are none", strings.Replace(good, `AQ==`, `?`, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			d, got := open(t, "out.0", config{"ledger_path", dir})
			write(t, d.carry.file(), c.text)
			flush(d, chunkOf("a", 30), 10, all)
			want(t, d, In, 10, Sent, 10)
			if line, ok := got.find("cannot take over a ledger"); !ok || !strings.HasPrefix(line, "warning") {
				t.Errorf("logged %q, want a warning", line)
			}
			if _, err := os.Stat(d.carry.file()); err == nil {
				t.Error("the file is still there")
			}
		})
	}
	d, got := open(t, "out.0", config{"ledger_path", t.TempDir(), "ledger_max_age", "24h"})
	write(t, d.carry.file(), strings.Replace(good, "2026", "2999", 1)) // a clock that was set back
	flush(d, chunkOf("b", 30), 10, all)
	want(t, d, In, 19, Sent, 10)
	if age := time.Since(d.ledger.oldest.Front().Value.(*memory).kept); age < 0 || age > time.Hour {
		t.Errorf("the entry is %v old", age)
	}
	if lines := got.take(); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerPath(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	for _, path := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "file")} {
		s := options.New(config{"ledger_path", path}.get)
		New(Env{}, s)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "ledger_path") || !strings.Contains(err.Error(), path) {
			t.Errorf("ledger_path %s: error %v, want one that names option and path", path, err)
		}
	}
	d, got := open(t, "a/../b", config{"ledger_path", dir}) // a name that a path must not follow
	flush(d, chunkOf("a", 30), 10, even)
	d.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*.ledger"))
	if err != nil || len(files) != 1 || !strings.HasPrefix(filepath.Base(files[0]), "a%2F..%2Fb-") {
		t.Errorf("files %q, error %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file is %v, error %v, want it for its owner alone", info.Mode(), err)
	}
	got.take()

	// The directory goes away while the output runs.
	gone := filepath.Join(dir, "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	d, got = open(t, "out.0", config{"ledger_path", gone})
	flush(d, chunkOf("a", 30), 10, even)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if line, ok := got.find("cannot keep the ledger"); !ok || !strings.Contains(line, "gone") {
		t.Errorf("logged %q, want a warning with the path", line)
	}
}

// What another set of options has left goes when the same output ends, and
// nobody else's does.
func TestLedgerFilesDoNotPileUp(t *testing.T) {
	dir := t.TempDir()
	keep := []string{"out.0-1.ledger", "out.0-x-0123456789abcdef.ledger", "out.01-0123456789abcdef.ledger", "out.0-0123456789abcdef.txt"}
	for _, name := range append(keep, "out.0-0123456789abcdef.ledger") {
		write(t, filepath.Join(dir, name), "")
	}
	d, _ := open(t, "out.0", config{"ledger_path", dir})
	flush(d, chunkOf("a", 30), 10, all)
	d.Close()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	slices.Sort(keep)
	if !slices.Equal(names, keep) {
		t.Errorf("files %q, want %q", names, keep)
	}
}

// Without options of its own an output cannot be told from another one.
func TestNothingIsCarriedForAnUnknownOutput(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		d := New(Env{Name: "out.0"}, options.New(func(name string) string {
			if name == "ledger_path" {
				return dir
			}
			return ""
		}))
		flush(d, chunkOf("a", 30), 10, even)
		want(t, d, In, 10, Sent, 5, Skipped, 0)
		d.Close()
	}
}

// The first flushes of all workers wait for what was left.
func TestResumeSideBySide(t *testing.T) {
	options := config{"ledger_path", t.TempDir()}
	first, _ := open(t, "out.0", options)
	tags := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, tag := range tags {
		flush(first, chunkOf(tag, 30), 10, even)
	}
	first.Close()
	next, _ := open(t, "out.0", options)
	var wait sync.WaitGroup
	for _, tag := range tags {
		wait.Go(func() { flush(next, chunkOf(tag, 30), 10, all) })
	}
	wait.Wait()
	want(t, next, In, 40, Sent, 40, Skipped, 40)
}
