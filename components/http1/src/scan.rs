//! Finding the end of tokens and values, eight bytes at a time where that pays.

use waitless::http::TOKEN;

/// Bytes of the token that `bytes` begin with.
#[inline]
pub(crate) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !TOKEN[usize::from(byte)]).unwrap_or(bytes.len())
}

/// Whether `byte` may stand in a target: what is visible in ASCII, but no fragment.
#[inline]
pub(crate) fn is_target_byte(byte: u8) -> bool {
    byte.wrapping_sub(b'!') < 0x5e && byte != b'#'
}

/// The place of the first control character that is no tab, or the length.
#[inline]
pub(crate) fn find_control(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match first_control(u64::from_le_bytes(*word)) {
            8 => at += 8,
            // Tabs are rare: one ends the word early, and the search goes on behind it.
            place if word.get(place) == Some(&b'\t') => at += place + 1,
            place => return at + place,
        }
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    at + rest.iter().position(|&byte| is_control(byte)).unwrap_or(rest.len())
}

/// The place, from 0 to 7, of the first byte below a space, or DEL; 8 when there is none.
#[inline]
const fn first_control(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // A borrow may mark bytes behind the first one that is meant, never before it.
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let xored = word ^ (ONES * 0x7f);
    let deleted = xored.wrapping_sub(ONES) & !xored;
    ((below_space | deleted) & HIGHS).trailing_zeros() as usize / 8
}

#[inline]
fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_control_character_is_found_at_every_place() {
        for length in 0..40 {
            let mut bytes = [0x80_u8; 40];
            assert_eq!(find_control(&bytes[..length]), length);
            for place in 0..length {
                for control in (0..=255).filter(|&byte| is_control(byte)) {
                    bytes[place] = control;
                    assert_eq!(find_control(&bytes[..length]), place);
                }
                bytes[place] = b'\t';
                assert_eq!(find_control(&bytes[..length]), length);
                bytes[place] = b' ';
            }
        }
    }
}
