//! The relay of IP layers.

use super::{LANES, Lanes, Outbox, Relay, RelayOver, Relaying, Wish, one_by_one};
use crate::network::v6::{Ipv6Lease, Ipv6Network};
use crate::{
    ClaimState, Context, CounterSet, IpPort, Ipv4Configuration, Mac, Mailbox, Offloads, Packet,
    PathError, Protocol, Reject, network,
};
use core::net::{IpAddr, Ipv4Addr};

/// Stands between an IP layer and what stands on it.
///
/// It takes only what the component above asks for: the packets, path errors and rejects of
/// others stay below. Questions about addresses are answered by [`network`], as IPv4 and IPv6 do;
/// what IPv6 has found out of single paths' MTU stays below, and is learned by path errors.
pub struct IpRelay {
    lanes: Lanes<Protocol>,
    outbox: Outbox<Protocol>,
    mirror: Mirror,
    /// Whose path errors are asked for, and which have come.
    errors_wanted: heapless::Vec<Protocol, LANES>,
    errors: Mailbox<(Protocol, PathError), ERRORS>,
    rejects_wanted: bool,
    rejected: Mailbox<(Packet, Reject), REJECTS>,
    /// What the component above has asked for.
    configurations: Wish<Ipv4Configuration>,
    /// What DHCPv6 gave, to be passed on.
    lease: Option<Ipv6Lease>,
    rejects: Mailbox<(Protocol, Packet, Reject), REJECTS>,
    reports: Mailbox<(Protocol, PathError), ERRORS>,
    counters: &'static Counters,
}

/// What the layer below said of itself.
struct Mirror {
    configuration: Option<Ipv4Configuration>,
    /// The configuration while its address is in use.
    active: Option<Ipv4Configuration>,
    /// Where the layer is one of IPv6.
    network: Option<Ipv6Network>,
    /// IPv4 has one for all destinations.
    mtu: u16,
    offloads: Offloads,
    mac: Mac,
    link_up: bool,
    wants_address: bool,
    claim_state: ClaimState,
    generation: u32,
}

/// Rejected packets that wait each way, and path errors.
const REJECTS: usize = 16;
const ERRORS: usize = 8;

crate::counters! {
    /// What a relay could not pass on.
    struct Counters {
        /// Rejected packets from above for which there was no room.
        counter rejects_dropped: packets,
        /// Reports of path errors from above for which there was no room.
        counter reports_dropped: messages,
    }
}

impl Default for IpRelay {
    fn default() -> Self {
        Self {
            lanes: Lanes::default(),
            outbox: Outbox::default(),
            mirror: Mirror {
                configuration: None,
                active: None,
                network: None,
                mtu: 0,
                offloads: Offloads::default(),
                mac: Mac::default(),
                link_up: false,
                wants_address: false,
                claim_state: ClaimState::None,
                generation: 0,
            },
            errors_wanted: heapless::Vec::new(),
            errors: Mailbox::new(),
            rejects_wanted: false,
            rejected: Mailbox::new(),
            configurations: Wish::default(),
            lease: None,
            rejects: Mailbox::new(),
            reports: Mailbox::new(),
            counters: Counters::leak(),
        }
    }
}

impl IpRelay {
    /// Passes on what the component above has asked for.
    #[inline]
    fn pass_on<I: IpPort>(&mut self, below: &mut I) {
        self.configurations.grant(|configuration| below.configure(configuration));
        if let Some(lease) = self.lease.take() {
            below.configure_v6(&lease);
        }
        self.lanes.announce(|protocol| below.recv(protocol));
        while let Some((protocol, packet, why)) = self.rejects.pop_front() {
            below.reject(protocol, packet, why);
        }
        while let Some((protocol, error)) = self.reports.pop_front() {
            below.report(protocol, error);
        }
    }

