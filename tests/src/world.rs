//! Hosts on a wire in virtual time: nothing waits, and the same seed gives the same run.

use crate::allocations;
use std::cell::Cell;
use std::collections::VecDeque;
use waitless::testing;
use waitless::{
    Component, Context, Counter, CounterSet, Duration, Inspect, Instant, Mac, NicPort, Packet,
    StreamPort, Sweep, UdpPort,
};

/// Frames that a card holds each way.
const CARD_FRAMES: usize = 256;

/// A network card whose other end is in a test's hands. It lends its memory to nobody, so it
/// offloads nothing.
#[derive(Debug)]
pub struct Card {
    mac: Mac,
    arrived: VecDeque<Packet>,
    leaving: VecDeque<Packet>,
    /// Frames that arrived while it was full, or while there was no buffer.
    pub overruns: Counter,
}

/// Nothing can be set.
#[derive(Debug)]
pub struct CardConfig {}

impl Card {
    /// A card with an address that differs from that of every card made before it on this
    /// thread, and is the same in every run.
    pub fn new(_: &CardConfig, _: &mut Context) -> Self {
        thread_local! {
            static MADE: Cell<u8> = const { Cell::new(0) };
        }
        MADE.set(MADE.get().wrapping_add(1));
        Self::with(Mac([2, 0, 0, 0, 0, MADE.get()]))
    }

    /// A card with the address `mac`.
    pub fn with(mac: Mac) -> Self {
        Self {
            mac,
            arrived: VecDeque::with_capacity(CARD_FRAMES),
            leaving: VecDeque::with_capacity(CARD_FRAMES),
            overruns: Counter::new(),
        }
    }

    /// A frame arrives, if there is room for it.
    pub fn put(&mut self, frame: &[u8], cx: &Context) {
        let room = self.arrived.len() < CARD_FRAMES;
        let packet = if room { cx.packet() } else { None };
        let Some(mut packet) = packet else {
            self.overruns.add(1);
            return;
        };
        if packet.append(frame).is_ok() {
            self.arrived.push_back(packet);
        }
    }

    /// The next frame that was sent.
    pub fn take(&mut self) -> Option<Packet> {
        self.leaving.pop_front()
    }
}

impl Component<()> for Card {
    fn receive(&mut self, (): &mut (), _: &mut Context) {}

    fn deadline(&self) -> Instant {
        if self.arrived.is_empty() { Instant::NEVER } else { Instant::ZERO }
    }
}

impl Inspect for Card {}

impl NicPort for Card {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn recv(&mut self) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        if self.room() == 0 {
            return Err(frame);
        }
        self.leaving.push_back(frame);
        Ok(())
    }

    fn room(&self) -> usize {
        CARD_FRAMES - self.leaving.len()
    }
}

/// Nothing can be set.
#[derive(Debug)]
pub struct ProbeConfig {}

/// Stands on the transports, so that they are in the graph, and does nothing.
#[derive(Debug)]
pub struct Probe;

impl Probe {
    /// It has no state.
    pub fn new(_: &ProbeConfig, _: &mut Context) -> Self {
        Self
    }
}

impl<T: StreamPort, U: UdpPort> Component<(&mut T, &mut U)> for Probe {
    fn receive(&mut self, _: &mut (&mut T, &mut U), _: &mut Context) {}
}

impl Inspect for Probe {}

/// A graph with a [`Card`] at its bottom.
pub trait OnCard: Sweep {
    /// The card.
    fn card(&mut self) -> &mut Card;
}

/// A graph with its surroundings.
pub struct Host<G> {
    /// What it lends to its components.
    pub cx: Context,
    /// The graph.
    pub graph: G,
    /// Allocations in sweeps so far, where [`allocations::Counting`] counts them.
    pub allocations: u64,
}

impl<G: OnCard> Host<G> {
    /// A host with `packets` buffers, brought up at instant zero.
    #[track_caller]
    pub fn new(packets: usize, seed: u8, make: impl FnOnce(&mut Context) -> G) -> Self {
        let mut cx = testing::context(packets, seed);
        let mut graph = make(&mut cx);
        let ready = graph.init(&mut cx);
        assert!(ready.is_ok(), "{ready:?}");
        Self { cx, graph, allocations: 0 }
    }

    /// One sweep at `now`.
    pub fn sweep(&mut self, now: Instant) {
        let (graph, cx) = (&mut self.graph, &mut self.cx);
        cx.set_now(now);
        self.allocations += allocations::counted(|| graph.poll(cx));
    }

