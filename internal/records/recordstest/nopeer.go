//go:build !cgo

package recordstest

import "errors"

// flushWithSDK needs C for fluent-bit-go's decoder: the peer's half of a
// benchmark cannot be had without.
func flushWithSDK(func(texts [][]byte) error, []byte) error {
	return errors.New("fluent-bit-go needs C: run the benchmark with CGO_ENABLED=1")
}
