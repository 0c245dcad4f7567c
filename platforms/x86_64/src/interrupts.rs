//! Interrupts and exceptions: descriptor tables, the wake-up handler, and the report of a fault.

use crate::machine::X86;
use crate::panic::report;
use crate::stacks;
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use platform_machine::panic;
use platform_machine::percore::Core;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

/// The vector of the timer.
pub(crate) const TIMER: u8 = 0x40;
/// The vector of every device.
pub(crate) const DEVICE: u8 = 0x41;
/// The vector of an interrupt that went away before it was taken.
pub(crate) const SPURIOUS: u8 = 0xff;

/// Exceptions that switch to a stack of their own.
const STACKS: [(usize, u16); 4] = [(14, 0), (8, 1), (2, 2), (18, 2)];

/// One gate of the interrupt table.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Gate([u64; 2]);

impl Gate {
    /// Leads to the code at `handler`, in kernel mode, with interrupts off. `stack` is a number
    /// of the task segment's interrupt stacks, from 1; 0 stays on the stack in use.
    const fn new(handler: u64, code: u16, stack: u16) -> Self {
        let kind = 0x8e00 | stack as u64;
        let low = handler & 0xffff | (code as u64) << 16 | kind << 32;
        Self([low | (handler >> 16 & 0xffff) << 48, handler >> 32])
    }
}

/// The tables of one core, which the processor reads whenever it likes.
pub(crate) struct Descriptors {
    gates: UnsafeCell<[Gate; 256]>,
    segments: UnsafeCell<GlobalDescriptorTable>,
    task: UnsafeCell<TaskStateSegment>,
}

// SAFETY: each is written once, by `load`, with interrupts off on the one core that it is for.
unsafe impl Sync for Descriptors {}

impl Descriptors {
    pub(crate) const fn new() -> Self {
        Self {
            gates: UnsafeCell::new([Gate([0; 2]); 256]),
            segments: UnsafeCell::new(GlobalDescriptorTable::new()),
            task: UnsafeCell::new(TaskStateSegment::new()),
        }
    }
}

static DESCRIPTORS: Descriptors = Descriptors::new();

/// Loads the first core's tables.
///
/// # Safety
/// Called once, with interrupts off, by the first core.
pub(crate) unsafe fn init() {
    let stacks = [&stacks::PAGE_FAULT, &stacks::DOUBLE_FAULT, &stacks::NON_MASKABLE];
    // SAFETY: called once, and nobody else uses these tables.
    unsafe { load(&DESCRIPTORS, stacks.map(|stack| stack.room().end())) };
}

/// Loads `tables` on this core, with the tops of the stacks for page faults, for double faults and
/// for what no flag keeps out.
///
/// # Safety
/// Called once for these tables, with interrupts off, and nobody else uses them. The stacks are
/// this core's.
pub(crate) unsafe fn load(tables: &'static Descriptors, tops: [u64; 3]) {
    // SAFETY: called once, and nobody else has references to these.
    let (gates, segments, task) =
        unsafe { (&mut *tables.gates.get(), &mut *tables.segments.get(), &mut *tables.task.get()) };
    // The table is not aligned in the segment, so it is set as a whole.
    let mut table = [VirtAddr::zero(); 7];
    for (slot, top) in table.iter_mut().zip(tops) {
        *slot = VirtAddr::new(top);
    }
    task.interrupt_stack_table = table;
    let code = segments.append(Descriptor::kernel_code_segment());
    let data = segments.append(Descriptor::kernel_data_segment());
    let task = segments.append(Descriptor::tss_segment(task));
    segments.load();
    // SAFETY: the selectors are of the table just loaded, and of the right kinds; both the table
    // and the task segment are static.
    unsafe {
        CS::set_reg(code);
        DS::set_reg(data);
        ES::set_reg(data);
        SS::set_reg(data);
        load_tss(task);
    }
    let first = &raw const exception_stubs as u64;
    for (vector, gate) in gates.iter_mut().enumerate().take(32) {
        let stack = STACKS.iter().find(|(of, _)| *of == vector).map_or(0, |(_, stack)| stack + 1);
        *gate = Gate::new(first + vector as u64 * 16, code.0, stack);
    }
    // An interrupt that nobody asked for counts, is ended, and wakes the core for nothing.
    gates[32..].fill(Gate::new(&raw const wake_stub as u64, code.0, 0));
    gates[usize::from(TIMER)] = Gate::new(&raw const alarm_stub as u64, code.0, 0);
    gates[usize::from(SPURIOUS)] = Gate::new(&raw const spurious_stub as u64, code.0, 0);
    let limit = (size_of::<[Gate; 256]>() - 1) as u16;
    let pointer = DescriptorTablePointer { limit, base: VirtAddr::new(gates.as_ptr() as u64) };
    // SAFETY: the table is static and every gate that can be used leads to a handler.
    unsafe { lidt(&pointer) };
}