    /// Fetches what the component above asks for beside its packets.
    #[inline]
    fn fetch<I: IpPort>(&mut self, below: &mut I) {
        for protocol in &self.errors_wanted {
            while !self.errors.is_full()
                && let Some(error) = below.path_error(*protocol)
            {
                let _ = self.errors.push_back((*protocol, error));
            }
        }
        while self.rejects_wanted
            && !self.rejected.is_full()
            && let Some(rejected) = below.rejected()
        {
            let _ = self.rejected.push_back(rejected);
        }
    }
}

impl Mirror {
    #[inline]
    fn refresh<I: IpPort>(&mut self, below: &I) {
        let configuration = below.configuration().copied();
        let in_use = |it: &Ipv4Configuration| below.is_local(IpAddr::V4(it.address));
        // It is large, and changes with the generation.
        let same = self.network.is_some() && self.generation == below.generation();
        let network = if same { self.network.take() } else { below.network().cloned() };
        *self = Self {
            configuration,
            active: configuration.filter(in_use),
            network,
            mtu: below.mtu(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            offloads: one_by_one(below.offloads()),
            mac: below.mac(),
            link_up: below.link_up(),
            wants_address: below.wants_address(),
            claim_state: below.claim_state(),
            generation: below.generation(),
        };
    }
}

impl Relay for IpRelay {
    type Up = Protocol;
    type Down = Protocol;

    #[inline]
    fn has_room(&self, to: Protocol) -> bool {
        self.lanes.has_room(to)
    }

    #[inline]
    fn deliver(&mut self, to: Protocol, packet: Packet) -> Result<(), Packet> {
        self.lanes.push(to, packet)
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox<Protocol> {
        &mut self.outbox
    }

    #[inline]
    fn is_idle(&self) -> bool {
        self.lanes.is_empty()
            && self.outbox.is_empty()
            && self.configurations.is_empty()
            && self.lease.is_none()
            && self.errors.is_empty()
            && self.rejected.is_empty()
            && self.rejects.is_empty()
            && self.reports.is_empty()
    }

    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

impl<I: IpPort> RelayOver<I> for IpRelay {
    #[inline]
    fn refresh(&mut self, below: &mut I, _: &mut Context) {
        self.pass_on(below);
        self.fetch(below);
        self.mirror.refresh(below);
    }

    #[inline]
    fn pull(&mut self, below: &mut I) -> Option<(Protocol, Packet)> {
        self.lanes.pull(|protocol| below.recv(protocol))
    }

    #[inline]
    fn room_below(&self, below: &I) -> bool {
        below.room() > 0
    }

    #[inline]
    fn offer(&mut self, below: &mut I, to: Protocol, packet: Packet) -> Result<(), Packet> {
        below.send(to, packet)
    }
}

impl IpPort for IpRelay {
    #[inline]
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        self.lanes.pop(protocol)
    }

    #[inline]
    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        self.outbox.push(protocol, packet)
    }

    #[inline]
    fn room(&self) -> usize {
        self.outbox.room()
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        match (&self.mirror.network, remote) {
            (Some(network), IpAddr::V6(remote)) => network.source_for(remote).map(IpAddr::V6),
            _ => network::source_for(self.mirror.active.as_ref(), remote),
        }
    }

    #[inline]
    fn is_local(&self, address: IpAddr) -> bool {
        match (&self.mirror.network, address) {
            (Some(network), IpAddr::V6(address)) => {
                network.is_local(address) || address.is_loopback()
            }
            _ => network::is_local(self.mirror.active.as_ref(), address),
        }
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        match (&self.mirror.network, address) {
            (Some(_), IpAddr::V6(address)) => address.is_multicast(),
            _ => network::is_broadcast(self.mirror.active.as_ref(), address),
        }
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        self.mirror.mtu
    }

    fn offloads(&self) -> Offloads {
        self.mirror.offloads
    }

    fn reject(&mut self, protocol: Protocol, packet: Packet, why: Reject) {
        if self.rejects.push_back((protocol, packet, why)).is_err() {
            self.counters.rejects_dropped.add(1);
        }
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.rejects_wanted = true;
        self.rejected.pop_front()
    }

