//! What is known of a first hello, kept by the client (RFC 8446 section 4.2.2).

use crate::alert::Fault;
use crate::crypto::{Digest, Group, Hash, Keyed, Suite, equal};
use crate::wire::Reader;
use crate::wire::hello::ClientHello;
use alloc::vec::Vec;
use waitless::{Duration, Instant, Random};
use zeroize::Zeroize;

/// Makes cookies, and knows its own.
pub struct Cookies {
    key: Keyed,
}

/// What a cookie says of the first hello.
pub(super) struct First<'a> {
    pub(super) suite: Suite,
    pub(super) group: Group,
    /// The hash of the message.
    pub(super) digest: &'a [u8],
}

/// How long a cookie is good for.
const LIFETIME: Duration = Duration::from_secs(60);

impl Cookies {
    /// Cookies that nobody else can make.
    pub fn new(random: &mut Random) -> Self {
        let mut bytes: [u8; 32] = random.bytes();
        let key = Keyed::new(Hash::Sha256, &bytes);
        bytes.zeroize();
        Self { key }
    }

    /// A cookie for `hello`, whose message has the hash `digest`.
    pub(super) fn make(
        &self,
        hello: &ClientHello<'_>,
        suite: Suite,
        group: Group,
        digest: &Digest,
        now: Instant,
    ) -> Vec<u8> {
        let mut cookie = Vec::with_capacity(128);
        cookie.extend_from_slice(&suite.code().to_be_bytes());
        cookie.extend_from_slice(&group.code().to_be_bytes());
        cookie.extend_from_slice(&now.as_nanos().to_be_bytes());
        cookie.extend_from_slice(digest.bytes());
        let seal = self.seal(&cookie, hello);
        cookie.extend_from_slice(seal.bytes());
        cookie
    }

    /// What `cookie` says, if it is one of ours for a hello that differs from `hello` in nothing
    /// that may not differ, and is not too old.
    pub(super) fn open<'a>(
        &self,
        cookie: &'a [u8],
        hello: &ClientHello<'_>,
        now: Instant,
    ) -> Result<First<'a>, Fault> {
        let (said, seal) = cookie.split_last_chunk::<32>().ok_or(Fault::BadCookie)?;
        if !equal(self.seal(said, hello).bytes(), seal) {
            return Err(Fault::BadCookie);
        }
        let mut reader = Reader::new(said);
        let suite = Suite::from_code(reader.u16()?).ok_or(Fault::BadCookie)?;
        let group = Group::from_code(reader.u16()?).ok_or(Fault::BadCookie)?;
        let made = Instant::from_nanos(u64::from_be_bytes(*reader.array()?));
        let digest = reader.bytes(suite.hash().length())?;
        if now.since(made) > LIFETIME {
            return Err(Fault::BadCookie);
        }
        Ok(First { suite, group, digest })
    }

    //= RFC 8446 4.1.2: the second hello is as the first was, but for shares, keys and padding
    fn seal(&self, said: &[u8], hello: &ClientHello<'_>) -> Digest {
        let lists = [hello.groups, hello.signatures, hello.versions];
        let [groups, signatures, versions] =
            lists.map(|list| list.map_or(&[][..], |list| list.bytes()));
        let name = hello.server_name.unwrap_or_default();
        let protocols = hello.protocols.map_or(&[][..], |protocols| protocols.bytes());
        let modes = hello.key_modes.unwrap_or_default();
        let limit = hello.record_size_limit.map(u16::to_be_bytes);
        let parts = [
            said,
            hello.random,
            hello.session_id,
            hello.suites.bytes(),
            groups,
            signatures,
            versions,
            name,
            protocols,
            modes,
            limit.as_ref().map_or(&[][..], |limit| limit),
        ];
        // With each part's length, so that no two hellos look the same.
        let lengths = parts.map(|part| (part.len() as u32).to_be_bytes());
        let mut all: [&[u8]; 22] = [&[]; 22];
        for (place, (part, length)) in all.chunks_exact_mut(2).zip(parts.iter().zip(&lengths)) {
            place.copy_from_slice(&[&length[..], part]);
        }
        self.key.mac(&all)
    }
}
