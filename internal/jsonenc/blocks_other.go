//go:build !amd64

package jsonenc

import "math"

const blockBytes = math.MaxInt

func (e *encoder) blocks(dst []byte, j int, s []byte, _ uint64) ([]byte, int, []byte) {
	return dst, j, s
}
