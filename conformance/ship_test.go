package conformance

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	fhtypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"aws-for-fluent-bit/internal/delivery"
	"aws-for-fluent-bit/internal/host"
)

// shipped is what the built library is given, and how it has to end.
type shipped struct {
	plugin  string
	options map[string]string
	chunks  [][]byte
	records int
	env     []string
	pause   time.Duration // behind each chunk
}

// ship has the built library deliver chunks, one after the other so that their
// order is kept, and returns the log.
func ship(t *testing.T, s shipped) string {
	t.Helper()
	dir, err := host.Build(host.Variant{})
	if err != nil {
		t.Fatal(err)
	}
	env := append([]string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_SESSION_TOKEN=",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PROFILE=", "AWS_CA_BUNDLE="}, s.env...)
	h, err := host.Start(host.Config{Loaders: []string{filepath.Join(dir, s.plugin+".so")}, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			h.Kill()
		}
		if t.Failed() {
			log := h.LogText()
			t.Logf("end of the log:\n%s", log[max(0, len(log)-4000):])
		}
	}()
	out, err := h.Init(s.plugin, s.options, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range s.chunks {
		if result, err := out.Flush("app.odd", c); err != nil || result != delivery.OK {
			t.Fatalf("chunk %d: %v, %v", i, result, err)
		}
		time.Sleep(s.pause)
	}
	if err := out.Exit(); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	closed = true
	if want := regexp.MustCompile(fmt.Sprintf(`account: in %d, sent %d\b`, s.records, s.records)); !want.MatchString(h.LogText()) {
		t.Errorf("the log has no line %q", want)
	}
	return h.LogText()
}

// with adds to the options that every output has.
func with(endpoint string, more map[string]string) map[string]string {
	o := map[string]string{"region": region, "endpoint": endpoint, "concurrency": "1"}
	for k, v := range more {
		o[k] = v
	}
	return o
}

// readLogs reads a log stream, page by page.
func readLogs(t *testing.T, endpoint, group, stream string) (texts []string, times []int64) {
	t.Helper()
	ctx := testContext(t)
	c := cloudwatchlogs.NewFromConfig(plain(), func(o *cloudwatchlogs.Options) { o.BaseEndpoint = &endpoint })
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true), Limit: aws.Int32(1000)}
	for pages := 0; ; pages++ {
		page, err := c.GetLogEvents(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			texts = append(texts, aws.ToString(e.Message))
			times = append(times, aws.ToInt64(e.Timestamp))
		}
		if page.NextForwardToken == nil || aws.ToString(in.NextToken) == *page.NextForwardToken || pages > 1000 {
			return texts, times
		}
		in.NextToken = page.NextForwardToken
	}
}

// kinesisClient makes a stream of one shard, which keeps the order, and waits
// until it is there.
func kinesisClient(t *testing.T, endpoint, stream string) *kinesis.Client {
	t.Helper()
	ctx := testContext(t)
	c := kinesis.NewFromConfig(plain(), func(o *kinesis.Options) { o.BaseEndpoint = &endpoint })
	if _, err := c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &stream, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	if err := kinesis.NewStreamExistsWaiter(c, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 1e8, 1e9 }).Wait(
		ctx, &kinesis.DescribeStreamInput{StreamName: &stream}, 6e10); err != nil {
		t.Fatal(err)
	}
	return c
}

// readStream reads a stream's shards to their ends, page by page.
func readStream(t *testing.T, c *kinesis.Client, stream string) (records []ktypes.Record) {
	t.Helper()
	ctx := testContext(t)
	shards, err := c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards.Shards {
		it, err := c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: s.ShardId, ShardIteratorType: ktypes.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			page, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(1000)})
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, page.Records...)
			if next = page.NextShardIterator; len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return records
}

func dataOf(records []ktypes.Record) (texts []string) {
	for _, r := range records {
		texts = append(texts, string(r.Data))
	}
	return texts
}

