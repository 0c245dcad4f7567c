//! Makes a packet edge lossy, slow and unfaithful, the same way each time.
//!
//! [`Netem`] goes between a network card and what stands on it: one table in the manifest with
//! `under`. It loses, duplicates, corrupts, delays, holds back and slows down packets, each way
//! by the same [`Config`]. Two instances on one edge, with different [`Direction`]s, make a path
//! that differs each way.
//!
//! - **It replays.** All chance comes from the instance's own `seed`, each way from a generator
//!   of its own, so what one direction suffers does not depend on the other's traffic.
//! - **It is honest.** Whatever it did to a packet is counted, and a packet it corrupted is no
//!   longer marked as checked; a checksum left to the device is completed before a bit flips, so
//!   that the device cannot make the damage good.
//! - **It is bounded.** What exceeds `limit` packets is dropped and counted, as a router does.
//!   A neighbour without room is waited for, and causes no loss.
//!
//! The impairments are a type of their own ([`Line`]), which knows no port. A card that cuts
//! segments is not passed on: each frame here is one frame on the wire. Bursts of loss that
//! depend on each other (Gilbert and Elliott's model) are not made.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod line;
#[cfg(test)]
mod tests;

pub use line::{Line, LineCounters};

use waitless::{
    BATCH, Component, Context, Counter, CounterSet, Duration, InitError, Inspect, Instant, Mac,
    Mailbox, NicPort, Offloads, Packet,
};

/// What happens to packets. Shares are in packets of a thousand, 0 to 1000.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which packets suffer.
    pub direction: Direction,
    /// How many are lost.
    pub loss: u16,
    /// How many arrive twice.
    pub duplicate: u16,
    /// Of how many one bit is flipped.
    pub corrupt: u16,
    /// How many are held back by `reorder_by`, so that later ones overtake them.
    pub reorder: u16,
    /// How long such a packet is held back.
    pub reorder_by: Duration,
    /// How long every packet takes.
    pub delay: Duration,
    /// The most that is added to `delay`, evenly spread; it never changes the order.
    pub jitter: Duration,
    /// Bits that pass in a second.
    pub rate: Option<u64>,
    /// Packets that may be under way each way.
    pub limit: u32,
    /// Decides every throw of the dice.
    pub seed: u64,
}

impl Config {
    /// Nothing happens to any packet. The start of a test's own:
    /// `Config { loss: 20, ..Config::CLEAN }`.
    pub const CLEAN: Self = Self {
        direction: Direction::Both,
        loss: 0,
        duplicate: 0,
        corrupt: 0,
        reorder: 0,
        reorder_by: Duration::from_millis(5),
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        rate: None,
        limit: 1_000,
        seed: 1,
    };
}

/// Which packets suffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// All.
    #[default]
    Both,
    /// Those on their way up.
    Receive,
    /// Those on their way down.
    Transmit,
}

/// A bad cable between a card and what stands on it.
pub struct Netem {
    up: Line,
    /// What has come out of the line and waits for the component above.
    arrived: Mailbox,
    /// What the component above sent and no sweep has put on the line yet.
    leaving: Mailbox,
    down: Line,
    /// What the card said of itself when it was last seen.
    card: Card,
    counters: &'static Counters,
}

#[derive(Clone, Copy, Default)]
struct Card {
    mac: Mac,
    mtu: u16,
    checksum: bool,
    link_up: bool,
}

impl Netem {
    /// A cable that treats packets as `config` says.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        let counters = Counters::leak();
        let (up, down) = lines(config, counters);
        Self {
            up,
            arrived: Mailbox::new(),
            leaving: Mailbox::new(),
            down,
            card: Card::default(),
            counters,
        }
    }

    /// Moves what is due from the line to the mailbox, as far as there is room.
    fn deliver(&mut self, now: Instant) {
        while !self.arrived.is_full()
            && let Some(packet) = self.up.pop(now)
        {
            // The mailbox was just seen to have room.
            let _ = self.arrived.push_back(packet);
        }
    }

    /// Hands what is due to the card, as far as it has room.
    fn depart<N: NicPort>(&mut self, below: &mut N, now: Instant) {
        while below.room() > 0
            && let Some(packet) = self.down.pop(now)
        {
            if below.send(packet).is_err() {
                self.counters.refused.add(1);
            }
        }
    }
}

impl<N: NicPort> Component<N> for Netem {
    fn init(&mut self, below: &mut N, _: &mut Context) -> Result<(), InitError> {
        self.card = Card {
            mac: below.mac(),
            mtu: below.mtu(),
            checksum: below.offloads().checksum,
            link_up: below.link_up(),
        };
        Ok(())
    }

