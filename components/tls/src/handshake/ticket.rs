//! Tickets: what is known of a connection, sealed and kept by the client
//! (RFC 8446 section 4.6.1, RFC 5077).

use super::Surroundings;
use super::certificates::Mark;
use crate::crypto::{AeadKey, Cipher, Hash, Keyed, NONCE, Secret, Suite, TAG};
use crate::wire::Reader;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::sync::atomic::{AtomicU64, AtomicUsize};
use waitless::{Duration, Instant, Random};
use zeroize::Zeroize;

/// Seals tickets, with keys that are replaced from time to time.
///
/// All cores have the same keys at the same time, without a word to each other: each key comes
/// from a secret that the cores shared at the start, and with each period that secret is replaced
/// by what a one-way function makes of it. So a ticket is good at whichever core its connection
/// arrives, and nobody can open old ones who learns later what is in memory then.
pub struct Tickets {
    lifetime: Duration,
    /// The number of the period that `current` is for; periods are as long as tickets are good.
    period: u64,
    /// What the keys of later periods come from.
    chain: Secret,
    current: Key,
    /// What tickets that are still good may be sealed with.
    previous: Option<Key>,
}

/// The secret that the keys of all cores come from: each core takes it once, and the last one
/// wipes it.
pub struct Seed {
    period: u64,
    words: [AtomicU64; 4],
    /// Cores that have not taken it.
    left: AtomicUsize,
}

struct Key {
    name: [u8; NAME],
    key: AeadKey,
}

/// What a ticket says.
pub(super) struct Contents<Said> {
    /// The suite of the connection that it comes from.
    pub(super) suite: Suite,
    /// The certificate that the server had there.
    pub(super) certificate: Mark,
    /// When it was made.
    pub(super) made: Instant,
    /// The pre-shared key.
    pub(super) key: Secret,
    /// What else there is to say, as bytes: who the client is, and what is needed for early data.
    pub(super) said: Said,
}

const NAME: usize = 16;
/// Periods that one call catches up with. Who was idle for longer needs several, and until then
/// its tickets are just not good.
const STEPS: usize = 1024;

impl Seed {
    /// One for `cores` cores that all replace keys every `lifetime`.
    pub fn new(lifetime: Duration, now: Instant, cores: usize, random: &mut Random) -> Self {
        let words = core::array::from_fn(|_| AtomicU64::new(random.u64()));
        Self { period: period(now, lifetime), words, left: AtomicUsize::new(cores) }
    }

    /// The secret, unless all cores have it already.
    fn take(&self) -> Option<Secret> {
        let mut bytes = [0; 32];
        for (place, word) in bytes.chunks_exact_mut(8).zip(&self.words) {
            place.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        // Whoever wipes has seen all others read.
        let left = self.left.fetch_update(AcqRel, Acquire, |left| left.checked_sub(1)).ok()?;
        if left == 1 {
            self.words.iter().for_each(|word| word.store(0, Relaxed));
        }
        let secret = Secret::new(&bytes);
        bytes.zeroize();
        Some(secret)
    }
}

impl Tickets {
    /// Tickets that are good for `lifetime`, which is at most a week, and also for all others
    /// that are made of `seed`.
    pub fn new(lifetime: Duration, seed: &Seed, random: &mut Random) -> Self {
        let mut chain = seed.take().unwrap_or_else(|| Secret::new(&random.bytes::<32>()));
        let current = next(&mut chain);
        Self { lifetime, period: seed.period, chain, current, previous: None }
    }

    /// How long a ticket is good for, in seconds.
    pub(super) fn lifetime_secs(&self) -> u32 {
        self.lifetime.as_secs().min(604_800) as u32
    }

    /// Replaces the key when its period is over, and forgets the one before it: what was sealed
    /// with that stays secret from then on. Called before a ticket is made or opened.
    pub fn rotate(&mut self, now: Instant) {
        let due = period(now, self.lifetime);
        for _ in 0..STEPS {
            if self.period >= due {
                return;
            }
            self.period += 1;
            let key = next(&mut self.chain);
            self.previous = Some(core::mem::replace(&mut self.current, key));
        }
    }

    /// A ticket that says `contents`.
    pub(super) fn seal(
        &mut self,
        contents: &Contents<&[u8]>,
        around: &mut Surroundings<'_>,
    ) -> Vec<u8> {
        self.rotate(around.now);
        let nonce: [u8; NONCE] = around.random.bytes();
        let key = &self.current;
        // As long as it gets: what it holds in clear is not left where it was before it grew.
        let length = NAME + NONCE + 2 + 4 + 8 + contents.key.bytes().len() + contents.said.len();
        let mut ticket = Vec::with_capacity(length + TAG);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        let start = ticket.len();
        ticket.extend_from_slice(&contents.suite.code().to_be_bytes());
        ticket.extend_from_slice(&contents.certificate);
        ticket.extend_from_slice(&contents.made.as_nanos().to_be_bytes());
        ticket.extend_from_slice(contents.key.bytes());
        ticket.extend_from_slice(contents.said);
        let sealed = ticket.get_mut(start..).unwrap_or_default();
        match key.key.seal(&nonce, &key.name, sealed) {
            Ok(tag) => ticket.extend_from_slice(&tag),
            // It cannot fail at this length. A ticket without its tag is just never good.
            Err(_) => ticket.truncate(start),
        }
        ticket
    }

