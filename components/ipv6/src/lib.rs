//! IPv6 for a host or a router (RFC 8200): its addresses, its neighbours and routers, extension
//! headers, reassembly.
//!
//! A packet that arrives is checked, its headers are stripped in place, and it is left in the
//! mailbox of its transport. A packet to send gets its header where it stands; where it goes on
//! the link is remembered. Nothing is ever sent in fragments: what is too long is dropped and
//! counted, and transports ask for [`mtu`](IpPort::mtu) first.
//!
//! Neighbour discovery (RFC 4861) and address autoconfiguration (RFC 4862) live here and not in
//! the link: their messages are ICMPv6 over IPv6, and what they find out (addresses, routers,
//! networks) is this layer's. The link is told the station that a packet goes to. Other messages
//! of ICMPv6 are a component's of its own.
//!
//! What a stranger on the link can do is limited: nothing that has passed a router is believed,
//! all tables are bounded, who was not asked for is not remembered by advertising itself, and
//! lifetimes are shortened to no less than two hours by an advertisement.
//!
//! On several cores one speaks for the host. The others hear the same of neighbours and routers,
//! and so come to know the same addresses. What arrives in fragments stays on the core that puts
//! it together.
//!
//! Where somebody forwards, it takes what is for other hosts and sends what comes from other
//! layers; and where the manifest says so, it advertises itself as the link's router.
//!
//! Not here: options and extension headers of our own, fragmentation, groups other
//! than those in which the host is asked for its addresses, anycast addresses, secure neighbour
//! discovery, and taking the progress of transports for a sign that a neighbour is reachable: it
//! is asked, once in about half a minute of use.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod addresses;
mod advertise;
mod control;
mod counters;
mod extension;
mod groups;
mod identifier;
mod input;
mod lease;
mod message;
mod names;
mod neighbours;
mod output;
mod pmtu;
mod reassembly;
mod routers;
mod transit;
mod wire;

#[cfg(test)]
mod tests;

pub use counters::Counters;

use addresses::Addresses;
use advertise::Advertiser;
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv6Addr};
use groups::Groups;
use identifier::Maker;
use lease::Notice;
use names::Names;
use neighbours::Neighbours;
use output::{FLOWS, Flow};
use pmtu::{MTU_MIN, PathMtus};
use routers::Routers;
use transit::Transit;
use waitless::network::fragments::Fragments;
use waitless::network::v6::{Ipv6Lease, Ipv6Network, Managed, is_host};
use waitless::{
    BATCH, ClaimState, Component, Context, CounterSet, Duration, EtherType, InitError, Inspect,
    Instant, IpPort, Ipv4Configuration, LinkPort, Mac, Mailbox, NextHop, Offloads, Packet,
    PathError, PathErrorKind, Protocol, Reject,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// Addresses of one's own, with the bits of their networks.
    pub addresses: &'static [(Ipv6Addr, u8)],
    /// The router to everywhere else.
    pub gateway: Option<Ipv6Addr>,
    /// Whether router advertisements are believed.
    pub autoconfigure: bool,
    /// What the host's part of an address is made of.
    pub identifiers: Identifiers,
    /// What stable identifiers are made of; `None` draws a secret.
    pub secret: Option<&'static str>,
    /// Questions before an address is used.
    pub duplicate_probes: u8,
    /// Whether routers may name nearer ones.
    pub redirects: bool,
    /// How many routers a packet may pass; `None` lets routers say.
    pub hop_limit: Option<u8>,
    /// The longest packet in bytes, where it is less than the link takes; at least 1280.
    pub mtu: Option<u16>,
    /// How many neighbours' addresses are remembered at most, 1 to 4096.
    pub neighbours: u16,
    /// How many packets wait at most for neighbours that are being asked for.
    pub pending: u8,
    /// How many packets are put together at once; 0 drops fragments.
    pub reassembly: u8,
    /// How long to wait for the fragments of a packet.
    pub reassembly_timeout: Duration,
    /// Whether hosts on the link are told that this is their router, and which networks are here.
    pub advertise: bool,
}

/// What the host's part of an address is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identifiers {
    /// Of a secret and the network (RFC 7217): nobody recognises the host in another network.
    Stable,
    /// Of the card's address (RFC 4291 appendix A).
    Eui64,
}

