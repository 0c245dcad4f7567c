//! What an image says when it dies.

use crate::console::CONSOLE;
use crate::{backtrace, power};
use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use waitless::System;

/// Writes a line to the console, whatever state the image is in.
macro_rules! report {
    ($($text:tt)+) => { $crate::panic::write_line(format_args!($($text)+)) };
}
pub(crate) use report;

static DYING: AtomicBool = AtomicBool::new(false);
static SYSTEM: AtomicPtr<System> = AtomicPtr::new(core::ptr::null_mut());

/// Remembers whose counters belong into a report.
pub(crate) fn remember(system: &'static System) {
    SYSTEM.store(core::ptr::from_ref(system).cast_mut(), Ordering::Release);
}

/// Writes a line to the console.
pub(crate) fn write_line(text: Arguments<'_>) {
    CONSOLE.line(text);
}

/// Starts a report. A fault while one is written ends the image without another.
pub(crate) fn begin() {
    x86_64::instructions::interrupts::disable();
    if DYING.swap(true, Ordering::AcqRel) {
        report!("another fault while reporting the first");
        power::exit(power::FAILURE);
    }
}

/// Ends an image that cannot start, saying why.
pub(crate) fn refuse(reason: Arguments<'_>) -> ! {
    report!("cannot start: {reason}");
    power::exit(power::REFUSED)
}

/// Writes all counters that are not zero.
pub(crate) fn print_counters() {
    // SAFETY: null, or what `remember` was given, which lives for ever. Its registry is changed
    // while the graph is built only, and reading it then panics instead of racing: one core.
    let Some(system) = (unsafe { SYSTEM.load(Ordering::Acquire).as_ref() }) else { return };
    report!("graph of {} {}:", system.image().app, system.image().version);
    for index in 0.. {
        let Some((name, set)) = system.set(index) else { return };
        let metrics = (0..set.count()).filter_map(|index| set.metric(index));
        for metric in metrics.filter(|metric| metric.value != 0) {
            report!("  {name}.{} {} {}", metric.name, metric.value, metric.unit);
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack)) };
    begin();
    report!("panic: {}", info.message());
    if let Some(location) = info.location() {
        report!("  in {}:{}:{}", location.file(), location.line(), location.column());
    }
    backtrace::print(None, frame);
    print_counters();
    power::exit(power::FAILURE)
}
