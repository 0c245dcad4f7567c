//! Makes a packet edge lossy, slow and unfaithful, the same way each time.
//!
//! Netem goes into any edge through which packets pass: one table in the manifest with `under`.
//! It is [`Netem`] above a network card, [`NetemLink`] between Ethernet and IP, [`NetemIp`]
//! between IP and one transport, [`NetemUdp`] between UDP and one service. It loses, duplicates,
//! corrupts, delays, holds back and slows down packets, each way by the same [`Config`]. Two
//! instances on one edge, with different [`Direction`]s, make a path that differs each way.
//!
//! - **It replays.** All chance comes from the instance's own `seed`, each way from a generator
//!   of its own, so what one direction suffers does not depend on the other's traffic.
//! - **It is honest.** Whatever it did to a packet is counted, and a packet it corrupted is no
//!   longer marked as checked; a checksum left to the device is completed before a bit flips, so
//!   that the device cannot make the damage good. Above UDP nothing is left that would notice.
//! - **It is bounded.** What exceeds `limit` packets is dropped and counted, as a router does.
//!   A neighbour without room is waited for, and causes no loss.
//!
//! The impairments are a type of their own ([`Line`]), which knows no port; the rest is a
//! [relay](waitless::relay). Packets go one by one, so a card that cuts segments is not passed
//! on, and `rate` counts the bytes that pass this edge. Bursts of loss that depend on each other
//! (Gilbert and Elliott's model) are not made.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod line;
#[cfg(test)]
mod tests;

pub use line::{Line, LineCounters};

use waitless::counter::{Both, leak};
use waitless::relay::{IpRelay, LinkRelay, NicRelay, Relay, RelayOver, Relaying, UdpRelay};
use waitless::{BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant};

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

/// A bad path in the edge that `R` relays.
pub struct NetemOn<R: Relay> {
    relay: R,
    up: Line<R::Up>,
    down: Line<R::Down>,
    counters: &'static dyn CounterSet,
}

/// Between a network card and what stands on it.
pub type Netem = NetemOn<NicRelay>;
/// Between a link and what stands on it.
pub type NetemLink = NetemOn<LinkRelay>;
/// Between an IP layer and what stands on it.
pub type NetemIp = NetemOn<IpRelay>;
/// Between UDP and what stands on it.
pub type NetemUdp = NetemOn<UdpRelay>;

impl<R: Relay> NetemOn<R> {
    /// A path that treats packets as `config` says.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        let (relay, counters) = (R::default(), Counters::leak());
        let clean = Config { limit: config.limit, ..Config::CLEAN };
        let (up, down) = match config.direction {
            Direction::Both => (*config, *config),
            Direction::Receive => (*config, clean),
            Direction::Transmit => (clean, *config),
        };
        Self {
            up: Line::new(up, b"up", counters.up()),
            down: Line::new(down, b"down", counters.down()),
            counters: leak(Both(counters, relay.counters())),
            relay,
        }
    }

    /// Moves what is due from the line to the component above, as far as there is room.
    fn deliver(&mut self, now: Instant) {
        while let Some(to) = self.up.due(now)
            && self.relay.has_room(to)
            && let Some((to, packet)) = self.up.pop(now)
        {
            // The relay was just seen to have room.
            let _ = self.relay.deliver(to, packet);
        }
    }

    /// Hands what is due to the component below, as far as it has room.
    fn depart<Below>(&mut self, below: &mut Below, now: Instant)
    where
        R: RelayOver<Below>,
    {
        while self.relay.is_ready(below)
            && let Some((to, packet)) = self.down.pop(now)
        {
            self.relay.hand_down(below, to, packet);
        }
    }
}

impl<R: RelayOver<Below>, Below> Component<Below> for NetemOn<R> {
    fn init(&mut self, below: &mut Below, cx: &mut Context) -> Result<(), InitError> {
        self.relay.refresh(below, cx);
        Ok(())
    }

    fn receive(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        self.deliver(cx.now());
        for _ in 0..BATCH {
            // What is due and cannot leave means that the component above has no room: pulling
            // more would turn back-pressure into loss.
            if self.up.due(cx.now()).is_some() {
                break;
            }
            let Some((to, packet)) = self.relay.pull(below) else { break };
            self.up.push(to, packet, cx.now());
            self.deliver(cx.now());
        }
    }

    fn transmit(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        self.depart(below, cx.now());
        // As in `receive`, what is due and still here means that there is no room.
        while self.down.due(cx.now()).is_none()
            && let Some((to, packet)) = self.relay.take()
        {
            self.down.push(to, packet, cx.now());
            self.depart(below, cx.now());
        }
    }

    fn deadline(&self) -> Instant {
        if !self.relay.is_idle() {
            return Instant::ZERO;
        }
        self.up.deadline().min(self.down.deadline())
    }
}

impl<R: Relay> Relaying for NetemOn<R> {
    type Relay = R;

    #[inline]
    fn relay(&self) -> &R {
        &self.relay
    }

    #[inline]
    fn relay_mut(&mut self) -> &mut R {
        &mut self.relay
    }
}

impl<R: Relay> Inspect for NetemOn<R> {
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
    }
}

impl Counters {
    fn up(&'static self) -> LineCounters {
        LineCounters {
            seen: &self.receive_seen,
            lost: &self.receive_lost,
            duplicated: &self.receive_duplicated,
            corrupted: &self.receive_corrupted,
            reordered: &self.receive_reordered,
            overflowed: &self.receive_overflowed,
            not_copied: &self.receive_not_copied,
            under_way: &self.receive_under_way,
        }
    }

    fn down(&'static self) -> LineCounters {
        LineCounters {
            seen: &self.transmit_seen,
            lost: &self.transmit_lost,
            duplicated: &self.transmit_duplicated,
            corrupted: &self.transmit_corrupted,
            reordered: &self.transmit_reordered,
            overflowed: &self.transmit_overflowed,
            not_copied: &self.transmit_not_copied,
            under_way: &self.transmit_under_way,
        }
    }
}