/// The IPv6 layer on one link. Provides [`IpPort`], stands on a [`LinkPort`].
pub struct Ipv6 {
    config: &'static Config,
    counters: &'static Counters,
    tcp: Transport,
    udp: Transport,
    icmp: Transport,
    /// Rejected packets, and whether somebody tells senders.
    rejects: Mailbox<(Packet, Reject), REJECTS>,
    rejects_wanted: bool,
    reassembly: Fragments<reassembly::Link>,
    transit: Transit,
    advertiser: Advertiser,
    /// Whole packets on their way to the link.
    down: Mailbox<(Mac, Packet)>,
    /// The ways to destinations, by hash.
    flows: Box<[Flow; FLOWS]>,
    /// What hashes depend on, so that nobody outside can make them collide.
    key: u64,
    /// Grows with everything that a way depends on.
    epoch: u32,
    addresses: Addresses,
    neighbours: Neighbours,
    routers: Routers,
    names: Names,
    /// What DHCPv6 gave on the first core, how the others hear of it, and whether they have to.
    lease: Ipv6Lease,
    notice: &'static Notice,
    untold: bool,
    heard: u32,
    groups: Groups,
    paths: PathMtus,
    /// What of these is asked for every packet.
    network: Ipv6Network,
    generation: u32,
    /// The hop limit and the MTU that routers have advertised.
    router_hops: u8,
    router_mtu: Option<u16>,
    /// What they say of DHCPv6, which of them says so, and until when that counts for more than
    /// what another one says.
    managed: Managed,
    managed_by: (Ipv6Addr, Instant),
    /// Whether the link was ever up.
    started: bool,
    /// Whether another core speaks for the host: this one hears what neighbours and routers say,
    /// and so comes to know the same, but answers nobody, and asks only for neighbours.
    quiet: bool,
    /// Nothing is said before this: there was no packet.
    held_until: Instant,
    /// Sweeps so far, up to 2: after the first, everybody above has asked for its packets once.
    sweeps: u8,
    now: Instant,
    mac: Mac,
    mtu: u16,
    offloads: Offloads,
    link_up: bool,
}

/// A transport's side of the layer.
#[derive(Default)]
struct Transport {
    packets: Mailbox,
    errors: Mailbox<PathError, ERRORS>,
    /// Whether somebody asks for its packets, and for its errors.
    wanted: bool,
    errors_wanted: bool,
}

/// Rejected packets that wait for ICMP.
const REJECTS: usize = 16;

/// Path errors that wait for a transport.
const ERRORS: usize = 8;

/// The hop limit where nobody says (RFC 8200 section 3 leaves it to the host).
const HOPS: u8 = 64;

/// Addresses that the manifest may give.
const WRITTEN_MAX: usize = 8;

