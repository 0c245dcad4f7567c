//! IPv4 for a host: validation, reassembly, routing to neighbours and the gateway.
//!
//! A packet that arrives is checked, its header is stripped in place, and it is left in the
//! mailbox of its transport. A packet to send gets its header where it stands; where it goes on
//! the link is remembered for the next one. Nothing is ever sent in fragments: what is too long is
//! dropped and counted, and transports ask for [`mtu`](IpPort::mtu) first.
//!
//! The address is the manifest's, or DHCP's. It is used once the link says that it is ours, and
//! no longer when another host insists on it.
//!
//! On several cores that share a link, the first one sees to the address, and the others use it
//! when and as long as it does.
//!
//! A packet takes the most specific of the routes that the manifest has, the host's own network
//! among them; the gateway is the one to everywhere else.
//!
//! A packet for another host is dropped, unless somebody above forwards it (RFC 1812): then it goes
//! there as it is, its header checked, and on the way out this layer finds the next hop.
//!
//! Not here: options of our own, group membership (only 224.0.0.1 is listened to), fragmentation,
//! and DHCP's routes (RFC 3442) but the one to everywhere. Datagrams longer than one buffer holds
//! are not put together.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cores;
mod input;
mod output;
mod reassembly;
mod transit;
mod wire;

#[cfg(test)]
mod tests;

use core::net::{IpAddr, Ipv4Addr};
use cores::{Handover, Notice, Role, decode, encode};
use output::{Flow, Identifications, Way};
use transit::Transit;
use waitless::network::fragments::Fragments;
use waitless::network::{self, is_host, is_network_broadcast};
use waitless::{
    BATCH, ClaimState, Component, Context, CounterSet, Duration, EtherType, InitError, Inspect,
    Instant, IpPort, Ipv4Configuration, Ipv4Route, LinkPort, Mac, Mailbox, Offloads, Packet,
    PathError, Protocol, Random, Reject, info, warn,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// The host's address and the bits of its network; `None` waits for DHCP.
    pub address: Option<(Ipv4Addr, u8)>,
    /// The router to everywhere else.
    pub gateway: Option<Ipv4Addr>,
    /// Networks behind other routers, at most 64.
    pub routes: &'static [Ipv4Route],
    /// Name servers; the first three count.
    pub dns: &'static [Ipv4Addr],
    /// How many routers a packet may pass, at least 1.
    pub ttl: u8,
    /// The longest packet in bytes, where it is less than the link takes.
    pub mtu: Option<u16>,
    /// How many datagrams are put together at once; 0 drops fragments.
    pub reassembly: u8,
    /// How long to wait for the fragments of a datagram.
    pub reassembly_timeout: Duration,
}

/// The IPv4 layer on one link. Provides [`IpPort`], stands on a [`LinkPort`].
pub struct Ipv4 {
    config: &'static Config,
    counters: &'static Counters,
    /// What the cores tell each other of the address.
    notice: &'static Notice,
    role: Role,
    /// On several cores: the way of datagrams that came in fragments.
    handover: Option<Handover>,
    tcp: Transport,
    udp: Transport,
    icmp: Transport,
    /// Rejected packets, and whether somebody tells senders.
    rejects: Mailbox<(Packet, Reject), REJECTS>,
    rejects_wanted: bool,
    reassembly: Fragments<()>,
    /// Packets of others, and the way of the last that was forwarded here.
    transit: Transit,
    /// Whole packets on their way to the link.
    down: Mailbox<(Way, Packet)>,
    /// The destination that was sent to last. The fast path of sending.
    flow: Option<Flow>,
    identifications: Identifications,
    settings: Option<Ipv4Configuration>,
    /// Whether the link has yet to hear of the address.
    claim_due: bool,
    /// What became of it when that was last looked at.
    claim: ClaimState,
    /// Whether the address is in use.
    active: bool,
    /// What of the settings is looked at for every packet, while the address is in use.
    own: Own,
    /// When an address of the manifest that was lost is tried again.
    retry: Instant,
    generation: u32,
    /// Sweeps so far, up to 2: after the first, everybody above has asked for its packets once.
    sweeps: u8,
    now: Instant,
    mac: Mac,
    mtu: u16,
    offloads: Offloads,
    link_up: bool,
}

/// This host's own address and its network's broadcast address, unspecified where there is none.
#[derive(Clone, Copy)]
struct Own {
    address: Ipv4Addr,
    broadcast: Ipv4Addr,
}

