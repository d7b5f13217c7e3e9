package digest

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"encoding"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func needsPairs(tb testing.TB) {
	tb.Helper()
	if !hasBlocks2() || fips140.Enabled() {
		tb.Skip("SKIP: this processor has no instructions for SHA-256, or Go is to use no others than its own")
	}
	if !Pairs() {
		tb.Fatal("two bodies come to something else than crypto/sha256")
	}
}

// random is n bytes.
func random(n int, seed uint64) []byte {
	text := make([]byte, n)
	for i, r := 0, rand.New(rand.NewPCG(seed, 1)); i < n; i++ {
		text[i] = byte(r.Uint32())
	}
	return text
}

// isSum wants the hash of all of a body.
func isSum(t *testing.T, what string, d *Digest, body []byte) {
	t.Helper()
	if sum, ok := d.Sum(body); !ok || sum != sha256.Sum256(body) {
		t.Fatalf("%s, %d bytes: got %x, %v, want %x", what, len(body), sum, ok, sha256.Sum256(body))
	}
}

// Bodies that are hashed side by side have the hashes that they have alone,
// wherever they begin and end, and whatever each of them had before.
func TestAddPair(t *testing.T) {
	needsPairs(t)
	p, q := random(5*Piece, 1), random(5*Piece+3, 2)
	for from := range 70 {
		for _, lengths := range [][]int{{Piece}, {Piece + from}, {Piece, 2 * Piece, 2*Piece + from}, {Piece + from, 3 * Piece, 5*Piece - 70}} {
			var d, e Digest
			body, other := p[from:], q[70-from:]
			for _, n := range lengths {
				AddPair(&d, body[:n], &e, other[:n])
			}
			n := slices.Max(lengths)
			if want := (n - n%sha256.BlockSize); len(lengths) == 1 && (d.n != want || e.n != want) {
				t.Fatalf("%d and %d bytes are hashed, want %d", d.n, e.n, want)
			}
			isSum(t, "one", &d, body[:n])
			isSum(t, "the other", &e, other[:n+from])
		}
	}
	var d, e Digest
	d.Add(p[:Piece+5])
	AddPair(&d, p[:3*Piece], &e, q[:2*Piece])
	d.Add(p)
	if d.n != 5*Piece || e.n != 2*Piece {
		t.Errorf("%d and %d bytes are hashed", d.n, e.n)
	}
	isSum(t, "one that was alone before and after", &d, p)
	isSum(t, "the shorter one", &e, q)
	for _, shorter := range []bool{true, false} { // is the one that was begun alone
		d.Reset()
		e.Reset()
		body, other := p[:3*Piece], q
		if !shorter {
			body, other = p, q[:2*Piece]
		}
		d.Add(body[:Piece])
		AddPair(&d, body, &e, other)
		if d.n != 3*Piece || e.n != 2*Piece {
			t.Errorf("%d and %d bytes are hashed", d.n, e.n)
		}
		isSum(t, "one", &d, body)
		isSum(t, "the other", &e, other)
	}
	d.Reset()
	AddPair(&d, q, &e, p) // whose hash was returned
	if d.n != 0 {
		t.Errorf("%d bytes are hashed beside nothing", d.n)
	}
	d.Add(q)
	d.Changed()
	e.Reset()
	if AddPair(&d, p, &e, q); e.n != 0 {
		t.Errorf("%d bytes are hashed beside what has changed", e.n)
	}
	var small Digest
	if AddPair(&small, p[:Piece-1], &e, q); small.n != 0 || e.n != 0 || small.hash != nil {
		t.Error("too little is hashed")
	}
}

// What a processor comes to that does SHA-256 wrong is not used.
func TestAgrees(t *testing.T) {
	needsPairs(t)
	if !agrees(blocks2) {
		t.Error("it does not agree")
	}
	for i := range 16 {
		if agrees(func(a, b *[8]uint32, p, q *byte, n int) {
			blocks2(a, b, p, q, n)
			[]*[8]uint32{a, b}[i/8][i%8]++
		}) {
			t.Errorf("it agrees though word %d is wrong", i)
		}
	}
	if agrees(func(a, b *[8]uint32, p, q *byte, n int) { blocks2(a, b, p, q, 1) }) {
		t.Error("it agrees though a block is left out")
	}
}

// TestPairsInFIPSMode: Go is to use nothing but its own module then.
func TestPairsInFIPSMode(t *testing.T) {
	if fips140.Enabled() {
		if Pairs() {
			t.Error("bodies are hashed side by side")
		}
		return
	}
	needsPairs(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command(self, "-test.run", "^TestPairsInFIPSMode$", "-test.v")
	again.Env = append(os.Environ(), "GODEBUG=fips140=on")
	if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestPairsInFIPSMode") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPairAllocates: a Digest that was used before needs nothing new, but what
// crypto/sha256 needs to say its state, which is something with the race detector.
func TestPairAllocates(t *testing.T) {
	needsPairs(t)
	var d, e Digest
	p := make([]byte, 2*Piece)
	hash, text := sha256.New().(encoding.BinaryAppender), make([]byte, 0, stateLen)
	state := testing.AllocsPerRun(100, func() { _, _ = hash.AppendBinary(text) })
	if n := testing.AllocsPerRun(100, func() {
		d.Reset()
		e.Reset()
		AddPair(&d, p[:Piece], &e, p[:Piece])
		AddPair(&d, p, &e, p)
	}); n > 4*state {
		t.Errorf("%v allocations for two bodies, and %v each time that a state is asked for", n, state)
	}
}

func FuzzAddPair(f *testing.F) {
	f.Add([]byte("some text"), []byte("another one"), uint16(Piece), uint16(5))
	f.Fuzz(func(t *testing.T, p, q []byte, n, m uint16) {
		if !Pairs() || len(p) == 0 || len(q) == 0 {
			return
		}
		body := bytes.Repeat(p, 1+(2*Piece+int(n))/len(p))[:2*Piece+int(n)]
		other := bytes.Repeat(q, 1+(2*Piece+int(m))/len(q))[:2*Piece+int(m)]
		var d, e Digest
		AddPair(&d, body[:Piece+int(n)/2], &e, other[:Piece+int(m)/2])
		AddPair(&d, body, &e, other)
		isSum(t, "one", &d, body)
		isSum(t, "the other", &e, other)
	})
}

// BenchmarkPair is two bodies, one after the other and side by side.
func BenchmarkPair(b *testing.B) {
	for _, n := range []int{Piece, 32 * Piece} {
		p, q := random(n, 1), random(n, 2)
		var d, e Digest
		for name, add := range map[string]func(){
			"alone": func() { d.Add(p); e.Add(q) },
			"pair":  func() { AddPair(&d, p, &e, q) },
		} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				needsPairs(b)
				b.SetBytes(int64(2 * n))
				b.ReportAllocs()
				for b.Loop() {
					d.Reset()
					e.Reset()
					add()
				}
			})
		}
	}
}
