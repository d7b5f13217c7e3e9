#include "textflag.h"

DATA control<>+0(SB)/1, $0x1f
GLOBL control<>(SB), RODATA|NOPTR, $1
DATA quote<>+0(SB)/1, $0x22
GLOBL quote<>(SB), RODATA|NOPTR, $1
DATA backslash<>+0(SB)/1, $0x5c
GLOBL backslash<>(SB), RODATA|NOPTR, $1

// func quoteBlocks(dst *byte, spare int, src *byte, n, readable int, escapes *uint64, stop *byte) (read, written, extra int)
TEXT ·quoteBlocks(SB), NOSPLIT, $0-80
	MOVQ dst+0(FP), DI
	MOVQ spare+8(FP), R12
	MOVQ src+16(FP), SI
	MOVQ n+24(FP), R9
	MOVQ readable+32(FP), R10
	MOVQ escapes+40(FP), BX
	MOVQ stop+48(FP), DX
	XORL R11, R11            // extra
	ADDQ SI, R9              // the end of src
	LEAQ -32(SI)(R10*1), R10 // the last place to read a block from
	ADDQ DI, R12
	SUBQ SI, R12             // how far ahead of SI DI may be

	VPBROADCASTB control<>(SB), Y4
	VPBROADCASTB quote<>(SB), Y5
	VPBROADCASTB backslash<>(SB), Y6
	VPBROADCASTB (DX), Y7

loop:
	CMPQ      SI, R10
	JHI       done
	VMOVDQU   (SI), Y0
	VMOVDQU   Y0, (DI)
	VPMINUB   Y4, Y0, Y1
	VPCMPEQB  Y0, Y1, Y1
	VPCMPEQB  Y0, Y5, Y2
	VPCMPEQB  Y0, Y6, Y3
	VPAND     Y0, Y7, Y0
	VPOR      Y1, Y2, Y1
	VPOR      Y0, Y3, Y0
	VPOR      Y0, Y1, Y0
	VPMOVMSKB Y0, AX
	MOVQ      R9, CX
	SUBQ      SI, CX         // bytes to come
	CMPQ      CX, $32
	JLT       last
	TESTL     AX, AX
	JNE       found
	ADDQ      $32, SI
	ADDQ      $32, DI
	JMP       loop

last:
	BTSQ CX, AX              // what is behind the end does not count

found:
	BSFQ    AX, AX
	ADDQ    AX, SI
	ADDQ    AX, DI
	CMPQ    SI, R9
	JEQ     done
	MOVBLZX (SI), AX
	CMPL    AX, $0x80
	JCC     done
	MOVQ    DI, CX
	SUBQ    SI, CX
	CMPQ    CX, R12
	JGT     done
	MOVQ    (BX)(AX*8), AX
	MOVQ    AX, (DI)
	SHRQ    $56, AX
	MOVQ    AX, CX
	ANDL    $15, AX
	SHRQ    $4, CX
	ADDQ    AX, DI
	ADDQ    CX, R11
	INCQ    SI
	JMP     loop

done:
	VZEROUPPER
	SUBQ dst+0(FP), DI
	SUBQ src+16(FP), SI
	MOVQ SI, read+56(FP)
	MOVQ DI, written+64(FP)
	MOVQ R11, extra+72(FP)
	RET
