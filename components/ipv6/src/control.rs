//! The layer's own protocols: what neighbours and routers say, and what they are told and asked.

use crate::Ipv6;
use crate::addresses::{self, Conflict, State};
use crate::extension::Chain;
use crate::groups::{ALL_NODES, Report};
use crate::message::{Advertisement, Draft, GROUP_DONE_V1, GROUP_REPORT_V1};
use crate::message::{Message, Options, RouterAdvertisement};
use crate::neighbours::{self, Heard, Lookup, Owner, Waiting};
use crate::pmtu::MTU_MIN;
use crate::wire::{HEADER, Header, NEXT, Outgoing};
use core::net::{IpAddr, Ipv6Addr};
use heapless::Vec;
use waitless::checksum::Checksum;
use waitless::network::v6::{
    Ipv6Network, Managed, SERVERS, is_host, multicast_mac, solicited_node,
};
use waitless::packet::ChecksumState;
use waitless::{
    BATCH, Context, Duration, Instant, IpPort, Mac, Packet, PathError, PathErrorKind, Protocol,
    Random, info, warn,
};

/// The hop limit of neighbour discovery: no router lets it through, so its sender is on the link
/// (RFC 4861 section 3.1).
const NEAR: u8 = 255;

/// Every router on the link, and those that speak MLDv2.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const REPORTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// How late, at most, an address is asked for that all hosts on the link make at the same time
/// (RFC 4862 section 5.4.2: MAX_RTR_SOLICITATION_DELAY).
const SPREAD: Duration = Duration::from_secs(1);

/// How long it counts at least what a router says of DHCPv6, which need not be one to everywhere:
/// twice as long as routers may be silent (RFC 4861 section 6.2.1: MaxRtrAdvInterval).
const MANAGED_MIN: Duration = Duration::from_secs(2 * 1800);

/// How long to wait before what found no packet is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// ICMP's code for a neighbour that does not answer (RFC 4443 section 3.1).
const NO_NEIGHBOUR: u8 = 3;

/// A hop-by-hop header with a router alert for MLD (RFC 2711), in front of an ICMPv6 message.
const ROUTER_ALERT: [u8; 8] = [Protocol::ICMPV6.0, 0, 5, 2, 0, 0, 1, 0];

impl Ipv6 {
    /// Takes a message of neighbour discovery or group membership, its headers stripped.
    #[inline(never)]
    pub(crate) fn control(
        &mut self,
        header: &Header,
        chain: &Chain,
        packet: Packet,
        cx: &mut Context,
    ) {
        let near = header.hops == NEAR;
        let local = header.source.is_unicast_link_local();
        match is_intact(&packet).then(|| Message::parse(packet.bytes())).flatten() {
            //= RFC 3810 6.2: a question is from the link itself, and says so
            Some(Message::Query(query)) if local && header.hops == 1 && chain.router_alert => {
                self.groups.asked(&query, self.now, &mut cx.random);
            }
            //= RFC 4861 6.1.1: nobody's station makes no sense
            Some(Message::RouterSolicitation(options))
                if header.source.is_unspecified() && options.has_source() =>
            {
                self.counters.control_bad.add(1);
            }
            Some(Message::RouterSolicitation(options)) if near && self.config.advertise => {
                self.counters.solicitations.add(1);
                if let Some(mac) = options.source() {
                    self.neighbours.spoke(header.source, mac, false, self.now);
                    self.changed();
                }
                //= RFC 4861 6.2.6: who asks for routers is none, and may have moved
                self.neighbours.set_router(header.source, false);
                self.advertiser.asked(self.now, &mut cx.random);
            }
            Some(Message::Report | Message::RouterSolicitation(_)) => {
                self.counters.control_ignored.add(1);
            }
            //= RFC 4861 6.1.2: a router speaks from its link-local address, on the link
            Some(Message::RouterAdvertisement(advertisement, options)) if near && local => {
                self.router_advertised(header, &advertisement, options, cx);
            }
            Some(Message::Solicitation(target, options)) if near => {
                let (named, station) = (options.has_source(), options.source());
                self.solicited(header, target, named, station, packet, cx);
            }
            Some(Message::Advertisement(message, options)) if near => {
                self.advertised(header, &message, options.target(), cx);
            }
            Some(Message::Redirect(target, destination, options)) if near && local => {
                self.redirected(header, target, destination, options.target());
            }
            _ => self.counters.control_bad.add(1),
        }
    }