    fn receive(&mut self, below: &mut N, cx: &mut Context) {
        self.card.link_up = below.link_up();
        self.deliver(cx.now());
        for _ in 0..BATCH {
            // What is due and cannot leave means that the component above has no room: pulling
            // more would turn back-pressure into loss.
            if self.up.is_due(cx.now()) {
                break;
            }
            let Some(packet) = below.recv() else { break };
            self.up.push(packet, cx.now());
            self.deliver(cx.now());
        }
    }

    fn transmit(&mut self, below: &mut N, cx: &mut Context) {
        self.depart(below, cx.now());
        // As in `receive`, what is due and still here means that there is no room.
        while !self.down.is_due(cx.now())
            && let Some(packet) = self.leaving.pop_front()
        {
            self.down.push(packet, cx.now());
            self.depart(below, cx.now());
        }
    }

    fn deadline(&self) -> Instant {
        if !self.arrived.is_empty() || !self.leaving.is_empty() {
            return Instant::ZERO;
        }
        self.up.deadline().min(self.down.deadline())
    }
}

impl NicPort for Netem {
    fn mac(&self) -> Mac {
        self.card.mac
    }

    fn mtu(&self) -> u16 {
        self.card.mtu
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: self.card.checksum, segmentation: 0 }
    }

    fn link_up(&self) -> bool {
        self.card.link_up
    }

    #[inline]
    fn recv(&mut self) -> Option<Packet> {
        self.arrived.pop_front()
    }

    #[inline]
    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        self.leaving.push_back(frame)
    }

    #[inline]
    fn room(&self) -> usize {
        BATCH - self.leaving.len()
    }
}

impl Inspect for Netem {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

waitless::counters! {
    /// What happened to packets, each way.
    struct Counters {
        /// Packets that arrived from below.
        counter receive_seen: packets,
        /// Packets on their way up that were lost on purpose.
        counter receive_lost: packets,
        /// Packets on their way up that were doubled on purpose.
        counter receive_duplicated: packets,
        /// Packets on their way up of which a bit was flipped on purpose.
        counter receive_corrupted: packets,
        /// Packets on their way up that were held back on purpose.
        counter receive_reordered: packets,
        /// Packets on their way up that were dropped because `limit` were under way.
        counter receive_overflowed: packets,
        /// Packets on their way up spared for want of a buffer for a copy.
        counter receive_not_copied: packets,
        /// Packets under way up.
        gauge receive_under_way: packets,
        /// Packets that were sent from above.
        counter transmit_seen: packets,
        /// Packets on their way down that were lost on purpose.
        counter transmit_lost: packets,
        /// Packets on their way down that were doubled on purpose.
        counter transmit_duplicated: packets,
        /// Packets on their way down of which a bit was flipped on purpose.
        counter transmit_corrupted: packets,
        /// Packets on their way down that were held back on purpose.
        counter transmit_reordered: packets,
        /// Packets on their way down that were dropped because `limit` were under way.
        counter transmit_overflowed: packets,
        /// Packets on their way down spared for want of a buffer for a copy.
        counter transmit_not_copied: packets,
        /// Packets under way down.
        gauge transmit_under_way: packets,
        /// Packets that the component below refused although it had said there was room.
        counter refused: packets,
    }
}

/// The lines up and down that `config` asks for.
fn lines(config: &Config, counters: &'static Counters) -> (Line, Line) {
    let clean = Config { limit: config.limit, ..Config::CLEAN };
    let (up, down) = match config.direction {
        Direction::Both => (*config, *config),
        Direction::Receive => (*config, clean),
        Direction::Transmit => (clean, *config),
    };
    let tally = |all: [&'static Counter; 8]| LineCounters {
        seen: all[0],
        lost: all[1],
        duplicated: all[2],
        corrupted: all[3],
        reordered: all[4],
        overflowed: all[5],
        not_copied: all[6],
        under_way: all[7],
    };
    let up_tally = tally([
        &counters.receive_seen,
        &counters.receive_lost,
        &counters.receive_duplicated,
        &counters.receive_corrupted,
        &counters.receive_reordered,
        &counters.receive_overflowed,
        &counters.receive_not_copied,
        &counters.receive_under_way,
    ]);
    let down_tally = tally([
        &counters.transmit_seen,
        &counters.transmit_lost,
        &counters.transmit_duplicated,
        &counters.transmit_corrupted,
        &counters.transmit_reordered,
        &counters.transmit_overflowed,
        &counters.transmit_not_copied,
        &counters.transmit_under_way,
    ]);
    (Line::new(up, b"up", up_tally), Line::new(down, b"down", down_tally))
}
