//! Headers of records (RFC 8446 section 5.1).

use super::codes::TLS12;
use crate::alert::Fault;

/// Bytes of a header.
pub const HEADER: usize = 5;
/// The most bytes of content in a record.
pub const PLAINTEXT_MAX: usize = 1 << 14;
/// The most bytes of a protected record behind its header.
pub const CIPHERTEXT_MAX: usize = PLAINTEXT_MAX + 256;
/// Bytes that protection adds to the content: its type, and the tag.
pub const PROTECTION: usize = 1 + crate::crypto::TAG;

/// What is in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Content {
    /// Middlebox compatibility, and nothing else.
    ChangeCipherSpec = 20,
    /// An alert.
    Alert = 21,
    /// Handshake messages, or parts of them.
    Handshake = 22,
    /// The bytes of the stream, and what is protected.
    Data = 23,
}

impl Content {
    /// The content of the type `code`.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            20 => Some(Self::ChangeCipherSpec),
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::Data),
            _ => None,
        }
    }
}

/// A header. Having one proves that its lengths are in bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What is in the record, or seems to be.
    pub content: Content,
    /// Bytes behind the header.
    pub length: usize,
}

impl Header {
    /// The meaning of `bytes`. The version is not looked at, as section 5.1 wants it.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, Fault> {
        let [content, _, _, high, low] = *bytes;
        let content = Content::from_code(content).ok_or(Fault::UnexpectedRecord)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let limit = if content == Content::Data { CIPHERTEXT_MAX } else { PLAINTEXT_MAX };
        if length > limit {
            return Err(Fault::RecordTooLong);
        }
        Ok(Self { content, length })
    }

    /// The bytes of a header.
    pub const fn bytes(content: Content, length: u16) -> [u8; HEADER] {
        let ([major, minor], [high, low]) = (TLS12.to_be_bytes(), length.to_be_bytes());
        [content as u8, major, minor, high, low]
    }
}
