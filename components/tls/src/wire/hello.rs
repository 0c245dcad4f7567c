//! The client's hello (RFC 8446 section 4.1.2) and its extensions.

use super::codes::{OCSP, extension};
use super::{List, Reader};
use crate::alert::Fault;
use alloc::vec::Vec;

/// A hello that is well-formed: every list in it ends where it says, and no extension stands
/// twice. What it offers was not looked at.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// What older versions chose by; 0x0303 in TLS 1.3.
    pub legacy_version: u16,
    /// The client's random bytes.
    pub random: &'a [u8; 32],
    /// What the server must send back.
    pub session_id: &'a [u8],
    /// Cipher suites, the client's favourite first.
    pub suites: List<'a>,
    /// Compression methods.
    pub compression: &'a [u8],
    /// The host name that the client wants to talk to.
    pub server_name: Option<&'a [u8]>,
    /// Whether the client wants to hear what the issuer says of the certificate, by OCSP
    /// (RFC 6066 section 8).
    pub wants_status: bool,
    /// Groups for the key exchange.
    pub groups: Option<List<'a>>,
    /// Public keys, some groups' own.
    pub key_shares: Option<KeyShares<'a>>,
    /// Signatures that the client can check.
    pub signatures: Option<List<'a>>,
    /// Versions of TLS.
    pub versions: Option<List<'a>>,
    /// Application protocols.
    pub protocols: Option<Protocols<'a>>,
    /// The longest record that the client takes (RFC 8449).
    pub record_size_limit: Option<u16>,
    /// What the server's retry request asked to be sent back.
    pub cookie: Option<&'a [u8]>,
    /// How pre-shared keys may be used.
    pub key_modes: Option<&'a [u8]>,
    /// Keys of earlier connections.
    pub keys: Option<PreSharedKeys<'a>>,
    /// Whether early data follows.
    pub early_data: bool,
}

impl<'a> ClientHello<'a> {
    /// The meaning of `body`, the message without its header.
    pub fn parse(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vector8(0..=32)?;
        let suites = List::new(reader.vector16(2..=0xfffe)?)?;
        let compression = reader.vector8(1..=255)?;
        let mut hello = Self {
            legacy_version,
            random,
            session_id,
            suites,
            compression,
            server_name: None,
            wants_status: false,
            groups: None,
            key_shares: None,
            signatures: None,
            versions: None,
            protocols: None,
            record_size_limit: None,
            cookie: None,
            key_modes: None,
            keys: None,
            early_data: false,
        };
        // Clients of old versions may end here, and must be told that they are old.
        if reader.is_empty() {
            return Ok(hello);
        }
        let mut extensions = Reader::new(reader.vector16(0..=0xffff)?);
        reader.end()?;
        let mut seen = Seen::default();
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            let content = extensions.vector16(0..=0xffff)?;
            seen.insert(kind)?;
            if hello.keys.is_some() {
                return Err(Fault::KeysNotLast);
            }
            hello.extension(kind, Reader::new(content))?;
        }
        hello.check_shares()?;
        Ok(hello)
    }

    fn extension(&mut self, kind: u16, mut content: Reader<'a>) -> Result<(), Fault> {
        match kind {
            extension::SERVER_NAME => self.server_name = host_name(&mut content)?,
            extension::STATUS_REQUEST => {
                // What other kinds of question hold, nobody knows.
                if content.u8()? != OCSP {
                    return Ok(());
                }
                content.vector16(0..=0xffff)?; // who is asked: anybody
                content.vector16(0..=0xffff)?; // extensions of the question
                self.wants_status = true;
            }
            extension::SUPPORTED_GROUPS => {
                self.groups = Some(List::new(content.vector16(2..=0xffff)?)?);
            }
            extension::SIGNATURE_ALGORITHMS | extension::SIGNATURE_ALGORITHMS_CERT => {
                let list = List::new(content.vector16(2..=0xfffe)?)?;
                // Those of certificates are not chosen by: there is one chain for each key.
                if kind == extension::SIGNATURE_ALGORITHMS {
                    self.signatures = Some(list);
                }
            }
            extension::ALPN => self.protocols = Some(Protocols::parse(&mut content)?),
            extension::RECORD_SIZE_LIMIT => self.record_size_limit = Some(content.u16()?),
            extension::PRE_SHARED_KEY => self.keys = Some(PreSharedKeys::parse(&mut content)?),
            extension::EARLY_DATA => self.early_data = true,
            extension::SUPPORTED_VERSIONS => {
                self.versions = Some(List::new(content.vector8(2..=254)?)?);
            }
            extension::COOKIE => self.cookie = Some(content.vector16(1..=0xffff)?),
            extension::PSK_KEY_EXCHANGE_MODES => self.key_modes = Some(content.vector8(1..=255)?),
            extension::KEY_SHARE => self.key_shares = Some(KeyShares::parse(&mut content)?),
            extension::QUIC_TRANSPORT_PARAMETERS => return Err(Fault::QuicParameters),
            _ => return Ok(()),
        }
        content.end()
    }

    //= RFC 8446 4.2.8: no two shares of a group, and only of groups that are supported
    fn check_shares(&self) -> Result<(), Fault> {
        let (Some(shares), Some(groups)) = (self.key_shares, self.groups) else { return Ok(()) };
        // Both may be long, so that no share is looked for among all groups.
        let (mut offered, mut seen) = (Seen::default(), Seen::default());
        for group in groups.iter() {
            let _ = offered.insert(group);
        }
        for (group, _) in shares.iter() {
            if seen.insert(group).is_err() || offered.insert(group).is_ok() {
                return Err(Fault::BadKeyShare);
            }
        }
        Ok(())
    }
}

