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

// Generated code names this package's components by its name.
extern crate self as waitless_tests;

pub mod allocations;
pub mod corpus;
mod fetching;
pub mod fuzz;
pub mod graphs;
pub mod lab;
pub mod live;
pub mod mutate;
pub mod pair;
pub mod peer;
pub mod routed;
pub mod script;
mod site;
pub mod tidy;
pub mod traffic;
pub mod wires;
pub mod world;

pub use site::site;
