//! The Internet checksum (RFC 1071), shared by IPv4, ICMP, UDP and TCP.

use core::net::IpAddr;

/// A running ones'-complement sum of 64 bits. Folding is left to the end.
#[derive(Clone, Copy, Default, Debug)]
pub struct Checksum(u64);

impl Checksum {
    /// An empty sum.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds `bytes` as big-endian 16-bit words; an odd last byte is padded with zero, so only
    /// the last piece may have an odd length.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "it adds bytes to a sum, not two sums")]
    pub fn add(mut self, bytes: &[u8]) -> Self {
        // Ones'-complement sums care neither about byte order nor, as carries go around, about
        // the width of a word, until the end (RFC 1071 section 2 (B) and (C)).
        let (blocks, rest) = bytes.as_chunks::<128>();
        let mut carries = 0;
        for block in blocks {
            let (sum, carry) = self.words(block.as_chunks().0);
            self = sum;
            carries += u64::from(carry);
        }
        self = self.plus(carries);
        // What is left is less than that: each size once at most, and no loop.
        let (most, rest) = rest.as_chunks::<64>();
        if let [most] = most {
            self = self.whole(most.as_chunks().0);
        }
        let (half, rest) = rest.as_chunks::<32>();
        if let [half] = half {
            self = self.whole(half.as_chunks().0);
        }
        let (quarter, rest) = rest.as_chunks::<16>();
        if let [quarter] = quarter {
            self = self.whole(quarter.as_chunks().0);
        }
        let (word, rest) = rest.as_chunks::<8>();
        if let [word] = word {
            self = self.plus(u64::from_ne_bytes(*word));
        }
        if rest.is_empty() {
            return self;
        }
        self.plus(match bytes.last_chunk::<8>() {
            // What of the last word was not summed, moved to where a word of its own begins.
            Some(word) if cfg!(target_endian = "little") => {
                let summed = 8 * (8 - rest.len()) as u32;
                u64::from_ne_bytes(*word) >> summed
            }
            _ => padded(rest),
        })
    }

    /// Adds words in one chain of carries, which is one instruction for each. The last carry is
    /// left to be added.
    #[inline]
    fn words(self, words: &[[u8; 8]]) -> (Self, bool) {
        let (mut sum, mut carry) = (self.0, false);
        for word in words {
            (sum, carry) = sum.carrying_add(u64::from_ne_bytes(*word), carry);
        }
        (Self(sum), carry)
    }

    /// Adds words, and the last carry too, which may make the sum overflow once more.
    #[inline]
    fn whole(self, words: &[[u8; 8]]) -> Self {
        let (sum, carry) = self.words(words);
        sum.plus(u64::from(carry))
    }

    /// Adds a number, and the carry too.
    #[inline]
    const fn plus(self, number: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(number);
        Self(sum.wrapping_add(carry as u64))
    }

    /// Adds one 16-bit word.
    #[inline]
    pub fn word(self, word: u16) -> Self {
        self.plus(u64::from(word.to_be()))
    }

    /// Adds the pseudo header of RFC 768, RFC 9293 section 3.1 and RFC 8200 section 8.1:
    /// both addresses, the protocol and the upper layer's length.
    #[inline]
    pub fn pseudo(self, source: IpAddr, destination: IpAddr, protocol: u8, length: u16) -> Self {
        // As numbers of 32 bits, four of which make no carry.
        let rest = u64::from(u16::from(protocol).to_be()) + u64::from(length.to_be());
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [source, destination] = [source, destination]
                    .map(|address| u64::from(u32::from_ne_bytes(address.octets())));
                self.plus(source + destination + rest)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.add(&source.octets()).add(&destination.octets()).plus(rest)
            }
            _ => self.plus(rest),
        }
    }

    /// The sum, folded to 16 bits and **not** complemented: what a device that completes the
    /// checksum wants to find in the field. Zero over a region that holds a right checksum
    /// reads as `0xffff` here.
    #[inline]
    pub fn folded(self) -> u16 {
        // The halves added to each other, twice, each with its carry: the upper half of a number
        // and of the same with its halves swapped.
        let half = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        let sum = half.wrapping_add(half.rotate_left(16)) >> 16;
        u16::from_be(sum as u16)
    }

    /// The checksum to write into a header whose field was zero while summing.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.folded()
    }

    /// Whether what was summed, its checksum field included, is intact.
    #[inline]
    pub fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }
}

/// Less than a word, padded with zero.
#[cold]
#[inline(never)]
fn padded(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

/// The checksum `sum` of a region in which a word changes from `old` to `new` (equation 3 of
/// RFC 1624), at a place with an even number of bytes before it.
#[inline]
pub fn adjusted(sum: u16, old: u16, new: u16) -> u16 {
    let whole = u32::from(!sum) + u32::from(!old) + u32::from(new);
    let whole = (whole & 0xffff) + (whole >> 16);
    !((whole & 0xffff) + (whole >> 16)) as u16
}

/// The checksum of `bytes`.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    Checksum::new().add(bytes).finish()
}

#[cfg(test)]
mod tests;
