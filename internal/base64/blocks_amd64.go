package base64

import "golang.org/x/sys/cpu"

const (
	blockBytes = 24 // that make 32 of base64
	blockReads = 28 // that a block's two loads touch
)

// blocks encodes as many whole blocks as it can, and returns how many bytes of src
// they are. What is left is little, and the standard library's.
func blocks(dst, src []byte) int {
	if !cpu.X86.HasAVX2 || len(src) < blockReads {
		return 0
	}
	n := (len(src) - blockReads + blockBytes) / blockBytes
	_ = dst[n*blockBytes/3*4-1]
	encodeBlocks(&dst[0], &src[0], n)
	return n * blockBytes
}

// encodeBlocks encodes n blocks, at least one, by AVX2: see blocks_amd64.s.
//
//go:noescape
func encodeBlocks(dst, src *byte, n int)
