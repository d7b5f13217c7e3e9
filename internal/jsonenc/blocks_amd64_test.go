//go:build unix

package jsonenc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/cpu"
)

// byWords writes s as a string without blocks.
func byWords(q int, s []byte) (text []byte, extra int) {
	avx2 := cpu.X86.HasAVX2
	cpu.X86.HasAVX2 = false
	defer func() { cpu.X86.HasAVX2 = avx2 }()
	e := encoder{mark: 1, q: q}
	return e.quoted(nil, clip(s)), e.extra
}

// sameByBlocks writes s with blocks and without. behind is what stands behind it in
// its buffer.
func sameByBlocks(t *testing.T, s []byte, behind string) {
	t.Helper()
	src := append(bytes.Clone(s), behind...)
	src = clip(src)[:len(s)]
	for q := range 2 {
		want, wantExtra := byWords(q, s)
		e := encoder{mark: 1, q: q}
		got := e.quoted([]byte("dst"), src)
		if string(got) != "dst"+string(want) || e.extra != wantExtra {
			t.Fatalf("q %d, %q before %d bytes more: got %q, %d extra, want %q, %d", q, s, len(behind), got, e.extra, want, wantExtra)
		}
	}
}

func needsAVX2(t *testing.T) {
	t.Helper()
	if !cpu.X86.HasAVX2 {
		t.Skip("SKIP: this processor has no AVX2")
	}
}

func TestBlocks(t *testing.T) {
	needsAVX2(t)
	quoted := strings.Repeat(`"`, 80)
	for n := range 100 {
		plain := []byte(strings.Repeat("a", n))
		sameByBlocks(t, plain, "")
		sameByBlocks(t, plain, quoted)
		sameByBlocks(t, []byte(strings.Repeat(`"`, n)), "")
		sameByBlocks(t, []byte(strings.Repeat("\x01", n)), quoted)
		for i := range n {
			for _, c := range []byte{'"', '\\', '\n', 0, 0x1f, ' ', 0x7f, 0x80, 0xff} {
				s := bytes.Clone(plain)
				s[i] = c
				sameByBlocks(t, s, quoted)
			}
		}
	}
	for c := range 256 {
		sameByBlocks(t, bytes.Repeat([]byte{byte(c)}, 70), "")
	}
	for _, s := range []string{"日本語", "é\"", "日本語\n\\ \x01", "\xff日本\"", "a\xe6\x97"} {
		for n := range 40 {
			sameByBlocks(t, []byte(strings.Repeat("x", n)+strings.Repeat(s, 20)), quoted)
		}
	}
}

// All of a text is written by blocks, whatever is in it, if it is UTF-8, but for the
// end of it where nothing stands behind.
func TestBlocksGoOn(t *testing.T) {
	needsAVX2(t)
	ascii := strings.Repeat("at com.example(\"x\")\n\t", 20)
	for _, tt := range []struct {
		name string
		s    []byte
		pass uint64
		left int
	}{
		{"with something behind it", []byte(ascii + strings.Repeat("x", 31))[:len(ascii)], 0, 0},
		{"with nothing behind it", clip([]byte(ascii)), 0, 31},
		{"not ASCII", clip([]byte(strings.Repeat("日\n", 40))), highBits, 31},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := encoder{mark: 1}
			dst := room(nil, len(tt.s)+slack)
			dst, j, rest := e.blocks(dst, 0, tt.s, tt.pass)
			if len(rest) > tt.left {
				t.Errorf("left %d bytes, want at most %d", len(rest), tt.left)
			}
			if len(dst)-j < len(rest)+slack {
				t.Errorf("there is room for %d bytes, want %d and %d", len(dst)-j, len(rest), slack)
			}
		})
	}
}

// Nothing is read behind what belongs to the text, and nothing written behind the
// room there is.
func TestBlocksStayInside(t *testing.T) {
	needsAVX2(t)
	const page = 4096
	inFrontOfNothing := func() []byte {
		m, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Munmap(m) })
		if err := syscall.Mprotect(m[page:], syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		return m[:page:page]
	}
	from, to := inFrontOfNothing(), inFrontOfNothing()
	for n := range 200 {
		for _, behind := range []int{0, 1, 31, 32, 40} {
			for _, text := range []string{"a", "\"", "a\n\"0123456789"} {
				src := from[page-n-behind:]
				copy(src, strings.Repeat(text, n+behind))
				s := src[:n:len(src)]
				want, _ := byWords(0, s)
				for spare := range 3 {
					e := encoder{mark: 1}
					if got := e.quoted(to[page-n-slack-spare*8:][:0], s); string(got) != string(want) {
						t.Fatalf("%d bytes before %d: got %q, want %q", n, behind, got, want)
					}
				}
			}
		}
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add([]byte(`10.0.0.1 - - "GET /api/v1/items/1?page=2 HTTP/1.1" 200 5316 "https://shop.example.com/"`+"\n"), 10)
	f.Add([]byte(strings.Repeat("日本\\\x00", 20)), 0)
	f.Fuzz(func(t *testing.T, s []byte, behind int) {
		sameByBlocks(t, s, strings.Repeat("\"\xff", int(uint(behind)%64)))
	})
}

// BenchmarkQuoted pays for blocks: texts as they come, by blocks and by words.
func BenchmarkQuoted(b *testing.B) {
	line := `10.0.3.17 - - [01/Jan/2026:00:00:00 +0000] "GET /api/v1/items/00001234?page=2&size=50 HTTP/1.1" 200 5316 "https://shop.example.com/" "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"` + "\n"
	r := rand.New(rand.NewPCG(1, 2))
	var nested strings.Builder
	for i := range 20 {
		fmt.Fprintf(&nested, `{"key%d":%d,"text":"%x"}`, i, r.Uint32(), r.Uint64())
	}
	for _, text := range []struct{ name, s string }{
		{"line", line}, {"JSON", nested.String()}, {"plain", strings.Repeat("0123456789abcdef", 64)}, {"Japanese", strings.Repeat("ログの一行です。", 40)},
	} {
		for _, way := range []string{"blocks", "words"} {
			b.Run(text.name+"/"+way, func(b *testing.B) {
				avx2 := cpu.X86.HasAVX2
				cpu.X86.HasAVX2 = avx2 && way == "blocks"
				defer func() { cpu.X86.HasAVX2 = avx2 }()
				s := []byte(text.s)
				var dst []byte
				b.SetBytes(int64(len(s)))
				for b.Loop() {
					e := encoder{mark: 1}
					dst = e.quoted(dst[:0], s)
				}
			})
		}
	}
}
