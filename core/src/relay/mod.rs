//! Relays: the state of a component that stands in the middle of a packet edge.
//!
//! A port's methods touch only the provider, so a component that requires and provides the same
//! port must know by itself what its upper neighbour may ask. A relay does: it has mailboxes both
//! ways, and mirrors what the component below says of itself, refreshed in every half of a sweep.
//! What the component above asks of the one below (claims, configurations, ports to bind) waits
//! for the next [`refresh`](RelayOver::refresh), which is in the same sweep.
//!
//! A component that keeps one lends it by [`Relaying`] and so provides the relay's port; its
//! `receive` moves packets with [`pull`](RelayOver::pull) and [`deliver`](Relay::deliver), its
//! `transmit` with [`take`](Relay::take) and [`hand_down`](RelayOver::hand_down), and does in
//! between what it is there for. Relays can stand on each other.
//!
//! Packets are relayed one by one: a card that cuts segments is not passed on. What a relay
//! mirrors is at most half a sweep old, as it would be on a wire.

mod ip;
mod link;
mod nic;
#[cfg(test)]
mod tests;
mod udp;

pub use ip::IpRelay;
pub use link::LinkRelay;
pub use nic::NicRelay;
pub use udp::UdpRelay;

use crate::{BATCH, Context, CounterSet, Mailbox, Offloads, Packet};

/// Both directions of an edge, as far as it does not matter what is below.
pub trait Relay: Default {
    /// What a packet on its way up is delivered by: an EtherType, a protocol, a socket.
    type Up: Copy;
    /// What a packet on its way down is addressed by.
    type Down: Copy;

    /// Whether [`deliver`](Self::deliver) would take a packet for `to`.
    fn has_room(&self, to: Self::Up) -> bool;

    /// Leaves a packet for the component above. `Err` when there is no room.
    fn deliver(&mut self, to: Self::Up, packet: Packet) -> Result<(), Packet>;

    /// What the component above has sent.
    fn outbox(&mut self) -> &mut Outbox<Self::Down>;

    /// The next packet that the component above has sent.
    #[inline]
    fn take(&mut self) -> Option<(Self::Down, Packet)> {
        self.outbox().queue.pop_front()
    }

    /// Whether nothing waits here, so that no sweep is needed for it.
    fn is_idle(&self) -> bool;

    /// What the relay itself counts.
    fn counters(&self) -> &'static dyn CounterSet {
        &()
    }
}

/// A relay that stands on `Below`.
pub trait RelayOver<Below>: Relay {
    /// Passes on what the component above has asked for, and mirrors what the one below says.
    /// Called first in `init`, `receive` and `transmit`.
    fn refresh(&mut self, below: &mut Below, cx: &mut Context);

    /// The next packet from below that somebody above asks for and has room for.
    fn pull(&mut self, below: &mut Below) -> Option<(Self::Up, Packet)>;

    /// Whether the component below has room for a packet, as far as it says.
    fn room_below(&self, below: &Below) -> bool;

    /// Offers a packet to the component below.
    fn offer(&mut self, below: &mut Below, to: Self::Down, packet: Packet) -> Result<(), Packet>;

    /// Whether [`hand_down`](Self::hand_down) may be called. What was refused before is tried again
    /// first, so that the order stays.
    #[inline]
    fn is_ready(&mut self, below: &mut Below) -> bool {
        if let Some((to, packet)) = self.outbox().refused.take() {
            self.hand_down(below, to, packet);
        }
        self.outbox().refused.is_none() && self.room_below(below)
    }

    /// Hands a packet to the component below, when [`is_ready`](Self::is_ready) has said so. One
    /// that is refused nevertheless waits here.
    #[inline]
    fn hand_down(&mut self, below: &mut Below, to: Self::Down, packet: Packet) {
        if let Err(packet) = self.offer(below, to, packet) {
            self.outbox().refused = Some((to, packet));
        }
    }
}

/// A component that has a relay, and provides its port.
pub trait Relaying {
    /// The relay.
    type Relay: Relay;

    /// The relay, to ask.
    fn relay(&self) -> &Self::Relay;

    /// The relay, to use.
    fn relay_mut(&mut self) -> &mut Self::Relay;
}

/// What a component above has sent. Made by a relay.
#[derive(Debug)]
pub struct Outbox<To> {
    queue: Mailbox<(To, Packet)>,
    /// What the component below did not take although it had said there was room, or cannot say.
    refused: Option<(To, Packet)>,
}

