//! ARP (RFC 826, RFC 1122 section 2.3.2, RFC 5227): who answers for which address, packets that
//! wait for the answer, and the claim to our own address.

mod cache;
mod claim;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use crate::wire::Header;
use crate::{Config, Counters};
use alloc::vec::Vec;
use cache::{Cache, Due, Index, Lookup};
use claim::{Call, Claim};
use core::net::Ipv4Addr;
use waitless::{ClaimState, Context, Counter, EtherType, Instant, Mac, Packet, Random};
use wire::{LENGTH, Message, Operation};

/// Requests that go out before a neighbour counts as unreachable.
const TRIES: u8 = 3;

/// Packets that wait for one neighbour at most (RFC 1122 section 2.3.2.2 wants at least one).
const PENDING_EACH: u8 = 8;

/// The neighbours and the claim of one link.
pub(crate) struct Arp {
    cache: Cache,
    claim: Claim,
    /// Whole frames, oldest first, but for the destination.
    pending: Vec<(Index, Packet)>,
    pending_limit: usize,
    /// Whether some of them may have a neighbour that has answered.
    answered: bool,
    counters: &'static Counters,
}

/// Where a packet to a neighbour goes.
pub(crate) enum Resolved {
    /// To this station; the answer holds until then.
    Station(Mac, Instant),
    /// To the ones that wait: see [`Arp::wait`].
    Wait(Index),
    /// Nowhere, as counted.
    Nowhere,
}

impl Arp {
    pub fn new(config: &Config, counters: &'static Counters) -> Self {
        let pending_limit = usize::from(config.pending.max(1));
        Self {
            cache: Cache::new(usize::from(config.neighbours), config.reachable, 0),
            claim: Claim::new(config.probe, config.defend),
            pending: Vec::with_capacity(pending_limit),
            pending_limit,
            answered: false,
            counters,
        }
    }

    /// Mixes `key` into where the table, which is empty, keeps an address.
    pub fn set_key(&mut self, key: u32) {
        self.cache.set_key(key);
    }

    /// Finds the station of `address`, and starts to ask for it where needed.
    pub fn resolve(&mut self, address: Ipv4Addr, now: Instant) -> Resolved {
        match self.cache.lookup(address, now) {
            Lookup::Known(mac, until) => Resolved::Station(mac, until),
            Lookup::Unknown(index) => Resolved::Wait(index),
            Lookup::Unreachable => {
                self.counters.unreachable.add(1);
                Resolved::Nowhere
            }
            Lookup::Full => {
                self.counters.neighbours_full.add(1);
                Resolved::Nowhere
            }
        }
    }

    /// Keeps a frame until its neighbour answers.
    //= RFC 1122 2.3.2.2: the latest are kept
    pub fn wait(&mut self, index: Index, frame: Packet) {
        let waiting = self.cache.pending(index).map_or(0, |count| *count);
        if waiting == 0 {
            // What is left waited for one that this has taken the place of.
            self.give_up(index, &self.counters.neighbours_full);
        }
        let oldest = if waiting >= PENDING_EACH {
            self.pending.iter().position(|(other, _)| *other == index)
        } else {
            (self.pending.len() >= self.pending_limit).then_some(0)
        };
        if let Some(at) = oldest {
            let (other, _) = self.remove(at);
            debug_assert!(waiting < PENDING_EACH || other == index);
            self.counters.pending_full.add(1);
        }
        if let Some(count) = self.cache.pending(index) {
            *count += 1;
            self.pending.push((index, frame));
        }
    }

    /// The next frame whose neighbour has answered, complete.
    pub fn answered(&mut self) -> Option<Packet> {
        if !self.answered {
            return None;
        }
        let stations = self.pending.iter().map(|(index, _)| self.cache.station(*index));
        let Some((at, Mac(to))) = stations.enumerate().find_map(|(at, mac)| Some((at, mac?)))
        else {
            self.answered = false;
            return None;
        };
        let (_, mut frame) = self.remove(at);
        if let Some(destination) = frame.bytes_mut().first_chunk_mut::<6>() {
            *destination = to;
        }
        Some(frame)
    }

    /// Takes a packet that has arrived, its Ethernet header stripped. What comes back is the
    /// reply, as a frame.
    pub fn receive(&mut self, mut packet: Packet, own: Mac, now: Instant) -> Option<Packet> {
        let Some(message) = Message::parse(packet.bytes()) else {
            self.counters.arp_malformed.add(1);
            return None;
        };
        if message.sender_mac == own {
            self.counters.arp_own.add(1);
            return None;
        }
        let to_us = self.claim.owned() == Some(message.target);
        if self.conflicts(&message) {
            self.counters.arp_conflicts.add(1);
            self.claim.conflict(message.sender_mac, now);
            return None;
        }
        if !message.sender.is_unspecified() {
            let (sender, mac) = (message.sender, message.sender_mac);
            let waited_for = self.cache.heard(sender, mac, to_us, now);
            self.answered |= waited_for.is_some();
        }
        if !to_us || message.operation == Operation::Reply || self.claim.follows() {
            self.counters.arp_heard.add(1);
            return None;
        }
        self.counters.arp_requests.add(1);
        packet.truncate(0);
        let reply = Message {
            operation: Operation::Reply,
            sender_mac: own,
            sender: message.target,
            target_mac: message.sender_mac,
            target: message.sender,
        };
        self.frame(packet, reply, message.sender_mac)
    }

