package parts

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"aws-for-fluent-bit/internal/chunk"
	"aws-for-fluent-bit/internal/options"
)

// sample has what is to be escaped, what is not to be split, and plain text.
func sample(n int) string {
	return strings.Repeat("a\"b\\c\n\x01日本é😀 plain text", n/30+1)[:n/2] + strings.Repeat("\x02", n/2)
}

// join puts the parts of a record together as a reader would who knows the
// document alone.
func join(t *testing.T, parts []string, isJSON bool) string {
	t.Helper()
	whole := ""
	for i, p := range parts {
		if !isJSON {
			text, ok := strings.CutPrefix(p, fmt.Sprintf("[part %d of %d of 30313233343536ff] ", i+1, len(parts)))
			if !ok {
				t.Fatalf("part %d of %d begins with %.60q", i+1, len(parts), p)
			}
			whole += text
			continue
		}
		var in struct {
			Part, Parts int
			ID, Text    string
		}
		if err := json.Unmarshal([]byte(p), &in); err != nil || in.Part != i+1 || in.Parts != len(parts) || in.ID != "30313233343536ff" {
			t.Fatalf("part %d of %d: %.80q: %v", i+1, len(parts), p, err)
		}
		whole += in.Text
	}
	return whole
}

func TestSplit(t *testing.T) {
	var id [16]byte
	copy(id[:], "30313233343536ff")
	var s Splitter
	for _, isJSON := range []bool{false, true} {
		for _, n := range []int{1, 10, 250, 1000, 30_000} {
			for limit := MinLimit; limit < MinLimit+20; limit++ {
				text := strings.ToValidUTF8(sample(n), "")
				s.Set([]byte(text), isJSON, id)
				var parts []string
				for k := range s.Split(limit) {
					p := string(s.Append(nil, k))
					if len(p) > limit || !utf8.ValidString(p) {
						t.Fatalf("json %v, %d bytes in parts of %d: a part has %d", isJSON, n, limit, len(p))
					}
					parts = append(parts, p)
				}
				if got := join(t, parts, isJSON); got != text {
					t.Fatalf("json %v, %d bytes in parts of %d: %d parts come to %d bytes", isJSON, len(text), limit, len(parts), len(got))
				}
				if most := 2 + 7*len(text)/(limit-100); len(parts) > most {
					t.Errorf("json %v, %d bytes in parts of %d: %d parts", isJSON, len(text), limit, len(parts))
				}
			}
		}
	}
}

// A record has the same number each time, and another one than others have.
func TestID(t *testing.T) {
	seen := make(map[[16]byte]string)
	f := func(sec int64, nsec int32, body string, i int) {
		ev := &chunk.Event{Time: chunk.Time{Sec: sec, Nsec: nsec}, Body: []byte(body)}
		id := ID(ev, i)
		if id != ID(ev, i) {
			t.Error("it changes")
		}
		name := fmt.Sprint(sec, nsec, body, i)
		if other, ok := seen[id]; ok {
			t.Errorf("%s has that of %s", name, other)
		}
		seen[id] = name
	}
	f(1, 2, "a", 0)
	f(1, 2, "a", 1)
	f(1, 2, "b", 0)
	f(1, 3, "a", 0)
	f(2, 2, "a", 0)
	if id := ID(&chunk.Event{}, 0); strings.Trim(string(id[:]), "0123456789abcdef") != "" {
		t.Errorf("got %q", id)
	}
}

func TestParseTooBig(t *testing.T) {
	for value, want := range map[string]TooBig{"": Cut, "cut": Cut, "SPLIT": Split, "Drop": Drop, "keep": Cut} {
		s := options.New(func(string) string { return value })
		if got := ParseTooBig(s); got != want || (s.Err() != nil) != (value == "keep") {
			t.Errorf("%q: got %v, %v", value, got, s.Err())
		}
	}
}
