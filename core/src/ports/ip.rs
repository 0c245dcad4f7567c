use crate::network::v6::{Ipv6Lease, Ipv6Network};
use crate::{Offloads, Packet};
use core::net::{IpAddr, Ipv4Addr};

/// An IP layer, for the transports that stand on it.
pub trait IpPort {
    /// Of how many layers this one is made: whoever stands on it takes a batch of packets for each
    /// in a sweep, so that none waits for another.
    const LAYERS: usize = 1;

    /// The next packet of `protocol` for this host, IP header stripped and checked;
    /// [`Info`](crate::packet::Info) says from where and to where.
    fn recv(&mut self, protocol: Protocol) -> Option<Packet>;

    /// Queues a packet to `info().remote`, from `info().local` or, where that is unspecified,
    /// from [`source_for`](Self::source_for) the remote. A transport that put a pseudo header
    /// into its checksum sets both. `Err` when there is no room now.
    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet>;

    /// How many packets [`send`](Self::send) would take now.
    fn room(&self) -> usize;

    /// The address that a packet to `remote` goes out from; `None` when there is no route.
    fn source_for(&self, remote: IpAddr) -> Option<IpAddr>;

    /// Whether `address` is one of this host's.
    fn is_local(&self, address: IpAddr) -> bool;

    /// Whether `address` is a broadcast (also of a connected network) or multicast address.
    fn is_broadcast(&self, address: IpAddr) -> bool;

    /// The longest IP packet to `remote`, in bytes, IP header included.
    fn mtu(&self, remote: IpAddr) -> u16;

    /// The longest IP packet that the link itself takes, in bytes, whatever is known of the paths
    /// beyond it.
    fn link_mtu(&self) -> u16 {
        self.mtu(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// What the card below does itself.
    fn offloads(&self) -> Offloads;

    /// Hands back a received packet of `protocol`, its transport header not stripped, that
    /// nobody here wants, so that its sender may be told. Dropped, counted, when there is no
    /// room, or when the packet may not be answered (RFC 1122 section 3.2.2).
    fn reject(&mut self, protocol: Protocol, packet: Packet, why: Reject);

    /// The next rejected packet, for the component that tells senders. Its IP header is
    /// restored.
    fn rejected(&mut self) -> Option<(Packet, Reject)>;

    /// Passes on what an ICMP message said of a packet of `protocol` that this host sent.
    /// Dropped, counted, when there is no room.
    fn report(&mut self, protocol: Protocol, error: PathError);

    /// The next such error for the transport `protocol`.
    fn path_error(&mut self, protocol: Protocol) -> Option<PathError>;

    /// Whether this layer waits for somebody to [`configure`](Self::configure) it.
    fn wants_address(&self) -> bool;

    /// Sets what DHCP or a person has found out; `None` takes the address away. A transport
    /// sees a change by [`generation`](Self::generation).
    fn configure(&mut self, configuration: Option<Ipv4Configuration>);

    /// Uses what DHCPv6 gave, instead of what it gave before. A layer of IPv4 has no use for it.
    fn configure_v6(&mut self, lease: &Ipv6Lease) {
        let _ = lease;
    }

    /// What [`configure`](Self::configure) or the manifest set.
    fn configuration(&self) -> Option<&Ipv4Configuration>;

    /// What became of the address on the link.
    fn claim_state(&self) -> crate::ClaimState;

    /// Grows each time an address comes or goes, and when what else [`network`](Self::network)
    /// says, or who knows names, changes.
    fn generation(&self) -> u32;

    /// The address of the link below, for DHCP's client hardware address.
    fn mac(&self) -> crate::Mac;

    /// Whether the link below can send and receive, for DHCP to start over when it comes back.
    fn link_up(&self) -> bool {
        true
    }

    /// How well a packet to `remote` goes out here: the bits of the most specific route, 0 for the
    /// one to everywhere else; `None` when there is no route. What is for everybody goes best where
    /// there is no address yet, as DHCP needs it.
    fn route_bits(&self, remote: IpAddr) -> Option<u8> {
        self.source_for(remote).map(|_| 0)
    }

    /// Whether it can leave packets for others to who forwards them, and takes them back.
    fn forwards(&self) -> bool {
        false
    }

    /// The next packet for another host, for who forwards: from `info().remote` to
    /// `info().local`, with its IP header, which was checked, as were both addresses. Until
    /// somebody asks, such packets are dropped and counted.
    fn transit(&mut self) -> Option<Packet> {
        None
    }

    /// Queues such a packet, which may be another layer's, on its way to `info().local`. Whoever
    /// forwards has seen to its TTL and its length. `Err` when there is no room now; that of this
    /// host's own packets is not used.
    fn forward(&mut self, packet: Packet) -> Result<(), Packet> {
        Err(packet)
    }

    /// Hands back a packet of [`transit`](Self::transit) that goes nowhere, so that its sender may
    /// be told. Dropped, counted, when there is no room or when it may not be answered.
    fn turn_away(&mut self, packet: Packet, why: Reject) {
        let _ = (packet, why);
    }

    /// Whether the link below sends packets back that are [forwarded](Self::forward) to this
    /// layer's own address, as address translation does.
    fn turns_back(&self) -> bool {
        false
    }

    /// Whether packets to and from addresses of this one's family pass here.
    #[inline]
    fn carries(&self, address: IpAddr) -> bool {
        address.is_ipv4()
    }

    /// What an IPv6 layer knows of its network; `None` of one of IPv4.
    fn network(&self) -> Option<&Ipv6Network> {
        None
    }
}

/// An IP protocol number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP (RFC 792).
    pub const ICMP: Self = Self(1);
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// UDP (RFC 768).
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);
}

