//! The message (RFC 5905 section 7.3), and what an answer means.

/// Bytes of a message without extensions.
pub(crate) const MESSAGE: usize = 48;

/// A client's mode, in version 4.
const CLIENT: u8 = 4 << 3 | 3;
const SERVER_MODE: u8 = 4;

/// The clock is not synchronised.
const ALARM: u8 = 3;

/// Seconds from 1900 to 1970.
const UNIX: u64 = 2_208_988_800;

/// The longest delay and dispersion towards the true time that is taken: 1 s, in units of
/// 1/65536 s (RFC 5905 appendix A.1.1, MAXDISP is 16 s, of which a client needs not take all).
const DISTANCE_MAX: u32 = 1 << 16;

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// When the question arrived, and when the answer left: nanoseconds since 1970.
    Time {
        /// When the question arrived.
        received: u64,
        /// When the answer left.
        sent: u64,
    },
    /// "Kiss of death": not to ask this server any more (RFC 5905 section 7.4).
    Deny,
    /// "Kiss of death": to ask less often.
    Slower,
    /// The server does not know the time itself.
    Unsynchronised,
    /// No answer to this question, or one that makes no sense.
    Foreign,
}

/// A question. The time that it carries is none: it is a number by which the answer is known, and
/// that nobody outside can guess (RFC 8633 section 5.1, and what NTP's working group calls data
/// minimisation).
pub(crate) fn question(number: u64) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    let (head, tail) = message.split_at_mut(MESSAGE - 8);
    if let Some(first) = head.first_mut() {
        *first = CLIENT;
    }
    tail.copy_from_slice(&number.to_be_bytes());
    message
}

impl Answer {
    /// What `message` says to the question `number`.
    pub fn parse(message: &[u8], number: u64) -> Self {
        // Extensions and an authenticator may follow; nobody asked for them.
        let Some(message) = message.first_chunk::<MESSAGE>() else { return Self::Foreign };
        let [first, stratum, ..] = *message;
        let word = |at: usize| {
            let bytes = message.get(at..).and_then(|it| it.first_chunk::<4>());
            u32::from_be_bytes(*bytes.unwrap_or(&[0; 4]))
        };
        let stamp = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
        //= RFC 4330 5: an answer repeats what was asked, and is of a server that knows the time
        if mode != SERVER_MODE || !(3..=4).contains(&version) || stamp(24) != number {
            return Self::Foreign;
        }
        if stratum == 0 {
            return match &word(12).to_be_bytes() {
                b"DENY" | b"RSTR" => Self::Deny,
                b"RATE" => Self::Slower,
                _ => Self::Unsynchronised,
            };
        }
        let far = word(4).max(word(8)) > DISTANCE_MAX;
        if leap == ALARM || stratum > 15 || far || stamp(40) == 0 || stamp(32) == 0 {
            return Self::Unsynchronised;
        }
        Self::Time { received: nanos(stamp(32)), sent: nanos(stamp(40)) }
    }
}

/// A timestamp in nanoseconds since 1970. The seconds are those of 1968 to 2104 (RFC 4330
/// section 3).
//= RFC 4330 3: the seconds are those of 1968 to 2104
fn nanos(stamp: u64) -> u64 {
    let (seconds, fraction) = (stamp >> 32, stamp & 0xffff_ffff);
    let era = if seconds < 1 << 31 { 1 << 32 } else { 0 };
    let seconds = (seconds + era).saturating_sub(UNIX);
    seconds * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32)
}

#[cfg(test)]
mod tests;
