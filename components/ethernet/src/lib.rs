//! Ethernet II frames and ARP: the link on which IPv4 neighbours have addresses.
//!
//! A frame is checked, its header is stripped in place, and the packet is left in the mailbox of
//! its EtherType. A packet to send gets its header where it stands; where the neighbour's address
//! is not known, it waits, within limits, for ARP to find it out.
//!
//! On several cores that share a card, the first one does the talking: it answers requests, claims
//! and defends. The others hear what it hears, and ask for neighbours themselves.
//!
//! Our own address is announced and used at once, watched, and defended; with `probe` it is asked
//! for first, as RFC 5227 wants it, which takes seconds.
//!
//! Not here: VLAN tags, IEEE 802.2 (LLC) frames, group membership filters (every multicast frame
//! is passed on for IP to decide), IPv6's neighbour discovery, and padding of short frames, which
//! is the card's.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arp;
#[cfg(test)]
mod tests;
mod wire;

use arp::{Arp, Resolved};
use core::net::Ipv4Addr;
use waitless::{
    BATCH, ClaimState, Component, Context, CounterSet, Duration, EtherType, InitError, Inspect,
    Instant, LinkPort, Mac, Mailbox, NextHop, NicPort, Offloads, Packet,
};
use wire::{HEADER, Header, Received, Station};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// How many neighbours' addresses are remembered at most, 1 to 4096.
    pub neighbours: u16,
    /// How many packets wait at most for neighbours whose address is being asked for.
    pub pending: u8,
    /// How long a neighbour's address is trusted after it was heard.
    pub reachable: Duration,
    /// Whether to ask if somebody has an address before it is used (RFC 5227 section 2.1).
    pub probe: bool,
    /// What happens when another host insists on our address.
    pub defend: Defence,
}

/// What happens when another host uses our address again within 10 seconds of our defence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defence {
    /// It is given up (RFC 5227 section 2.4 (b)).
    Once,
    /// It is given up in its first minute, in which a host that has it already is heard, and kept
    /// from then on.
    Settled,
    /// It is kept (RFC 5227 section 2.4 (c)), for a server whose address is well known.
    Always,
}

/// The link on one network card. Provides [`LinkPort`], stands on a [`NicPort`].
pub struct Ethernet {
    arp: Arp,
    /// Packets that have arrived, by EtherType.
    ip4: Mailbox,
    ip6: Mailbox,
    /// Whether somebody above takes IPv6 at all.
    ip6_wanted: bool,
    /// Whole frames on their way to the card.
    down: Mailbox,
    /// The neighbour that was sent to last, with its header. The fast path of sending.
    last: Last,
    now: Instant,
    mac: Mac,
    /// The same, to compare with.
    station: Station,
    mtu: u16,
    offloads: Offloads,
    link_up: bool,
    counters: &'static Counters,
}

struct Last {
    address: Ipv4Addr,
    /// From then on the address has to be looked up again.
    until: Instant,
    header: [u8; HEADER],
}

waitless::counters! {
    /// What the link counts. Frames received are those delivered, those of ARP, and those dropped
    /// for one of the next five reasons.
    pub(crate) struct Counters {
        /// Frames taken from the card.
        counter received: frames,
        /// Packets left for the layer above.
        counter delivered: packets,
        /// Frames too short to have a header.
        counter runts: frames,
        /// Frames for another station.
        counter foreign: frames,
        /// Frames whose source is a group of stations, or ourselves.
        counter bad_source: frames,
        /// Frames of an EtherType that nobody here takes.
        counter unknown_type: frames,
        /// Frames of IEEE 802.2, which say a length where others say a type.
        counter length_frames: frames,
        /// ARP packets that make no sense.
        counter arp_malformed: packets,
        /// ARP packets of our own that came back.
        counter arp_own: packets,
        /// ARP packets in which another station uses or wants our address.
        counter arp_conflicts: packets,
        /// ARP requests for our address.
        counter arp_requests: packets,
        /// Other ARP packets: replies, and what others ask each other.
        counter arp_heard: packets,
        /// ARP requests sent for neighbours.
        counter arp_asked: packets,
        /// ARP probes and announcements of our own address sent.
        counter arp_announced: packets,
        /// Frames given to the card.
        counter sent: frames,
        /// Packets to send that are longer than the link takes.
        counter too_long: packets,
        /// Packets to send, and replies of ARP, for which there was no room.
        counter no_room: packets,
        /// Packets to send while the link was down.
        counter link_down: packets,
        /// Packets to neighbours that do not answer.
        counter unreachable: packets,
        /// Packets that gave way to later ones while their neighbour was asked for.
        counter pending_full: packets,
        /// Packets to neighbours for which the table had no room.
        counter neighbours_full: packets,
        /// Neighbours that are remembered.
        gauge neighbours: stations,
    }
}

