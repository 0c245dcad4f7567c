//! Who the subject of a certificate is, for whoever must tell subjects from each other.
//!
//! `webpki` finds out whether a certificate is believed; what stands in it, it mostly keeps to
//! itself. What is read here was found good before, so that whatever does not fit is just refused.

use super::Distrust;
use super::der::{expect, next, tag};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use waitless::calendar::day_of;
use webpki::EndEntityCert;

/// Who somebody has shown to be. Having one proves that a trusted certificate says so, and that
/// its key was used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The certificate's subject, as in RFC 4514: `CN=alice,O=Example`. Where it is empty, the
    /// first of the URIs and host names that the certificate is for: `URI=spiffe://example/a`.
    pub subject: Rc<str>,
    /// Until when this is believed, in seconds since 1970.
    pub until: u64,
}

/// Bytes of the longest subject. Longer ones are refused, not cut: two could begin alike.
const SUBJECT_MAX: usize = 512;

/// Names of attributes that have one, as RFC 4514 section 3 and RFC 4519 have them.
const NAMES: [(&[u8], &str); 10] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

impl Identity {
    /// Who the subject of `certificate` is, until it ends.
    ///
    /// # Errors
    /// [`Distrust::Unsupported`] when it does not say, or says too much.
    pub fn of(certificate: &EndEntityCert<'_>) -> Result<Self, Distrust> {
        let unsupported = |why| Distrust::Unsupported(String::from(why));
        let until = end_of(certificate)?;
        let mut subject = String::new();
        if certificate.subject().is_empty() {
            let uri = certificate.valid_uri_names().next().map(|name| ("URI", name));
            let name = uri.or_else(|| certificate.valid_dns_names().next().map(|it| ("DNS", it)));
            let (kind, name) = name.ok_or_else(|| unsupported("it is for nobody"))?;
            let _ = write!(subject, "{kind}=");
            escape(name, &mut subject);
        } else {
            describe(certificate.subject(), &mut subject)
                .ok_or_else(|| unsupported("its subject cannot be read"))?;
        }
        if subject.len() > SUBJECT_MAX {
            return Err(unsupported("its subject is too long"));
        }
        Ok(Self { subject: subject.into(), until })
    }

    /// The name in DER whose parts are `parts`.
    pub(super) fn name_of(parts: &[u8]) -> Vec<u8> {
        let length = (parts.len() as u32).to_be_bytes();
        let count = length.iter().skip_while(|byte| **byte == 0).count();
        let long = length.get(length.len() - count..).unwrap_or_default();
        match parts.len() {
            0..0x80 => [&[tag::SEQUENCE, parts.len() as u8], parts].concat(),
            _ => [&[tag::SEQUENCE, 0x80 + count as u8], long, parts].concat(),
        }
    }

    /// As bytes, for a ticket.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [&self.until.to_be_bytes(), self.subject.as_bytes()].concat()
    }

    /// What [`to_bytes`](Self::to_bytes) made.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (until, subject) = bytes.split_first_chunk()?;
        let subject = core::str::from_utf8(subject).ok()?;
        Some(Self { subject: subject.into(), until: u64::from_be_bytes(*until) })
    }
}

/// When `certificate` ends, in seconds since 1970.
pub(super) fn end_of(certificate: &EndEntityCert<'_>) -> Result<u64, Distrust> {
    let unreadable = || Distrust::Unsupported(String::from("its end cannot be read"));
    not_after(&certificate.der()).ok_or_else(unreadable)
}

/// When the certificate in `der` ends, in seconds since 1970.
fn not_after(der: &[u8]) -> Option<u64> {
    let mut validity = validity(der)?;
    next(&mut validity)?;
    time(&mut validity)
}

/// From when until when the certificate in `der` is good, in seconds since 1970.
pub(super) fn lifetime(der: &[u8]) -> Option<(u64, u64)> {
    let mut validity = validity(der)?;
    Some((time(&mut validity)?, time(&mut validity)?))
}

/// The two times between which the certificate in `der` is good.
fn validity(der: &[u8]) -> Option<&[u8]> {
    let mut signed = from_issuer(der)?;
    expect(&mut signed, tag::SEQUENCE)?; // the issuer
    expect(&mut signed, tag::SEQUENCE)
}