/// Why a received packet was rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reject {
    /// No such protocol here.
    Protocol,
    /// Nobody listens on the port.
    Port,
    /// Its fragments did not all arrive in time.
    Reassembly,
    /// No route leads to where it should be forwarded.
    Route,
    /// Its next hop does not answer.
    Neighbour,
    /// It was forwarded as often as it may be.
    HopLimit,
    /// It is longer than the next link takes, so many bytes, and must not be fragmented.
    TooBig(u16),
    /// It is not let through.
    Prohibited,
    /// A field of its IP headers is not understood: ICMP's code, which is 0 for IPv4 (RFC 792,
    /// RFC 4443 section 3.4), and where in the packet the field stands.
    Parameter(u8, u16),
}

/// What an ICMP error said of a packet that this host sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathError {
    /// What went wrong.
    pub kind: PathErrorKind,
    /// The local address of the packet in question.
    pub local: IpAddr,
    /// Where it was sent to.
    pub remote: IpAddr,
    /// The first eight bytes of its transport header: both ports, and TCP's sequence number.
    pub header: [u8; 8],
}

/// What went wrong with a packet on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathErrorKind {
    /// Unreachable, with ICMP's code: that of RFC 792 and RFC 1122 section 3.2.2.1 for IPv4, that
    /// of RFC 4443 section 3.1 for IPv6.
    Unreachable(u8),
    /// Longer than the next link takes; its MTU where the router said so, otherwise 0.
    TooBig(u16),
    /// Time exceeded, with ICMP's code.
    TimeExceeded(u8),
    /// Parameter problem, with the pointer; its last byte for IPv6.
    Parameter(u8),
}

/// What an IPv4 host must know of its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4Configuration {
    /// The host's address.
    pub address: Ipv4Addr,
    /// Bits of the network's part, 0 to 32. 32 means that every neighbour but the gateway is
    /// reached through the gateway.
    pub prefix: u8,
    /// The router to everywhere else. It counts as on the link even outside the prefix.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, unspecified where there are fewer.
    pub dns: [Ipv4Addr; 3],
    /// The path's MTU where DHCP gave one, otherwise 0.
    pub mtu: u16,
    /// Networks behind other routers than the gateway, in any order; at most 64.
    pub routes: &'static [Ipv4Route],
}

/// A network that is reached through a router on the link, which counts as on the link even
/// outside the prefix: the network, how many bits of it count (0 to 32), and the router.
pub type Ipv4Route = (Ipv4Addr, u8, Ipv4Addr);
