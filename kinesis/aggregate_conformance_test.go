//go:build conformance

package kinesis

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// These tests have aggregates read by the libraries that consumers use: AWS's
// Kinesis Client Library and the de-aggregator of awslabs for Lambda functions.
// They are installed at pinned versions into a folder that is thrown away.
//
//	go test -tags conformance -run Conformance -v ./kinesis

// runOrSkip runs a command of the installation, and skips the test where it
// cannot: without the language, or without a way to its packages.
func runOrSkip(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Skipf("SKIP: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// consume gives records to a de-aggregator and returns what it makes of each.
func consume(t *testing.T, sent []sentRecord, name string, args ...string) [][]userRecord {
	t.Helper()
	var in, stderr bytes.Buffer
	for _, s := range sent {
		fmt.Fprintf(&in, "%s\t%s\n", base64.StdEncoding.EncodeToString([]byte(s.key)), base64.StdEncoding.EncodeToString([]byte(s.data)))
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, stderr.Bytes())
	}
	users := make([][]userRecord, len(sent))
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(fields) != 3 {
			t.Fatalf("%s prints %d fields in a line", name, len(fields))
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		key, err := base64.StdEncoding.DecodeString(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		data, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		users[n] = append(users[n], userRecord{string(key), string(data)})
	}
	return users
}

// checkConsumer has random records aggregated, and read by a de-aggregator.
func checkConsumer(t *testing.T, name string, args ...string) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 99))
		limit := []int{1 << 20, 700, 50_000}[seed%3]
		g, sent := collect(limit)
		in := randomRecords(r, 500, limit)
		for i, rec := range in {
			g.add([]byte(rec.key), rec.random, []byte(rec.data), i)
		}
		g.flush()
		checkUserRecords(t, in, *sent, consume(t, *sent, name, args...), limit)
		aggregates := 0
		for _, s := range *sent {
			aggregates += min(1, len(s.records)-1)
		}
		t.Logf("%d records in %d, %d of them aggregates", len(in), len(*sent), aggregates)
	}
}

func TestConformanceAwslabs(t *testing.T) {
	venv := t.TempDir()
	runOrSkip(t, "python3", "-m", "venv", venv)
	python := filepath.Join(venv, "bin", "python")
	runOrSkip(t, python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", "testdata/deaggregate/requirements.txt")
	checkConsumer(t, python, "testdata/deaggregate/deaggregate.py")
}

// installKCL returns the command that de-aggregates as the workers of a stream
// with that many shards.
func installKCL(t *testing.T) func(shards int) []string {
	jars := t.TempDir()
	runOrSkip(t, "java", "-version")
	runOrSkip(t, "mvn", "-q", "-B", "-f", "testdata/deaggregate/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+jars)
	return func(shards int) []string {
		return []string{"java", "-cp", filepath.Join(jars, "*"), "testdata/deaggregate/Deaggregate.java", strconv.Itoa(shards)}
	}
}

// TestConformanceKCL also splits the stream: no record may be in a shard where
// the library throws it away.
func TestConformanceKCL(t *testing.T) {
	kcl := installKCL(t)
	for _, shards := range []int{1, 3, 4096} {
		command := kcl(shards)
		checkConsumer(t, command[0], command[1:]...)
	}
	t.Run("throws away what another key has routed", func(t *testing.T) {
		// The reason for one key in an aggregate. It has to be seen once, or the
		// test above would pass with a library that keeps everything. One record
		// of a key that hashes elsewhere, and the 100 before it are lost too.
		for _, tt := range []struct {
			stranger     string
			shards, want int
		}{{"key 4", 4, 101}, {"key 5", 1, 101}, {"key 5", 4, 0}} {
			command := kcl(tt.shards)
			got := len(consume(t, []sentRecord{mixedAggregate("key 0", 100, tt.stranger)}, command[0], command[1:]...)[0])
			if got != tt.want {
				t.Errorf("%q among records of \"key 0\", %d shards: %d of 101 records come out, want %d", tt.stranger, tt.shards, got, tt.want)
			}
		}
	})
}

// mixedAggregate is what the aggregator never makes: n records of key, and one
// of another key behind them.
func mixedAggregate(key string, n int, stranger string) sentRecord {
	var body []byte
	for _, k := range []string{key, stranger} {
		body = protowire.AppendTag(body, fieldKeyTable, protowire.BytesType)
		body = protowire.AppendString(body, k)
	}
	for i := range n + 1 {
		record := protowire.AppendVarint(protowire.AppendTag(nil, fieldKeyIndex, protowire.VarintType), uint64(i/n))
		record = protowire.AppendBytes(protowire.AppendTag(record, fieldData, protowire.BytesType), []byte("data"))
		body = protowire.AppendBytes(protowire.AppendTag(body, fieldRecords, protowire.BytesType), record)
	}
	sum := md5.Sum(body)
	return sentRecord{key: key, data: aggregateMagic + string(body) + string(sum[:])}
}
