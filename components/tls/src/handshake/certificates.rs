//! Certificates with their keys, and which of them a client gets.

use crate::crypto::{Scheme, SigningKey, sha256};
use crate::wire::codes::OCSP;
use crate::wire::codes::extension::STATUS_REQUEST;
use crate::wire::codes::message::CERTIFICATE;
use crate::wire::{List, Reader, Writer};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use waitless::InitError;

/// A certificate with those that vouch for it.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// In DER, the server's own first, each vouched for by the next.
    pub certificates: &'static [&'static [u8]],
    /// The host names that it is for, in lower case; the first label may be `*`.
    pub names: &'static [&'static str],
}

/// What the issuer of a certificate has said of it: an OCSP response (RFC 6960).
#[derive(Clone, Copy, Debug)]
pub struct Staple {
    /// In DER.
    pub response: &'static [u8],
    /// Until when it is good, in seconds since 1970; then it is not shown any more.
    pub until: u64,
}

/// All certificates of one end: at least one.
pub struct Certificates(Vec<Entry>);

/// What tickets know a certificate by: the beginning of its SHA-256. So a ticket is not good for
/// the certificate that takes its place, and all cores agree about that without a word.
pub(super) type Mark = [u8; 4];

/// A certificate that is ready to be used.
pub struct Entry {
    /// The host names that it is for, in lower case; the first label may be `*`.
    pub(crate) names: Vec<Cow<'static, str>>,
    mark: Mark,
    /// The whole message.
    pub(crate) message: Vec<u8>,
    /// The same with what the issuer says of the certificate, and until when that is good.
    stapled: Option<(Vec<u8>, u64)>,
    pub(crate) key: SigningKey,
}

/// Why certificates cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateError {
    /// There is none.
    None,
    /// There are not as many keys as certificates, or not as many OCSP responses, or more than 255.
    Count,
    /// A key cannot be read.
    Key,
}

impl From<CertificateError> for InitError {
    fn from(why: CertificateError) -> Self {
        Self(match why {
            CertificateError::None => "there is no certificate: name one",
            CertificateError::Count => "each certificate needs its key, and a place in `ocsp`",
            CertificateError::Key => {
                "a private key cannot be used: it must be of P-256, P-384, Ed25519, or RSA with \
                 2,048 to 8,192 bits"
            }
        })
    }
}

/// What the other end gets.
#[derive(Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) index: u8,
    pub(super) mark: Mark,
    /// Whether the client has asked for its name.
    pub(crate) is_named: bool,
    /// What to sign with; `None` when the client takes no signature that there is.
    pub(crate) scheme: Option<Scheme>,
}

impl Certificates {
    /// Certificates and the keys that belong to them, in the same order.
    pub fn new(
        chains: &'static [Chain],
        keys: &'static [&'static [u8]],
    ) -> Result<Self, CertificateError> {
        if chains.is_empty() {
            return Err(CertificateError::None);
        }
        if chains.len() != keys.len() || chains.len() > 255 {
            return Err(CertificateError::Count);
        }
        let entry = |(chain, key): (&Chain, &&[u8])| {
            let key = SigningKey::from_pkcs8(key).map_err(|_| CertificateError::Key)?;
            let names = chain.names.iter().copied().map(Cow::Borrowed).collect();
            Ok(Entry::new(names, chain.certificates, key))
        };
        chains.iter().zip(keys).map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// The same, with what their issuers say of them, in the same order.
    pub fn stapled(
        mut self,
        chains: &[Chain],
        staples: Option<&[Option<Staple>]>,
    ) -> Result<Self, CertificateError> {
        let Some(staples) = staples else { return Ok(self) };
        if staples.len() != self.0.len() {
            return Err(CertificateError::Count);
        }
        for (entry, (chain, staple)) in self.0.iter_mut().zip(chains.iter().zip(staples)) {
            entry.stapled = staple
                .map(|staple| (message(chain.certificates, Some(staple.response)), staple.until));
        }
        Ok(self)
    }

    /// Whether there is something that is only good for a time.
    pub(crate) fn are_dated(&self) -> bool {
        self.0.iter().any(|entry| entry.stapled.is_some())
    }

    pub(crate) fn get(&self, index: u8) -> Option<&Entry> {
        self.0.get(usize::from(index))
    }

    /// All, in their order.
    pub(crate) fn all(&self) -> &[Entry] {
        &self.0
    }

    /// The one in the place `index`, for another to take its place.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.0.get_mut(index)
    }

    /// Bytes of the longest message.
    pub fn longest(&self) -> usize {
        let longest = |entry: &Entry| {
            entry.stapled.as_ref().map_or(0, |(message, _)| message.len()).max(entry.message.len())
        };
        self.0.iter().map(longest).max().unwrap_or(0)
    }

    /// The first certificate that is for `name` and that the client can check; where none is
    /// for it, the first that the client can check.
    pub(crate) fn choose(&self, name: Option<&[u8]>, signatures: Option<List<'_>>) -> Chosen {
        let name = self.known(name);
        let fits = |entry: &Entry| name.is_none_or(|name| entry.is_for(name));
        let mut fitting = (0..).zip(&self.0).filter(|(_, entry)| fits(entry));
        let first = fitting.clone().next().map_or(0, |(index, _)| index);
        let signs = |(index, entry): (u8, &Entry)| {
            let offered = signatures?;
            let schemes = entry.key.schemes().iter();
            let mut common = schemes.filter(|scheme| offered.contains(scheme.code()));
            common.next().map(|scheme| (index, *scheme))
        };
        let (index, scheme) = match fitting.find_map(signs) {
            Some((index, scheme)) => (index, Some(scheme)),
            None => (first, None),
        };
        let mark = self.get(index).map_or([0; 4], |entry| entry.mark);
        Chosen { index, mark, is_named: name.is_some(), scheme }
    }

    /// Whether the certificate that has the mark `mark` is in service for `name`.
    pub(super) fn has(&self, mark: Mark, name: Option<&[u8]>) -> bool {
        let name = self.known(name);
        self.0.iter().any(|entry| entry.mark == mark && name.is_none_or(|name| entry.is_for(name)))
    }

    /// `name` without the dot at its end, where a certificate is for it.
    #[inline(never)]
    fn known<'a>(&self, name: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let name = name.map(|name| name.strip_suffix(b".").unwrap_or(name));
        name.filter(|name| self.0.iter().any(|entry| entry.is_for(name)))
    }
}