/// What the certificate in `der` says from its issuer on (RFC 5280 section 4.1).
pub(super) fn from_issuer(mut der: &[u8]) -> Option<&[u8]> {
    let mut certificate = expect(&mut der, tag::SEQUENCE)?;
    let mut signed = expect(&mut certificate, tag::SEQUENCE)?;
    if signed.first() == Some(&tag::VERSION) {
        next(&mut signed)?;
    }
    expect(&mut signed, tag::INTEGER)?;
    expect(&mut signed, tag::SEQUENCE)?; // the signature's algorithm
    Some(signed)
}

/// The time that comes next, in seconds since 1970.
fn time(rest: &mut &[u8]) -> Option<u64> {
    let (kind, text) = next(rest)?;
    let digits = text.strip_suffix(b"Z").filter(|it| it.iter().all(u8::is_ascii_digit))?;
    let number = |range| {
        let digits: &[u8] = digits.get(range)?;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    };
    let (year, at) = match (kind, digits.len()) {
        // RFC 5280 section 4.1.2.5.1: of these two centuries.
        (tag::UTC_TIME, 12) => {
            (number(0..2).map(|year| if year < 50 { year + 2000 } else { year + 1900 }), 2)
        }
        (tag::GENERALIZED_TIME, 14) => (number(0..4), 4),
        _ => return None,
    };
    let year = year.filter(|year| *year >= 1970)?;
    let part = |place: usize| number(at + 2 * place..at + 2 * place + 2);
    let month = part(0).filter(|month| (1..=12).contains(month))?;
    let day = part(1).filter(|day| (1..=31).contains(day))?;
    let (hour, minute, second) = (part(2)?, part(3)?, part(4)?);
    Some(day_of(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Writes the name whose parts stand in `parts`, the last first (RFC 4514 section 2.1).
pub(super) fn describe(mut parts: &[u8], out: &mut String) -> Option<()> {
    let mut all = Vec::new();
    // Each turn takes two bytes at least.
    while !parts.is_empty() {
        all.push(expect(&mut parts, tag::SET)?);
    }
    for (place, mut attributes) in all.into_iter().rev().enumerate() {
        let mut separator = if place == 0 { "" } else { "," };
        while !attributes.is_empty() {
            let mut attribute = expect(&mut attributes, tag::SEQUENCE)?;
            let kind = expect(&mut attribute, tag::OID)?;
            let whole = attribute;
            let (tag, value) = next(&mut attribute)?;
            out.push_str(core::mem::replace(&mut separator, "+"));
            let name = NAMES.iter().find(|(oid, _)| *oid == kind).map(|(_, name)| *name);
            let is_text = matches!(tag, tag::UTF8 | tag::PRINTABLE | tag::IA5);
            let text = core::str::from_utf8(value).ok().filter(|_| is_text);
            match (name, text) {
                (Some(name), Some(text)) => {
                    let _ = write!(out, "{name}=");
                    escape(text, out);
                }
                // Section 2.4: what has no name, or is no text, in hexadecimal.
                _ => {
                    dotted(kind, out);
                    out.push_str("=#");
                    for byte in whole {
                        let _ = write!(out, "{byte:02x}");
                    }
                }
            }
            if out.len() > 2 * SUBJECT_MAX {
                return Some(());
            }
        }
    }
    Some(())
}

/// Writes an object identifier as numbers with dots.
fn dotted(oid: &[u8], out: &mut String) {
    let (mut number, mut is_first) = (0_u64, true);
    for byte in oid {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if core::mem::take(&mut is_first) {
            let first = (number / 40).min(2);
            let _ = write!(out, "{first}.{}", number - first * 40);
        } else {
            let _ = write!(out, ".{number}");
        }
        number = 0;
    }
}

/// Writes `text`. What would be taken for something else is escaped (RFC 4514 section 2.4).
fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (place, letter) in text.chars().enumerate() {
        let at_edge = letter == ' ' && (place == 0 || place == last);
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => {}
            '#' if place == 0 => {}
            _ if at_edge => {}
            // No line of a log, and no header, ends in the middle of a name.
            '\0'..' ' | '\x7f' => {
                let _ = write!(out, "\\{:02x}", u32::from(letter));
                continue;
            }
            _ => {
                out.push(letter);
                continue;
            }
        }
        out.push('\\');
        out.push(letter);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use alloc::vec;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use rustls_pki_types::CertificateDer;

    /// A certificate with these parts of its subject and these names.
    fn identity(parts: &[(DnType, &str)], names: &[&str]) -> Result<Identity, Distrust> {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in parts {
            params.distinguished_name.push(kind.clone(), *text);
        }
        params.not_after = rcgen::date_time_ymd(2030, 2, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let der = CertificateDer::from(made.der().to_vec());
        Identity::of(&EndEntityCert::try_from(&der).unwrap())
    }

    #[test]
    fn subjects_are_written_as_the_rfc_says() {
        use DnType::{CommonName, CountryName, CustomDnType, OrganizationName};
        for (parts, expected) in [
            (vec![(CommonName, "alice")], "CN=alice"),
            (
                vec![(CountryName, "DE"), (OrganizationName, "A, B + C"), (CommonName, "alice")],
                "CN=alice,O=A\\, B \\+ C,C=DE",
            ),
            (vec![(CommonName, " #x\\\"<>;=\r\n ")], "CN=\\ #x\\\\\\\"\\<\\>\\;\\=\\0d\\0a\\ "),
            (vec![(CommonName, "#Zoë")], "CN=\\#Zoë"),
            (vec![(CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a")], {
                "1.2.840.113549.1.9.1=#0c0161"
            }),
        ] {
            let found = identity(&parts, &["a.example"]).unwrap();
            assert_eq!(&*found.subject, expected);
            // The first of February in 2030.
            assert_eq!(found.until, 1_896_134_400);
            assert_eq!(Identity::from_bytes(&found.to_bytes()), Some(found));
        }
    }

    #[test]
    fn who_has_no_subject_has_another_name_or_is_nobody() {
        let found = identity(&[], &["a.example", "b.example"]).unwrap();
        assert_eq!(&*found.subject, "DNS=a.example");
        assert!(matches!(identity(&[], &[]), Err(Distrust::Unsupported(_))));
        let long = "x".repeat(SUBJECT_MAX);
        let long = identity(&[(DnType::CommonName, &long)], &[]);
        assert!(matches!(long, Err(Distrust::Unsupported(_))));
    }

    #[test]
    fn times_of_both_kinds_are_read() {
        let certificate = |kind: u8, text: &[u8]| {
            let value = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
            let validity = [value(tag::UTC_TIME, b"200101000000Z"), value(kind, text)].concat();
            let signed = [
                value(tag::VERSION, &[2, 1, 2]),
                value(tag::INTEGER, &[1]),
                value(tag::SEQUENCE, &[]),
                value(tag::SEQUENCE, &[]),
                value(tag::SEQUENCE, &validity),
            ];
            value(tag::SEQUENCE, &value(tag::SEQUENCE, &signed.concat()))
        };
        for (kind, text, expected) in [
            (tag::UTC_TIME, &b"700101000001Z"[..], Some(1)),
            (tag::UTC_TIME, b"491231235959Z", Some(2_524_607_999)),
            (tag::GENERALIZED_TIME, b"20500101000000Z", Some(2_524_608_000)),
            (tag::UTC_TIME, b"501231235959Z", None),
            (tag::UTC_TIME, b"20500101000000Z", None),
            (tag::GENERALIZED_TIME, b"20501301000000Z", None),
            (tag::GENERALIZED_TIME, b"20500132000000Z", None),
            (tag::GENERALIZED_TIME, b"2050010100000", None),
            (tag::PRINTABLE, b"20500101000000Z", None),
        ] {
            let der = certificate(kind, text);
            assert_eq!(not_after(&der), expected, "{}", text.escape_ascii());
            // And whatever is missing at its end.
            assert!((0..der.len()).all(|end| not_after(&der[..end]).is_none()));
        }
    }
}