    /// A neighbour asks for an address.
    //= RFC 4861 7.2.3: who asks is remembered, and answered for what is ours
    fn solicited(
        &mut self,
        header: &Header,
        target: Ipv6Addr,
        named: bool,
        station: Option<Mac>,
        packet: Packet,
        cx: &Context,
    ) {
        let checks_for_duplicates = header.source.is_unspecified();
        //= RFC 4861 7.1.1: who is nobody asks a group, and names no station
        let fits = header.destination == solicited_node(target) && !named;
        if target.is_multicast() || (checks_for_duplicates && !fits) {
            return self.counters.control_bad.add(1);
        }
        match self.addresses.find(target).map(|own| own.state) {
            Some(State::Used) => {}
            //= RFC 4862 5.4.3: two hosts want it at the same time. Others wait
            Some(State::Tentative(..)) if checks_for_duplicates => {
                return self.conflict(target, cx);
            }
            _ => return self.counters.control_ignored.add(1),
        }
        self.counters.solicitations.add(1);
        if let Some(mac) = station {
            self.neighbours.spoke(header.source, mac, false, self.now);
            self.changed();
        }
        if self.quiet {
            return;
        }
        // A host that hears of a router that it is none looks for another (RFC 4861 section 7.2.5).
        let router = self.transit.wanted;
        //= RFC 4861 7.2.4: it names the station, and what it says counts
        let answer = Draft::advertisement(target, router, !checks_for_duplicates, self.mac);
        if checks_for_duplicates {
            let to = multicast_mac(ALL_NODES);
            return self.tell(packet, answer, target, ALL_NODES, to);
        }
        match self.neighbours.lookup(header.source, Owner::Host, self.now) {
            Lookup::Known(mac, _) => self.tell(packet, answer, target, header.source, mac),
            Lookup::Full => self.counters.neighbours_full.add(1),
            Lookup::Unknown(index) => match finish(packet, answer, target, header.source) {
                Some(packet) => {
                    let dropped = self.neighbours.wait(index, packet, Owner::Host);
                    self.counters.pending_full.add(dropped);
                }
                None => self.counters.no_room.add(1),
            },
        }
    }

    /// A neighbour says that it has an address (RFC 4861 section 7.2.5, RFC 4862 section 5.4.4).
    fn advertised(
        &mut self,
        header: &Header,
        message: &Advertisement,
        mac: Option<Mac>,
        cx: &Context,
    ) {
        let everybody = header.destination.is_multicast();
        //= RFC 4861 7.1.2: what was asked for does not come to all
        let possible = is_host(message.target) && is_host(header.source);
        if !possible || (everybody && message.solicited) {
            return self.counters.control_bad.add(1);
        }
        //= RFC 4862 5.4.4: another host has it
        if self.addresses.find(message.target).is_some() {
            return self.conflict(message.target, cx);
        }
        match self.neighbours.advertised(message, mac, self.now) {
            Heard::Unknown => return self.counters.control_ignored.add(1),
            Heard::Updated => self.changed(),
            Heard::NoRouter => {
                self.routers.lost(message.target);
                self.refresh();
            }
        }
        self.counters.advertisements.add(1);
    }

    /// Another host has, or wants, an address of ours.
    fn conflict(&mut self, address: Ipv6Addr, cx: &Context) {
        match self.addresses.conflict(address, self.now) {
            None => return self.counters.control_ignored.add(1),
            Some(Conflict::Replaced) => info!(cx, "another host has {address}: taking another"),
            Some(Conflict::GivenUp) => warn!(cx, "another host has {address}: it stays unused"),
            Some(Conflict::Disabled) => {
                warn!(cx, "another host has {address}: IPv6 stays off on this link");
            }
        }
        self.counters.duplicates.add(1);
        self.refresh();
    }