impl Own {
    const NONE: Self = Self { address: Ipv4Addr::UNSPECIFIED, broadcast: Ipv4Addr::UNSPECIFIED };
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

/// Routes that a manifest may have. Whoever sends to a new destination looks at all of them.
const ROUTES: usize = 64;

/// Rejected packets that wait for ICMP.
const REJECTS: usize = 16;

/// Path errors that wait for a transport.
const ERRORS: usize = 8;

/// How long an address of the manifest stays unused after another host has insisted on it (the
/// RATE_LIMIT_INTERVAL of RFC 5227).
const RETRY: Duration = Duration::from_secs(60);

waitless::counters! {
    /// What the layer counts. Packets received and reassembled are those delivered, handed over,
    /// kept as fragments, and dropped for one of the reasons up to `mailbox_full`.
    pub(crate) struct Counters {
        /// Packets taken from the link.
        counter received: packets,
        /// Packets left for a transport.
        counter delivered: packets,
        /// Packets too short to have a header.
        counter short: packets,
        /// Packets of another version.
        counter bad_version: packets,
        /// Packets with a header shorter than 20 bytes or longer than the packet.
        counter bad_header_length: packets,
        /// Packets whose length is less than their header's, or more than arrived.
        counter bad_length: packets,
        /// Packets whose header checksum is wrong.
        counter bad_checksum: packets,
        /// Packets from an address that no other host has.
        counter bad_source: packets,
        /// Packets to another address.
        counter foreign: packets,
        /// Packets of others, left for who forwards them.
        counter transit: packets,
        /// Packets to forward between addresses of which one may not leave its network, or that
        /// came in a frame to all.
        counter martians: packets,
        /// Packets that were forwarded, on their way to the link.
        counter passed: packets,
        /// Packets with malformed options, or options that choose the route.
        counter bad_options: packets,
        /// Packets of a protocol that nobody here speaks.
        counter unknown_protocol: packets,
        /// Packets whose transport did not collect the earlier ones.
        counter mailbox_full: packets,
        /// Fragments taken.
        counter fragments: packets,
        /// Datagrams put together from fragments.
        counter reassembled: packets,
        /// Datagrams put together for another core.
        counter handed_over: packets,
        /// Fragments that contradict others or make no sense.
        counter bad_fragments: packets,
        /// Fragments of datagrams that are too long, or in too many pieces.
        counter long_fragments: packets,
        /// Fragments for which there was no buffer.
        counter fragments_full: packets,
        /// Datagrams whose fragments gave way to those of others.
        counter reassembly_evicted: datagrams,
        /// Datagrams whose fragments did not all arrive in time.
        counter reassembly_late: datagrams,
        /// Datagrams being put together.
        gauge reassembling: datagrams,
        /// Packets given to the link.
        counter sent: packets,
        /// Packets to send to where no route leads.
        counter no_route: packets,
        /// Packets to send from an address that is not ours.
        counter not_ours: packets,
        /// Packets to send that are longer than the link takes.
        counter too_long: packets,
        /// Packets to send without room for a header.
        counter no_room: packets,
        /// Packets for this host itself.
        counter looped: packets,
        /// Rejected packets left for ICMP.
        counter rejected: packets,
        /// Rejected packets that may not be answered, or that nobody would.
        counter rejects_silent: packets,
        /// Path errors for which there was no room, or that no transport takes.
        counter errors_dropped: messages,
    }
}

impl Ipv4 {
    /// A layer without an address.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let limit = usize::from(config.reassembly);
        Self {
            config,
            counters: Counters::leak(),
            notice: cx.share(Notice::new),
            role: Role::Leads { told: true },
            handover: (cx.cores().count() > 1).then(|| Handover::new(cx)),
            tcp: Transport::default(),
            udp: Transport::default(),
            icmp: Transport::default(),
            rejects: Mailbox::new(),
            rejects_wanted: false,
            reassembly: Fragments::new(limit, config.reassembly_timeout, reassembly::FRONT),
            transit: Transit::default(),
            down: Mailbox::new(),
            flow: None,
            // They are drawn once there is entropy.
            identifications: Identifications::new(&mut Random::new([0; 32])),
            settings: None,
            claim_due: false,
            claim: ClaimState::None,
            active: false,
            own: Own::NONE,
            retry: Instant::NEVER,
            generation: 0,
            sweeps: 0,
            now: Instant::ZERO,
            mac: Mac::default(),
            mtu: 0,
            offloads: Offloads::default(),
            link_up: false,
        }
    }

