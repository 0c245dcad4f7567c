//! Whether a server is who it should be: certificates, names and signatures. The paths of
//! certificates are `webpki`'s to check; the primitives are those of the rest.

use super::certificate::{DIGITAL_SIGNATURE, KEY_CERT_SIGN, may, subject};
use super::identity::end_of;
use super::{Identity, Scheme};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::time::Duration;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
    SignatureVerificationAlgorithm, TrustAnchor, UnixTime, alg_id,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use waitless::calendar::date_of;
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

/// Whom a client trusts to vouch for servers.
pub struct Anchors(Vec<TrustAnchor<'static>>);

/// The certificates of a server, its own first.
pub struct Presented<'a>(pub Vec<CertificateDer<'a>>);

/// Why a server is not believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Distrust {
    /// A certificate is not good any more.
    Expired(String),
    /// A certificate is not good yet.
    NotYet(String),
    /// The certificate is for other names.
    OtherName(String),
    /// Nobody who is trusted vouches for it.
    Unknown,
    /// It is for something else, or its issuer may not issue it.
    NotAllowed(String),
    /// It has a signature or a key of a kind that is not supported.
    Unsupported(String),
    /// It cannot be read, or its signatures are wrong.
    Broken(String),
}

/// Bytes of the shortest key of RSA that is believed. The longest is the primitive's to refuse.
const RSA_MIN: usize = 2048 / 8;
/// Certificates that are looked at, the own one among them: who needs more shows far too many.
const PRESENTED_MAX: usize = 10;
/// Those of them that may have the same subject, as where several vouch for one key.
const NAMESAKES_MAX: usize = 3;

impl Anchors {
    /// The anchors in `certificates`, each in DER; `Err` is the place of one that cannot be read.
    pub fn new(certificates: &[&'static [u8]]) -> Result<Self, usize> {
        let mut anchors = Vec::with_capacity(certificates.len());
        for (place, der) in certificates.iter().enumerate() {
            let der = CertificateDer::from_slice(der);
            let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| place)?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self(anchors))
    }

    /// Whether one of them vouches for `presented` at `now`, in seconds since 1970, and its
    /// certificate is for `name`, a host name or an address: until when that is so.
    pub fn check(&self, presented: &Presented<'_>, name: &str, now: u64) -> Result<u64, Distrust> {
        let own = self.vouches(presented, now, KeyUsage::server_auth())?;
        let nothing = |_| Distrust::OtherName(String::from("what was dialled is no name"));
        let subject = ServerName::try_from(name).map_err(nothing)?;
        own.verify_is_valid_for_subject_name(&subject).map_err(|error| match error {
            Error::CertNotValidForName(context) => other_name(name, &context.presented),
            error => Distrust::of(error),
        })?;
        end_of(&own)
    }

    /// Whether one of them vouches for `presented`, a client's, at `now`, in seconds since 1970:
    /// who that is.
    pub fn check_client(&self, presented: &Presented<'_>, now: u64) -> Result<Identity, Distrust> {
        Identity::of(&self.vouches(presented, now, KeyUsage::client_auth())?)
    }

    /// Their names, in DER.
    pub fn subjects(&self) -> impl Iterator<Item = Vec<u8>> {
        self.0.iter().map(|anchor| Identity::name_of(&anchor.subject))
    }

    /// Whether one of them vouches for the first of `presented`, and `usage` is what it is for.
    fn vouches<'a>(
        &self,
        presented: &'a Presented<'_>,
        now: u64,
        usage: KeyUsage,
    ) -> Result<EndEntityCert<'a>, Distrust> {
        let (first, others) = presented.0.split_first().ok_or(Distrust::Unknown)?;
        check_count(others)?;
        let own = EndEntityCert::try_from(first).map_err(Distrust::of)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        own.verify_for_usage(ALGORITHMS, &self.0, others, now, usage, None, Some(&may_issue))
            .map_err(Distrust::of)?;
        //= RFC 8446 4.4.2.2: a key that is to sign is one for signatures
        if !may(first, DIGITAL_SIGNATURE) {
            return Err(Distrust::NotAllowed(String::from("its key is not for signatures")));
        }
        Ok(own)
    }
}

/// Whether those on the way may issue certificates: `webpki` does not look at what keys are for
/// (RFC 5280 section 6.1.4).
fn may_issue(path: &VerifiedPath<'_>) -> Result<(), Error> {
    let all_may = path.intermediate_certificates().all(|one| may(&one.der(), KEY_CERT_SIGN));
    if all_may { Ok(()) } else { Err(Error::EndEntityUsedAsCa) }
}

