//go:build measured

package main

import (
	"fmt"
	"os"
	"runtime/coverage"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/flb"
	"aws-for-fluent-bit/internal/options"
)

// Built with -cover, a program writes what was run when it ends. A library never
// learns of that end, so here it is written whenever an output closes: for `make
// cover` alone. This file's init comes after that of plugins_hosttest.go.
func init() {
	for name, open := range outputs {
		outputs[name] = func(env delivery.Env, get options.Getter) (flb.Output, error) {
			out, err := open(env, get)
			if err != nil {
				writeCoverage()
				return nil, err
			}
			return measured{out}, nil
		}
	}
}

type measured struct{ flb.Output }

// GiveUpChunk is for those outputs that have it, see internal/flb.
func (m measured) GiveUpChunk(c delivery.Chunk, why error) {
	if out, ok := m.Output.(interface {
		GiveUpChunk(c delivery.Chunk, why error)
	}); ok {
		out.GiveUpChunk(c, why)
	}
}

func (m measured) Close() {
	m.Output.Close()
	writeCoverage()
}

func writeCoverage() {
	dir := os.Getenv("GOCOVERDIR")
	for _, write := range []func(string) error{coverage.WriteMetaDir, coverage.WriteCountersDir} {
		if err := write(dir); err != nil {
			fmt.Fprintln(os.Stderr, "cannot write coverage:", err)
		}
	}
}