    /// What the manifest sets, checked.
    fn manifest_settings(&self) -> Result<Option<Ipv4Configuration>, InitError> {
        let Some((address, prefix)) = self.config.address else { return Ok(None) };
        let Config { gateway, dns, .. } = *self.config;
        let nameservers = dns.iter().copied().chain(core::iter::repeat(Ipv4Addr::UNSPECIFIED));
        let mut dns = [Ipv4Addr::UNSPECIFIED; 3];
        dns.iter_mut().zip(nameservers).for_each(|(place, server)| *place = server);
        let routes = self.config.routes;
        let settings = Ipv4Configuration { address, prefix, gateway, dns, mtu: 0, routes };
        if prefix > 32 || !is_host(address) || is_network_broadcast(&settings, address) {
            return Err(InitError("the address is not one that a host can have"));
        }
        if gateway.is_some_and(|gateway| !is_host(gateway) || gateway == address) {
            return Err(InitError("the gateway's address is not one that another host can have"));
        }
        Ok(Some(settings))
    }

    /// Whether the manifest's routes make sense.
    fn check_routes(&self) -> Result<(), InitError> {
        let routes = self.config.routes;
        if routes.len() > ROUTES {
            return Err(InitError("there are more than 64 routes: put some together"));
        }
        if routes.iter().any(|&(.., via)| !is_host(via)) {
            return Err(InitError("a route leads over an address that no router can have"));
        }
        Ok(())
    }

    /// Tells the link which address we want, and sees what became of that.
    fn claim<L: LinkPort>(&mut self, link: &mut L, cx: &Context) {
        if self.now >= self.retry {
            self.retry = Instant::NEVER;
            link.claim(None);
            self.claim_due = true;
        }
        let changed = core::mem::take(&mut self.claim_due);
        if changed {
            link.claim(self.settings.map(|settings| settings.address));
        }
        let state = link.claim_state();
        if state == self.claim && !changed {
            return self.tell(cx);
        }
        if let ClaimState::Conflict(mac) = state
            && state != self.claim
            && self.config.address.is_some()
            && let Some(settings) = self.settings
        {
            warn!(cx, "{} has our address {}: it stays unused for now", mac, settings.address);
            self.retry = self.now + RETRY;
        }
        self.claim = state;
        let active = self.settings.is_some() && state == ClaimState::Owned;
        if active != self.active {
            self.active = active;
            self.generation = self.generation.wrapping_add(1);
            self.settings_changed();
        }
        self.tell(cx);
    }

    /// Tells the other cores what changed.
    fn tell(&mut self, cx: &Context) {
        if let Role::Leads { told: told @ false } = &mut self.role {
            *told = true;
            self.notice.publish(encode(self.active()));
            cx.wake(u64::MAX, 0);
        }
    }

    /// On a core that follows: uses what it is told.
    #[inline]
    fn listen(&mut self) {
        if let Role::Follows { seen } = &mut self.role
            && let Some(words) = self.notice.news(seen)
        {
            self.configure(decode(words));
        }
    }

    /// Forgets what was derived from the settings and from whether they are in use.
    fn settings_changed(&mut self) {
        if let Role::Leads { told } = &mut self.role {
            *told = false;
        }
        self.flow = None;
        self.transit.forget_way();
        self.own = self.active().map_or(Own::NONE, |settings| Own {
            address: settings.address,
            broadcast: network::network_broadcast(settings).unwrap_or(Ipv4Addr::UNSPECIFIED),
        });
    }

