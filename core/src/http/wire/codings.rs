//! The fields that say where a message ends, and whether another one may follow.

use super::super::is_token;

/// The codings that the body of a message went through (RFC 9112, section 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Codings {
    /// The last one is `chunked`.
    pub chunked: bool,
    /// There is another one.
    pub unknown: bool,
}

/// What a message says of its connection (RFC 9110, section 7.6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// It is not to be used again.
    pub close: bool,
    /// It is, also by a client of HTTP/1.0.
    pub keep_alive: bool,
}

/// The value of `Content-Length`: digits only, without a sign, a list, or white space among them.
/// `None` for anything else, and for more than 64 bits.
#[inline]
pub fn length(value: &[u8]) -> Option<u64> {
    // Of what `trim_ascii` takes away, no value has anything but spaces and tabs.
    let digits = value.trim_ascii();
    let add = |length: u64, &digit: &u8| {
        let value = digit.wrapping_sub(b'0');
        let more = (value <= 9).then(|| length.checked_mul(10)).flatten()?;
        more.checked_add(value.into())
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

impl Codings {
    /// Adds those of the value of one `Transfer-Encoding` field: a list, of which nothing stands
    /// behind `chunked`. Whether it is such a list.
    #[inline]
    pub fn add(&mut self, value: &[u8]) -> bool {
        for coding in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if self.chunked {
                return false;
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                self.chunked = true;
            } else if is_token(coding) {
                self.unknown = true;
            } else {
                return false;
            }
        }
        true
    }
}

impl Options {
    /// Adds those of the value of one `Connection` field.
    #[inline]
    pub fn add(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}