/// Ways are looked for in a tree: from each certificate, one way goes on with each that has the
/// issuer's name, and all are read anew at each step. So that the other end does not choose how
/// large it is, there are few certificates, and few of one name: at most 1,092 steps.
fn check_count(others: &[CertificateDer<'_>]) -> Result<(), Distrust> {
    let too_many = |what: &str| Distrust::Broken(String::from(what));
    if others.len() >= PRESENTED_MAX {
        return Err(too_many("more than 10 certificates were shown"));
    }
    // Those that cannot be read count as of one name.
    let is_alike =
        |one: &CertificateDer<'_>, other: &CertificateDer<'_>| subject(one) == subject(other);
    let namesakes = |one| others.iter().filter(|other| is_alike(one, other)).count();
    if others.iter().any(|one| namesakes(one) > NAMESAKES_MAX) {
        return Err(too_many("more than 3 certificates of one issuer were shown"));
    }
    Ok(())
}

fn other_name(expected: &str, presented: &[String]) -> Distrust {
    let mut text = String::new();
    let _ = write!(text, "expected `{expected}`, it is for ");
    match presented {
        [] => text.push_str("no name"),
        _ => text.push_str(&presented.get(..8).unwrap_or(presented).join(", ")),
    }
    Distrust::OtherName(text)
}

impl Presented<'_> {
    /// Whether `signature` is one of `message` by `scheme`, with the key of the first certificate.
    ///
    /// # Errors
    /// [`Distrust::Unsupported`] when the key is not one for `scheme`, [`Distrust::Broken`] when
    /// the signature is wrong.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), Distrust> {
        let first = self.0.first().ok_or(Distrust::Unknown)?;
        let own = EndEntityCert::try_from(first).map_err(Distrust::of)?;
        let algorithm = match scheme {
            Scheme::EcdsaP256Sha256 => &Algorithm::EcdsaP256Sha256,
            Scheme::EcdsaP384Sha384 => &Algorithm::EcdsaP384Sha384,
            Scheme::Ed25519 => &Algorithm::Ed25519,
            Scheme::RsaPssSha256 => &Algorithm::RsaPssSha256,
            Scheme::RsaPssSha384 => &Algorithm::RsaPssSha384,
            Scheme::RsaPssSha512 => &Algorithm::RsaPssSha512,
        };
        own.verify_signature(algorithm, message, signature).map_err(Distrust::of)
    }
}

/// Whether `name` is one that a certificate can be for: a host name or an address.
pub(crate) fn is_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

impl Distrust {
    fn of(error: Error) -> Self {
        let mut text = String::new();
        match error {
            Error::CertExpired { time, not_after } => {
                let _ = write!(text, "it was good until {}, ", Date(not_after));
                let _ = write!(text, "and it is {}", Date(time));
                Self::Expired(text)
            }
            Error::CertNotValidYet { time, not_before } => {
                let _ = write!(text, "it is good from {}, ", Date(not_before));
                let _ = write!(text, "and it is {}", Date(time));
                Self::NotYet(text)
            }
            Error::UnknownIssuer => Self::Unknown,
            error => {
                let _ = write!(text, "{error}");
                Self::of_rest(&error, text)
            }
        }
    }

    fn of_rest(error: &Error, text: String) -> Self {
        match error {
            //= RFC 8446 4.4.2.4: what is signed by MD5 or SHA-1 is bad, and no question of kind
            Error::UnsupportedSignatureAlgorithmContext(context)
                if is_weak(&context.signature_algorithm_id) =>
            {
                Self::Broken(text)
            }
            Error::CaUsedAsEndEntity
            | Error::EndEntityUsedAsCa
            | Error::EmptyEkuExtension
            | Error::RequiredEkuNotFoundContext(_)
            | Error::NameConstraintViolation
            | Error::PathLenConstraintViolated
            | Error::CertDistrusted => Self::NotAllowed(text),
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | Error::UnsupportedCertVersion
            | Error::UnsupportedCriticalExtension => Self::Unsupported(text),
            _ => Self::Broken(text),
        }
    }
}

/// How identifiers of signatures begin whose hash is MD2, MD5 or SHA-1: of RSA, and of ECDSA.
const WEAK: [&[u8]; 4] = [
    &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2],
    &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4],
    &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1],
];

