//! Messages of neighbour discovery (RFC 4861 section 4) and of group membership (RFC 3810
//! section 5, RFC 2710 section 3).

use core::net::Ipv6Addr;
use heapless::String;
use waitless::checksum::Checksum;
use waitless::network::names::{NAME_MAX, read_name};
use waitless::network::v6::{Managed, mask};
use waitless::{Mac, Packet, Protocol};

pub(crate) const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
pub(crate) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
pub(crate) const REDIRECT: u8 = 137;
pub(crate) const GROUP_QUERY: u8 = 130;
pub(crate) const GROUP_REPORT_V1: u8 = 131;
pub(crate) const GROUP_DONE_V1: u8 = 132;
pub(crate) const GROUP_REPORT: u8 = 143;

/// Flags of a neighbour advertisement.
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Flags of a router advertisement.
const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;

/// Flags of a prefix.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// Options (RFC 4861 section 4.6).
const SOURCE_STATION: u8 = 1;
const TARGET_STATION: u8 = 2;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const NAME_SERVERS: u8 = 25;
const SEARCH_LIST: u8 = 31;

/// Seconds for which an advertisement counts, and for which its networks do (RFC 4861 section
/// 6.2.1: AdvDefaultLifetime, AdvValidLifetime, AdvPreferredLifetime).
const ROUTER_LIFETIME: u16 = 1_800;
const VALID_LIFETIME: u32 = 2_592_000;
const PREFERRED_LIFETIME: u32 = 604_800;

/// Where the checksum stands in a message.
const CHECKSUM: usize = 2;

/// Bytes of the longest message that this host sends: a report of 18 groups.
pub(crate) const MESSAGE_MAX: usize = 8 + 20 * crate::groups::GROUPS_MAX;

/// Whether messages of this kind are the layer's own, and not for ICMP.
#[inline]
pub(crate) fn is_control(kind: u8) -> bool {
    matches!(kind, ROUTER_SOLICITATION..=REDIRECT | GROUP_QUERY..=GROUP_DONE_V1 | GROUP_REPORT)
}

/// A message. Having one proves that its length and its options are right; that it comes from the
/// link, and from whom it may, is still to be checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message<'a> {
    RouterSolicitation(Options<'a>),
    RouterAdvertisement(RouterAdvertisement, Options<'a>),
    Solicitation(Ipv6Addr, Options<'a>),
    Advertisement(Advertisement, Options<'a>),
    /// The better first hop, and for which destination.
    Redirect(Ipv6Addr, Ipv6Addr, Options<'a>),
    Query(Query),
    /// Another host listens to a group, or does not any more.
    Report,
}

/// What a router says of itself and of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RouterAdvertisement {
    /// How many routers packets should be able to pass; 0 says nothing.
    pub hops: u8,
    /// Whether it is better, as good, or worse than others (RFC 4191 section 2.1): 1, 0 or -1.
    pub preference: i8,
    /// Seconds for which it is a router to everywhere else.
    pub lifetime: u16,
    /// What it says of DHCPv6.
    pub managed: Managed,
    /// Milliseconds, 0 where it does not say.
    pub reachable: u32,
    pub retransmit: u32,
}

/// What a neighbour says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Advertisement {
    pub target: Ipv6Addr,
    pub router: bool,
    pub solicited: bool,
    pub replaces: bool,
}

/// Who is asked which groups it listens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Query {
    /// Everybody, where unspecified.
    pub group: Ipv6Addr,
    /// Within how many milliseconds to answer.
    pub delay: u32,
    /// Whether only RFC 2710 is spoken.
    pub old: bool,
}

/// A network that is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prefix {
    pub prefix: Ipv6Addr,
    pub length: u8,
    pub on_link: bool,
    pub autonomous: bool,
    /// Seconds; `u32::MAX` is for ever.
    pub valid: u32,
    pub preferred: u32,
}

