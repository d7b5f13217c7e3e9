package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where the figures were made.
type machine struct {
	CPU       string
	Cores     int
	Kernel    string
	FluentBit string
	Go        string
}

// unknown stands for what cannot be found out; no benchmark fails over it.
const unknown = "unknown"

func thisMachine(fluentBit string) machine {
	m := machine{CPU: unknown, Cores: runtime.NumCPU(), Kernel: unknown, Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuModel(string(text))
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	m.FluentBit = strings.TrimPrefix(firstLine(fluentBit, "--version"), "Fluent Bit v")
	return m
}

func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

// commit is what the working tree was built of.
func commit() string { return firstLine("git", "describe", "--always", "--dirty") }

// firstLine is the first line that a command prints.
func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return unknown
	}
	return strings.TrimSpace(line)
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores of %s, Linux %s, Fluent Bit %s, %s", m.Cores, m.CPU, m.Kernel, m.FluentBit, m.Go)
}
