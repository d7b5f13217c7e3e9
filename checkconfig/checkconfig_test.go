package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// write makes files in a new directory, given as name, text, name, text.
func write(t *testing.T, files ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// output returns a good [OUTPUT] with more lines in it.
func outputWith(lines ...string) string {
	return "[OUTPUT]\n    name cloudwatch\n    match *\n    workers 1\n    retry_limit no_limits\n    region us-east-1\n" +
		"    log_group_name g\n    log_stream_name s\n    " + strings.Join(lines, "\n    ") + "\n"
}

// result runs the check, and returns what it says without the directory.
func result(t *testing.T, dir, file string, env func(string) (string, bool)) (lines []string, status int) {
	t.Helper()
	var out bytes.Buffer
	status = run([]string{filepath.Join(dir, file)}, env, &out)
	text := strings.ReplaceAll(out.String(), dir+"/", "")
	return strings.Split(strings.TrimSpace(text), "\n"), status
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string // all but the closing line
	}{
		"good": {outputWith(), nil},
		"misspelt": {outputWith("Auto_Create_Grup on"),
			[]string{"f.conf:9: output cloudwatch: option auto_create_grup: there is no such option, the nearest is auto_create_group"}},
		"Fluent Bit's own misspelt": {outputWith("storage.total_limit_siz 1M"),
			[]string{"f.conf:9: output cloudwatch: option storage.total_limit_siz: there is no such option, the nearest is storage.total_limit_size"}},
		"like another": {outputWith("stream x"),
			[]string{"f.conf:9: output cloudwatch: hint: option stream: there is no such option, it has no effect; the nearest is log_stream_name"}},
		"unknown": {outputWith("codec x", "net.keepalive on", "tls.verify off", "log_level debug"),
			[]string{"f.conf:9: output cloudwatch: hint: option codec: there is no such option, it has no effect"}},
		"twice": {outputWith("log_key a", "log_key b"),
			[]string{"f.conf:9: output cloudwatch: hint: option log_key: it is set more than once, the first one counts"}},
		"a bad value": {outputWith("max_event_size much"),
			[]string{`f.conf:9: output cloudwatch: option max_event_size: cannot use "much": allowed is a size from 256 to 1048550 bytes, also as 512K or 1M`}},
		"a conflict": {outputWith("log_stream_prefix x"),
			[]string{"f.conf:8: output cloudwatch: options log_stream_name and log_stream_prefix: both are set, allowed is one of them"}},
		"all of it": {"[OUTPUT]\n    name KINESIS\n    alias k\n", []string{
			"f.conf:1: output kinesis k: option region: it is required and not set",
			"f.conf:1: output kinesis k: option stream: it is required and not set",
			"f.conf:1: output kinesis k: hint: option workers: set it to 1 or more: without, the output runs on fluent bit's engine thread, where all else waits for it",
			"f.conf:1: output kinesis k: hint: option retry_limit: it is not set, so fluent bit drops a chunk that failed twice: no_limits keeps it, with storage.type filesystem at the inputs",
			"f.conf:1: output kinesis k: hint: option match: it is not set, so no tag is sent here",
		}},
		"few retries": {strings.Replace(outputWith(), "no_limits", "3", 1), []string{
			"f.conf:5: output cloudwatch: hint: option retry_limit: with 3, fluent bit drops chunks when the service is away for a while: no_limits keeps them, with storage.type filesystem at the inputs"}},
		"no retries": {strings.Replace(outputWith(), "no_limits", "no_retries", 1), []string{
			"f.conf:5: output cloudwatch: hint: option retry_limit: with no_retries, fluent bit drops chunks when the service is away for a while: no_limits keeps them, with storage.type filesystem at the inputs"}},
		"many retries": {strings.Replace(outputWith(), "no_limits", "500", 1), nil},
		"no workers": {strings.Replace(outputWith(), "workers 1", "workers 0", 1), []string{
			"f.conf:4: output cloudwatch: hint: option workers: set it to 1 or more: without, the output runs on fluent bit's engine thread, where all else waits for it"}},
		"daemon": {"[SERVICE]\n  Daemon On\n" + outputWith(),
			[]string{"f.conf:2: service: option daemon: go plugins and fluent bit's daemon mode do not go together"}},
		"hot reload": {"[SERVICE]\n  hot_reload On\n" + outputWith(),
			[]string{"f.conf:6: output cloudwatch: hint: option hot_reload of the service: fluent bit 5.1.1 does not survive a reload of a go plugin that has workers"}},
		"other outputs": {"[OUTPUT]\n  name stdout\n  match *\n  codec x\n" + outputWith(), nil},
		"none of ours":  {"[OUTPUT]\n  name stdout\n", []string{"f.conf:1: outputs: none of them is cloudwatch, kinesis or firehose"}},
		"environment":   {outputWith("endpoint http://${ADDRESS}", "profile ${WHO:-me}", "log_key ${EMPTY}"), nil},
		"unset": {strings.Replace(outputWith("endpoint ${NOWHERE}"), "us-east-1", "${REGION}", 1), []string{
			"f.conf:6: output cloudwatch: hint: option region: the variable REGION is not set here, so the option is not checked",
			"f.conf:9: output cloudwatch: hint: option endpoint: the variable NOWHERE is not set here, so the option is not checked"}},
		"unset, Fluent Bit's": {strings.Replace(strings.Replace(outputWith(), "workers 1", "workers ${N}", 1), "no_limits", "${L}", 1), []string{
			"f.conf:4: output cloudwatch: hint: option workers: the variable N is not set here, so the option is not checked",
			"f.conf:5: output cloudwatch: hint: option retry_limit: the variable L is not set here, so the option is not checked"}},
		"@SET": {"@SET region=us-east-2\n@SET n=0\n" + strings.Replace(outputWith("concurrency ${n}"), "us-east-1", "${region}", 1), []string{
			`f.conf:11: output cloudwatch: option concurrency: cannot use "0": allowed is a whole number from 1 to 64`}},
		"files elsewhere": {outputWith("ca_bundle /none/ca.pem", "ledger_path /none", "credentials_file /none/credentials"), []string{
			`f.conf:9: output cloudwatch: hint: option ca_bundle: "/none/ca.pem" is to be where fluent bit runs, and is not looked for here`,
			`f.conf:10: output cloudwatch: hint: option ledger_path: "/none" is to be where fluent bit runs, and is not looked for here`,
			`f.conf:11: output cloudwatch: hint: option credentials_file: "/none/credentials" is to be where fluent bit runs, and is not looked for here`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, status := result(t, write(t, "f.conf", test.text), "f.conf", environment("ADDRESS", "127.0.0.1:1", "EMPTY", ""))
			got = got[:len(got)-1]
			bad := 0
			for _, line := range test.want {
				if !strings.Contains(line, ": hint: ") {
					bad = 1
				}
			}
			if len(got) != len(test.want) || len(got) > 0 && !reflect.DeepEqual(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if status != bad {
				t.Errorf("status %d, want %d", status, bad)
			}
		})
	}
}

// Both formats say the same, with all that they include.
func TestIncludes(t *testing.T) {
	want := []string{
		"parts/b.EXT:6: output firehose: option log_kye: there is no such option, the nearest is log_key",
		"main.EXT: outputs 2, problems 1, hints 0",
	}
	classic := write(t,
		"main.conf", "@SET REGION=us-east-1\n[SERVICE]\n  flush 1\n@INCLUDE parts/*.conf\n@include last.conf\n",
		"parts/a.conf", "[INPUT]\n  name dummy\n",
		"parts/b.conf", "[OUTPUT]\n  name firehose\n  delivery_stream d\n  match *\n  region ${REGION}\n  log_kye x\n  workers 1\n  retry_limit off\n",
		"last.conf", outputWith())
	yaml := write(t,
		"main.yaml", "env:\n  REGION: us-east-1\nservice:\n  flush: 1\nincludes:\n  - parts/*.yaml\n  - last.yaml\n",
		"parts/a.yaml", "pipeline:\n  inputs:\n    - name: dummy\n",
		"parts/b.yaml", "pipeline:\n  outputs:\n    - name: firehose\n      deliveryStream: d\n      region: ${REGION}\n      log_kye: x\n"+
			"      match: '*'\n      workers: 1\n      retry_limit: off\n",
		"last.yaml", "pipeline:\n  outputs:\n    - {name: cloudwatch, match: '*', workers: 1, retry_limit: no_limits, region: us-east-1, log_group_name: g, log_stream_name: s}\n")
	for ext, dir := range map[string]string{"conf": classic, "yaml": yaml} {
		got, status := result(t, dir, "main."+ext, environment())
		if text := strings.ReplaceAll(strings.Join(want, "\n"), "EXT", ext); strings.Join(got, "\n") != text || status != 1 {
			t.Errorf("%s: got status %d\n%s\nwant\n%s", ext, status, strings.Join(got, "\n"), text)
		}
	}
}

func TestYAML(t *testing.T) {
	const head = "pipeline:\n  outputs:\n    - name: cloudwatch\n      match: '*'\n      workers: 2\n      retry_limit: no_limits\n      region: us-east-1\n" +
		"      log_group_name: g\n      log_stream_name: s\n"
	for name, test := range map[string]struct {
		text string
		want string
	}{
		"good":          {head, "f.yml: outputs 1, problems 0, hints 0"},
		"a number":      {head + "      concurrency: 65\n", `f.yml:10: output cloudwatch: option concurrency: cannot use "65": allowed is a whole number from 1 to 64`},
		"camel case":    {head + "      autoCreateGruop: true\n", "f.yml:10: output cloudwatch: option auto_create_gruop: there is no such option, the nearest is auto_create_group"},
		"a list":        {head + "      log_key: [a, b]\n", "f.yml:10: output cloudwatch: hint: option log_key: it is set more than once, the first one counts"},
		"processors":    {head + "      processors:\n        logs:\n          - name: sql\n", "f.yml: outputs 1, problems 0, hints 0"},
		"env list":      {"env:\n  - name: N\n    value: 70\n  - M: 1\n" + head + "      concurrency: ${N}\n", `f.yml:14: output cloudwatch: option concurrency: cannot use "70": allowed is a whole number from 1 to 64`},
		"an anchor":     {head + "      log_key: &k log\n    - *o\n", "f.yml: yaml: unknown anchor 'o' referenced"},
		"an alias":      {"x: &o\n  name: kinesis\n  region: us-east-1\n" + head + "    - *o\n", "f.yml:13: output kinesis: option stream: it is required and not set"},
		"not YAML":      {head + "   x\n", "f.yml: yaml: "},
		"outputs a map": {"pipeline:\n  outputs:\n    name: x\n", "f.yml:3: there must be a list"},
		"a text":        {"pipeline: x\n", "f.yml:1: there must be keys and values"},
		"no include":    {"includes:\n  - none.yaml\n", "f.yml:2: cannot read the configuration: open none.yaml"},
		"empty":         {"", "f.yml:1: outputs: none of them is cloudwatch, kinesis or firehose"},
	} {
		got, _ := result(t, write(t, "f.yml", test.text), "f.yml", environment())
		if !strings.HasPrefix(got[0], test.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), test.want)
		}
	}
}

