//! What the tests of Waitless as a whole share; the tests themselves are in `tests/tests`.
//!
//! * [`tidy`]: the rules of style and structure, as functions from a source to its findings.

pub mod tidy;
