//! The loop: builds the graph, then sweeps, and sleeps when there is nothing to do.

use crate::idle::Idle;
use crate::machine::Machine;
use crate::percore::Core;
use crate::{Arch, heap, panic};
use alloc::boxed::Box;
use waitless::log::{Level, Log};
use waitless::{Context, Image, Pool, Random, Sweep, System, debug, info};

/// Runs `image`'s graph, which `make` builds, for ever.
///
/// An image that cannot start says why on the console and ends.
pub fn run<A: Arch, G: Sweep>(image: &'static Image, make: impl FnOnce(&mut Context) -> G) -> ! {
    let (machine, core) = (A::machine(), A::core());
    *machine.name.lock() = image.platform;
    let system: &'static System = Box::leak(Box::new(System::new(image)));
    panic::remember(system);
    let mut cx = context(machine, core, system);
    cx.set_now(machine.now());
    announce(machine, &cx);
    let mut graph = Box::new(make(&mut cx));
    if let Err((instance, error)) = graph.init(&mut cx) {
        panic::refuse::<A>(format_args!("{instance}: {error}"));
    }
    sweep(machine, core, &mut *graph, &mut cx)
}

/// Sweeps for ever.
fn sweep<A: Arch>(
    machine: &Machine<A>,
    core: &Core<A>,
    graph: &mut impl Sweep,
    cx: &mut Context,
) -> ! {
    let pool = cx.pool();
    let (mut idle, mut taken) = (Idle::default(), pool.taken());
    loop {
        cx.set_now(machine.now());
        graph.poll(cx);
        // Nothing comes of nothing: a sweep that was handed no packet did little, if anything.
        if pool.taken() != taken {
            taken = pool.taken();
            idle.worked(cx.now());
        }
        let deadline = graph.deadline();
        if deadline > cx.now() && !idle.looks(cx.now()) && graph.arm() {
            idle.halts();
            let now = machine.now();
            if deadline > now {
                core.sleep(now, deadline);
            }
        }
    }
}

fn announce<A: Arch>(machine: &Machine<A>, cx: &Context) {
    let Image { app, version, platform, .. } = cx.system().image();
    let memory = heap::size() >> 20;
    info!(cx, "{app} {version} for {platform}: {memory} MiB, {} packets", cx.pool().count());
    debug!(cx, "{} MHz, seeded from {}", machine.clock.hertz() / 1_000_000, machine.sources);
}

/// What the core lends to its components.
fn context<A: Arch>(
    machine: &'static Machine<A>,
    core: &'static Core<A>,
    system: &'static System,
) -> Context {
    let level = match machine.command_line.option("log").map(str::parse) {
        None => Level::Info,
        Some(Ok(level)) => level,
        Some(Err(())) => {
            panic::refuse::<A>(format_args!("log= is none of error, warn, info, debug, trace"))
        }
    };
    let Some(pool) = Pool::new(packets(system.image()), 0) else {
        panic::refuse::<A>(format_args!("not enough memory for packets"))
    };
    let Some(seed) = machine.seed.lock().take() else {
        panic::refuse::<A>(format_args!("the image was started twice"))
    };
    system.register("pool", pool.counters());
    system.register("core", core);
    let log = Log::new(level, A::console());
    Context::new(core.number, pool, Random::new(seed), log, machine, system)
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
