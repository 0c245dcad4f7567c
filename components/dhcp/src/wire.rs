//! DHCP messages (RFC 2131 section 2) and their options (RFC 2132, RFC 3396, RFC 3442).

use core::net::Ipv4Addr;
use waitless::packet::NoRoom;
use waitless::{Mac, Packet};

/// The port that clients listen on.
pub(crate) const CLIENT_PORT: u16 = 68;
/// The port that servers listen on.
pub(crate) const SERVER_PORT: u16 = 67;

/// Bytes of the fixed part, the cookie included.
const FIXED: usize = 240;
/// The shortest message that every relay passes on (RFC 1542 section 2.1).
const SHORTEST: usize = 300;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const BROADCAST: u16 = 0x8000;

/// The options that we know, by code.
mod option {
    pub const PAD: u8 = 0;
    pub const MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const MTU: u8 = 26;
    pub const ADDRESS: u8 = 50;
    pub const LEASE: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const WANTED: u8 = 55;
    pub const SIZE: u8 = 57;
    pub const RENEWAL: u8 = 58;
    pub const REBINDING: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const ROUTES: u8 = 121;
    pub const END: u8 = 255;
}

/// The options that a server is asked for; RFC 3442 wants routes before the router.
const WANTED: [u8; 8] = [
    option::MASK,
    option::ROUTES,
    option::ROUTER,
    option::DNS,
    option::MTU,
    option::LEASE,
    option::RENEWAL,
    option::REBINDING,
];

/// The longest message that we take: what one packet of Ethernet carries.
const SIZE_MAX: u16 = 1472;

/// What a message of the client is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Discover = 1,
    Request = 3,
    Decline = 4,
}

/// What a message of a server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// A client's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub ask: Ask,
    pub transaction: u32,
    /// Seconds since the client started to ask.
    pub secs: u16,
    /// Whether the answer must come by broadcast.
    pub broadcast: bool,
    pub mac: Mac,
    /// The address that the client has, or unspecified.
    pub current: Ipv4Addr,
    /// The address that it wants.
    pub requested: Option<Ipv4Addr>,
    /// The server that it has chosen.
    pub server: Option<Ipv4Addr>,
    pub hostname: Option<&'a str>,
}

/// A server's message. Having one proves that it answers our transaction, and that its options
/// are well-formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub kind: Kind,
    /// The address that is offered.
    pub address: Ipv4Addr,
    pub server: Option<Ipv4Addr>,
    pub mask: Option<Ipv4Addr>,
    pub router: Option<Ipv4Addr>,
    /// The default route's router; the outer `None` when there is no table of routes at all.
    pub route: Option<Option<Ipv4Addr>>,
    pub dns: [Ipv4Addr; 3],
    pub mtu: Option<u16>,
    /// In seconds.
    pub lease: Option<u32>,
    pub renewal: Option<u32>,
    pub rebinding: Option<u32>,
}

/// Why a message is not an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoAnswer {
    /// It makes no sense.
    Malformed,
    /// It is for another client, or an earlier transaction.
    Foreign,
}

impl Question<'_> {
    /// Writes the message into an empty packet.
    pub fn write(&self, packet: &mut Packet) -> Result<(), NoRoom> {
        let Mac(mac) = self.mac;
        let flags = if self.broadcast { BROADCAST } else { 0 };
        packet.append(&[REQUEST, 1, 6, 0])?;
        packet.append(&self.transaction.to_be_bytes())?;
        packet.append(&self.secs.to_be_bytes())?;
        packet.append(&flags.to_be_bytes())?;
        packet.append(&self.current.octets())?;
        packet.append(&[0; 12])?; // yiaddr, siaddr, giaddr
        packet.append(&mac)?;
        packet.append(&[0; 10 + 64 + 128])?; // rest of chaddr, sname, file
        packet.append(&COOKIE)?;
        append(packet, option::KIND, &[self.ask as u8])?;
        let [a, b, c, d, e, f] = mac;
        append(packet, option::CLIENT, &[1, a, b, c, d, e, f])?;
        if let Some(requested) = self.requested {
            append(packet, option::ADDRESS, &requested.octets())?;
        }
        if let Some(server) = self.server {
            append(packet, option::SERVER, &server.octets())?;
        }
        if self.ask != Ask::Decline {
            append(packet, option::SIZE, &SIZE_MAX.to_be_bytes())?;
            append(packet, option::WANTED, &WANTED)?;
            if let Some(hostname) = self.hostname {
                append(packet, option::HOSTNAME, hostname.as_bytes())?;
            }
        }
        packet.append(&[option::END])?;
        let padding = SHORTEST.saturating_sub(packet.len());
        packet.extend(padding)?.fill(option::PAD);
        Ok(())
    }
}

