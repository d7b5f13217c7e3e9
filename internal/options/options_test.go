package options

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func set(value string) *Set {
	return New(func(name string) string {
		if name == "o" {
			return value
		}
		return ""
	})
}

// good checks that read gives want from value, and that nothing is complained about.
func good[T any](t *testing.T, value string, want T, read func(*Set) T) {
	t.Helper()
	s := set(value)
	if got := read(s); !reflect.DeepEqual(got, want) || s.Err() != nil {
		t.Errorf("value %q: got %v, error %v; want %v", value, got, s.Err(), want)
	}
}

// bad checks that value is refused with an error that has the name, the value
// and the hint, and that the default comes back.
func bad[T any](t *testing.T, value string, def T, hint string, read func(*Set) T) {
	t.Helper()
	s := set(value)
	got := read(s)
	err := s.Err()
	if err == nil {
		t.Errorf("value %q: taken as %v", value, got)
		return
	}
	for _, part := range []string{"option o", value, hint} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("value %q: error %q does not say %q", value, err, part)
		}
	}
	if !reflect.DeepEqual(got, def) {
		t.Errorf("value %q: got %v, want the default %v", value, got, def)
	}
}

func TestString(t *testing.T) {
	read := func(s *Set) string { return s.String("o", "def") }
	good(t, "", "def", read)
	good(t, "  ", "def", read)
	good(t, " a b ", "a b", read)
	good(t, " a ", " a ", func(s *Set) string { return s.Raw("o", "def") })
	good(t, "", "def", func(s *Set) string { return s.Raw("o", "def") })
}

func TestRequired(t *testing.T) {
	good(t, "x", "x", func(s *Set) string { return s.Required("o") })
	s := set("")
	s.Required("o")
	if s.Err() == nil || !strings.Contains(s.Err().Error(), "option o: it is required") {
		t.Errorf("got %v", s.Err())
	}
}

func TestBool(t *testing.T) {
	read := func(s *Set) bool { return s.Bool("o", true) }
	good(t, "", true, read)
	for _, v := range []string{"true", "TRUE", "On", "yes", "1"} {
		good(t, v, true, func(s *Set) bool { return s.Bool("o", false) })
	}
	for _, v := range []string{"false", "False", "off", "No", "0"} {
		good(t, v, false, read)
	}
	bad(t, "ture", true, "true, on, yes, 1", read)
	bad(t, "2", true, "false, off, no or 0", read)
}

func TestInt(t *testing.T) {
	read := func(s *Set) int { return s.Int("o", 5, 0, 10) }
	good(t, "", 5, read)
	good(t, "0", 0, read)
	good(t, "10", 10, read)
	for _, v := range []string{"-1", "11", "3.5", "three", "99999999999999999999"} {
		bad(t, v, 5, "a whole number from 0 to 10", read)
	}
}

func TestOneOf(t *testing.T) {
	read := func(s *Set) string { return s.OneOf("o", "none", "none", "gzip") }
	good(t, "", "none", read)
	good(t, "GZIP", "gzip", read)
	bad(t, "lzma", "none", "none, gzip", read)
}

func TestDuration(t *testing.T) {
	read := func(s *Set) time.Duration { return s.Duration("o", time.Second, 0, time.Minute) }
	good(t, "", time.Second, read)
	good(t, "250ms", 250*time.Millisecond, read)
	good(t, "10", 10*time.Second, read)
	good(t, "0.5", 500*time.Millisecond, read)
	good(t, "1m", time.Minute, read)
	for _, v := range []string{"61", "-1", "2m", "soon", "1e300", "NaN"} {
		bad(t, v, time.Second, "from 0s to 1m0s", read)
	}
}

func TestSize(t *testing.T) {
	read := func(s *Set) int { return s.Size("o", 7, 1, 10<<20) }
	good(t, "", 7, read)
	good(t, "1", 1, read)
	good(t, "512k", 512<<10, read)
	good(t, "1 MB", 1<<20, read)
	good(t, "10M", 10<<20, read)
	for _, v := range []string{"0", "11M", "1G", "-5", "9999999999999G", "M", "1.5M", "big"} {
		bad(t, v, 7, "a size from 1 to 10485760 bytes", read)
	}
}

func TestList(t *testing.T) {
	read := func(s *Set) []string { return s.List("o") }
	good(t, "", nil, read)
	good(t, "log, source ,,x", []string{"log", "source", "x"}, read)
}

func TestPairs(t *testing.T) {
	read := func(s *Set) [][2]string { return s.Pairs("o") }
	good(t, "", nil, read)
	good(t, "a=1, b = x=y ,c=", [][2]string{{"a", "1"}, {"b", "x=y"}, {"c", ""}}, read)
	bad(t, "a", nil, "key=value", read)
	bad(t, "=1", nil, "key=value", read)
}

// Every problem is told at once: a user should not have to start Fluent Bit
// once for each misspelt value.
func TestAllProblemsAtOnce(t *testing.T) {
	s := set("x")
	s.Int("o", 1, 0, 2)
	s.Bool("o", false)
	s.Conflict("options a and b exclude each other: set %s", "one")
	text := s.Err().Error()
	if n := strings.Count(text, "\n"); n != 2 || !strings.Contains(text, "exclude each other: set one") {
		t.Errorf("got %q", text)
	}
	if got := s.Names(); !reflect.DeepEqual(got, []string{"o"}) {
		t.Errorf("names %v", got)
	}
}