// What Fluent Bit refuses to read is said with its place.
func TestClassicRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no indent":            {"[OUTPUT]\nname x\n", `f.conf:2: "name x" is not indented`},
		"other indent":         {"[OUTPUT]\n  name x\n   match *\n", "f.conf:3: it is not indented like the lines before"},
		"tab and space":        {"[OUTPUT]\n  name x\n\tmatch *\n", "f.conf:3: it is not indented like the lines before"},
		"no value":             {"[OUTPUT]\n  name\n", "f.conf:2: name has no value"},
		"a tab is no space":    {"[OUTPUT]\n  name\tx\n", "f.conf:2: name\tx has no value"},
		"no ]":                 {"[OUTPUT\n  name x\n", "f.conf:1: a section's name has no ]"},
		"no section":           {"  name x\n", "f.conf:1: name is in no section"},
		"@SET of nothing":      {"@SET x\n", "f.conf:1: @SET wants NAME=VALUE"},
		"include of itself":    {"[SERVICE]\n  flush 1\n@INCLUDE f.conf\n", "f.conf:3: f.conf: it is included twice"},
		"include of none":      {"@INCLUDE none.conf\n", "f.conf:1: cannot read the configuration: open none.conf"},
		"include of none like": {"@INCLUDE none*.conf\n", "f.conf:1: no file is like none*.conf"},
		"a bad pattern":        {"@INCLUDE [*.conf\n", "f.conf:1: syntax error in pattern"},
	} {
		got, status := result(t, write(t, "f.conf", test.text), "f.conf", environment())
		if status != 1 || !strings.HasPrefix(got[0], test.want) {
			t.Errorf("%s: got status %d\n%s\nwant\n%s", name, status, strings.Join(got, "\n"), test.want)
		}
	}
}

