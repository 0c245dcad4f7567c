//! Words that an image is told when it boots: a command line, or another text.

use heapless::{String, Vec};

/// How much of a text is kept: as much as Firecracker gives.
pub const COMMAND_LINE: usize = 2048;

/// Words, cut off at [`COMMAND_LINE`] bytes or at the first that is not UTF-8.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandLine {
    text: String<COMMAND_LINE>,
    cut: bool,
}

impl CommandLine {
    /// As much of `bytes` as is text, up to the first zero byte.
    pub fn new(bytes: &[u8]) -> Self {
        let all = bytes.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let text = all.get(..COMMAND_LINE).unwrap_or(all);
        let valid = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or(""),
        };
        let mut kept = String::new();
        // It was cut to the capacity above.
        let _ = kept.push_str(valid);
        Self { cut: kept.len() < all.len(), text: kept }
    }

    /// As much of several texts as is text: each but the last ends with a zero byte.
    pub fn list(bytes: &[u8]) -> Self {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let parted = bytes[..end].iter().map(|byte| if *byte == 0 { b' ' } else { *byte });
        let parted: Vec<u8, { COMMAND_LINE + 1 }> = parted.take(COMMAND_LINE + 1).collect();
        Self::new(&parted)
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether there was more than this.
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_ends_a_command_line_and_parts_the_texts_of_a_list() {
        assert_eq!(CommandLine::new(b"log=info  quiet\0 log=trace").as_str(), "log=info  quiet");
        assert_eq!(CommandLine::list(b"a.b=1\0c.d=2\0\0").as_str(), "a.b=1 c.d=2");
        assert_eq!(CommandLine::list(b"").as_str(), "");
    }

    #[test]
    fn what_is_no_text_or_too_much_is_cut_and_that_shows() {
        let broken = CommandLine::new(b"log=debug \xff x");
        assert_eq!((broken.as_str(), broken.is_cut()), ("log=debug ", true));
        for (length, cut) in [(0, false), (COMMAND_LINE, false), (COMMAND_LINE + 1, true)] {
            let long = [b'a'; COMMAND_LINE + 1];
            for line in [CommandLine::new(&long[..length]), CommandLine::list(&long[..length])] {
                assert_eq!((line.as_str().len(), line.is_cut()), (length.min(2048), cut));
            }
        }
    }
}
