package chunk

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// Each of these is a change of one character in the code that no other test had
// noticed.
func TestEdges(t *testing.T) {
	t.Run("an empty header is a header", func(t *testing.T) {
		r := NewReader([]byte("\x92\x90\x80"))
		_, err := r.Next()
		var bad *RecordError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, "header") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nanoseconds that come out as a billion", func(t *testing.T) {
		r := NewReader([]byte("\x92\xd7\x00\x69\x55\xb9\x00\xc0\x3f\x11\x00\x80"))
		if ev, err := r.Next(); err != nil || ev.Time != (Time{1767225600, 0}) {
			t.Errorf("got %v, %v", ev.Time, err)
		}
	})
	t.Run("the last second, as a float", func(t *testing.T) {
		if got, _, odd := floatTime(1 << 53); odd != "" || got.Sec != 1<<53 {
			t.Errorf("got %v, %s", got, odd)
		}
		if _, _, odd := floatTime(math.Nextafter(1<<53, math.Inf(1))); odd == "" {
			t.Error("and the next one is taken too")
		}
	})
	t.Run("where a chunk ends that ends with a header", func(t *testing.T) {
		for data, want := range map[string]int{
			"\xdc\x00\x02": 3, "\xdd\x00\x00\x00\x02": 5, "\x92\xdc\x00\x02": 4,
			"\xdc\x00": 0, "\xdd\x00\x00\x00": 0, "\x92\xdc\x00": 1,
		} {
			r := NewReader([]byte(data))
			_, err := r.Next()
			var bad *SyntaxError
			if !errors.As(err, &bad) || bad.Offset != want {
				t.Errorf("%q: got %v, want byte %d", data, err, want)
			}
		}
	})
	t.Run("the least of the short negative numbers", func(t *testing.T) {
		if _, _, odd := readTime([]byte{0xe0}); !strings.Contains(odd, "negative") {
			t.Errorf("got %q", odd)
		}
	})
	t.Run("a key behind its map", func(t *testing.T) {
		for _, body := range []string{"\x82\xa1a\x81\xa1x\x01\xa1b\x02", "\x82\xa1a\x80\xa1b\x02", "\x81\xa1a\x01\xa1b\x02"} {
			for _, path := range [][]string{{"a", "b"}, {"b", "a"}, {"c"}} {
				if value, ok := Lookup([]byte(body), path); ok {
					t.Errorf("%q in %q: got %q", path, body, value)
				}
			}
		}
		if value, ok := Lookup([]byte("\x81\xa1a\x01\xa1b\x02"), []string{"b"}); ok {
			t.Errorf("behind the body: got %q", value)
		}
	})
	t.Run("a key that is cut off", func(t *testing.T) {
		if value, ok := Lookup([]byte("\x82\xa1a\x01\xa5b"), []string{"z"}); ok {
			t.Errorf("got %q", value)
		}
	})
}
