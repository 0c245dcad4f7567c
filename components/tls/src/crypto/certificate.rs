//! What stands in a certificate, for whoever puts it into service or shows what is.

use super::der::{expect, next, tag};
use super::identity::{describe, from_issuer, lifetime};
use alloc::string::String;
use alloc::vec::Vec;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A certificate that was read. Whether anybody vouches for it is another question.
#[derive(Debug)]
pub struct Facts {
    /// The host names that it is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// The IP addresses that it is for, of 4 or 16 bytes.
    pub addresses: Vec<Vec<u8>>,
    /// Its subject's parts, in DER.
    pub subject: Vec<u8>,
    /// Its issuer's, in DER.
    pub issuer: Vec<u8>,
    /// Its serial number, as it has it.
    pub serial: Vec<u8>,
    /// From when on it is good, in seconds since 1970.
    pub not_before: u64,
    /// Until when.
    pub not_after: u64,
    /// Whether its key may sign, as far as the certificate says.
    pub signs: bool,
    /// Its public key, as a SubjectPublicKeyInfo in DER.
    pub public: Vec<u8>,
}

impl Facts {
    /// What stands in the certificate `der`; `None` when it is none, of version 3.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (not_before, not_after) = lifetime(der)?;
        let der = CertificateDer::from_slice(der);
        let certificate = EndEntityCert::try_from(&der).ok()?;
        Some(Self {
            names: certificate.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            addresses: addresses(&der).unwrap_or_default(),
            subject: certificate.subject().to_vec(),
            issuer: certificate.issuer().to_vec(),
            serial: certificate.serial().to_vec(),
            not_before,
            not_after,
            signs: may(&der, DIGITAL_SIGNATURE),
            public: certificate.subject_public_key_info().to_vec(),
        })
    }

    /// What stands in the certificate `der` of who issued another: subject, issuer and times alone.
    /// What else it says is for those who look whether it leads to somebody whom they trust.
    pub fn of_issuer(der: &[u8]) -> Option<Self> {
        let (not_before, not_after) = lifetime(der)?;
        let (issuer, subject, _) = parts(der)?;
        Some(Self {
            names: Vec::new(),
            addresses: Vec::new(),
            subject: subject.to_vec(),
            issuer: issuer.to_vec(),
            serial: Vec::new(),
            not_before,
            not_after,
            signs: true,
            public: Vec::new(),
        })
    }

    /// Its subject as text; empty where it cannot be read.
    pub fn subject_text(&self) -> String {
        let mut text = String::new();
        if describe(&self.subject, &mut text).is_none() {
            text.clear();
        }
        text
    }
}

/// The issuer's parts, the subject's, and what follows the subject's key (RFC 5280 section 4.1).
fn parts(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut signed = from_issuer(der)?;
    let issuer = expect(&mut signed, tag::SEQUENCE)?;
    expect(&mut signed, tag::SEQUENCE)?; // the times
    let subject = expect(&mut signed, tag::SEQUENCE)?;
    expect(&mut signed, tag::SEQUENCE)?; // the key
    Some((issuer, subject, signed))
}

/// The subject's parts.
pub(super) fn subject(der: &[u8]) -> Option<&[u8]> {
    parts(der).map(|(_, subject, _)| subject)
}

/// `subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];

/// `keyUsage`, 2.5.29.15, and two of its bits (RFC 5280 section 4.2.1.3).
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
pub(super) const DIGITAL_SIGNATURE: u8 = 0x80;
pub(super) const KEY_CERT_SIGN: u8 = 0x04;

/// Whether the key of the certificate `der` may be used for `usage`: it says so, or says nothing.
pub(super) fn may(der: &[u8], usage: u8) -> bool {
    let Some(mut value) = extension(der, KEY_USAGE) else { return true };
    // In front of the bits stands how many of the last byte do not count.
    let bits = expect(&mut value, tag::BITS).and_then(|bits| bits.get(1));
    bits.is_some_and(|first| first & usage != 0)
}

/// The IP addresses among the alternative names (RFC 5280 section 4.2.1.6).
fn addresses(der: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut value = extension(der, ALTERNATIVE_NAMES)?;
    let mut names = expect(&mut value, tag::SEQUENCE)?;
    let mut addresses = Vec::new();
    while !names.is_empty() {
        if let (tag::ADDRESS, address) = next(&mut names)? {
            addresses.push(address.to_vec());
        }
    }
    Some(addresses)
}

/// What the extension `id` of the certificate `der` holds, where it has one.
fn extension(der: &[u8], id: [u8; 3]) -> Option<&[u8]> {
    let (.., mut rest) = parts(der)?;
    // Numbers of issuer and subject may stand before the extensions.
    let mut extensions = loop {
        if let (tag::EXTENSIONS, extensions) = next(&mut rest)? {
            break extensions;
        }
    };
    let mut extensions = expect(&mut extensions, tag::SEQUENCE)?;
    while !extensions.is_empty() {
        let mut extension = expect(&mut extensions, tag::SEQUENCE)?;
        if expect(&mut extension, tag::OID)? != id {
            continue;
        }
        // It may say that it is critical.
        return match next(&mut extension)? {
            (tag::OCTETS, value) => Some(value),
            _ => expect(&mut extension, tag::OCTETS),
        };
    }
    None
}
