//go:build !cgo

package recordstest

import (
	"errors"
	"time"
)

// DecodeWithSDK needs C for fluent-bit-go's decoder: the peer's half of a
// benchmark cannot be had without.
func DecodeWithSDK([]byte, func(time.Time, []byte) error) error {
	return errors.New("fluent-bit-go needs C: run the benchmark with CGO_ENABLED=1")
}