impl<To> Outbox<To> {
    #[inline]
    fn push(&mut self, to: To, packet: Packet) -> Result<(), Packet> {
        self.queue.push_back((to, packet)).map_err(|(_, packet)| packet)
    }

    #[inline]
    fn room(&self) -> usize {
        BATCH - self.queue.len()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.refused.is_none()
    }
}

impl<To> Default for Outbox<To> {
    fn default() -> Self {
        Self { queue: Mailbox::new(), refused: None }
    }
}

/// How many EtherTypes or protocols one component above may ask for.
const LANES: usize = 4;

/// What has arrived, by what the component above asks for. Only that is taken from below: the
/// rest is for others that stand there.
struct Lanes<Key> {
    lanes: heapless::Vec<Lane<Key>, LANES>,
    /// The lane that is pulled into next.
    next: usize,
}

struct Lane<Key> {
    key: Key,
    arrived: Mailbox,
    /// Whether the component below knows that somebody asks.
    asked: bool,
    /// What came when it was told.
    early: Option<Packet>,
}

impl<Key: Copy + PartialEq> Lanes<Key> {
    /// What has arrived for `key`, which is asked for from now on. Nothing ever arrives for the
    /// fifth.
    #[inline]
    fn pop(&mut self, key: Key) -> Option<Packet> {
        match self.find(key) {
            Some(lane) => lane.arrived.pop_front(),
            None => {
                let lane = Lane { key, arrived: Mailbox::new(), asked: false, early: None };
                let _ = self.lanes.push(lane);
                None
            }
        }
    }

    #[inline]
    fn push(&mut self, key: Key, packet: Packet) -> Result<(), Packet> {
        match self.find(key) {
            Some(lane) => lane.arrived.push_back(packet),
            None => Err(packet),
        }
    }

    #[inline]
    fn has_room(&self, key: Key) -> bool {
        self.lanes.iter().any(|lane| lane.key == key && !lane.arrived.is_full())
    }

    fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.arrived.is_empty() && lane.early.is_none())
    }

    /// Tells the component below what is asked for, in the first sweep of that: what nobody asks
    /// for is not kept there for long.
    #[inline]
    fn announce(&mut self, mut recv: impl FnMut(Key) -> Option<Packet>) {
        for lane in self.lanes.iter_mut().filter(|lane| !lane.asked) {
            lane.asked = true;
            lane.early = recv(lane.key);
        }
    }

    /// The next packet for a lane with room, from one lane after the other.
    #[inline]
    fn pull(&mut self, mut recv: impl FnMut(Key) -> Option<Packet>) -> Option<(Key, Packet)> {
        for _ in 0..self.lanes.len() {
            self.next = if self.next + 1 < self.lanes.len() { self.next + 1 } else { 0 };
            let Some(lane) = self.lanes.get_mut(self.next) else { continue };
            if lane.arrived.is_full() {
                continue;
            }
            if let Some(packet) = lane.early.take().or_else(|| recv(lane.key)) {
                return Some((lane.key, packet));
            }
        }
        None
    }

    #[inline]
    fn find(&mut self, key: Key) -> Option<&mut Lane<Key>> {
        self.lanes.iter_mut().find(|lane| lane.key == key)
    }
}

impl<Key> Default for Lanes<Key> {
    fn default() -> Self {
        Self { lanes: heapless::Vec::new(), next: 0 }
    }
}

/// Something that is set or given up, and waits to be passed on: however often that happened, at
/// most once each, giving up first.
struct Wish<T> {
    give_up: bool,
    set: Option<T>,
}

impl<T> Wish<T> {
    fn put(&mut self, value: Option<T>) {
        self.give_up |= value.is_none();
        self.set = value;
    }

    fn is_empty(&self) -> bool {
        !self.give_up && self.set.is_none()
    }

    fn grant(&mut self, mut pass_on: impl FnMut(Option<T>)) {
        if core::mem::take(&mut self.give_up) {
            pass_on(None);
        }
        if let Some(value) = self.set.take() {
            pass_on(Some(value));
        }
    }
}

impl<T> Default for Wish<T> {
    fn default() -> Self {
        Self { give_up: false, set: None }
    }
}

/// What a relay passes on of what the card does itself.
fn one_by_one(offloads: Offloads) -> Offloads {
    Offloads { segmentation: 0, ..offloads }
}