impl Ethernet {
    /// A link that knows nobody.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        let counters = Counters::leak();
        Self {
            arp: Arp::new(config, counters),
            ip4: Mailbox::new(),
            ip6: Mailbox::new(),
            ip6_wanted: false,
            down: Mailbox::new(),
            last: Last {
                address: Ipv4Addr::UNSPECIFIED,
                until: Instant::ZERO,
                header: [0; HEADER],
            },
            now: Instant::ZERO,
            mac: Mac::default(),
            station: Station::default(),
            mtu: 0,
            offloads: Offloads::default(),
            link_up: false,
            counters,
        }
    }

    #[inline]
    fn accept(&mut self, mut frame: Packet) {
        self.counters.received.add(1);
        let Some(header) = frame.bytes().first_chunk() else {
            return self.counters.runts.add(1);
        };
        let header = Received::parse(header);
        frame.trim_front(HEADER);
        if header.destination != self.station && !header.destination.is_multicast() {
            return self.counters.foreign.add(1);
        }
        if header.source.is_multicast() || header.source == self.station {
            return self.counters.bad_source.add(1);
        }
        frame.info_mut().mac = header.source.mac();
        frame.info_mut().broadcast = header.destination.is_multicast();
        let mailbox = match header.protocol {
            EtherType::IPV4 => &mut self.ip4,
            EtherType::IPV6 if self.ip6_wanted => &mut self.ip6,
            EtherType::ARP => return self.accept_arp(frame),
            _ if header.is_length() => return self.counters.length_frames.add(1),
            _ => return self.counters.unknown_type.add(1),
        };
        // There is room: `receive` looked.
        let _ = mailbox.push_back(frame);
        self.counters.delivered.add(1);
    }

    fn accept_arp(&mut self, packet: Packet) {
        // What is heard may be news of the neighbour that was sent to last.
        self.last.until = Instant::ZERO;
        if let Some(reply) = self.arp.receive(packet, self.mac, self.now)
            && self.down.push_back(reply).is_err()
        {
            self.counters.no_room.add(1);
        }
        while !self.down.is_full()
            && let Some(frame) = self.arp.answered()
        {
            let _ = self.down.push_back(frame);
        }
    }

    /// Puts the header in front and queues the frame. `send` looked for room.
    #[inline(always)]
    fn enqueue(&mut self, mut packet: Packet, header: [u8; HEADER]) {
        match packet.prepend(header) {
            Ok(()) => drop(self.down.push_back(packet)),
            Err(_) => self.counters.no_room.add(1),
        }
    }

    /// Whether a packet is no longer than the link takes. One that the card cuts up is as long as
    /// its chain.
    #[inline]
    fn fits(&self, packet: &Packet) -> bool {
        packet.info().segment != 0 || packet.chain_len() <= usize::from(self.mtu)
    }

    /// Sends what is not as usual.
    #[inline(never)]
    fn send_elsewhere(
        &mut self,
        protocol: EtherType,
        to: NextHop,
        packet: Packet,
    ) -> Result<(), Packet> {
        if self.down.is_full() {
            return Err(packet);
        }
        if !self.fits(&packet) {
            self.counters.too_long.add(1);
            return Ok(());
        }
        if !self.link_up {
            self.counters.link_down.add(1);
            return Ok(());
        }
        let destination = match to {
            NextHop::Ipv4(address) => {
                self.send_to(protocol, address, packet);
                return Ok(());
            }
            NextHop::Broadcast => Mac::BROADCAST,
            NextHop::Mac(mac) => mac,
        };
        let header = Header { destination, source: self.mac, protocol };
        self.enqueue(packet, header.bytes());
        Ok(())
    }

    /// Sends to a neighbour that is not the last one.
    fn send_to(&mut self, protocol: EtherType, to: Ipv4Addr, mut packet: Packet) {
        let header = |destination| Header { destination, source: self.mac, protocol }.bytes();
        match self.arp.resolve(to, self.now) {
            Resolved::Station(mac, until) => {
                let header = header(mac);
                if protocol == EtherType::IPV4 {
                    self.last = Last { address: to, until, header };
                }
                self.enqueue(packet, header);
            }
            Resolved::Wait(index) => match packet.prepend(header(Mac::default())) {
                Ok(()) => self.arp.wait(index, packet),
                Err(_) => self.counters.no_room.add(1),
            },
            Resolved::Nowhere => {}
        }
    }

    fn watch_link(&mut self, up: bool) {
        if up && !self.link_up {
            self.arp.link_up();
            self.last.until = Instant::ZERO;
        }
        self.link_up = up;
    }
}