impl Ipv6 {
    /// A layer without an address.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let drawn: [u8; 16] = cx.random.bytes();
        let secret = *cx.share(|| drawn);
        let maker = Maker::new(config.identifiers, config.secret, secret);
        let (limit, pending) = (usize::from(config.neighbours), usize::from(config.pending));
        let datagrams = usize::from(config.reassembly);
        Self {
            config,
            counters: Counters::leak(),
            tcp: Transport::default(),
            udp: Transport::default(),
            icmp: Transport::default(),
            rejects: Mailbox::new(),
            rejects_wanted: false,
            reassembly: Fragments::new(datagrams, config.reassembly_timeout, reassembly::FRONT),
            transit: Transit::default(),
            advertiser: Advertiser::default(),
            down: Mailbox::new(),
            flows: Box::new([Flow::NONE; FLOWS]),
            key: cx.random.u64() | 1,
            epoch: 1,
            addresses: Addresses::new(maker, config.duplicate_probes),
            neighbours: Neighbours::new(limit, pending, &mut cx.random),
            routers: Routers::new(),
            names: Names::new(),
            lease: Ipv6Lease::default(),
            notice: cx.share(Notice::new),
            untold: false,
            heard: 0,
            groups: Groups::new(),
            paths: PathMtus::default(),
            network: Ipv6Network::default(),
            generation: 0,
            router_hops: HOPS,
            router_mtu: None,
            managed: Managed::No,
            managed_by: (Ipv6Addr::UNSPECIFIED, Instant::ZERO),
            started: false,
            quiet: false,
            held_until: Instant::ZERO,
            sweeps: 0,
            now: Instant::ZERO,
            mac: Mac::default(),
            mtu: 0,
            offloads: Offloads::default(),
            link_up: false,
        }
    }

    /// Whether the manifest's addresses are ones that hosts can have.
    fn check(&self) -> Result<(), InitError> {
        let Config { addresses, gateway, .. } = self.config;
        if addresses.len() > WRITTEN_MAX {
            return Err(InitError("more addresses than 8: leave some out"));
        }
        if addresses.iter().any(|(address, prefix)| !is_host(*address) || *prefix == 0) {
            return Err(InitError("an address is not one that a host can have"));
        }
        let unlike = |(_, prefix): &(Ipv6Addr, u8)| *prefix != 64;
        if self.config.advertise && (addresses.is_empty() || addresses.iter().any(unlike)) {
            return Err(InitError("who advertises needs addresses with 64 bits of network"));
        }
        if gateway.is_some_and(|it| !is_host(it) || addresses.iter().any(|(own, _)| *own == it)) {
            return Err(InitError("the gateway's address is not one that another host can have"));
        }
        Ok(())
    }

    fn watch_link(&mut self, up: bool, cx: &mut Context) {
        let before = core::mem::replace(&mut self.link_up, up);
        if !up || before {
            return;
        }
        if !core::mem::replace(&mut self.started, true) {
            self.addresses.start(self.mac, self.config.addresses, self.now);
            for (address, prefix) in self.config.addresses.iter().filter(|(_, it)| *it < 128) {
                self.routers.set_prefix(*address, *prefix, Instant::NEVER, self.now);
            }
            if let Some(gateway) = self.config.gateway {
                self.routers.set(gateway, Instant::NEVER, 0, self.now);
            }
        }
        self.link_came_up(&mut cx.random);
    }

    /// Tells the other cores what DHCPv6 gave, or hears of it.
    #[inline]
    fn exchange(&mut self, cx: &Context) {
        if self.untold {
            self.untold = false;
            self.notice.publish(lease::encode(&self.lease));
            cx.wake(u64::MAX, 0);
        } else if self.quiet
            && let Some(words) = self.notice.news(&mut self.heard)
        {
            self.lease = lease::decode(&words);
            self.addresses.lease(&self.lease.addresses, self.now);
            self.refresh();
        }
    }

    /// Once everybody above has asked for packets once: what nobody asks for is not kept.
    fn settle(&mut self) {
        const NEXT_HEADER: u16 = wire::NEXT as u16;
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMPV6] {
            while self.sweeps > 1
                && let Some(transport) = self.transport(protocol)
                && !transport.wanted
                && let Some(packet) = transport.packets.pop_front()
            {
                let why = Reject::Parameter(extension::CODE_NEXT, NEXT_HEADER);
                self.refuse(protocol, packet, why);
            }
        }
    }

    /// Gives the link what is on its way there; whether it took everything.
    #[inline]
    fn drain<L: LinkPort>(&mut self, link: &mut L) -> bool {
        loop {
            let next = match self.down.pop_front() {
                None if self.neighbours.has_answered() => self.neighbours.answered(),
                next => next,
            };
            let Some((mac, packet)) = next else { return true };
            if let Err(packet) = link.send(EtherType::IPV6, NextHop::Mac(mac), packet) {
                // There is room: one was taken.
                let _ = self.down.push_front((mac, packet));
                return false;
            }
            self.counters.sent.add(1);
        }
    }

    /// Ways that were found are to be found anew.
    #[inline]
    fn changed(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn hop_limit(&self) -> u8 {
        self.config.hop_limit.unwrap_or(self.router_hops)
    }

    /// The longest packet to `remote`.
    fn mtu_to(&self, remote: Ipv6Addr) -> u16 {
        let link = self.network.mtu;
        self.paths.find(remote, self.now).map_or(link, |path| path.min(link))
    }

    #[inline]
    fn transport(&mut self, protocol: Protocol) -> Option<&mut Transport> {
        match protocol {
            Protocol::TCP => Some(&mut self.tcp),
            Protocol::UDP => Some(&mut self.udp),
            Protocol::ICMPV6 => Some(&mut self.icmp),
            _ => None,
        }
    }

    /// Whether a transport has no room for more. ICMP must not stop the others: what is too much
    /// of it is dropped.
    #[inline]
    fn is_full(&self) -> bool {
        self.tcp.packets.is_full() || self.udp.packets.is_full()
    }
}

impl<L: LinkPort> Component<L> for Ipv6 {
    fn init(&mut self, link: &mut L, cx: &mut Context) -> Result<(), InitError> {
        self.now = cx.now();
        self.mac = link.mac();
        self.mtu = link.mtu();
        self.offloads = link.offloads();
        self.check()?;
        if link.link_up() && self.mtu < MTU_MIN {
            return Err(InitError("the link takes less than the 1280 bytes that IPv6 needs"));
        }
        self.quiet = !link.leads();
        self.watch_link(link.link_up(), cx);
        Ok(())
    }

    fn receive(&mut self, link: &mut L, cx: &mut Context) {
        self.now = cx.now();
        if self.link_up != link.link_up() {
            self.quiet = !link.leads();
            self.watch_link(link.link_up(), cx);
        }
        if self.sweeps < 2 {
            self.sweeps += 1;
            self.settle();
        }
        self.exchange(cx);
        for _ in 0..BATCH {
            if self.is_full() {
                break;
            }
            let Some(packet) = link.recv(EtherType::IPV6) else { break };
            self.accept(packet, cx);
        }
        if self.now >= self.reassembly.deadline() {
            self.expire();
        }
    }

