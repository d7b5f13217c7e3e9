package cloudwatch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	jsoniter "github.com/json-iterator/go"

	"aws-for-fluent-bit/internal/template"
)

// The ECS agent tells each container, by one of these, where its metadata is.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v3.html
const (
	ecsEnvV4 = "ECS_CONTAINER_METADATA_URI_V4"
	ecsEnvV3 = "ECS_CONTAINER_METADATA_URI"
)

const (
	// ecsDeadline bounds how long a flush waits for the metadata, with all its
	// tries. The agent is on the same host and answers within milliseconds.
	ecsDeadline = 2 * time.Second
	ecsTries    = 3
	ecsPause    = 100 * time.Millisecond
	// ecsRest is how long the agent is left alone after all tries have failed.
	ecsRest = 10 * time.Second
	// maxECSAnswer is far more than a task of ten containers has.
	maxECSAnswer = 1 << 20
)

// ecsMetadata gets the metadata of the task that Fluent Bit runs in, when it is
// first needed, and keeps it: it does not change. It is safe for concurrent use.
//
// While it cannot be had, its variables count as missing, and the default names
// are used. AWS's Go plugin gives every chunk back to Fluent Bit until it has
// the metadata, which needs no template to use it; as Fluent Bit tries a chunk
// again only once by default, that loses logs to keep their names.
type ecsMetadata struct {
	url      string // of the task's metadata; empty outside of ECS
	client   *http.Client
	report   func(error)
	now      func() time.Time
	deadline time.Duration // ecsDeadline, and the next ecsPause, but for tests
	pause    time.Duration

	known atomic.Pointer[template.ECS]
	mu    sync.Mutex // held while it is fetched; guards the next
	next  time.Time  // not before this
}

// newECSMetadata finds the metadata's place in the environment. report is told
// why it could not be fetched, at most every ecsRest.
func newECSMetadata(getenv func(string) string, report func(error)) *ecsMetadata {
	m := &ecsMetadata{
		client: &http.Client{
			// The agent's address is the host's own: no proxy leads there.
			Transport: &http.Transport{
				DialContext:       (&net.Dialer{Timeout: ecsDeadline}).DialContext,
				DisableKeepAlives: true, // it is one request
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		report:   report,
		now:      time.Now,
		deadline: ecsDeadline,
		pause:    ecsPause,
	}
	for _, env := range []string{ecsEnvV4, ecsEnvV3} {
		if uri := strings.TrimSpace(getenv(env)); uri != "" {
			m.url = strings.TrimSuffix(uri, "/") + "/task"
			break
		}
	}
	return m
}

// inTask tells whether Fluent Bit runs in an ECS task.
func (m *ecsMetadata) inTask() bool { return m.url != "" }

// get returns the task's metadata, or nil if it is not known. It takes no
// longer than ecsDeadline, also for those who wait while another goroutine
// fetches it: if that fails, they do not try again.
func (m *ecsMetadata) get(ctx context.Context) *template.ECS {
	if e := m.known.Load(); e != nil || !m.inTask() {
		return e
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.known.Load(); e != nil || m.now().Before(m.next) {
		return e
	}
	e, err := m.fetch(ctx)
	if err != nil {
		m.next = m.now().Add(ecsRest)
		m.report(fmt.Errorf("cannot get the metadata of the ECS task from %s: %w", m.url, err))
		return nil
	}
	m.known.Store(e)
	return e
}

// fetch tries a few times: the agent may be busy, or just start again.
func (m *ecsMetadata) fetch(ctx context.Context) (e *template.ECS, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.deadline)
	defer cancel()
	for try := 1; ; try++ {
		e, err = m.try(ctx)
		if err == nil || try == ecsTries {
			return e, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(m.pause):
		}
	}
}

// try makes one request. A hanging one leaves time for the next.
func (m *ecsMetadata) try(ctx context.Context) (*template.ECS, error) {
	ctx, cancel := context.WithTimeout(ctx, m.deadline/ecsTries)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxECSAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	if len(body) > maxECSAnswer {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxECSAnswer)
	}
	return parseTask(body)
}

// parseTask reads the agent's answer. The task's id is the last part of its
// ARN, with or without the cluster in it. Cluster stays as it comes, a name or
// an ARN, according to the launch type: AWS's plugin takes it so, and a name
// made shorter would send a user's logs to another group than before.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html
func parseTask(body []byte) (*template.ECS, error) {
	var task struct {
		Cluster string
		TaskARN string
	}
	if jsoniter.Unmarshal(body, &task) != nil {
		// The decoder's error quotes the answer, which is none of the log's business.
		return nil, fmt.Errorf("the answer, of %d bytes, is not a task's JSON", len(body))
	}
	slash := strings.LastIndexByte(task.TaskARN, '/')
	if !strings.HasPrefix(task.TaskARN, "arn:") || slash < 0 || slash == len(task.TaskARN)-1 {
		return nil, fmt.Errorf("TaskARN %q is not the ARN of a task", task.TaskARN)
	}
	return &template.ECS{TaskID: task.TaskARN[slash+1:], Cluster: task.Cluster, TaskARN: task.TaskARN}, nil
}
