//! What stands in a certificate, for whoever puts it into service or shows what is.

use super::identity::{describe, lifetime};
use alloc::string::String;
use alloc::vec::Vec;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A certificate that was read. Whether anybody vouches for it is another question.
#[derive(Debug)]
pub struct Facts {
    /// The host names that it is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
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
            subject: certificate.subject().to_vec(),
            issuer: certificate.issuer().to_vec(),
            serial: certificate.serial().to_vec(),
            not_before,
            not_after,
            public: certificate.subject_public_key_info().to_vec(),
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
