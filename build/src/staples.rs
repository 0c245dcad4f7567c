//! OCSP responses (RFC 6960) that a server shows beside its certificate: read from files, checked.

use crate::certificates::Chain;
use der::{Decode, asn1::GeneralizedTime};
use std::time::Duration;
use x509_cert::der;

/// What the issuer of a certificate has said of it, as a file holds it. Having one proves that it
/// says of that certificate that it was not revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Staple {
    /// The whole response, in DER.
    pub response: Vec<u8>,
    /// When the issuer will have said something newer, since 1970; `None` where nobody knows.
    pub until: Option<Duration>,
}

impl Staple {
    /// The response in `bytes`, DER, which must be about the first certificate of `chain`.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that names the file.
    pub fn read(bytes: &[u8], chain: &Chain) -> Result<Self, String> {
        if bytes.len() > LENGTH_MAX {
            return Err("is too long to be shown: 32 KiB at most".to_owned());
        }
        let status = status(bytes).ok_or(NO_RESPONSE)?;
        if let Some(refusal) = REFUSALS.get(usize::from(status)).filter(|text| !text.is_empty()) {
            return Err(format!("holds no answer: the responder has said {refusal}"));
        }
        let singles = singles(bytes).ok_or(NO_RESPONSE)?;
        let serial = chain.serial()?;
        let single = singles.into_iter().find(|single| single.serial == serial);
        let single = single.ok_or("is about another certificate: the serial number differs")?;
        match single.status {
            GOOD => Ok(Self { response: bytes.to_owned(), until: single.next_update }),
            REVOKED => Err("says that the certificate was revoked".to_owned()),
            _ => Err("says that the responder does not know the certificate".to_owned()),
        }
    }
}

/// Bytes of a response; real ones have some hundred to some thousand. The message that it is part
/// of counts 65,535 for all that is said of a certificate.
const LENGTH_MAX: usize = 32 << 10;

const NO_RESPONSE: &str =
    "holds no OCSP response in DER: `openssl ocsp -respout FILE` writes such a file";

/// What a responder says that gives no answer, by its number (section 4.2.1).
const REFUSALS: [&str; 7] = [
    "",
    "malformedRequest",
    "internalError",
    "tryLater",
    "its own (4)",
    "sigRequired",
    "unauthorized",
];

/// The tags of a certificate's status.
const GOOD: u8 = 0x80;
const REVOKED: u8 = 0xa1;

/// DER's other tags that stand in a response.
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OCTETS: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0a;
    pub const TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    /// `[0]`, around what it holds.
    pub const ZERO: u8 = 0xa0;
}

/// The object identifier of a basic response, 1.3.6.1.5.5.7.48.1.1: the one kind there is.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// What a response says of one certificate.
struct Single<'a> {
    serial: &'a [u8],
    status: u8,
    next_update: Option<Duration>,
}

/// Whether the responder has answered at all: 0 where it has.
fn status(mut bytes: &[u8]) -> Option<u8> {
    let mut whole = expect(&mut bytes, tag::SEQUENCE)?;
    match expect(&mut whole, tag::ENUMERATED)? {
        [status] => Some(*status),
        _ => None,
    }
}

/// All that a response says (section 4.2.1).
fn singles(mut bytes: &[u8]) -> Option<Vec<Single<'_>>> {
    let mut whole = expect(&mut bytes, tag::SEQUENCE).filter(|_| bytes.is_empty())?;
    expect(&mut whole, tag::ENUMERATED)?;
    let mut answer = expect(&mut whole, tag::ZERO)?;
    let mut answer = expect(&mut answer, tag::SEQUENCE)?;
    if expect(&mut answer, tag::OID)? != BASIC {
        return None;
    }
    let mut basic = expect(&mut answer, tag::OCTETS)?;
    let mut signed = expect(&mut basic, tag::SEQUENCE)?;
    let mut data = expect(&mut signed, tag::SEQUENCE)?;
    if data.first() == Some(&tag::ZERO) {
        next(&mut data)?; // the version
    }
    next(&mut data)?; // who has said it
    expect(&mut data, tag::TIME)?; // and when
    let mut list = expect(&mut data, tag::SEQUENCE)?;
    let mut singles = Vec::new();
    while !list.is_empty() {
        let mut single = expect(&mut list, tag::SEQUENCE)?;
        let mut name = expect(&mut single, tag::SEQUENCE)?;
        expect(&mut name, tag::SEQUENCE)?; // the hash that follows, of names and keys of issuers
        expect(&mut name, tag::OCTETS)?;
        expect(&mut name, tag::OCTETS)?;
        let serial = expect(&mut name, tag::INTEGER)?;
        let (status, _) = next(&mut single)?;
        expect(&mut single, tag::TIME)?; // since when
        let next_update = match single.first() {
            Some(&tag::ZERO) => {
                let mut until = expect(&mut single, tag::ZERO)?;
                Some(time(expect(&mut until, tag::TIME)?)?)
            }
            _ => None,
        };
        singles.push(Single { serial, status, next_update });
    }
    Some(singles)
}

/// A GeneralizedTime's content, since 1970.
fn time(content: &[u8]) -> Option<Duration> {
    let whole = [&[tag::TIME, u8::try_from(content.len()).ok()?], content].concat();
    Some(GeneralizedTime::from_der(&whole).ok()?.to_unix_duration())
}

/// The next value in `rest`: its tag, and what it holds.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, behind) = rest.split_first()?;
    let (first, mut behind) = behind.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (bytes, after) = behind.split_at_checked(length - 0x80).filter(|it| it.0.len() <= 3)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        behind = after;
    }
    let (content, after) = behind.split_at_checked(length)?;
    *rest = after;
    Some((*tag, content))
}

fn expect<'a>(rest: &mut &'a [u8], expected: u8) -> Option<&'a [u8]> {
    next(rest).filter(|(tag, _)| *tag == expected).map(|(_, content)| content)
}
