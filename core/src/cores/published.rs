//! A small value that one core changes now and then, and all others follow.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// `N` words with one writer and any number of readers, none of which ever waits.
///
/// The version is odd while the words change. A reader that met a change takes nothing and looks
/// again in its next sweep.
#[derive(Debug)]
pub struct Published<const N: usize> {
    version: AtomicU32,
    words: [AtomicU64; N],
}

impl<const N: usize> Published<N> {
    /// All zeroes, which no reader takes for news.
    pub const fn new() -> Self {
        Self { version: AtomicU32::new(0), words: [const { AtomicU64::new(0) }; N] }
    }

    /// Changes the value. Called by one core only.
    pub fn publish(&self, words: [u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees one of the words below sees the odd version, too.
        fence(Ordering::Release);
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The value, when it changed since `seen`, which is what the reader has seen: 0 at first.
    #[inline]
    pub fn news(&self, seen: &mut u32) -> Option<[u64; N]> {
        let version = self.version.load(Ordering::Acquire);
        if version == *seen { None } else { self.read(version, seen) }
    }

    /// Whether [`news`](Self::news) would have something to say, now or in a moment. For the last
    /// look before a core sleeps.
    #[inline]
    pub fn has_news(&self, seen: u32) -> bool {
        self.version.load(Ordering::Acquire) != seen
    }

    #[cold]
    fn read(&self, version: u32, seen: &mut u32) -> Option<[u64; N]> {
        let words = core::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
        // The words are read before the version is looked at again.
        fence(Ordering::Acquire);
        if !version.is_multiple_of(2) || self.version.load(Ordering::Relaxed) != version {
            return None;
        }
        *seen = version;
        Some(words)
    }
}

impl<const N: usize> Default for Published<N> {
    fn default() -> Self {
        Self::new()
    }
}
