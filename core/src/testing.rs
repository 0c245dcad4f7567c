//! Surroundings for a component's tests: virtual time, seeded randomness, no hardware.

use crate::device::Platform;
use crate::log::{Level, Log, Sink};
use crate::{Context, Image, Instant, Pool, Random, System};
use alloc::boxed::Box;

/// A context at instant zero with `packets` buffers and randomness that `seed` determines.
/// Advance time with [`Context::set_now`]. What is made here is never given back.
pub fn context(packets: usize, seed: u8) -> Context {
    context_on(&Nothing, packets, seed)
}

/// The same on a platform of the test's own.
pub fn context_on(platform: &'static dyn Platform, packets: usize, seed: u8) -> Context {
    let pool = Pool::new(packets, 0).unwrap_or_else(|| panic!("no memory for {packets} packets"));
    let system = Box::leak(Box::new(System::new(&IMAGE)));
    let log = Log::new(Level::Error, &Silence);
    let mut cx = Context::new(0, pool, Random::new([seed; 32]), log, platform, system);
    cx.set_now(Instant::ZERO);
    cx
}

/// A platform that has nothing.
#[derive(Debug)]
pub struct Nothing;

impl Platform for Nothing {
    fn name(&self) -> &'static str {
        "test"
    }
}

/// A sink that writes nothing.
#[derive(Debug)]
pub struct Silence;

impl Sink for Silence {
    fn write(&self, _: core::fmt::Arguments<'_>) {}
}

static IMAGE: Image = Image {
    app: "test",
    version: "0.0.0",
    platform: "test",
    graph: "{}",
    instances: &[],
    cores: 1,
    packets: 0,
};
