//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"aws-for-fluent-bit/internal/awslocal"
)

// prng is what Wine 8 lacks of Windows 10: where Go gets random numbers.
const prng = `
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom */
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n)
{
    return SystemFunction036(data, (ULONG) n);
}
`

// The Windows build of each plugin, loaded as Fluent Bit loads it, delivers a
// record. There is no Fluent Bit for Windows here, and Wine stands for Windows:
// `make cross-test` runs this, with E2E_WINDOWS naming the built DLLs.
func TestWindows(t *testing.T) {
	dlls := os.Getenv("E2E_WINDOWS")
	if dlls == "" {
		t.Skip("SKIP: make cross-test runs this")
	}
	wine, err := exec.LookPath("wine")
	if err != nil {
		t.Skip("SKIP: no wine on the PATH")
	}
	dir := t.TempDir()
	compile := func(out string, args ...string) {
		t.Helper()
		cmd := exec.Command("sh", append([]string{"../loader/zigcc.sh", "-O2", "-o", out}, args...)...)
		cmd.Env = append(os.Environ(), "ZIG_TARGET=x86_64-windows-gnu")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot compile %v: %v\n%s", args, err, text)
		}
	}
	try := filepath.Join(dir, "try.exe")
	compile(try, "-std=c11", "-Wall", "-Wextra", "-Werror", "../loader/try_windows.c")
	writeNew(t, filepath.Join(dir, "prng.c"), prng)

	// Outside the test's directory: Wine's server goes on for some seconds.
	prefix, err := os.MkdirTemp("", "wine")
	if err != nil {
		t.Fatal(err)
	}
	env := append(awsEnv(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "DISPLAY=")
	wineRun := func(args ...string) (string, error) {
		cmd := exec.Command(wine, args...)
		cmd.Env, cmd.Dir = env, dir
		cmd.WaitDelay = 10 * time.Second
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	t.Cleanup(func() {
		if server, err := exec.LookPath("wineserver"); err == nil {
			cmd := exec.Command(server, "-k")
			cmd.Env = env
			_ = cmd.Run() // it may have ended
		}
		_ = os.RemoveAll(prefix)
	})
	if text, err := wineRun("wineboot", "-i"); err != nil {
		t.Skipf("SKIP: wine does not start: %v %s", err, text)
	}
	system := filepath.Join(prefix, "drive_c/windows/system32")
	if _, err := os.Stat(filepath.Join(system, "bcryptprimitives.dll")); err != nil {
		compile(filepath.Join(system, "bcryptprimitives.dll"), "-shared", filepath.Join(dir, "prng.c"), "-ladvapi32")
	}

	now := time.Now()
	b := msgp.AppendArrayHeader(nil, 2)
	b = msgp.AppendArrayHeader(b, 2)
	b = binary.BigEndian.AppendUint32(append(b, 0xd7, 0), uint32(now.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(now.Nanosecond()))
	b = msgp.AppendMapHeader(b, 0)
	b = msgp.AppendMapStrStr(b, map[string]string{"log": "ログ"})
	writeNew(t, filepath.Join(dir, "chunk"), string(b))

	for _, s := range []sink{cloudwatchSink, kinesisSink, firehoseSink} {
		t.Run(s.plugin, func(t *testing.T) {
			aws := awsForSinks(t, awslocal.Config{})
			args := []string{try, `Z:` + strings.ReplaceAll(filepath.Join(dlls, s.plugin+".dll"), "/", `\`), "chunk", "region=us-east-2", "endpoint=" + aws.URL}
			for _, o := range s.options {
				k, v, _ := strings.Cut(o, " ")
				args = append(args, k+"="+v)
			}
			text, err := wineRun(args...)
			if err != nil || !strings.Contains(text, fmt.Sprintf("registered %s", s.plugin)) || !strings.Contains(text, "account: in 1, sent 1") {
				t.Errorf("%v:\n%s", err, text)
			}
			if got := s.records(aws); !reflect.DeepEqual(got, [][]byte{[]byte(`{"log":"ログ"}`)}) {
				t.Errorf("arrived: %q", got)
			}
		})
	}
}
