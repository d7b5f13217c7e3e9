#include "textflag.h"

// The constants of FIPS 180-4, section 4.2.2.
DATA k<>+0(SB)/8, $0x71374491428a2f98
DATA k<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA k<>+16(SB)/8, $0x59f111f13956c25b
DATA k<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA k<>+32(SB)/8, $0x12835b01d807aa98
DATA k<>+40(SB)/8, $0x550c7dc3243185be
DATA k<>+48(SB)/8, $0x80deb1fe72be5d74
DATA k<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA k<>+64(SB)/8, $0xefbe4786e49b69c1
DATA k<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA k<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA k<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA k<>+96(SB)/8, $0xa831c66d983e5152
DATA k<>+104(SB)/8, $0xbf597fc7b00327c8
DATA k<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA k<>+120(SB)/8, $0x1429296706ca6351
DATA k<>+128(SB)/8, $0x2e1b213827b70a85
DATA k<>+136(SB)/8, $0x53380d134d2c6dfc
DATA k<>+144(SB)/8, $0x766a0abb650a7354
DATA k<>+152(SB)/8, $0x92722c8581c2c92e
DATA k<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA k<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA k<>+176(SB)/8, $0xd6990624d192e819
DATA k<>+184(SB)/8, $0x106aa070f40e3585
DATA k<>+192(SB)/8, $0x1e376c0819a4c116
DATA k<>+200(SB)/8, $0x34b0bcb52748774c
DATA k<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA k<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA k<>+224(SB)/8, $0x78a5636f748f82ee
DATA k<>+232(SB)/8, $0x8cc7020884c87814
DATA k<>+240(SB)/8, $0xa4506ceb90befffa
DATA k<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL k<>(SB), RODATA|NOPTR, $256

// Words are big endian.
DATA flip<>+0(SB)/8, $0x0405060700010203
DATA flip<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL flip<>(SB), RODATA|NOPTR, $16

// The instructions have a state as ABEF in one register and CDGH in the other.

// OPEN loads a state of eight words.
#define OPEN(from, abef, cdgh, t) \
	MOVOU   (from), abef;         \
	MOVOU   16(from), cdgh;       \
	PSHUFD  $0xb1, abef, abef;    \
	PSHUFD  $0x1b, cdgh, cdgh;    \
	MOVO    abef, t;              \
	PALIGNR $8, cdgh, abef;       \
	PBLENDW $0xf0, t, cdgh

// CLOSE stores it.
#define CLOSE(to, abef, cdgh, t) \
	PSHUFD  $0x1b, abef, abef; \
	PSHUFD  $0xb1, cdgh, cdgh; \
	MOVO    abef, t;           \
	PBLENDW $0xf0, cdgh, abef; \
	PALIGNR $8, t, cdgh;       \
	MOVOU   abef, (to);        \
	MOVOU   cdgh, 16(to)

// LOAD loads words i/4 to i/4+3 of a block.
#define LOAD(block, i, w) \
	MOVOU  i(block), w; \
	PSHUFB X15, w

// ROUNDS are rounds i/4 to i/4+3, with their words w.
#define ROUNDS(abef, cdgh, w, i) \
	MOVO        w, X0;          \
	PADDD       i(AX), X0;      \
	SHA256RNDS2 X0, abef, cdgh; \
	PSHUFD      $0x0e, X0, X0;  \
	SHA256RNDS2 X0, cdgh, abef

// NEXT ends making the next four words, in place of those of sixteen rounds ago,
// of the last four, w, and those before. BEGIN is what w does to those before it.
#define NEXT(w, before, next, t) \
	MOVO       w, t;          \
	PALIGNR    $4, before, t; \
	PADDD      t, next;       \
	SHA256MSG2 w, next

#define BEGIN(w, before) SHA256MSG1 w, before

// Both bodies' in turn. p's state is in X1 and X2, its words in X3 to X6; q's in X7
// and X8, and X9 to X12.
#define LOAD2(i, w, v) \
	LOAD(SI, i, w); \
	LOAD(R9, i, v)

#define ROUNDS2(w, v, i) \
	ROUNDS(X1, X2, w, i); \
	ROUNDS(X7, X8, v, i)

