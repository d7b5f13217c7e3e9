package digest

import "golang.org/x/sys/cpu"

// hasBlocks2 says whether the processor has what blocks2 is made of. Which
// instructions there are for SHA is not among what x/sys/cpu tells.
func hasBlocks2() bool {
	return cpu.X86.HasSSSE3 && cpu.X86.HasSSE41 && hasSHA()
}

func hasSHA() bool

// blocks2 has n blocks, at least one, of p in the state a, and of q in the state b:
// see blocks2_amd64.s.
//
//go:noescape
func blocks2(a, b *[8]uint32, p, q *byte, n int)
