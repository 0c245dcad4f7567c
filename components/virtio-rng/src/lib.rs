//! An entropy source that a hypervisor offers (virtio 1.2 section 5.4).
//!
//! Once, when the graph starts, it draws a window of bytes from the device, tests their health as
//! that of every other source (SP 800-90B section 4.4), and mixes what they hash to into
//! `Context::random`. It stands at the bottom of a platform's graph, so whatever starts later
//! draws numbers that nobody can guess, also where the processor has no generator of its own.
//! Other sources lose nothing by it: a device that lies can spoil its own share only.
//!
//! The device is asked by looking, not by interrupts, and every wait is bounded. What it writes is
//! copied before it is looked at, since it could change it meanwhile. Afterwards the device is
//! reset, so that it has no business with memory any more.
//!
//! It does not: ask again later. One good seed of 256 bits lasts for the generator's life.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod source;

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};
use source::Source;
use waitless::entropy::{Claim, HealthTest, WINDOW};
use waitless::{Component, Context, CounterSet, InitError, Inspect, VirtioPort, debug, info, warn};

/// The type of entropy sources (section 5).
const ENTROPY_SOURCE: u16 = 4;

/// Bytes that are drawn: two windows of the health test.
const BYTES: usize = 2 * WINDOW as usize;

/// There is nothing to configure.
#[derive(Clone, Copy, Debug)]
pub struct Config {}

/// The entropy source of a hypervisor.
pub struct VirtioRng {
    counters: &'static Counters,
}

waitless::counters! {
    /// What the source counts.
    pub struct Counters {
        /// Seeds that were given to the generator.
        counter seeds: seeds,
        /// Bytes that devices wrote.
        counter drawn: bytes,
        /// Devices that gave nothing, too little, or what failed the health test.
        counter failures: devices,
    }
}

impl VirtioRng {
    /// A source that is yet to be found.
    pub fn new(_: &'static Config, _: &mut Context) -> Self {
        Self { counters: Counters::leak() }
    }
}

impl<V: VirtioPort> Component<V> for VirtioRng {
    /// Without a device, or with one that fails, the image starts all the same: whether there is
    /// entropy enough, the platform decides.
    fn init(&mut self, below: &mut V, cx: &mut Context) -> Result<(), InitError> {
        let Some(device) = below.take(ENTROPY_SOURCE) else {
            debug!(cx, "no virtio entropy source");
            return Ok(());
        };
        let mut bytes = [0; BYTES];
        let drawn = Source::start(device, below, cx).and_then(|mut source| {
            let drawn = source.fill(&mut bytes, below);
            self.counters.drawn.add(source.drawn());
            drawn
        });
        if !below.fail(device) {
            warn!(cx, "the device does not reset; its memory is lost");
        }
        match drawn.and_then(|()| seed(&bytes)) {
            Ok(seed) => {
                cx.random.reseed(&seed);
                self.counters.seeds.add(1);
                info!(cx, "random numbers are seeded from the hypervisor's entropy");
            }
            Err(reason) => {
                self.counters.failures.add(1);
                warn!(cx, "the device is not used: {reason}");
            }
        }
        Ok(())
    }

    fn receive(&mut self, _: &mut V, _: &mut Context) {}
}

impl Inspect for VirtioRng {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

/// What `bytes` hash to, if they look like noise.
fn seed(bytes: &[u8; BYTES]) -> Result<[u8; 32], &'static str> {
    let mut health = HealthTest::new(Claim::FOUR_BITS);
    bytes.iter().for_each(|byte| health.sample(*byte));
    if health.passes() { Ok(Sha256::digest(bytes).into()) } else { Err("its bytes are no noise") }
}
