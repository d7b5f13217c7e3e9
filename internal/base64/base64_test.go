package base64

import (
	"bytes"
	stdbase64 "encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"

	segmentio "github.com/segmentio/asm/base64"
)

// check encodes by the standard library, and wants of Encode the same, and that it
// leaves alone what is before and behind its room.
func check(t *testing.T, src []byte) {
	t.Helper()
	const guard = "0123456789abcdef0123456789abcdef"
	n := EncodedLen(len(src))
	dst := []byte(guard + string(make([]byte, n)) + guard)
	Encode(dst[len(guard):][:n], src)
	if want := guard + stdbase64.StdEncoding.EncodeToString(src) + guard; string(dst) != want {
		t.Fatalf("%d bytes %x: got %q, want %q", len(src), src, dst, want)
	}
}

func TestEncode(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		src := make([]byte, n)
		for i := range src {
			src[i] = byte(r.Uint32())
		}
		check(t, src)
	}
	// Every 3 bytes' first and last 12 bits, at every place of a block.
	for i := range 1 << 12 {
		check(t, bytes.Repeat([]byte{byte(i >> 4), byte(i<<4 | i>>8), byte(i)}, 16))
	}
}

func TestEncodeOfParts(t *testing.T) {
	src := []byte("what stands before and behind a record is not part of it, and neither read nor written")
	for i := range src {
		for j := i; j <= len(src); j++ {
			check(t, src[i:j:j])
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(`{"log":"a record of some length, so that it has whole blocks"}`))
	f.Fuzz(check)
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{100, 900, 16 << 10} {
		src := make([]byte, n)
		dst := make([]byte, EncodedLen(n))
		for name, encode := range map[string]func(dst, src []byte){
			"ours": Encode, "segmentio": segmentio.StdEncoding.Encode, "standard": stdbase64.StdEncoding.Encode,
		} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					encode(dst, src)
				}
			})
		}
	}
}

// BenchmarkLengths is of records as they come, each of another length: what is left
// behind the last whole block is taken by branches that nobody can foresee.
func BenchmarkLengths(b *testing.B) {
	for _, from := range []int{100, 900} {
		src := make([]byte, from+64)
		dst := make([]byte, EncodedLen(len(src)))
		b.Run(fmt.Sprint(from), func(b *testing.B) {
			r := rand.New(rand.NewPCG(5, 6))
			for b.Loop() {
				Encode(dst, src[:from+int(r.Uint32()%64)])
			}
		})
	}
}
