package host

import (
	"crypto/sha256"
	_ "embed" // proxy/host.c
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

//go:embed proxy/host.c
var source []byte

// archiveName is the library as Variant.Race has it built: not to be loaded, but
// to be linked into the host. ThreadSanitizer, as Go has it, has no place to
// keep its notes on a shared object's memory, which lies right below the stack.
const archiveName = "libaws-for-fluent-bit.a"

// compile returns the path of the host program, with the archive linked in if
// there is one. It comes from the cache if it is there.
func compile(symbols Symbols, archive string) (program string, err error) {
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	args := []string{"-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", fmt.Sprintf("-DSYMBOLS=%d", 2-symbols),
		"-rdynamic", "-pthread", "-x", "c", "-"}
	key := compiler + string(source)
	if archive != "" {
		args = append(args, "-x", "none", "-no-pie", "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive", "-lresolv")
		info, err := os.Stat(archive)
		if err != nil {
			return "", fmt.Errorf("cannot find the library built with the race detector: %w", err)
		}
		key += info.ModTime().String()
	}
	args = append(args, "-ldl")
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(key + strings.Join(args, " ")))
	if archive == "" {
		program = filepath.Join(dir, fmt.Sprintf("host-%x", sum[:8]))
	} else {
		// Beside the archive, and of 30 MB: one for each of its builds would be too many.
		program = filepath.Join(filepath.Dir(archive), fmt.Sprintf("host-%d", symbols))
		if old, err := os.ReadFile(program + ".sum"); err != nil || string(old) != string(sum[:]) {
			os.Remove(program)
		}
	}
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	// Another process may do the same right now: the rename decides.
	work, err := os.MkdirTemp(dir, "compile")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	fresh := filepath.Join(work, "host")
	cmd := exec.Command(compiler, append(args, "-o", fresh)...)
	cmd.Stdin = strings.NewReader(string(source))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile the host with %s: %w\n%s", compiler, err, out)
	}
	if err := os.Rename(fresh, program); err != nil {
		return "", fmt.Errorf("cannot keep the compiled host: %w", err)
	}
	if archive != "" {
		err = os.WriteFile(program+".sum", sum[:], 0o600)
	}
	return program, err
}

// cacheDir returns a directory of the user's own that outlives the process.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // a container without a home
	}
	dir := filepath.Join(base, "aws-for-fluent-bit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot make the cache directory: %w", err)
	}
	return dir, nil
}

// Variant is a way to build the plugins.
type Variant struct {
	// Race builds with the race detector, at ten times the memory, for a Config
	// with Race. What it finds is an error of Close. The loaders' paths then only
	// name the plugins.
	Race bool
	// Probe adds the output "probe" (plugins_hosttest.go), which sends nothing
	// and does what the tag of a chunk says: for tests of the boundary.
	Probe bool
}

// Build has make build the plugins unless they are up to date, and returns the
// directory they are in: bin for the plain variant, a cached one for others.
// Tests of several packages may call it at the same time.
func Build(v Variant) (dir string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "build.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if v == (Variant{}) {
		return filepath.Join(root, "bin"), run(root, "make", "-s", "build")
	}
	name, tags := "bin", ""
	if v.Probe {
		name, tags = name+"-probe", "hosttest"
	}
	if v.Race {
		name += "-race"
	}
	sum := sha256.Sum256([]byte(root)) // each checkout has its own
	dir = filepath.Join(cache, fmt.Sprintf("%s-%x", name, sum[:6]))
	if v.Race {
		return dir, run(root, "go", "build", "-race", "-buildmode=c-archive", "-tags", tags,
			"-ldflags", "-s -w", "-o", filepath.Join(dir, archiveName), ".")
	}
	return dir, run(root, "make", "-s", "build", "BIN="+dir, "GOTAGS="+tags, "NAMES=cloudwatch kinesis firehose probe")
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the plugins: %v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// moduleRoot is where this package's source was when it was compiled.
func moduleRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..")
	if !ok || !filepath.IsAbs(file) {
		// Built with -trimpath: go knows.
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			return "", fmt.Errorf("cannot find the module's directory: %w", err)
		}
		root = strings.TrimSpace(string(out))
	}
	return root, nil
}

// lock takes a lock among processes.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock for building: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot take the lock for building: %w", err)
	}
	return func() { f.Close() }, nil
}
