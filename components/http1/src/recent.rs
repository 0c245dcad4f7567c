//! The heads that were parsed last: clients ask for the same again and again, and what a head
//! means depends on its bytes alone.
//!
//! Only short heads are remembered, and only such with nothing behind them. Heads that break a rule
//! are not, nor what depends on anything but the bytes. To compare one takes as long whether it
//! differs early or late, so the time tells nobody how much of a head that somebody else sent was
//! guessed, unless it was all of it. Whoever sends heads that push each other out makes them cost
//! what parsing costs, and a copy.

use crate::parse::Parsed;

/// The longest head that is remembered, in bytes.
const LONG: usize = 128;
/// How many are, at most: a power of two.
const PLACES: usize = 8;

/// Heads and what they mean.
pub(crate) struct Recent {
    places: [Option<Place>; PLACES],
}

struct Place {
    /// Bytes of the head; zeroes behind them.
    bytes: [u8; LONG],
    parsed: Parsed,
}

impl Recent {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self { places: [const { None }; PLACES] }
    }

    /// What the head `bytes` means, if it is remembered.
    #[inline]
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Parsed> {
        let place = self.places.get(place_of(bytes)?)?.as_ref()?;
        let same = place.parsed.length == bytes.len() && is_same(bytes, &place.bytes);
        same.then_some(place.parsed)
    }

    /// Remembers what `bytes` were parsed to, unless they are too long, or more than the head.
    pub(crate) fn remember(&mut self, bytes: &[u8], parsed: &Parsed) {
        let Some(place) = place_of(bytes).filter(|_| parsed.length == bytes.len()) else { return };
        let Some(place) = self.places.get_mut(place) else { return };
        let mut copy = [0; LONG];
        if let Some(room) = copy.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            *place = Some(Place { bytes: copy, parsed: *parsed });
        }
    }
}

/// Where a head belongs, by its first letters and its length; `None` when it is too long or too
/// short.
#[inline]
fn place_of(bytes: &[u8]) -> Option<usize> {
    if bytes.len() > LONG {
        return None;
    }
    // Behind `GET `: where a target begins to differ from others.
    let (_, letters) = bytes.split_first_chunk::<4>()?;
    let word = u64::from_le_bytes(*letters.first_chunk()?) ^ bytes.len() as u64;
    // The top bits of the product depend on all of it.
    Some((word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.ilog2())) as usize)
}

/// Whether `bytes`, eight at least, are the first of `there`. Looks at all of them.
#[inline]
fn is_same(bytes: &[u8], there: &[u8; LONG]) -> bool {
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let (words, _) = bytes.as_chunks::<8>();
    let (known, _) = there.as_chunks::<8>();
    let pairs = words.iter().zip(known);
    let differences = pairs.fold(0, |found, (one, two)| found | (word(one) ^ word(two)));
    // The last eight overlap what was compared.
    let known = there.get(..bytes.len()).and_then(|known| known.last_chunk());
    match (bytes.last_chunk(), known) {
        (Some(one), Some(two)) => differences | (word(one) ^ word(two)) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
