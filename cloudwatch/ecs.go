package cloudwatch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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

// ecsMetadata is the metadata of the task that Fluent Bit runs in.
type ecsMetadata struct {
	metadata[template.ECS]
	url      string // of the task's metadata; empty outside of ECS
	client   *http.Client
	deadline time.Duration // ecsDeadline, and the next ecsPause, but for tests
	pause    time.Duration
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
		metadata: metadata[template.ECS]{report: report, rest: ecsRest, now: time.Now},
		deadline: ecsDeadline,
		pause:    ecsPause,
	}
	for _, env := range []string{ecsEnvV4, ecsEnvV3} {
		if uri := strings.TrimSpace(getenv(env)); uri != "" {
			m.url = strings.TrimSuffix(uri, "/") + "/task"
			m.fetch = m.fetchTask
			break
		}
	}
	return m
}

// inTask tells whether Fluent Bit runs in an ECS task.
func (m *ecsMetadata) inTask() bool { return m.url != "" }

// fetchTask tries a few times: the agent may be busy, or just start again.
func (m *ecsMetadata) fetchTask(ctx context.Context) (e *template.ECS, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.deadline)
	defer cancel()
	for try := 1; ; try++ {
		if e, err = m.try(ctx); err == nil {
			return e, nil
		}
		if try < ecsTries {
			select {
			case <-ctx.Done():
			case <-time.After(m.pause):
				continue
			}
		}
		return nil, fmt.Errorf("cannot get the metadata of the ECS task from %s: %w", m.url, err)
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
		Cluster  string
		TaskARN  string
		Family   string
		Revision string
	}
	if jsoniter.Unmarshal(body, &task) != nil {
		// The decoder's error quotes the answer, which is none of the log's business.
		return nil, fmt.Errorf("the answer, of %d bytes, is not a task's JSON", len(body))
	}
	if !strings.HasPrefix(task.TaskARN, "arn:") || !strings.Contains(task.TaskARN, "/") || strings.HasSuffix(task.TaskARN, "/") {
		return nil, fmt.Errorf("TaskARN %q is not the ARN of a task", task.TaskARN)
	}
	id := task.TaskARN[strings.LastIndexByte(task.TaskARN, '/')+1:]
	return &template.ECS{TaskID: id, Cluster: task.Cluster, TaskARN: task.TaskARN,
		Family: task.Family, Revision: task.Revision}, nil
}
