//! Wires that do what wires do, for tests to try one after the other.

use netem::Config;
use waitless::Duration;

/// A wire, by name.
pub type Wire = (&'static str, fn(u64) -> Config);

/// Every kind of bad wire, and all at once. Each is a function of a seed.
pub const ALL: &[Wire] = &[
    ("clean", |seed| Config { seed, ..Config::CLEAN }),
    ("slow", |seed| Config { delay: Duration::from_millis(50), seed, ..Config::CLEAN }),
    ("lossy", |seed| Config { loss: 50, delay: MOMENT, seed, ..Config::CLEAN }),
    ("very lossy", |seed| Config { loss: 200, delay: MOMENT, seed, ..Config::CLEAN }),
    ("reordering", |seed| Config { reorder: 200, delay: MOMENT, seed, ..Config::CLEAN }),
    ("repeating", |seed| Config { duplicate: 200, delay: MOMENT, seed, ..Config::CLEAN }),
    ("corrupting", |seed| Config { corrupt: 50, delay: MOMENT, seed, ..Config::CLEAN }),
    ("narrow", |seed| Config {
        rate: Some(2_000_000),
        limit: 20,
        delay: MOMENT,
        seed,
        ..Config::CLEAN
    }),
    ("all at once", |seed| Config {
        loss: 30,
        duplicate: 30,
        corrupt: 30,
        reorder: 50,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(3),
        seed,
        ..Config::CLEAN
    }),
];

/// Short, but not nothing.
const MOMENT: Duration = Duration::from_millis(2);
