package flb

import (
	"crypto/sha256"
	"testing"
)

// A function that is wrong in any way is not used: every request would be
// refused for its signature.
func TestAgrees(t *testing.T) {
	if !agrees(sha256.Sum256) {
		t.Error("Go's own is refused")
	}
	if agrees(func([]byte) (sum [sha256.Size]byte) { return sum }) {
		t.Error("zeros are taken")
	}
	if agrees(func(data []byte) [sha256.Size]byte { return sha256.Sum256(data[:min(len(data), 64)]) }) {
		t.Error("a hash of the first block is taken")
	}
}

// The real one is there under Fluent Bit, or with LD_PRELOAD=libcrypto.so.3.
func TestOpenSSL(t *testing.T) {
	needOpenSSL(t)
	if !agrees(hash) {
		t.Error("OpenSSL and Go do not agree")
	}
}

func needOpenSSL(t testing.TB) {
	t.Helper()
	resolve()
	if !canHash() {
		t.Skip("SKIP: no OpenSSL in this process: run with LD_PRELOAD=libcrypto.so.3")
	}
}

func BenchmarkSHA256(b *testing.B) {
	data := make([]byte, 1<<20)
	run := func(hash func([]byte) [sha256.Size]byte) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				hash(data)
			}
		}
	}
	b.Run("go", run(sha256.Sum256))
	b.Run("openssl", func(b *testing.B) {
		needOpenSSL(b)
		run(hash)(b)
	})
}