/// Options, each of which is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// What `bytes`, a whole ICMPv6 message with a right checksum, mean. `None` when that is not
    /// well-formed (RFC 4861 sections 6.1, 7.1 and 8.1).
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [kind, code, _, _, rest @ ..] = bytes else { return None };
        // Codes of queries are ignored (RFC 3810 section 5.1.2); all others are zero.
        if *code != 0 && *kind != GROUP_QUERY {
            return None;
        }
        let (word, behind) = rest.split_first_chunk::<4>()?;
        Some(match *kind {
            ROUTER_SOLICITATION => Self::RouterSolicitation(Options::parse(behind)?),
            ROUTER_ADVERTISEMENT => {
                let (times, options) = behind.split_first_chunk::<8>()?;
                let advertisement = RouterAdvertisement::parse(*word, *times);
                Self::RouterAdvertisement(advertisement, Options::parse(options)?)
            }
            NEIGHBOUR_SOLICITATION => {
                let (target, options) = address(behind)?;
                Self::Solicitation(target, Options::parse(options)?)
            }
            NEIGHBOUR_ADVERTISEMENT => {
                let (target, options) = address(behind)?;
                let has = |flag| word[0] & flag != 0;
                let (router, solicited, replaces) = (has(ROUTER), has(SOLICITED), has(OVERRIDE));
                let advertisement = Advertisement { target, router, solicited, replaces };
                Self::Advertisement(advertisement, Options::parse(options)?)
            }
            REDIRECT => {
                let (target, behind) = address(behind)?;
                let (destination, options) = address(behind)?;
                Self::Redirect(target, destination, Options::parse(options)?)
            }
            GROUP_QUERY => Self::Query(Query::parse(*word, behind)?),
            _ => Self::Report,
        })
    }
}

impl RouterAdvertisement {
    fn parse([hops, flags, l0, l1]: [u8; 4], times: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = times;
        // A reserved value counts as none (RFC 4191 section 2.2).
        let preference = match flags >> 3 & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        };
        let managed = match flags & (MANAGED | OTHER) {
            0 => Managed::No,
            OTHER => Managed::Other,
            _ => Managed::Addresses,
        };
        Self {
            hops,
            preference,
            managed,
            lifetime: u16::from_be_bytes([l0, l1]),
            reachable: u32::from_be_bytes([a, b, c, d]),
            retransmit: u32::from_be_bytes([e, f, g, h]),
        }
    }
}

impl Query {
    fn parse([d0, d1, _, _]: [u8; 4], behind: &[u8]) -> Option<Self> {
        let (group, rest) = address(behind)?;
        let code = u32::from(u16::from_be_bytes([d0, d1]));
        //= RFC 3810 8.1: the length tells the versions apart
        let old = rest.is_empty();
        if !old && rest.len() < 4 {
            return None;
        }
        //= RFC 3810 5.1.3: a floating-point number from 32,768 on.
        let delay = if old || code < 0x8000 {
            code
        } else {
            (code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3)
        };
        Some(Self { group, delay, old })
    }
}