fn is_weak(algorithm: &[u8]) -> bool {
    WEAK.iter().any(|weak| algorithm.starts_with(weak))
}

/// A time for a person.
struct Date(UnixTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs() / 60;
        let (year, month, day) = date_of(minutes / 1440);
        let (hour, minute) = (minutes / 60 % 24, minutes % 60);
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

/// A kind of signature, of certificates or of a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Algorithm {
    EcdsaP256Sha256,
    EcdsaP256Sha384,
    EcdsaP384Sha256,
    EcdsaP384Sha384,
    Ed25519,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
}

/// What certificates may be signed by.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    &Algorithm::EcdsaP256Sha256,
    &Algorithm::EcdsaP256Sha384,
    &Algorithm::EcdsaP384Sha256,
    &Algorithm::EcdsaP384Sha384,
    &Algorithm::Ed25519,
    &Algorithm::RsaPkcs1Sha256,
    &Algorithm::RsaPkcs1Sha384,
    &Algorithm::RsaPkcs1Sha512,
    &Algorithm::RsaPssSha256,
    &Algorithm::RsaPssSha384,
    &Algorithm::RsaPssSha512,
];

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let verified = match self {
            Self::EcdsaP256Sha256 => p256(key, &Sha256::digest(message), signature),
            Self::EcdsaP256Sha384 => p256(key, &Sha384::digest(message), signature),
            Self::EcdsaP384Sha256 => p384(key, &Sha256::digest(message), signature),
            Self::EcdsaP384Sha384 => p384(key, &Sha384::digest(message), signature),
            Self::Ed25519 => ed25519(key, message, signature),
            _ => self.rsa(key, message, signature),
        };
        verified.ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self {
            Self::EcdsaP256Sha256 | Self::EcdsaP256Sha384 => alg_id::ECDSA_P256,
            Self::EcdsaP384Sha256 | Self::EcdsaP384Sha384 => alg_id::ECDSA_P384,
            Self::Ed25519 => alg_id::ED25519,
            _ => alg_id::RSA_ENCRYPTION,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self {
            Self::EcdsaP256Sha256 | Self::EcdsaP384Sha256 => alg_id::ECDSA_SHA256,
            Self::EcdsaP256Sha384 | Self::EcdsaP384Sha384 => alg_id::ECDSA_SHA384,
            Self::Ed25519 => alg_id::ED25519,
            Self::RsaPkcs1Sha256 => alg_id::RSA_PKCS1_SHA256,
            Self::RsaPkcs1Sha384 => alg_id::RSA_PKCS1_SHA384,
            Self::RsaPkcs1Sha512 => alg_id::RSA_PKCS1_SHA512,
            Self::RsaPssSha256 => alg_id::RSA_PSS_SHA256,
            Self::RsaPssSha384 => alg_id::RSA_PSS_SHA384,
            Self::RsaPssSha512 => alg_id::RSA_PSS_SHA512,
        }
    }
}

impl Algorithm {
    fn rsa(self, key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
        use rsa::{pkcs1v15, pss};
        let key = rsa::PublicKey::from_pkcs1_der(key).ok().filter(|key| key.size() >= RSA_MIN)?;
        let pkcs1 = || pkcs1v15::Signature::try_from(signature).ok();
        let pss = || pss::Signature::try_from(signature).ok();
        match self {
            Self::RsaPkcs1Sha384 => {
                pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(message, &pkcs1()?)
            }
            Self::RsaPkcs1Sha512 => {
                pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(message, &pkcs1()?)
            }
            Self::RsaPssSha256 => pss::VerifyingKey::<Sha256>::new(key).verify(message, &pss()?),
            Self::RsaPssSha384 => pss::VerifyingKey::<Sha384>::new(key).verify(message, &pss()?),
            Self::RsaPssSha512 => pss::VerifyingKey::<Sha512>::new(key).verify(message, &pss()?),
            _ => pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &pkcs1()?),
        }
        .ok()
    }
}

fn p256(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    let signature = p256::ecdsa::Signature::from_der(signature).ok()?;
    key.verify_prehash(hash, &signature).ok()
}

fn p384(key: &[u8], hash: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    let signature = p384::ecdsa::Signature::from_der(signature).ok()?;
    key.verify_prehash(hash, &signature).ok()
}

fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    key.verify_strict(message, &signature).ok()
}
