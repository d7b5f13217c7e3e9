package options

import (
	"math"
	"testing"
	"time"
)

// Both ends of what is allowed are allowed, in every way of writing them.
func TestBoundsAreAllowed(t *testing.T) {
	set := func(v string) *Set { return New(func(string) string { return v }) }
	for _, v := range []string{"1", "1s", "1000ms", "60", "60s", "1m"} {
		s := set(v)
		if d := s.Duration("opt", 5*time.Second, time.Second, time.Minute); s.Err() != nil || d != time.Second && d != time.Minute {
			t.Errorf("%q: got %v, %v", v, d, s.Err())
		}
	}
	for v, want := range map[string]int{"0": 0, "0K": 0, "4611686018427387904": 1 << 62, "4194304T": -1, "4294967296G": 1 << 62, "4294967297G": -1} {
		s := set(v)
		if n := s.Size("opt", -1, 0, math.MaxInt); n != want || (s.Err() != nil) != (want < 0) {
			t.Errorf("%q: got %d, %v", v, n, s.Err())
		}
	}
	for v, want := range map[string]int{"3": 3, "9": 9} {
		s := set(v)
		if n := s.Int("opt", 5, 3, 9); n != want || s.Err() != nil {
			t.Errorf("%q: got %d, %v", v, n, s.Err())
		}
	}
}

// A name with up to two words more or less is the nearest; with three it is
// another one.
func TestNearestByWords(t *testing.T) {
	for key, want := range map[string]string{"group": "log_group_name", "group_name": "log_group_name", "log_group_name_of_all": "log_group_name", "log_group_name_of_them_all": ""} {
		if got, _ := nearest(key, []string{"log_group_name", "region"}); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}
