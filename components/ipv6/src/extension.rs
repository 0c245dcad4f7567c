//! The chain of extension headers (RFC 8200 section 4), walked once, within limits.
//!
//! Hosts may bound what they look at (RFC 8504 section 5.3): there are at most [`HEADERS_MAX`]
//! headers and [`OPTIONS_MAX`] options that are not padding.

use crate::wire::{HEADER, NEXT};

/// Headers between the IPv6 header and the transport's.
const HEADERS_MAX: usize = 8;

/// Options in one packet.
const OPTIONS_MAX: usize = 8;

/// Numbers of headers (RFC 8200 section 4.1 and 4.7).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
const NOTHING: u8 = 59;
const DESTINATION: u8 = 60;

/// Bytes of a fragment header.
pub(crate) const FRAGMENT_HEADER: usize = 8;

/// Codes of a parameter problem (RFC 4443 section 3.4).
pub(crate) const CODE_FIELD: u8 = 0;
pub(crate) const CODE_NEXT: u8 = 1;
const CODE_OPTION: u8 = 2;
pub(crate) const CODE_CHAIN: u8 = 3;

/// Where a chain leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chain {
    /// The number of what stands at `end`.
    pub protocol: u8,
    /// Where the field with that number stands.
    pub field: usize,
    /// Bytes of all headers, the IPv6 header included.
    pub end: usize,
    /// Whether routers were asked to look at the packet (RFC 2711).
    pub router_alert: bool,
    /// The fragment header at which the chain stopped: what is behind it is only a part.
    pub fragment: Option<Fragment>,
    /// Whether there was a fragment header, though the packet is whole (RFC 6946).
    pub atomic: bool,
}

/// What a fragment header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fragment {
    /// The number of what is in pieces.
    pub next: u8,
    /// Where in that this piece's bytes belong.
    pub offset: usize,
    /// Whether others follow behind this one.
    pub more: bool,
    pub identification: u32,
}

/// Why a packet is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing follows, on purpose.
    Empty,
    /// It is dropped without a word.
    Silent,
    /// Its sender is to be told: the code of the parameter problem, and where in the packet.
    Problem(u8, u16),
}

/// Follows the chain of a whole packet, `bytes`, whose destination is a group if `multicast`.
/// In a packet that was `reassembled`, no fragment may hide.
pub(crate) fn walk(bytes: &[u8], multicast: bool, reassembled: bool) -> Result<Chain, Fault> {
    let first = *bytes.get(NEXT).ok_or(Fault::Silent)?;
    let mut chain = Chain::of(first);
    let mut options = OPTIONS_MAX;
    for count in 0..=HEADERS_MAX {
        match chain.protocol {
            //= RFC 8200 4.1: hop-by-hop options stand first or nowhere
            HOP_BY_HOP if count > 0 => return Err(problem(CODE_NEXT, chain.field)),
            HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION if count == HEADERS_MAX => break,
            //= RFC 8200 4.3, RFC 8200 4.6: options are looked at where the packet ends
            HOP_BY_HOP | DESTINATION => {
                let header = whole(bytes, chain.end)?;
                let alert = look_at_options(header, chain.end, multicast, &mut options)?;
                chain.router_alert |= alert && chain.protocol == HOP_BY_HOP;
                step(&mut chain, header);
            }
            ROUTING => {
                let header = whole(bytes, chain.end)?;
                //= RFC 8200 4.4: no type is understood, which matters where segments are left
                // Type 0 is to be treated like that, too (RFC 5095 section 3).
                if header.get(3) != Some(&0) {
                    return Err(problem(CODE_FIELD, chain.end + 2));
                }
                step(&mut chain, header);
            }
            FRAGMENT => {
                let rest = bytes.get(chain.end..).unwrap_or_default();
                let header = rest.first_chunk::<FRAGMENT_HEADER>().ok_or(Fault::Silent)?;
                let fragment = Fragment::parse(*header);
                if reassembled || chain.atomic {
                    return Err(Fault::Silent);
                }
                if fragment.more || fragment.offset > 0 {
                    chain.fragment = Some(fragment);
                    return Ok(chain);
                }
                //= RFC 6946 4: it is whole already, and has nothing to do with other fragments
                chain.atomic = true;
                step(&mut chain, header);
            }
            //= RFC 8200 4.7: what follows no next header is ignored
            NOTHING => return Err(Fault::Empty),
            _ => return Ok(chain),
        }
    }
    Err(Fault::Silent)
}

fn problem(code: u8, at: usize) -> Fault {
    Fault::Problem(code, at as u16)
}

fn step(chain: &mut Chain, header: &[u8]) {
    chain.protocol = header.first().copied().unwrap_or(NOTHING);
    chain.field = chain.end;
    chain.end += header.len();
}

