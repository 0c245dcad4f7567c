//! Writing: lengths are filled in once it is known how much there is.

use alloc::vec::Vec;

/// Writes messages at the end of a buffer.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// A number of one byte.
    pub fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    /// A number of two bytes.
    pub fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// A number of four bytes.
    pub fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A vector whose length takes `N` bytes; `write` writes what is in it, which fits.
    pub fn vector<const N: usize>(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; N]);
        write(&mut Writer(self.0));
        let length = (self.0.len() - start - N) as u64;
        debug_assert!(length >> (8 * N) == 0);
        let length = length.to_be_bytes();
        if let (Some(room), Some(length)) =
            (self.0.get_mut(start..start + N), length.last_chunk::<N>())
        {
            room.copy_from_slice(length);
        }
    }

    /// A handshake message; `write` writes its body.
    pub fn message(&mut self, kind: u8, write: impl FnOnce(&mut Writer<'_>)) {
        self.u8(kind);
        self.vector::<3>(write);
    }

    /// An extension; `write` writes its content.
    pub fn extension(&mut self, kind: u16, write: impl FnOnce(&mut Writer<'_>)) {
        self.u16(kind);
        self.vector::<2>(write);
    }
}
