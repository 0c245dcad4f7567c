//! ARP for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;
use waitless::Mac;

/// Bytes of a packet.
pub(crate) const LENGTH: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const FORMAT: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// What a packet asks or says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Request,
    Reply,
}

/// A packet's meaning. Having one proves that it is about IPv4 over Ethernet, and that its sender
/// is one station and, unless it is a probe (RFC 5227 section 1.1), one host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub operation: Operation,
    pub sender_mac: Mac,
    /// Unspecified in a probe.
    pub sender: Ipv4Addr,
    pub target_mac: Mac,
    pub target: Ipv4Addr,
}

impl Message {
    /// What `bytes` mean; `None` when they make no sense. Padding may follow.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [format @ .., o0, o1] = *bytes.first_chunk::<8>()?;
        let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, s0, s1, s2, s3, rest @ ..] =
            *bytes.first_chunk::<LENGTH>()?;
        let [g, h, i, j, k, l, t0, t1, t2, t3] = rest;
        let operation = match [o0, o1] {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return None,
        };
        let message = Self {
            operation,
            sender_mac: Mac([a, b, c, d, e, f]),
            sender: Ipv4Addr::new(s0, s1, s2, s3),
            target_mac: Mac([g, h, i, j, k, l]),
            target: Ipv4Addr::new(t0, t1, t2, t3),
        };
        let sense = !message.sender_mac.is_multicast()
            && message.sender_mac != Mac::default()
            && !message.sender.is_multicast()
            && !message.sender.is_broadcast()
            && !message.sender.is_loopback();
        (format == FORMAT && sense).then_some(message)
    }

    pub fn bytes(self) -> [u8; LENGTH] {
        let [f0, f1, f2, f3, f4, f5] = FORMAT;
        let operation = if self.operation == Operation::Request { 1 } else { 2 };
        let Mac([a, b, c, d, e, f]) = self.sender_mac;
        let [s0, s1, s2, s3] = self.sender.octets();
        let Mac([g, h, i, j, k, l]) = self.target_mac;
        let [t0, t1, t2, t3] = self.target.octets();
        [
            f0, f1, f2, f3, f4, f5, 0, operation, a, b, c, d, e, f, s0, s1, s2, s3, g, h, i, j, k,
            l, t0, t1, t2, t3,
        ]
    }
}
