//! Forwards packets between the IP layers of a router (RFC 1812, RFC 8200).
//!
//! It stands on two to four layers, of one version of IP or of both, beside the transports. A
//! packet that arrives for this host goes up to them as on any host; one for somebody else comes
//! here, and goes out of the layer with the most specific route:
//!
//! ```toml
//! [forward]
//! on = ["wan4", "lan4"]
//! ```
//!
//! Its TTL or hop limit is decremented, and IPv4's checksum adjusted, not computed anew. One that
//! is too long for the next link is cut into fragments where it may be, as none of IPv6 may, and
//! answered with the link's MTU where it may not. What cannot be forwarded is answered by the
//! `icmp` or `icmp6` of the layer where it came in.
//!
//! A layer on an edge of its own (`netem` between this and a layer) would hide what passes, so
//! there may be none: what should see the packets goes below the layers.
//!
//! Not here: protocols that find routes, redirects, multicast, options that record the route, and
//! several cores.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod fragment;
mod layers;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use fragment::Fragments;
use layers::Layers;
use waitless::checksum::adjusted;
use waitless::{
    BATCH, Component, Context, CounterSet, InitError, Inspect, Instant, Packet, Reject,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// Whether a packet must come from where one to its source would go.
    pub reverse_path: bool,
}

/// A router between IP layers. Stands on two to four `IpPort`s.
pub struct Forward {
    config: &'static Config,
    counters: &'static Counters,
}

waitless::counters! {
    /// What the router counts. Packets taken are those of the other counters up to `congested`.
    pub(crate) struct Counters {
        /// Packets taken from a layer.
        counter taken: packets,
        /// Packets forwarded whole.
        counter forwarded: packets,
        /// Packets forwarded in fragments.
        counter fragmented: packets,
        /// Packets that did not come from where one to their source would go.
        counter reverse_path: packets,
        /// Packets to everybody in a network.
        counter broadcasts: packets,
        /// Packets whose time to live, or hop limit, was over.
        counter expired: packets,
        /// Packets to where no route leads.
        counter no_route: packets,
        /// Packets to an address of this router on another side.
        counter prohibited: packets,
        /// Packets of IPv6 that came back, as their next hop does not answer.
        counter unanswered: packets,
        /// Packets longer than the next link takes that must not be fragmented.
        counter too_big: packets,
        /// Packets for which there was no room on the way out, or no buffer for a fragment.
        counter congested: packets,
        /// Fragments made.
        counter fragments: packets,
    }
}

/// Bytes of IPv4's header without options, and where in it fields stand.
const HEADER: usize = 20;
const FLAGS: usize = 6;
const TTL: usize = 8;
const CHECKSUM: usize = 10;

/// Where IPv6's header has the hop limit.
const HOPS: usize = 7;

const DONT_FRAGMENT: u8 = 0x40;

