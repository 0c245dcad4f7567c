//! A network for one guest, without any rights: what QEMU calls user networking.
//!
//! The guest sees the network 10.0.2.0/24 with a gateway that answers ARP and pings, gives it an
//! address by DHCP, forwards names' questions, and leads its TCP connections and UDP datagrams
//! out through sockets of this process. The other way, ports of this machine lead to the guest's.
//! TCP towards the guest is smoltcp's; this file sorts the frames.
//!
//! Everything is bounded: connections, datagrams' associations, bytes and frames that wait. Who
//! is faster waits for the other side, and what cannot wait is dropped and counted.
//!
//! It does not: carry IPv6, fragments, other protocols, or pings to anybody but the gateway.

mod datagrams;
mod dhcp;
mod frame;
mod streams;
mod wire;

#[cfg(test)]
mod tests;

use datagrams::Datagrams;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smoltcp::iface::{Interface, SocketSet};
use smoltcp::wire::{
    ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpCidr, IpProtocol,
    Ipv4Packet, UdpPacket,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use streams::Streams;
use wire::Wire;

/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The gateway's address, behind which the guest finds this machine's 127.0.0.1.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The name server's address.
pub const NAMESERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// How many bits of the addresses are the network's.
const PREFIX: u8 = 24;
/// The gateway's Ethernet address.
pub const GATEWAY_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);
/// The port of name servers.
const DNS: u16 = 53;
/// How often a network is looked at whose guest takes nothing.
const FULL: Duration = Duration::from_millis(100);

/// What leads into the network, and where names are asked for.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Ports of this machine that lead to ports of the guest.
    pub forwards: Vec<Forward>,
    /// The name server that this machine uses.
    pub nameserver: Option<SocketAddr>,
}

/// A port of this machine's 127.0.0.1 that leads to a port of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Its protocol.
    pub protocol: Protocol,
    /// The port here; 0 for any that is free.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
}

/// What is forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// What was dropped, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drops {
    /// Frames that are for somebody else, or too short.
    pub not_for_us: u64,
    /// Packets of other protocols than IPv4's TCP, UDP and ICMP, and ARP.
    pub protocol: u64,
    /// Packets whose header is wrong, or fragments.
    pub malformed: u64,
    /// Datagrams and pings to where none can be sent.
    pub unreachable: u64,
    /// Datagrams that are too long for the guest's network.
    pub too_long: u64,
    /// What would have exceeded a limit.
    pub limit: u64,
}

/// The network.
pub struct Network {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    streams: Streams,
    datagrams: Datagrams,
    nameserver: Option<SocketAddr>,
    guest: Guest,
    drops: Drops,
}

/// What is known of the guest.
#[derive(Clone, Copy, Debug)]
struct Guest {
    address: Ipv4Addr,
    mac: Option<EthernetAddress>,
}