// makeDeliveryStream makes a bucket and a delivery stream into it.
func makeDeliveryStream(t *testing.T, endpoint, name string) *firehose.Client {
	t.Helper()
	ctx := testContext(t)
	config := `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` + region + `</LocationConstraint></CreateBucketConfiguration>`
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, endpoint+"/"+bucket(name), strings.NewReader(config))
	if err != nil {
		t.Fatal(err)
	}
	// Where nothing is signed, the credential's scope is all that moto routes by.
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKey+"/20260101/"+region+"/s3/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("cannot make a bucket: %s\n%s", resp.Status, text)
	}
	c := firehose.NewFromConfig(plain(), func(o *firehose.Options) { o.BaseEndpoint = &endpoint })
	_, err = c.CreateDeliveryStream(ctx, &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: &name,
		ExtendedS3DestinationConfiguration: &fhtypes.ExtendedS3DestinationConfiguration{
			RoleARN: aws.String("arn:aws:iam::123456789012:role/firehose"), BucketARN: aws.String("arn:aws:s3:::" + bucket(name))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func bucket(name string) string { return "bucket-of-" + name }

// readBucket reads all objects of a delivery stream's bucket, in the order in
// which they were written.
func readBucket(t *testing.T, endpoint, name string) (objects [][]byte) {
	t.Helper()
	get := func(path string) []byte {
		req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, endpoint+"/"+bucket(name)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+accessKey+"/20260101/"+region+"/s3/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v\n%s", path, resp.Status, err, body)
		}
		return body
	}
	type entry struct{ Key, LastModified string }
	var entries []entry
	for token := ""; ; {
		var page struct {
			IsTruncated           bool
			NextContinuationToken string
			Contents              []entry
		}
		query := "?list-type=2&max-keys=100"
		if token != "" {
			query += "&continuation-token=" + url.QueryEscape(token)
		}
		if err := xml.Unmarshal(get(query), &page); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, page.Contents...)
		if token = page.NextContinuationToken; !page.IsTruncated {
			break
		}
	}
	for _, e := range entries {
		objects = append(objects, get("/"+(&url.URL{Path: e.Key}).EscapedPath()))
	}
	return objects
}

func TestCloudWatchLogsIntoMoto(t *testing.T) {
	moto := startMoto(t)
	l := newLoad(1, oddRecords)
	ship(t, shipped{plugin: "cloudwatch", chunks: l.chunks(700), records: oddRecords, options: with(moto, map[string]string{
		"log_group_name": "odd", "log_stream_name": "all", "auto_create_group": "true"})})
	texts, times := readLogs(t, moto, "odd", "all")
	l.check(t, texts)
	for i, ms := range times {
		if i < len(l.bodies) && ms != l.millis(i) {
			t.Fatalf("event %d has the time %d, want %d", i, ms, l.millis(i))
		}
	}
}

func TestKinesisIntoMoto(t *testing.T)       { testKinesis(t, startMoto(t)) }
func TestKinesisIntoKinesalite(t *testing.T) { testKinesis(t, startKinesalite(t)) }

func testKinesis(t *testing.T, endpoint string) {
	c := kinesisClient(t, endpoint, "odd")
	l := newLoad(2, oddRecords)
	ship(t, shipped{plugin: "kinesis", chunks: l.chunks(700), records: oddRecords, options: with(endpoint, map[string]string{"stream": "odd"})})
	l.check(t, dataOf(readStream(t, c, "odd")))

	t.Run("partition keys", func(t *testing.T) {
		c := kinesisClient(t, endpoint, "by-key") // "keys" would end kinesalite: its list of streams is a JavaScript array
		var l load
		var want []string
		for i, s := range scripts {
			if s == "" {
				continue // gets a random key
			}
			l.bodies = append(l.bodies, fmt.Appendf(nil, "\x81\xa3key\xc4%c%s", byte(len(s)), s))
			want = append(want, repaired([]byte(s)))
			l.begin = newLoad(uint64(i), 0).begin
		}
		ship(t, shipped{plugin: "kinesis", chunks: l.chunks(len(l.bodies)), records: len(l.bodies), options: with(endpoint, map[string]string{"stream": "by-key", "partition_key": "key"})})
		records := readStream(t, c, "by-key")
		l.check(t, dataOf(records))
		for i := range min(len(records), len(want)) {
			if key := aws.ToString(records[i].PartitionKey); key != want[i] {
				t.Errorf("partition key %q, want %q", key, want[i])
			}
		}
	})
	for _, form := range []string{"gzip", "zlib"} {
		t.Run(form, func(t *testing.T) {
			c := kinesisClient(t, endpoint, form)
			l := newLoad(3, 1000)
			ship(t, shipped{plugin: "kinesis", chunks: l.chunks(1000), records: 1000, options: with(endpoint, map[string]string{"stream": form, "compression": form})})
			var texts []string
			for _, r := range readStream(t, c, form) {
				texts = append(texts, string(inflate(t, form, r.Data)))
			}
			l.check(t, texts)
		})
	}
}

