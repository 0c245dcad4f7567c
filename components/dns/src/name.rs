//! Names, as they stand in messages (RFC 1035 section 3.1).

use waitless::Random;
use waitless::network::names::{LABEL_MAX, NAME_MAX, is_in_names};

/// The longest name in a message, the root's empty label included (RFC 1035 section 2.3.4).
const WIRE_MAX: usize = 255;

/// A whole name as in a message, uncompressed. Having one proves that its labels fit, that the
/// root's stands at its end and nowhere before, and that it is at most 255 bytes long. Letters are
/// small, unless they were [mixed](Self::mixed).
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; WIRE_MAX],
    length: u8,
}

impl Name {
    /// The root.
    pub const ROOT: Self = Self { bytes: [0; WIRE_MAX], length: 1 };

    /// The name that a person writes as `text`, and whether it says by a dot at its end that it is
    /// whole. `None` for what is not a name.
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        let (text, whole) = text.strip_suffix('.').map_or((text, false), |text| (text, true));
        Some((Self::ROOT.under(text)?, whole))
    }

    /// `text`, without a dot at its end, in the domain `self`.
    fn under(&self, text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > NAME_MAX {
            return None;
        }
        let mut name = Self { bytes: [0; WIRE_MAX], length: 0 };
        for label in text.split('.') {
            let fits = !label.is_empty() && label.len() <= LABEL_MAX;
            if !fits || !label.bytes().all(is_in_names) {
                return None;
            }
            name.push(&[label.len() as u8])?;
            name.push(label.as_bytes())?;
        }
        name.push(self.bytes())?;
        name.bytes.make_ascii_lowercase();
        Some(name)
    }

    /// This name in `domain`, which is written as people do; `None` when it is too long then.
    pub fn within(&self, domain: &str) -> Option<Self> {
        let (domain, _) = Self::parse(domain)?;
        let mut name = *self;
        // Without the root's label.
        name.length -= 1;
        name.push(domain.bytes())?;
        Some(name)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = usize::from(self.length) + bytes.len();
        let room = self.bytes.get_mut(usize::from(self.length)..end)?;
        room.copy_from_slice(bytes);
        self.length = end as u8;
        Some(())
    }

    /// Reads the name at `at` in `message`, and where the next thing stands. A compressed name
    /// (section 4.1.4) points back each time, so it comes to an end.
    pub fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut name = Self { bytes: [0; WIRE_MAX], length: 0 };
        let (mut at, mut end) = (at, None);
        // Everything that is pointed to stands before this.
        let mut limit = at;
        let mut pointers = 0;
        // Bounded: labels take room, and pointers are counted.
        loop {
            let length = *message.get(at)?;
            match length >> 6 {
                0 => {
                    let next = at + 1 + usize::from(length);
                    name.push(message.get(at..next)?)?;
                    if length == 0 {
                        name.bytes.make_ascii_lowercase();
                        return Some((name, end.unwrap_or(next)));
                    }
                    at = next;
                }
                3 => {
                    let target =
                        usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                    end = end.or(Some(at + 2));
                    pointers += 1;
                    if target >= limit || pointers > POINTERS_MAX {
                        return None;
                    }
                    (at, limit) = (target, target);
                }
                _ => return None,
            }
        }
    }

    /// The name as it stands in a message.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Whether there is more than one label.
    pub fn has_dot(&self) -> bool {
        let first = self.bytes.first().map_or(0, |length| usize::from(*length));
        self.bytes.get(first + 1).is_some_and(|length| *length != 0)
    }

    /// Whether it is `domain`, a single label, or in it.
    pub fn is_in(&self, domain: &str) -> bool {
        let labels = || self.labels();
        let last = labels().last();
        last.is_some_and(|label| label == domain.as_bytes())
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes();
        core::iter::from_fn(move || {
            let (length, behind) = rest.split_first().filter(|(length, _)| **length != 0)?;
            let (label, behind) = behind.split_at_checked(usize::from(*length))?;
            rest = behind;
            Some(label)
        })
    }

    /// The same in small letters.
    pub fn plain(mut self) -> Self {
        self.bytes.make_ascii_lowercase();
        self
    }

    /// The same with each letter large or small at random.
    pub fn mixed(mut self, random: &mut Random) -> Self {
        let length = usize::from(self.length);
        // Lengths are below 64, where there are no letters, so they stay what they are.
        for part in self.bytes.get_mut(..length).unwrap_or_default().chunks_mut(64) {
            let mut coins = random.u64();
            for byte in part {
                if byte.is_ascii_alphabetic() && coins & 1 == 1 {
                    *byte ^= 0x20;
                }
                coins >>= 1;
            }
        }
        self
    }
}

