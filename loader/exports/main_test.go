package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	script, err := os.ReadFile("../library.map")
	if err != nil {
		t.Fatal(err)
	}
	got := names(string(script))
	if len(got) < 6 || !slices.Contains(got, "aws_for_fluent_bit_register") || slices.Contains(got, "FLBPluginRegister") {
		t.Errorf("the library shows %v", got)
	}
}

func TestNoDLL(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.dll")
	if err := os.WriteFile(file, []byte("no DLL"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := exports(file); err == nil || !strings.Contains(err.Error(), "cannot read") {
		t.Errorf("got %v", err)
	}
}
