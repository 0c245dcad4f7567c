//! Hosts on a wire in virtual time: nothing waits, and the same seed gives the same run.

use std::collections::VecDeque;
use waitless::testing;
use waitless::{
    Component, Context, Counter, Duration, Inspect, Instant, Mac, NicPort, Packet, Sweep,
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

impl Card {
    /// A card with the address `mac`.
    pub fn new(mac: Mac) -> Self {
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
}

impl<G: OnCard> Host<G> {
    /// A host with `packets` buffers, brought up at instant zero.
    #[track_caller]
    pub fn new(packets: usize, seed: u8, make: impl FnOnce(&mut Context) -> G) -> Self {
        let mut cx = testing::context(packets, seed);
        let mut graph = make(&mut cx);
        let ready = graph.init(&mut cx);
        assert!(ready.is_ok(), "{ready:?}");
        Self { cx, graph }
    }

    /// One sweep at `now`.
    pub fn sweep(&mut self, now: Instant) {
        self.cx.set_now(now);
        self.graph.poll(&mut self.cx);
    }

    /// A frame arrives at its card.
    pub fn put(&mut self, frame: &[u8]) {
        self.graph.card().put(frame, &self.cx);
    }

    /// Buffers that are not in the pool.
    pub fn buffers_out(&self) -> usize {
        self.cx.pool().count() - self.cx.pool().available()
    }
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
        self.a.sweep(self.now);
        self.b.sweep(self.now);
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
            assert!(self.now <= end, "not done at {}", self.now);
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
