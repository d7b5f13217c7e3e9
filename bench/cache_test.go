package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// cached counts the pages of a file that are in the kernel's cache.
func cached(t *testing.T, name string) (pages int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(data)
	seen := make([]byte, (len(data)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), uintptr(unsafe.Pointer(&seen[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, s := range seen {
		pages += int(s & 1)
	}
	return pages
}

// TestUncache: the files of the program and of all plugins are read anew, those that
// lie beside a plugin too.
func TestUncache(t *testing.T) {
	var fs syscall.Statfs_t
	const tmpfs = 0x01021994
	if err := syscall.Statfs(t.TempDir(), &fs); err != nil || fs.Type == tmpfs {
		t.Skipf("SKIP TestUncache: temporary files are in memory only, or %v", err)
	}
	dir, theirs := t.TempDir(), t.TempDir()
	b := benchmark{
		fluentBit: filepath.Join(t.TempDir(), "fluent-bit"),
		bin:       dir,
		others:    []other{{"kinesis", filepath.Join(theirs, "kinesis.so")}},
	}
	files := []string{b.fluentBit, filepath.Join(dir, "kinesis.so"), filepath.Join(dir, "library.so"), b.others[0].path}
	for _, name := range files {
		if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		if cached(t, name) == 0 {
			t.Fatalf("%s is not in the cache before", name)
		}
	}
	if err := b.uncache(); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if got := cached(t, name); got != 0 {
			t.Errorf("%d pages of %s are in the cache", got, name)
		}
	}
	if b.fluentBit = filepath.Join(dir, "none"); b.uncache() == nil {
		t.Error("no error for a file that is not there")
	}
}
