//! Exceptions: the vectors, and the report of one.

use crate::machine::Aarch64;
use crate::panic::report;
use crate::{cpu, power, stacks};
use core::arch::global_asm;
use platform_machine::memory::PAGE;
use platform_machine::panic;

// Sixteen vectors of 128 bytes. The first four are taken from code on the stack of SP_EL0, and run
// on that of SP_EL1. The next four are taken from an exception's own code, and begin on a stack
// of their own. The rest cannot happen: nothing runs below EL1.
global_asm!(
    r#"
    .section .text.exceptions, "ax"
    .balign 2048
    .global exception_vectors
exception_vectors:
    .set vector, 0
    .rept 16
    .balign 128
    .if (vector >= 4) && (vector < 8)
    msr tpidr_el0, x0
    adrp x0, {second}
    add x0, x0, :lo12:{second}
    add x0, x0, #{second_end_low}
    add x0, x0, #{second_end_high}, lsl #12
    mov sp, x0
    mrs x0, tpidr_el0
    .endif
    sub sp, sp, #288
    stp x0, x1, [sp]
    mov x1, #vector
    b exception_common
    .set vector, vector + 1
    .endr

exception_common:
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    mrs x2, sp_el0
    stp x30, x2, [sp, #240]
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x2, x3, [sp, #256]
    mrs x2, esr_el1
    mrs x3, far_el1
    stp x2, x3, [sp, #272]
    mov x0, sp
    bl {exception}
    brk #1
    "#,
    second = sym stacks::SECOND_FAULT,
    second_end_low = const (PAGE as usize + stacks::FAULT_SIZE) & 0xfff,
    second_end_high = const (PAGE as usize + stacks::FAULT_SIZE) >> 12,
    exception = sym exception,
);

unsafe extern "C" {
    static exception_vectors: u8;
}

/// Lets this core's exceptions be reported.
pub(crate) fn init() {
    let vectors = &raw const exception_vectors;
    // SAFETY: all sixteen vectors lead to the report.
    unsafe {
        core::arch::asm!("msr vbar_el1, {}", "isb", in(reg) vectors,
            options(nostack, preserves_flags));
    }
    cpu::unmask_errors();
}

/// What the code above leaves on the stack, lowest address first.
#[repr(C)]
struct Frame {
    registers: [u64; 31],
    sp: u64,
    pc: u64,
    state: u64,
    syndrome: u64,
    address: u64,
}

/// What the numbers of vectors mean, four at a time.
const KINDS: [&str; 4] = ["exception", "interrupt", "fast interrupt", "machine error"];

/// Reports an exception and ends the image. None is expected: nothing here is recoverable.
extern "C" fn exception(frame: &Frame, vector: u64) -> ! {
    if power::is_without_debugger() {
        power::power_off();
    }
    panic::begin::<Aarch64>();
    let class = frame.syndrome >> 26 & 63;
    let is_abort = matches!(class, 0x20..=0x25) && vector.is_multiple_of(4);
    let in_guard = stacks::is_guard(frame.address);
    match vector % 4 {
        0 if is_abort && in_guard => report!("exception: stack overflow"),
        0 => report!("exception: {} (syndrome {:#x})", name(class), frame.syndrome),
        kind => report!("exception: {} (syndrome {:#x})", KINDS[kind as usize], frame.syndrome),
    }
    if is_abort {
        report!("  {}", describe(class, frame.syndrome, frame.address));
    }
    let (pc, sp, state) = (frame.pc, frame.sp, frame.state);
    report!("  pc  {pc:#018x}  sp  {sp:#018x}  pstate {state:#x}");
    for (row, line) in frame.registers.chunks(3).enumerate() {
        let named = |f: &mut core::fmt::Formatter<'_>| {
            (0..).zip(line).try_for_each(|(column, value)| {
                let number = row * 3 + column;
                let gap = if number < 10 { " " } else { "" };
                write!(f, "  x{number}{gap} {value:#018x}")
            })
        };
        report!("{}", core::fmt::from_fn(named));
    }
    panic::finish::<Aarch64>(Some(frame.pc), frame.registers[29])
}

/// A fault's cause in words.
fn describe(class: u64, syndrome: u64, address: u64) -> impl core::fmt::Display {
    let what = match (class, syndrome >> 6 & 1) {
        (0x20 | 0x21, _) => "executing",
        (0x22, _) => "executing at an odd place",
        (_, 1) => "writing",
        _ => "reading",
    };
    let why = match syndrome & 0x3c {
        0x04 => "nothing is mapped there",
        0x0c => "that is not allowed",
        0x10 => "the bus refuses",
        _ if syndrome & 0x3f == 0x21 => "the address is odd",
        _ => "it faults",
    };
    let hint = if address < PAGE { " (a null pointer)" } else { "" };
    core::fmt::from_fn(move |f| write!(f, "{what} {address:#x}: {why}{hint}"))
}

/// The names of exception classes.
const fn name(class: u64) -> &'static str {
    match class {
        0x00 => "undefined instruction",
        0x01 => "trapped wait",
        0x07 => "vector unit trapped",
        0x0e => "illegal state",
        0x15 => "supervisor call",
        0x16 => "hypervisor call",
        0x17 => "monitor call",
        0x18 => "trapped system register",
        0x20 | 0x21 => "instruction abort",
        0x22 => "unaligned program counter",
        0x24 | 0x25 => "data abort",
        0x26 => "unaligned stack pointer",
        0x2c => "floating-point error",
        0x2f => "machine error",
        0x3c => "breakpoint",
        _ => "unknown exception",
    }
}
