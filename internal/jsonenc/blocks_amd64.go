package jsonenc

import "golang.org/x/sys/cpu"

// blockBytes is how many bytes are looked at at a time.
const blockBytes = 32

// blocks writes s to dst from j on, as encoder.escaped would, up to the end, or a
// byte that is not ASCII unless pass is highBits, or the last bytes, which are less
// than a block. It returns where it is then. There is room for len(s)+slack before
// and after it.
func (e *encoder) blocks(dst []byte, j int, s []byte, pass uint64) ([]byte, int, []byte) {
	if !cpu.X86.HasAVX2 {
		return dst, j, s
	}
	stop := byte(highBits&^pass) & 0x80
	for {
		read, written, extra := quoteBlocks(&dst[j], len(dst)-j-len(s)-slack-8, &s[0], len(s), cap(s), &escapes[e.q][0], &stop)
		s = s[read:]
		j += written
		e.extra += extra
		if len(s) < blockBytes || s[0]&stop != 0 {
			return dst, j, s
		}
		dst = room(dst[:j], len(s)+2*slack) // it has stopped for that
	}
}

// quoteBlocks writes n bytes of src to dst by AVX2, with escapes: see
// blocks_amd64.s. It stops at a byte that has a bit of stop, 0x80 or 0, and with
// less than a block to come unless that can be read, and when what escapes have made
// longer is more than spare. readable is n and how many bytes behind that there
// are; what it writes behind written, up to a block, has no meaning.
//
//go:noescape
func quoteBlocks(dst *byte, spare int, src *byte, n, readable int, escapes *uint64, stop *byte) (read, written, extra int)
