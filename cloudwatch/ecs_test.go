package cloudwatch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
	"aws-for-fluent-bit/internal/template"
)

const testTask = `{"Cluster":"arn:aws:ecs:us-west-2:111122223333:cluster/default",
	"TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/e9028f8d5d8e4f258373e7b93ce9a3c3",
	"Family":"web","Revision":"7","Containers":[{"Name":"web","Limits":{"CPU":10}}]}`

// ecsAgent is an agent on loopback; handle gets the number of the request, from 1.
func ecsAgent(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(int(requests.Add(1)), w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

// newTestECS returns the metadata with the environment given as name, value,
// and the errors that were reported.
func newTestECS(env ...string) (*ecsMetadata, *[]string) {
	errs := &[]string{}
	m := newECSMetadata(nameOptions(env...), func(err error) { *errs = append(*errs, err.Error()) })
	m.pause = time.Millisecond
	return m, errs
}

func TestECSMetadata(t *testing.T) {
	paths := make(chan string, 10)
	url, requests := ecsAgent(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		fmt.Fprint(w, testTask)
	})
	const arn = "arn:aws:ecs:us-west-2:111122223333:"
	want := template.ECS{TaskID: "e9028f8d5d8e4f258373e7b93ce9a3c3", Cluster: arn + "cluster/default", TaskARN: arn + "task/default/e9028f8d5d8e4f258373e7b93ce9a3c3", Family: "web", Revision: "7"}
	tests := []struct {
		env  []string
		path string
	}{
		{[]string{ecsEnvV4, url + "/v4/abc"}, "/v4/abc/task"},
		{[]string{ecsEnvV3, url + "/v3/abc"}, "/v3/abc/task"},
		{[]string{ecsEnvV3, url + "/v3/abc", ecsEnvV4, url + "/v4/abc/"}, "/v4/abc/task"},
	}
	for _, tt := range tests {
		m, errs := newTestECS(tt.env...)
		for range 3 { // it is fetched once
			if got := m.get(context.Background()); got == nil || *got != want {
				t.Fatalf("got %+v, want %+v, %v", got, want, *errs)
			}
		}
		if got := <-paths; got != tt.path {
			t.Errorf("asked for %s, want %s", got, tt.path)
		}
	}
	if n := requests.Load(); int(n) != len(tests) {
		t.Errorf("%d requests", n)
	}
}

// The agent's address is link-local: through a proxy it would be another host's.
func TestECSMetadataUsesNoProxy(t *testing.T) {
	m, _ := newTestECS()
	if m.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("it may be asked for through a proxy")
	}
}

// The times in use; the other tests are in more of a hurry.
func TestECSTimes(t *testing.T) {
	m := newECSMetadata(nameOptions(), nil)
	if m.deadline != 2*time.Second || m.pause != 100*time.Millisecond || m.rest != 10*time.Second {
		t.Errorf("deadline %v, pause %v, rest %v", m.deadline, m.pause, m.rest)
	}
}

func TestECSMetadataSize(t *testing.T) {
	for over := range 2 {
		url, _ := ecsAgent(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, testTask+strings.Repeat(" ", 1<<20+over-len(testTask)))
		})
		m, errs := newTestECS(ecsEnvV4, url)
		if got := m.get(context.Background()); (got != nil) != (over == 0) {
			t.Errorf("%d bytes over 1 MiB: got %v, %q", over, got, *errs)
		}
	}
}

func TestParseTask(t *testing.T) {
	tests := []struct{ body, id, err string }{
		{`{"Cluster":"default","TaskARN":"arn:aws:ecs:us-east-1:1:task/default/abc"}`, "abc", ""},
		{`{"Cluster":"default","TaskARN":"arn:aws-cn:ecs:cn-north-1:1:task/abc"}`, "abc", ""}, // the old, short form
		{`{"Cluster":"default"}`, "", `TaskARN "" is not the ARN of a task`},
		{`{"TaskARN":"abc/def"}`, "", `TaskARN "abc/def" is not the ARN of a task`},
		{`{"TaskARN":"arn:aws:ecs"}`, "", `TaskARN "arn:aws:ecs" is not the ARN of a task`},
		{`{"TaskARN":"arn:aws:ecs:x:1:task/"}`, "", `TaskARN "arn:aws:ecs:x:1:task/" is not the ARN of a task`},
		{``, "", "the answer, of 0 bytes, is not a task's JSON"},
		{`secret`, "", "the answer, of 6 bytes, is not a task's JSON"},
		{`{"TaskARN":17}`, "", "the answer, of 14 bytes, is not a task's JSON"},
	}
	for _, tt := range tests {
		got, err := parseTask([]byte(tt.body))
		switch {
		case tt.err != "" && (err == nil || err.Error() != tt.err):
			t.Errorf("%s: got %v, want %s", tt.body, err, tt.err)
		case tt.err == "" && (err != nil || got.TaskID != tt.id || got.Cluster != "default"):
			t.Errorf("%s: got %+v, %v", tt.body, got, err)
		}
	}
}

// The agent fails at first: within one flush it is tried again.
func TestECSMetadataTriesAgain(t *testing.T) {
	url, requests := ecsAgent(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n < ecsTries {
			http.Error(w, "busy", http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, testTask)
	})
	m, errs := newTestECS(ecsEnvV4, url)
	if m.get(context.Background()) == nil || requests.Load() != ecsTries || len(*errs) > 0 {
		t.Errorf("%d requests, %v", requests.Load(), *errs)
	}
}

