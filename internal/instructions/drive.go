package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"aws-for-fluent-bit/cloudwatch"
	"aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/records/recordstest"
	"aws-for-fluent-bit/kinesis"
)

// variant is a plugin with options.
type variant struct {
	name    string
	options map[string]string
	open    func(delivery.Env, options.Getter) (recordstest.Plugin, error)
}

func openCloudwatch(e delivery.Env, g options.Getter) (recordstest.Plugin, error) {
	return cloudwatch.New(e, g)
}
func openKinesis(e delivery.Env, g options.Getter) (recordstest.Plugin, error) {
	return kinesis.New(e, g)
}
func openFirehose(e delivery.Env, g options.Getter) (recordstest.Plugin, error) {
	return firehose.New(e, g)
}

// variants are counted with each shape. The templates' keys are in the records of
// every shape.
var variants = []variant{
	{"cloudwatch", map[string]string{"log_group_name": "group", "log_stream_name": "stream"}, openCloudwatch},
	{"cloudwatch with templates", map[string]string{"log_group_name": "/k8s/$(kubernetes['namespace_name'])", "log_stream_name": "$(kubernetes['pod_name'])"}, openCloudwatch},
	{"kinesis", map[string]string{"stream": "stream", "request_format": "cbor"}, openKinesis},
	{"kinesis with partition_key", map[string]string{"stream": "stream", "request_format": "cbor", "partition_key": "kubernetes->pod_name"}, openKinesis},
	{"firehose", map[string]string{"delivery_stream": "stream"}, openFirehose},
}

// shape is a kind of records: a chunk has about 1 MB of them.
type shape struct {
	name    string
	records int
	chunk   func(n int) []byte
}

var shapes = []shape{
	{"kubernetes 0.9 KB", 1000, recordstest.KubernetesChunk},
	{"small 100 B", 5000, func(n int) []byte { return chunk(n, fewFields) }},
	{"big 16 KB", 60, func(n int) []byte { return chunk(n, longText) }},
}

func chunk(n int, record func(i int) recordstest.Map) (c []byte) {
	for i := range n {
		c = recordstest.AppendRecord(c, recordstest.Second, record(i))
	}
	return c
}

func fewFields(i int) recordstest.Map {
	return recordstest.Map{"log", fmt.Sprintf("GET /items/%08d 200", i), "ms", i % 1000, "ok", true,
		"kubernetes", recordstest.Map{"namespace_name", "shop", "pod_name", "web-1"}}
}

func longText(i int) recordstest.Map {
	return recordstest.Map{"log", fmt.Sprintf("%08d %s", i, strings.Repeat("at com.example.shop.Cart.add(Cart.java:127)\n\t", 16<<10/45)), "stream", "stdout",
		"kubernetes", recordstest.Map{"namespace_name", "shop", "pod_name", "web-1"}}
}

// drive is the program that is counted: drive VARIANT SHAPE FLUSHES URL.
func drive(args []string) error {
	if len(args) != 4 {
		return errors.New("cannot drive: want a variant, a shape, a number of flushes and the service's URL")
	}
	v := slices.IndexFunc(variants, func(v variant) bool { return v.name == args[0] })
	s := slices.IndexFunc(shapes, func(s shape) bool { return s.name == args[1] })
	flushes, err := strconv.Atoi(args[2])
	if v < 0 || s < 0 || err != nil {
		return fmt.Errorf("cannot drive %q: there is no such variant, shape or number", args)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	counters := new(delivery.Counters)
	p, err := variants[v].open(delivery.Env{Name: "counted.0", Log: logrus.NewEntry(log), Counters: counters}, func(name string) string {
		switch name {
		case "region":
			return "us-east-1"
		case "endpoint":
			return args[3]
		case "http_request_timeout":
			return "10m" // valgrind on a busy machine takes its time
		}
		return variants[v].options[name]
	})
	if err != nil {
		return err
	}
	defer p.Close()
	data := shapes[s].chunk(shapes[s].records)
	for range flushes {
		if got := p.Flush(delivery.Chunk{Tag: "tag", Data: data}); got != delivery.OK {
			return fmt.Errorf("cannot flush: got %v", got)
		}
	}
	if n := counters.Get(delivery.Failed) + counters.Get(delivery.Resent); n > 0 {
		return errors.New("cannot count: something was sent twice")
	}
	return nil
}