impl Answer {
    /// What `bytes` say to the client `mac` about `transaction`.
    pub fn parse(bytes: &[u8], transaction: u32, mac: Mac) -> Result<Self, NoAnswer> {
        let (fixed, options) = bytes.split_first_chunk::<FIXED>().ok_or(NoAnswer::Malformed)?;
        let [op, hardware, length, _, x0, x1, x2, x3, ..] = *fixed;
        if op != REPLY || hardware != 1 || length != 6 || fixed[236..] != COOKIE {
            return Err(NoAnswer::Malformed);
        }
        if u32::from_be_bytes([x0, x1, x2, x3]) != transaction || fixed[28..34] != mac.0 {
            return Err(NoAnswer::Foreign);
        }
        let (sname, file) = (&fixed[44..108], &fixed[108..236]);
        let mut answer = Self {
            kind: Kind::Nak,
            address: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            server: None,
            mask: None,
            router: None,
            route: None,
            dns: [Ipv4Addr::UNSPECIFIED; 3],
            mtu: None,
            lease: None,
            renewal: None,
            rebinding: None,
        };
        let mut kind = None;
        let mut overload = 0;
        answer.take(options, &mut kind, Some(&mut overload))?;
        //= RFC 2131 4.1: options may go on in the places of the file and of the name
        // RFC 2131 section 4.1: the file's place comes first.
        let file = if overload & 1 != 0 { file } else { &[] };
        let sname = if overload & 2 != 0 { sname } else { &[] };
        answer.take(file, &mut kind, None)?;
        answer.take(sname, &mut kind, None)?;
        answer.kind = kind.ok_or(NoAnswer::Malformed)?;
        let joined =
            |code| Joined { places: [options, file, sname].map(Options), code, value: &[] };
        let [router, ..] = addresses(joined(option::ROUTER))?;
        answer.router = Some(router).filter(|router| !router.is_unspecified());
        answer.dns = addresses(joined(option::DNS))?;
        if joined(option::ROUTES).next().is_some() {
            answer.route = Some(default_route(joined(option::ROUTES))?);
        }
        Ok(answer)
    }