/// Pointers that a name may have: as many as real servers ever use, and more.
const POINTERS_MAX: u8 = 32;

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Name {}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (number, label) in self.labels().enumerate() {
            let dot = if number > 0 { "." } else { "" };
            write!(f, "{dot}{}", label.escape_ascii())?;
        }
        Ok(())
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    extern crate std;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap().0
    }

    #[test]
    fn names_are_what_people_write() {
        assert_eq!(name("WWW.Example").bytes(), b"\x03www\x07example\x00");
        assert_eq!(name("a_b.x-1.example.").to_string(), "a_b.x-1.example");
        assert!(Name::parse("example.").unwrap().1 && !Name::parse("example").unwrap().1);
        assert!(name("a.b").has_dot() && !name("ab").has_dot());
        let long = "x".repeat(63);
        let longest = [&long[..], &long, &long, &"x".repeat(61)].join(".");
        assert_eq!(name(&longest).bytes().len(), 255);
        let longer = longest.clone() + "x";
        let label = "x".repeat(64);
        for wrong in ["", ".", "a..b", ".a", "a b", "a/b", "ä", &label, &longer, "a\0b", "a.."] {
            assert!(Name::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_in_a_domain() {
        assert_eq!(name("host").within("corp.example"), Some(name("host.corp.example")));
        assert_eq!(name("host").within("no domain"), None);
        let long = [&"x".repeat(63)[..]; 3].join(".");
        assert_eq!(name(&"y".repeat(63)).within(&long), None, "256 bytes");
        assert!(name("a.localhost").is_in("localhost") && name("localhost").is_in("localhost"));
        assert!(!name("localhost.example").is_in("localhost"));
    }

    #[test]
    fn compressed_names_are_read_and_loops_refused() {
        let message = b"\x07example\x00\x03WWW\xc0\x00\x01a\xc0\x09\xff";
        assert_eq!(Name::read(message, 0), Some((name("example"), 9)));
        assert_eq!(Name::read(message, 9), Some((name("www.example"), 15)));
        assert_eq!(Name::read(message, 15), Some((name("a.www.example"), 19)));
        for wrong in [
            &b"\xc0\x00"[..],     // itself
            b"\xc0\x02\xc0\x00",  // each other
            b"\x01a\xc0\x00",     // its own beginning
            b"\xc0\x02\x01a\x00", // forward
            b"\x05abc",           // cut off
            b"\xc0",              // half a pointer
            b"\x40a\x00",         // a label of a kind that there is not
            b"\x01a",             // without an end
            b"",
        ] {
            assert_eq!(Name::read(wrong, 0), None, "{}", wrong.escape_ascii());
        }
        // Many pointers, each to the one before.
        let mut chain = std::vec![0_u8, 0];
        for number in 0..100_u8 {
            let [high, low] = (u16::from(number) * 2).to_be_bytes();
            chain.extend([0xc0 | high, low]);
        }
        assert!(Name::read(&chain, 40).is_some());
        assert_eq!(Name::read(&chain, 200), None);
        // Longer than a name may be.
        let long = [&[63][..], &[b'x'; 63]].concat().repeat(4);
        assert_eq!(Name::read(&[&long[..], &[0]].concat(), 0), None);
    }

    #[test]
    fn mixed_case_is_random_and_the_same_name() {
        let mut random = Random::new([3; 32]);
        let plain = name("some-quite-long-name.of-several-labels.example");
        let all: Vec<_> = (0..10).map(|_| plain.mixed(&mut random)).collect();
        assert!(all.iter().all(|mixed| mixed.bytes().eq_ignore_ascii_case(plain.bytes())));
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
