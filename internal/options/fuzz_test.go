package options

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzValues gives any text to every kind of option: it is taken, in its bounds,
// or it is an error that names the option, the value and what is allowed.
func FuzzValues(f *testing.F) {
	for _, v := range []string{"", " ", "true", " On ", "0", "-1", "5", "007", "+5", "9223372036854775808", "10s", "500ms", "1.5h", "1e3", "10", "-10s", "4K", "1MB", "5 m", "0x10", "1G",
		"99999999999G", "a,b", " a , ,b,", "a=b,c=d", "a=b=c", "=b", "a", "one", "TWO", "\x00", "\xff\xfe", "١٠", "1_000", "Inf", "NaN", "1h1h"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		check := func(read func(s *Set), good func() bool) {
			t.Helper()
			s := New(func(name string) string {
				if name == "opt" {
					return value
				}
				return ""
			})
			read(s)
			err := s.Err()
			if err == nil {
				if !good() {
					t.Fatalf("%q was taken for something out of bounds", value)
				}
				return
			}
			text := err.Error()
			if strings.TrimSpace(value) == "" {
				t.Fatalf("%q is not set, and %q", value, text)
			}
			if !strings.HasPrefix(text, "option opt: ") || !strings.Contains(text, "allowed is ") {
				t.Fatalf("%q: the error does not say enough: %s", value, text)
			}
		}
		var n int
		var d time.Duration
		var text string
		var list []string
		var pairs [][2]string
		check(func(s *Set) { s.Bool("opt", true) }, func() bool { return true })
		check(func(s *Set) { n = s.Int("opt", 7, 3, 99) }, func() bool { return n >= 3 && n <= 99 })
		check(func(s *Set) { n = s.Size("opt", 700, 300, 10<<20) }, func() bool { return n >= 300 && n <= 10<<20 })
		check(func(s *Set) { d = s.Duration("opt", time.Minute, time.Second, time.Hour) }, func() bool { return d >= time.Second && d <= time.Hour })
		check(func(s *Set) { text = s.OneOf("opt", "one", "one", "two") }, func() bool { return text == "one" || text == "two" })
		check(func(s *Set) { list = s.List("opt") }, func() bool {
			for _, e := range list {
				if e == "" || strings.TrimSpace(e) != e || strings.Contains(e, ",") {
					return false
				}
			}
			return true
		})
		check(func(s *Set) { pairs = s.Pairs("opt") }, func() bool {
			for _, p := range pairs {
				if p[0] == "" || strings.Contains(p[0], "=") {
					return false
				}
			}
			return true
		})
		// What strconv and time read, in bounds, is taken as that.
		v := strings.TrimSpace(value)
		s := New(func(string) string { return value })
		if want, err := strconv.Atoi(v); err == nil && want >= 3 && want <= 99 && s.Int("opt", 7, 3, 99) != want {
			t.Fatalf("%q is not %d", value, want)
		}
		if want, err := time.ParseDuration(v); err == nil && want >= time.Second && want <= time.Hour && s.Duration("opt", 0, time.Second, time.Hour) != want {
			t.Fatalf("%q is not %v", value, want)
		}
	})
}
