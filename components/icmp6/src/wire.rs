//! ICMPv6 messages (RFC 4443) and the packets that they quote.

use core::net::Ipv6Addr;
use waitless::{PathErrorKind, Protocol, Reject};

/// Bytes of a message's header.
pub(crate) const HEADER: usize = 8;

/// Bytes of the longest error, its IPv6 header included.
//= RFC 4443 2.4.c: as much as fits into what every link takes
pub(crate) const ERROR_MAX: usize = 1280;

/// Bytes of an IPv6 header.
pub(crate) const IP_HEADER: usize = 40;

const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER: u8 = 4;
const FIRST_INFORMATIONAL: u8 = 128;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

const CODE_ADDRESS: u8 = 3;
const CODE_PORT: u8 = 4;
const CODE_REASSEMBLY: u8 = 1;
const CODE_NEXT_HEADER: u8 = 1;

/// Extension headers that a quoted packet may have in front of its transport's.
const EXTENSIONS_MAX: usize = 8;

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    EchoRequest,
    EchoReply,
    Error(PathErrorKind),
    /// An error of an unknown kind.
    UnknownError,
    /// Anything else of an unknown kind, which is dropped (RFC 4443 section 2.4 (b)).
    Unknown,
}

impl Message {
    pub fn parse(header: [u8; HEADER]) -> Self {
        let [kind, code, _, _, rest @ ..] = header;
        let number = u32::from_be_bytes(rest);
        match kind {
            ECHO_REQUEST => Self::EchoRequest,
            ECHO_REPLY => Self::EchoReply,
            UNREACHABLE => Self::Error(PathErrorKind::Unreachable(code)),
            // An MTU that no packet reaches limits nothing.
            TOO_BIG => {
                let mtu = u16::try_from(number).unwrap_or(u16::MAX);
                Self::Error(PathErrorKind::TooBig(mtu))
            }
            TIME_EXCEEDED => Self::Error(PathErrorKind::TimeExceeded(code)),
            PARAMETER => Self::Error(PathErrorKind::Parameter(number as u8)),
            //= RFC 4443 2.4.a: an unknown error is told nobody
            _ if kind < FIRST_INFORMATIONAL => Self::UnknownError,
            //= RFC 4443 2.4.b: anything else that is unknown is dropped
            _ => Self::Unknown,
        }
    }
}

/// Makes an echo request its reply. The checksum is the caller's.
pub(crate) fn reply(message: &mut [u8]) {
    if let Some(kind) = message.first_mut() {
        *kind = ECHO_REPLY;
    }
    set_checksum(message, 0);
}

/// Writes the checksum.
pub(crate) fn set_checksum(message: &mut [u8], sum: u16) {
    if let Some(room) = message.get_mut(2..4) {
        room.copy_from_slice(&sum.to_be_bytes());
    }
}

/// The header of the error that tells of `why`, its checksum zero.
pub(crate) fn error(why: Reject) -> [u8; HEADER] {
    let (kind, code, number) = match why {
        // Where the packet has no extension header, the number stands in the IPv6 header.
        Reject::Protocol => (PARAMETER, CODE_NEXT_HEADER, 6),
        //= RFC 4443 3.1: nobody listens there, or nobody is there
        Reject::Port => (UNREACHABLE, CODE_PORT, 0),
        Reject::Reassembly => (TIME_EXCEEDED, CODE_REASSEMBLY, 0),
        Reject::Route => (UNREACHABLE, 0, 0),
        Reject::Neighbour => (UNREACHABLE, CODE_ADDRESS, 0),
        Reject::HopLimit => (TIME_EXCEEDED, 0, 0),
        Reject::Prohibited => (UNREACHABLE, 1, 0),
        //= RFC 4443 3.2: the next link takes no more than that
        Reject::TooBig(mtu) => (TOO_BIG, 0, mtu),
        //= RFC 4443 3.4: where in the packet it was not understood
        Reject::Parameter(code, at) => (PARAMETER, code, at),
    };
    let [p0, p1] = number.to_be_bytes();
    [kind, code, 0, 0, 0, 0, p0, p1]
}

/// What an error quotes of the packet in question. Having one proves that it is the first part of
/// an IPv6 packet with at least 8 bytes of its transport's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quote {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub protocol: Protocol,
    pub transport: [u8; 8],
}

impl Quote {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_first_chunk::<IP_HEADER>()?;
        let [version, _, _, _, _, _, next, _, addresses @ ..] = *fixed;
        if version >> 4 != 6 {
            return None;
        }
        let mut halves = addresses.as_chunks::<16>().0.iter();
        let (source, destination) = (halves.next()?, halves.next()?);
        let (mut next, mut count) = (next, 0);
        loop {
            let length = match next {
                _ if count > EXTENSIONS_MAX => return None,
                0 | 43 | 60 => 8 + 8 * usize::from(*rest.get(1)?),
                // Behind a later fragment's header there is no transport's.
                44 if rest.get(2..4)? == [0, 0] || rest.get(2..4)? == [0, 1] => 8,
                44 => return None,
                _ => break,
            };
            next = *rest.first()?;
            rest = rest.get(length..)?;
            count += 1;
        }
        Some(Self {
            source: (*source).into(),
            destination: (*destination).into(),
            protocol: Protocol(next),
            transport: *rest.first_chunk()?,
        })
    }
}
