//! Signatures with the server's keys.

use super::Entropy;
use super::der::{expect, tag};
use crate::alert::Fault;
use alloc::boxed::Box;
use alloc::vec::Vec;
use p256::ecdsa::signature::RandomizedSigner;
use p256::pkcs8::DecodePrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::{Sha256, Sha384, Sha512};
use waitless::Random;

/// A signature scheme (RFC 8446 section 4.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `ecdsa_secp256r1_sha256`.
    EcdsaP256Sha256,
    /// `ecdsa_secp384r1_sha384`.
    EcdsaP384Sha384,
    /// `ed25519`.
    Ed25519,
    /// `rsa_pss_rsae_sha256`.
    RsaPssSha256,
    /// `rsa_pss_rsae_sha384`.
    RsaPssSha384,
    /// `rsa_pss_rsae_sha512`.
    RsaPssSha512,
}

impl Scheme {
    /// All, the best first.
    pub const ALL: [Self; 6] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::Ed25519,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
    ];

    /// The scheme with the code point `code`.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.code() == code)
    }

    /// Its code point.
    pub const fn code(self) -> u16 {
        match self {
            Self::EcdsaP256Sha256 => 0x0403,
            Self::EcdsaP384Sha384 => 0x0503,
            Self::Ed25519 => 0x0807,
            Self::RsaPssSha256 => 0x0804,
            Self::RsaPssSha384 => 0x0805,
            Self::RsaPssSha512 => 0x0806,
        }
    }
}

/// A private key. Its memory is wiped when it is dropped.
pub enum SigningKey {
    /// ECDSA with P-256.
    P256(p256::ecdsa::SigningKey),
    /// ECDSA with P-384.
    P384(p384::ecdsa::SigningKey),
    /// Ed25519.
    Ed25519(ed25519_dalek::SigningKey),
    /// RSA.
    Rsa(Box<rsa::PrivateKey>),
}

/// A private key that cannot be read, or is of an algorithm that is not supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyError;

impl SigningKey {
    /// The key in `der`, of the form of PKCS#8 (RFC 5208).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        // Each reader looks at the algorithm first, so at most one of them takes the key.
        if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
            return Ok(Self::P256(key.into()));
        }
        if let Ok(key) = p384::SecretKey::from_pkcs8_der(der) {
            return Ok(Self::P384(key.into()));
        }
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Ok(Self::Ed25519(key));
        }
        if !pkcs1_in(der).is_some_and(is_fit) {
            return Err(KeyError);
        }
        let key = rsa::PrivateKey::from_pkcs8_der(der).map_err(|_| KeyError)?;
        Ok(Self::Rsa(Box::new(key)))
    }

    /// The key in `der`, of the form of SEC1 (RFC 5915).
    pub fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
            return Ok(Self::P256(key.into()));
        }
        p384::SecretKey::from_sec1_der(der).map(|key| Self::P384(key.into())).map_err(|_| KeyError)
    }

    /// The key in `der`, of the form of PKCS#1 (RFC 8017), which is one of RSA.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        if !is_fit(der) {
            return Err(KeyError);
        }
        let key = rsa::PrivateKey::from_pkcs1_der(der).map_err(|_| KeyError)?;
        Ok(Self::Rsa(Box::new(key)))
    }

    /// Whether `public`, a SubjectPublicKeyInfo in DER, is its other half.
    pub fn belongs_to(&self, public: &[u8]) -> bool {
        let Some((algorithm, bits)) = parts(public) else { return false };
        match self {
            Self::P256(key) => {
                algorithm == EC_P256 && key.verifying_key().to_sec1_point(false).as_bytes() == bits
            }
            Self::P384(key) => {
                algorithm == EC_P384 && key.verifying_key().to_sec1_point(false).as_bytes() == bits
            }
            Self::Ed25519(key) => algorithm == ED25519 && key.verifying_key().as_bytes() == bits,
            Self::Rsa(key) => {
                let numbers = [key.n_bytes(), key.e_bytes()];
                algorithm == RSA
                    && numbers_in(bits).is_some_and(|it| it == [&*numbers[0], &numbers[1]])
            }
        }
    }

    /// What kind of key it is.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::Ed25519(_) => "Ed25519",
            Self::Rsa(_) => "RSA",
        }
    }

    /// What it can sign by, the best first.
    pub const fn schemes(&self) -> &'static [Scheme] {
        match self {
            Self::P256(_) => &[Scheme::EcdsaP256Sha256],
            Self::P384(_) => &[Scheme::EcdsaP384Sha384],
            Self::Ed25519(_) => &[Scheme::Ed25519],
            Self::Rsa(_) => &[Scheme::RsaPssSha256, Scheme::RsaPssSha384, Scheme::RsaPssSha512],
        }
    }

    /// Signs `message` by `scheme`, one of [`schemes`](Self::schemes).
    pub fn sign(
        &self,
        scheme: Scheme,
        message: &[u8],
        random: &mut Random,
    ) -> Result<Vec<u8>, Fault> {
        let random = &mut Entropy(random);
        match self {
            // Nonces are made of the key, the message and random bytes, so that a weak source of
            // the last betrays nothing.
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_with_rng(random, message);
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_with_rng(random, message);
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Self::Ed25519(key) => {
                use ed25519_dalek::Signer;
                Ok(key.sign(message).to_bytes().to_vec())
            }
            Self::Rsa(key) => sign_rsa(key, scheme, message, random),
        }
    }
}

