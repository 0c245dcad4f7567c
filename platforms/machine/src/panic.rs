//! What an image says when it dies.

use crate::{Arch, FAILURE, REFUSED, Slot, backtrace};
use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use waitless::System;

static DYING: AtomicBool = AtomicBool::new(false);

/// Whose counters belong into a report.
static SYSTEM: Slot<Registry> = Slot::new();

/// A registry that is only read while its own core has stopped.
struct Registry(&'static System);

// SAFETY: its registry is changed while the graph is built only, and reading it then panics
// instead of racing: one core.
unsafe impl Sync for Registry {}

/// Remembers whose counters belong into a report.
pub(crate) fn remember(system: &'static System) {
    SYSTEM.set(alloc::boxed::Box::leak(alloc::boxed::Box::new(Registry(system))));
}

/// Writes a line to the console, whatever state the image is in.
pub fn report<A: Arch>(line: Arguments<'_>) {
    A::console().line(line);
}

/// Starts a report. A fault while one is written ends the image without another.
pub fn begin<A: Arch>() {
    A::mask_interrupts();
    if DYING.swap(true, Ordering::AcqRel) {
        report::<A>(format_args!("another fault while reporting the first"));
        A::exit(FAILURE);
    }
}

/// Ends an image that cannot start, saying why.
pub fn refuse<A: Arch>(reason: Arguments<'_>) -> ! {
    report::<A>(format_args!("cannot start: {reason}"));
    A::exit(REFUSED)
}

/// Reports a panic whose frame is at `frame`, and ends the image.
pub fn die<A: Arch>(info: &PanicInfo<'_>, frame: u64) -> ! {
    begin::<A>();
    report::<A>(format_args!("panic: {}", info.message()));
    if let Some(location) = info.location() {
        let (line, column) = (location.line(), location.column());
        report::<A>(format_args!("  in {}:{line}:{column}", location.file()));
    }
    finish::<A>(None, frame)
}

/// Ends a report: where `address`, if any, was called from, starting at the frame at `frame`;
/// all counters that are not zero. Then ends the image.
pub fn finish<A: Arch>(address: Option<u64>, frame: u64) -> ! {
    backtrace::print::<A>(address, frame);
    print_counters::<A>();
    A::exit(FAILURE)
}

fn print_counters<A: Arch>() {
    let Some(Registry(system)) = SYSTEM.get() else { return };
    let image = system.image();
    report::<A>(format_args!("graph of {} {}:", image.app, image.version));
    for index in 0.. {
        let Some((name, set)) = system.set(index) else { return };
        let metrics = (0..set.count()).filter_map(|index| set.metric(index));
        for metric in metrics.filter(|metric| metric.value != 0) {
            let (metric, value, unit) = (metric.name, metric.value, metric.unit);
            report::<A>(format_args!("  {name}.{metric} {value} {unit}"));
        }
    }
}