impl<'a> Options<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = usize::from(*rest.get(1)?) * 8;
            // A length of zero would never end (RFC 4861 section 4.6).
            rest = rest.get(length..).filter(|_| length > 0)?;
        }
        Some(Self(bytes))
    }

    /// The options, their numbers and lengths aside.
    fn each(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let [kind, length, ..] = *rest else { return None };
            let (option, behind) = rest.split_at_checked(usize::from(length) * 8)?;
            rest = behind;
            Some((kind, option.get(2..)?))
        })
    }

    fn station(self, wanted: u8) -> Option<Mac> {
        let mut found = self.each().filter(|(kind, _)| *kind == wanted);
        let station = found.find_map(|(_, bytes)| bytes.first_chunk::<6>()).map(|it| Mac(*it))?;
        // Nobody has such an address: answers would go to many, or to nobody.
        (!station.is_multicast() && station != Mac::default()).then_some(station)
    }

    /// The sender's station.
    pub fn source(self) -> Option<Mac> {
        self.station(SOURCE_STATION)
    }

    /// The target's station.
    pub fn target(self) -> Option<Mac> {
        self.station(TARGET_STATION)
    }

    /// Whether the sender names its station, rightly or not.
    pub fn has_source(self) -> bool {
        self.each().any(|(kind, _)| kind == SOURCE_STATION)
    }

    /// The link's MTU.
    pub fn mtu(self) -> Option<u32> {
        let mut found = self.each().filter(|(kind, _)| *kind == MTU);
        found.find_map(|(_, bytes)| Some(u32::from_be_bytes(*bytes.get(2..)?.first_chunk::<4>()?)))
    }

    /// Name servers, and for how many seconds each (RFC 8106 section 5.1).
    pub fn name_servers(self) -> impl Iterator<Item = (Ipv6Addr, u32)> {
        let options = self.each().filter(|(kind, _)| *kind == NAME_SERVERS);
        options.filter_map(|(_, bytes)| lifetime(bytes)).flat_map(|(lifetime, bytes)| {
            let addresses = bytes.as_chunks::<16>().0.iter();
            addresses.map(move |octets| (Ipv6Addr::from(*octets), lifetime))
        })
    }

    /// Domains to search, and for how many seconds each (RFC 8106 section 5.2).
    pub fn domains(self) -> impl Iterator<Item = (String<NAME_MAX>, u32)> {
        let options = self.each().filter(|(kind, _)| *kind == SEARCH_LIST);
        options.filter_map(|(_, bytes)| lifetime(bytes)).flat_map(|(lifetime, mut bytes)| {
            core::iter::from_fn(move || {
                let (name, rest) = read_name(bytes)?;
                bytes = rest;
                Some((name, lifetime))
            })
            // Behind the last name there may be zeroes, each of which reads as the root.
            .filter(|(name, _)| !name.is_empty())
        })
    }

    /// The networks that are announced.
    pub fn prefixes(self) -> impl Iterator<Item = Prefix> {
        self.each().filter(|(kind, _)| *kind == PREFIX).filter_map(|(_, bytes)| {
            let (numbers, behind) = bytes.split_first_chunk::<14>()?;
            let [length, flags, v0, v1, v2, v3, p0, p1, p2, p3, ..] = *numbers;
            let (prefix, _) = address(behind)?;
            (length <= 128).then_some(Prefix {
                prefix,
                length,
                on_link: flags & ON_LINK != 0,
                autonomous: flags & AUTONOMOUS != 0,
                valid: u32::from_be_bytes([v0, v1, v2, v3]),
                preferred: u32::from_be_bytes([p0, p1, p2, p3]),
            })
        })
    }
}

/// The lifetime in the options of RFC 8106, and what stands behind it.
fn lifetime(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<6>()?;
    let [_, _, seconds @ ..] = *head;
    Some((u32::from_be_bytes(seconds), rest))
}

fn address(bytes: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let (octets, rest) = bytes.split_first_chunk::<16>()?;
    Some((Ipv6Addr::from(*octets), rest))
}

/// A message to send, as it is written.
pub(crate) struct Draft(heapless::Vec<u8, MESSAGE_MAX>);

impl Draft {
    fn new(kind: u8, word: [u8; 4]) -> Self {
        let mut draft = Self(heapless::Vec::new());
        draft.put(&[kind, 0, 0, 0]);
        draft.put(&word);
        draft
    }

    /// What does not fit is left out; everything that is put fits.
    fn put(&mut self, bytes: &[u8]) {
        let fits = self.0.extend_from_slice(bytes);
        debug_assert!(fits.is_ok(), "a message is at most {MESSAGE_MAX} bytes long");
    }

    fn put_station(&mut self, kind: u8, mac: Mac) {
        self.put(&[kind, 1]);
        self.put(&mac.0);
    }

