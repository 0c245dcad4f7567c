//! Early data: what a client that resumes says with its hello, before the server has answered
//! (RFC 8446 sections 2.3 and 4.2.10). Whoever saw it pass can send the same again, so it is
//! accepted once, and only for a short time (section 8).

use super::negotiate::{Choice, Resumed};
use crate::crypto::{Suite, sha256};
use crate::wire::Reader;
use crate::wire::hello::ClientHello;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;
use waitless::{Duration, Instant};

/// What a server needs to accept early data.
pub struct Early {
    /// The most bytes of it, for each connection.
    pub limit: u32,
    /// Hellos that brought some.
    pub register: &'static Register,
}

/// Why early data is not accepted. It is skipped, and the client sends it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Nobody here can tell early data from other data, or there is no memory to hold it.
    Unwanted,
    /// Another hello had to be asked for.
    Retried,
    /// The connection does not go on with the first of the keys that the hello offers, or the
    /// ticket is not good for early data.
    NotFirst,
    /// The suite, the application protocol or the server's name is not what it was.
    Different,
    /// The hello was not made just now.
    Stale,
    /// The same hello came before.
    Replayed,
    /// No more hellos can be remembered.
    Full,
}

impl Refusal {
    /// As a part of a sentence for a person.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unwanted => "nobody here can take it now",
            Self::Retried => "another hello was asked for",
            Self::NotFirst => "the connection does not go on with the first key of the hello",
            Self::Different => "the suite, the protocol or the name is not that of the ticket",
            Self::Stale => "the hello is too old, or its client's clock is wrong",
            Self::Replayed => "the same hello came before",
            Self::Full => "too many hellos with early data came within seconds",
        }
    }
}

/// What a ticket says beside all that others say, for early data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Grant {
    /// What the client adds to the ticket's age.
    pub(super) age_add: u32,
    /// What may not be different then.
    pub(super) bound: Bound,
}

/// A digest of application protocol and server name.
pub(super) type Bound = [u8; 16];

/// What a hello that goes on with an earlier connection says, for early data.
pub(super) struct Offer {
    grant: Grant,
    /// The suite of that connection.
    suite: Suite,
    /// When the ticket was made.
    made: Instant,
    /// The first bytes of the binder, which tell this hello from all others.
    binder: [u8; 16],
}

/// How far the age that a client says a ticket has may be behind the one that it has.
const WINDOW: Duration = Duration::from_secs(10);
/// How far it may be ahead, as clocks differ: a hello is never made later than it arrives.
const AHEAD: Duration = Duration::from_secs(2);
/// How far it may be ahead for the hello to be remembered: it is refused, but with time, it would
/// look as if it had been made just then.
const FAR_AHEAD: Duration = Duration::from_secs(16);
/// How much longer than it could be accepted a hello is remembered, so that cores whose clocks
/// are not quite the same cannot forget too early.
const SLACK: Duration = Duration::from_secs(2);

impl Grant {
    const LENGTH: usize = 4 + size_of::<Bound>();

    /// Adds it, or that there is none, to what a ticket says.
    pub(super) fn write(grant: Option<Self>, out: &mut Vec<u8>) {
        if let Some(grant) = grant {
            out.extend_from_slice(&grant.age_add.to_be_bytes());
            out.extend_from_slice(&grant.bound);
        }
        out.push(grant.is_some().into());
    }

    /// Takes it off what a ticket says.
    pub(super) fn take(said: &mut Vec<u8>) -> Option<Self> {
        if said.pop()? == 0 {
            return None;
        }
        let start = said.len().checked_sub(Self::LENGTH)?;
        let mut reader = Reader::new(said.get(start..)?);
        let grant = Self { age_add: reader.u32().ok()?, bound: *reader.array().ok()? };
        said.truncate(start);
        Some(grant)
    }
}

impl Offer {
    pub(super) fn new(grant: Grant, suite: Suite, made: Instant, binder: &[u8]) -> Option<Self> {
        Some(Self { grant, suite, made, binder: *binder.first_chunk()? })
    }
}

/// The digest of what was chosen from `hello` and may not be different when early data comes.
pub(super) fn bound(hello: &ClientHello<'_>, choice: &Choice<'_>) -> Bound {
    let (name, protocol) = (hello.server_name, choice.protocol);
    // What is missing is not the same as what is empty.
    let lengths = [name, protocol].map(|part| part.map_or(u32::MAX, |part| part.len() as u32));
    let [of_name, of_protocol] = lengths.map(u32::to_be_bytes);
    let [name, protocol] = [name, protocol].map(Option::unwrap_or_default);
    let digest = sha256(&[&of_name, &of_protocol, name, protocol]);
    digest.first_chunk().copied().unwrap_or_default()
}