// Comments, groups, Windows' line ends and what is no command are passed over.
func TestClassicTakes(t *testing.T) {
	text := "# c\r\n\r\n@other x\r\n[OUTPUT]\r\n  # c\r\n  name kinesis\r\n      \r\n  [PROCESSORS]\r\n    logs x\r\n  match *\r\n#  region x\r\n  region us-east-1\r\n  stream s\r\n" +
		"  workers 1\r\n  retry_limit no_limits\r\n"
	got, status := result(t, write(t, "f.conf", text), "f.conf", environment())
	if want := "f.conf: outputs 1, problems 0, hints 0"; status != 0 || strings.Join(got, "\n") != want {
		t.Errorf("got status %d\n%s", status, strings.Join(got, "\n"))
	}
}

func TestExpand(t *testing.T) {
	c := &config{env: map[string]string{"SET": "by @SET", "BOTH": "by @SET"}, lookup: environment("E", "by env", "BOTH", "by env", "EMPTY", "")}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want, unset string }{
		{"", "", ""}, {"plain $ { } $x", "plain $ { } $x", ""}, {"${SET}, ${E}", "by @SET, by env", ""}, {"${BOTH}", "by @SET", ""},
		{"${EMPTY}.", ".", ""}, {"${EMPTY:-d}.", "d.", ""}, {"${NONE:-d}", "d", ""}, {"${NONE:-}", "", ""}, {"a${NONE}b", "ab", "NONE"},
		{"${E", "${E", ""}, {"${}x${E}", "${}x${E}", ""}, {"${HOSTNAME}", host, ""},
	} {
		got, unset := c.expand(test.text)
		if got != test.want || strings.Join(unset, ",") != test.unset {
			t.Errorf("%q: got %q, unset %q", test.text, got, unset)
		}
	}
}

func TestUsage(t *testing.T) {
	var out bytes.Buffer
	if status := run(nil, environment(), &out); status != 2 || !strings.Contains(out.String(), "usage: ") {
		t.Errorf("got %d, %s", status, out.String())
	}
	out.Reset()
	if status := run([]string{"/none"}, environment(), &out); status != 1 || !strings.Contains(out.String(), "cannot read the configuration: open /none") {
		t.Errorf("got %d, %s", status, out.String())
	}
}

// What this repository ships has no problem.
func TestShipped(t *testing.T) {
	const moved = "../e2e/testdata/moved/"
	files := []string{"../fluent-bit.conf", "../fluent-bit.yaml", "../demo/fluent-bit.conf", moved + "go.conf", moved + "c.yaml", moved + "vector.conf"}
	var out bytes.Buffer
	if status := run(files, environment("AWS_REGION", "us-east-1", "DEMO_ENDPOINT", "http://127.0.0.1:1"), &out); status != 0 {
		t.Error(out.String())
	}
}