    /// Takes the options in `bytes` but for the lists. The first of a kind counts: those that have
    /// one length come in one part. `overload` is where the option of that name goes, which counts
    /// only in the options' own place.
    fn take(
        &mut self,
        bytes: &[u8],
        kind: &mut Option<Kind>,
        mut overload: Option<&mut u8>,
    ) -> Result<(), NoAnswer> {
        for item in Options(bytes) {
            let (code, value) = item?;
            match code {
                option::MASK => self.mask = self.mask.or(Some(address(value)?)),
                option::MTU => self.mtu = self.mtu.or(Some(u16::from_be_bytes(exact(value)?))),
                option::LEASE => self.lease = self.lease.or(Some(seconds(value)?)),
                option::RENEWAL => self.renewal = self.renewal.or(Some(seconds(value)?)),
                option::REBINDING => self.rebinding = self.rebinding.or(Some(seconds(value)?)),
                option::SERVER => self.server = self.server.or(Some(address(value)?)),
                option::KIND => {
                    let said = match exact(value)? {
                        [2] => Kind::Offer,
                        [5] => Kind::Ack,
                        [6] => Kind::Nak,
                        _ => return Err(NoAnswer::Malformed),
                    };
                    *kind = kind.or(Some(said));
                }
                option::OVERLOAD => {
                    let [places] = exact(value)?;
                    if let Some(overload) = overload.take() {
                        *overload = places;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The options of one place: their codes and values. The last is an error where they make no
/// sense.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), NoAnswer>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [option::PAD, rest @ ..] = self.0 {
            self.0 = rest;
        }
        let (code, rest) = match self.0 {
            [] | [option::END, ..] => return None,
            [code, length, rest @ ..] => (*code, rest.split_at_checked(usize::from(*length))),
            [_] => (0, None),
        };
        self.0 = rest.map_or(&[], |(_, rest)| rest);
        Some(rest.map(|(value, _)| (code, value)).ok_or(NoAnswer::Malformed))
    }
}

/// The bytes of a list. One may come in parts, which are cut anywhere.
/// Options with the same code are one, in the order of their places (RFC 3396 section 7).
struct Joined<'a> {
    places: [Options<'a>; 3],
    code: u8,
    /// What is left of the part at hand.
    value: &'a [u8],
}

impl Iterator for Joined<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            if let [first, rest @ ..] = self.value {
                self.value = rest;
                return Some(*first);
            }
            // What makes no sense was found before.
            let (_, value) = self
                .places
                .iter_mut()
                .flatten()
                .filter_map(Result::ok)
                .find(|(code, _)| *code == self.code)?;
            self.value = value;
        }
    }
}

impl Joined<'_> {
    /// The address that begins with `first`.
    fn address(&mut self, first: u8) -> Result<Ipv4Addr, NoAnswer> {
        let mut octets = [first, 0, 0, 0];
        for octet in octets.iter_mut().skip(1) {
            *octet = self.next().ok_or(NoAnswer::Malformed)?;
        }
        Ok(octets.into())
    }
}

fn append(packet: &mut Packet, code: u8, value: &[u8]) -> Result<(), NoRoom> {
    let length = u8::try_from(value.len()).map_err(|_| NoRoom)?;
    packet.append(&[code, length])?;
    packet.append(value)
}

fn exact<const N: usize>(value: &[u8]) -> Result<[u8; N], NoAnswer> {
    value.try_into().map_err(|_| NoAnswer::Malformed)
}

fn address(value: &[u8]) -> Result<Ipv4Addr, NoAnswer> {
    exact::<4>(value).map(Ipv4Addr::from)
}

fn seconds(value: &[u8]) -> Result<u32, NoAnswer> {
    exact(value).map(u32::from_be_bytes)
}

/// The first three of a list of addresses.
fn addresses(mut list: Joined<'_>) -> Result<[Ipv4Addr; 3], NoAnswer> {
    let mut all = [Ipv4Addr::UNSPECIFIED; 3];
    let mut places = all.iter_mut();
    while let Some(first) = list.next() {
        let address = list.address(first)?;
        if let Some(place) = places.next() {
            *place = address;
        }
    }
    Ok(all)
}

/// The router of the default route in a table of classless routes (RFC 3442): destinations as a
/// prefix length and as many octets as that needs, each with its router. Routes to our own link
/// have the router 0.0.0.0.
fn default_route(mut table: Joined<'_>) -> Result<Option<Ipv4Addr>, NoAnswer> {
    let mut default = None;
    while let Some(prefix) = table.next() {
        if prefix > 32 {
            return Err(NoAnswer::Malformed);
        }
        let mut first = table.next();
        for _ in 0..prefix.div_ceil(8) {
            first = table.next();
        }
        let router = table.address(first.ok_or(NoAnswer::Malformed)?)?;
        if prefix == 0 && default.is_none() && !router.is_unspecified() {
            default = Some(router);
        }
    }
    Ok(default)
}
