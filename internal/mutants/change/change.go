// Package change has the places where `make mutation` changes code: a copy of a
// package has its operators replaced by calls of these functions, each with the
// numbers of the changes that it stands for. The environment variable MUTANT says
// which one of them is to happen; without it the code does what it did.
package change

import (
	"cmp"
	"os"
	"strconv"
)

var chosen = number(os.Getenv("MUTANT"))

// number returns what s says, and -1, which no change has, where it says nothing.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// Is reports whether the change n is to happen.
func Is(n int) bool { return n == chosen }

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

type numeric interface{ integer | ~float32 | ~float64 }

// Less is a < b, with the change edge a <= b, and with the change not a >= b. The
// three after it are alike.
func Less[T cmp.Ordered](edge, not int, a, b T) bool {
	return (a < b || Is(edge) && a == b) != Is(not)
}

func LessEqual[T cmp.Ordered](edge, not int, a, b T) bool {
	return (a < b || !Is(edge) && a == b) != Is(not)
}

func Greater[T cmp.Ordered](edge, not int, a, b T) bool {
	return (a > b || Is(edge) && a == b) != Is(not)
}

func GreaterEqual[T cmp.Ordered](edge, not int, a, b T) bool {
	return (a > b || !Is(edge) && a == b) != Is(not)
}

// Add is a + b, with the change n a - b.
func Add[T numeric](n int, a, b T) T {
	if Is(n) {
		return a - b
	}
	return a + b
}

// Sub is a - b, with the change n a + b.
func Sub[T numeric](n int, a, b T) T {
	if Is(n) {
		return a + b
	}
	return a - b
}

// Mul is a * b, with the change n a / b.
func Mul[T numeric](n int, a, b T) T {
	if Is(n) {
		return a / b
	}
	return a * b
}

// Div is a / b, with the change n a * b.
func Div[T numeric](n int, a, b T) T {
	if Is(n) {
		return a * b
	}
	return a / b
}

// Rem is a % b, with the change n a * b.
func Rem[T integer](n int, a, b T) T {
	if Is(n) {
		return a * b
	}
	return a % b
}

// Neg is -a, with the change n a.
func Neg[T numeric](n int, a T) T {
	if Is(n) {
		return a
	}
	return -a
}

// Step is 1, with the change n -1: what ++ adds and -- takes away.
func Step[T numeric](n int) T {
	if Is(n) {
		var zero T
		return zero - 1
	}
	return 1
}
