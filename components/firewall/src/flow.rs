//! Flows that were accepted, and how long each is remembered without a packet.

use crate::packet::Way;
use alloc::boxed::Box;
use alloc::vec;
use core::hash::Hasher;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use siphasher::sip::SipHasher13;
use waitless::{Duration, Instant, Protocol, Random};

/// What the packets of a flow have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub protocol: u8,
    pub local: IpAddr,
    pub remote: IpAddr,
    /// Those of this host and of the other; a message's number, twice, for ICMP.
    pub ports: (u16, u16),
}

/// What a packet says of its flow's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signs {
    /// It is TCP's first one.
    pub begins: bool,
    /// It is TCP's last one, of one side.
    pub finishes: bool,
    /// It gives TCP's connection up, unless somebody else has made it.
    pub resets: bool,
}

impl Signs {
    pub const NONE: Self = Self { begins: false, finishes: false, resets: false };
}

/// Whether a flow is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    None,
    Known,
}

/// The table: each flow is in one of the few places that its hash names.
pub(crate) struct Flows {
    places: Box<[Flow]>,
    keys: (u64, u64),
}

#[derive(Clone, Copy)]
struct Flow {
    key: Key,
    /// Who began it.
    way: Way,
    /// Whether the other side has answered.
    answered: bool,
    /// Which sides have said that they are at their end, and whether the last packet gave it up.
    finished: [bool; 2],
    reset: bool,
    until: Instant,
}

/// Places that a hash names.
const WAYS: usize = 8;

const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Flow {
    const FREE: Self = Self {
        key: Key { protocol: 0, local: NOBODY, remote: NOBODY, ports: (0, 0) },
        way: Way::Out,
        answered: false,
        finished: [false; 2],
        reset: false,
        until: Instant::ZERO,
    };

    /// How long it is remembered from now on, as by a NAT. TCP: RFC 5382 section 5 REQ-5; UDP: RFC
    /// 4787 section 4.3 REQ-5; ICMP: RFC 5508 section 3.2.
    fn lifetime(&self) -> Duration {
        let secs = match Protocol(self.key.protocol) {
            Protocol::TCP if self.answered && !self.is_over() => 2 * 3600 + 4 * 60,
            Protocol::TCP => 4 * 60,
            Protocol::UDP if self.answered => 5 * 60,
            Protocol::UDP => 2 * 60,
            _ => 60,
        };
        Duration::from_secs(secs)
    }

    /// Whether nothing is to come any more. One side alone may have a lot to say yet (RFC 5382
    /// section 5), and a reset may be forged: what comes behind it shows that (RFC 7857 section
    /// 2.2).
    fn is_over(&self) -> bool {
        self.finished == [true; 2] || self.reset
    }

    /// Takes what a packet says.
    fn hear(&mut self, way: Way, signs: Signs) {
        if signs.begins && self.is_ending() {
            (self.answered, self.finished) = (false, [false; 2]);
        }
        self.reset = signs.resets;
        let [own, other] = &mut self.finished;
        *(if way == self.way { own } else { other }) |= signs.finishes;
        self.answered |= way != self.way;
    }

    /// Whether one side at least has said that it is at its end.
    fn is_ending(&self) -> bool {
        self.finished != [false; 2] || self.reset
    }
}

impl Flows {
    /// A table for `count` flows, or a few more.
    pub fn new(count: usize) -> Self {
        let count = count.next_power_of_two().max(WAYS);
        Self { places: vec![Flow::FREE; count].into_boxed_slice(), keys: (0, 0) }
    }

    /// What hashes depend on, so that nobody outside can aim at a place.
    pub fn seed(&mut self, random: &mut Random) {
        self.keys = (random.u64(), random.u64());
    }

    /// The flow of a packet, which goes on by that; without a packet it is just looked for.
    pub fn find(&mut self, key: &Key, packet: Option<(Way, Signs)>, now: Instant) -> Found {
        let known = self.find_exactly(key, packet, now);
        // An answer to what was asked of everybody comes from one of them, and what goes to them
        // again is the same flow.
        let perhaps = match packet {
            Some((Way::In, _)) => key.protocol == Protocol::UDP.0,
            Some((Way::Out, _)) => is_for_all(key),
            None => false,
        };
        if known == Found::None && perhaps {
            return self.find_exactly(&asked_of_all(key), packet, now);
        }
        known
    }

    fn find_exactly(&mut self, key: &Key, packet: Option<(Way, Signs)>, now: Instant) -> Found {
        let places = self.set(key);
        let Some(flow) = places.iter_mut().find(|it| it.until > now && it.key == *key) else {
            return Found::None;
        };
        if let Some((way, signs)) = packet {
            // A port is used again: it is a new flow, which is judged anew. Until then there is the
            // old one: it may be forged.
            if signs.begins && flow.is_ending() && way != flow.way {
                return Found::None;
            }
            flow.hear(way, signs);
            flow.until = now + flow.lifetime();
        }
        Found::Known
    }

    /// Remembers a flow that begins with a packet; whether another one had to give way.
    pub fn begin(&mut self, key: &Key, way: Way, signs: Signs, now: Instant) -> bool {
        let key = if way == Way::Out && is_for_all(key) { asked_of_all(key) } else { *key };
        let mut flow = Flow { key, way, until: now, ..Flow::FREE };
        flow.hear(way, signs);
        flow.until = now + flow.lifetime();
        let places = self.set(&key);
        // One that was begun anew takes its own place.
        let order = |place: &&mut Flow| (place.key != key, place.until);
        let Some(place) = places.iter_mut().min_by_key(order) else { return false };
        let evicted = place.until > now && place.key != key;
        *place = flow;
        evicted
    }

    fn set(&mut self, key: &Key) -> &mut [Flow] {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        for address in [key.local, key.remote] {
            match address {
                IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
                IpAddr::V6(address) => hasher.write_u128(address.to_bits()),
            }
        }
        hasher.write_u32(u32::from(key.ports.0) << 16 | u32::from(key.ports.1));
        hasher.write_u8(key.protocol);
        let first = hasher.finish() as usize & (self.places.len() - 1) & !(WAYS - 1);
        self.places.get_mut(first..first + WAYS).unwrap_or_default()
    }
}

/// Whether a packet of this host goes to everybody, or to many.
pub fn is_for_all(key: &Key) -> bool {
    key.protocol == Protocol::UDP.0
        && (key.remote.is_multicast() || key.remote == IpAddr::V4(Ipv4Addr::BROADCAST))
}

/// The flow of a question to everybody: whoever answers, and to whatever address of ours.
fn asked_of_all(key: &Key) -> Key {
    let nobody = match key.remote {
        IpAddr::V4(_) => NOBODY,
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Key { local: nobody, remote: nobody, ..*key }
}