    /// Once everybody above has asked for packets once: what nobody asks for is not kept.
    fn settle(&mut self) {
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP] {
            while self.sweeps > 1
                && let Some(transport) = self.transport(protocol)
                && !transport.wanted
                && let Some(packet) = transport.packets.pop_front()
            {
                self.refuse(protocol, packet, Reject::Protocol);
            }
        }
    }

    /// The settings while the address is in use.
    #[inline]
    fn active(&self) -> Option<&Ipv4Configuration> {
        self.settings.as_ref().filter(|_| self.active)
    }

    #[inline]
    fn transport(&mut self, protocol: Protocol) -> Option<&mut Transport> {
        match protocol {
            Protocol::TCP => Some(&mut self.tcp),
            Protocol::UDP => Some(&mut self.udp),
            Protocol::ICMP => Some(&mut self.icmp),
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

impl<L: LinkPort> Component<L> for Ipv4 {
    fn init(&mut self, link: &mut L, cx: &mut Context) -> Result<(), InitError> {
        self.now = cx.now();
        self.identifications = Identifications::new(&mut cx.random);
        self.mac = link.mac();
        self.mtu = link.mtu();
        self.offloads = link.offloads();
        self.link_up = link.link_up();
        if !link.leads() {
            self.role = Role::Follows { seen: 0 };
            return Ok(());
        }
        self.check_routes()?;
        if let Some(settings) = self.manifest_settings()? {
            self.configure(Some(settings));
            self.claim(link, cx);
            info!(cx, "address {}/{}", settings.address, settings.prefix);
        }
        Ok(())
    }

    fn receive(&mut self, link: &mut L, cx: &mut Context) {
        self.now = cx.now();
        self.link_up = link.link_up();
        self.transit.turns_back = link.turns_back();
        self.listen();
        self.claim(link, cx);
        if self.sweeps < 2 {
            self.sweeps += 1;
            self.settle();
        }
        for _ in 0..BATCH {
            if self.is_full() {
                break;
            }
            let Some(packet) = link.recv(EtherType::IPV4) else { break };
            self.accept(packet);
        }
        while !self.is_full()
            && let Some((protocol, packet)) = self.handover.as_mut().and_then(Handover::recv)
        {
            self.deliver(protocol, packet);
        }
        if self.now >= self.reassembly.deadline() {
            self.expire();
        }
    }

    fn transmit(&mut self, link: &mut L, cx: &mut Context) {
        // Somebody above has set another one in this sweep.
        if self.claim_due {
            self.claim(link, cx);
        }
        if !self.transit.is_sent() {
            self.transmit_transit(link);
        }
        while let Some((way, packet)) = self.down.pop_front() {
            if let Err(packet) = link.send(EtherType::IPV4, way.hop(), packet) {
                let _ = self.down.push_front((way, packet));
                break;
            }
            self.counters.sent.add(1);
        }
        if let Some(handover) = &mut self.handover {
            handover.flush(cx);
        }
    }

    fn arm(&mut self) -> bool {
        let heard = match self.role {
            Role::Leads { .. } => true,
            Role::Follows { seen } => !self.notice.has_news(seen),
        };
        heard && self.handover.as_ref().is_none_or(Handover::is_idle)
    }

    fn deadline(&self) -> Instant {
        let waiting =
            |transport: &Transport| !transport.packets.is_empty() || !transport.errors.is_empty();
        let busy = self.claim_due
            || matches!(self.role, Role::Leads { told: false })
            || !self.down.is_empty()
            || !self.transit.is_empty()
            || !self.rejects.is_empty()
            || [&self.tcp, &self.udp, &self.icmp].into_iter().any(waiting);
        if busy { Instant::ZERO } else { self.reassembly.deadline().min(self.retry) }
    }
}

impl IpPort for Ipv4 {
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
        network::source_for(self.active(), remote)
    }

    #[inline]
    fn is_local(&self, address: IpAddr) -> bool {
        network::is_local(self.active(), address)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        network::is_broadcast(self.active(), address)
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        let configured = self.config.mtu.unwrap_or(self.mtu);
        let path = self.settings.map_or(0, |settings| settings.mtu);
        let path = if path < MTU_MIN { self.mtu } else { path };
        self.mtu.min(configured).min(path)
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
        self.config.address.is_none()
    }

    fn configure(&mut self, configuration: Option<Ipv4Configuration>) {
        // Who gives an address knows nothing of the manifest's routes.
        let routes = self.config.routes;
        let configuration = configuration.map(|it| Ipv4Configuration { routes, ..it });
        if self.settings == configuration {
            return;
        }
        let address = |settings: Option<Ipv4Configuration>| settings.map(|s| s.address);
        if address(self.settings) != address(configuration) {
            self.claim_due = true;
            if self.active {
                self.active = false;
                self.generation = self.generation.wrapping_add(1);
            }
        } else if self.settings.map(|it| it.dns) != configuration.map(|it| it.dns) {
            self.generation = self.generation.wrapping_add(1);
        }
        self.settings = configuration;
        self.settings_changed();
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.settings.as_ref()
    }

    fn claim_state(&self) -> ClaimState {
        self.claim
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
        network::route_bits(self.active(), remote)
    }

    fn forwards(&self) -> bool {
        true
    }

    #[inline]
    fn transit(&mut self) -> Option<Packet> {
        self.transit.next()
    }

    fn forward(&mut self, packet: Packet) -> Result<(), Packet> {
        self.pass(packet)
    }

    fn turn_away(&mut self, packet: Packet, why: Reject) {
        self.refuse_transit(packet, why);
    }

    fn turns_back(&self) -> bool {
        self.transit.turns_back
    }
}

impl Inspect for Ipv4 {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

/// What every link takes (RFC 791 section 3.2).
const MTU_MIN: u16 = 68;
