//! The first instructions: from the loader's hands to [`boot::start`](crate::boot::start).
//!
//! The header is the one of the Linux boot protocol. The code behind it leaves EL2, maps what it
//! knows of memory to itself, turns caches on, applies the image's relocations and calls Rust.
//! Until the caches are on, nothing is written but the first tables.

use crate::{paging, stacks};
use core::arch::global_asm;
use platform_machine::memory::PAGE;

/// `SCTLR_EL1` without translation: little-endian, and the bits that are always set.
const CONTROL_OFF: u64 = 0x30d0_0800;
/// With translation, caches, and a check of the stack's alignment.
pub(crate) const CONTROL_ON: u64 = CONTROL_OFF | 1 << 12 | 1 << 3 | 1 << 2 | 1;
/// What is writable is never executable, whatever its entry says.
pub(crate) const CONTROL_STRICT: u64 = CONTROL_ON | 1 << 19;
/// `TCR_EL1`: 48 bits of addresses, pages of 4 KiB, tables cached and shared, no upper half.
const TRANSLATION: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23;
/// A block of memory: valid, shared, accessed.
const BLOCK: u64 = 0x701;
/// A block of devices: as above, and never executed.
const DEVICES: u64 = BLOCK | 4 | 1 << 53 | 1 << 54;

