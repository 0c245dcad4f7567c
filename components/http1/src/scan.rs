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
    byte.is_ascii_graphic() && byte != b'#'
}

/// The place of the first control character that is no tab, or the length.
#[inline]
pub(crate) fn find_control(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        if has_control(u64::from_le_bytes(*word))
            && let Some(place) = word.iter().position(|&byte| is_control(byte))
        {
            return at + place;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    at + rest.iter().position(|&byte| is_control(byte)).unwrap_or(rest.len())
}

/// Whether one of eight bytes is below a space, or DEL. (Tabs too, which the caller sorts out.)
#[inline]
const fn has_control(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let xored = word ^ (ONES * 0x7f);
    let deleted = xored.wrapping_sub(ONES) & !xored;
    (below_space | deleted) & HIGHS != 0
}

#[inline]
fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
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
