package base64

import "golang.org/x/sys/cpu"

const blockBytes = 24 // that make 32 of base64

// blocks encodes all whole groups of 3 bytes, if there are enough for a block, and
// returns how many bytes of src they are.
func blocks(dst, src []byte) int {
	groups := len(src) / 3 * 3
	if !cpu.X86.HasAVX2 || groups < blockBytes {
		return 0
	}
	_ = dst[groups/3*4-1]
	last := groups - blockBytes // its first groups may be the block's before it, too
	encodeBlocks(&dst[0], &src[0], groups/blockBytes, &dst[last/3*4], &src[last])
	return groups
}

// encodeBlocks encodes n blocks, at least one, and then the last one, by AVX2: see
// blocks_amd64.s.
//
//go:noescape
func encodeBlocks(dst, src *byte, n int, lastDst, lastSrc *byte)
