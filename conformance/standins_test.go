package conformance

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// The stand-ins are installed once, into the user's cache, at the versions that
// testdata pins, and started on 127.0.0.1 at ports that the system chooses.

const (
	region    = "us-east-2"
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// plain is a configuration for the SDK as it is, to read back with.
func plain() aws.Config {
	return aws.Config{Region: region, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, "")}
}

// ctx ends before the test binary's own time limit does.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// venv is a Python with moto and botocore.
var venv = sync.OnceValues(func() (string, error) {
	return installed("python", []string{"testdata/requirements.txt"}, func(dir string) error {
		if err := run(dir, "python3", "-m", "venv", "."); err != nil {
			return err
		}
		requirements, err := filepath.Abs("testdata/requirements.txt")
		if err != nil {
			return err
		}
		return run(dir, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements)
	})
})

var nodeModules = sync.OnceValues(func() (string, error) {
	files := []string{"testdata/kinesalite/package.json", "testdata/kinesalite/package-lock.json", "testdata/kinesalite/start.js"}
	return installed("node", files, func(dir string) error {
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o600); err != nil {
				return err
			}
		}
		// Nothing in it has to be compiled: it keeps its streams in memory.
		return run(dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	})
})

// installed returns a directory that install has filled, now or in an earlier
// run with the same files.
func installed(name string, files []string, install func(dir string) error) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	sum := sha256.New()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	dir := filepath.Join(base, "aws-for-fluent-bit", "conformance", fmt.Sprintf("%s-%x", name, sum.Sum(nil)[:6]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	if err := install(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(done, nil, 0o600)
}

func run(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// python returns the interpreter that has moto and botocore, or skips the test.
func python(t *testing.T) string {
	t.Helper()
	dir, err := venv()
	if err != nil {
		t.Skipf("SKIP: cannot install moto and botocore: %v", err)
	}
	return filepath.Join(dir, "bin", "python")
}

// startMoto returns the URL of a fresh moto.
func startMoto(t *testing.T) string {
	return startServer(t, exec.Command(python(t), "testdata/start_moto.py"))
}

// startKinesalite returns the URL of a fresh kinesalite.
func startKinesalite(t *testing.T) string {
	t.Helper()
	dir, err := nodeModules()
	if err != nil {
		t.Skipf("SKIP: cannot install kinesalite: %v", err)
	}
	cmd := exec.Command("node", "start.js")
	cmd.Dir = dir
	return startServer(t, cmd)
}

// startServer starts a program that says its port in its first line and ends when
// its standard input does.
func startServer(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(stderr.Name())
			t.Logf("end of %s: %s", cmd.Args, text[max(0, len(text)-3000):])
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	port, ok := strings.CutPrefix(strings.TrimSpace(line), "port ")
	if err != nil || !ok {
		t.Fatalf("%s says %q, %v", cmd.Args, line, err)
	}
	return "http://127.0.0.1:" + port
}
