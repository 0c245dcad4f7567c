//! What the tests of Waitless as a whole share; the tests themselves are in `tests/tests`.
//!
//! * [`tidy`]: the rules of style and structure, as functions from a source to its findings.
//! * [`world`], [`graphs`], [`peer`]: hosts on a wire, in virtual time.
//! * [`routed`]: a router between the two.
//! * [`pair`]: two ends of a connection, and somebody between them.
//! * [`script`]: what passes a connection, in packetdrill's syntax, against the component.
//! * [`corpus`], [`mutate`]: packets that are well-formed, and what makes them otherwise.
//! * [`traffic`]: what passes between two stacks when both ends are measured.
//! * [`live`]: a graph on a TAP device of this process, in real time.
//! * [`lab`]: whole images in a network of their own, driven by real programs.
//!
//! Without the feature `whole` there is only what is measured: two graphs, and what they take.

// Generated code names this package's components by its name.
extern crate self as waitless_tests;

pub mod allocations;
#[cfg(feature = "whole")]
pub mod corpus;
#[cfg(feature = "whole")]
mod fetching;
#[cfg(feature = "whole")]
pub mod fuzz;
pub mod graphs;
#[cfg(feature = "whole")]
pub mod lab;
#[cfg(feature = "whole")]
pub mod live;
#[cfg(feature = "whole")]
pub mod mutate;
#[cfg(feature = "whole")]
pub mod pair;
#[cfg(feature = "whole")]
pub mod peer;
#[cfg(feature = "whole")]
pub mod routed;
#[cfg(feature = "whole")]
pub mod script;
mod site;
#[cfg(feature = "whole")]
pub mod tidy;
pub mod traffic;
#[cfg(feature = "whole")]
pub mod wires;
pub mod world;

pub use site::site;
