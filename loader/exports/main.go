// Command exports checks what the DLLs of a Windows build show: the names of the
// version script, and in the loaders those that Fluent Bit looks up.
//
//	go run ./loader/exports loader/library.map dist/windows-amd64
package main

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const library = "libaws-for-fluent-bit.dll"

func main() {
	if len(os.Args) != 3 {
		fail("usage: exports VERSION-SCRIPT DIR")
	}
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err.Error())
	}
	wanted := names(string(script))
	files, err := filepath.Glob(filepath.Join(os.Args[2], "*.dll"))
	if err != nil || len(files) < 2 {
		fail(fmt.Sprintf("%d DLLs in %s", len(files), os.Args[2]))
	}
	good := true
	for _, file := range files {
		want := slices.Clone(wanted)
		if filepath.Base(file) != library {
			want = append(slices.DeleteFunc(want, func(n string) bool { return !strings.HasPrefix(n, "FLB") }), "FLBPluginRegister")
		}
		got, err := exports(file)
		if err != nil {
			fail(err.Error())
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(n string) bool { return slices.Contains(got, n) })
		if len(missing) > 0 {
			good = false
			fmt.Printf("FAIL %s lacks %s\n", file, strings.Join(missing, " ")) //nolint:forbidigo // its output
			continue
		}
		fmt.Printf("ok   %s: %s\n", file, strings.Join(want, " ")) //nolint:forbidigo // its output
	}
	if !good {
		os.Exit(1) //nolint:forbidigo // a program of its own, not a guest
	}
}

func fail(why string) {
	fmt.Fprintf(os.Stderr, "exports: %s\n", why)
	os.Exit(1) //nolint:forbidigo // a program of its own, not a guest
}

var name = regexp.MustCompile(`(?m)^\s+(\w+);`)

// names are those that a version script shows.
func names(script string) (all []string) {
	_, script, _ = strings.Cut(script, "global:")
	script, _, _ = strings.Cut(script, "local:")
	for _, m := range name.FindAllStringSubmatch(script, -1) {
		all = append(all, m[1])
	}
	return all
}

// exports reads the names in a DLL's export directory.
// https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#export-directory-table
func exports(file string) (all []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f, err := pe.NewFile(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil, fmt.Errorf("cannot read %s: it is not for a 64-bit processor", file)
	}
	// at returns what lies at an address of the loaded DLL.
	at := func(address uint32) []byte {
		for _, s := range f.Sections {
			if address >= s.VirtualAddress && address < s.VirtualAddress+s.VirtualSize {
				data, err := s.Data()
				if err != nil || uint32(len(data)) <= address-s.VirtualAddress { // sections are smaller than 4 GB
					return nil
				}
				return data[address-s.VirtualAddress:]
			}
		}
		return nil
	}
	directory := at(header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress)
	if len(directory) < 40 {
		return nil, fmt.Errorf("cannot read %s: it has no exports", file)
	}
	count, table := binary.LittleEndian.Uint32(directory[24:]), at(binary.LittleEndian.Uint32(directory[32:]))
	for i := range int(count) {
		if len(table) < 4*i+4 {
			return nil, fmt.Errorf("cannot read %s: its exports are cut off", file)
		}
		text, _, _ := strings.Cut(string(at(binary.LittleEndian.Uint32(table[4*i:]))), "\x00")
		all = append(all, text)
	}
	return all, nil
}
