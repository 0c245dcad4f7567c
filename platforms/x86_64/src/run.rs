//! The loop: builds the graph, then sweeps, and sleeps when there is nothing to do.

use crate::console::CONSOLE;
use crate::cpu::ticks;
use crate::idle::Idle;
use crate::machine::{Core, Machine, machine};
use crate::{heap, panic, power};
use alloc::boxed::Box;
use waitless::log::{Level, Log};
use waitless::{Context, Image, Instant, Pool, Random, Sweep, System, debug, info};
use x86_64::instructions::interrupts;

/// Runs `image`'s graph, which `make` builds, for ever.
///
/// An image that cannot start says why on the console and ends.
pub fn run<G: Sweep>(image: &'static Image, make: impl FnOnce(&mut Context) -> G) -> ! {
    let machine = machine();
    *machine.name.lock() = image.platform;
    let system: &'static System = Box::leak(Box::new(System::new(image)));
    panic::remember(system);
    let mut cx = context(machine, system);
    cx.set_now(now(machine));
    announce(machine, &cx);
    let mut graph = Box::new(make(&mut cx));
    if let Err((instance, error)) = graph.init(&mut cx) {
        panic::refuse(format_args!("{instance}: {error}"));
    }
    sweep(machine, machine.core, &mut *graph, &mut cx)
}

/// Sweeps for ever.
fn sweep(machine: &Machine, core: &Core, graph: &mut impl Sweep, cx: &mut Context) -> ! {
    let pool = cx.pool();
    let (mut idle, mut taken) = (Idle::default(), pool.taken());
    loop {
        cx.set_now(now(machine));
        graph.poll(cx);
        // Nothing comes of nothing: a sweep that was handed no packet did little, if anything.
        if pool.taken() != taken {
            taken = pool.taken();
            idle.worked(cx.now());
        }
        let deadline = graph.deadline();
        if deadline > cx.now() && !idle.looks(cx.now()) && graph.arm() {
            idle.halts();
            sleep(machine, core, deadline);
        }
    }
}

/// Halts until an interrupt or `deadline`. Interrupts are off before and after, so none can come
/// between the last look at the devices and the halt: it stays pending and ends the halt at once.
fn sleep(machine: &Machine, core: &Core, deadline: Instant) {
    let now = now(machine);
    if deadline <= now {
        return;
    }
    core.wake_at(&machine.clock, now, deadline);
    core.sleeps.add(1);
    interrupts::enable_and_hlt();
    interrupts::disable();
}

fn announce(machine: &Machine, cx: &Context) {
    let Image { app, version, platform, .. } = cx.system().image();
    let memory = heap::size() >> 20;
    info!(cx, "{app} {version} for {platform}: {memory} MiB, {} packets", cx.pool().count());
    debug!(cx, "{} MHz, seeded from {}", machine.clock.hertz() / 1_000_000, machine.sources);
}

fn now(machine: &Machine) -> Instant {
    Instant::from_nanos(machine.clock.nanos(ticks()))
}

/// What the core lends to its components.
fn context(machine: &'static Machine, system: &'static System) -> Context {
    let level = match machine.info.option("log").map(str::parse) {
        None => Level::Info,
        Some(Ok(level)) => level,
        Some(Err(())) => {
            panic::refuse(format_args!("log= is none of error, warn, info, debug, trace"))
        }
    };
    let Some(pool) = Pool::new(packets(system.image()), 0) else {
        panic::refuse(format_args!("not enough memory for packets"))
    };
    let Some(seed) = machine.seed.lock().take() else {
        panic::refuse(format_args!("the image was started twice"))
    };
    system.register("pool", pool.counters());
    system.register("core", machine.core);
    let log = Log::new(level, &CONSOLE);
    Context::new(machine.core.number, pool, Random::new(seed), log, machine, system)
}

/// How many packets the core gets: what the image asks for, else a quarter of the memory.
fn packets(image: &Image) -> usize {
    const FEWEST: usize = 64;
    const MOST: usize = 16_384;
    if image.packets != 0 {
        return image.packets;
    }
    let cores = image.cores.max(1);
    (heap::size() as usize / 4 / cores / Pool::BUFFER_SIZE).clamp(FEWEST, MOST)
}

/// Ends the image, successfully. For images that finish: tests, mostly.
pub fn finish() -> ! {
    power::exit(power::SUCCESS)
}