/// The header at `at`, which says its own length in units of 8 bytes, the first not counted.
fn whole(bytes: &[u8], at: usize) -> Result<&[u8], Fault> {
    let length = *bytes.get(at + 1).ok_or(Fault::Silent)?;
    bytes.get(at..at + 8 + usize::from(length) * 8).ok_or(Fault::Silent)
}

/// Looks at the options of the header that stands at `at`; whether there is a router alert.
fn look_at_options(
    header: &[u8],
    at: usize,
    multicast: bool,
    budget: &mut usize,
) -> Result<bool, Fault> {
    const PAD_ONE: u8 = 0;
    const PAD: u8 = 1;
    const ROUTER_ALERT: u8 = 5;
    let mut position = 2;
    let mut alert = false;
    while let Some(&kind) = header.get(position) {
        if kind == PAD_ONE {
            position += 1;
            continue;
        }
        let length = usize::from(*header.get(position + 1).ok_or(Fault::Silent)?);
        let next = position + 2 + length;
        if next > header.len() {
            return Err(Fault::Silent);
        }
        if kind != PAD {
            *budget = budget.checked_sub(1).ok_or(Fault::Silent)?;
            alert |= kind == ROUTER_ALERT && length == 2;
            //= RFC 8200 4.2: its first bits say what to do with an option that is not understood
            match kind >> 6 {
                _ if kind == ROUTER_ALERT => {}
                0 => {}
                0b11 if multicast => return Err(Fault::Silent),
                0b10 | 0b11 => return Err(problem(CODE_OPTION, at + position)),
                _ => return Err(Fault::Silent),
            }
        }
        position = next;
    }
    Ok(alert)
}

/// The kind of the ICMPv6 message in a whole packet, behind whatever headers. `None` where it has
/// another transport; 0, which is an error's, where it cannot be seen what it is.
pub(crate) fn icmp_kind(bytes: &[u8]) -> Option<u8> {
    const HIDDEN: Option<u8> = Some(0);
    let (Some(mut next), Some(mut rest)) = (bytes.get(NEXT).copied(), bytes.get(HEADER..)) else {
        return HIDDEN;
    };
    for _ in 0..=HEADERS_MAX {
        let header = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => whole(rest, 0).ok(),
            FRAGMENT => rest.get(..FRAGMENT_HEADER),
            58 => return rest.first().copied().or(HIDDEN),
            _ => return None,
        };
        let Some(header @ [following, _, o0, o1, ..]) = header else { return HIDDEN };
        // What a later fragment has is a part of something: of what, the first one says.
        let later = next == FRAGMENT && u16::from_be_bytes([*o0, *o1]) >> 3 > 0;
        if later {
            let other = !matches!(*following, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION | 58);
            return if other { None } else { HIDDEN };
        }
        (next, rest) = (*following, rest.get(header.len()..).unwrap_or_default());
    }
    HIDDEN
}

impl Chain {
    /// That of a packet without extension headers, whose transport's is `protocol`.
    #[inline]
    pub fn of(protocol: u8) -> Self {
        let (router_alert, fragment, atomic) = (false, None, false);
        Self { protocol, field: NEXT, end: HEADER, router_alert, fragment, atomic }
    }
}

impl Fragment {
    fn parse(bytes: [u8; FRAGMENT_HEADER]) -> Self {
        let [next, _, o0, o1, i0, i1, i2, i3] = bytes;
        let field = u16::from_be_bytes([o0, o1]);
        Self {
            next,
            offset: usize::from(field & !7),
            more: field & 1 != 0,
            identification: u32::from_be_bytes([i0, i1, i2, i3]),
        }
    }
}

/// What a first fragment holds of its packet's headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beginning {
    /// The whole chain, and the begin of the transport's header.
    Whole,
    /// Less than that.
    Cut,
    /// Less, and it may be an ICMP error; or more headers than anybody looks at.
    Hidden,
}

/// What of the headers `bytes` hold, which are in pieces; `next` is the number of the first.
//= RFC 7112 5: a first fragment holds all headers, the transport's among them
pub(crate) fn beginning(bytes: &[u8], next: u8) -> Beginning {
    let (mut next, mut at) = (next, 0);
    for _ in 0..HEADERS_MAX {
        let least = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let Ok(header) = whole(bytes, at) else { return Beginning::Cut };
                next = header.first().copied().unwrap_or(NOTHING);
                at += header.len();
                continue;
            }
            6 => 20,
            17 | 58 => 8,
            _ => 0,
        };
        return match at + least <= bytes.len() {
            true => Beginning::Whole,
            false if next == 58 => Beginning::Hidden,
            false => Beginning::Cut,
        };
    }
    Beginning::Hidden
}
