//! The key exchange: a public key comes in, a public key and a shared secret come out.

use super::Entropy;
use crate::alert::Fault;
use alloc::boxed::Box;
use heapless::Vec;
use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use waitless::Random;
use x25519_dalek::{EphemeralSecret, PublicKey};
use zeroize::Zeroize;

/// A group (RFC 8446 section 4.2.7, and its hybrid with ML-KEM).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// X25519 beside ML-KEM-768 (FIPS 203), safe as long as one of them is.
    X25519MlKem768,
    /// X25519 (RFC 7748).
    X25519,
    /// NIST's P-256.
    P256,
    /// NIST's P-384.
    P384,
}

impl Group {
    /// All, the best first.
    pub const ALL: [Self; 4] = [Self::X25519MlKem768, Self::X25519, Self::P256, Self::P384];

    /// Its code point.
    pub const fn code(self) -> u16 {
        match self {
            Self::X25519MlKem768 => 0x11ec,
            Self::X25519 => 0x001d,
            Self::P256 => 0x0017,
            Self::P384 => 0x0018,
        }
    }

    /// The group with the code point `code`.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.code() == code)
    }
}

/// What a key exchange gives. The secret's memory is wiped when this is dropped.
pub struct Shared {
    /// Our public key, or what takes its place.
    pub share: Vec<u8, SHARE>,
    /// What both ends know now, and nobody else.
    pub secret: Vec<u8, SECRET>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.secret.as_mut_slice().zeroize();
    }
}

/// Bytes of an ML-KEM-768 encapsulation key.
const ENCAPSULATION_KEY: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext.
const CIPHERTEXT: usize = 1088;
/// The most bytes of a public key of ours.
const SHARE: usize = CIPHERTEXT + 32;
/// The most bytes of a shared secret.
const SECRET: usize = 64;

/// Makes a key in `group`, and the secret that it shares with the client's public key `peer`.
pub fn exchange(group: Group, peer: &[u8], random: &mut Random) -> Result<Shared, Fault> {
    exchange_with(group, peer, &mut Entropy(random))
}

/// The same with any random numbers: those of tests make keys that are known.
pub(crate) fn exchange_with(
    group: Group,
    peer: &[u8],
    random: &mut impl CryptoRng,
) -> Result<Shared, Fault> {
    match group {
        Group::X25519MlKem768 => hybrid(peer, random),
        Group::X25519 => x25519(peer, random),
        Group::P256 => p256(peer, random),
        Group::P384 => p384(peer, random),
    }
}

impl Shared {
    fn new(share: &[&[u8]], secret: &[&[u8]]) -> Result<Self, Fault> {
        let mut shared = Self { share: Vec::new(), secret: Vec::new() };
        for part in share {
            shared.share.extend_from_slice(part).map_err(|_| Fault::Internal)?;
        }
        for part in secret {
            shared.secret.extend_from_slice(part).map_err(|_| Fault::Internal)?;
        }
        Ok(shared)
    }
}

fn x25519(peer: &[u8], random: &mut impl CryptoRng) -> Result<Shared, Fault> {
    let peer: [u8; 32] = peer.try_into().map_err(|_| Fault::BadPublicKey)?;
    let secret = EphemeralSecret::random_from_rng(random);
    let public = PublicKey::from(&secret);
    let shared = secret.diffie_hellman(&peer.into());
    //= RFC 8446 7.4.2: a shared secret of zeros, from a point of low order, is refused
    if !shared.was_contributory() {
        return Err(Fault::BadPublicKey);
    }
    Shared::new(&[public.as_bytes()], &[shared.as_bytes()])
}

// draft-ietf-tls-ecdhe-mlkem section 4: in this hybrid, ML-KEM stands first.
fn hybrid(peer: &[u8], random: &mut impl CryptoRng) -> Result<Shared, Fault> {
    let (key, point) = peer.split_at_checked(ENCAPSULATION_KEY).ok_or(Fault::BadPublicKey)?;
    let classic = x25519(point, random)?;
    let key = key.try_into().map_err(|_| Fault::BadPublicKey)?;
    let key = ml_kem::EncapsulationKey::<ml_kem::MlKem768>::new(key);
    let key = key.map_err(|_| Fault::BadPublicKey)?;
    let (ciphertext, mut secret) = key.encapsulate_with_rng(random);
    let shared = Shared::new(&[&ciphertext, &classic.share], &[&secret, &classic.secret]);
    secret.as_mut_slice().zeroize();
    shared
}

//= RFC 8446 4.2.8.2: points are uncompressed, on the curve, and not the one at infinity
fn is_uncompressed(peer: &[u8], length: usize) -> bool {
    peer.len() == length && peer.first() == Some(&4)
}

fn p256(peer: &[u8], random: &mut impl CryptoRng) -> Result<Shared, Fault> {
    if !is_uncompressed(peer, 65) {
        return Err(Fault::BadPublicKey);
    }
    let peer = p256::PublicKey::from_sec1_bytes(peer).map_err(|_| Fault::BadPublicKey)?;
    let secret = p256::ecdh::EphemeralSecret::generate_from_rng(random);
    let public = secret.public_key().to_sec1_point(false);
    let shared = secret.diffie_hellman(&peer);
    Shared::new(&[public.as_bytes()], &[shared.raw_secret_bytes()])
}

