//! The command line that a loader gives to an image.

use heapless::String;

/// How much of a command line is kept: as much as Firecracker gives.
pub const COMMAND_LINE: usize = 2048;

/// A command line, cut off at [`COMMAND_LINE`] bytes or at the first that is not UTF-8.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandLine(String<COMMAND_LINE>);

impl CommandLine {
    /// As much of `bytes` as is text, up to the first zero byte.
    pub fn new(bytes: &[u8]) -> Self {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let text = text.get(..COMMAND_LINE).unwrap_or(text);
        let valid = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or(""),
        };
        let mut kept = String::new();
        // It was cut to the capacity above.
        let _ = kept.push_str(valid);
        Self(kept)
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the last word `name=value`.
    pub fn option(&self, name: &str) -> Option<&str> {
        let words = self.0.split_ascii_whitespace();
        let mut pairs = words.rev().filter_map(|word| word.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_counts() {
        let line = CommandLine::new(b"kernel log=info  quiet log=debug logs=x\0 log=trace");
        assert_eq!(line.option("log"), Some("debug"));
        assert_eq!(line.option("logs"), Some("x"));
        assert_eq!(line.option("quiet"), None);
    }

    #[test]
    fn what_is_no_text_ends_the_command_line() {
        assert_eq!(CommandLine::new(b"log=debug \xff x").as_str(), "log=debug ");
        assert_eq!(CommandLine::new(&[b'a'; 3000]).as_str().len(), COMMAND_LINE);
    }
}
