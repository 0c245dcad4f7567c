//! ICMP messages (RFC 792) and the packets that they quote.

use core::net::Ipv4Addr;
use waitless::checksum::checksum;
use waitless::{PathErrorKind, Protocol, Reject};

/// Bytes of a message's header.
pub(crate) const HEADER: usize = 8;

/// Bytes of an IP header as it is sent.
pub(crate) const IP_HEADER: usize = 20;

/// Bytes of the longest error, its IP header included (RFC 1812 section 4.3.2.3).
pub(crate) const ERROR_MAX: usize = 576;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER: u8 = 12;

const CODE_NETWORK: u8 = 0;
const CODE_HOST: u8 = 1;
const CODE_PROTOCOL: u8 = 2;
const CODE_PORT: u8 = 3;
const CODE_TOO_BIG: u8 = 4;
const CODE_PROHIBITED: u8 = 13;
const CODE_TRANSIT: u8 = 0;
const CODE_REASSEMBLY: u8 = 1;

/// The highest code of an unreachable destination (RFC 1812 section 5.2.7.1).
const UNREACHABLE_MAX: u8 = 15;

/// What a message wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// An answer.
    Echo,
    /// To answer what nobody here has asked.
    Reply,
    /// To tell a transport.
    Error(PathErrorKind),
    /// What hosts must not follow, or need not: source quench (RFC 6633) and redirects.
    Ignored,
    /// Nothing that we know.
    Unknown,
}

impl Message {
    #[inline]
    pub fn parse(header: [u8; HEADER]) -> Self {
        let [kind, code, _, _, pointer, _, m0, m1] = header;
        match (kind, code) {
            (ECHO, 0) => Self::Echo,
            (ECHO_REPLY, 0) => Self::Reply,
            (UNREACHABLE, CODE_TOO_BIG) => {
                Self::Error(PathErrorKind::TooBig(u16::from_be_bytes([m0, m1])))
            }
            (UNREACHABLE, ..=UNREACHABLE_MAX) => Self::Error(PathErrorKind::Unreachable(code)),
            //= RFC 1122 3.2.2.4: that its time was over is told the transport
            (TIME_EXCEEDED, 0 | 1) => Self::Error(PathErrorKind::TimeExceeded(code)),
            (PARAMETER, _) => Self::Error(PathErrorKind::Parameter(pointer)),
            //= RFC 9293 3.9.2.2 MUST-55: source quench is ignored
            (SOURCE_QUENCH | REDIRECT, _) => Self::Ignored,
            _ => Self::Unknown,
        }
    }
}

/// Makes the echo request at the front of `message` a reply; only the type and the checksum
/// change.
#[inline]
pub(crate) fn reply(message: &mut [u8]) {
    if let Some([kind, _, c0, c1, ..]) = message.first_chunk_mut::<HEADER>() {
        *kind = ECHO_REPLY;
        // RFC 1624: the word that changes goes from 0x0800 to 0, so the sum's complement grows by
        // that, carried around.
        let (sum, carry) = u16::from_be_bytes([*c0, *c1]).overflowing_add(u16::from(ECHO) << 8);
        [*c0, *c1] = (sum + u16::from(carry)).to_be_bytes();
    }
}

/// Makes the checksum of `message`.
pub(crate) fn seal(message: &mut [u8]) {
    if let Some(sum) = message.get_mut(2..4) {
        sum.fill(0);
    }
    let made = checksum(message);
    if let Some(sum) = message.get_mut(2..4) {
        sum.copy_from_slice(&made.to_be_bytes());
    }
}

/// The header of the error that tells of `why`, its checksum zero.
pub(crate) fn error(why: Reject) -> [u8; HEADER] {
    let (kind, code) = match why {
        //= RFC 1122 3.2.2.1: nobody speaks that, or listens there
        Reject::Protocol => (UNREACHABLE, CODE_PROTOCOL),
        Reject::Port => (UNREACHABLE, CODE_PORT),
        Reject::Reassembly => (TIME_EXCEEDED, CODE_REASSEMBLY),
        //= RFC 1812 5.2.7.1: without a route, the network is unreachable
        Reject::Route => (UNREACHABLE, CODE_NETWORK),
        Reject::Neighbour => (UNREACHABLE, CODE_HOST),
        //= RFC 1812 5.3.1: who sent a packet whose time is over is told
        Reject::HopLimit => (TIME_EXCEEDED, CODE_TRANSIT),
        Reject::Prohibited => (UNREACHABLE, CODE_PROHIBITED),
        //= RFC 1191 4: the next link's MTU stands in the lower half of the second word
        Reject::TooBig(mtu) => {
            let [m0, m1] = mtu.to_be_bytes();
            return [UNREACHABLE, CODE_TOO_BIG, 0, 0, 0, 0, m0, m1];
        }
        // The pointer is a byte here.
        Reject::Parameter(_, pointer) => {
            return [PARAMETER, 0, 0, 0, pointer.min(255) as u8, 0, 0, 0];
        }
    };
    [kind, code, 0, 0, 0, 0, 0, 0]
}

/// What an error quotes of the packet in question. Having one proves that it is the first part of
/// an IPv4 packet with at least 8 bytes of its transport's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quote {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: Protocol,
    pub transport: [u8; 8],
}

impl Quote {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [version, _, l0, l1, _, _, f0, f1, _, protocol, _, _, rest @ ..] =
            *bytes.first_chunk::<20>()?;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = rest;
        let length = usize::from(version & 15) * 4;
        let transport = *bytes.get(length..)?.first_chunk::<8>()?;
        let total = usize::from(u16::from_be_bytes([l0, l1]));
        let first = u16::from_be_bytes([f0, f1]) & 0x1fff == 0;
        let sense = version >> 4 == 4 && length >= 20 && total >= length + 8 && first;
        sense.then_some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            protocol: Protocol(protocol),
            transport,
        })
    }
}
