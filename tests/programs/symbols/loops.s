# SPDX-License-Identifier: Apache-2.0
# DWARF that no compiler writes: an inlined call whose abstract origin is itself, a function and a
# declaration that each say that the other one is their origin, and ranges that cover one another.
	.text
	.globl	loops
	.type	loops, %function
loops:
	nop
	nop
	nop
	nop
	ret
.Lend:
	.size	loops, .-loops

	.section	.debug_abbrev,"",%progbits
	.uleb128 1			/* compile unit */
	.uleb128 0x11
	.byte	1
	.uleb128 0x11
	.uleb128 0x01
	.uleb128 0x12
	.uleb128 0x07
	.byte	0, 0
	.uleb128 2			/* subprogram: origin, low_pc, high_pc */
	.uleb128 0x2e
	.byte	1
	.uleb128 0x31
	.uleb128 0x13
	.uleb128 0x11
	.uleb128 0x01
	.uleb128 0x12
	.uleb128 0x07
	.byte	0, 0
	.uleb128 3			/* inlined subroutine: origin, low_pc, high_pc, call_line */
	.uleb128 0x1d
	.byte	1
	.uleb128 0x31
	.uleb128 0x13
	.uleb128 0x11
	.uleb128 0x01
	.uleb128 0x12
	.uleb128 0x07
	.uleb128 0x59
	.uleb128 0x0b
	.byte	0, 0
	.uleb128 4			/* subprogram: specification */
	.uleb128 0x2e
	.byte	0
	.uleb128 0x47
	.uleb128 0x13
	.byte	0, 0
	.byte	0

	.section	.debug_info,"",%progbits
.Lunit:
	.4byte	.Lunit_end-.Lunit-4
	.2byte	4
	.4byte	.debug_abbrev
	.byte	8
	.uleb128 1
	.8byte	loops
	.8byte	.Lend-loops
.Lfunction:
	.uleb128 2
	.4byte	.Ldeclaration-.Lunit
	.8byte	loops
	.8byte	.Lend-loops
.Linlined:
	.uleb128 3
	.4byte	.Linlined-.Lunit
	.8byte	loops
	.8byte	.Lend-loops
	.byte	7
	.uleb128 3
	.4byte	.Lfunction-.Lunit
	.8byte	loops
	.8byte	.Lend-loops
	.byte	8
	.byte	0, 0, 0
.Ldeclaration:
	.uleb128 4
	.4byte	.Lfunction-.Lunit
	.byte	0
.Lunit_end:
