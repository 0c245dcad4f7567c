//! What servers say, as a client reads it (RFC 8446 section 4).

use super::codes::{OCSP, extension};
use super::hello::Seen;
use super::{List, Reader};
use crate::alert::Fault;
use alloc::vec::Vec;

/// A server's hello, or its request for another one of the client's. It is well-formed; what it
/// chose was not looked at.
#[derive(Clone, Copy, Debug)]
pub struct ServerHello<'a> {
    /// What older versions chose by; 0x0303 in TLS 1.3.
    pub legacy_version: u16,
    /// The server's random bytes.
    pub random: &'a [u8; 32],
    /// What the client sent, or so it should be.
    pub session_id: &'a [u8],
    /// The cipher suite.
    pub suite: u16,
    /// The compression method.
    pub compression: u8,
    /// Everything else.
    pub extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    /// The meaning of `body`, the message without its header.
    pub fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vector8(0..=32)?;
        let suite = reader.u16()?;
        let compression = reader.u8()?;
        // Servers of old versions may end here, and are told that they are old.
        let extensions = match reader.is_empty() {
            true => Extensions(&[]),
            false => Extensions::parse(&mut reader)?,
        };
        reader.end()?;
        Ok(Self { legacy_version, random, session_id, suite, compression, extensions })
    }
}

/// The extensions of a message. Having this proves that they are complete, and that none of them
/// stands twice.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// The extensions at the front of `reader`.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let bytes = reader.vector16(0..=0xffff)?;
        let (mut extensions, mut seen) = (Reader::new(bytes), Seen::default());
        while !extensions.is_empty() {
            let (kind, _) = next(&mut extensions)?;
            seen.insert(kind)?;
        }
        Ok(Self(bytes))
    }

    /// Kinds and contents, in order.
    pub fn iter(self) -> impl Iterator<Item = (u16, Reader<'a>)> {
        let mut extensions = Reader::new(self.0);
        core::iter::from_fn(move || next(&mut extensions).ok())
            .map(|(kind, content)| (kind, Reader::new(content)))
    }

    /// What the extension `kind` holds.
    pub fn find(self, kind: u16) -> Option<Reader<'a>> {
        self.iter().find(|(other, _)| *other == kind).map(|(_, content)| content)
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// What of a server's may have extensions, a bit each.
#[allow(missing_docs, reason = "the names are the RFC's")]
pub mod place {
    pub const SERVER_HELLO: u8 = 1;
    pub const RETRY_REQUEST: u8 = 2;
    pub const ENCRYPTED_EXTENSIONS: u8 = 4;
    pub const CERTIFICATE_REQUEST: u8 = 8;
    pub const CERTIFICATE: u8 = 16;
    pub const TICKET: u8 = 32;
}

/// Where an extension may stand; `None` for one that is not known here.
const fn places(kind: u16) -> Option<u8> {
    use place::{
        CERTIFICATE, CERTIFICATE_REQUEST, ENCRYPTED_EXTENSIONS, RETRY_REQUEST, SERVER_HELLO, TICKET,
    };
    Some(match kind {
        extension::SERVER_NAME
        | extension::SUPPORTED_GROUPS
        | extension::ALPN
        | extension::RECORD_SIZE_LIMIT => ENCRYPTED_EXTENSIONS,
        extension::STATUS_REQUEST => CERTIFICATE_REQUEST | CERTIFICATE,
        extension::SIGNATURE_ALGORITHMS
        | extension::SIGNATURE_ALGORITHMS_CERT
        | extension::CERTIFICATE_AUTHORITIES => CERTIFICATE_REQUEST,
        extension::PRE_SHARED_KEY => SERVER_HELLO,
        extension::EARLY_DATA => ENCRYPTED_EXTENSIONS | TICKET,
        extension::SUPPORTED_VERSIONS | extension::KEY_SHARE => SERVER_HELLO | RETRY_REQUEST,
        extension::COOKIE => RETRY_REQUEST,
        extension::PSK_KEY_EXCHANGE_MODES => 0,
        _ => return None,
    })
}

