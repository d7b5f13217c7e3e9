// Command checkconfig reads a configuration of Fluent Bit, without starting it,
// and says all that is wrong with the outputs cloudwatch, kinesis and firehose:
//
//	make check-config CONF=fluent-bit.conf
//
// It takes the classic format and YAML, with what they include, and puts in
// ${VARIABLES} from the environment, @SET and env. The options are read by the
// plugins' own code. Problems, which keep Fluent Bit from starting, make the exit
// status 1; hints do not.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout))
}

// run checks the files, and returns the exit status.
func run(files []string, lookupEnv func(string) (string, bool), out io.Writer) int {
	if len(files) == 0 {
		fmt.Fprintln(out, "usage: checkconfig FILE...   or: make check-config CONF=FILE")
		return 2
	}
	status := 0
	for _, file := range files {
		c, err := read(file, lookupEnv)
		if err != nil {
			fmt.Fprintf(out, "%v\n", err)
			status = 1
			continue
		}
		outputs, findings := check(c)
		problems, hints := 0, 0
		for _, f := range findings {
			fmt.Fprintln(out, f)
			if f.hint {
				hints++
			} else {
				problems++
			}
		}
		fmt.Fprintf(out, "%s: outputs %d, problems %d, hints %d\n", file, outputs, problems, hints)
		if problems > 0 {
			status = 1
		}
	}
	return status
}
