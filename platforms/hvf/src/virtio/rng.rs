//! A source of entropy (virtio 1.2 section 5.4): the host's randomness.

use super::queue::{Chain, Fault, Queue};
use super::{Device, Served};
use crate::memory::Memory;

/// Bytes that one request gets at most.
const REQUEST_MAX: usize = 4096;

/// Fills its argument with random bytes. `false` when it cannot.
pub type Fill = fn(&mut [u8]) -> bool;

/// The host's randomness: whatever the operating system gives.
pub fn host(bytes: &mut [u8]) -> bool {
    getrandom::fill(bytes).is_ok()
}

/// A source of entropy.
#[derive(Debug)]
pub struct Rng {
    fill: Fill,
    chain: Chain,
}

impl Rng {
    /// A source that gives what `fill` gives.
    pub fn new(fill: Fill) -> Self {
        Self { fill, chain: Chain::default() }
    }
}

impl Device for Rng {
    const KIND: u32 = 4;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self, _: usize, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn start(&mut self, _: u64) {}

    fn reset(&mut self) {}

    fn serve(&mut self, memory: &Memory, queues: &mut [Queue]) -> Result<Served, Fault> {
        let Some(queue) = queues.first_mut() else { return Ok(Served::default()) };
        for _ in 0..queue.size {
            if !queue.take(memory, &mut self.chain)? {
                break;
            }
            let written = self.answer(memory)?;
            queue.give_back(memory, self.chain.head, written)?;
        }
        let again = queue.want_notify(memory, true)?;
        Ok(Served { interrupt: queue.wants_interrupt(memory)?, again })
    }
}

impl Rng {
    fn answer(&self, memory: &Memory) -> Result<u32, Fault> {
        if self.chain.pieces.iter().any(|piece| !piece.writable) {
            return Err(Fault::Chain("to be read, of a device that only writes"));
        }
        let mut bytes = [0; REQUEST_MAX];
        let mut written = 0;
        for piece in &self.chain.pieces {
            let part = &mut bytes[written..];
            let length = part.len().min(piece.length as usize);
            let part = &mut part[..length];
            if !(self.fill)(part) {
                break;
            }
            memory.write(piece.address, part)?;
            written += length;
        }
        Ok(written as u32)
    }
}