    /// What `ticket` says, when it is one of ours and still good.
    pub(super) fn open(&self, ticket: &[u8], now: Instant) -> Option<Contents<Vec<u8>>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let (sealed, tag) = sealed.split_last_chunk::<TAG>()?;
        let keys = core::iter::once(&self.current).chain(&self.previous);
        let key = keys.into_iter().find(|key| key.name == *name)?;
        let mut said = sealed.to_vec();
        key.key.open(nonce, name, &mut said, tag).ok()?;
        let contents = self.read(&said, now);
        said.as_mut_slice().zeroize();
        contents
    }

    fn read(&self, said: &[u8], now: Instant) -> Option<Contents<Vec<u8>>> {
        let mut reader = Reader::new(said);
        let suite = Suite::from_code(reader.u16().ok()?)?;
        let certificate = *reader.array().ok()?;
        let made = Instant::from_nanos(u64::from_be_bytes(*reader.array().ok()?));
        let key = Secret::new(reader.bytes(suite.hash().length()).ok()?);
        let is_good = now.since(made) < self.lifetime;
        is_good.then(|| Contents { suite, certificate, made, key, said: reader.rest().to_vec() })
    }
}

/// The number of the period that `now` is in.
fn period(now: Instant, lifetime: Duration) -> u64 {
    now.as_nanos() / lifetime.as_nanos().max(1)
}

/// The next key of a chain, which is replaced by one that does not tell it.
fn next(chain: &mut Secret) -> Key {
    let mut bytes = [0; 32 + 32 + NAME];
    Keyed::new(Hash::Sha256, chain.bytes()).expand(&[b"waitless tickets"], &mut bytes);
    let (secret, rest) = bytes.split_at(32);
    let (key, name) = rest.split_at(32);
    *chain = Secret::new(secret);
    let mut material = [0; 32];
    material.copy_from_slice(key);
    let mut found = Key {
        name: [0; NAME],
        // A cipher whose software is fast and keeps its secrets on every processor.
        key: AeadKey::new(Cipher::ChaCha20Poly1305, &material),
    };
    found.name.copy_from_slice(name);
    material.zeroize();
    bytes.zeroize();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn contents(made: Instant) -> Contents<&'static [u8]> {
        let key = Secret::new(&[7; 32]);
        Contents {
            suite: Suite::Aes128GcmSha256,
            certificate: [3; 4],
            made,
            key,
            said: b"somebody",
        }
    }

    fn seal(tickets: &mut Tickets, now: Instant, random: &mut Random) -> Vec<u8> {
        let (unix_secs, keys, early) = (None, None, false);
        let mut around = Surroundings { now, unix_secs, keys, early, random };
        tickets.seal(&contents(now), &mut around)
    }

    /// Two cores, whose clock says some time when they start.
    fn cores(start: Instant) -> ([Tickets; 2], Random, Seed) {
        let mut random = Random::new([1; 32]);
        let seed = Seed::new(HOUR, start, 2, &mut random);
        let tickets = [(); 2].map(|()| Tickets::new(HOUR, &seed, &mut random));
        (tickets, random, seed)
    }

    #[test]
    fn a_core_opens_what_another_sealed_until_it_is_too_old() {
        let start = Instant::ZERO + Duration::from_secs(5000);
        let ([mut one, mut other], mut random, _) = cores(start);
        for hours in [0, 1, 2, 50] {
            let now = start + HOUR.times(hours);
            let ticket = seal(&mut one, now, &mut random);
            // The other notices later that the period is another one.
            for (later, good) in [(0, true), (3599, true), (3600, false), (7200, false)] {
                let then = now + Duration::from_secs(later);
                other.rotate(then);
                assert_eq!(ticket.capacity(), ticket.len(), "it has moved");
                let opened = other.open(&ticket, then);
                assert_eq!(opened.is_some(), good, "after {hours} h and {later} s");
                assert!(opened.is_none_or(|it| it.key.bytes() == [7; 32]
                    && it.certificate == [3; 4]
                    && it.said == b"somebody"));
            }
        }
    }

    #[test]
    fn keys_are_forgotten_and_later_ones_do_not_tell_them() {
        let ([mut one, mut other], mut random, seed) = cores(Instant::ZERO);
        assert!(seed.words.iter().all(|word| word.load(Relaxed) == 0), "wiped after the last core");
        let ticket = seal(&mut one, Instant::ZERO, &mut random);
        let name = |tickets: &Tickets| tickets.current.name;
        let first = name(&other);
        assert_eq!(first[..], ticket[..NAME]);
        other.rotate(Instant::ZERO + HOUR);
        assert_ne!(name(&other), first);
        assert_eq!(other.previous.as_ref().map(|key| key.name), Some(first));
        other.rotate(Instant::ZERO + HOUR.times(2));
        assert!(other.previous.is_some_and(|key| key.name != first));
        // One core too many has keys of its own, not those that zeros would give.
        let extra = Tickets::new(HOUR, &seed, &mut random);
        let zeros = next(&mut Secret::new(&[0; 32])).name;
        assert!(![first, zeros].contains(&name(&extra)));
    }

    #[test]
    fn who_was_idle_for_long_catches_up() {
        let ([mut one, mut other], mut random, _) = cores(Instant::ZERO);
        let now = Instant::ZERO + HOUR.times(3 * STEPS as u64);
        for _ in 0..3 {
            one.rotate(now);
            other.rotate(now);
        }
        let ticket = seal(&mut one, now, &mut random);
        assert!(other.open(&ticket, now).is_some());
        assert_eq!(one.period, 3 * STEPS as u64);
    }
}