    /// A router advertises itself (RFC 4861 section 6.3.4, RFC 4862 section 5.5.3).
    fn router_advertised(
        &mut self,
        header: &Header,
        advertisement: &RouterAdvertisement,
        options: Options<'_>,
        cx: &mut Context,
    ) {
        if !self.config.autoconfigure {
            return self.counters.control_ignored.add(1);
        }
        self.counters.router_advertisements.add(1);
        let now = self.now;
        let RouterAdvertisement { hops, preference, lifetime, managed, reachable, retransmit } =
            *advertisement;
        if let Some(mac) = options.source() {
            self.neighbours.spoke(header.source, mac, true, now);
        }
        self.neighbours.set_router(header.source, true);
        //= RFC 4861 6.3.4: what a router says of the link, within limits
        // The hop limit only rises: nobody on the link makes answers die on their way.
        self.router_hops = self.router_hops.max(hops);
        self.neighbours.set_times(reachable, retransmit, &mut cx.random);
        if let Some(mtu) = options.mtu().and_then(|mtu| u16::try_from(mtu).ok())
            && (MTU_MIN..=self.mtu).contains(&mtu)
        {
            self.router_mtu = Some(mtu);
        }
        if self.routers.heard(header.source, lifetime, preference, now) && lifetime > 0 {
            info!(cx, "router {}", header.source);
        }
        // The latest counts, but one router may be the server's, and another not say so.
        let (by, until) = self.managed_by;
        if managed >= self.managed || by == header.source || now >= until {
            let lasts = Duration::from_secs(lifetime.into()).max(MANAGED_MIN);
            (self.managed, self.managed_by) = (managed, (header.source, now + lasts));
        }
        for (server, lifetime) in options.name_servers().filter(|(server, _)| is_host(*server)) {
            self.names.server(server, lifetime, now);
        }
        for (domain, lifetime) in options.domains() {
            self.names.domain(domain, lifetime, now);
        }
        // What is told to all makes all ask at once, unless each waits its own time.
        let everybody = header.destination.is_multicast();
        let wait = if everybody { cx.random.below(SPREAD.as_nanos()) } else { 0 };
        for prefix in options.prefixes() {
            if prefix.on_link {
                self.routers.announced(&prefix, now);
            }
            if prefix.autonomous {
                self.addresses.announced(&prefix, now, now + Duration::from_nanos(wait));
            }
        }
        self.refresh();
    }

    /// A router says that another one, or the destination itself, is nearer.
    //= RFC 4861 8.1: it is the one that is used, and the nearer one is on the link
    fn redirected(
        &mut self,
        header: &Header,
        target: Ipv6Addr,
        destination: Ipv6Addr,
        mac: Option<Mac>,
    ) {
        let itself = target == destination;
        let possible = itself || target.is_unicast_link_local();
        if !is_host(destination) || !possible {
            return self.counters.control_bad.add(1);
        }
        let on_link = self.network.is_on_link(destination);
        let from = self.routers.first_hop(destination, &self.neighbours);
        //= RFC 4861 8.2: a router does not follow them
        let taken = self.config.redirects && !self.transit.wanted;
        if !taken || on_link || from != Some(header.source) {
            return self.counters.control_ignored.add(1);
        }
        self.counters.redirects.add(1);
        if let Some(mac) = mac {
            self.neighbours.spoke(target, mac, !itself, self.now);
        }
        //= RFC 4861 8.3: the nearer one is a router, unless it is the destination
        if !itself {
            self.neighbours.set_router(target, true);
        }
        self.routers.redirect(destination, target, self.now);
        self.changed();
    }

    /// Does what is due, a batch at most.
    pub(crate) fn work(&mut self, cx: &mut Context) {
        if self.config.advertise && cx.cores().is_ending() {
            self.advertiser.end(self.now);
        }
        if !self.link_up || self.now < self.control_deadline() {
            return;
        }
        if cx.pool().available() == 0 {
            self.held_until = self.now + RETRY;
            return;
        }
        for _ in 0..BATCH {
            if !self.work_once(cx) {
                break;
            }
        }
        self.counters.neighbours.set(self.neighbours.len() as u64);
    }

    /// When there is something to do.
    pub(crate) fn control_deadline(&self) -> Instant {
        let asked = self.addresses.deadline().min(self.neighbours.deadline());
        let known = self.routers.deadline().min(self.names.deadline());
        let told = self.advertiser.deadline().min(self.groups.deadline());
        asked.min(known).min(told).max(self.held_until)
    }

