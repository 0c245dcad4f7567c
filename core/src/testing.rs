//! Surroundings for a component's tests: virtual time, seeded randomness, no hardware.

use crate::cores::Cores;
use crate::device::Platform;
use crate::log::{Level, Log, Sink};
use crate::{Context, Image, Pool, Random, System};
use alloc::boxed::Box;

/// A context at instant zero with `packets` buffers and randomness that `seed` determines.
/// Advance time with [`Context::set_now`]. What is made here is never given back.
pub fn context(packets: usize, seed: u8) -> Context {
    context_on(&Nothing, packets, seed)
}

/// The same on a platform of the test's own.
pub fn context_on(platform: &'static dyn Platform, packets: usize, seed: u8) -> Context {
    context_of(Box::leak(Box::new(Cores::new(1))), 0, platform, packets, seed)
}

/// The contexts of `cores` cores of one image, the first core's first.
pub fn contexts(
    cores: usize,
    platform: &'static dyn Platform,
    packets: usize,
    seed: u8,
) -> impl Iterator<Item = Context> {
    let all: &'static Cores = Box::leak(Box::new(Cores::new(cores)));
    (0..cores).map(move |core| context_of(all, core, platform, packets, seed))
}

/// The context of `core`, one of `cores`.
pub fn context_of(
    cores: &'static Cores,
    core: usize,
    platform: &'static dyn Platform,
    packets: usize,
    seed: u8,
) -> Context {
    let pool = Pool::new(packets, 0).unwrap_or_else(|| panic!("no memory for {packets} packets"));
    let system = Box::leak(Box::new(System::on(&IMAGE, cores, core)));
    let seed = [seed.wrapping_add(core as u8); 32];
    Context::new(core, pool, Random::new(seed), Log::new(Level::Error, &Silence), platform, system)
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
    pins: &[],
};
