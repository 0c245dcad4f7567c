//! Starts the other cores, one after the other, by INIT and STARTUP interrupts.
//!
//! A core starts in real mode in a page below 64 KiB, which holds just enough code to turn on
//! 64-bit mode with the page tables of the first core. It then takes the stack and the state that
//! wait for it, loads tables of its own, and joins the crew.
//!
//! A core whose counter does not agree with the first one's is not used: time must not jump with
//! the core that asks for it. A core that does not come is not waited for, and neither are those
//! behind it, since what waits for the one must not be taken by another.

use crate::apic::LocalApic;
use crate::cpu::{Features, ticks_in_order};
use crate::interrupts::{self, Descriptors};
use crate::lapic::{self, Command};
use crate::machine::{self, Local, Machine, X86};
use crate::stacks::{self, Stacks};
use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use platform_machine::memory::{PAGE, Range};
use platform_machine::paging::Access;
use platform_machine::percore::Core;
use platform_machine::{Arch, crew, panic};
use waitless::Duration;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr3;
use x86_64::registers::model_specific::GsBase;

/// How long a core needs after INIT, on hardware.
const AFTER_INIT: Duration = Duration::from_millis(10);
/// When a core that has not come is started again (SDM volume 3, section 10.4.4.1).
const AGAIN: Duration = Duration::from_millis(1);
/// How long a core is waited for. An emulator on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits for a core that starts.
struct Seat {
    number: usize,
    stacks: Stacks,
    descriptors: &'static Descriptors,
    timer_hertz: u64,
}

/// The seat of the core that starts next, and the stack that it takes first.
static NEXT_SEAT: AtomicPtr<Seat> = AtomicPtr::new(core::ptr::null_mut());
static NEXT_STACK: AtomicU64 = AtomicU64::new(0);
/// What the counter of the core that came last was when it did.
static CAME_AT: AtomicU64 = AtomicU64::new(0);

/// Starts cores until `most` run, this one included, and gives their interrupt ids, by number.
pub(crate) fn start(machine: &'static Machine, most: usize) -> Vec<u32> {
    let apic = X86::core().local.apic();
    let own = apic.id();
    let reached = |id: &u32| *id != own && lapic::reaches(*id, apic.is_newer());
    let others = machine.arch.acpi.processors.iter().copied().filter(reached);
    let others: Vec<u32> = others.take(most.saturating_sub(1)).collect();
    let mut ids = Vec::from([own]);
    let Some(page) = machine.arch.low_page.filter(|_| !others.is_empty()) else { return ids };
    let seats: Option<Vec<Seat>> = (1..=others.len()).map(|number| seat(number, apic)).collect();
    let (Some(seats), Some(())) = (seats, lay(page)) else { return ids };
    stacks::remember(seats.iter().map(|seat| seat.stacks).collect());
    for (seat, id) in seats.into_iter().zip(others) {
        if !bring(machine, apic, id, page, seat) {
            break;
        }
        ids.push(id);
    }
    ids
}

/// What core `number` needs; `None` when memory is out.
fn seat(number: usize, apic: &LocalApic) -> Option<Seat> {
    let layout = Layout::from_size_align(Stacks::LENGTH, PAGE as usize).ok()?;
    // SAFETY: the layout has a size.
    let base = unsafe { alloc(layout) };
    if base.is_null() {
        return None;
    }
    let stacks = Stacks::at(base.expose_provenance() as u64);
    for guard in stacks.guards() {
        X86::space().protect(guard, None, X86::flush_translations).ok()?;
    }
    let descriptors = Box::leak(Box::new(Descriptors::new()));
    Some(Seat { number, stacks, descriptors, timer_hertz: apic.frequency() })
}

/// Puts the code that cores start with into the page at `page`. `None` when that cannot be.
fn lay(page: u64) -> Option<()> {
    let at = |symbol: *const u8| symbol as usize - &raw const trampoline_start as usize;
    let length = at(&raw const trampoline_end);
    let root = u32::try_from(Cr3::read().0.start_address().as_u64()).ok()?;
    let place = |symbol| u32::try_from(page).ok()?.checked_add(u32::try_from(at(symbol)).ok()?);
    let base = core::ptr::with_exposed_provenance_mut::<u8>(page as usize);
    // SAFETY: the page is free memory of the loader's that nobody else uses, mapped to itself for
    // writing; the code is shorter than a page, and the words lie within it.
    unsafe {
        core::ptr::copy_nonoverlapping(&raw const trampoline_start, base, length);
        let put = |symbol, value: u32| base.add(at(symbol)).cast::<u32>().write_unaligned(value);
        put(&raw const trampoline_far_32, place(&raw const trampoline_32)?);
        put(&raw const trampoline_gdt_base, place(&raw const trampoline_gdt)?);
        put(&raw const trampoline_root, root);
        put(&raw const trampoline_far_64, place(&raw const trampoline_64)?);
        let entry = base.add(at(&raw const trampoline_entry)).cast::<u64>();
        entry.write_unaligned(&raw const enter_core as u64);
    }
    let page = Range::sized(page, PAGE);
    X86::space().protect(page, Some(Access::ReadExecute), X86::flush_translations).ok()
}

