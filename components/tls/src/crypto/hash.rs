//! Hashes, and what is made of them: transcripts, HMAC and HKDF.

use hkdf::Hkdf;
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

/// HMAC of `parts`, one behind the other (RFC 2104).
pub fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Digest {
    match hash {
        Hash::Sha256 => {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Digest::of(&[]) };
            parts.iter().for_each(|part| mac.update(part));
            Digest::of(&mac.finalize().into_bytes())
        }
        Hash::Sha384 => {
            let Ok(mut mac) = Hmac::<Sha384>::new_from_slice(key) else { return Digest::of(&[]) };
            parts.iter().for_each(|part| mac.update(part));
            Digest::of(&mac.finalize().into_bytes())
        }
    }
}

/// HKDF-Extract (RFC 5869 section 2.2).
pub fn extract(hash: Hash, salt: &[u8], input: &[u8]) -> Secret {
    Secret(hmac(hash, salt, &[input]))
}

/// HKDF-Expand (RFC 5869 section 2.3) of at most 255 times the hash's length, and of a secret
/// that is as long as the hash.
pub fn expand(hash: Hash, secret: &Secret, info: &[&[u8]], output: &mut [u8]) {
    // Neither can fail within these bounds, which every caller keeps.
    match hash {
        Hash::Sha256 => {
            if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(secret.bytes()) {
                let _ = hkdf.expand_multi_info(info, output);
            }
        }
        Hash::Sha384 => {
            if let Ok(hkdf) = Hkdf::<Sha384>::from_prk(secret.bytes()) {
                let _ = hkdf.expand_multi_info(info, output);
            }
        }
    }
}
