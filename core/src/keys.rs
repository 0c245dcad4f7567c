//! Secrets of TLS connections, for those who may look into them: what a capture is decrypted with.
//!
//! Nobody may unless somebody says so: a platform with an environment whose user has set
//! `SSLKEYLOGFILE`, or a `pcap` whose manifest says `keys = true`. Each enters a [`KeyLog`] into
//! the [`System`](crate::System); components with TLS write into all that there are, and into
//! nothing where there is none.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Lines of a key log (draft-ietf-tls-keylogfile) that were not taken yet. One core's.
#[derive(Debug)]
pub struct KeyLog {
    lines: RefCell<String>,
}

/// Bytes of lines that wait at most: those of about a hundred connections.
const LIMIT: usize = 64 << 10;

impl KeyLog {
    /// An empty one.
    pub const fn new() -> Self {
        Self { lines: RefCell::new(String::new()) }
    }

    /// Adds the line that `label`, `random` of a client's hello and `secret` make. Where nobody
    /// has taken the lines for long, the line is lost.
    fn add(&self, label: &str, random: &[u8; 32], secret: &[u8]) {
        let Ok(mut lines) = self.lines.try_borrow_mut() else { return };
        let length = label.len() + 2 * (random.len() + secret.len()) + 3;
        if lines.len() + length > LIMIT {
            return;
        }
        lines.push_str(label);
        for bytes in [&random[..], secret] {
            lines.push(' ');
            // By hand: formatting would be an indirect call within the sweep.
            for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                lines.push(char::from(digit + if digit < 10 { b'0' } else { b'a' - 10 }));
            }
        }
        lines.push('\n');
    }

    /// Whether there are no lines now.
    pub fn is_empty(&self) -> bool {
        self.lines.try_borrow().is_ok_and(|lines| lines.is_empty())
    }

    /// Gives all lines to `take`, and forgets them.
    pub fn drain(&self, take: impl FnOnce(&[u8])) {
        let Ok(mut lines) = self.lines.try_borrow_mut() else { return };
        if !lines.is_empty() {
            take(lines.as_bytes());
            lines.clear();
        }
    }
}

impl Default for KeyLog {
    fn default() -> Self {
        Self::new()
    }
}

/// All key logs of a core.
#[derive(Debug, Default)]
pub struct KeyLogs(RefCell<Vec<&'static KeyLog>>);

impl KeyLogs {
    /// None.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Enters another.
    pub fn enter(&self, log: &'static KeyLog) {
        self.0.borrow_mut().push(log);
    }

    /// Whether somebody looks.
    pub fn is_watched(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// Writes a secret into all of them: `label` says which it is, `random`, of the client's hello,
    /// whose.
    #[cold]
    pub fn tell(&self, label: &str, random: &[u8; 32], secret: &[u8]) {
        for log in self.0.borrow().iter() {
            log.add(label, random, secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn taken(log: &KeyLog) -> String {
        let mut all = String::new();
        log.drain(|lines| all.push_str(core::str::from_utf8(lines).unwrap()));
        all
    }

    #[test]
    fn every_log_has_every_secret_until_it_is_taken() {
        let (logs, first, second) = (KeyLogs::new(), KeyLog::new(), KeyLog::new());
        let (first, second) = (crate::counter::leak(first), crate::counter::leak(second));
        logs.tell("EARLY", &[1; 32], &[2; 2]);
        assert!(!logs.is_watched());
        logs.enter(first);
        logs.enter(second);
        logs.tell("SOME_SECRET", &[0xab; 32], &[0, 0x10]);
        let line = format!("SOME_SECRET {} 0010\n", "ab".repeat(32));
        assert!(logs.is_watched() && !first.is_empty());
        assert_eq!((taken(first), taken(first)), (line.clone(), String::new()));
        assert!(first.is_empty());
        logs.tell("SOME_SECRET", &[0xab; 32], &[0, 0x10]);
        assert_eq!(taken(second), line.repeat(2));
    }

    #[test]
    fn a_log_that_nobody_takes_is_bounded() {
        let log = KeyLog::new();
        (0..10_000).for_each(|_| log.add("LABEL", &[0; 32], &[0; 48]));
        let lines = taken(&log);
        assert!(lines.len() <= LIMIT && lines.ends_with('\n'));
        assert!(lines.lines().all(|line| line.len() == 5 + 1 + 64 + 1 + 96));
    }
}
