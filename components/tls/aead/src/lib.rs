//! The ciphers that protect TLS's records: AES-GCM and ChaCha20-Poly1305 (RFC 5116, RFC 8439).
//!
//! Most of `tls` runs once in a connection and is compiled to be small. These run over every byte,
//! and what is generic in their crates is compiled with the crate that uses it: this one, for
//! speed. It adds nothing to them but the choice, which is a `match`.
//!
//! It does not keep nonces apart; `tls::record` does.

#![no_std]
#![forbid(unsafe_code)]

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;

/// Bytes of a tag.
pub const TAG: usize = 16;
/// Bytes of a nonce.
pub const NONCE: usize = 12;

/// A cipher that authenticates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

impl Cipher {
    /// Bytes of its keys.
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// A key that protects. Its memory is wiped when it is dropped.
pub struct AeadKey(Key);

enum Key {
    Aes128Gcm(Aes128Gcm),
    Aes256Gcm(Aes256Gcm),
    ChaCha20Poly1305(ChaCha20Poly1305),
}

/// What was opened is not what was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forged;

impl AeadKey {
    /// The key of `cipher` whose bytes are the first of `bytes`.
    pub fn new(cipher: Cipher, bytes: &[u8; 32]) -> Self {
        Self(match cipher {
            // Nothing is copied but by the ciphers, which wipe what they keep.
            Cipher::Aes128Gcm => {
                // There are so many.
                let key: &[u8; 16] = bytes.first_chunk().unwrap_or(&[0; 16]);
                Key::Aes128Gcm(Aes128Gcm::new(key.into()))
            }
            Cipher::Aes256Gcm => Key::Aes256Gcm(Aes256Gcm::new(bytes.into())),
            Cipher::ChaCha20Poly1305 => Key::ChaCha20Poly1305(ChaCha20Poly1305::new(bytes.into())),
        })
    }

    /// Encrypts `data` in place; the tag authenticates it and `associated`.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE],
        associated: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG], Forged> {
        let nonce = &(*nonce).into();
        let tag = match &self.0 {
            Key::Aes128Gcm(key) => key.encrypt_inout_detached(nonce, associated, data.into()),
            Key::Aes256Gcm(key) => key.encrypt_inout_detached(nonce, associated, data.into()),
            Key::ChaCha20Poly1305(key) => {
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
        let opened = match &self.0 {
            Key::Aes128Gcm(key) => key.decrypt_inout_detached(nonce, associated, data.into(), tag),
            Key::Aes256Gcm(key) => key.decrypt_inout_detached(nonce, associated, data.into(), tag),
            Key::ChaCha20Poly1305(key) => {
                key.decrypt_inout_detached(nonce, associated, data.into(), tag)
            }
        };
        opened.map_err(|_| Forged)
    }
}
