package awsx

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"aws-for-fluent-bit/internal/awslocal"
)

// TestMain keeps what this machine knows of AWS away from the tests.
func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		serveBenchmark()
		return
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") || name == "EKS_POD_EXECUTION_ROLE" {
			os.Unsetenv(name)
		}
	}
	heapAtStart = liveHeap()
	none := filepath.Join(os.TempDir(), "awsx-test-has-no-such-file")
	os.Setenv("AWS_CONFIG_FILE", none)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	os.Setenv("AWS_SECRET_ACCESS_KEY", awslocal.DefaultKeys["AKIDEXAMPLE"])
	os.Exit(m.Run())
}

var heapAtStart uint64

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHeapAtStart: what packages make before anything is asked of them is memory on each
// node of a cluster. The clients of go.mod have 0.9 MB, those with schemas 2.2 MB.
func TestHeapAtStart(t *testing.T) {
	const most = 1_200_000 // bytes
	if heapAtStart > most {
		t.Errorf("the packages' own start leaves %d bytes in use, want at most %d: DESIGN.md, Dependencies", heapAtStart, most)
	}
}

// local starts a server with the streams that the tests send to.
func local(t testing.TB, cfg awslocal.Config) *awslocal.Server {
	t.Helper()
	cfg.KinesisStreams = map[string]int{"stream": 1}
	cfg.DeliveryStreams = []string{"delivery"}
	cfg.RefuseUnknownKeys = true
	cfg.KeepBodies = true
	s, err := awslocal.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// load makes a session, and checks at its end that nothing of it is left.
func load(t testing.TB, o Options) *Session {
	t.Helper()
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	s, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// testContext ends long after anything here should have ended by itself.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// logEvents is the body of a PutLogEvents request of n events.
func logEvents(group, stream string, n int) []byte {
	var b strings.Builder
	b.WriteString(`{"logGroupName":"` + group + `","logStreamName":"` + stream + `","logEvents":[`)
	now := time.Now().UnixMilli()
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"timestamp":` + itoa(now) + `,"message":"event ` + itoa(int64(i)) + `"}`)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// prepare makes the group and the stream that the tests send to.
func prepare(t testing.TB, c *LogsClient) {
	t.Helper()
	group, stream := "group", "log"
	_, err := c.CreateLogGroup(testContext(t), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group})
	if class := Classify(err).Class; class != NoFailure && class != AlreadyExists {
		t.Fatal(err)
	}
	_, err = c.CreateLogStream(testContext(t), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
	if class := Classify(err).Class; class != NoFailure && class != AlreadyExists {
		t.Fatal(err)
	}
}