    /// Does one thing that is due; whether there was one.
    fn work_once(&mut self, cx: &mut Context) -> bool {
        let now = self.now;
        let send = !self.down.is_full() && cx.pool().available() > 0;
        let wait = self.neighbours.retransmit();
        //= RFC 4861 7.2.1, RFC 4862 5.4.2: a group is joined before it is used
        match send.then(|| self.groups.due(now, &mut cx.random)).flatten() {
            Some(Report::New(records)) => {
                self.report_groups(Draft::report(&records), REPORTS, cx);
                return true;
            }
            Some(Report::Old(group)) => {
                self.report_groups(Draft::report_v1(GROUP_REPORT_V1, group), group, cx);
                return true;
            }
            Some(Report::Done(group)) => {
                self.report_groups(Draft::report_v1(GROUP_DONE_V1, group), ALL_ROUTERS, cx);
                return true;
            }
            None => {}
        }
        if let Some(due) = self.addresses.due(now, wait, send) {
            match due {
                addresses::Due::Ask(address) => self.ask_for_duplicate(address, cx),
                addresses::Due::Changed => self.refresh_and_tell(cx),
            }
            return true;
        }
        if let Some(due) = self.neighbours.due(now, send) {
            self.neighbour_due(due, cx);
            return true;
        }
        if self.routers.expire(now) | self.names.expire(now) {
            self.refresh();
            return true;
        }
        if !send {
            return false;
        }
        if self.advertise(cx) {
            return true;
        }
        // Once the link-local address is in use, so that answers need not go to everybody.
        if self.routers.ask(now, &mut cx.random) {
            if self.quiet {
                return true;
            }
            let source = self.addresses.link_local();
            let draft = Draft::router_solicitation(source.map(|_| self.mac));
            self.counters.routers_asked.add(1);
            self.say(draft, source, ALL_ROUTERS, multicast_mac(ALL_ROUTERS), cx);
            return true;
        }
        false
    }

    fn ask_for_duplicate(&mut self, address: Ipv6Addr, cx: &Context) {
        let group = solicited_node(address);
        if self.quiet {
            return;
        }
        self.counters.duplicates_asked.add(1);
        self.say(Draft::solicitation(address, None), None, group, multicast_mac(group), cx);
    }

    fn neighbour_due(&mut self, due: neighbours::Due, cx: &Context) {
        let (address, to, mac) = match due {
            neighbours::Due::Multicast(address) => {
                let group = solicited_node(address);
                (address, group, multicast_mac(group))
            }
            neighbours::Due::Unicast(address, mac) => (address, address, mac),
            neighbours::Due::Failed(address, waiting) => {
                self.routers.unreachable(address);
                self.changed();
                return waiting.map_or((), |waiting| self.undeliverable(waiting));
            }
        };
        let Some(source) = self.network.source_for(address).or(self.addresses.link_local()) else {
            return;
        };
        self.counters.neighbours_asked.add(1);
        self.say(Draft::solicitation(address, Some(self.mac)), Some(source), to, mac, cx);
    }

    /// Tells the transport that its packet's neighbour does not answer, or has the host told whose
    /// packet it is (RFC 4861 section 7.2.2).
    fn undeliverable(&mut self, waiting: Waiting) {
        self.counters.unreachable.add(1);
        let Waiting { packet, owner } = waiting;
        if owner == Owner::Transit {
            return self.give_back(packet);
        }
        let Ok(header) = Header::parse(packet.bytes()) else { return };
        let Some(transport) = packet.bytes().get(HEADER..).and_then(|it| it.first_chunk()) else {
            return;
        };
        let error = PathError {
            kind: PathErrorKind::Unreachable(NO_NEIGHBOUR),
            local: IpAddr::V6(header.source),
            remote: IpAddr::V6(header.destination),
            header: *transport,
        };
        self.report(Protocol(header.next), error);
    }

    /// What is known of the network has changed, perhaps.
    pub(crate) fn refresh(&mut self) {
        let link = self.mtu.min(self.config.mtu.unwrap_or(self.mtu));
        let network = Ipv6Network {
            addresses: self.addresses.used().collect(),
            prefixes: self.routers.prefixes().collect(),
            router: self.routers.len() > 0,
            mtu: link.min(self.router_mtu.unwrap_or(link)),
            servers: self.servers(),
            // RFC 8106 section 5.3.1: what DHCP says comes first.
            search: match self.lease.search.is_empty() {
                true => self.names.search(),
                false => self.lease.search.clone(),
            },
            managed: self.managed,
            duplicates: self.addresses.duplicates().collect(),
        };
        let local = self.addresses.link_local();
        let before = self.network.addresses.iter().any(|it| Some(it.address) == local);
        if network != self.network {
            self.network = network;
            self.generation = self.generation.wrapping_add(1);
        }
        let wanted = self.addresses.iter().filter(|it| it.state != State::Duplicate);
        //= RFC 4861 6.2.2: who advertises listens to who asks for routers
        let routers = self.config.advertise.then_some(ALL_ROUTERS);
        let groups = wanted.map(|it| solicited_node(it.address)).chain(routers);
        self.groups.set(groups, self.now);
        if local.is_some() && !before {
            //= RFC 3810 5.2.13: routers do not believe what nobody says
            self.groups.restart(self.now);
        }
        self.counters.addresses.set(self.network.addresses.len() as u64);
        self.counters.routers.set(self.routers.len() as u64);
        self.changed();
    }

