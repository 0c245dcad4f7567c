//! Captures: rings of records that one component fills, and a person downloads as a file.
//!
//! A component enters a [`Capture`] into the [`System`](crate::System), under the name of a
//! file. In a guest, where there are no files, it is a ring that keeps the newest records until a
//! handler sends them with [`download`](Capture::download). A platform that has files empties
//! the ring into one with [`drain`](Capture::drain), between sweeps, so that nothing is lost
//! and no component waits for a disk.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::RefCell;

/// A file in the making: a head, and as many of the newest records as fit. One core's.
#[derive(Debug)]
pub struct Capture {
    file: &'static str,
    shared: bool,
    head: Vec<u8>,
    ring: RefCell<Ring>,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It was kept, and this many older ones had to go for it.
    Kept {
        /// Records that were overwritten.
        overwritten: usize,
    },
    /// It was not kept: it exceeds the ring, or a download holds the ring still.
    Missed,
}

impl Capture {
    /// An empty capture for the file `file`, which starts with `head` and keeps at most `limit`
    /// bytes of records. `None` when there is not enough memory.
    pub fn new(file: &'static str, head: Vec<u8>, limit: usize) -> Option<Self> {
        let mut bytes = VecDeque::new();
        bytes.try_reserve_exact(limit).ok()?;
        let ring = Ring { bytes, lengths: VecDeque::new(), limit, downloads: 0 };
        Some(Self { file, shared: false, head, ring: RefCell::new(ring) })
    }

    /// The same, and an app may give it to whoever asks for it.
    #[must_use]
    pub fn share(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Whether an app may give it to whoever asks for it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The name of the file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// What the file starts with.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Bytes that the file would have now.
    pub fn len(&self) -> usize {
        self.head.len() + self.ring.borrow().bytes.len()
    }

    /// Whether there are no records now.
    pub fn is_empty(&self) -> bool {
        self.ring.borrow().lengths.is_empty()
    }

    /// Adds the record that `pieces` make up. The oldest records go when there is no room.
    pub fn record(&self, pieces: &[&[u8]]) -> Recorded {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let mut ring = self.ring.borrow_mut();
        if ring.downloads > 0 || length > ring.limit {
            return Recorded::Missed;
        }
        let mut overwritten = 0;
        while ring.bytes.len() + length > ring.limit {
            ring.drop_oldest();
            overwritten += 1;
        }
        for piece in pieces {
            ring.bytes.extend(*piece);
        }
        ring.lengths.push_back(length);
        Recorded::Kept { overwritten }
    }

    /// Gives all records to `write`, oldest first, and forgets them. Does nothing while a
    /// download goes on.
    pub fn drain(&self, mut write: impl FnMut(&[u8])) {
        let mut ring = self.ring.borrow_mut();
        if ring.downloads > 0 || ring.lengths.is_empty() {
            return;
        }
        let (first, second) = ring.bytes.as_slices();
        write(first);
        write(second);
        ring.bytes.clear();
        ring.lengths.clear();
    }

    /// The file as it is now. The ring holds still while the download lives, because sending it
    /// may well pass the very edge that is captured, and would chase its own tail.
    pub fn download(&'static self) -> Download {
        self.ring.borrow_mut().downloads += 1;
        Download { capture: self, at: 0 }
    }
}

/// A download of a [`Capture`].
#[derive(Debug)]
pub struct Download {
    capture: &'static Capture,
    at: usize,
}

impl Download {
    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.capture.len() - self.at
    }

    /// Fills `bytes` with what comes next, and says how many there were; 0 at the end.
    pub fn read(&mut self, bytes: &mut [u8]) -> usize {
        let ring = self.capture.ring.borrow();
        let (first, second) = ring.bytes.as_slices();
        let mut skip = self.at;
        let mut filled = 0;
        for part in [&self.capture.head, first, second] {
            let skipped = skip.min(part.len());
            skip -= skipped;
            let part = &part[skipped..];
            let count = part.len().min(bytes.len() - filled);
            bytes[filled..filled + count].copy_from_slice(&part[..count]);
            filled += count;
        }
        self.at += filled;
        filled
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.capture.ring.borrow_mut().downloads -= 1;
    }
}

#[derive(Debug)]
struct Ring {
    bytes: VecDeque<u8>,
    /// Of each record.
    lengths: VecDeque<usize>,
    limit: usize,
    /// Downloads going on.
    downloads: usize,
}

impl Ring {
    fn drop_oldest(&mut self) {
        let length = self.lengths.pop_front().unwrap_or(self.bytes.len());
        self.bytes.drain(..length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn capture(limit: usize) -> &'static Capture {
        crate::counter::leak(Capture::new("a.file", b"head".to_vec(), limit).unwrap())
    }

    fn contents(capture: &'static Capture, step: usize) -> Vec<u8> {
        let mut download = capture.download();
        let mut all = Vec::new();
        let mut bytes = vec![0; step];
        loop {
            let count = download.read(&mut bytes);
            if count == 0 {
                assert_eq!(download.left(), 0);
                return all;
            }
            all.extend_from_slice(&bytes[..count]);
        }
    }

    #[test]
    fn a_download_is_head_and_records_whatever_the_step() {
        let capture = capture(100);
        assert_eq!(contents(capture, 3), b"head");
        capture.record(&[b"one", b"-"]);
        capture.record(&[b"two"]);
        for step in 1..20 {
            assert_eq!(contents(capture, step), b"headone-two", "step {step}");
        }
        assert_eq!(capture.len(), 11);
    }

    #[test]
    fn the_oldest_records_go_first_and_as_a_whole() {
        let capture = capture(10);
        for record in [b"aaaa", b"bbbb"] {
            assert_eq!(capture.record(&[record]), Recorded::Kept { overwritten: 0 });
        }
        assert_eq!(capture.record(&[b"cccccc"]), Recorded::Kept { overwritten: 1 });
        for step in [1, 4, 100] {
            assert_eq!(contents(capture, step), b"headbbbbcccccc");
        }
        assert_eq!(capture.record(&[&[b'd'; 10]]), Recorded::Kept { overwritten: 2 });
        assert_eq!(capture.record(&[&[b'e'; 11]]), Recorded::Missed);
        assert_eq!(contents(capture, 100), b"headdddddddddd");
    }

    #[test]
    fn a_download_holds_the_ring_still() {
        let capture = capture(10);
        capture.record(&[b"one"]);
        let download = capture.download();
        assert_eq!(capture.record(&[b"two"]), Recorded::Missed);
        capture.drain(|_| panic!("nothing is taken under a download's hands"));
        drop(download);
        assert_eq!(capture.record(&[b"two"]), Recorded::Kept { overwritten: 0 });
        assert_eq!(contents(capture, 100), b"headonetwo");
    }

    #[test]
    fn draining_takes_all_records() {
        let capture = capture(10);
        capture.record(&[b"one"]);
        capture.record(&[b"two"]);
        let mut taken = Vec::new();
        capture.drain(|bytes| taken.extend_from_slice(bytes));
        assert_eq!(taken, b"onetwo");
        assert!(capture.is_empty());
        capture.drain(|_| panic!("nothing is left"));
    }
}