    fn transmit(&mut self, link: &mut L, cx: &mut Context) {
        if !self.transit.is_sent() {
            self.transmit_transit(link);
        }
        if self.drain(link) {
            self.work(cx);
            self.drain(link);
        }
    }

    fn arm(&mut self) -> bool {
        !self.quiet || !self.notice.has_news(self.heard)
    }

    fn deadline(&self) -> Instant {
        let waiting =
            |transport: &Transport| !transport.packets.is_empty() || !transport.errors.is_empty();
        let busy = !self.down.is_empty()
            || self.untold
            || !self.transit.is_empty()
            || !self.rejects.is_empty()
            || self.neighbours.has_answered()
            || [&self.tcp, &self.udp, &self.icmp].into_iter().any(waiting);
        if busy {
            return Instant::ZERO;
        }
        let control = if self.link_up { self.control_deadline() } else { Instant::NEVER };
        self.reassembly.deadline().min(control)
    }
}

impl IpPort for Ipv6 {
    #[inline]
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        let transport = self.transport(protocol)?;
        transport.wanted = true;
        transport.packets.pop_front()
    }

    #[inline]
    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        self.output(protocol, packet)
    }

    #[inline]
    fn room(&self) -> usize {
        self.down.room()
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let IpAddr::V6(remote) = remote else { return None };
        self.network.source_for(remote).map(IpAddr::V6)
    }

    #[inline]
    fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V6(address) => self.network.is_local(address) || address.is_loopback(),
            IpAddr::V4(_) => false,
        }
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        address.is_ipv6() && address.is_multicast()
    }

    fn mtu(&self, remote: IpAddr) -> u16 {
        match remote {
            IpAddr::V6(remote) => self.mtu_to(remote),
            IpAddr::V4(_) => self.network.mtu,
        }
    }

    #[inline]
    fn link_mtu(&self) -> u16 {
        self.network.mtu
    }

    #[inline]
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn reject(&mut self, protocol: Protocol, packet: Packet, why: Reject) {
        self.refuse(protocol, packet, why);
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.rejects_wanted = true;
        self.rejects.pop_front()
    }

    fn report(&mut self, protocol: Protocol, error: PathError) {
        if let (PathErrorKind::TooBig(mtu), IpAddr::V6(remote)) = (error.kind, error.remote) {
            if mtu < MTU_MIN {
                // RFC 8201 section 4: every link takes more.
                return self.counters.errors_dropped.add(1);
            }
            if mtu < self.network.mtu && self.paths.learn(remote, mtu, self.now) {
                self.changed();
            }
        }
        let transport = self.transport(protocol).filter(|transport| transport.errors_wanted);
        let kept = transport.is_some_and(|transport| transport.errors.push_back(error).is_ok());
        if !kept {
            self.counters.errors_dropped.add(1);
        }
    }

    fn path_error(&mut self, protocol: Protocol) -> Option<PathError> {
        let transport = self.transport(protocol)?;
        transport.errors_wanted = true;
        transport.errors.pop_front()
    }

    fn wants_address(&self) -> bool {
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configure_v6(&mut self, lease: &Ipv6Lease) {
        if self.lease != *lease {
            self.lease = lease.clone();
            self.untold = true;
            self.addresses.lease(&lease.addresses, self.now);
            self.refresh();
        }
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        None
    }

    /// Whether there is any address in use.
    fn claim_state(&self) -> ClaimState {
        if self.network.addresses.is_empty() { ClaimState::Probing } else { ClaimState::Owned }
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }

    fn mac(&self) -> Mac {
        self.mac
    }

    fn link_up(&self) -> bool {
        self.link_up
    }

    fn route_bits(&self, remote: IpAddr) -> Option<u8> {
        match remote {
            IpAddr::V6(remote) => self.bits_to(remote),
            IpAddr::V4(_) => None,
        }
    }

    fn forwards(&self) -> bool {
        true
    }

    #[inline]
    fn transit(&mut self) -> Option<Packet> {
        self.transit.next()
    }

    #[inline]
    fn forward(&mut self, packet: Packet) -> Result<(), Packet> {
        self.pass(packet)
    }

    fn turn_away(&mut self, packet: Packet, why: Reject) {
        self.refuse_transit(packet, why);
    }

    #[inline]
    fn carries(&self, address: IpAddr) -> bool {
        address.is_ipv6()
    }

    fn network(&self) -> Option<&Ipv6Network> {
        Some(&self.network)
    }
}

impl Inspect for Ipv6 {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