global_asm!(
    r#"
    .section .text.head, "ax"
    .global _start
_start:
    b 2f
    nop
    .quad 0                         // at the start of any 2 MiB
    .quad image_end - _start
    .quad 0xa                       // little-endian, pages of 4 KiB, anywhere
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

2:  msr daifset, #15
    msr tpidr_el1, xzr              // this core has no state yet
    mov x20, x0                     // the device tree
    bl leave_el2
    mov x0, #3 << 20
    msr cpacr_el1, x0               // the vector unit can be used

    // Two tables, full of zeroes: of 512 GiB, and of 1 GiB blocks.
    adrp x19, first_tables
    mov x0, x19
    add x1, x19, #8192
3:  stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 3b
    add x0, x19, #4096
    orr x1, x0, #3
    str x1, [x19]
    ldr x1, ={devices}
    str x1, [x0]                    // the first GiB, where most machines have devices
    adrp x1, _start
    bl map_first
    adrp x1, image_end
    bl map_first
    cbz x20, 10f                    // no tree: the first GiB stays the devices'
    mov x1, x20
    bl map_first
    add x1, x20, #0x200000
    bl map_first
    // Lines of older contents must not come between.
10: dsb sy
    mov x0, x19
    add x1, x19, #8192
4:  dc ivac, x0
    add x0, x0, #64
    cmp x0, x1
    b.lo 4b
    mov x0, x19
    ldr x1, ={on}
    bl turn_on

    adrp x0, bss_start
    add x0, x0, :lo12:bss_start
    adrp x1, bss_end
5:  cmp x0, x1
    b.hs 6f
    stp xzr, xzr, [x0], #16
    b 5b

    // Each relocation: where, what kind, and which address from the image's start.
6:  adrp x3, _start
    adrp x1, relocations_start
    add x1, x1, :lo12:relocations_start
    adrp x2, relocations_end
    add x2, x2, :lo12:relocations_end
7:  cmp x1, x2
    b.hs 9f
    ldp x4, x5, [x1], #16
    ldr x6, [x1], #8
    cmp w5, #1027
    b.ne 8f
    add x6, x6, x3
    str x6, [x4, x3]
    b 7b
8:  wfi                             // the linker made another kind: nothing can run
    b 8b

9:  adrp x0, {fault} + {fault_end}
    msr spsel, #1
    mov sp, x0
    msr spsel, #0
    adrp x0, {main} + {main_end}
    mov sp, x0
    mov x29, #0                     // ends a backtrace
    mov x30, #0
    mov x0, x20
    bl {start}
    brk #1

    // Where the firmware starts another core, with its seat in x0. What is in it was written past
    // the caches.
    .global enter_core
enter_core:
    msr daifset, #15
    msr tpidr_el1, xzr
    mov x20, x0
    bl leave_el2
    mov x0, #3 << 20
    msr cpacr_el1, x0
    ldp x0, x1, [x20]
    ldp x21, x22, [x20, #16]
    bl turn_on
    msr spsel, #1
    mov sp, x22
    msr spsel, #0
    mov sp, x21
    mov x29, #0
    mov x30, #0
    mov x0, x20
    bl {arrive}
    brk #1

    // Goes to EL1, if this is EL2, and lets EL1 do everything.
leave_el2:
    mrs x1, CurrentEL
    cmp x1, #8
    b.ne 2f
    mov x1, #1 << 31                // EL1 is 64-bit
    msr hcr_el2, x1
    isb
    mov x1, #0x33ff                 // nothing of the vector unit traps
    msr cptr_el2, x1
    msr hstr_el2, xzr
    msr vttbr_el2, xzr
    mrs x1, cnthctl_el2
    orr x1, x1, #3
    msr cnthctl_el2, x1
    msr cntvoff_el2, xzr
    mrs x1, midr_el1
    msr vpidr_el2, x1
    mrs x1, mpidr_el1
    msr vmpidr_el2, x1
    mrs x1, id_aa64pfr0_el1
    ubfx x1, x1, #24, #4
    cbz x1, 1f
    mrs x1, s3_4_c12_c9_5           // ICC_SRE_EL2: the interface's registers, for EL1 too
    mov x2, #9
    orr x1, x1, x2
    msr s3_4_c12_c9_5, x1
    isb
1:  ldr x1, ={off}
    msr sctlr_el1, x1
    mov x1, #0x3c5                  // EL1, its own stack, everything masked
    msr spsr_el2, x1
    msr elr_el2, x30
    eret
2:  ldr x1, ={off}
    msr sctlr_el1, x1
    isb
    ret

    // Maps the GiB around x1 to itself, if the table at x0 reaches it.
map_first:
    lsr x2, x1, #30
    cmp x2, #512
    b.hs 1f
    lsl x3, x2, #30
    ldr x4, ={block}
    orr x3, x3, x4
    str x3, [x0, x2, lsl #3]
1:  ret

    // Translates by the tables at x0, with the control register x1. The caller's code is mapped to
    // itself by old tables and new.
    .global turn_on
turn_on:
    ldr x2, ={attributes}
    msr mair_el1, x2
    ldr x2, ={translation}
    mrs x3, id_aa64mmfr0_el1
    and x3, x3, #15                 // how far addresses reach: at most the 48 bits of tables
    cmp x3, #5
    mov x4, #5
    csel x3, x4, x3, hi
    orr x2, x2, x3, lsl #32
    dsb sy
    mrs x3, sctlr_el1
    bic x3, x3, #1
    msr sctlr_el1, x3               // old and new must not be mixed
    isb
    msr tcr_el1, x2
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    ic iallu
    dsb nsh
    isb
    msr sctlr_el1, x1
    isb
    ret
    .ltorg

    .section .first, "aw", @nobits
    .balign 4096
first_tables:
    .space 8192
    "#,
    devices = const DEVICES,
    block = const BLOCK,
    on = const CONTROL_ON,
    off = const CONTROL_OFF,
    attributes = const paging::ATTRIBUTES,
    translation = const TRANSLATION,
    fault = sym stacks::FAULT,
    fault_end = const PAGE as usize + stacks::FAULT_SIZE,
    main = sym stacks::MAIN,
    main_end = const PAGE as usize + stacks::MAIN_SIZE,
    start = sym crate::boot::start,
    arrive = sym crate::secondaries::arrive,
);

unsafe extern "C" {
    /// Translates by the tables at `root`, with `control` in `SCTLR_EL1`.
    ///
    /// # Safety
    /// Everything in use stays mapped where it was: code, data, the stack and the tables.
    pub(crate) fn turn_on(root: u64, control: u64);
}