// Every way to fail ends in a missing value, one report, and a rest.
func TestECSMetadataFails(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + nobody.Addr().String()
	nobody.Close()

	tests := []struct {
		name, url string
		handle    func(n int, w http.ResponseWriter, r *http.Request)
		want      string
	}{
		{"status", "", func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, testTask, 500) }, "the answer is 500 Internal Server Error"},
		{"redirect", "", func(_ int, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", 302) }, "the answer is 302 Found"},
		{"not json", "", func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "is not a task's JSON"},
		{"no arn", "", func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, "is not the ARN of a task"},
		{"too long", "", func(_ int, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"Family":"`+strings.Repeat("x", maxECSAnswer)+`"}`)
		}, "the answer has more than 1048576 bytes"},
		{"cut off", "", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			fmt.Fprint(w, "{")
		}, "cannot read the answer"},
		{"refused", refused, nil, "connection refused"},
		{"no url", "http://[::1", nil, "missing ']' in host"},
		{"no scheme", "localhost/v4", nil, "unsupported protocol scheme"},
	}
	for _, tt := range tests {
		url := tt.url
		if tt.handle != nil {
			url, _ = ecsAgent(t, tt.handle)
		}
		m, errs := newTestECS(ecsEnvV4, url)
		if got := m.get(context.Background()); got != nil {
			t.Errorf("%s: got %+v", tt.name, got)
		}
		prefix := "cannot get the metadata of the ECS task from " + url + "/task: "
		if len(*errs) != 1 || !strings.HasPrefix((*errs)[0], prefix) || !strings.Contains((*errs)[0], tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, *errs, tt.want)
		}
	}
}

// After a failure the agent is left alone for a while; then it is tried again.
func TestECSMetadataRests(t *testing.T) {
	var up atomic.Bool
	url, requests := ecsAgent(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			http.Error(w, "", 503)
			return
		}
		fmt.Fprint(w, testTask)
	})
	m, errs := newTestECS(ecsEnvV4, url)
	now := time.Unix(1_700_000_000, 0)
	m.now = func() time.Time { return now }
	m.get(context.Background())
	up.Store(true)
	now = now.Add(ecsRest - 1)
	if m.get(context.Background()) != nil || requests.Load() != ecsTries || len(*errs) != 1 {
		t.Errorf("%d requests, %q: it was not left alone", requests.Load(), *errs)
	}
	now = now.Add(1)
	if m.get(context.Background()) == nil || requests.Load() != ecsTries+1 {
		t.Errorf("%d requests, %q: it was not tried again", requests.Load(), *errs)
	}
}

// An agent that never answers holds up the flushes for the deadline, together
// and not one after the other.
func TestECSMetadataHangs(t *testing.T) {
	free := make(chan struct{})
	url, requests := ecsAgent(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	})
	defer close(free)
	m, errs := newTestECS(ecsEnvV4, url)
	m.deadline = 150 * time.Millisecond
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if m.get(context.Background()) != nil {
				t.Error("there is metadata")
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n > ecsTries || len(*errs) != 1 {
		t.Errorf("%d requests, %q", n, *errs)
	}
}

// One request that hangs leaves time for another.
func TestECSMetadataHangsOnce(t *testing.T) {
	t.Parallel()
	url, _ := ecsAgent(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, testTask)
	})
	m, errs := newTestECS(ecsEnvV4, url)
	m.deadline = 1500 * time.Millisecond // a request has 500
	if m.get(context.Background()) == nil {
		t.Errorf("got nothing, %q", *errs)
	}
}

// A flush that is called off does not wait at all.
func TestECSMetadataCanceled(t *testing.T) {
	url, requests := ecsAgent(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, testTask) })
	m, errs := newTestECS(ecsEnvV4, url)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if m.get(ctx) != nil || requests.Load() != 0 || len(*errs) != 1 {
		t.Errorf("%d requests, %q", requests.Load(), *errs)
	}
}

// Names use the default while the task is not known, and the task once it is.
func TestNamesFromECS(t *testing.T) {
	var up atomic.Bool
	url, _ := ecsAgent(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			http.Error(w, "", 503)
			return
		}
		fmt.Fprint(w, testTask)
	})
	s := options.New(nameOptions("log_group_name", "/ecs/$(ecs_cluster)", "log_stream_name", "$(ecs_task_id)-$(a)"))
	c := parseNames(s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	m, _ := newTestECS(ecsEnvV3, url)
	now := time.Unix(1_700_000_000, 0)
	m.now = func() time.Time { return now }
	var misses []nameMiss
	n := newNames(c, m, func(m nameMiss) { misses = append(misses, m) })
	if len(misses) > 0 {
		t.Errorf("at start: %q", misses)
	}
	body := packMap(t, map[string]any{"a": 1})
	if got, _ := n.chunk(context.Background(), "t").target(chunk.Time{}, body); got != (target{"fluentbit-default", "/fluentbit-default"}) {
		t.Errorf("got %q", got)
	}
	if len(misses) != 2 || misses[0].reason != "$(ecs_cluster): the ECS task is not known" {
		t.Errorf("got %q", misses)
	}
	up.Store(true)
	now = now.Add(ecsRest)
	want := target{"/ecs/arn.aws.ecs.us-west-2.111122223333.cluster/default", "e9028f8d5d8e4f258373e7b93ce9a3c3-1"}
	if got, _ := n.chunk(context.Background(), "t").target(chunk.Time{}, body); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