    /// Asks for routers; `mac` is given where answers may be sent to us alone.
    pub fn router_solicitation(mac: Option<Mac>) -> Self {
        let mut draft = Self::new(ROUTER_SOLICITATION, [0; 4]);
        if let Some(mac) = mac {
            draft.put_station(SOURCE_STATION, mac);
        }
        draft
    }

    /// Asks who has `target`; `mac` is left out where it is asked whether that is a duplicate.
    pub fn solicitation(target: Ipv6Addr, mac: Option<Mac>) -> Self {
        let mut draft = Self::new(NEIGHBOUR_SOLICITATION, [0; 4]);
        draft.put(&target.octets());
        if let Some(mac) = mac {
            draft.put_station(SOURCE_STATION, mac);
        }
        draft
    }

    /// Says whether this host passes packets on, as a router to everywhere else, and which
    /// networks, of 64 bits each, are on the link, for hosts to make addresses in.
    pub fn router_advertisement(
        mac: Mac,
        passes: bool,
        hops: u8,
        mtu: u16,
        networks: impl Iterator<Item = (Ipv6Addr, u8)>,
    ) -> Self {
        let [l0, l1] = if passes { ROUTER_LIFETIME.to_be_bytes() } else { [0; 2] };
        let mut draft = Self::new(ROUTER_ADVERTISEMENT, [hops, 0, l0, l1]);
        // It does not say how long neighbours are reachable, and how often they are asked.
        draft.put(&[0; 8]);
        draft.put_station(SOURCE_STATION, mac);
        draft.put(&[MTU, 1, 0, 0]);
        draft.put(&u32::from(mtu).to_be_bytes());
        for (address, length) in networks {
            draft.put(&[PREFIX, 4, length, ON_LINK | AUTONOMOUS]);
            draft.put(&VALID_LIFETIME.to_be_bytes());
            draft.put(&PREFERRED_LIFETIME.to_be_bytes());
            draft.put(&[0; 4]);
            draft.put(&Ipv6Addr::from_bits(address.to_bits() & mask(length)).octets());
        }
        draft
    }

    /// Says that this host has `target`, whatever was known before, and whether it is a router.
    pub fn advertisement(target: Ipv6Addr, router: bool, solicited: bool, mac: Mac) -> Self {
        let router = if router { ROUTER } else { 0 };
        let flags = OVERRIDE | router | if solicited { SOLICITED } else { 0 };
        let mut draft = Self::new(NEIGHBOUR_ADVERTISEMENT, [flags, 0, 0, 0]);
        draft.put(&target.octets());
        draft.put_station(TARGET_STATION, mac);
        draft
    }

    /// Says how this host listens to groups: records of a kind (RFC 3810 section 5.2.12) and a
    /// group.
    pub fn report(records: &[(u8, Ipv6Addr)]) -> Self {
        let [c0, c1] = (records.len() as u16).to_be_bytes();
        let mut draft = Self::new(GROUP_REPORT, [0, 0, c0, c1]);
        for (kind, group) in records {
            draft.put(&[*kind, 0, 0, 0]);
            draft.put(&group.octets());
        }
        draft
    }

    /// The same of one group, as `kind` says, to a router that only speaks RFC 2710.
    pub fn report_v1(kind: u8, group: Ipv6Addr) -> Self {
        let mut draft = Self::new(kind, [0; 4]);
        draft.put(&group.octets());
        draft
    }

    /// Puts the message into `packet`, which becomes one without an IP header, with headroom.
    pub fn write(
        mut self,
        packet: &mut Packet,
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Result<(), waitless::packet::NoRoom> {
        let length = self.0.len() as u16;
        let sum = Checksum::new()
            .pseudo(source.into(), destination.into(), Protocol::ICMPV6.0, length)
            .add(&self.0)
            .finish();
        if let Some(room) = self.0.get_mut(CHECKSUM..CHECKSUM + 2) {
            room.copy_from_slice(&sum.to_be_bytes());
        }
        packet.reset(waitless::packet::HEADROOM);
        packet.append(&self.0)
    }
}
