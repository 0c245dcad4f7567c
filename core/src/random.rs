//! A deterministic random bit generator: ChaCha20 with fast key erasure.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// Random numbers that nobody outside can predict, as long as the seed is secret.
///
/// One block of output at a time replaces the key, so what was drawn before can not be found
/// from the state that is left. The same seed gives the same numbers: simulation relies on it.
pub struct Random {
    key: [u8; 32],
    block: [u8; BLOCK],
    used: usize,
    seeded: bool,
}

impl Random {
    /// A generator that starts from `seed`, of which every bit should be unpredictable.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: seed, block: [0; BLOCK], used: BLOCK, seeded: true }
    }

    /// A generator that is yet to be seeded, by [`reseed`](Self::reseed): a platform without a
    /// source of its own lends this to components until one of them has brought entropy. Whoever
    /// draws from it before panics: numbers that can be guessed are worse than none.
    pub fn unseeded() -> Self {
        Self { seeded: false, ..Self::new([0; 32]) }
    }

    /// What a panic says when nobody has seeded the generator.
    pub const UNSEEDED: &str = "random numbers were drawn before there was entropy";

    /// Whether numbers can be drawn.
    pub fn is_seeded(&self) -> bool {
        self.seeded
    }

    /// Mixes fresh entropy in, for whatever is drawn from now on.
    pub fn reseed(&mut self, entropy: &[u8; 32]) {
        for (key, fresh) in self.key.iter_mut().zip(entropy) {
            *key ^= fresh;
        }
        self.used = BLOCK;
        self.seeded = true;
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == BLOCK {
                self.refill();
            }
            // A drawn byte is wiped, so that it can not be read from here later.
            *byte = core::mem::take(&mut self.block[self.used]);
            self.used += 1;
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random 32-bit number.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// A random 64-bit number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A random number from zero to `limit`, `limit` itself excluded; zero when `limit` is.
    pub fn below(&mut self, limit: u64) -> u64 {
        // Lemire's multiplication; its bias is below 2^-32 for limits below 2^32.
        ((u128::from(self.u64()) * u128::from(limit)) >> 64) as u64
    }

    fn refill(&mut self) {
        // The text of `UNSEEDED`: a panic's message must be a literal.
        assert!(self.seeded, "random numbers were drawn before there was entropy");
        let mut stream = [0; 32 + BLOCK];
        ChaCha20::new(&self.key.into(), &[0; 12].into()).apply_keystream(&mut stream);
        self.key.copy_from_slice(&stream[..32]);
        self.block.copy_from_slice(&stream[32..]);
        self.used = 0;
    }
}

const BLOCK: usize = 224;

#[cfg(test)]
mod tests;
