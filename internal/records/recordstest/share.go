package recordstest

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
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

// WaitingFlushes wants flushes that wait for a call which they are to share to hold
// little, and no goroutine: what they write records with, which others can use, is 3 KB
// more, and a stack 4 KB.
func (s *Subject) WaitingFlushes(t *testing.T) {
	if Race {
		t.Skip("bodies are of Go's heap under the race detector")
	}
	// One at a time writes its records: what others wrote with meanwhile is kept for some seconds.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const flushes, size, most = 200, 4, 2700
	chunk := KubernetesChunk(size)
	var release sync.WaitGroup
	sink := Sink()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release.Wait() // before it reads the request, which would be in this process, too
		sink.ServeHTTP(w, r)
	}))
	defer srv.Close()
	r := s.StartAt(t, srv.URL)
	alive := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first one leaves what sync.Pools had
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	r.Want(delivery.OK, chunk)
	before := alive()
	release.Add(1)
	goroutines := runtime.NumGoroutine()
	var all sync.WaitGroup
	for range flushes {
		all.Add(1)
		end := func(got delivery.Result) {
			if got != delivery.OK {
				t.Errorf("got %v", got)
			}
			all.Done()
		}
		go func() {
			c := delivery.Chunk{Tag: "tag", Data: chunk, Resume: func(rest func() delivery.Result) { end(rest()) }}
			if got := r.Plugin.Flush(c); got != delivery.Pending {
				end(got)
			}
		}()
	}
	// Those that do not wait have some, of their calls and behind the listener.
	for still, last := 0, 0; r.Get(delivery.In) < (1+flushes)*size || still < 50; time.Sleep(time.Millisecond) {
		if now := runtime.NumGoroutine(); now == last {
			still++
		} else {
			still, last = 0, now
		}
	}
	if more := runtime.NumGoroutine() - goroutines; more > flushes/4 {
		t.Errorf("%d flushes that wait have %d goroutines", flushes, more)
	}
	if each := (alive() - before) / flushes; each > most {
		t.Errorf("each of %d flushes that wait holds %d bytes, want at most %d", flushes, each, most)
	}
	release.Done()
	all.Wait()
}
