//! Tickets: what is known of a connection, sealed and kept by the client
//! (RFC 8446 section 4.6.1, RFC 5077).

use super::Surroundings;
use crate::crypto::{AeadKey, NONCE, Secret, Suite, TAG};
use crate::wire::Reader;
use alloc::vec::Vec;
use waitless::{Duration, Instant, Random};
use zeroize::Zeroize;

/// Seals tickets, with keys that are replaced from time to time.
pub struct Tickets {
    lifetime: Duration,
    current: Key,
    /// What tickets that are still good may be sealed with.
    previous: Option<Key>,
}

struct Key {
    name: [u8; NAME],
    key: AeadKey,
    made: Instant,
}

/// What a ticket says.
pub(super) struct Contents {
    /// The suite of the connection that it comes from.
    pub(super) suite: Suite,
    /// The place of the certificate that the server had there.
    pub(super) certificate: u8,
    /// The pre-shared key.
    pub(super) key: Secret,
}

const NAME: usize = 16;

impl Tickets {
    /// Tickets that are good for `lifetime`, which is at most a week.
    pub fn new(lifetime: Duration, now: Instant, random: &mut Random) -> Self {
        Self { lifetime, current: Key::new(now, random), previous: None }
    }

    /// How long a ticket is good for, in seconds.
    pub(super) fn lifetime_secs(&self) -> u32 {
        self.lifetime.as_secs().min(604_800) as u32
    }

    /// Replaces the key when it is as old as a ticket may be, and forgets the one before it: what
    /// was sealed with that stays secret from then on. Called for each ticket that is made.
    pub fn rotate(&mut self, now: Instant, random: &mut Random) {
        let age = now.since(self.current.made);
        if age < self.lifetime {
            return;
        }
        let old = core::mem::replace(&mut self.current, Key::new(now, random));
        self.previous = (age < self.lifetime.times(2)).then_some(old);
    }

    /// A ticket that says `contents`.
    pub(super) fn seal(&mut self, contents: &Contents, around: &mut Surroundings<'_>) -> Vec<u8> {
        self.rotate(around.now, around.random);
        let nonce: [u8; NONCE] = around.random.bytes();
        let key = &self.current;
        let mut ticket = Vec::with_capacity(128);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        let start = ticket.len();
        ticket.extend_from_slice(&contents.suite.code().to_be_bytes());
        ticket.push(contents.certificate);
        ticket.extend_from_slice(&around.now.as_nanos().to_be_bytes());
        ticket.extend_from_slice(contents.key.bytes());
        let sealed = ticket.get_mut(start..).unwrap_or_default();
        match key.key.seal(&nonce, &key.name, sealed) {
            Ok(tag) => ticket.extend_from_slice(&tag),
            // It cannot fail at this length. A ticket without its tag is just never good.
            Err(_) => ticket.truncate(start),
        }
        ticket
    }

    /// What `ticket` says, when it is one of ours and still good.
    pub(super) fn open(&self, ticket: &[u8], now: Instant) -> Option<Contents> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let (sealed, tag) = sealed.split_last_chunk::<TAG>()?;
        let keys = core::iter::once(&self.current).chain(&self.previous);
        let key = keys.into_iter().find(|key| key.name == *name)?;
        let mut said = heapless::Vec::<u8, 64>::from_slice(sealed).ok()?;
        key.key.open(nonce, name, &mut said, tag).ok()?;
        let contents = self.read(&said, now);
        said.as_mut_slice().zeroize();
        contents
    }

    fn read(&self, said: &[u8], now: Instant) -> Option<Contents> {
        let mut reader = Reader::new(said);
        let suite = Suite::from_code(reader.u16().ok()?)?;
        let certificate = reader.u8().ok()?;
        let made = Instant::from_nanos(u64::from_be_bytes(*reader.array().ok()?));
        let key = Secret::new(reader.bytes(suite.hash().length()).ok()?);
        let is_good = now.since(made) < self.lifetime;
        is_good.then_some(Contents { suite, certificate, key })
    }
}

impl Key {
    fn new(made: Instant, random: &mut Random) -> Self {
        let mut bytes = random.bytes();
        // A cipher whose software is fast and keeps its secrets on every processor.
        let key = AeadKey::new(Suite::ChaCha20Poly1305Sha256, &bytes);
        bytes.zeroize();
        Self { name: random.bytes(), key, made }
    }
}