impl Forward {
    /// A router that has forwarded nothing yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self { config, counters: Counters::leak() }
    }

    /// Forwards a packet that came in at the layer `from`.
    fn pass<L: Layers>(&self, layers: &mut L, from: usize, mut packet: Packet, cx: &Context) {
        let counters = self.counters;
        counters.taken.add(1);
        let (source, destination) = (packet.info().remote, packet.info().local);
        if packet.info().looped && source.is_ipv6() {
            return self.tell(layers, source, packet);
        }
        if self.config.reverse_path && !comes_right(layers, from, source) {
            return counters.reverse_path.add(1);
        }
        let route = best_route(layers, destination);
        let to = route.map(|(_, to)| to);
        //= RFC 2644 2: a broadcast into a network of this router is not forwarded
        if to.is_some_and(|to| layers.is_broadcast(to, destination)) {
            return counters.broadcasts.add(1);
        }
        //= RFC 1812 5.3.1: a packet whose time to live is over is dropped, and its sender told
        let old = destination.is_ipv4();
        let left = packet.bytes().get(if old { TTL } else { HOPS });
        if left.is_none_or(|left| *left <= 1) {
            counters.expired.add(1);
            return layers.turn_away(from, packet, Reject::HopLimit);
        }
        // Where only the way to everywhere else leads back to where it came from, the router there
        // would send it here again, until its hops are used up.
        let Some((_, to)) = route.filter(|route| *route != (0, from)) else {
            counters.no_route.add(1);
            return layers.turn_away(from, packet, Reject::Route);
        };
        // What is another layer's own does not end here (the strong model).
        if layers.is_local(to, destination) && !layers.turns_back(to) {
            counters.prohibited.add(1);
            return layers.turn_away(from, packet, Reject::Prohibited);
        }
        // Not that of this host's own way there (RFC 4443 section 3.2).
        let mtu = layers.link_mtu(to);
        if packet.len() > usize::from(mtu) {
            // RFC 8200 section 5: of IPv6, only who sent a packet may fragment it.
            let whole = packet.bytes().get(FLAGS).is_none_or(|it| it & DONT_FRAGMENT != 0);
            if whole || !old {
                //= RFC 4787 10 REQ-13: what must not be fragmented is answered
                //= RFC 1191 4: who may not be fragmented is told how long the link's packets are
                counters.too_big.add(1);
                return layers.turn_away(from, packet, Reject::TooBig(mtu));
            }
            decrement(&mut packet);
            return self.cut(layers, to, packet, mtu, cx);
        }
        if old {
            decrement(&mut packet);
        } else if let Some(left) = packet.bytes_mut().get_mut(HOPS) {
            *left = left.saturating_sub(1);
        }
        match layers.forward(to, packet) {
            Ok(()) => counters.forwarded.add(1),
            Err(_) => counters.congested.add(1),
        }
    }

    /// Tells a sender that its packet's next hop does not answer: a layer of IPv6 has given it
    /// back, and the layer where it came in is where one to its source would go out.
    #[cold]
    fn tell<L: Layers>(&self, layers: &mut L, source: IpAddr, mut packet: Packet) {
        self.counters.unanswered.add(1);
        packet.info_mut().looped = false;
        if let Some(back) = best(layers, source) {
            layers.turn_away(back, packet, Reject::Neighbour);
        }
    }

    /// Forwards a packet in pieces.
    //= RFC 1812 4.2.2.7: a packet that is too long for the next link is fragmented
    fn cut<L: Layers>(
        &self,
        layers: &mut L,
        to: usize,
        mut packet: Packet,
        mtu: u16,
        cx: &Context,
    ) {
        packet.complete_checksum();
        let Some(mut fragments) = Fragments::new(&packet, mtu.into()) else {
            return self.counters.congested.add(1);
        };
        while let Some(fragment) = fragments.next(&packet, cx) {
            let sent = fragment.and_then(|fragment| layers.forward(to, fragment).ok());
            // Without one of them, the others are of no use.
            if sent.is_none() {
                return self.counters.congested.add(1);
            }
            self.counters.fragments.add(1);
        }
        self.counters.fragmented.add(1);
    }
}

/// Whether a packet from `source` may come in at the layer `from`.
//= RFC 1812 5.3.8: a packet comes in where one to its source would go out
fn comes_right<L: Layers>(layers: &L, from: usize, source: IpAddr) -> bool {
    // One that address translation turned back comes from an address of the layer's own.
    best(layers, source) == Some(from) || layers.is_local(from, source)
}

/// The layer with the most specific route.
fn best<L: Layers>(layers: &L, address: IpAddr) -> Option<usize> {
    best_route(layers, address).map(|(_, layer)| layer)
}

/// The most specific route, the first of those that are alike: its bits, and its layer.
fn best_route<L: Layers>(layers: &L, address: IpAddr) -> Option<(u8, usize)> {
    let mut best: Option<(u8, usize)> = None;
    for layer in 0..L::COUNT {
        if let Some(bits) = layers.route_bits(layer, address)
            && best.is_none_or(|(most, _)| bits > most)
        {
            best = Some((bits, layer));
        }
    }
    best
}

/// Takes one off the TTL of a packet of IPv4, which is not 0.
fn decrement(packet: &mut Packet) {
    if let Some(header) = packet.bytes_mut().first_chunk_mut::<HEADER>() {
        let old = u16::from_be_bytes([header[TTL], header[TTL + 1]]);
        let new = old.wrapping_sub(1 << 8);
        let sum = u16::from_be_bytes([header[CHECKSUM], header[CHECKSUM + 1]]);
        header[TTL] = new.to_be_bytes()[0];
        //= RFC 1812 4.2.2.5: the checksum is adjusted, so that what was wrong stays wrong
        [header[CHECKSUM], header[CHECKSUM + 1]] = adjusted(sum, old, new).to_be_bytes();
    }
}

impl<L: Layers> Component<L> for Forward {
    fn init(&mut self, layers: &mut L, cx: &mut Context) -> Result<(), InitError> {
        if cx.cores().count() > 1 {
            return Err(InitError("packets are forwarded on one core only: say `cores = 1`"));
        }
        if L::COUNT < 2 {
            return Err(InitError("there is one layer only: name those of two cards at least"));
        }
        if (0..L::COUNT).any(|layer| !layers.forwards(layer)) {
            return Err(InitError(
                "packets are forwarded between layers of IP only, with nothing in between",
            ));
        }
        for layer in 0..L::COUNT {
            // Who has asked gets what comes.
            drop(layers.transit(layer));
        }
        Ok(())
    }

    fn receive(&mut self, layers: &mut L, cx: &mut Context) {
        for layer in 0..L::COUNT {
            for _ in 0..BATCH {
                let Some(packet) = layers.transit(layer) else { break };
                self.pass(layers, layer, packet, cx);
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::NEVER
    }
}

impl Inspect for Forward {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
