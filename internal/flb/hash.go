package flb

// #include "symbols.h"
import "C"

import (
	"bytes"
	"crypto/sha256"
	"unsafe"

	"aws-for-fluent-bit/internal/awsx"
)

// borrowSHA256 has request bodies hashed by the OpenSSL that Fluent Bit brings.
// Signing asks for the SHA-256 of every body, which is a quarter of what a
// plugin costs in all, and OpenSSL takes two thirds of the time that Go's own
// does (LD_PRELOAD=libcrypto.so.3 go test -bench SHA256 ./internal/flb). Where there is none, or it says anything else than
// Go's, Go's stays.
func borrowSHA256() {
	if canHash() && agrees(hash) {
		awsx.UseSHA256(hash)
	}
}

func canHash() bool { return C.flb_can_hash() != 0 }

// hash calls into C with Go memory, which is not kept there and holds no pointers.
func hash(data []byte) (sum [sha256.Size]byte) {
	if C.flb_hash((*C.uchar)(unsafe.SliceData(data)), C.size_t(len(data)), (*C.uchar)(&sum[0])) == 0 {
		return sha256.Sum256(data)
	}
	return sum
}

func agrees(hash func([]byte) [sha256.Size]byte) bool {
	for _, data := range [][]byte{nil, []byte("abc"), bytes.Repeat([]byte("0123456789"), 1000)} {
		if hash(data) != sha256.Sum256(data) {
			return false
		}
	}
	return true
}
