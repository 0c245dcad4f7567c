//! The loop: builds the graph, then sweeps, and sleeps when there is nothing to do.

use crate::idle::Idle;
use crate::machine::Machine;
use crate::{Arch, SUCCESS, crew, heap, panic};
use alloc::boxed::Box;
use alloc::vec::Vec;
use waitless::cores::{self, CORES_MAX, Cores, Stage};
use waitless::device::Platform;
use waitless::log::{Level, Log};
use waitless::{Context, Duration, Image, Instant, Pool, Random, Sweep, System};
use waitless::{boot, debug, error, info};

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
    if image.cores > 1 {
        crew::work(move || {
            // Numbers count from 1, and each core comes here once: those that were left out, too.
            let Some(seed) = seeds.get(A::number() - 1).and_then(cores::Slot::take) else { return };
            let mut cx = context::<A>(image, cores, Random::new(seed));
            let mut graph = build::<A, G>(&mut cx, &make);
            sweep::<A>(&mut *graph, &mut cx);
            end::<A, G>(graph, &mut cx);
            panic::stop::<A>()
        });
    }
    sweep::<A>(&mut *graph, &mut cx);
    end::<A, G>(graph, &mut cx);
    let start = machine.now();
    while !cores.have_reached(Stage::Ended) && machine.now().since(start) < PATIENCE {
        core::hint::spin_loop();
    }
    A::exit(SUCCESS)
}

/// How long what is under way may take to leave when the image ends.
const LINGER: Duration = Duration::from_millis(100);
/// Sweeps that take all that crosses to a core, however little each takes.
const SETTLE: usize = 256;
/// How long a core waits for the others when the image ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends this core: lets leave what is under way, gives everything back, and says whether all
/// packets are there.
fn end<A: Arch, G: Sweep>(mut graph: Box<G>, cx: &mut Context) {
    let (machine, cores, pool) = (A::machine(), cx.cores(), cx.pool());
    // Whoever asked has just finished a sweep; the others may be asleep.
    (0..cores.count()).filter(|core| *core != cx.core()).for_each(|core| machine.wake(core));
    let start = machine.now();
    let mut sweep = || {
        cx.set_now(machine.now());
        graph.poll(cx);
        machine.now().since(start)
    };
    while sweep() < LINGER {}
    cores.close();
    for stage in [Stage::Closed, Stage::Settled] {
        (0..SETTLE).for_each(|_| _ = sweep());
        cores.reach(stage);
        while sweep() < PATIENCE && !cores.have_reached(stage) {}
    }
    (0..SETTLE).for_each(|_| _ = sweep());
    drop(graph);
    let (core, count, missing) = (cx.core(), pool.count(), pool.missing());
    match missing {
        0 => info!(cx, "core {core} ended; all {count} packets are back"),
        _ => error!(cx, "core {core} ended; {missing} of {count} packets are missing"),
    }
    cores.reach(Stage::Ended);
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

/// Sweeps until the image ends.
fn sweep<A: Arch>(graph: &mut impl Sweep, cx: &mut Context) {
    let (machine, core) = (A::machine(), A::core());
    let (pool, cores) = (cx.pool(), cx.cores());
    let (mut idle, mut taken) = (Idle::default(), pool.taken());
    let several = cores.count() > 1;
    let mut button = Button::of::<A>(core.number);
    loop {
        if several {
            A::attend();
        }
        cx.set_now(machine.now());
        button.look::<A>(cx);
        graph.poll(cx);
        if cores.is_ending() {
            return;
        }
        // Nothing comes of nothing: a sweep that was handed no packet did little, if anything.
        if pool.taken() != taken {
            taken = pool.taken();
            idle.worked(cx.now());
        }
        let deadline = graph.deadline().min(button.next);
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

/// When the power button is looked at next: never, on cores that do not.
struct Button {
    next: Instant,
}

impl Button {
    /// How often it is looked at.
    const PAUSE: Duration = Duration::from_millis(250);

    /// The first core looks, where there is one.
    fn of<A: Arch>(number: usize) -> Self {
        let there = number == 0 && A::machine().arch.is_asked_to_end().is_some();
        Self { next: if there { Instant::ZERO } else { Instant::NEVER } }
    }

    /// Lets the image end when it was pressed.
    #[inline]
    fn look<A: Arch>(&mut self, cx: &Context) {
        if cx.now() < self.next {
            return;
        }
        self.next = cx.now() + Self::PAUSE;
        if A::machine().arch.is_asked_to_end() == Some(true) {
            info!(cx, "the power button was pressed: the image ends");
            cx.system().shut_down();
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
    let said = boot::level(machine);
    let level = said.ok().flatten().unwrap_or(Level::Info);
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
    if let (Err(said), 0) = (said, core.number) {
        boot::refuse_level(&cx, said, level);
    }
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
