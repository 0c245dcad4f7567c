//! Questions and answers (RFC 1035 section 4, RFC 6891).

use crate::name::Name;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use waitless::packet::NoRoom;
use waitless::{Addresses, Family, Packet};

/// Bytes of an answer over UDP that this host takes: what passes everywhere without fragments
/// (RFC 9715 section 3.1).
pub(crate) const UDP_MAX: u16 = 1232;

/// Bytes of the header.
const HEADER: usize = 12;

/// Record types.
const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const OPT: u16 = 41;
/// The one class.
const INTERNET: u16 = 1;

/// Flags in the header.
const ANSWER: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;

/// Response codes.
const NO_ERROR: u16 = 0;
const FORMAT_ERROR: u16 = 1;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
const BAD_VERSION: u16 = 16;

/// Records of a section that are looked at: they are searched for each name of a chain.
const RECORDS_MAX: u16 = 256;

/// Names that stand for others, one after the other, in one answer.
const ALIASES_MAX: usize = 16;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    /// The number by which the answer is known.
    pub id: u16,
    /// In the case in which it is asked.
    pub name: Name,
    pub family: Family,
    /// Whether to say that longer answers are taken.
    pub extended: bool,
}

/// What a server's message means for a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// Not an answer to this: to be ignored, as anybody may have sent it.
    Foreign,
    /// An answer to this, but for the case of the name.
    OtherCase,
    /// Makes no sense.
    Malformed,
    /// There is more of it than fits: to be asked over TCP.
    Truncated,
    /// The server does not understand EDNS.
    NotExtended,
    /// The server could not say, with its code: 0 where it says who can.
    Failed(u16),
    /// Addresses, and for how many seconds they hold.
    Found(Addresses, u32),
    /// The name stands for another one, of which the server said nothing; for how many seconds.
    Alias(Name, u32),
    /// There is no such name, or (`false`) none of its addresses is of this family; for how many
    /// seconds, where the server says so.
    Nothing(bool, Option<u32>),
}

impl Query {
    /// Writes the question behind what `packet` holds.
    pub fn write(&self, packet: &mut Packet) -> Result<(), NoRoom> {
        let [i0, i1] = self.id.to_be_bytes();
        let [f0, f1] = RECURSION_DESIRED.to_be_bytes();
        packet.append(&[i0, i1, f0, f1, 0, 1, 0, 0, 0, 0, 0, self.extended.into()])?;
        packet.append(self.name.bytes())?;
        let [t0, t1] = self.kind().to_be_bytes();
        packet.append(&[t0, t1, 0, 1])?;
        if self.extended {
            let [s0, s1] = UDP_MAX.to_be_bytes();
            // The root, the type, the size, no further flags, and no options.
            packet.append(&[0, 0, OPT as u8, s0, s1, 0, 0, 0, 0, 0, 0])?;
        }
        Ok(())
    }

    fn kind(&self) -> u16 {
        match self.family {
            Family::V4 => A,
            Family::V6 => AAAA,
        }
    }

    /// What `message` means as an answer to this (RFC 5452 section 9.1: the id and the whole
    /// question must match; that it comes from the server asked is checked by who got it). `part`
    /// is whether it goes on beyond what is here.
    pub fn understand(&self, message: &[u8], part: bool) -> Meaning {
        let Some(header) = message.first_chunk::<HEADER>() else { return Meaning::Foreign };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if word(0) != self.id || flags & ANSWER == 0 || flags & OPCODE != 0 {
            return Meaning::Foreign;
        }
        // A server may not repeat a question that it did not understand. What the case of the name
        // adds to the id and the port is missing then; all that somebody who guesses those wins is
        // that this server's turn ends.
        if word(4) == 0 {
            return self.failure(code(message, HEADER, header)).unwrap_or(Meaning::Foreign);
        }
        if word(4) != 1 {
            return Meaning::Foreign;
        }
        let Some((name, at)) = Name::read(message, HEADER) else { return Meaning::Foreign };
        let asked = message.get(HEADER..HEADER + self.name.bytes().len());
        let plain = self.name.plain();
        if name != plain || message.get(at..at + 4) != Some(&self.question_end()) {
            return Meaning::Foreign;
        }
        if asked != Some(self.name.bytes()) {
            return Meaning::OtherCase;
        }
        let code = code(message, at + 4, header);
        match self.failure(code) {
            Some(Meaning::NotExtended) => Meaning::NotExtended,
            _ if flags & TRUNCATED != 0 => Meaning::Truncated,
            Some(failure) if code != NO_SUCH_NAME => failure,
            _ => {
                let (count, rest) = (word(6), word(8));
                let left = count.min(RECORDS_MAX).into();
                let records = Records { message, at: at + 4, left, part };
                // Where not all of the answers are looked at, those behind them are not either.
                let all = !part && count <= RECORDS_MAX;
                let rest = all.then_some(rest.min(RECORDS_MAX));
                self.answers(&plain, records, rest, code).unwrap_or(Meaning::Malformed)
            }
        }
    }

    /// What a code other than that of success means.
    fn failure(&self, code: u16) -> Option<Meaning> {
        match code {
            NO_ERROR => None,
            FORMAT_ERROR | NOT_IMPLEMENTED | BAD_VERSION if self.extended => {
                Some(Meaning::NotExtended)
            }
            code => Some(Meaning::Failed(code)),
        }
    }

    fn question_end(&self) -> [u8; 4] {
        let [t0, t1] = self.kind().to_be_bytes();
        [t0, t1, 0, 1]
    }

