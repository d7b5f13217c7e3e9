package records

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"aws-for-fluent-bit/internal/options"
)

func streamOption(value string) *options.Set {
	return options.New(func(string) string { return value })
}

func openStream(name string) *Service { return &Service{Destination: name} }

func TestStreams(t *testing.T) {
	for _, test := range []struct{ option, tag, want string }{
		{"logs", "a.b", "logs"},
		{"logs-$(tag)", "a.b", "logs-a.b"},
		{"$TAG[1]-logs", "a.b", ""}, // see TestParseStream
		{"logs-$(tag[1]|none)", "a.b", "logs-b"},
		{"logs-$(tag[1]|none)", "a", "logs-none"},
		{"$TAG", "kube.var/log:x y_é-Z9", "kube.var.log.x.y_.-Z9"},
		{"$(tag)", "azAZ09", "azAZ09"},
		{"$(tag)", "", "."},
		{"$(tag[3]|)", "", "."},
		{"$(tag)", strings.Repeat("é", 100), strings.Repeat(".", 64)},
		{"x$(tag)", strings.Repeat("y", 100), "x" + strings.Repeat("y", 63)},
	} {
		s := streamOption(test.option)
		tm, isOne := ParseStream(s, "stream")
		if isOne != strings.Contains(test.option, "$") || (s.Err() != nil) != (test.want == "") {
			t.Errorf("%s: got %v, %v", test.option, isOne, s.Err())
		}
		if test.want == "" {
			continue
		}
		streams := NewStreams(test.option, tm, 64, openStream)
		first, again := streams.Of(test.tag), streams.Of(test.tag)
		if first.Destination != test.want || first != again {
			t.Errorf("%s, tag %s: got %q and %q, want %q", test.option, test.tag, first.Destination, again.Destination, test.want)
		}
	}
}

func TestParseStream(t *testing.T) {
	for value, want := range map[string]string{
		"$":                    `option stream: cannot read template "$"`,
		"$(tag":                `option stream: cannot read template "$(tag"`,
		"$(tag[1])":            "option stream: $(tag[1]) may have no value: give it one, as $(tag[1]|default)",
		"$TAG[0]":              "option stream: $TAG[0] may have no value",
		"$(key|x)":             `option stream: cannot use "$(key|x)": allowed is variables of the tag`,
		"$key":                 "allowed is variables of the tag",
		"$(time:%Y)":           "allowed is variables of the tag",
		"$(ecs_cluster|x)":     "allowed is variables of the tag",
		"$(ec2_instance_id|x)": "allowed is variables of the tag",
		"$(uuid)":              "allowed is variables of the tag",
	} {
		s := streamOption(value)
		if _, isOne := ParseStream(s, "stream"); !isOne || s.Err() == nil || !strings.HasPrefix(strings.TrimPrefix(s.Err().Error(), fmt.Sprintf("option stream: cannot use %q: ", value)), want) && !strings.HasPrefix(s.Err().Error(), want) {
			t.Errorf("%s: got %v, %v, want %s", value, isOne, s.Err(), want)
		}
	}
}

// A stream is the same one, with its pace, as long as there are not too many.
func TestStreamsAreRemembered(t *testing.T) {
	tm, _ := ParseStream(streamOption("$(tag)"), "stream")
	streams := NewStreams("", tm, 128, openStream)
	first := streams.Of("s0")
	for i := range maxStreams {
		streams.Of(fmt.Sprintf("s%d", i))
	}
	if streams.Of("s0") != first || len(streams.known) != maxStreams {
		t.Errorf("of %d streams %d are remembered", maxStreams, len(streams.known))
	}
	streams.Of("one more")
	if len(streams.known) != 1 {
		t.Errorf("%d streams are remembered", len(streams.known))
	}
}

// Streams made of tags have no end: their number is bounded, also under use from
// many threads.
func TestStreamsAreBounded(t *testing.T) {
	tm, _ := ParseStream(streamOption("$(tag)"), "stream")
	streams := NewStreams("", tm, 128, openStream)
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for j := range maxStreams {
				name := fmt.Sprintf("s%d", j*(i+1))
				if got := streams.Of(name).Destination; got != name {
					t.Errorf("got %s, want %s", got, name)
				}
			}
		})
	}
	wait.Wait()
	if n := len(streams.known); n == 0 || n > maxStreams {
		t.Errorf("%d streams are remembered", n)
	}
}
