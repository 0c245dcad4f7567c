//! A virtual LAN on a network card (IEEE 802.1Q): frames get its tag on their way down, and those
//! that have it lose it on their way up. What stands above sees a network of its own.
//!
//! It goes into the edge between a card and what stands on that: `under = "eth"`. The tag takes
//! four bytes beside the frame's own, as every card and switch that knows of tags allows for, so
//! what stands above may send packets as long as before.
//!
//! Not here: several virtual LANs on one card, frames with a tag that only says a priority, and
//! tags within tags (IEEE 802.1ad), which are all dropped and counted.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
mod tests;

use waitless::relay::{NicRelay, Relay, RelayOver, Relaying};
use waitless::{BATCH, Component, Context, CounterSet, InitError, Inspect, Instant, Packet};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// The virtual LAN's number, 1 to 4094.
    pub id: u16,
    /// The priority of frames that are sent, 0 to 7.
    pub priority: u8,
}

/// The virtual LAN. Provides a `NicPort`, stands on one.
pub struct Vlan {
    relay: NicRelay,
    config: &'static Config,
    counters: &'static Counters,
}

waitless::counters! {
    /// What happened to frames.
    pub(crate) struct Counters {
        /// Frames with the tag that arrived.
        counter received: frames,
        /// Frames that arrived without a tag.
        counter untagged: frames,
        /// Frames that arrived with the tag of another virtual LAN.
        counter foreign: frames,
        /// Frames that were sent with the tag.
        counter sent: frames,
        /// Frames to send that are too short, or have no room for a tag.
        counter no_room: frames,
    }
}

/// Bytes of both addresses, behind which the tag stands.
const ADDRESSES: usize = 12;

/// Bytes of the tag.
const TAG: usize = 4;

/// What stands in a tag before its number (IEEE 802.1Q table 9-1).
const TYPE: [u8; 2] = [0x81, 0x00];

/// The number in the last two bytes of a tag.
const NUMBER: u16 = 0x0fff;

impl Vlan {
    /// The virtual LAN that `config` names.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self { relay: NicRelay::default(), config, counters: Counters::leak() }
    }

    /// The frame without the tag; `None`, counted, when it does not have ours.
    fn untagged(&self, mut frame: Packet) -> Option<Packet> {
        let head = frame.bytes().first_chunk::<{ ADDRESSES + TAG }>().copied();
        let Some([addresses @ .., t0, t1, n0, n1]) = head else {
            self.counters.untagged.add(1);
            return None;
        };
        if [t0, t1] != TYPE {
            self.counters.untagged.add(1);
            return None;
        }
        if u16::from_be_bytes([n0, n1]) & NUMBER != self.config.id {
            self.counters.foreign.add(1);
            return None;
        }
        frame.trim_front(TAG);
        *frame.bytes_mut().first_chunk_mut::<ADDRESSES>()? = addresses;
        self.counters.received.add(1);
        Some(frame)
    }

    /// The frame with the tag; `None`, counted, when there is no room for it.
    fn tagged(&self, mut frame: Packet) -> Option<Packet> {
        let addresses = frame.strip::<ADDRESSES>();
        let number = self.config.id & NUMBER | u16::from(self.config.priority) << 13;
        let [n0, n1] = number.to_be_bytes();
        let [t0, t1] = TYPE;
        let tagged = addresses.is_some_and(|addresses| {
            frame.prepend([t0, t1, n0, n1]).and_then(|()| frame.prepend(addresses)).is_ok()
        });
        let counter = if tagged { &self.counters.sent } else { &self.counters.no_room };
        counter.add(1);
        tagged.then_some(frame)
    }
}

impl<Below> Component<Below> for Vlan
where
    NicRelay: RelayOver<Below>,
{
    fn init(&mut self, below: &mut Below, cx: &mut Context) -> Result<(), InitError> {
        self.relay.refresh(below, cx);
        Ok(())
    }

    fn receive(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        for _ in 0..BATCH {
            if !self.relay.has_room(()) {
                break;
            }
            let Some(((), frame)) = self.relay.pull(below) else { break };
            if let Some(frame) = self.untagged(frame) {
                // There is room: it was just looked at.
                let _ = self.relay.deliver((), frame);
            }
        }
    }

    fn transmit(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        while self.relay.is_ready(below)
            && let Some(((), frame)) = self.relay.take()
        {
            if let Some(frame) = self.tagged(frame) {
                self.relay.hand_down(below, (), frame);
            }
        }
    }

    fn deadline(&self) -> Instant {
        if self.relay.is_idle() { Instant::NEVER } else { Instant::ZERO }
    }
}

impl Relaying for Vlan {
    type Relay = NicRelay;

    #[inline]
    fn relay(&self) -> &NicRelay {
        &self.relay
    }

    #[inline]
    fn relay_mut(&mut self) -> &mut NicRelay {
        &mut self.relay
    }
}

impl Inspect for Vlan {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
