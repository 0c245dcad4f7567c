//! Finding the end of tokens, targets, names and values, eight bytes at a time.
//!
//! The bytes of a word are told apart all at once, each in its own highest bit. Nothing carries
//! from one byte into the next, as the highest bits are left out of every sum.

use super::host::is_name_byte;
use crate::http::TOKEN;

/// Bytes of the token that `bytes` begin with.
#[inline]
pub fn token_length(bytes: &[u8]) -> usize {
    let usual = |word| letters(word) | among(word, b'-', b'-');
    span(bytes, usual, |byte| TOKEN[usize::from(byte)])
}

/// Bytes in front of `bytes` that may stand in a target: what is visible in ASCII, but no
/// fragment.
#[inline]
pub fn target_length(bytes: &[u8]) -> usize {
    // All but the fragment's mark.
    let visible = |word| among(word, b'!', b'"') | among(word, b'$', b'~');
    span(bytes, visible, |_| false)
}

/// The same up to the question mark that a query begins with.
#[inline]
pub fn path_length(bytes: &[u8]) -> usize {
    let usual = |word| among(word, b'!', b'"') | among(word, b'$', b'>') | among(word, b'@', b'~');
    span(bytes, usual, |_| false)
}

/// Bytes in front of `bytes` that may stand in a host's name, but for escapes.
#[inline]
pub fn name_length(bytes: &[u8]) -> usize {
    let usual = |word| letters(word) | among(word, b'-', b'.') | among(word, b'0', b'9');
    span(bytes, usual, is_name_byte)
}

/// The place of the first control character that is no tab, or the length.
#[inline]
pub fn find_control(bytes: &[u8]) -> usize {
    // Bytes from 0x80 on are no control characters.
    let usual = |word| among(word, b' ', b'~') | word;
    span(bytes, usual, |byte| byte == b'\t')
}

/// Bytes in front of `bytes` that are in a set. `most` tells it for a word: the highest bit of
/// every byte that is surely in the set; the other bits say nothing. `rest` tells it for a byte
/// that `most` had no say in.
#[inline(always)]
fn span(bytes: &[u8], most: impl Fn(u64) -> u64, rest: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let others = !most(u64::from_le_bytes(*word)) & HIGHEST;
        let place = others.trailing_zeros() as usize / 8;
        match word.get(place) {
            None => at += 8,
            Some(&byte) if rest(byte) => at += place + 1,
            Some(_) => return at + place,
        }
    }
    let end = bytes.get(at..).unwrap_or(&[]);
    let mut last = [0; 8];
    // The bytes behind the end are zeroes: in no set, or left out below.
    for (room, byte) in last.iter_mut().zip(end) {
        *room = *byte;
    }
    let most = most(u64::from_le_bytes(last));
    let is_in = |(place, &byte): (usize, &u8)| most >> (8 * place) & 0x80 != 0 || rest(byte);
    at + end.iter().enumerate().position(|it| !is_in(it)).unwrap_or(end.len())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = ONES << 7;

/// The bytes from `from` to `to`, both of ASCII and included, in their highest bits.
#[inline(always)]
const fn among(word: u64, from: u8, to: u8) -> u64 {
    let low = word & !HIGHEST;
    let not_below = low + ONES * (0x80 - from as u64);
    let above = low + ONES * (0x7f - to as u64);
    not_below & !above & !word
}

/// The letters of ASCII, in their highest bits.
#[inline(always)]
const fn letters(word: u64) -> u64 {
    among(word | (ONES * 0x20), b'a', b'z')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first byte that is not in the set, at every place and in every length.
    #[track_caller]
    fn agrees(length_of: fn(&[u8]) -> usize, is_in: impl Fn(u8) -> bool, filler: u8) {
        for length in 0..26 {
            let mut bytes = [filler; 26];
            assert_eq!(length_of(&bytes[..length]), length);
            for place in 0..length {
                for byte in 0..=255 {
                    bytes[place] = byte;
                    let expected = if is_in(byte) { length } else { place };
                    assert_eq!(length_of(&bytes[..length]), expected, "{byte:#x} at {place}");
                }
                bytes[place] = filler;
            }
        }
    }

    #[test]
    fn every_byte_is_in_its_sets_at_every_place() {
        agrees(token_length, |byte| TOKEN[usize::from(byte)], b'-');
        agrees(token_length, |byte| TOKEN[usize::from(byte)], b'_');
        agrees(target_length, |byte| byte.is_ascii_graphic() && byte != b'#', b'/');
        agrees(name_length, is_name_byte, b'z');
        agrees(find_control, |byte| byte == b'\t' || !byte.is_ascii_control(), 0x80);
        agrees(find_control, |byte| byte == b'\t' || !byte.is_ascii_control(), b'\t');
        let path = |byte: u8| byte.is_ascii_graphic() && byte != b'#' && byte != b'?';
        agrees(path_length, path, b'/');
    }
}
