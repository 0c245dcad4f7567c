use crate::{Mac, Offloads, Packet};
use core::net::Ipv4Addr;

/// A link on which neighbours have addresses: IP packets in, IP packets out.
pub trait LinkPort {
    /// The link's own address.
    fn mac(&self) -> Mac;

    /// The longest IP packet, in bytes.
    fn mtu(&self) -> u16;

    /// What the card below does itself.
    fn offloads(&self) -> Offloads;

    /// Whether packets can be sent and received.
    fn link_up(&self) -> bool;

    /// Whether this core speaks for the host on the link; see
    /// [`NicPort::leads`](crate::NicPort::leads). Known once the link is up.
    fn leads(&self) -> bool {
        true
    }

    /// Whether packets to the claimed address that are sent here come back, translated, instead of
    /// going to a neighbour (hairpinning).
    fn turns_back(&self) -> bool {
        false
    }

    /// Answers for `address` from now on, probes and announces it (RFC 5227); `None` gives the
    /// earlier one up. Claiming the address that is claimed already does nothing.
    fn claim(&mut self, address: Option<Ipv4Addr>);

    /// What became of the claim.
    fn claim_state(&self) -> ClaimState;

    /// The next packet of the EtherType `protocol` for this host, the link's header stripped.
    fn recv(&mut self, protocol: EtherType) -> Option<Packet>;

    /// Queues a packet for the neighbour `to`, whose address the link finds out. `Err` when
    /// there is no room now.
    fn send(&mut self, protocol: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet>;

    /// How many packets [`send`](Self::send) would take now.
    fn room(&self) -> usize;
}

/// What a frame carries (RFC 9542 section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self(0x0800);
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self(0x86dd);
}

/// Who a packet goes to on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextHop {
    /// Every station.
    Broadcast,
    /// The station with this address.
    Mac(Mac),
    /// The station that answers for this IPv4 address.
    Ipv4(Ipv4Addr),
}

/// What became of an address that was claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimState {
    /// Nothing is claimed.
    None,
    /// Asking whether somebody has it.
    Probing,
    /// It is ours.
    Owned,
    /// Somebody else has it, at this address.
    Conflict(Mac),
}