    /// One sweep at `now`, if a platform would make one: something has arrived, or is due. So
    /// what a component forgets to say by its deadline stays undone here, too.
    pub fn sweep_if_due(&mut self, now: Instant) {
        if self.graph.deadline() <= now {
            self.sweep(now);
        }
    }

    /// A frame arrives at its card.
    pub fn put(&mut self, frame: &[u8]) {
        self.graph.card().put(frame, &self.cx);
    }

    /// Its counters that are not zero, one a line, for a test that fails.
    pub fn counters(&self) -> String {
        counters(&self.cx)
    }

    /// The counter `name` of the instance `instance`.
    #[track_caller]
    pub fn counter(&self, instance: &str, name: &str) -> u64 {
        counter(&self.cx, instance, name)
    }

    /// Buffers that are not in the pool.
    pub fn buffers_out(&self) -> usize {
        self.cx.pool().count() - self.cx.pool().available()
    }
}

/// The counters of a host that are not zero, one a line, for a test that fails.
pub fn counters(cx: &Context) -> String {
    let system = cx.system();
    let sets = (0..).map_while(|index| system.set(index));
    let lines = sets.flat_map(|(name, set)| {
        let metrics = (0..set.count()).filter_map(|index| set.metric(index));
        metrics.filter(|metric| metric.value != 0).map(move |metric| {
            format!("  {name}.{} = {} {}\n", metric.name, metric.value, metric.unit)
        })
    });
    lines.collect()
}

/// The counter `name` of the instance `instance` of a host.
#[track_caller]
pub fn counter(cx: &Context, instance: &str, name: &str) -> u64 {
    let system = cx.system();
    let mut sets = (0..).map_while(|index| system.set(index));
    let set = sets.find(|(it, _)| *it == instance).map(|(_, set)| set);
    counter_of(set.unwrap_or_else(|| panic!("no instance {instance}")), name)
}

/// The same of an instance's counters. Those of one that a test put into the graph itself are known
/// to nobody else.
#[track_caller]
pub fn counter_of(set: &dyn CounterSet, name: &str) -> u64 {
    let mut metrics = (0..set.count()).filter_map(|at| set.metric(at));
    metrics.find(|metric| metric.name == name).unwrap_or_else(|| panic!("no counter {name}")).value
}

/// Two hosts with a wire between their cards, which takes no time and loses nothing: what a
/// wire does to frames, `netem` does.
pub struct World<A, B> {
    /// One host.
    pub a: Host<A>,
    /// The other.
    pub b: Host<B>,
    /// The time of both.
    pub now: Instant,
    /// Frames that passed the wire, both ways.
    pub carried: u64,
}

impl<A: OnCard, B: OnCard> World<A, B> {
    /// The wire between `a` and `b`.
    pub fn new(a: Host<A>, b: Host<B>) -> Self {
        Self { a, b, now: Instant::ZERO, carried: 0 }
    }

    /// Sweeps both, carries what they sent, and moves time on to when something is due.
    pub fn step(&mut self) {
        self.a.sweep_if_due(self.now);
        self.b.sweep_if_due(self.now);
        let moved = self.carry();
        let due = self.a.graph.deadline().min(self.b.graph.deadline());
        if !moved && due > self.now {
            // At least a nanosecond, at most a second: so a test can look in between.
            let most = self.now + Duration::from_secs(1);
            self.now = due.min(most);
        } else {
            self.now += Duration::from_micros(10);
        }
    }

    /// Steps until `done`; panics when that takes longer than `patience` of virtual time, or
    /// more steps than any test needs.
    #[track_caller]
    pub fn run_until(&mut self, patience: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        const STEPS_MAX: usize = 4_000_000;
        let end = self.now + patience;
        for _ in 0..STEPS_MAX {
            if done(self) {
                return;
            }
            let (now, a, b) = (self.now, &self.a, &self.b);
            assert!(now <= end, "not done at {now}\na:\n{}b:\n{}", a.counters(), b.counters());
            self.step();
        }
        panic!("not done after {STEPS_MAX} steps, at {}", self.now);
    }

    /// Lets `time` pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn carry(&mut self) -> bool {
        let before = self.carried;
        while let Some(frame) = self.a.graph.card().take() {
            self.b.put(frame.bytes());
            self.carried += 1;
        }
        while let Some(frame) = self.b.graph.card().take() {
            self.a.put(frame.bytes());
            self.carried += 1;
        }
        self.carried > before
    }
}
