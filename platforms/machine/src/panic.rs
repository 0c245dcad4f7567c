//! What an image says when it dies.

use crate::{Arch, FAILURE, REFUSED, Slot, backtrace};
use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use waitless::cores::CORES_MAX;
use waitless::{CounterSet, Random, System};

/// The core that reports, counted from 1; 0 while none does.
static DYING: AtomicUsize = AtomicUsize::new(0);

/// Whose counters belong into a report, of each core.
static SYSTEMS: [Slot<Registry>; CORES_MAX] = [const { Slot::new() }; CORES_MAX];

/// A registry that is only read while its own core has stopped.
struct Registry(&'static System);

// SAFETY: each is read by its own core alone, whose graph it was built with. Other cores' counters
// reach it by what they have published.
unsafe impl Sync for Registry {}

/// Remembers whose counters belong into a report.
pub(crate) fn remember(system: &'static System) {
    if let Some(slot) = SYSTEMS.get(system.core()) {
        slot.set(alloc::boxed::Box::leak(alloc::boxed::Box::new(Registry(system))));
    }
}

/// Writes a line to the console, whatever state the image is in.
pub fn report<A: Arch>(line: Arguments<'_>) {
    A::console().line(line);
}

/// Starts a report, and stops all other cores. A fault while one is written ends the image without
/// another; a core that fails while another reports just stops.
pub fn begin<A: Arch>() {
    A::mask_interrupts();
    let own = A::number() + 1;
    match DYING.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => A::stop_others(),
        Err(other) if other == own => {
            report::<A>(format_args!("another fault while reporting the first"));
            A::exit(FAILURE);
        }
        Err(_) => A::stop(),
    }
}

/// Stops this core if another one reports.
pub fn give_way<A: Arch>() {
    let dying = DYING.load(Ordering::Acquire);
    if dying != 0 && dying != A::number() + 1 {
        A::stop();
    }
}

/// Ends an image that cannot start, saying why.
pub fn refuse<A: Arch>(reason: Arguments<'_>) -> ! {
    report::<A>(format_args!("cannot start: {reason}"));
    A::exit(REFUSED)
}

/// Reports a panic whose frame is at `frame`, and ends the image.
pub fn die<A: Arch>(info: &PanicInfo<'_>, frame: u64) -> ! {
    if info.message().as_str() == Some(Random::UNSEEDED) {
        no_entropy::<A>();
    }
    begin::<A>();
    report::<A>(format_args!("panic: {}", info.message()));
    if let Some(location) = info.location() {
        let (line, column) = (location.line(), location.column());
        report::<A>(format_args!("  in {}:{line}:{column}", location.file()));
    }
    finish::<A>(None, frame)
}

/// Ends an image that nobody seeded.
pub(crate) fn no_entropy<A: Arch>() -> ! {
    refuse::<A>(format_args!(
        "no source of entropy: the processor has no generator, its timing does not vary, and \
         the machine has no virtio entropy source (QEMU: -device virtio-rng-pci)"
    ))
}

/// Ends a report: where `address`, if any, was called from, starting at the frame at `frame`;
/// all counters that are not zero. Then ends the image.
pub fn finish<A: Arch>(address: Option<u64>, frame: u64) -> ! {
    backtrace::print::<A>(address, frame);
    print_counters::<A>();
    A::exit(FAILURE)
}

fn print_counters<A: Arch>() {
    let registry = SYSTEMS.get(A::number()).and_then(Slot::get).or_else(|| SYSTEMS[0].get());
    let Some(Registry(system)) = registry else { return };
    let (image, cores) = (system.image(), system.cores().count());
    if cores > 1 {
        report::<A>(format_args!("on core {} of {cores}; all are stopped", A::number()));
    }
    report::<A>(format_args!("graph of {} {}:", image.app, image.version));
    for index in 0.. {
        let Some((name, set)) = system.total(index) else { return };
        let metrics = (0..set.count()).filter_map(|index| set.metric(index));
        for metric in metrics.filter(|metric| metric.value != 0) {
            let (metric, value, unit) = (metric.name, metric.value, metric.unit);
            report::<A>(format_args!("  {name}.{metric} {value} {unit}"));
        }
    }
}
