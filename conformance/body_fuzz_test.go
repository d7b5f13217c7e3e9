package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	fhtypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sirupsen/logrus"
	"github.com/vmihailenco/msgpack/v5"

	cloudwatchplugin "aws-for-fluent-bit/cloudwatch"
	firehoseplugin "aws-for-fluent-bit/firehose"
	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/options"
	kinesisplugin "aws-for-fluent-bit/kinesis"
)

// lastBody is an endpoint that remembers the bodies of the calls that put
// records, and is content with them.
type lastBody struct {
	mu     sync.Mutex // guards bodies
	bodies [][]byte
}

func (s *lastBody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	// Kinesis' is CBOR, which the SDK's decoder reads.
	if r.Header.Get("Content-Type") == "application/x-amz-cbor-1.1" {
		if body, err = awslocal.JSONOf(body); err != nil {
			body = []byte(err.Error())
		}
	}
	target := r.Header.Get("X-Amz-Target")
	if strings.Contains(target, ".Put") {
		s.mu.Lock()
		s.bodies = append(s.bodies, body)
		s.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "1")
	answer := "{}"
	var in struct{ Records []struct{} }
	_ = json.Unmarshal(body, &in) // what has no records answers with {}
	switch n := len(in.Records); {
	case strings.HasSuffix(target, ".PutRecords"):
		answer = `{"FailedRecordCount":0,"Records":[` + strings.TrimSuffix(strings.Repeat(`{"ShardId":"s","SequenceNumber":"1"},`, n), ",") + "]}"
	case strings.HasSuffix(target, ".PutRecordBatch"):
		answer = `{"FailedPutCount":0,"RequestResponses":[` + strings.TrimSuffix(strings.Repeat(`{"RecordId":"1"},`, n), ",") + "]}"
	}
	_, _ = io.WriteString(w, answer)
}

// take returns the body of the one call that was made.
func (s *lastBody) take(t *testing.T) any {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) != 1 {
		t.Fatalf("%d calls were made", len(s.bodies))
	}
	if !utf8.Valid(s.bodies[0]) {
		t.Fatalf("not UTF-8: %q", s.bodies[0])
	}
	d := json.NewDecoder(bytes.NewReader(s.bodies[0]))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, s.bodies[0])
	}
	s.bodies = nil
	return v
}

// FuzzBody sends two records by each plugin and by the SDK as it is: the bodies
// mean the same, whatever is in the text, the partition key or the time.
func FuzzBody(f *testing.F) {
	s := &lastBody{}
	server := httptest.NewServer(s)
	f.Cleanup(server.Close)
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": ""} {
		f.Setenv(k, v)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	env := func(name string) delivery.Env {
		return delivery.Env{Name: name, Log: logrus.NewEntry(log), Counters: new(delivery.Counters)}
	}
	get := func(more map[string]string) options.Getter {
		all := with(server.URL, more)
		return func(name string) string { return all[name] }
	}
	logs, err := cloudwatchplugin.New(env("cloudwatch.0"), get(map[string]string{"log_group_name": "g", "log_stream_name": "s", "log_key": "log"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(logs.Close)
	streams, err := kinesisplugin.New(env("kinesis.0"), get(map[string]string{"stream": "s", "log_key": "log", "partition_key": "key"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(streams.Close)
	hose, err := firehoseplugin.New(env("firehose.0"), get(map[string]string{"delivery_stream": "s", "log_key": "log"}))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(hose.Close)
	endpoint := func(base **string) { *base = &server.URL }
	sdkLogs := cloudwatchlogs.NewFromConfig(plain(), func(o *cloudwatchlogs.Options) { endpoint(&o.BaseEndpoint) })
	sdkKinesis := kinesis.NewFromConfig(plain(), func(o *kinesis.Options) { endpoint(&o.BaseEndpoint) })
	sdkFirehose := firehose.NewFromConfig(plain(), func(o *firehose.Options) { endpoint(&o.BaseEndpoint) })

	for i, text := range scripts {
		f.Add(text, scripts[(i+7)%len(scripts)], uint32(i), uint32(i*1e7))
	}
	f.Fuzz(func(t *testing.T, text, key string, sec, nsec uint32) {
		if text == "" || len(text) > 60_000 || len(repaired([]byte(key))) > 200 || key == "" || sec >= 1<<32-2 {
			return // dropped, cut or made up: other tests
		}
		nsec %= 1e9
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var chunk []byte
		for range 2 {
			body, err := msgpack.Marshal(map[string]any{"log": text, "key": []byte(key)})
			if err != nil {
				t.Fatal(err)
			}
			chunk = append(chunk, "\x92\xd7\x00"...)
			chunk = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(chunk, sec), nsec)
			chunk = append(chunk, body...)
		}
		same := func(name string, result delivery.Result, put func() error) {
			t.Helper()
			if result != delivery.OK {
				t.Fatalf("%s: %v", name, result)
			}
			got := s.take(t)
			if err := put(); err != nil {
				t.Fatal(err)
			}
			if want := s.take(t); !reflect.DeepEqual(got, want) {
				t.Errorf("%s sends %#v\nthe SDK %#v", name, got, want)
			}
		}
		c := delivery.Chunk{Tag: "t", Data: chunk}
		message := repaired([]byte(text))
		partition := repaired([]byte(key))
		same("cloudwatch", logs.Flush(c), func() error {
			e := cwtypes.InputLogEvent{Message: &message, Timestamp: aws.Int64(int64(sec)*1000 + int64(nsec)/1e6)}
			_, err := sdkLogs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: []cwtypes.InputLogEvent{e, e}})
			return err
		})
		same("kinesis", streams.Flush(c), func() error {
			e := ktypes.PutRecordsRequestEntry{Data: []byte(message), PartitionKey: &partition}
			_, err := sdkKinesis.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: []ktypes.PutRecordsRequestEntry{e, e}})
			return err
		})
		same("firehose", hose.Flush(c), func() error {
			e := fhtypes.Record{Data: []byte(message + "\n")}
			_, err := sdkFirehose.PutRecordBatch(ctx, &firehose.PutRecordBatchInput{DeliveryStreamName: aws.String("s"), Records: []fhtypes.Record{e, e}})
			return err
		})
	})
}