impl Early {
    /// Whether the early data that follows `hello` is accepted. That is so at most once for each
    /// hello, whatever core it comes to.
    pub(super) fn admit(
        &self,
        hello: &ClientHello<'_>,
        choice: &Choice<'_>,
        resumed: Option<&Resumed>,
        wanted: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        //= RFC 8446 4.2.10: the first key, and the same suite, protocol and name as then
        let resumed = resumed.filter(|resumed| resumed.index == 0).ok_or(Refusal::NotFirst)?;
        let offer = resumed.offer.as_ref().ok_or(Refusal::NotFirst)?;
        if offer.suite != choice.suite || offer.grant.bound != bound(hello, choice) {
            return Err(Refusal::Different);
        }
        //= RFC 8446 8.3: a hello that was not made just now may be an old one
        let said = hello.keys.and_then(|keys| keys.first_age()).ok_or(Refusal::NotFirst)?;
        let age = Duration::from_millis(said.wrapping_sub(offer.grant.age_add).into());
        let is = now.since(offer.made);
        let ahead = age.minus(is);
        if is.minus(age) > WINDOW || ahead > FAR_AHEAD {
            return Err(Refusal::Stale);
        }
        let until = offer.made + age + WINDOW + SLACK;
        // Also where it is refused for what may not be so a moment later: the client says again
        // then what it said early, and a copy of its hello must not be good.
        self.register.admit(&offer.binder, until, now)?;
        if ahead > AHEAD {
            return Err(Refusal::Stale);
        }
        if wanted { Ok(()) } else { Err(Refusal::Unwanted) }
    }
}

/// Hellos that brought early data, of all cores, for as long as each of them could be accepted
/// again (RFC 8446 section 8.2).
///
/// It is one table for all cores, because a hello that is sent again arrives at any of them. A
/// hello is told by its binder, which only the client can make, and of which 59 bits are looked
/// at; where two are alike, one is refused without need. It goes to one of a few places, which
/// the binder chooses. Where all of them are taken, the hello is refused: nothing is forgotten
/// that could still be accepted.
pub struct Register {
    sets: Box<[[AtomicU64; WAYS]]>,
}

/// Places that a hello may go to.
const WAYS: usize = 8;
/// Sets of places: with all of them, 256 KiB.
const SETS: usize = 4096;
/// A hello is remembered for fewer seconds than these. What seems to be for longer was
/// remembered long ago.
const SECONDS_MAX: u16 = 32;

const _: () =
    assert!(FAR_AHEAD.as_secs() + WINDOW.as_secs() + 2 * SLACK.as_secs() + 1 < SECONDS_MAX as u64);

/// A hello as it is remembered: until when, in seconds, of which the last 16 bits count, and 48
/// bits of its binder. Zero is none.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn new(print: u64, until_secs: u64) -> Self {
        Self(until_secs << 48 | print >> 16 | 1)
    }

    fn is_alive(self, now_secs: u64) -> bool {
        let left = ((self.0 >> 48) as u16).wrapping_sub(now_secs as u16);
        self.0 != 0 && left <= SECONDS_MAX
    }

    fn is_same(self, other: Self) -> bool {
        self.0 << 16 == other.0 << 16
    }
}

impl Register {
    /// One that remembers nothing yet.
    pub fn new() -> Self {
        Self::of(SETS)
    }

    /// One of so many sets.
    fn of(sets: usize) -> Self {
        let empty = || core::array::from_fn(|_| AtomicU64::new(0));
        Self { sets: core::iter::repeat_with(empty).take(sets).collect() }
    }

    /// Remembers the hello with `binder` until then, unless it came before or there is no place.
    //= RFC 8446 8.2: each hello once, among all that could be accepted; otherwise none
    fn admit(&self, binder: &[u8; 16], until: Instant, now: Instant) -> Result<(), Refusal> {
        let [a, b, print @ ..] = *binder;
        let print = print.first_chunk().map_or(0, |print| u64::from_be_bytes(*print));
        let number = usize::from(u16::from_be_bytes([a, b])) % self.sets.len().max(1);
        let set = self.sets.get(number).ok_or(Refusal::Full)?;
        let now = now.as_nanos() / 1_000_000_000;
        // Rounded up.
        let entry = Entry::new(print, until.as_nanos() / 1_000_000_000 + 1);
        let is_known = |slot: &AtomicU64| {
            let other = Entry(slot.load(SeqCst));
            other.is_alive(now) && other.is_same(entry)
        };
        if set.iter().any(is_known) {
            return Err(Refusal::Replayed);
        }
        let take = |slot: &AtomicU64| {
            let old = slot.load(SeqCst);
            !Entry(old).is_alive(now) && slot.compare_exchange(old, entry.0, SeqCst, SeqCst).is_ok()
        };
        let taken = set.iter().position(take).ok_or(Refusal::Full)?;
        // Another core may have taken another place for the same hello at the same time. Of two
        // that take and then look, one at least sees the other; then nobody, or one, accepts it.
        let others = set.iter().enumerate().filter(|(place, _)| *place != taken);
        if others.into_iter().any(|(_, slot)| is_known(slot)) {
            return Err(Refusal::Replayed);
        }
        Ok(())
    }
}

impl Default for Register {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