// inflate undoes a compression with Go's standard library, which the plugins do
// not use for it.
func inflate(t *testing.T, form string, data []byte) []byte {
	t.Helper()
	var r io.ReadCloser
	var err error
	if form == "gzip" {
		r, err = gzip.NewReader(bytes.NewReader(data))
	} else {
		r, err = zlib.NewReader(bytes.NewReader(data))
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFirehoseIntoMoto(t *testing.T) {
	moto := startMoto(t)
	for _, c := range []struct {
		name    string
		options map[string]string
	}{
		{"odd", nil},
		{"together", map[string]string{"simple_aggregation": "true"}},
		{"gzip", map[string]string{"compression": "gzip"}},
		{"gzip-together", map[string]string{"simple_aggregation": "true", "compression": "gzip"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			makeDeliveryStream(t, moto, c.name)
			l := newLoad(4, oddRecords)
			options := with(moto, map[string]string{"delivery_stream": c.name})
			for k, v := range c.options {
				options[k] = v
			}
			ship(t, shipped{plugin: "firehose", chunks: l.chunks(700), records: oddRecords, options: options})
			l.checkLines(t, readBucket(t, moto, c.name))
		})
	}
}

// checkLines compares records that Firehose wrote into files, each ending with
// a newline. The names of moto's files hold a time of whole seconds and a random
// part, so the files come in any order: records are found by their files'
// content, as an order of files that accounts for every record.
func (l load) checkLines(t *testing.T, objects [][]byte) {
	t.Helper()
	var files [][]string
	for _, o := range objects {
		if bytes.HasPrefix(o, []byte("\x1f\x8b")) {
			o = inflate(t, "gzip", o) // members behind each other are one text
		}
		lines := strings.SplitAfter(string(o), "\n")
		if lines[len(lines)-1] != "" {
			t.Fatal("a file does not end with a newline")
		}
		lines = lines[:len(lines)-1]
		for i := range lines {
			lines[i] = strings.TrimSuffix(lines[i], "\n")
		}
		files = append(files, lines)
	}
	var texts []string
	for at := 0; at < len(l.bodies); {
		found := -1
		for i, lines := range files {
			n := min(len(lines), len(l.bodies)-at)
			same := n > 0
			for k := 0; k < n && same; k++ {
				same = compare(l.bodies[at+k], lines[k]) == nil
			}
			if same {
				found = i
				break
			}
		}
		if found < 0 {
			t.Errorf("no file goes on with record %d: %.300q", at, l.bodies[at])
			break
		}
		texts = append(texts, files[found]...)
		at += len(files[found])
		files = append(files[:found], files[found+1:]...)
	}
	for _, left := range files {
		t.Errorf("a file of %d records is left over", len(left))
	}
	l.check(t, texts)
}

// Credentials that moto's STS gives for a role are used.
func TestRoleFromMoto(t *testing.T) {
	moto := startMoto(t)
	c := kinesisClient(t, moto, "role")
	l := newLoad(5, 200)
	ship(t, shipped{plugin: "kinesis", chunks: l.chunks(200), records: 200, options: with(moto, map[string]string{
		"stream": "role", "sts_endpoint": moto, "role_arn": "arn:aws:iam::123456789012:role/shipper", "external_id": "x-1"})})
	l.check(t, dataOf(readStream(t, c, "role")))
}
