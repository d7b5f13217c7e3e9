package recordstest

import (
	"testing"
	"time"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// Share tests many small chunks that come at the same time, as those of many
// files do, each with few records: they have calls together.
func (s *Subject) Share(t *testing.T) {
	const chunks, size, latency = 100, 3, 20 * time.Millisecond
	flushAll := func(r *Rig) {
		Parallel(chunks, func(i int) {
			for r.Flush(delivery.Chunk{Tag: "tag", Data: Numbered(size*i, size*i+size)}) != delivery.OK {
			}
		})
		r.WantOnce(0, chunks*size)
		r.Account(chunks*size, chunks*size, 0)
		r.WantCount(delivery.Requests, len(r.Calls()))
	}
	side(t, map[string]func(*testing.T){
		"in good times": func(t *testing.T) {
			r := s.Start(t, awslocal.Config{Latency: latency}, LogKey...)
			flushAll(r)
			// The first one's, and as many as end while others are still on their way.
			if n := len(r.Calls()); n > chunks/5 {
				t.Errorf("%d calls for %d chunks", n, chunks)
			}
			r.WantCount(delivery.Resent, 0)
			r.Log.NoErrors(t)
		},
		"through all faults": func(t *testing.T) {
			r := s.Start(t, awslocal.Config{Latency: latency, Seed: 1}, LogKey...)
			r.AWS.SetFaults(s.Operation, s.harsh())
			flushAll(r)
		},
		"one after the other": func(t *testing.T) {
			r := s.Start(t, awslocal.Config{}, LogKey...)
			for i := range 10 {
				r.Want(delivery.OK, Numbered(size*i, size*i+size))
			}
			r.WantCalls(size, size, size, size, size, size, size, size, size, size)
		},
	})
}