    fn report(&mut self, protocol: Protocol, error: PathError) {
        if self.reports.push_back((protocol, error)).is_err() {
            self.counters.reports_dropped.add(1);
        }
    }

    fn path_error(&mut self, protocol: Protocol) -> Option<PathError> {
        if !self.errors_wanted.contains(&protocol) {
            let _ = self.errors_wanted.push(protocol);
        }
        // Those of other protocols go round, and keep their order.
        let mut found = None;
        for _ in 0..self.errors.len() {
            match self.errors.pop_front() {
                Some((of, error)) if of == protocol && found.is_none() => found = Some(error),
                Some(other) => drop(self.errors.push_back(other)),
                None => {}
            }
        }
        found
    }

    fn wants_address(&self) -> bool {
        self.mirror.wants_address
    }

    fn configure_v6(&mut self, lease: &Ipv6Lease) {
        self.lease = Some(lease.clone());
    }

    fn configure(&mut self, configuration: Option<Ipv4Configuration>) {
        let address = |settings: Option<Ipv4Configuration>| settings.map(|it| it.address);
        self.mirror.active = if address(self.mirror.configuration) == address(configuration) {
            // Still in use, if it was.
            self.mirror.active.and(configuration)
        } else {
            None
        };
        self.mirror.configuration = configuration;
        self.configurations.put(configuration);
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.mirror.configuration.as_ref()
    }

    fn claim_state(&self) -> ClaimState {
        self.mirror.claim_state
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.mirror.generation
    }

    fn mac(&self) -> Mac {
        self.mirror.mac
    }

    fn link_up(&self) -> bool {
        self.mirror.link_up
    }

    fn carries(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.mirror.network.is_some()
    }

    fn route_bits(&self, remote: IpAddr) -> Option<u8> {
        match &self.mirror.network {
            Some(_) => self.source_for(remote).map(|_| 0),
            None => network::route_bits(self.mirror.active.as_ref(), remote),
        }
    }

    fn network(&self) -> Option<&Ipv6Network> {
        self.mirror.network.as_ref()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Relaying<Relay: IpPort>> IpPort for T {
    #[inline]
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        self.relay_mut().recv(protocol)
    }

    #[inline]
    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        self.relay_mut().send(protocol, packet)
    }

    #[inline]
    fn room(&self) -> usize {
        self.relay().room()
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        self.relay().source_for(remote)
    }

    #[inline]
    fn is_local(&self, address: IpAddr) -> bool {
        self.relay().is_local(address)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        self.relay().is_broadcast(address)
    }

    fn mtu(&self, remote: IpAddr) -> u16 {
        self.relay().mtu(remote)
    }

    fn offloads(&self) -> Offloads {
        self.relay().offloads()
    }

    fn reject(&mut self, protocol: Protocol, packet: Packet, why: Reject) {
        self.relay_mut().reject(protocol, packet, why);
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.relay_mut().rejected()
    }

    fn report(&mut self, protocol: Protocol, error: PathError) {
        self.relay_mut().report(protocol, error);
    }

    fn path_error(&mut self, protocol: Protocol) -> Option<PathError> {
        self.relay_mut().path_error(protocol)
    }

    fn wants_address(&self) -> bool {
        self.relay().wants_address()
    }

    fn configure_v6(&mut self, lease: &Ipv6Lease) {
        self.relay_mut().configure_v6(lease);
    }

    fn configure(&mut self, configuration: Option<Ipv4Configuration>) {
        self.relay_mut().configure(configuration);
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.relay().configuration()
    }

    fn claim_state(&self) -> ClaimState {
        self.relay().claim_state()
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.relay().generation()
    }

    fn mac(&self) -> Mac {
        self.relay().mac()
    }

    fn link_up(&self) -> bool {
        self.relay().link_up()
    }

    fn carries(&self, address: IpAddr) -> bool {
        self.relay().carries(address)
    }

    fn route_bits(&self, remote: IpAddr) -> Option<u8> {
        self.relay().route_bits(remote)
    }

    fn network(&self) -> Option<&Ipv6Network> {
        self.relay().network()
    }
}
