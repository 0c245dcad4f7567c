//! Hashes, and what is made of them: transcripts, HMAC and HKDF.

use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, CoreProxy, EagerHash};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha384};
use zeroize::Zeroize;

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Hash {
    /// Bytes of its output.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// Of no bytes, which is always the same.
    pub const fn of_nothing(self) -> &'static [u8] {
        match self {
            Self::Sha256 => &SHA256_OF_NOTHING,
            Self::Sha384 => &SHA384_OF_NOTHING,
        }
    }

    /// Of `parts`, one behind the other.
    pub fn of(self, parts: &[&[u8]]) -> Digest {
        let mut transcript = Transcript::new(self);
        parts.iter().for_each(|part| transcript.add(part));
        transcript.digest()
    }
}

/// The output of a hash.
#[derive(Clone, Copy)]
pub struct Digest {
    bytes: [u8; 48],
    length: u8,
}

impl Digest {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn of(output: &[u8]) -> Self {
        let mut digest = Self { bytes: [0; 48], length: output.len().min(48) as u8 };
        digest.bytes.iter_mut().zip(output).for_each(|(room, byte)| *room = *byte);
        digest
    }
}

/// A secret of the length of a hash. Its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Digest);

impl Secret {
    /// A secret from its bytes, of which 48 count at most.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Digest::of(bytes))
    }

    /// Zeros of the length of `hash`.
    pub const fn zeros(hash: Hash) -> Self {
        Self(Digest { bytes: [0; 48], length: hash.length() as u8 })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.bytes.zeroize();
    }
}

/// The hash of what was said so far.
#[derive(Clone)]
pub enum Transcript {
    /// By SHA-256.
    Sha256(Sha256),
    /// By SHA-384.
    Sha384(Sha384),
}

impl Transcript {
    /// Of nothing.
    pub fn new(hash: Hash) -> Self {
        match hash {
            Hash::Sha256 => Self::Sha256(Sha256::new()),
            Hash::Sha384 => Self::Sha384(Sha384::new()),
        }
    }

    /// Something more was said.
    pub fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
        }
    }

    /// The hash of it all.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::of(&hash.clone().finalize()),
            Self::Sha384(hash) => Digest::of(&hash.clone().finalize()),
        }
    }
}

/// SHA-256 of `parts`, one behind the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// A key of HMAC (RFC 2104) that the hash has taken in already, which is half of the work for a
/// short message: whoever makes several things of one secret keeps this in the meantime. Its
/// memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Keyed(Core);

#[derive(Clone)]
enum Core {
    Sha256(HmacCore<Sha256>),
    Sha384(HmacCore<Sha384>),
}

impl Keyed {
    /// The key whose bytes are `key`.
    pub fn new(hash: Hash, key: &[u8]) -> Self {
        Self(match hash {
            Hash::Sha256 => Core::Sha256(taken_in(key)),
            Hash::Sha384 => Core::Sha384(taken_in(key)),
        })
    }

    /// The hash that it is for.
    pub const fn hash(&self) -> Hash {
        match self.0 {
            Core::Sha256(_) => Hash::Sha256,
            Core::Sha384(_) => Hash::Sha384,
        }
    }

    /// HMAC of `parts`, one behind the other.
    pub fn mac(&self, parts: &[&[u8]]) -> Digest {
        self.framed(&[], parts, &[])
    }

    /// HKDF-Extract (RFC 5869 section 2.2), this being the salt.
    pub fn extract(&self, input: &[u8]) -> Secret {
        Secret(self.mac(&[input]))
    }

    /// HKDF-Expand (RFC 5869 section 2.3) of at most 255 times the hash's length, this being the
    /// pseudorandom key. What is longer stays as it is.
    pub fn expand(&self, info: &[&[u8]], output: &mut [u8]) {
        let mut last = Secret::new(&[]);
        for (number, part) in (1..=255).zip(output.chunks_mut(self.hash().length())) {
            last = Secret(self.framed(last.bytes(), info, &[number]));
            part.iter_mut().zip(last.bytes()).for_each(|(room, byte)| *room = *byte);
        }
    }

    /// HMAC of `first`, `parts` and `last`.
    fn framed(&self, first: &[u8], parts: &[&[u8]], last: &[u8]) -> Digest {
        match &self.0 {
            Core::Sha256(core) => framed(core, first, parts, last),
            Core::Sha384(core) => framed(core, first, parts, last),
        }
    }
}

fn taken_in<D: EagerHash>(key: &[u8]) -> HmacCore<D> {
    // It cannot fail: HMAC takes keys of every length.
    HmacCore::new_from_slice(key).unwrap_or_else(|_| HmacCore::new(&Default::default()))
}

fn framed<D: EagerHash>(core: &HmacCore<D>, first: &[u8], parts: &[&[u8]], last: &[u8]) -> Digest {
    let mut mac = Hmac::<D>::compose(core.clone(), Buffer::<HmacCore<D>>::default());
    mac.update(first);
    parts.iter().for_each(|part| mac.update(part));
    mac.update(last);
    Digest::of(&mac.finalize().into_bytes())
}

const SHA256_OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
const SHA384_OF_NOTHING: [u8; 48] = [
    0x38, 0xb0, 0x60, 0xa7, 0x51, 0xac, 0x96, 0x38, 0x4c, 0xd9, 0x32, 0x7e, 0xb1, 0xb1, 0xe3, 0x6a,
    0x21, 0xfd, 0xb7, 0x11, 0x14, 0xbe, 0x07, 0x43, 0x4c, 0x0c, 0xc7, 0xbf, 0x63, 0xf6, 0xe1, 0xda,
    0x27, 0x4e, 0xde, 0xbf, 0xe7, 0x6f, 0x65, 0xfb, 0xd5, 0x1a, 0xd2, 0xf1, 0x48, 0x98, 0xb9, 0x5b,
];
