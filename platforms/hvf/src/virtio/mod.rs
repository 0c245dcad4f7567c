//! Virtio devices in software, behind the memory-mapped transport.

pub mod mmio;
pub mod net;
pub mod queue;
pub mod rng;

#[cfg(test)]
mod tests;

use crate::memory::Memory;
use queue::{Fault, Queue};

/// Feature bits of any device (virtio 1.2 section 6).
pub mod feature {
    /// Each side tells from which entry on it wants to be notified.
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// The device obeys virtio 1.0 or later.
    pub const VERSION_1: u64 = 1 << 32;
}

/// A device behind a transport.
pub trait Device {
    /// Its type (section 5).
    const KIND: u32;
    /// How many queues it has.
    const QUEUES: usize;

    /// What it offers beside [`feature`].
    fn features(&self) -> u64;

    /// Reads its configuration from `offset` on; what is outside of it reads as zero.
    fn config(&self, offset: usize, bytes: &mut [u8]);

    /// The driver accepted `features` and made it live.
    fn start(&mut self, features: u64);

    /// The driver reset it.
    fn reset(&mut self);

    /// Serves the queues as far as it can now, in bounded time.
    ///
    /// # Errors
    /// When the driver does what no driver may do; the device is then stopped.
    fn serve(&mut self, memory: &Memory, queues: &mut [Queue]) -> Result<Served, Fault>;
}

/// What came of serving a device's queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Served {
    /// The driver wants an interrupt.
    pub interrupt: bool,
    /// There is more to do, of which the driver will not notify.
    pub again: bool,
}
