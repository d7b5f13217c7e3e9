package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
)

// destination is where the records of one plugin arrive.
type destination struct {
	plugin  string // as an [OUTPUT] section names it
	service string
	look    func(*awslocal.Server) []place
}

// destinations has a row for each plugin; fluent-bit.conf has an [OUTPUT] for each.
var destinations = []destination{
	{"cloudwatch", "CloudWatch Logs", lookAtLogs},
	{"kinesis", "Kinesis Data Streams", lookAtKinesis},
	{"firehose", "Data Firehose", lookAtFirehose},
}

// place is a part of a destination, with what arrived in it.
type place struct {
	names   []string // from the outermost, as "log group a", "log stream b"
	records []arrival
}

// arrival is a record as a service got it.
type arrival struct {
	at   time.Time // zero where the service is not told
	text string
}

func lookAtLogs(aws *awslocal.Server) []place {
	var all []place
	for _, st := range aws.Logs().Streams() {
		p := place{names: []string{"log group " + st.Group, "log stream " + st.Name}}
		for _, e := range st.Events() {
			p.records = append(p.records, arrival{time.UnixMilli(e.Timestamp).UTC(), e.Message})
		}
		all = append(all, p)
	}
	return all
}

func lookAtKinesis(aws *awslocal.Server) []place {
	var all []place
	for _, st := range aws.Kinesis().Streams() {
		byShard := make(map[string][]arrival)
		for _, r := range st.Records() {
			byShard[r.ShardID] = append(byShard[r.ShardID], arrival{text: string(r.Data)})
		}
		for _, id := range st.ShardIDs() {
			all = append(all, place{[]string{"data stream " + st.Name, id}, byShard[id]})
		}
	}
	return all
}

// lookAtFirehose reads the files that the records were delivered into, as a
// user would read them in S3: a record a line.
func lookAtFirehose(aws *awslocal.Server) []place {
	var all []place
	for _, st := range aws.Firehose().Streams() {
		p := place{names: []string{"delivery stream " + st.Name, fmt.Sprintf("in %d file(s) in %s", len(st.Objects()), firehoseDir)}}
		data, err := st.Data()
		if err != nil {
			p.records = []arrival{{text: err.Error()}} // which check finds not to be a record
		}
		for l := range strings.Lines(string(data)) {
			p.records = append(p.records, arrival{text: l})
		}
		all = append(all, p)
	}
	return all
}

// account holds what arrived against what was to arrive.
type account struct {
	want, delivered, lost, duplicates int
	wrong                             []string // what arrived and is not what was written
}

func (a account) good() bool {
	return a.want > 0 && a.delivered == a.want && a.lost == 0 && a.duplicates == 0 && len(a.wrong) == 0
}

func (a *account) add(b account) {
	a.want += b.want
	a.delivered += b.delivered
	a.lost += b.lost
	a.duplicates += b.duplicates
	a.wrong = append(a.wrong, b.wrong...)
}

func (a account) String() string {
	s := fmt.Sprintf("delivered %d of %d records, lost %d, duplicates %d", a.delivered, a.want, a.lost, a.duplicates)
	if len(a.wrong) > 0 {
		s += fmt.Sprintf(", changed %d", len(a.wrong))
	}
	return s
}

// check compares: each line is to have arrived once, with its text unchanged
// and the metadata of its own pod.
func check(lines []line, places []place) account {
	a := account{want: len(lines)}
	byID := make(map[string]line, len(lines))
	for _, l := range lines {
		byID[l.id()] = l
	}
	seen := make(map[string]int, len(lines))
	for _, p := range places {
		for _, r := range p.records {
			id, problem := identify(r.text, byID)
			if problem != "" {
				a.wrong = append(a.wrong, strings.Join(p.names, ", ")+": "+problem)
			}
			if id != "" {
				seen[id]++
			}
		}
	}
	for id := range byID {
		switch n := seen[id]; {
		case n == 0:
			a.lost++
		default:
			a.delivered++
			a.duplicates += n - 1
		}
	}
	return a
}

// identify finds the line that a record was made of, "" if it is none of ours.
func identify(text string, byID map[string]line) (id, problem string) {
	var r struct {
		Log, Time  string
		Kubernetes struct {
			PodName       string `json:"pod_name"`
			NamespaceName string `json:"namespace_name"`
			ContainerName string `json:"container_name"`
			DockerID      string `json:"docker_id"`
		}
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return "", fmt.Sprintf("not JSON: %v: %.200s", err, text)
	}
	k := r.Kubernetes
	id = k.DockerID + " " + r.Time
	l, ok := byID[id]
	switch {
	case !ok:
		return "", fmt.Sprintf("not a record of this run: %.200s", text)
	case l.file != fmt.Sprintf("%s_%s_%s-%s.log", k.PodName, k.NamespaceName, k.ContainerName, k.DockerID):
		return id, fmt.Sprintf("has the metadata of another pod than %s: %.200s", l.file, text)
	case l.log != r.Log:
		return id, fmt.Sprintf("has the text %q where %q was written", r.Log, l.log)
	}
	return id, ""
}