#define NEXT2(w, wBefore, wNext, v, vBefore, vNext) \
	NEXT(w, wBefore, wNext, X13); \
	NEXT(v, vBefore, vNext, X14)

#define BEGIN2(w, wBefore, v, vBefore) \
	BEGIN(w, wBefore); \
	BEGIN(v, vBefore)

// func blocks2(a, b *[8]uint32, p, q *byte, n int)
TEXT ·blocks2(SB), NOSPLIT, $64-40
	MOVQ  a+0(FP), DI
	MOVQ  b+8(FP), R8
	MOVQ  p+16(FP), SI
	MOVQ  q+24(FP), R9
	MOVQ  n+32(FP), DX
	LEAQ  k<>(SB), AX
	MOVOU flip<>(SB), X15
	OPEN(DI, X1, X2, X13)
	OPEN(R8, X7, X8, X14)

loop:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	LOAD2(0, X3, X9)
	ROUNDS2(X3, X9, 0)
	LOAD2(16, X4, X10)
	ROUNDS2(X4, X10, 16)
	BEGIN2(X4, X3, X10, X9)
	LOAD2(32, X5, X11)
	ROUNDS2(X5, X11, 32)
	BEGIN2(X5, X4, X11, X10)
	LOAD2(48, X6, X12)
	ROUNDS2(X6, X12, 48)
	NEXT2(X6, X5, X3, X12, X11, X9)
	BEGIN2(X6, X5, X12, X11)
	ROUNDS2(X3, X9, 64)
	NEXT2(X3, X6, X4, X9, X12, X10)
	BEGIN2(X3, X6, X9, X12)
	ROUNDS2(X4, X10, 80)
	NEXT2(X4, X3, X5, X10, X9, X11)
	BEGIN2(X4, X3, X10, X9)
	ROUNDS2(X5, X11, 96)
	NEXT2(X5, X4, X6, X11, X10, X12)
	BEGIN2(X5, X4, X11, X10)
	ROUNDS2(X6, X12, 112)
	NEXT2(X6, X5, X3, X12, X11, X9)
	BEGIN2(X6, X5, X12, X11)
	ROUNDS2(X3, X9, 128)
	NEXT2(X3, X6, X4, X9, X12, X10)
	BEGIN2(X3, X6, X9, X12)
	ROUNDS2(X4, X10, 144)
	NEXT2(X4, X3, X5, X10, X9, X11)
	BEGIN2(X4, X3, X10, X9)
	ROUNDS2(X5, X11, 160)
	NEXT2(X5, X4, X6, X11, X10, X12)
	BEGIN2(X5, X4, X11, X10)
	ROUNDS2(X6, X12, 176)
	NEXT2(X6, X5, X3, X12, X11, X9)
	BEGIN2(X6, X5, X12, X11)
	ROUNDS2(X3, X9, 192)
	NEXT2(X3, X6, X4, X9, X12, X10)
	BEGIN2(X3, X6, X9, X12)
	ROUNDS2(X4, X10, 208)
	NEXT2(X4, X3, X5, X10, X9, X11)
	ROUNDS2(X5, X11, 224)
	NEXT2(X5, X4, X6, X11, X10, X12)
	ROUNDS2(X6, X12, 240)

	MOVOU 0(SP), X3
	MOVOU 16(SP), X4
	MOVOU 32(SP), X5
	MOVOU 48(SP), X6
	PADDD X3, X1
	PADDD X4, X2
	PADDD X5, X7
	PADDD X6, X8
	ADDQ  $64, SI
	ADDQ  $64, R9
	DECQ  DX
	JNE   loop

	CLOSE(DI, X1, X2, X13)
	CLOSE(R8, X7, X8, X14)
	RET

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	MOVB $0, ret+0(FP)
	XORL AX, AX
	CPUID
	CMPL AX, $7 // the highest leaf
	JB   none
	MOVL $7, AX
	XORL CX, CX
	CPUID
	SHRL $29, BX
	ANDL $1, BX
	MOVB BX, ret+0(FP)

none:
	RET