    /// Does what is due: gives the next frame to send. `room` says whether one can be sent now.
    pub fn due(&mut self, own: Mac, room: bool, cx: &mut Context) -> Option<Packet> {
        let now = cx.now();
        let send = room && cx.pool().available() > 0;
        if send && let Some(call) = self.call(now, &mut cx.random) {
            self.counters.arp_announced.add(1);
            let (sender, target) = match call {
                Call::Probe(address) => (Ipv4Addr::UNSPECIFIED, address),
                Call::Announce(address) => (address, address),
            };
            return self.request(own, sender, target, Mac::BROADCAST, cx);
        }
        // Bounded: what failed does not fail again.
        while let Some(due) = self.cache.due(now, send) {
            let (target, to) = match due {
                Due::Broadcast(target) => (target, Mac::BROADCAST),
                Due::Unicast(target, mac) => (target, mac),
                Due::Failed(index) => {
                    self.give_up(index, &self.counters.unreachable);
                    continue;
                }
            };
            self.counters.arp_asked.add(1);
            // A host without an address asks as a probe does, so that nobody learns from it.
            let sender = self.claim.owned().unwrap_or(Ipv4Addr::UNSPECIFIED);
            return self.request(own, sender, target, to, cx);
        }
        None
    }

    /// Claims another address.
    pub fn claim(&mut self, address: Option<Ipv4Addr>) {
        self.claim.set(address);
    }

    /// Another core answers and speaks for this host; this one only asks and listens.
    pub fn follow(&mut self) {
        self.claim.follow();
    }

    /// Whether this core speaks for the host.
    pub fn leads(&self) -> bool {
        !self.claim.follows()
    }

    pub fn claim_state(&self) -> ClaimState {
        self.claim.state()
    }

    /// The link is up again, and may be another.
    pub fn link_up(&mut self) {
        self.claim.link_up();
        self.cache.age();
    }

    /// When [`due`](Self::due) next has something to do.
    pub fn deadline(&self) -> Instant {
        self.cache.deadline().min(self.claim.deadline())
    }

    /// How many neighbours are remembered.
    pub fn neighbours(&self) -> usize {
        self.cache.len()
    }

    /// How many frames wait for their neighbour.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    fn call(&mut self, now: Instant, random: &mut Random) -> Option<Call> {
        if now < self.claim.deadline() { None } else { self.claim.due(now, random) }
    }

    /// Whether another station uses our address, or asks for it while we do.
    fn conflicts(&self, message: &Message) -> bool {
        //= RFC 5227 2.1.1: who has it, or wants it at the same time
        let Some(watched) = self.claim.watched() else { return false };
        let probes = message.sender.is_unspecified()
            && message.operation == Operation::Request
            && message.target == watched
            && self.claim.owned().is_none();
        message.sender == watched || probes
    }

    fn give_up(&mut self, index: Index, why: &Counter) {
        while let Some(at) = self.pending.iter().position(|(other, _)| *other == index) {
            drop(self.remove(at));
            why.add(1);
        }
    }

    fn remove(&mut self, at: usize) -> (Index, Packet) {
        let (index, frame) = self.pending.remove(at);
        if let Some(count) = self.cache.pending(index) {
            *count = count.saturating_sub(1);
        }
        (index, frame)
    }

    fn request(
        &mut self,
        own: Mac,
        sender: Ipv4Addr,
        target: Ipv4Addr,
        to: Mac,
        cx: &Context,
    ) -> Option<Packet> {
        let message = Message {
            operation: Operation::Request,
            sender_mac: own,
            sender,
            target_mac: Mac::default(),
            target,
        };
        self.frame(cx.packet()?, message, to)
    }

    /// `packet`, which is empty, as a frame with `message`.
    fn frame(&self, mut packet: Packet, message: Message, to: Mac) -> Option<Packet> {
        let header =
            Header { destination: to, source: message.sender_mac, protocol: EtherType::ARP };
        let room = packet.tailroom() >= LENGTH;
        let written = room
            && packet.append(&message.bytes()).is_ok()
            && packet.prepend(header.bytes()).is_ok();
        if !written {
            self.counters.no_room.add(1);
        }
        written.then_some(packet)
    }
}
