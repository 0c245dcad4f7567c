//! What every Waitless component shares: ports, packets, time, randomness, tasks and counters.
//!
//! Calls go down and data comes up. A component provides a port by implementing the port's trait
//! on a plain struct, and requires one by a generic `impl Component<P>`; it never names what
//! stands on it, nor the type of what it stands on. The generated graph owns all instances side
//! by side and lends each its neighbour for the length of one call.
//!
//! Nothing here depends on an operating system, on a clock or on a static: time, randomness,
//! packets and the log reach a component through its [`Context`].
//!
//! `unsafe` is confined to [`packet`], [`device`], the rings and hand-overs of [`cores`] and the
//! wakers of [`task`], each of which argues its case at every block.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod calendar;
pub mod capture;
pub mod checksum;
mod component;
mod context;
pub mod cores;
pub mod counter;
pub mod device;
pub mod dial;
pub mod entropy;
pub mod http;
pub mod keys;
pub mod log;
mod mailbox;
pub mod network;
pub mod packet;
pub mod ports;
mod random;
pub mod relay;
mod ring;
mod system;
pub mod task;
pub mod testing;
mod time;
pub mod trace;
mod wheel;

pub use component::{Component, InitError, Inspect, Sweep};
pub use context::Context;
pub use counter::{Counter, CounterSet};
pub use mailbox::Mailbox;
pub use packet::{Held, Packet, Pool};
pub use ports::*;
pub use random::Random;
pub use system::{Image, Instance, System};
pub use time::{Duration, Instant};
pub use wheel::Wheel;

/// How many packets one sweep moves over an edge at most.
pub const BATCH: usize = 32;

/// What every app has once, at its crate's root: the graph that the build generated, and, where
/// there is an operating system, `main`.
#[macro_export]
macro_rules! app {
    () => {
        mod graph {
            include!(concat!(env!("OUT_DIR"), "/graph.rs"));
        }

        #[cfg(not(target_os = "none"))]
        fn main() -> std::process::ExitCode {
            graph::main()
        }
    };
}