/// What stands in an AlgorithmIdentifier for a key of P-256: `ecPublicKey`, and the curve.
const EC_P256: &[u8] =
    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// The same for one of P-384.
const EC_P384: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22];
/// The same for one of Ed25519.
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
/// The same for one of RSA: `rsaEncryption`, NULL.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

/// What stands in the AlgorithmIdentifier of a SubjectPublicKeyInfo, and the key's bytes.
fn parts(mut public: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = expect(&mut public, tag::SEQUENCE)?;
    let algorithm = expect(&mut info, tag::SEQUENCE)?;
    let bits = expect(&mut info, tag::BITS)?;
    // No bit of the last byte is unused.
    Some((algorithm, bits.strip_prefix(&[0])?))
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 appendix A.1.1), without leading zeros.
fn numbers_in(mut key: &[u8]) -> Option<[&[u8]; 2]> {
    let mut numbers = expect(&mut key, tag::SEQUENCE)?;
    let mut number = || {
        let number = expect(&mut numbers, tag::INTEGER)?;
        Some(number.strip_prefix(&[0]).unwrap_or(number))
    };
    Some([number()?, number()?])
}

/// The RSAPrivateKey in a PrivateKeyInfo (RFC 5208 section 5).
fn pkcs1_in(mut key: &[u8]) -> Option<&[u8]> {
    let mut info = expect(&mut key, tag::SEQUENCE)?;
    expect(&mut info, tag::INTEGER)?; // the version
    expect(&mut info, tag::SEQUENCE)?; // the algorithm
    expect(&mut info, tag::OCTETS)
}

/// Whether the modulus of `key`, an RSAPrivateKey (RFC 8017 appendix A.1.2), is long enough to
/// protect anything, and not so long that a signature keeps a core from all else. To be asked
/// before the arithmetic by which a key is checked.
fn is_fit(key: &[u8]) -> bool {
    let bits = |modulus: &[u8]| {
        let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        8 * modulus.len() - unused
    };
    modulus_in(key).is_some_and(|modulus| RSA_BITS.contains(&bits(modulus)))
}

/// The modulus of an RSAPrivateKey, without a leading zero.
fn modulus_in(mut key: &[u8]) -> Option<&[u8]> {
    let mut numbers = expect(&mut key, tag::SEQUENCE)?;
    expect(&mut numbers, tag::INTEGER)?; // the version
    let number = expect(&mut numbers, tag::INTEGER)?;
    Some(number.strip_prefix(&[0]).unwrap_or(number))
}

/// Bits of a modulus of RSA.
const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=8192;

//= RFC 8446 4.2.3: the salt is as long as the hash
fn sign_rsa(
    key: &rsa::PrivateKey,
    scheme: Scheme,
    message: &[u8],
    random: &mut Entropy<'_>,
) -> Result<Vec<u8>, Fault> {
    use rsa::pss::SigningKey as Pss;
    use rsa::signature::SignatureEncoding;
    let key = key.clone();
    let signature = match scheme {
        Scheme::RsaPssSha384 => Pss::<Sha384>::new(key).try_sign_with_rng(random, message),
        Scheme::RsaPssSha512 => Pss::<Sha512>::new(key).try_sign_with_rng(random, message),
        _ => Pss::<Sha256>::new(key).try_sign_with_rng(random, message),
    };
    signature.map(|signature| signature.to_vec()).map_err(|_| Fault::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn keys_of_rsa_are_neither_short_nor_huge() {
        let value = |tag: u8, content: &[u8]| {
            let length = (content.len() as u32).to_be_bytes();
            [&[tag, 0x83], &length[1..], content].concat()
        };
        // What stands behind the modulus is not looked at.
        let key = |bits: usize| {
            let mut modulus = vec![0xff_u8; bits.div_ceil(8)];
            modulus[0] >>= 8 * modulus.len() - bits;
            let modulus = value(tag::INTEGER, &[&[0], &modulus[..]].concat());
            value(tag::SEQUENCE, &[value(tag::INTEGER, &[0]), modulus].concat())
        };
        for (bits, fits) in
            [(512, false), (2047, false), (2048, true), (4096, true), (8192, true), (8193, false)]
        {
            assert_eq!(is_fit(&key(bits)), fits, "{bits}");
        }
        assert!(!is_fit(&[]) && !is_fit(&[tag::SEQUENCE, 0x80, tag::INTEGER, 0]));
    }
}
