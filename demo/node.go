package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// What Fluent Bit's tail input and kubernetes filter do for fluent-bit.conf,
// in small: the container logs of a node become chunks of records.

// chunkRecords is how many records the built-in host puts into a chunk.
const chunkRecords = 40

// nodeChunk is what an output gets in one call.
type nodeChunk struct {
	tag  string
	data []byte // msgpack, as Fluent Bit writes it
}

// node reads container logs and knows their pods.
type node struct {
	pods  string // directory of the pods' metadata
	nginx *regexp.Regexp
}

func newNode(demoDir string) (*node, error) {
	parsers, err := readConfig(filepath.Join(demoDir, "parsers.conf"), "PARSER")
	if err != nil {
		return nil, err
	}
	n := &node{pods: filepath.Join(demoDir, "pods")}
	for _, p := range parsers {
		if p.get("Name") == "nginx" {
			n.nginx, err = regexp.Compile(p.get("Regex"))
		}
	}
	if err != nil || n.nginx == nil {
		return nil, fmt.Errorf("cannot use the parser nginx of parsers.conf: %w", err)
	}
	return n, nil
}

// chunks reads all logs below root.
func (n *node) chunks(root string) ([]nodeChunk, error) {
	const dir = "var/log/containers"
	files, err := filepath.Glob(filepath.Join(root, dir, "*.log"))
	if err != nil {
		return nil, err
	}
	var all []nodeChunk
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		meta, parser, err := n.metadata(filepath.Base(file))
		if err != nil {
			return nil, err
		}
		tag := "kube." + strings.ReplaceAll(dir, "/", ".") + "." + filepath.Base(file)
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i, l := range lines {
			if i%chunkRecords == 0 {
				all = append(all, nodeChunk{tag: tag})
			}
			c := &all[len(all)-1]
			if c.data, err = n.appendEvent(c.data, l, meta, parser); err != nil {
				return nil, fmt.Errorf("cannot read line %d of %s: %w", i+1, file, err)
			}
		}
	}
	return all, nil
}

// logName is <pod>_<namespace>_<container>-<id>.log
var logName = regexp.MustCompile(`^([^_]+)_([^_]+)_(.+)-([0-9a-f]{64})\.log$`)

// metadata returns the value of the key kubernetes for the records of a log,
// and the parser that its pod asks for by an annotation.
func (n *node) metadata(file string) (meta []byte, parser string, err error) {
	m := logName.FindStringSubmatch(file)
	if m == nil {
		return nil, "", fmt.Errorf("%s is not named as the kubelet names logs", file)
	}
	podName, namespace, container, id := m[1], m[2], m[3], m[4]
	text, err := os.ReadFile(filepath.Join(n.pods, namespace+"_"+podName+".meta"))
	if err != nil {
		return nil, "", err
	}
	var pod struct {
		Metadata struct {
			UID         string
			Labels      json.RawMessage
			Annotations json.RawMessage
		}
		Spec   struct{ NodeName string }
		Status struct {
			ContainerStatuses []struct{ Name, Image, ImageID string }
		}
	}
	if err := json.Unmarshal(text, &pod); err != nil {
		return nil, "", err
	}
	var annotations map[string]string
	if err := json.Unmarshal(pod.Metadata.Annotations, &annotations); err != nil {
		return nil, "", err
	}
	var hash, image string
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container {
			hash, image = c.ImageID, c.Image
		}
	}
	b := msgp.AppendMapHeader(nil, 10)
	add := func(key string, value []byte) { b = append(msgp.AppendString(b, key), value...) }
	str := func(s string) []byte { return msgp.AppendString(nil, s) }
	labels, err := msgpackOf(pod.Metadata.Labels)
	if err != nil {
		return nil, "", err
	}
	notes, err := msgpackOf(pod.Metadata.Annotations)
	if err != nil {
		return nil, "", err
	}
	add("pod_name", str(podName))
	add("namespace_name", str(namespace))
	add("pod_id", str(pod.Metadata.UID))
	add("labels", labels)
	add("annotations", notes)
	add("host", str(pod.Spec.NodeName))
	add("container_name", str(container))
	add("docker_id", str(id))
	add("container_hash", str(hash))
	add("container_image", str(image))
	return b, annotations["fluentbit.io/parser"], nil
}

