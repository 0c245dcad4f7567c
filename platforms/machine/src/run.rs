//! The loop: builds the graph, then sweeps, and sleeps when there is nothing to do.

use crate::idle::Idle;
use crate::machine::Machine;
use crate::{Arch, crew, heap, panic};
use alloc::boxed::Box;
use alloc::vec::Vec;
use waitless::cores::{self, CORES_MAX, Cores};
use waitless::log::{Level, Log};
use waitless::{Context, Image, Pool, Random, Sweep, System, debug, info};

/// Runs `image`'s graph, which `make` builds, for ever, on as many cores as it is for and there
/// are, each with its own.
///
/// The first core builds its graph first, so that what cores share is there before another one
/// looks for it. An image that cannot start says why on the console and ends.
pub fn run<A: Arch, G: Sweep>(
    image: &'static Image,
    make: impl Fn(&mut Context) -> G + Send + Sync + 'static,
) -> ! {
    let machine = A::machine();
    *machine.name.lock() = image.platform;
    let count = match image.cores {
        0 | 1 => 1,
        most => A::start_cores(machine, most.min(CORES_MAX)),
    };
    let cores: &'static Cores = Box::leak(Box::new(Cores::new(count)));
    let Some(random) = machine.random.lock().take() else {
        panic::refuse::<A>(format_args!("the image was started twice"))
    };
    let mut cx = context::<A>(image, cores, random);
    announce(machine, &cx);
    let mut graph = build::<A, G>(&mut cx, &make);
    // By now there is entropy, whoever brought it.
    let seeds: Vec<_> = (1..count).map(|_| full(cx.random.bytes::<32>())).collect();
    if count > 1 {
        crew::work(move || {
            // Numbers count from 1, and each core comes here once.
            let Some(seed) = seeds.get(A::number() - 1).and_then(cores::Slot::take) else { return };
            let mut cx = context::<A>(image, cores, Random::new(seed));
            let mut graph = build::<A, G>(&mut cx, &make);
            sweep::<A>(&mut *graph, &mut cx)
        });
    }
    sweep::<A>(&mut *graph, &mut cx)
}

/// A slot with `thing` in it.
fn full<T>(thing: T) -> cores::Slot<T> {
    let slot = cores::Slot::new();
    slot.put(thing);
    slot
}

/// Builds this core's graph and brings it up.
fn build<A: Arch, G: Sweep>(cx: &mut Context, make: &impl Fn(&mut Context) -> G) -> Box<G> {
    let mut graph = Box::new(make(cx));
    cx.system().publish();
    if let Err((instance, error)) = graph.init(cx) {
        panic::refuse::<A>(format_args!("{instance}: {error}"));
    }
    if !cx.random.is_seeded() {
        panic::no_entropy::<A>();
    }
    graph
}

/// Sweeps for ever.
fn sweep<A: Arch>(graph: &mut impl Sweep, cx: &mut Context) -> ! {
    let (machine, core) = (A::machine(), A::core());
    let (pool, cores) = (cx.pool(), cx.cores());
    let (mut idle, mut taken) = (Idle::default(), pool.taken());
    let several = cores.count() > 1;
    loop {
        if several {
            A::attend();
        }
        cx.set_now(machine.now());
        graph.poll(cx);
        // Nothing comes of nothing: a sweep that was handed no packet did little, if anything.
        if pool.taken() != taken {
            taken = pool.taken();
            idle.worked(cx.now());
        }
        let deadline = graph.deadline();
        if deadline <= cx.now() || idle.looks(cx.now()) {
            continue;
        }
        if several {
            // Before the last look, so that whoever sends something after it wakes this core.
            cores.falls_asleep(core.number);
        }
        if graph.arm() {
            idle.halts();
            let now = machine.now();
            if deadline > now {
                core.sleep(now, deadline);
            }
        }
        if several {
            cores.wakes(core.number);
        }
    }
}

fn announce<A: Arch>(machine: &Machine<A>, cx: &Context) {
    let Image { app, version, platform, .. } = cx.system().image();
    let (memory, packets) = (heap::size() >> 20, cx.pool().count());
    match cx.cores().count() {
        1 => info!(cx, "{app} {version} for {platform}: {memory} MiB, {packets} packets"),
        cores => info!(
            cx,
            "{app} {version} for {platform}: {cores} cores, {memory} MiB, {packets} packets each"
        ),
    }
    debug!(cx, "{} MHz, seeded from {}", machine.clock.hertz() / 1_000_000, machine.sources);
}

/// What this core lends to its components.
fn context<A: Arch>(image: &'static Image, cores: &'static Cores, random: Random) -> Context {
    let (machine, core) = (A::machine(), A::core());
    let level = match machine.command_line.option("log").map(str::parse) {
        None => Level::Info,
        Some(Ok(level)) => level,
        Some(Err(())) => {
            panic::refuse::<A>(format_args!("log= is none of error, warn, info, debug, trace"))
        }
    };
    let Some(pool) = Pool::new(packets(image, cores.count()), 0) else {
        panic::refuse::<A>(format_args!("not enough memory for packets"))
    };
    let system: &'static System = Box::leak(Box::new(System::on(image, cores, core.number)));
    panic::remember(system);
    system.register("pool", pool.counters());
    system.register("core", core);
    let log = Log::new(level, A::console());
    let mut cx = Context::new(core.number, pool, random, log, machine, system);
    cx.set_now(machine.now());
    cx
}

/// How many packets each core gets: what the image asks for, else its share of a quarter of the
/// memory.
fn packets(image: &Image, cores: usize) -> usize {
    const FEWEST: usize = 64;
    const MOST: usize = 16_384;
    if image.packets != 0 {
        return image.packets;
    }
    (heap::size() as usize / 4 / cores / Pool::BUFFER_SIZE).clamp(FEWEST, MOST)
}
