package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// shown are the containers of which one record is printed in full.
var shown = []string{"nginx", "user-service"}

// report prints what a destination got: its parts with their counts and, if
// asked to, some records in full.
func report(w io.Writer, d destination, places []place, records bool) {
	fmt.Fprintf(w, "\n== %s -> %s\n", d.plugin, d.service)
	var above []string
	for _, p := range places {
		for depth, name := range p.names {
			last := depth == len(p.names)-1
			if !last && depth < len(above) && above[depth] == name {
				continue
			}
			if last {
				name = summary(p.records) + name
			}
			fmt.Fprintf(w, "%s%s\n", strings.Repeat("  ", depth), name)
		}
		above = p.names
	}
	if !records {
		return
	}
	for _, container := range shown {
		if text, ok := firstOf(container, places); ok {
			fmt.Fprintf(w, "\nthe first record of %s:\n%s\n", container, pretty(text))
		}
	}
}

// summary is how many records there are, and of what times.
func summary(records []arrival) string {
	var first, last time.Time
	for _, r := range records {
		if first.IsZero() || r.at.Before(first) {
			first = r.at
		}
		if r.at.After(last) {
			last = r.at
		}
	}
	s := fmt.Sprintf("%5d records  ", len(records))
	if !first.IsZero() {
		s += fmt.Sprintf("%s - %s  ", first.Format("15:04:05.000"), last.Format("15:04:05.000"))
	}
	return s
}

// firstOf returns the first record of a container, of those whose text was
// parsed: they have all that there is to show.
func firstOf(container string, places []place) (text string, ok bool) {
	for _, p := range places {
		for _, r := range p.records {
			var v struct {
				Data       json.RawMessage
				Kubernetes struct {
					ContainerName string `json:"container_name"`
				}
			}
			if json.Unmarshal([]byte(r.text), &v) == nil && v.Data != nil && v.Kubernetes.ContainerName == container {
				return r.text, true
			}
		}
	}
	return "", false
}

func pretty(text string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(text), "", "   ") != nil {
		return text
	}
	return b.String()
}