// appendEvent appends one line as an event, in the form that Fluent Bit has had
// since 2.1: [[time, metadata], body].
func (n *node) appendEvent(dst []byte, text string, kubernetes []byte, parser string) ([]byte, error) {
	l, err := parseLine(text)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339Nano, l.time)
	if err != nil {
		return nil, err
	}
	body, err := bodyKeys(text)
	if err != nil {
		return nil, err
	}
	data, at := n.merge(l.log, parser, at)
	keys := uint32(len(body)/2 + 1)
	if data != nil {
		keys++
	}

	dst = msgp.AppendArrayHeader(dst, 2)
	dst = msgp.AppendArrayHeader(dst, 2)
	dst = append(dst, 0xd7, 0x00) // ext type 0, 8 bytes
	dst = binary.BigEndian.AppendUint32(dst, uint32(at.Unix()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(at.Nanosecond()))
	dst = msgp.AppendMapHeader(dst, 0)
	dst = msgp.AppendMapHeader(dst, keys)
	for _, s := range body {
		dst = msgp.AppendString(dst, s)
	}
	if data != nil {
		dst = append(msgp.AppendString(dst, "data"), data...)
	}
	return append(msgp.AppendString(dst, "kubernetes"), kubernetes...), nil
}

// bodyKeys returns keys and values of a line in the order that the parsers
// docker and cri give them.
func bodyKeys(text string) ([]string, error) {
	if !strings.HasPrefix(text, "{") {
		p := strings.SplitN(text, " ", 4) // parseLine has seen that there are four
		return []string{"time", p[0], "stream", p[1], "logtag", p[2], "log", p[3]}, nil
	}
	var d struct{ Log, Stream, Time string }
	err := json.Unmarshal([]byte(text), &d)
	return []string{"log", d.Log, "stream", d.Stream, "time", d.Time}, err
}

// merge returns what Merge_Log puts under data: what the pod's own parser makes
// of the text, or the text itself if it is a JSON object; nil if it is neither.
// A time that the parser finds is the record's.
func (n *node) merge(log, parser string, at time.Time) ([]byte, time.Time) {
	log = strings.TrimSuffix(log, "\n")
	if parser == "nginx" {
		m := n.nginx.FindStringSubmatch(log)
		if m == nil {
			return nil, at
		}
		var b []byte
		keys := uint32(0)
		for i, key := range n.nginx.SubexpNames() {
			switch {
			case key == "time":
				if t, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[i]); err == nil {
					at = t
				}
			case key != "":
				b = msgp.AppendString(msgp.AppendString(b, key), m[i])
				keys++
			}
		}
		return append(msgp.AppendMapHeader(nil, keys), b...), at
	}
	if !strings.HasPrefix(log, "{") {
		return nil, at
	}
	data, err := msgpackOf([]byte(log))
	if err != nil {
		return nil, at
	}
	return data, at
}

// msgpackOf turns JSON text into msgpack, keys in the order they have.
func msgpackOf(text []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return appendValue(nil, dec)
}

func appendValue(dst []byte, dec *json.Decoder) ([]byte, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case json.Delim:
		var inner []byte
		n := uint32(0)
		for ; dec.More(); n++ {
			if inner, err = appendValue(inner, dec); err != nil {
				return nil, err
			}
		}
		if _, err := dec.Token(); err != nil { // the closing one
			return nil, err
		}
		if v == '{' {
			return append(msgp.AppendMapHeader(dst, n/2), inner...), nil // More counts keys and values alike
		}
		return append(msgp.AppendArrayHeader(dst, n), inner...), nil
	case string:
		return msgp.AppendString(dst, v), nil
	case bool:
		return msgp.AppendBool(dst, v), nil
	case nil:
		return msgp.AppendNil(dst), nil
	case json.Number:
		return appendNumber(dst, v.String())
	}
	return nil, fmt.Errorf("cannot use JSON token %v", tok)
}

func appendNumber(dst []byte, s string) ([]byte, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return msgp.AppendInt64(dst, i), nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return msgp.AppendUint64(dst, u), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	return msgp.AppendFloat64(dst, f), err
}
