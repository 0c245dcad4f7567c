//! The processor's registers and instructions.

use core::arch::asm;

/// Reads a system register.
macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: reading this register changes nothing.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $register),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}
pub(crate) use read;

/// The counter that the virtual timer counts.
#[inline]
pub(crate) fn ticks() -> u64 {
    read!("cntvct_el0")
}

/// The counter, after everything before is done.
pub(crate) fn ticks_in_order() -> u64 {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    ticks()
}

/// The counter's frequency, as the firmware set it.
pub(crate) fn hertz() -> u64 {
    read!("cntfrq_el0")
}

/// This core's affinity.
pub(crate) fn affinity() -> u64 {
    crate::gic::affinity(read!("mpidr_el1"))
}

/// Whether the processor has a generator of random numbers.
pub(crate) fn has_generator() -> bool {
    read!("id_aa64isar0_el1") >> 60 & 15 != 0
}

/// A number of the processor's generator; `None` when it has none ready.
pub(crate) fn random() -> Option<u64> {
    let (word, success): (u64, u64);
    // SAFETY: the caller knows that there is a generator, by `has_generator`; elsewhere the
    // instruction faults, which is reported, and harms nothing.
    unsafe {
        asm!(
            "mrs {}, s3_3_c2_c4_0",
            "cset {}, ne",
            out(reg) word,
            out(reg) success,
            options(nomem, nostack)
        );
    }
    (success != 0).then_some(word)
}

/// Lets the virtual timer interrupt when the counter is at `ticks`.
#[inline]
pub(crate) fn set_timer(ticks: u64) {
    // SAFETY: the timer is this core's, and its interrupt only wakes.
    unsafe {
        asm!(
            "msr cntv_cval_el0, {}",
            "msr cntv_ctl_el0, {}",
            in(reg) ticks,
            in(reg) 1u64,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Turns the virtual timer off.
#[inline]
pub(crate) fn stop_timer() {
    // SAFETY: the timer is this core's.
    unsafe {
        asm!("msr cntv_ctl_el0, xzr", "isb", options(nomem, nostack, preserves_flags));
    }
}

/// Interrupts other cores, as `what` says (`ICC_SGI1R_EL1`).
pub(crate) fn send_interrupt(what: u64) {
    // SAFETY: the interface is turned on, and the interrupt only wakes.
    unsafe {
        asm!("msr s3_0_c12_c11_5, {}", "isb", in(reg) what,
            options(nomem, nostack, preserves_flags));
    }
}

/// The same for an interrupt that other cores do not mask (`ICC_SGI0R_EL1`).
pub(crate) fn send_fast_interrupt(what: u64) {
    // SAFETY: the group is this image's, and the interrupt stops a core of it.
    unsafe {
        asm!("msr s3_0_c12_c11_7, {}", "isb", in(reg) what,
            options(nomem, nostack, preserves_flags));
    }
}

/// Lets `thing` be seen by who reads memory past the caches.
pub(crate) fn clean<T>(thing: &T) {
    let start = core::ptr::from_ref(thing).addr();
    for line in (start..start + size_of::<T>()).step_by(16) {
        // SAFETY: cleaning loses nothing.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    barrier();
}

/// Waits until an interrupt is pending, although all are masked.
#[inline]
pub(crate) fn wait() {
    // SAFETY: a hint; the barrier lets all writes be seen before.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}

/// Keeps all interrupts out, errors too.
pub(crate) fn mask_all() {
    // SAFETY: masking breaks nothing.
    unsafe { asm!("msr daifset, #15", options(nostack, preserves_flags)) };
}

/// Lets errors of the machine in, so that they are reported.
pub(crate) fn unmask_errors() {
    // SAFETY: the vectors are set, and their handlers end the image.
    unsafe { asm!("msr daifclr, #4", options(nostack, preserves_flags)) };
}

/// Lets the interrupt in by which another core stops this one.
pub(crate) fn unmask_fast() {
    // SAFETY: the vectors are set, and their handlers end what this core does.
    unsafe { asm!("msr daifclr, #1", options(nostack, preserves_flags)) };
}

/// Waits until all accesses before are done.
pub(crate) fn barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", "isb", options(nostack, preserves_flags)) };
}

/// Forgets translations of addresses that may have changed, on this core.
pub(crate) fn flush_translations() {
    // SAFETY: they are made again from the tables.
    unsafe {
        asm!("dsb ishst", "tlbi vmalle1", "dsb ish", "isb", options(nostack, preserves_flags));
    }
}

/// Goes to memory with the line that `byte` is in.
pub(crate) fn evict(byte: &mut u8) {
    // SAFETY: the line belongs to who lent the byte, and cleaning loses nothing.
    unsafe { asm!("dc civac, {}", "dsb sy", in(reg) byte, options(nostack, preserves_flags)) };
}

/// Makes `core` what [`this_core`] gives.
pub(crate) fn set_this_core(core: *const ()) {
    let core = core.expose_provenance();
    // SAFETY: nothing else uses the register.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) core, options(nomem, nostack, preserves_flags)) };
}

/// What [`set_this_core`] was given on this core.
#[inline]
pub(crate) fn this_core() -> *const () {
    core::ptr::with_exposed_provenance(read!("tpidr_el1") as usize)
}
