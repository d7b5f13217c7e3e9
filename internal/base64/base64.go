// Package base64 is standard base64 for records: most of what Data Firehose gets
// is that, and to make it costs more than to make a record's JSON, if it is done
// by the standard library.
package base64

import "github.com/segmentio/asm/base64"

// EncodedLen is how many bytes Encode makes of n bytes.
func EncodedLen(n int) int { return base64.StdEncoding.EncodedLen(n) }

// Encode writes src in standard base64 with padding (RFC 4648, section 4) to
// dst, which has room for EncodedLen(len(src)) bytes.
//
// Where blocks does nothing, all is segmentio/asm's. On amd64 that one waits for
// some 350 cycles in every call on processors where SSE instructions wait for
// dirty upper halves of AVX registers (BenchmarkEncode): it has one of them
// between its first two for AVX.
func Encode(dst, src []byte) {
	if n := blocks(dst, src); n < len(src) {
		base64.StdEncoding.Encode(dst[n/3*4:], src[n:])
	}
}
