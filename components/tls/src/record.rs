//! The record layer's protection (RFC 8446 section 5.2): content in, ciphertext out, and back.

use crate::alert::Fault;
use crate::crypto::{AeadKey, NONCE, Secret, Suite, TAG};
use crate::key_schedule::{TrafficKey, TrafficSecret};
use crate::wire::record::{Content, HEADER, Header, PLAINTEXT_MAX, PROTECTION};

/// One direction's protection. Its keys are wiped when it is dropped.
pub struct Protection {
    suite: Suite,
    /// The bytes alone: the next ones are made of it, which is seldom.
    secret: Secret,
    key: AeadKey,
    iv: [u8; NONCE],
    sequence: u64,
}

/// Records after which a key is replaced: half of what RFC 8446 section 5.5 leaves AES-GCM at
/// full length, and records here are shorter.
pub const RECORDS_PER_KEY: u64 = 1 << 23;

/// What was in a record: so many bytes at the front of its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// What they are.
    pub content: Content,
    /// How many.
    pub length: usize,
}

impl Protection {
    /// Protection with the traffic secret `secret`, of the first record on.
    pub fn new(suite: Suite, secret: TrafficSecret) -> Self {
        let TrafficKey { ref key, iv } = TrafficKey::new(suite, &secret);
        let key = AeadKey::new(suite.cipher(), key);
        Self { suite, secret: secret.into_secret(), key, iv, sequence: 0 }
    }

    /// Replaces the keys by the next ones (RFC 8446 section 7.2).
    pub fn update(&mut self) {
        let secret = TrafficSecret::new(self.suite.hash(), self.secret.clone());
        *self = Self::new(self.suite, secret.next());
    }

    /// Whether so many records were protected that the keys should be replaced.
    //= RFC 8446 5.5: within the limits of the ciphers
    pub const fn is_worn(&self) -> bool {
        self.sequence >= RECORDS_PER_KEY
    }

    /// Encrypts the content of a record in place. `inner` is the content, its type, and padding
    /// if any. What comes back are the header and the tag that belong before and behind it.
    pub fn seal(&mut self, inner: &mut [u8]) -> Result<([u8; HEADER], [u8; TAG]), Fault> {
        if inner.len() > PLAINTEXT_MAX + 1 {
            return Err(Fault::Internal);
        }
        let header = Header::bytes(Content::Data, (inner.len() + TAG) as u16);
        let nonce = self.nonce();
        let tag = self.key.seal(&nonce, &header, inner).map_err(|_| Fault::Internal)?;
        self.count()?;
        Ok((header, tag))
    }

    /// Decrypts the body of a record in place: what follows `header`. A body that does not
    /// authenticate stays as it is, and does not count.
    pub fn open(&mut self, header: &[u8; HEADER], body: &mut [u8]) -> Result<Opened, Fault> {
        let Some((inner, tag)) = body.split_last_chunk_mut::<TAG>() else {
            return Err(Fault::BadRecord);
        };
        let nonce = self.nonce();
        self.key.open(&nonce, header, inner, tag).map_err(|_| Fault::BadRecord)?;
        self.count()?;
        //= RFC 8446 5.4: the type is the last byte that is not zero
        let last = inner.iter().rposition(|byte| *byte != 0).ok_or(Fault::NoContentType)?;
        let code = inner.get(last).copied().unwrap_or_default();
        let content = Content::from_code(code).ok_or(Fault::UnexpectedRecord)?;
        if inner.len() > PLAINTEXT_MAX + 1 {
            return Err(Fault::RecordTooLong);
        }
        Ok(Opened { content, length: last })
    }

    //= RFC 8446 5.3: the record's number, added to the initial vector
    fn nonce(&self) -> [u8; NONCE] {
        let mut nonce = self.iv;
        let number = self.sequence.to_be_bytes();
        nonce.iter_mut().skip(NONCE - 8).zip(number).for_each(|(byte, number)| *byte ^= number);
        nonce
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.sequence = self.sequence.checked_add(1).ok_or(Fault::KeyExhausted)?;
        Ok(())
    }

    /// Behaves as if so many records had been protected.
    #[cfg(test)]
    pub(crate) fn wear(&mut self, sequence: u64) {
        self.sequence = sequence;
    }
}

/// What protection costs a record, at the front and at the end.
pub const OVERHEAD: usize = HEADER + PROTECTION;
