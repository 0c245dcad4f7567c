//! The seam between the protocol and the primitives, which others have written.
//!
//! Nothing outside this module names a crate of primitives, so another implementation can be
//! tried by changing this module alone. Every dispatch is a `match`: no call goes through a
//! pointer.

mod exchange;
mod hash;
mod identity;
mod sign;
mod verify;

#[cfg(test)]
pub(crate) use exchange::exchange_with;
pub use exchange::{Group, Keys, Shared, exchange};
pub use hash::{Digest, Hash, Secret, Transcript, expand, extract, hmac, sha256};
pub use identity::Identity;
pub use sign::{KeyError, Scheme, SigningKey};
pub(crate) use verify::is_name;
pub use verify::{Anchors, Distrust, Presented};

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};
use waitless::Random;

/// Bytes of a tag.
pub const TAG: usize = 16;
/// Bytes of a nonce.
pub const NONCE: usize = 12;

/// A cipher suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// `TLS_AES_128_GCM_SHA256`.
    Aes128GcmSha256,
    /// `TLS_AES_256_GCM_SHA384`.
    Aes256GcmSha384,
    /// `TLS_CHACHA20_POLY1305_SHA256`.
    ChaCha20Poly1305Sha256,
}

impl Suite {
    /// All, the best first.
    pub const ALL: [Self; 3] =
        [Self::Aes128GcmSha256, Self::Aes256GcmSha384, Self::ChaCha20Poly1305Sha256];

    /// Its code point.
    pub const fn code(self) -> u16 {
        match self {
            Self::Aes128GcmSha256 => 0x1301,
            Self::Aes256GcmSha384 => 0x1302,
            Self::ChaCha20Poly1305Sha256 => 0x1303,
        }
    }

    /// The suite with the code point `code`.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// Its hash.
    pub const fn hash(self) -> Hash {
        match self {
            Self::Aes256GcmSha384 => Hash::Sha384,
            Self::Aes128GcmSha256 | Self::ChaCha20Poly1305Sha256 => Hash::Sha256,
        }
    }

    /// Bytes of its keys.
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128GcmSha256 => 16,
            Self::Aes256GcmSha384 | Self::ChaCha20Poly1305Sha256 => 32,
        }
    }
}

/// A key that protects. Its memory is wiped when it is dropped.
pub enum AeadKey {
    /// AES-128-GCM.
    Aes128Gcm(Aes128Gcm),
    /// AES-256-GCM.
    Aes256Gcm(Aes256Gcm),
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305(ChaCha20Poly1305),
}

/// What was opened is not what was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forged;

impl AeadKey {
    /// The key of `suite` whose bytes are the first of `bytes`.
    pub fn new(suite: Suite, bytes: &[u8; 32]) -> Self {
        match suite {
            Suite::Aes128GcmSha256 => {
                let (key, _) = bytes.split_at(16);
                let mut short = [0; 16];
                short.copy_from_slice(key);
                Self::Aes128Gcm(Aes128Gcm::new(&short.into()))
            }
            Suite::Aes256GcmSha384 => Self::Aes256Gcm(Aes256Gcm::new(&(*bytes).into())),
            Suite::ChaCha20Poly1305Sha256 => {
                Self::ChaCha20Poly1305(ChaCha20Poly1305::new(&(*bytes).into()))
            }
        }
    }

    /// Encrypts `data` in place; the tag authenticates it and `associated`.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE],
        associated: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG], Forged> {
        let nonce = &(*nonce).into();
        let tag = match self {
            Self::Aes128Gcm(key) => key.encrypt_inout_detached(nonce, associated, data.into()),
            Self::Aes256Gcm(key) => key.encrypt_inout_detached(nonce, associated, data.into()),
            Self::ChaCha20Poly1305(key) => {
                key.encrypt_inout_detached(nonce, associated, data.into())
            }
        };
        tag.map(Into::into).map_err(|_| Forged)
    }

    /// Decrypts `data` in place, after it has proved to be what was sealed; otherwise it stays
    /// as it is.
    pub fn open(
        &self,
        nonce: &[u8; NONCE],
        associated: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), Forged> {
        let (nonce, tag) = (&(*nonce).into(), &(*tag).into());
        let opened = match self {
            Self::Aes128Gcm(key) => key.decrypt_inout_detached(nonce, associated, data.into(), tag),
            Self::Aes256Gcm(key) => key.decrypt_inout_detached(nonce, associated, data.into(), tag),
            Self::ChaCha20Poly1305(key) => {
                key.decrypt_inout_detached(nonce, associated, data.into(), tag)
            }
        };
        opened.map_err(|_| Forged)
    }
}

/// Whether two secrets are equal, in a time that does not say where they differ.
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    one.ct_eq(other).into()
}

/// The core's random numbers, as the primitives want them.
pub(crate) struct Entropy<'a>(pub(crate) &'a mut Random);

impl TryRng for Entropy<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Entropy<'_> {}
