package options

import (
	"slices"
	"testing"
)

func TestPattern(t *testing.T) {
	const p = Pattern(`^a(b+)$`)
	if !p.Match("abb") || p.Match("ac") {
		t.Errorf("%q: abb: %v, ac: %v", p, p.Match("abb"), p.Match("ac"))
	}
	if got := p.Find("abb"); !slices.Equal(got, []string{"abb", "bb"}) {
		t.Errorf("got %q", got)
	}
	if got := p.Find("ac"); got != nil {
		t.Errorf("no match: got %q", got)
	}
}
