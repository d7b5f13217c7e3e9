#include "textflag.h"

// Base64 by vector instructions, after Wojciech Muła and Daniel Lemire, "Faster
// Base64 Encoding and Decoding Using AVX2 Instructions" (https://arxiv.org/abs/1704.00605).

// Each 3 bytes a, b, c stand in a group of four as b a c b, from the first 12 bytes
// of the lower half and the last 12 of the upper one.
DATA spread<>+0(SB)/8, $0x0405030401020001
DATA spread<>+8(SB)/8, $0x0a0b090a07080607
DATA spread<>+16(SB)/8, $0x0809070805060405
DATA spread<>+24(SB)/8, $0x0e0f0d0e0b0c0a0b
GLOBL spread<>(SB), RODATA|NOPTR, $32

// The first and the third 6 bits of a group, and what shifts them right.
DATA odd<>+0(SB)/4, $0x0fc0fc00
GLOBL odd<>(SB), RODATA|NOPTR, $4
DATA right<>+0(SB)/4, $0x04000040
GLOBL right<>(SB), RODATA|NOPTR, $4

// The second and the fourth, and what shifts them left.
DATA even<>+0(SB)/4, $0x003f03f0
GLOBL even<>(SB), RODATA|NOPTR, $4
DATA left<>+0(SB)/4, $0x01000010
GLOBL left<>(SB), RODATA|NOPTR, $4

// What to add to 6 bits to have their letter: 0 for lower case (26 to 51), 1 to 10
// for digits, 11 for +, 12 for /, 13 for upper case (below 26).
DATA offset<>+0(SB)/8, $0xfcfcfcfcfcfcfc47
DATA offset<>+8(SB)/8, $0x000041f0edfcfcfc
GLOBL offset<>(SB), RODATA|NOPTR, $16

DATA small<>+0(SB)/1, $26
GLOBL small<>(SB), RODATA|NOPTR, $1
DATA upper<>+0(SB)/1, $13
GLOBL upper<>(SB), RODATA|NOPTR, $1
DATA digit<>+0(SB)/1, $51
GLOBL digit<>(SB), RODATA|NOPTR, $1

// func encodeBlocks(dst, src *byte, n int, lastDst, lastSrc *byte)
TEXT ·encodeBlocks(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

	VMOVDQU        spread<>(SB), Y4
	VPBROADCASTD   odd<>(SB), Y5
	VPBROADCASTD   right<>(SB), Y6
	VPBROADCASTD   even<>(SB), Y7
	VPBROADCASTD   left<>(SB), Y8
	VBROADCASTI128 offset<>(SB), Y9
	VPBROADCASTB   small<>(SB), Y10
	VPBROADCASTB   upper<>(SB), Y11
	VPBROADCASTB   digit<>(SB), Y12

loop:
	VMOVDQU     (SI), X0
	VINSERTI128 $1, 8(SI), Y0, Y0
	VPSHUFB     Y4, Y0, Y0
	VPAND       Y5, Y0, Y1
	VPMULHUW    Y6, Y1, Y1
	VPAND       Y7, Y0, Y0
	VPMULLW     Y8, Y0, Y0
	VPOR        Y1, Y0, Y0  // 6 bits in each byte
	VPSUBUSB    Y12, Y0, Y1 // 0 up to 51, else 1 to 12
	VPCMPGTB    Y0, Y10, Y2 // below 26
	VPAND       Y11, Y2, Y2
	VPOR        Y2, Y1, Y1
	VPSHUFB     Y1, Y9, Y1
	VPADDB      Y1, Y0, Y0
	VMOVDQU     Y0, (DI)
	ADDQ        $24, SI
	ADDQ        $32, DI
	DECQ        CX
	JGT         loop
	MOVQ        lastDst+24(FP), DI // which leaves the flags alone
	MOVQ        lastSrc+32(FP), SI
	JEQ         loop

	VZEROUPPER
	RET
