//! What the tests of Waitless as a whole share; the tests themselves are in `tests/tests`.
//!
//! * [`tidy`]: the rules of style and structure, as functions from a source to its findings.
//! * [`world`]: hosts on a wire, in virtual time.
//! * [`corpus`], [`mutate`]: packets that are well-formed, and what makes them otherwise.
//! * [`lab`]: whole images in a network of their own, driven by real programs.

pub mod allocations;
pub mod corpus;
pub mod lab;
pub mod mutate;
pub mod tidy;
pub mod world;