/// Whether an extension stands where it may not. Others may stand there, or nobody here knows them.
fn is_misplaced(kind: u16, place: u8) -> bool {
    places(kind).is_some_and(|places| places & place == 0)
}

/// What is wrong with an extension that was not asked for, or not there.
//= RFC 8446 4.2: what is known, and may not stand there, is told from what nobody asked for
pub fn unexpected(kind: u16, place: u8) -> Fault {
    match is_misplaced(kind, place) {
        true => Fault::ExtensionMisplaced,
        false => Fault::ExtensionNotOffered,
    }
}

fn next<'a>(extensions: &mut Reader<'a>) -> Result<(u16, &'a [u8]), Fault> {
    Ok((extensions.u16()?, extensions.vector16(0..=0xffff)?))
}

/// The certificates in `body`, a Certificate message without its header, the sender's own first
/// (section 4.4.2). A client may have none. `asked` is whether their status was asked for.
pub fn certificates(body: &[u8], asked: bool) -> Result<Vec<&[u8]>, Fault> {
    let mut reader = Reader::new(body);
    if !reader.vector8(0..=255)?.is_empty() {
        return Err(Fault::BadContext);
    }
    let mut list = Reader::new(reader.vector24(0..=0xff_ffff)?);
    reader.end()?;
    let mut found = Vec::new();
    while !list.is_empty() {
        found.push(list.vector24(1..=0xff_ffff)?);
        //= RFC 8446 4.4.2: extensions answer the other end's, which has asked for no others
        for (kind, content) in Extensions::parse(&mut list)?.iter() {
            if kind != extension::STATUS_REQUEST || !asked {
                return Err(unexpected(kind, place::CERTIFICATE));
            }
            status(content)?;
        }
    }
    Ok(found)
}

/// An OCSP response beside a certificate (RFC 8446 section 4.4.2.1). What it says is not looked at.
fn status(mut content: Reader<'_>) -> Result<(), Fault> {
    if content.u8()? != OCSP {
        return Err(Fault::BadStatusResponse);
    }
    content.vector24(1..=0xff_ffff)?;
    content.end()
}

/// The schemes of signatures in `body`, a CertificateRequest without its header (section 4.3.2).
pub fn certificate_request(body: &[u8]) -> Result<List<'_>, Fault> {
    let mut reader = Reader::new(body);
    if !reader.vector8(0..=255)?.is_empty() {
        return Err(Fault::BadContext);
    }
    let extensions = Extensions::parse(&mut reader)?;
    reader.end()?;
    //= RFC 8446 4.3.2: what is not known is ignored, but not what belongs elsewhere
    if extensions.iter().any(|(kind, _)| is_misplaced(kind, place::CERTIFICATE_REQUEST)) {
        return Err(Fault::ExtensionMisplaced);
    }
    let mut schemes =
        extensions.find(extension::SIGNATURE_ALGORITHMS).ok_or(Fault::MissingExtension)?;
    let list = List::new(schemes.vector16(2..=0xfffe)?)?;
    schemes.end()?;
    Ok(list)
}

/// A ticket (section 4.6.1).
#[derive(Clone, Copy, Debug)]
pub struct NewSessionTicket<'a> {
    /// How long it is good for, in seconds.
    pub lifetime_secs: u32,
    /// What is added to its age when it is shown.
    pub age_add: u32,
    /// What its key is made of.
    pub nonce: &'a [u8],
    /// What is shown.
    pub ticket: &'a [u8],
}

impl<'a> NewSessionTicket<'a> {
    /// The meaning of `body`, the message without its header.
    pub fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let (lifetime_secs, age_add) = (reader.u32()?, reader.u32()?);
        let nonce = reader.vector8(0..=255)?;
        let ticket = reader.vector16(1..=0xffff)?;
        let extensions = Extensions::parse(&mut reader)?;
        reader.end()?;
        for (kind, mut content) in extensions.iter() {
            if is_misplaced(kind, place::TICKET) {
                return Err(Fault::ExtensionMisplaced);
            }
            // That is all that they could allow; none is sent.
            if kind == extension::EARLY_DATA {
                content.u32()?;
                content.end()?;
            }
        }
        Ok(Self { lifetime_secs, age_add, nonce, ticket })
    }
}
