package cloudwatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"aws-for-fluent-bit/internal/awsx"
	"aws-for-fluent-bit/internal/template"
)

// metadata gets what an agent beside Fluent Bit knows of it, when it is first
// needed, and keeps it: it does not change. It is safe for concurrent use.
//
// While it cannot be had, its variables count as missing, and the default names
// are used. AWS's Go plugin gives every chunk back to Fluent Bit until it has
// the ECS task's, which needs no template to use it; as Fluent Bit tries a chunk
// again only once by default, that loses logs to keep their names.
type metadata[T any] struct {
	fetch  func(context.Context) (*T, error) // nil: there is no such agent
	report func(error)
	rest   time.Duration // how long the agent is left alone after a failure
	now    func() time.Time

	known atomic.Pointer[T]
	mu    sync.Mutex // held while it is fetched; guards the next
	next  time.Time  // not before this
}

// get returns what the agent knows, or nil if that cannot be had. It takes no
// longer than fetch, also for those who wait while another goroutine fetches
// it: if that fails, they do not try again.
func (m *metadata[T]) get(ctx context.Context) *T {
	if known := m.known.Load(); known != nil || m.fetch == nil {
		return known
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.known.Load(); known != nil || m.now().Before(m.next) {
		return known
	}
	known, err := m.fetch(ctx)
	if err != nil {
		m.next = m.now().Add(m.rest)
		m.report(err)
		return nil
	}
	m.known.Store(known)
	return known
}

const (
	// ec2Deadline bounds how long a flush waits for the instance's metadata, which
	// is there within milliseconds or, from a container too many hops away, never.
	ec2Deadline = 2 * time.Second
	ec2Rest     = time.Minute
)

// newEC2Metadata asks EC2's instance metadata service. report is told why that
// failed, at most every ec2Rest.
func newEC2Metadata(s *awsx.Session, report func(error)) *metadata[template.EC2] {
	return &metadata[template.EC2]{report: report, rest: ec2Rest, now: time.Now,
		fetch: func(ctx context.Context) (*template.EC2, error) {
			ctx, cancel := context.WithTimeout(ctx, ec2Deadline)
			defer cancel()
			d, err := s.Instance(ctx)
			if err != nil {
				return nil, err
			}
			return &template.EC2{InstanceID: d.InstanceID, InstanceType: d.InstanceType,
				AvailabilityZone: d.AvailabilityZone, PrivateIP: d.PrivateIP}, nil
		}}
}