impl<N: NicPort> Component<N> for Ethernet {
    fn init(&mut self, nic: &mut N, cx: &mut Context) -> Result<(), InitError> {
        self.now = cx.now();
        self.arp.set_key(cx.random.u32());
        self.mac = nic.mac();
        self.station = Station::of(self.mac);
        self.mtu = nic.mtu();
        self.offloads = nic.offloads();
        self.link_up = nic.link_up();
        if !nic.leads() {
            self.arp.follow();
        }
        // Without a link there may be no card at all: its driver has said so, and the image
        // stays up.
        let missing = self.mac == Mac::default();
        if self.mac.is_multicast() || (missing && self.link_up) {
            return Err(InitError("the network card's address is not one of a single station"));
        }
        Ok(())
    }

    fn receive(&mut self, nic: &mut N, cx: &mut Context) {
        self.now = cx.now();
        self.watch_link(nic.link_up());
        for _ in 0..BATCH {
            if self.ip4.is_full() || self.ip6.is_full() {
                break;
            }
            let Some(frame) = nic.recv() else { break };
            self.accept(frame);
        }
    }

    fn transmit(&mut self, nic: &mut N, cx: &mut Context) {
        self.now = cx.now();
        while !self.link_up && self.down.pop_front().is_some() {
            self.counters.link_down.add(1);
        }
        while let Some(frame) = self.down.pop_front().or_else(|| self.arp.answered()) {
            if let Err(frame) = nic.send(frame) {
                let _ = self.down.push_front(frame);
                return;
            }
            self.counters.sent.add(1);
        }
        if self.now < self.arp.deadline() || !self.link_up {
            return;
        }
        for _ in 0..BATCH {
            let Some(frame) = self.arp.due(self.mac, nic.room() > 0, cx) else { break };
            match nic.send(frame) {
                Ok(()) => self.counters.sent.add(1),
                Err(_) => self.counters.no_room.add(1),
            }
        }
        self.counters.neighbours.set(self.arp.neighbours() as u64);
    }

    fn deadline(&self) -> Instant {
        let idle = self.down.is_empty() && self.ip4.is_empty() && self.ip6.is_empty();
        match (idle, self.link_up) {
            (false, _) => Instant::ZERO,
            (true, true) => self.arp.deadline(),
            (true, false) => Instant::NEVER,
        }
    }
}

impl LinkPort for Ethernet {
    #[inline]
    fn mac(&self) -> Mac {
        self.mac
    }

    #[inline]
    fn mtu(&self) -> u16 {
        self.mtu
    }

    #[inline]
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    #[inline]
    fn link_up(&self) -> bool {
        self.link_up
    }

    fn leads(&self) -> bool {
        self.arp.leads()
    }

    fn claim(&mut self, address: Option<Ipv4Addr>) {
        self.arp.claim(address);
    }

    fn claim_state(&self) -> ClaimState {
        self.arp.claim_state()
    }

    #[inline]
    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        match protocol {
            EtherType::IPV4 => self.ip4.pop_front(),
            EtherType::IPV6 => {
                self.ip6_wanted = true;
                self.ip6.pop_front()
            }
            _ => None,
        }
    }

    #[inline]
    fn send(&mut self, protocol: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        // The usual case, seen first: IPv4 again, to the neighbour that was sent to last.
        if let NextHop::Ipv4(address) = to
            && address == self.last.address
            && self.now < self.last.until
            && protocol == EtherType::IPV4
            && !self.down.is_full()
            && self.link_up
            && self.fits(&packet)
        {
            self.enqueue(packet, self.last.header);
            return Ok(());
        }
        self.send_elsewhere(protocol, to, packet)
    }

    #[inline]
    fn room(&self) -> usize {
        self.down.room()
    }
}

impl Inspect for Ethernet {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