/// What the processor and the stub below leave on the stack, lowest address first.
#[repr(C)]
struct Frame {
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const REGISTERS: [&str; 15] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8 ", "r9 ", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

unsafe extern "C" {
    static exception_stubs: u8;
    static alarm_stub: u8;
    static wake_stub: u8;
    static spurious_stub: u8;
}

// Stubs for 32 exceptions, 16 bytes each; those without an error code push a zero in its place.
// Then the handlers: one ends the interrupt and counts it, the timer's counts its own before, the
// third does nothing. They touch three registers and none of the vector unit's. `gs` is based at
// the core's state, whose first word is the address of the register that ends an interrupt, or
// zero where it is a model-specific one.
global_asm!(
    r#"
    .section .text.exceptions, "ax"
    .align 16
    .global exception_stubs
exception_stubs:
    .set vector, 0
    .rept 32
    .align 16
    .if ({codes} >> vector) & 1
    .else
    push 0
    .endif
    push vector
    jmp exception_common
    .set vector, vector + 1
    .endr

exception_common:
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push rbp
    push rdi
    push rsi
    push rdx
    push rcx
    push rbx
    push rax
    mov rdi, rsp
    and rsp, -16
    cld
    call {exception}
    ud2

    .align 16
    .global alarm_stub
alarm_stub:
    inc qword ptr gs:[{alarms}]
    .global wake_stub
wake_stub:
    push rax
    push rcx
    push rdx
    mov rax, gs:[0]
    test rax, rax
    jz 1f
    mov dword ptr [rax], 0
    jmp 2f
1:
    mov ecx, 0x80b
    xor eax, eax
    xor edx, edx
    wrmsr
2:
    inc qword ptr gs:[{interrupts}]
    pop rdx
    pop rcx
    pop rax
    iretq

    .global spurious_stub
spurious_stub:
    iretq
    "#,
    exception = sym exception,
    codes = const ERROR_CODES,
    alarms = const offset_of!(Core<X86>, alarms),
    interrupts = const offset_of!(Core<X86>, interrupts),
);

/// Reports an exception and ends the image. None is expected: nothing here is recoverable.
extern "C" fn exception(frame: &Frame) -> ! {
    // A core that reports stops the others by an interrupt that nothing masks.
    panic::give_way::<X86>();
    panic::begin::<X86>();
    let address = x86_64::registers::control::Cr2::read_raw();
    let name = NAMES.get(frame.vector as usize).copied().unwrap_or("unknown exception");
    let is_fault = frame.vector == 14;
    if is_fault && stacks::is_guard(address) {
        report!("exception: stack overflow");
    } else {
        report!("exception: {name} (vector {}, error {:#x})", frame.vector, frame.error);
    }
    if is_fault {
        report!("  {}", describe(frame.error, address));
    }
    report!("  rip {:#018x}  rsp {:#018x}  rflags {:#x}", frame.rip, frame.rsp, frame.rflags);
    let named: [_; 15] = core::array::from_fn(|at| (REGISTERS[at], frame.registers[at]));
    for line in named.chunks(3) {
        let [(a, x), (b, y), (c, z)] = *line else { continue };
        report!("  {a} {x:#018x}  {b} {y:#018x}  {c} {z:#018x}");
    }
    panic::finish::<X86>(Some(frame.rip), frame.registers[6])
}

/// A page fault's cause in words.
fn describe(error: u64, address: u64) -> impl core::fmt::Display {
    let what = match (error & 1 << 4 != 0, error & 1 << 1 != 0) {
        (true, _) => "executing",
        (_, true) => "writing",
        _ => "reading",
    };
    let why = if error & 1 == 0 { "nothing is mapped there" } else { "that is not allowed" };
    let hint = if address < platform_machine::memory::PAGE { " (a null pointer)" } else { "" };
    core::fmt::from_fn(move |f| write!(f, "{what} {address:#x}: {why}{hint}"))
}

/// A bit for each exception that comes with an error code: 8, 10 to 14, 17, 21, 29 and 30.
const ERROR_CODES: u32 = 1 << 8 | 0x1f << 10 | 1 << 17 | 1 << 21 | 3 << 29;

const NAMES: [&str; 32] = [
    "divide error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid task segment",
    "segment not present",
    "stack segment fault",
    "general protection fault",
    "page fault",
    "reserved exception 15",
    "floating-point error",
    "alignment check",
    "machine check",
    "vector floating-point error",
    "virtualization exception",
    "control protection exception",
    "reserved exception 22",
    "reserved exception 23",
    "reserved exception 24",
    "reserved exception 25",
    "reserved exception 26",
    "reserved exception 27",
    "hypervisor injection exception",
    "VMM communication exception",
    "security exception",
    "reserved exception 31",
];
