//! What the tests of Waitless as a whole share; the tests themselves are in `tests/tests`.
//!
//! * [`tidy`]: the rules of style and structure, as functions from a source to its findings.
//! * [`world`]: hosts on a wire, in virtual time.
//! * [`lab`]: whole images in a network of their own, driven by real programs.

pub mod allocations;
pub mod lab;
pub mod tidy;
pub mod world;
