//! Sequence numbers: 32 bits that wrap around (RFC 9293 section 3.4).

use core::ops::{Add, Sub};

/// A sequence number. Not ordered as a number is: only numbers less than 2^31 apart compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// How far this is behind `earlier`, counted forwards modulo 2^32.
    #[inline]
    pub fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this comes before `other`.
    #[inline]
    pub fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this comes after `other`.
    #[inline]
    pub fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// The later of both.
    #[inline]
    pub fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    #[inline]
    fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    #[inline]
    fn sub(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let (early, late) = (Seq(u32::MAX - 1), Seq(3));
        assert!(early.before(late) && late.after(early) && !early.after(late));
        assert_eq!((late.since(early), early + 5, late - 5), (5, late, early));
        assert_eq!(early.max(late), late);
        assert!(!early.before(early) && !early.after(early));
    }
}
