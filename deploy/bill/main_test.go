package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A program of this repository stands in for the library: it is quick to build.
func TestBill(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", program, "../../internal/testcount").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	n, err := write(program, dir)
	if err != nil || n < 1 {
		t.Fatalf("%d modules, %v", n, err)
	}
	var d spdx
	text, err := os.ReadFile(filepath.Join(dir, "sbom.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Packages) != n+1 || len(d.Relationships) != n+1 || d.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("%d modules are %+v", n, d)
	}
	if std := d.Packages[1]; std.Name != "std" || std.LicenseDeclared != "BSD-3-Clause" || std.Version == "" {
		t.Errorf("Go is %+v", std)
	}
	if _, err := os.Stat(filepath.Join(dir, "licenses/std/LICENSE")); err != nil {
		t.Error(err)
	}
	if _, err := write(filepath.Join(dir, "sbom.spdx.json"), dir); err == nil || !strings.Contains(err.Error(), "cannot read what") {
		t.Errorf("a file that is no program gives %v", err)
	}
}

func TestLicenses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := copyLicenses(dir, filepath.Join(dir, "out")); err == nil {
		t.Error("a module without a license is taken")
	}
	write("LICENSE", "All rights reserved.")
	if _, err := copyLicenses(dir, filepath.Join(dir, "out")); err == nil {
		t.Error("a license that is not known is taken")
	}
	write("LICENSE", "Apache License\n  Version 2.0, January 2004")
	write("LICENSE-MIT.txt", "Permission is hereby granted, free\nof charge, to any person")
	write("NOTICE", "This has a notice")
	write("license.go", "package x") // matches by its name; does no harm
	got, err := copyLicenses(dir, filepath.Join(dir, "out"))
	if err != nil || got != "Apache-2.0 AND MIT" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out/NOTICE")); err != nil {
		t.Error(err)
	}
	const bsd = "Redistribution and use in source and binary forms, with or without"
	for text, want := range map[string][]string{bsd: {"BSD-2-Clause"}, bsd + " Neither the name": {"BSD-3-Clause"}, "": nil} {
		if got := licensesIn(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
