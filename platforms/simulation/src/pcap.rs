//! The last frames of a run, as a file that Wireshark reads.

use std::collections::VecDeque;
use waitless::Instant;

/// Frames that are kept: the last ones.
const FRAMES_MAX: usize = 20_000;

/// What passed last.
#[derive(Default)]
pub struct Frames(VecDeque<(Instant, Vec<u8>)>);

impl Frames {
    pub fn add(&mut self, now: Instant, frame: &[u8]) {
        if self.0.len() == FRAMES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, frame.to_vec()));
    }

    /// The file: times in nanoseconds, Ethernet.
    pub fn file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let words = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 1_u32];
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        for (at, frame) in &self.0 {
            let (seconds, nanos) = (at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000);
            let length = frame.len() as u32;
            let words = [seconds as u32, nanos as u32, length, length];
            file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            file.extend(frame);
        }
        file
    }
}