/// The host name in a list of names (RFC 6066 section 3).
fn host_name<'a>(content: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Fault> {
    let mut names = Reader::new(content.vector16(1..=0xffff)?);
    let mut found = None;
    while !names.is_empty() {
        let kind = names.u8()?;
        let name = names.vector16(1..=0xffff)?;
        if kind == 0 && found.replace(name).is_some() {
            return Err(Fault::SeveralNames);
        }
    }
    Ok(found)
}

/// The client's public keys. Having this proves that they are complete.
#[derive(Clone, Copy, Debug)]
pub struct KeyShares<'a>(&'a [u8]);

impl<'a> KeyShares<'a> {
    fn parse(content: &mut Reader<'a>) -> Result<Self, Fault> {
        let bytes = content.vector16(0..=0xffff)?;
        let mut shares = Reader::new(bytes);
        while !shares.is_empty() {
            share(&mut shares)?;
        }
        Ok(Self(bytes))
    }

    /// Groups and keys, in order.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut shares = Reader::new(self.0);
        core::iter::from_fn(move || share(&mut shares).ok())
    }

    /// The key of `group`.
    pub fn of(self, group: u16) -> Option<&'a [u8]> {
        self.iter().find(|(other, _)| *other == group).map(|(_, key)| key)
    }
}

fn share<'a>(shares: &mut Reader<'a>) -> Result<(u16, &'a [u8]), Fault> {
    Ok((shares.u16()?, shares.vector16(1..=0xffff)?))
}

/// The client's application protocols (RFC 7301). Having this proves that they are complete.
#[derive(Clone, Copy, Debug)]
pub struct Protocols<'a>(&'a [u8]);

impl<'a> Protocols<'a> {
    fn parse(content: &mut Reader<'a>) -> Result<Self, Fault> {
        let bytes = content.vector16(2..=0xffff)?;
        let mut names = Reader::new(bytes);
        while !names.is_empty() {
            names.vector8(1..=255)?;
        }
        Ok(Self(bytes))
    }

    /// All of them, as they came.
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether `name` is among them.
    pub fn contains(self, name: &[u8]) -> bool {
        let mut names = Reader::new(self.0);
        core::iter::from_fn(|| names.vector8(1..=255).ok()).any(|other| other == name)
    }
}

/// Keys of earlier connections (RFC 8446 section 4.2.11): as many binders as identities.
#[derive(Clone, Copy, Debug)]
pub struct PreSharedKeys<'a> {
    identities: &'a [u8],
    binders: &'a [u8],
}

impl<'a> PreSharedKeys<'a> {
    fn parse(content: &mut Reader<'a>) -> Result<Self, Fault> {
        let identities = content.vector16(7..=0xffff)?;
        let binders = content.vector16(33..=0xffff)?;
        let (mut reader, mut count) = (Reader::new(identities), 0);
        while !reader.is_empty() {
            identity(&mut reader)?;
            count += 1;
        }
        let mut reader = Reader::new(binders);
        while !reader.is_empty() {
            reader.vector8(32..=255)?;
            count -= 1;
        }
        if count == 0 { Ok(Self { identities, binders }) } else { Err(Fault::BinderCount) }
    }

    /// Identities with their binders, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (mut identities, mut binders) =
            (Reader::new(self.identities), Reader::new(self.binders));
        core::iter::from_fn(move || {
            Some((identity(&mut identities).ok()?, binders.vector8(32..=255).ok()?))
        })
    }

    /// How old the first identity is, in milliseconds, and what its ticket adds to that.
    pub fn first_age(self) -> Option<u32> {
        let mut identities = Reader::new(self.identities);
        identities.vector16(1..=0xffff).ok()?;
        identities.u32().ok()
    }

    /// Bytes at the end of the message that the binders are not made over.
    pub const fn binders_length(self) -> usize {
        2 + self.binders.len()
    }
}

fn identity<'a>(identities: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
    let identity = identities.vector16(1..=0xffff)?;
    identities.u32()?; // the ticket's age, which only matters to early data
    Ok(identity)
}

/// Which of all code points were seen.
#[derive(Default)]
pub(super) struct Seen {
    /// The first ones: of most messages, all.
    first: heapless::Vec<u16, 32>,
    /// A bit for each code point, once there are more, so that a message of many costs no more.
    others: Vec<u64>,
}

impl Seen {
    pub(super) fn insert(&mut self, code: u16) -> Result<(), Fault> {
        if self.first.contains(&code) {
            return Err(Fault::DuplicateExtension);
        }
        if self.first.push(code).is_ok() {
            return Ok(());
        }
        if self.others.is_empty() {
            self.others.resize(1024, 0);
        }
        let word = self.others.get_mut(usize::from(code >> 6)).ok_or(Fault::Internal)?;
        let bit = 1 << (code & 63);
        match *word & bit {
            0 => *word |= bit,
            _ => return Err(Fault::DuplicateExtension),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn what_was_seen_is_known_however_much_it_is() {
        let mut seen = Seen::default();
        let codes = || (0..100).map(|number| number * 655);
        assert!(codes().all(|code| seen.insert(code).is_ok()));
        assert!(codes().all(|code| seen.insert(code).is_err()));
    }
}
