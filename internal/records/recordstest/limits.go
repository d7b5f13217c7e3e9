package recordstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"aws-for-fluent-bit/internal/awslocal"
	"aws-for-fluent-bit/internal/delivery"
)

// Limits tests what one record and one call may have, at the limit and one to
// both sides of it. awslocal refuses what is above.
func (s *Subject) Limits(t *testing.T) {
	t.Run("max_record_size", s.recordSize)
	t.Run("records of a call", s.callRecords)
	t.Run("bytes of a call", s.callBytes)
	t.Run("several full calls", s.fullCalls)
}

// key is an option that gives records a partition key of a known length.
func (s *Subject) key(n int) (opts []string, key string) {
	if !s.Keys {
		return nil, ""
	}
	return []string{"partition_key", "key", "concurrency", "4"}, strings.Repeat("k", n)
}

func (s *Subject) recordSize(t *testing.T) {
	keyOpts, key := s.key(100)
	body := func(text string) Map { return Map{"log", text, "key", key} }
	limits := []int{4 << 10, s.RecordBytes}
	if s.Keys && !Race {
		limits = append(limits, 10<<20)
	}
	for _, limit := range limits {
		opts := append([]string{"log_key", "log"}, keyOpts...)
		if limit != s.RecordBytes {
			opts = append(opts, "max_record_size", fmt.Sprint(limit))
		}
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r := s.Start(t, awslocal.Config{KinesisMaxRecordBytes: max(limit, s.RecordBytes)}, opts...)
			room := limit - len(key) - len(s.Ended(""))
			for over := -1; over <= 1; over++ {
				r.Want(delivery.OK, Chunk(body(twoByteText(room+over))))
			}
			got := r.Data()
			for i, over := range []int{-1, 0} {
				if want := s.Ended(twoByteText(room + over)); got[i] != want {
					t.Errorf("at the limit %+d: got %d bytes, want %d", over, len(got[i]), len(want))
				}
			}
			if size := len(key) + len(got[2]); size > limit || size < limit-1 {
				t.Errorf("one above the limit: cut to %d bytes, want %d or one less", size, limit)
			}
			s.checkCut(t, got[2], twoByteText(room+1), 1)
			r.WantCount(delivery.Truncated, 1)
			r.Account(3, 3, 0)
		})
	}
}

// twoByteText is text of n bytes, in characters of two.
func twoByteText(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }

func (s *Subject) callRecords(t *testing.T) {
	for n, want := range map[int][]int{499: {499}, 500: {500}, 501: {1, 500}, 1000: {500, 500}, 1001: {1, 500, 500}} {
		r := s.Start(t, awslocal.Config{}, LogKey...)
		r.Want(delivery.OK, Numbered(0, n))
		var calls []int
		for _, c := range r.Calls() {
			calls = append(calls, c.Records)
		}
		if slices.Sort(calls); !slices.Equal(calls, want) {
			t.Errorf("%d records: got calls of %v, want %v", n, calls, want)
		}
		r.WantOnce(0, n)
		r.Account(n, n, 0)
	}
}

func (s *Subject) callBytes(t *testing.T) {
	if Race {
		t.Skip("large, and nothing in it runs side by side")
	}
	keyOpts, key := s.key(200)
	opts := append([]string{"log_key", "log", "concurrency", "1"}, keyOpts...)
	extra := len(key) + len(s.Ended(""))
	full := s.CallBytes / s.RecordBytes
	for over, calls := range map[int]int{-1: 1, 0: 1, 1: 2} {
		r := s.Start(t, awslocal.Config{}, opts...)
		var bodies []any
		left := s.CallBytes + over
		for i := range full + 1 {
			size := min(s.RecordBytes-1000, left) // the last one has the rest
			left -= size
			bodies = append(bodies, Map{"log", strings.Repeat("x", size-extra), "key", key})
			if i == full && left != 0 {
				t.Fatalf("%d bytes left over", left)
			}
		}
		r.Want(delivery.OK, Chunk(bodies...))
		if got := r.Calls(); len(got) != calls {
			t.Errorf("%d bytes, the limit %+d: got %d calls, want %d", s.CallBytes+over, over, len(got), calls)
		}
		r.Account(full+1, full+1, 0)
	}
}

// fullCalls has calls that are hashed two at a time once it is known how much makes
// one full: the service holds each hash against the body.
func (s *Subject) fullCalls(t *testing.T) {
	for _, opts := range [][]string{{"concurrency", "1"}, {"concurrency", "4"}} {
		r := s.Start(t, awslocal.Config{KinesisStreams: map[string]int{"s": 64}}, append(opts, LogKey...)...)
		var want []string
		for flush := range 4 {
			const n = 1700
			var bodies []any
			for i := range n {
				text := strings.Repeat(Text(flush*n+i), 10)
				bodies = append(bodies, Line(text))
				want = append(want, s.Ended(text))
			}
			r.Want(delivery.OK, Chunk(bodies...))
		}
		got := r.Data()
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%v: got %d records, want %d, each as it is", opts, len(got), len(want))
		}
		if n := len(r.Calls()); n != 4*4 {
			t.Errorf("%v: got %d calls, want 4 for each flush", opts, n)
		}
		for _, c := range r.Calls() {
			if !c.Auth.Verified {
				t.Errorf("%v: a call's signature was not looked at", opts)
			}
		}
		r.Log.NoErrors(t)
		r.Account(len(want), len(want), 0)
	}
}