impl Entry {
    /// The certificate for `names`, which is the first of `certificates`, with its key.
    pub(crate) fn new(
        names: Vec<Cow<'static, str>>,
        certificates: &[&[u8]],
        key: SigningKey,
    ) -> Self {
        let [a, b, c, d, ..] = sha256(&[certificates.first().copied().unwrap_or_default()]);
        let message = message(certificates, None);
        Self { names, mark: [a, b, c, d], message, stapled: None, key }
    }

    /// The certificate itself, then those that vouch for it, in DER.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        entries(&self.message).map(|(certificate, _)| certificate)
    }

    /// The same with what the issuer says of `old`, where that is the same certificate.
    #[must_use]
    pub(crate) fn stapled_as(mut self, old: &Self) -> Self {
        if let Some((said, until)) = &old.stapled
            && old.certificates().next() == self.certificates().next()
        {
            // In front of the response stand what extension it is, and two lengths.
            let response = entries(said).next().and_then(|(_, extensions)| extensions.get(8..));
            let certificates: Vec<&[u8]> = self.certificates().collect();
            self.stapled = Some((message(&certificates, response), *until));
        }
        self
    }

    /// Whether it is sent with what its issuer says of it.
    pub(crate) const fn is_stapled(&self) -> bool {
        self.stapled.is_some()
    }

    /// The message for a client that wants to hear what the issuer says, or does not. Where nobody
    /// knows the time, nobody knows that it is too old.
    pub(crate) fn message(&self, wants_status: bool, unix_secs: Option<u64>) -> &[u8] {
        match &self.stapled {
            Some((message, until)) if wants_status && unix_secs.is_none_or(|now| now < *until) => {
                message
            }
            _ => &self.message,
        }
    }

    fn is_for(&self, name: &[u8]) -> bool {
        self.names.iter().any(|pattern| matches(pattern.as_bytes(), name))
    }
}

//= RFC 6125 6.4.3: a star stands for the whole first label, and for nothing else
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some(parent) = pattern.strip_prefix(b"*.") else {
        return pattern.eq_ignore_ascii_case(name);
    };
    let Some(dot) = name.iter().position(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
        return false;
    };
    name.get(dot + 1..).is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
}

/// The certificates in a message that [`message`] made, each with its extensions.
fn entries(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // Behind the message's header, a context of no bytes and the list's length.
    let mut list = Reader::new(message.get(8..).unwrap_or_default());
    core::iter::from_fn(move || {
        let certificate = list.vector24(1..=usize::MAX).ok()?;
        Some((certificate, list.vector16(0..=0xffff).ok()?))
    })
}

/// RFC 8446 section 4.4.2; `response` stands beside the first certificate.
fn message(certificates: &[&[u8]], response: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).message(CERTIFICATE, |body| {
        body.u8(0); // no context: nobody asked
        body.vector::<3>(|list| {
            let mut response = response;
            for certificate in certificates {
                list.vector::<3>(|entry| entry.bytes(certificate));
                list.vector::<2>(|extensions| {
                    let Some(response) = response.take() else { return };
                    //= RFC 8446 4.4.2.1: the answer to status_request stands here
                    extensions.extension(STATUS_REQUEST, |content| {
                        content.u8(OCSP);
                        content.vector::<3>(|bytes| bytes.bytes(response));
                    });
                });
            }
        });
    });
    bytes
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_one_label() {
        for (pattern, name, expected) in [
            ("example.org", "example.org", true),
            ("example.org", "EXAMPLE.org", true),
            ("example.org", "www.example.org", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "www.EXAMPLE.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "a.www.example.org", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
