//! The seam between the protocol and the primitives, which others have written.
//!
//! Nothing outside this module names a crate of primitives, so another implementation can be
//! tried by changing this module alone. Every dispatch is a `match`: no call goes through a
//! pointer.

mod certificate;
mod der;
mod exchange;
mod hash;
mod identity;
mod sign;
mod verify;

pub use certificate::Facts;
#[cfg(test)]
pub(crate) use exchange::exchange_with;
pub use exchange::{Group, Keys, Shared, exchange};
pub use hash::{Digest, Hash, Keyed, Secret, Transcript, sha256};
pub use identity::Identity;
pub use sign::{KeyError, Scheme, SigningKey};
pub use tls_aead::{AeadKey, Cipher, Forged, NONCE, TAG};
pub(crate) use verify::is_name;
pub use verify::{Anchors, Distrust, Presented};

use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};
use waitless::Random;

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

    /// Its cipher.
    pub const fn cipher(self) -> Cipher {
        match self {
            Self::Aes128GcmSha256 => Cipher::Aes128Gcm,
            Self::Aes256GcmSha384 => Cipher::Aes256Gcm,
            Self::ChaCha20Poly1305Sha256 => Cipher::ChaCha20Poly1305,
        }
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
