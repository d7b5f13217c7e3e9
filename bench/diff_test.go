package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeGo stands in for go: what it builds prints a benchmark's line, or sleeps,
// and its benchstat shows the files that it is given.
const fakeGo = `#!/bin/sh
case "$*" in
*benchstat*-h) echo Usage; exit 2;;
*benchstat*) shift 2; for a; do echo "${a%%=*}:"; cat "${a#*=}"; done;;
"test -c -o "*) printf '#!/bin/sh\n%s\n' "$FAKE_BENCHMARK" >"$4"; chmod +x "$4";;
*) exit 1;;
esac
`

// diffRepository is a repository with a package that has benchmarks and one that
// has none, and a command of diff.sh in it.
func diffRepository(t *testing.T, benchmark string, args ...string) (cmd *exec.Cmd, repo, scratch string) {
	t.Helper()
	script, err := filepath.Abs("diff.sh")
	if err != nil {
		t.Fatal(err)
	}
	repo, scratch = t.TempDir(), t.TempDir()
	bin := t.TempDir()
	for path, text := range map[string]string{
		bin + "/go":           fakeGo,
		repo + "/a/a_test.go": "package a\n\nfunc BenchmarkA(b *testing.B) {}\n",
		repo + "/b/b_test.go": "package b\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "a", "b"}, {"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "first"}} {
		git := exec.Command("git", args...)
		git.Dir = repo
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	cmd = exec.Command("bash", append([]string{script}, args...)...)
	cmd.Dir = repo
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TMPDIR="+scratch, "FAKE_BENCHMARK="+benchmark)
	return cmd, repo, scratch
}

// wantClean wants nothing to be left of the other commit's tree.
func wantClean(t *testing.T, repo, scratch string) {
	t.Helper()
	git := exec.Command("git", "worktree", "list")
	git.Dir = repo
	if out, err := git.CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 1 {
		t.Errorf("worktrees: %s, %v", out, err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDiff(t *testing.T) {
	cmd, repo, scratch := diffRepository(t, `echo "BenchmarkA 1 5 ns/op $*"`, "HEAD", "A", "2", "1ms", "./a", "example/b", "./c")
	out, err := cmd.CombinedOutput()
	if got := strings.Count(string(out), "BenchmarkA 1 5 ns/op -test.run ^$ -test.bench A -test.benchtime 1ms"); err != nil || got != 4 {
		t.Errorf("%d lines, %v:\n%s", got, err, out)
	}
	if !strings.Contains(string(out), "HEAD:\n") || !strings.Contains(string(out), "here:\n") || strings.Contains(string(out), "./b") {
		t.Errorf("got\n%s", out)
	}
	wantClean(t, repo, scratch)
}

func TestDiffRefuses(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		cmd, repo, scratch := diffRepository(t, "exit 3", args...)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: got %v, %s", args, err, out)
		}
		wantClean(t, repo, scratch)
	}
	f("cannot find the commit 'none'", "none", ".", "1", "1ms", "./a")
	f("COUNT='many'", "HEAD", ".", "many", "1ms", "./a")
	f("none of the packages", "HEAD", ".", "1", "1ms", "./b")
	f("1 of 1: ./a", "HEAD", ".", "1", "1ms", "./a") // the benchmark fails
}

func TestDiffInterrupted(t *testing.T) {
	cmd, repo, scratch := diffRepository(t, "exec sleep 60", "HEAD", ".", "1", "1ms", "./a")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal interrupts all of it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 { // until the other tree is there
		if found, _ := filepath.Glob(scratch + "/*/new/*.test"); len(found) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	wantClean(t, repo, scratch)
}
