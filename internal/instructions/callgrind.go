package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readCallgrind returns the instructions of each function itself, without those
// of what it calls, from a file without compressed names and positions
// (https://valgrind.org/docs/manual/cl-format.html).
func readCallgrind(r io.Reader) (map[string]int64, error) {
	costs := make(map[string]int64)
	function, skip, seen := "", false, false
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		text := in.Text()
		switch {
		case strings.HasPrefix(text, "fn="):
			// Recursion makes names as f'2.
			function, _, _ = strings.Cut(text[len("fn="):], "'")
			seen = true
		case strings.HasPrefix(text, "calls="):
			skip = true // the next line is what the call has cost
		case seen && text != "" && text[0] >= '0' && text[0] <= '9':
			if skip {
				skip = false
				continue
			}
			_, cost, _ := strings.Cut(text, " ")
			n, err := strconv.ParseInt(cost, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("cannot read callgrind's line %q: %w", text, err)
			}
			costs[function] += n
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(costs) == 0 {
		return nil, errors.New("cannot find a function in what callgrind wrote")
	}
	return costs, nil
}

// The stages of a record's way, as the columns of the table.
const (
	stageSHA     = "SHA-256"
	stageRuntime = "runtime"
	stageCall    = "call"
)

var stages = []string{"walk", "names", "JSON", "batch", "delivery", stageCall, "memory", stageRuntime, stageSHA}

// belongs says which stage a function is of, by what its name begins with; the
// first that fits counts. What fits none is of the call: signing, the SDK,
// net/http and the standard library under them.
var belongs = []struct{ prefix, stage string }{
	{"crypto/internal/fips140/sha256.", stageSHA},
	{"aws-for-fluent-bit/internal/chunk.", "walk"},
	{"aws-for-fluent-bit/internal/template.", "names"},
	{"aws-for-fluent-bit/internal/fields.", "names"},
	{"aws-for-fluent-bit/internal/timefmt.", "names"},
	{"aws-for-fluent-bit/cloudwatch.(*batch)", "batch"},
	{"aws-for-fluent-bit/cloudwatch.", "names"},
	{"aws-for-fluent-bit/kinesis.", "names"},
	{"aws-for-fluent-bit/firehose.", "names"},
	{"aws-for-fluent-bit/internal/jsonenc.", "JSON"},
	{"unicode/utf8.", "JSON"},
	{"github.com/tinylib/msgp/", "JSON"},
	{"aws-for-fluent-bit/internal/records.", "batch"},
	{"aws-for-fluent-bit/internal/base64.", "batch"},
	{"github.com/segmentio/asm/base64.", "batch"},
	{"encoding/base64.", "batch"},
	{"aws-for-fluent-bit/internal/delivery.", "delivery"},
	{"hash/maphash.", "delivery"},
	{"aeshashbody", "delivery"}, // of hash/maphash: the chunk's
	{"runtime.memmove", "memory"},
	{"runtime.memclr", "memory"},
	{"runtime.memequal", "memory"},
	{"memeqbody", "memory"},
	{"indexbytebody", "memory"},
	{"cmpbody", "memory"},
	{"countbody", "memory"},
	{"internal/bytealg.", "memory"},
	{"runtime.", stageRuntime},
	{"internal/runtime/", stageRuntime},
	{"sync.", stageRuntime},
	{"internal/sync.", stageRuntime},
}

func stageOf(function string) string {
	for _, b := range belongs {
		if strings.HasPrefix(function, b.prefix) {
			return b.stage
		}
	}
	return stageCall
}