    /// Who knows names: those of DHCPv6 first (RFC 8106 section 5.3.1).
    fn servers(&self) -> Vec<Ipv6Addr, SERVERS> {
        let mut servers = self.lease.servers.clone();
        for server in self.names.servers() {
            if !servers.contains(&server) {
                // Those that are too many are left out.
                let _ = servers.push(server);
            }
        }
        servers
    }

    /// The same, and the operator is told of addresses that are new.
    fn refresh_and_tell(&mut self, cx: &Context) {
        let before = self.network.addresses.clone();
        self.refresh();
        let is_new = |address: Ipv6Addr| before.iter().all(|it| it.address != address);
        for it in self.network.addresses.iter().filter(|it| is_new(it.address)) {
            info!(cx, "address {}/{}", it.address, it.prefix);
        }
    }

    /// Sends a message of neighbour discovery in a packet of its own.
    pub(crate) fn say(
        &mut self,
        draft: Draft,
        from: Option<Ipv6Addr>,
        to: Ipv6Addr,
        mac: Mac,
        cx: &Context,
    ) {
        let source = from.unwrap_or(Ipv6Addr::UNSPECIFIED);
        match cx.packet() {
            Some(packet) => self.tell(packet, draft, source, to, mac),
            None => self.counters.no_room.add(1),
        }
    }

    /// Sends a message of neighbour discovery in `packet`, whatever was in that.
    fn tell(&mut self, packet: Packet, draft: Draft, from: Ipv6Addr, to: Ipv6Addr, mac: Mac) {
        let queued = finish(packet, draft, from, to)
            .is_some_and(|packet| self.down.push_back((mac, packet)).is_ok());
        if !queued {
            self.counters.no_room.add(1);
        }
    }

    /// Sends a report of groups: the link-local address's, or nobody's as long as there is none
    /// (RFC 3810 section 5.2.13).
    fn report_groups(&mut self, draft: Draft, to: Ipv6Addr, cx: &Context) {
        if self.quiet {
            return;
        }
        let source = self.addresses.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
        let report = cx.packet().and_then(|mut packet| {
            draft.write(&mut packet, source, to).ok()?;
            packet.prepend(ROUTER_ALERT).ok()?;
            let mut header = header(source, to, packet.len(), 1);
            header[NEXT] = 0; // hop-by-hop options
            packet.prepend(header).ok().map(|()| packet)
        });
        let mac = multicast_mac(to);
        let queued = report.is_some_and(|packet| self.down.push_back((mac, packet)).is_ok());
        let counter = if queued { &self.counters.group_reports } else { &self.counters.no_room };
        counter.add(1);
    }

    /// The link came up: everything is asked anew.
    pub(crate) fn link_came_up(&mut self, random: &mut Random) {
        let now = self.now;
        self.neighbours.age();
        self.routers.forget_redirects();
        self.managed = Managed::No;
        self.addresses.restart(now);
        self.groups.restart(now);
        if self.config.advertise {
            self.advertiser.start(now);
        }
        if self.config.autoconfigure {
            //= RFC 4861 6.3.7: routers are asked for, a random time later
            // Behind the first questions for duplicates, so that answers can come to us alone.
            let probes = u64::from(self.config.duplicate_probes);
            let asked = self.neighbours.retransmit().times(probes);
            let spread = Duration::from_nanos(random.below(SPREAD.divided_by(10).as_nanos()));
            self.routers.ask_from(now + asked + spread);
        }
        self.refresh();
    }
}

/// A whole packet with a message of neighbour discovery, for the link.
fn finish(mut packet: Packet, draft: Draft, from: Ipv6Addr, to: Ipv6Addr) -> Option<Packet> {
    draft.write(&mut packet, from, to).ok()?;
    let header = header(from, to, packet.len(), NEAR);
    packet.prepend(header).ok().map(|()| packet)
}

fn header(source: Ipv6Addr, destination: Ipv6Addr, payload: usize, hops: u8) -> [u8; HEADER] {
    let (payload, next) = (payload as u16, Protocol::ICMPV6.0);
    Outgoing { source, destination, next, payload, hops, class: 0, flow: 0 }.bytes()
}

/// Whether a message's checksum is right.
fn is_intact(packet: &Packet) -> bool {
    let info = packet.info();
    let length = packet.len() as u16;
    info.checksum == ChecksumState::Verified
        || Checksum::new()
            .pseudo(info.remote, info.local, Protocol::ICMPV6.0, length)
            .add(packet.bytes())
            .is_valid()
}
