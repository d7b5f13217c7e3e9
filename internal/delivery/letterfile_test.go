package delivery

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// The file is as large as it may be, with one before it, and every line of it is whole.
func TestLetterFileIsBounded(t *testing.T) {
	d, _, file := openLetters(t, "dead_letter_max_size", "64K")
	for range 10 {
		giveUp(d, 300)
	}
	for _, name := range []string{file, file + ".1"} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > 64<<10 || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		lettersIn(t, name)
	}
	if files, err := filepath.Glob(file + "*"); len(files) != 2 {
		t.Errorf("%q, %v", files, err)
	}
	want(t, d, DeadLetters, 3000, LostLetters, 0)

	// A record that has no room in any file is not kept.
	f := d.Begin(Chunk{Tag: "app", Data: []byte(event(0)[:14] + "\xa1k\xdb\x00\x01\x11\x70" + strings.Repeat("x", 70_000) + event(1))})
	_ = f.Walk(func(i int, _ *chunk.Event) { f.GiveUp(Cause{Why: Refused}, 1, at(i)) })
	f.Finish(nil)
	want(t, d, DeadLetters, 3001, LostLetters, 1)
}

// Outputs that name one file in two ways take turns.
func TestLetterFileOfTwoNames(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	here, err := os.Getwd() // the directory may have a link in its name
	if err != nil {
		t.Fatal(err)
	}
	if a, b := openLetterFile("letters", 10), openLetterFile(filepath.Join(here, "letters"), 10); a.gate != b.gate || a.path != b.path {
		t.Errorf("%s and %s have gates of their own", a.path, b.path)
	}
}

// A file is filled to the byte.
func TestLetterFileFillsUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "letters")
	l := openLetterFile(file, 10)
	for _, lines := range []string{"abcd\n", "efgh\n"} {
		if err := l.write([]byte(lines)); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "abcd\nefgh\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := l.write([]byte("123456789\n")); err != nil {
		t.Errorf("a line of the file's size: %v", err)
	}
	if err := l.write([]byte("1234567890\n")); err == nil {
		t.Error("a line of more than the file's size is written")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "123456789\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

// A file that cannot be written is said once, and once that it can again; nothing
// is held up.
func TestLetterFileThatFails(t *testing.T) {
	d, got, file := openLetters(t)
	dir := filepath.Dir(file)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		giveUp(d, 10)
	}
	want(t, d, In, 30, Refused, 30, DeadLetters, 0, LostLetters, 30)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	giveUp(d, 10)
	want(t, d, Refused, 40, DeadLetters, 10, LostLetters, 30)
	lines := got.take()
	if n := len(lines); n != 3 || !strings.Contains(lines[0], "error cannot write dead letters: ") || !strings.Contains(lines[1], "10 records that were given up are not kept") ||
		!strings.Contains(lines[2], "dead letters reach the file") {
		t.Errorf("logged %q", lines)
	}
}

// fullDisk has room for so many bytes more.
type fullDisk struct {
	text string
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.text += string(p[:n])
	if n < len(p) {
		return n, errors.New("no space left")
	}
	return n, nil
}
func (d *fullDisk) Truncate(n int64) error { d.text = d.text[:n]; return nil }
func (d *fullDisk) Close() error           { return nil }

// What was written of a line before the disk was full is taken back.
func TestHalfALine(t *testing.T) {
	d := &fullDisk{text: "one\n", room: 5}
	if err := finish(d, 4, []byte("two\nthree\n")); err == nil || d.text != "one\n" {
		t.Errorf("got %q, %v", d.text, err)
	}
	if err := finish(d, 4, []byte("two\n")); err != nil || d.text != "one\ntwo\n" {
		t.Errorf("got %q, %v", d.text, err)
	}
}

// A disk that does not answer holds a flush up for two seconds, once, and keeps no
// more than one flush's letters.
func TestSlowLetterFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, got, _ := openLetters(t)
		hung := make(chan struct{})
		written := 0
		d.letters.file.append = func([]byte) error { <-hung; written++; return nil }
		begun := time.Now()
		for i, wantTook := range []time.Duration{filePatience, 0, 0} {
			began := time.Now()
			giveUp(d, 10)
			if took := time.Since(began); took != wantTook {
				t.Errorf("flush %d took %v, want %v", i, took, wantTook)
			}
		}
		want(t, d, Refused, 30, LostLetters, 30)
		if line, ok := got.find("the disk has not answered for 2s"); !ok {
			t.Errorf("logged %q", line)
		}
		close(hung)
		synctest.Wait()
		for range 2 {
			giveUp(d, 10)
		}
		want(t, d, Refused, 50, DeadLetters, 20, LostLetters, 30)
		if written != 3 || time.Since(begun) != filePatience {
			t.Errorf("%d writings in %v", written, time.Since(begun))
		}
	})
}

func TestLetterFileOption(t *testing.T) {
	dir := t.TempDir()
	for path, problem := range map[string]string{
		dir:                              "it is not a regular file",
		filepath.Join(dir, "no", "file"): "no such file",
		os.DevNull:                       "it is not a regular file",
	} {
		if err := problemOf(config{"dead_letter_file", path}); err == nil || !strings.Contains(err.Error(), "option dead_letter_file: cannot write to") || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if err := problemOf(config{"dead_letter_max_size", "1"}); err == nil || !strings.Contains(err.Error(), "dead_letter_max_size") {
		t.Errorf("got %v", err)
	}
}

// problemOf is what is wrong with options.
func problemOf(c config) error {
	s := options.New(c.get)
	New(Env{}, s)
	return s.Err()
}