impl Network {
    /// The network at time zero.
    ///
    /// # Errors
    /// When a port of this machine is taken.
    pub fn new(config: &Config) -> io::Result<Self> {
        let mut wire = Wire::default();
        let hardware = smoltcp::wire::HardwareAddress::Ethernet(GATEWAY_MAC);
        let mut settings = smoltcp::iface::Config::new(hardware);
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|why| io::Error::other(why.to_string()))?;
        settings.random_seed = u64::from_ne_bytes(seed);
        let start = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(settings, &mut wire, start);
        interface.update_ip_addrs(|addresses| {
            for address in [GATEWAY, NAMESERVER] {
                // There is room for two: that is smoltcp's default.
                let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), PREFIX));
            }
        });
        // Connections to anywhere end here: they are led on.
        interface.set_any_ip(true);
        let routed = interface.routes_mut().add_default_ipv4_route(GATEWAY);
        routed.map_err(|why| io::Error::other(why.to_string()))?;
        Ok(Self {
            wire,
            interface,
            sockets: SocketSet::new(Vec::new()),
            streams: Streams::new(&config.forwards)?,
            datagrams: Datagrams::new(&config.forwards)?,
            nameserver: config.nameserver,
            guest: Guest { address: GUEST, mac: None },
            drops: Drops::default(),
        })
    }

    /// The ports of this machine that lead to the guest, with the numbers that they got.
    pub fn forwards(&self) -> Vec<Forward> {
        self.streams.forwards().chain(self.datagrams.forwards()).collect()
    }

    /// How many frames there is room for from the guest.
    pub fn room(&self) -> usize {
        self.wire.room_in()
    }

    /// Takes a frame that the guest sent.
    pub fn put(&mut self, frame: Vec<u8>, now: Duration) {
        let Ok(ethernet) = EthernetFrame::new_checked(&frame[..]) else {
            self.drops.not_for_us += 1;
            return;
        };
        let (source, target) = (ethernet.src_addr(), ethernet.dst_addr());
        if !source.is_unicast() || target != GATEWAY_MAC && !target.is_broadcast() {
            self.drops.not_for_us += 1;
            return;
        }
        self.guest.mac = Some(source);
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                let asked = ArpPacket::new_checked(ethernet.payload()).is_ok_and(|arp| {
                    [GATEWAY.octets(), NAMESERVER.octets()]
                        .iter()
                        .any(|own| arp.protocol_len() == 4 && arp.target_protocol_addr() == own)
                });
                match asked {
                    true => self.wire.put(frame),
                    // Only the gateway's addresses are here; the guest may look for others.
                    false => self.drops.not_for_us += 1,
                }
            }
            EthernetProtocol::Ipv4 => self.put_ipv4(frame, now),
            _ => self.drops.protocol += 1,
        }
    }

    fn put_ipv4(&mut self, frame: Vec<u8>, now: Duration) {
        let packet = EthernetFrame::new_unchecked(&frame[..]);
        let Ok(packet) = Ipv4Packet::new_checked(packet.payload()) else {
            self.drops.malformed += 1;
            return;
        };
        let fragment = packet.more_frags() || packet.frag_offset() != 0;
        if packet.version() != 4 || fragment || !packet.verify_checksum() {
            self.drops.malformed += 1;
            return;
        }
        let (source, target) = (packet.src_addr(), packet.dst_addr());
        if is_guest(source) {
            self.guest.address = source;
        }
        match packet.next_header() {
            IpProtocol::Tcp => {
                let target = |at| translate(at, self.nameserver);
                let streams = &mut self.streams;
                streams.put(frame, now, &mut self.wire, &self.sockets, &mut self.drops, target);
            }
            IpProtocol::Icmp if target == GATEWAY || target == NAMESERVER => self.wire.put(frame),
            IpProtocol::Icmp => self.drops.unreachable += 1,
            IpProtocol::Udp => match UdpPacket::new_checked(packet.payload()) {
                Ok(datagram) if datagram.verify_checksum(&source.into(), &target.into()) => {
                    let from = SocketAddrV4::new(source, datagram.src_port());
                    let to = SocketAddrV4::new(target, datagram.dst_port());
                    // The borrow of the frame ends here; datagrams are short.
                    let payload = datagram.payload().to_vec();
                    self.put_datagram(from, to, &payload, now);
                }
                _ => self.drops.malformed += 1,
            },
            _ => self.drops.protocol += 1,
        }
    }

    fn put_datagram(&mut self, from: SocketAddrV4, to: SocketAddrV4, bytes: &[u8], now: Duration) {
        let here = to.ip().is_broadcast() || *to.ip() == GATEWAY;
        if to.port() == dhcp::SERVER && here {
            if let Some(answer) = dhcp::answer(bytes) {
                let server = SocketAddrV4::new(GATEWAY, dhcp::SERVER);
                let client = SocketAddrV4::new(answer.to, dhcp::CLIENT);
                let mac = answer.mac;
                self.wire.send(frame::datagram(mac, server, client, &answer.message));
            }
            return;
        }
        let outside = translate(to, self.nameserver);
        self.datagrams.put(from, to, outside, bytes, now, &mut self.drops);
    }

    /// The next frame to the guest.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.wire.take()
    }

    /// Moves what can be moved between the guest's side and the sockets.
    pub fn poll(&mut self, now: Duration) {
        let at = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        self.datagrams.poll(&self.guest, &mut self.wire, now, &mut self.drops);
        self.streams.open(&mut self.interface, &mut self.sockets, &mut self.wire, &self.guest, now);
        // Once to hear what the guest said, once more to answer what this let the host say.
        for _ in 0..2 {
            self.interface.poll(at, &mut self.wire, &mut self.sockets);
            self.streams.pump(&mut self.sockets);
        }
        self.interface.poll(at, &mut self.wire, &mut self.sockets);
        self.streams.sweep(&mut self.sockets, self.wire.has_room_out());
    }

    /// How long nothing happens by itself from `now` on.
    pub fn delay(&mut self, now: Duration) -> Option<Duration> {
        let unfinished = self.streams.is_unfinished(&self.sockets);
        if !self.wire.has_room_out() {
            // The guest says when it takes more; timers are looked at now and then.
            return Some(FULL);
        }
        if unfinished || self.datagrams.is_unfinished() {
            return Some(Duration::ZERO);
        }
        let at = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        let tcp = self.interface.poll_delay(at, &self.sockets);
        let tcp = tcp.map(|delay| Duration::from_micros(delay.total_micros()));
        let idle = self.streams.has_pending() || self.datagrams.is_busy();
        let idle = idle.then_some(Duration::from_secs(1));
        [tcp, idle, self.streams.pause(now)].into_iter().flatten().min()
    }

    /// Sleeps until a socket or `wake` has something to read, or can be written again, or `delay`
    /// is over.
    ///
    /// # Errors
    /// When the operating system cannot wait.
    pub fn wait(&mut self, wake: BorrowedFd<'_>, delay: Option<Duration>) -> io::Result<()> {
        let mut watched = vec![PollFd::from_borrowed_fd(wake, PollFlags::IN)];
        self.streams.watch(&self.sockets, &mut watched);
        self.datagrams.watch(&mut watched);
        let timeout = delay.map(|delay| Timespec {
            tv_sec: delay.as_secs().min(3600) as _,
            tv_nsec: delay.subsec_nanos() as _,
        });
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
        let ready: Vec<PollFlags> = watched.iter().map(PollFd::revents).collect();
        drop(watched);
        let mut ready = ready.into_iter().skip(1);
        self.streams.ready(&self.sockets, &mut ready);
        self.datagrams.ready(&mut ready);
        Ok(())
    }

    /// What was dropped.
    pub fn drops(&self) -> Drops {
        let mut drops = self.drops;
        drops.limit += self.wire.overflows();
        drops
    }

    /// Connections that are open or being opened.
    pub fn connections(&self) -> usize {
        self.streams.count()
    }
}

/// Whether an address can be the guest's.
fn is_guest(address: Ipv4Addr) -> bool {
    let same = address.octets()[..3] == GATEWAY.octets()[..3];
    same && address != GATEWAY && address != NAMESERVER && !matches!(address.octets()[3], 0 | 255)
}

/// Where outside a target of the guest's is; `None` where it can send nothing to.
fn translate(target: SocketAddrV4, nameserver: Option<SocketAddr>) -> Option<SocketAddr> {
    let address = *target.ip();
    if address == NAMESERVER {
        return nameserver.filter(|_| target.port() == DNS);
    }
    if address == GATEWAY {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, target.port())));
    }
    let inside = address.octets()[..3] == GATEWAY.octets()[..3];
    let special = address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0;
    let can = !inside && !special && target.port() != 0;
    can.then_some(SocketAddr::new(IpAddr::V4(address), target.port()))
}

/// The first name server that this machine uses, by its `resolv.conf`.
pub fn nameserver() -> Option<SocketAddr> {
    nameserver_in(&std::fs::read_to_string("/etc/resolv.conf").ok()?)
}

fn nameserver_in(text: &str) -> Option<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).map(|ip| SocketAddr::new(ip, DNS)).next()
}
