package change

import "testing"

// TestChange has each function with no change, and with its own.
func TestChange(t *testing.T) {
	type results struct {
		less, lessEqual, greater, greaterEqual [3]bool // of 1 and 2, 2 and 2, 2 and 1
		add, sub, mul, div, rem, neg, step     int     // of 7 and 2
	}
	of := func(n int) (r results) {
		chosen = n
		for i, p := range [][2]int{{1, 2}, {2, 2}, {2, 1}} {
			r.less[i] = Less(1, 2, p[0], p[1])
			r.lessEqual[i] = LessEqual(1, 2, p[0], p[1])
			r.greater[i] = Greater(1, 2, p[0], p[1])
			r.greaterEqual[i] = GreaterEqual(1, 2, p[0], p[1])
		}
		r.add, r.sub, r.mul, r.div, r.rem = Add(3, 7, 2), Sub(3, 7, 2), Mul(3, 7, 2), Div(3, 7, 2), Rem(3, 7, 2)
		r.neg, r.step = Neg(3, 7), Step[int](3)
		return r
	}
	defer func() { chosen = -1 }()

	plain := results{
		[3]bool{true, false, false}, [3]bool{true, true, false}, [3]bool{false, false, true}, [3]bool{false, true, true},
		9, 5, 14, 3, 1, -7, 1,
	}
	edge, not, number := plain, plain, plain
	edge.less, edge.lessEqual, edge.greater, edge.greaterEqual = plain.lessEqual, plain.less, plain.greaterEqual, plain.greater
	not.less, not.lessEqual, not.greater, not.greaterEqual = plain.greaterEqual, plain.greater, plain.lessEqual, plain.less
	number.add, number.sub, number.mul, number.div, number.rem, number.neg, number.step = 5, 9, 3, 14, 14, 7, -1
	for n, want := range map[int]results{-1: plain, 1: edge, 2: not, 3: number} {
		if got := of(n); got != want {
			t.Errorf("change %d: %+v, want %+v", n, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for s, want := range map[string]int{"": -1, "x": -1, "0": 0, "12": 12} {
		if got := number(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
