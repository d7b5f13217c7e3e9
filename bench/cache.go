package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// fadvDontNeed is POSIX_FADV_DONTNEED.
const fadvDontNeed = 4

// uncache has the files of the program and of the plugins read from the disk by the
// first run, as on a node that has started. A file that was just built lies in the
// kernel's cache in pieces as large as it was written in, and Linux (6.18) maps such
// a piece as a whole: up to 3 MB more of a library are resident, touched or not.
func (b *benchmark) uncache() error {
	dirs := []string{b.bin}
	for _, o := range b.others {
		dirs = append(dirs, filepath.Dir(o.path))
	}
	files := []string{b.fluentBit}
	for _, dir := range dirs {
		libraries, err := filepath.Glob(filepath.Join(dir, "*.so"))
		if err != nil {
			return err
		}
		files = append(files, libraries...)
	}
	for _, name := range files {
		if err := uncache(name); err != nil {
			return fmt.Errorf("cannot have %s read from the disk: %w", name, err)
		}
	}
	return nil
}

func uncache(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // what is not written yet stays
		return err
	}
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, fadvDontNeed, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
