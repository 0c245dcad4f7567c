//! What an image says when it dies.

use crate::{Arch, FAILURE, REFUSED, Slot, backtrace};
use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use waitless::cores::CORES_MAX;
use waitless::{CounterSet, Duration, Random, System};

/// The core that reports, counted from 1; 0 while none does.
static DYING: AtomicUsize = AtomicUsize::new(0);

/// The cores that have stopped because another one reports or the image ends, a bit for each.
static STOPPED: AtomicU64 = AtomicU64::new(0);
/// Those that have not, although they were told to.
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// How long a core may take to come to the end of a sweep before it is stopped within.
const SWEEP: Duration = Duration::from_millis(50);
/// How long a core is waited for that should have stopped. An emulator on a busy machine takes its
/// time.
const PATIENCE: Duration = Duration::from_secs(2);

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
        Ok(_) => stop_others::<A>(),
        Err(other) if other == own => {
            report::<A>(format_args!("another fault while reporting the first"));
            A::exit(FAILURE);
        }
        Err(_) => stop::<A>(),
    }
}

/// Stops all other cores: those that would not by themselves, too.
fn stop_others<A: Arch>() {
    let told = A::stop_others();
    if told == 0 {
        return;
    }
    let busy = wait::<A>(told, SWEEP);
    (0..CORES_MAX).filter(|core| busy & 1 << core != 0).for_each(A::stop_busy);
    RUNNING.store(wait::<A>(busy, PATIENCE), Ordering::Relaxed);
}

/// Waits until the cores `told` have stopped. Those that have not in `time`.
fn wait<A: Arch>(told: u64, time: Duration) -> u64 {
    let (machine, left) = (A::machine(), || told & !STOPPED.load(Ordering::Acquire));
    let start = machine.now();
    while left() != 0 && machine.now().since(start) < time {
        core::hint::spin_loop();
    }
    left()
}

/// Stops this core, because another one reports or the image ends.
pub(crate) fn stop<A: Arch>() -> ! {
    STOPPED.fetch_or(1 << A::number(), Ordering::AcqRel);
    A::stop()
}

/// Stops this core if another one reports.
pub fn give_way<A: Arch>() {
    let dying = DYING.load(Ordering::Acquire);
    if dying != 0 && dying != A::number() + 1 {
        stop::<A>();
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

/// What became of the other cores.
fn stopped() -> impl core::fmt::Display {
    let running = RUNNING.load(Ordering::Relaxed);
    core::fmt::from_fn(move |f| {
        if running == 0 {
            return f.write_str("all are stopped");
        }
        f.write_str("these do not stop:")?;
        (0..CORES_MAX).filter(|core| running & 1 << core != 0).try_for_each(|n| write!(f, " {n}"))
    })
}

fn print_counters<A: Arch>() {
    let registry = SYSTEMS.get(A::number()).and_then(Slot::get).or_else(|| SYSTEMS[0].get());
    let Some(Registry(system)) = registry else { return };
    let (image, cores) = (system.image(), system.cores().count());
    if cores > 1 {
        report::<A>(format_args!("on core {} of {cores}; {}", A::number(), stopped()));
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