fn p384(peer: &[u8], random: &mut impl CryptoRng) -> Result<Shared, Fault> {
    if !is_uncompressed(peer, 97) {
        return Err(Fault::BadPublicKey);
    }
    let peer = p384::PublicKey::from_sec1_bytes(peer).map_err(|_| Fault::BadPublicKey)?;
    let secret = p384::ecdh::EphemeralSecret::generate_from_rng(random);
    let public = secret.public_key().to_sec1_point(false);
    let shared = secret.diffie_hellman(&peer);
    Shared::new(&[public.as_bytes()], &[shared.raw_secret_bytes()])
}

/// A client's private keys, of the groups whose public keys its hello shows. They serve once, and
/// their memory is wiped when this is dropped.
#[derive(Default)]
pub struct Keys {
    /// Also the hybrid's, where a hello shows both.
    x25519: Option<EphemeralSecret>,
    /// Boxed, because it is thousands of bytes long.
    ml_kem: Option<Box<ml_kem::DecapsulationKey<ml_kem::MlKem768>>>,
    p256: Option<p256::ecdh::EphemeralSecret>,
    p384: Option<p384::ecdh::EphemeralSecret>,
}

impl Keys {
    /// Keys of `groups`.
    pub fn new(groups: &[Group], random: &mut Random) -> Self {
        let random = &mut Entropy(random);
        let mut keys = Self::default();
        for group in groups {
            match group {
                Group::X25519MlKem768 => {
                    let mut seed = [0; 64];
                    random.0.fill(&mut seed);
                    let key = ml_kem::DecapsulationKey::from_seed(seed.into());
                    seed.zeroize();
                    keys.ml_kem = Some(Box::new(key));
                    keys.x25519.get_or_insert_with(|| EphemeralSecret::random_from_rng(random));
                }
                Group::X25519 => {
                    keys.x25519.get_or_insert_with(|| EphemeralSecret::random_from_rng(random));
                }
                Group::P256 => {
                    keys.p256 = Some(p256::ecdh::EphemeralSecret::generate_from_rng(random));
                }
                Group::P384 => {
                    keys.p384 = Some(p384::ecdh::EphemeralSecret::generate_from_rng(random));
                }
            }
        }
        keys
    }

    /// Gives the public key of `group` to `write`, in parts; nothing where there is none.
    pub fn share(&self, group: Group, mut write: impl FnMut(&[u8])) {
        if let (Group::X25519MlKem768, Some(key)) = (group, &self.ml_kem) {
            write(&key.encapsulation_key().to_bytes());
        }
        match (group, &self.x25519, &self.p256, &self.p384) {
            (Group::X25519 | Group::X25519MlKem768, Some(key), ..) => {
                write(PublicKey::from(key).as_bytes());
            }
            (Group::P256, _, Some(key), _) => {
                write(key.public_key().to_sec1_point(false).as_bytes());
            }
            (Group::P384, .., Some(key)) => {
                write(key.public_key().to_sec1_point(false).as_bytes());
            }
            _ => {}
        }
    }

    /// The secret that is shared with the server's public key `peer` of `group`.
    ///
    /// # Errors
    /// [`Fault::BadPublicKey`] when it is none of that group, or there is no private key of it.
    pub fn agree(mut self, group: Group, peer: &[u8]) -> Result<Shared, Fault> {
        match group {
            Group::X25519MlKem768 => {
                let (ciphertext, point) =
                    peer.split_at_checked(CIPHERTEXT).ok_or(Fault::BadPublicKey)?;
                let key = self.ml_kem.take().ok_or(Fault::BadPublicKey)?;
                let classic = self.classic(point)?;
                let ciphertext = ciphertext.try_into().map_err(|_| Fault::BadPublicKey)?;
                let mut first = key.decapsulate(ciphertext);
                let shared = Shared::new(&[], &[&first, classic.as_bytes()]);
                first.as_mut_slice().zeroize();
                shared
            }
            Group::X25519 => Shared::new(&[], &[self.classic(peer)?.as_bytes()]),
            Group::P256 => {
                let key = self.p256.take().filter(|_| is_uncompressed(peer, 65));
                let peer = p256::PublicKey::from_sec1_bytes(peer);
                let peer = peer.map_err(|_| Fault::BadPublicKey)?;
                let shared = key.ok_or(Fault::BadPublicKey)?.diffie_hellman(&peer);
                Shared::new(&[], &[shared.raw_secret_bytes()])
            }
            Group::P384 => {
                let key = self.p384.take().filter(|_| is_uncompressed(peer, 97));
                let peer = p384::PublicKey::from_sec1_bytes(peer);
                let peer = peer.map_err(|_| Fault::BadPublicKey)?;
                let shared = key.ok_or(Fault::BadPublicKey)?.diffie_hellman(&peer);
                Shared::new(&[], &[shared.raw_secret_bytes()])
            }
        }
    }

    fn classic(&mut self, peer: &[u8]) -> Result<x25519_dalek::SharedSecret, Fault> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| Fault::BadPublicKey)?;
        let key = self.x25519.take().ok_or(Fault::BadPublicKey)?;
        let shared = key.diffie_hellman(&peer.into());
        //= RFC 8446 7.4.2: a shared secret of zeros, from a point of low order, is refused
        if shared.was_contributory() { Ok(shared) } else { Err(Fault::BadPublicKey) }
    }
}
