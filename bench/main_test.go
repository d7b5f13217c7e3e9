package main

import (
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestMain has the test binary be the sink, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sink" {
		if err := serveSink(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	b, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.cases) != 11 || b.cases[0] != (caseOf{"kubernetes", 1, 0}) || b.records != 300_000 || b.rounds != 3 || len(b.services) != 3 {
		t.Errorf("without arguments: %+v", b)
	}
	f := func(args string, want ...caseOf) {
		t.Helper()
		b, err := parse(strings.Fields(args), io.Discard)
		if err != nil || !reflect.DeepEqual(b.cases, want) {
			t.Errorf("%s: got %v, %v, want %v", args, b.cases, err, want)
		}
	}
	f("-cases big:0:50", caseOf{"big", 0, 50})
	f("-shapes small,trickle", caseOf{"small", 1, 0}, caseOf{"trickle", 1, 0})
	f("-workers 0,4 -latencies 50", caseOf{"kubernetes", 0, 50}, caseOf{"kubernetes", 4, 50})
	f("-latencies 0,50", caseOf{"kubernetes", 1, 0}, caseOf{"kubernetes", 1, 50})
}

func TestParseRefuses(t *testing.T) {
	f := func(args, want string) {
		t.Helper()
		if _, err := parse(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", args, err, want)
		}
	}
	f("-shapes tiny", `"tiny"`)
	f("-workers two", `-workers "two"`)
	f("-workers 1x", `-workers "1x"`)
	f("-latencies -1", `-latencies "-1"`)
	f("-cases kubernetes:1", `-cases "kubernetes:1"`)
	f("-cases kubernetes:1:fast", `-latencies "fast"`)
	f("-services s3", `"s3"`)
	f("-rounds 0", "-rounds 0")
	f("-trickle-rounds 0", "-trickle-rounds 0")
	f("-records 0", "-records 0")
	f("-others cloudwatch.so", `-others "cloudwatch.so"`)
	f("-others x=plugin.so", "service")
	f("-nonsense", "nonsense")
}

func TestOthers(t *testing.T) {
	b, err := parse([]string{"-bin", "/b", "-others", "kinesis=kinesis.so,firehose=/p/kinesis_firehose.so", "-from", "/p"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	kinds := func(service string, c caseOf) (all []string) {
		for _, p := range b.plugins(c, service) {
			all = append(all, p.kind+" "+p.name+" "+p.so)
		}
		return all
	}
	f := func(service string, c caseOf, want ...string) {
		t.Helper()
		if got := kinds(service, c); !reflect.DeepEqual(got, want) {
			t.Errorf("%s, %v: got %q, want %q", service, c, got, want)
		}
	}
	f("cloudwatch", caseOf{workers: 1, latency: 50}, "c cloudwatch_logs ", "ours cloudwatch /b/cloudwatch.so")
	f("kinesis", caseOf{workers: 4}, "c kinesis_streams ", "ours kinesis /b/kinesis.so", "/p/kinesis.so kinesis /p/kinesis.so")
	f("firehose", caseOf{workers: 4, latency: 50}, "c kinesis_firehose ", "c-default kinesis_firehose ", "ours firehose /b/firehose.so",
		"/p/kinesis_firehose.so firehose /p/kinesis_firehose.so")
	// A round of the 11 cases is null and two plugins of each service, two others,
	// and where calls take their time (5 cases) the C plugins once more: 114 runs, 12
	// of them with files that trickle. Idle: four kinds.
	b.trickleRounds = 2
	if got, want := b.runs(), 3*(114-12)+2*12+3*4; got != want {
		t.Errorf("%d runs, want %d", got, want)
	}
}

// What the C plugin is compared with gets the same settings, in its own words.
func TestSections(t *testing.T) {
	f := func(p plugin, c caseOf, want ...string) {
		t.Helper()
		got := p.section(c, "*", "127.0.0.1:443", "/ca.pem")
		for _, line := range want {
			no := strings.HasPrefix(line, "!")
			if strings.Contains(got, "    "+strings.TrimPrefix(line, "!")) == no {
				t.Errorf("%+v: want %q in\n%s", p, line, got)
			}
		}
	}
	f(plugin{kind: kindNull}, caseOf{workers: 4}, "Name null", "!workers")
	f(plugin{kind: kindC, service: "cloudwatch", name: "cloudwatch_logs"}, caseOf{workers: 4}, "Name cloudwatch_logs", "workers 4", "port 443", "endpoint 127.0.0.1\n", "Retry_Limit no_limits", "log_group_name bench", "tls.ca_file /ca.pem")
	f(plugin{kind: kindCDefault, service: "kinesis", name: "kinesis_streams"}, caseOf{workers: 4}, "Name kinesis_streams", "!workers", "stream bench", "!append_newline")
	f(plugin{kind: kindOurs, service: "kinesis", name: "kinesis"}, caseOf{workers: 0}, "workers 0", "endpoint https://127.0.0.1:443", "append_newline true", "request_format cbor", "Retry_Limit no_limits", "!port")
	f(plugin{kind: "/x/firehose.so", service: "firehose", name: "firehose"}, caseOf{workers: 1}, "delivery_stream bench", "endpoint https://")
}