/// Starts one core and waits until it has joined. Whether it has, and can be used.
fn bring(machine: &Machine, apic: &LocalApic, id: u32, page: u64, seat: Seat) -> bool {
    let number = seat.number;
    let [main, ..] = seat.stacks.rooms();
    NEXT_STACK.store(main.end(), Ordering::Relaxed);
    NEXT_SEAT.store(Box::into_raw(Box::new(seat)), Ordering::Release);
    let wait = |time: Duration, until: &dyn Fn() -> bool| {
        let start = machine.now();
        while machine.now().since(start) < time {
            if until() {
                return true;
            }
            core::hint::spin_loop();
        }
        until()
    };
    let came = || crew::joined() >= number;
    let before = ticks_in_order();
    apic.send(id, Command::Init);
    // A hypervisor needs no time for that, and says that it is one.
    if !Features::read().hypervisor {
        wait(AFTER_INIT, &|| false);
    }
    let start = Command::Start((page >> 12) as u8);
    apic.send(id, start);
    if !wait(AGAIN, &came) {
        apic.send(id, start);
    }
    if !wait(PATIENCE, &came) {
        panic::report::<X86>(format_args!("core {number} does not start; it is left out"));
        return false;
    }
    let (there, after) = (CAME_AT.load(Ordering::Acquire), ticks_in_order());
    let agrees = before <= there && there <= after;
    if !agrees {
        let line = format_args!("the counter of core {number} differs; it is left out");
        panic::report::<X86>(line);
    }
    agrees
}

/// Where a core gets to, on its own stack, with interrupts off.
extern "C" fn arrive() -> ! {
    let seat = NEXT_SEAT.swap(core::ptr::null_mut(), Ordering::AcqRel);
    if seat.is_null() {
        // A second start of a core that had come already.
        X86::stop();
    }
    // SAFETY: `bring` made it of a box, and the swap gave it to this core alone.
    let seat = unsafe { Box::from_raw(seat) };
    let [_, tops @ ..] = seat.stacks.rooms().map(Range::end);
    // SAFETY: called once on each core, with tables and stacks that no other one has.
    unsafe { interrupts::load(seat.descriptors, tops) };
    let features = Features::read();
    features.enable();
    let map = |address| machine::try_map(address, PAGE as usize);
    let Some(mut apic) = LocalApic::new(&features, map) else { X86::stop() };
    apic.set_frequency(seat.timer_hertz);
    let core = Box::leak(Box::new(Core::<X86>::new(seat.number, Local::new(apic))));
    GsBase::write(VirtAddr::from_ptr(core));
    drop(seat);
    CAME_AT.store(ticks_in_order(), Ordering::Release);
    crew::join::<X86>()
}

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_far_32: u8;
    static trampoline_32: u8;
    static trampoline_root: u8;
    static trampoline_far_64: u8;
    static trampoline_64: u8;
    static trampoline_entry: u8;
    static trampoline_gdt: u8;
    static trampoline_gdt_base: u8;
    static trampoline_end: u8;
    static enter_core: u8;
}

// From real mode to 64-bit mode. The first part is copied to a page below 64 KiB, where `lay` fills
// in what depends on the place: it runs there with `ebx` at the page's start. The second part is
// where it leads: whoever brings a core there, in 64-bit mode with this image's page tables and
// pages that hold no code turned on, has started it.
global_asm!(
    r#"
    .section .rodata.trampoline, "a"
    .code16
    .global trampoline_start
trampoline_start:
    jmp 1f
    .balign 8
    .global trampoline_root
trampoline_root:                    // 8 bytes behind the start
    .long 0
    .short 31                       // the table's limit and, 14 bytes behind the start, its place
    .global trampoline_gdt_base
trampoline_gdt_base:
    .long 0
    .balign 8
    .global trampoline_gdt
trampoline_gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
    .global trampoline_entry
trampoline_entry:                   // 56 bytes behind the start: where the second part is
    .quad 0
1:
    cli
    cld
    mov ax, cs
    mov ds, ax
    xor ebx, ebx
    mov bx, ax
    shl ebx, 4
    lgdt [12]
    mov eax, cr0
    or eax, 1                       // protection
    mov cr0, eax
    .byte 0x66, 0xea                // a far jump: address, selector
    .global trampoline_far_32
trampoline_far_32:
    .long 0
    .short 8

    .code32
    .global trampoline_32
trampoline_32:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, 0x620                  // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, [ebx + 8]
    mov cr3, eax
    mov ecx, 0xc0000080             // EFER: long mode, pages without code
    rdmsr
    or eax, 0x900
    wrmsr
    mov eax, 0x80010023             // paging, write protection, numeric errors, MP, protection
    mov cr0, eax
    .byte 0xea                      // a far jump: address, selector
    .global trampoline_far_64
trampoline_far_64:
    .long 0
    .short 24

    .code64
    .global trampoline_64
trampoline_64:
    mov ebx, ebx                    // the upper half is undefined
    jmp qword ptr [rbx + 56]

    .global trampoline_end
trampoline_end:

    .section .text.secondaries, "ax"
    .code64
    .global enter_core
enter_core:
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rsp, [rip + {stack}]
    xor ebp, ebp                    // ends a backtrace
    call {arrive}
    ud2
    "#,
    stack = sym NEXT_STACK,
    arrive = sym arrive,
);