    /// What the records say: those of the name, and of what that stands for. Whatever else a
    /// server tells is not believed (RFC 5452 section 6).
    fn answers(
        &self,
        name: &Name,
        answers: Records<'_>,
        rest: Option<u16>,
        code: u16,
    ) -> Option<Meaning> {
        let (mut name, mut ttl) = (*name, u32::MAX);
        let mut aliases = 0;
        // Each turn goes from a name to what it stands for.
        loop {
            let mut addresses = Addresses::new();
            let mut alias = None;
            for record in answers.clone() {
                let record = record?;
                if record.class != INTERNET || record.name != name {
                    continue;
                }
                if record.kind == self.kind() {
                    let address = record.address()?;
                    ttl = ttl.min(record.ttl());
                    if !addresses.contains(&address) {
                        // Those that are too many are left out.
                        let _ = addresses.push(address);
                    }
                } else if record.kind == CNAME && alias.is_none() {
                    ttl = ttl.min(record.ttl());
                    alias = Some(record.target()?);
                }
            }
            if !addresses.is_empty() {
                return Some(Meaning::Found(addresses, ttl));
            }
            let Some(next) = alias else { break };
            aliases += 1;
            if aliases > ALIASES_MAX {
                return None;
            }
            name = next;
        }
        // What was not looked at may say it.
        let Some(rest) = rest else {
            return (aliases > 0).then_some(Meaning::Alias(name, ttl));
        };
        let (denied, refers) = answers.denial(rest)?;
        if aliases > 0 && denied.is_none() && code == NO_ERROR {
            return Some(Meaning::Alias(name, ttl));
        }
        // RFC 2308 section 2.2: it names those who know, as it does not ask them itself.
        if refers && code == NO_ERROR {
            return Some(Meaning::Failed(code));
        }
        // RFC 2308 section 2.1: the code is about the last name.
        Some(Meaning::Nothing(code == NO_SUCH_NAME, denied.map(|denied| denied.min(ttl))))
    }
}

/// The response code of a message whose records begin at `at`, with the upper bits that are in the
/// OPT record behind those of other sections (RFC 6891 section 6.1.3).
fn code(message: &[u8], at: usize, header: &[u8; HEADER]) -> u16 {
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let before = u32::from(word(6)) + u32::from(word(8));
    let records = Records { message, at, left: before + u32::from(word(10)), part: false };
    // Bounded: each takes some bytes of the message.
    let mut further = records.flatten().skip(before as usize);
    let upper = further.find(|it| it.kind == OPT).map_or(0, |it| (it.seconds >> 24) as u16);
    upper << 4 | word(2) & 15
}

/// The records of a section, one after the other; an item is `None` where they make no sense.
#[derive(Clone)]
struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: u32,
    /// Whether the message goes on beyond what is here.
    part: bool,
}

/// A record.
struct Record<'a> {
    message: &'a [u8],
    name: Name,
    kind: u16,
    class: u16,
    seconds: u32,
    /// Where its data stands, and how long that is.
    data: (usize, usize),
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.read();
        if record.is_none() {
            self.left = 0;
        }
        // The last one of a part may be cut off.
        if record.is_none() && self.part { None } else { Some(record) }
    }
}

impl<'a> Records<'a> {
    fn read(&mut self) -> Option<Record<'a>> {
        let (name, at) = Name::read(self.message, self.at)?;
        let [t0, t1, c0, c1, s0, s1, s2, s3, l0, l1] =
            *self.message.get(at..)?.first_chunk::<10>()?;
        let (start, length) = (at + 10, usize::from(u16::from_be_bytes([l0, l1])));
        self.message.get(start..start + length)?;
        self.at = start + length;
        Some(Record {
            message: self.message,
            name,
            kind: u16::from_be_bytes([t0, t1]),
            class: u16::from_be_bytes([c0, c1]),
            seconds: u32::from_be_bytes([s0, s1, s2, s3]),
            data: (start, length),
        })
    }

    /// For how long it holds that there is nothing, as the SOA record of the next section says,
    /// which has `count` records (RFC 2308 section 5); and whether there is no such one, but
    /// servers are named.
    fn denial(mut self, count: u16) -> Option<(Option<u32>, bool)> {
        for record in self.by_ref() {
            record?;
        }
        self.left = count.into();
        let mut refers = false;
        for record in self {
            let record = record?;
            if record.kind == SOA && record.class == INTERNET {
                return Some((Some(record.minimum()?.min(record.ttl())), false));
            }
            refers |= record.kind == NS;
        }
        Some((None, refers))
    }
}

impl Record<'_> {
    /// How long it holds, in seconds; a number that counts as negative is none (RFC 2181
    /// section 8).
    fn ttl(&self) -> u32 {
        if self.seconds > i32::MAX as u32 { 0 } else { self.seconds }
    }

    fn data(&self) -> &[u8] {
        let (start, length) = self.data;
        self.message.get(start..start + length).unwrap_or_default()
    }

    fn address(&self) -> Option<IpAddr> {
        match self.kind {
            A => <[u8; 4]>::try_from(self.data()).ok().map(|it| Ipv4Addr::from(it).into()),
            _ => <[u8; 16]>::try_from(self.data()).ok().map(|it| Ipv6Addr::from(it).into()),
        }
    }

    fn target(&self) -> Option<Name> {
        let (start, length) = self.data;
        Name::read(self.message, start).filter(|(_, end)| *end == start + length).map(|it| it.0)
    }

    /// The last of the numbers behind the two names of an SOA record.
    fn minimum(&self) -> Option<u32> {
        let (start, length) = self.data;
        let (_, at) = Name::read(self.message, start)?;
        let (_, at) = Name::read(self.message, at)?;
        let numbers = self.message.get(at..start + length)?.first_chunk::<20>()?;
        let [.., a, b, c, d] = *numbers;
        Some(u32::from_be_bytes([a, b, c, d]))
    }
}
