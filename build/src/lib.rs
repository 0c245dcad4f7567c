//! Turns a manifest into a graph, and a graph into code, pictures and images.
//!
//! An app's `build.rs` calls [`generate()`]; everything else is the command line's
//! (`cargo run -p build -- --help`). What is wrong with a manifest is said all at once, each
//! error with its line and the next step, and nothing is generated from a graph with errors.
//! Nothing has to compile to check a graph: a component's crate says in its `Cargo.toml` what
//! has to be known about it.
//!
//! It does not boot anything itself, and knows no component by name.

#![forbid(unsafe_code)]

pub mod catalogue;
pub mod certificates;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
mod conditions;
pub mod emit;
pub mod files;
mod generate;
pub mod graph;
pub mod json;
pub mod manifest;
pub mod picture;
pub mod ports;
pub mod project;
pub mod report;
pub mod source;
pub mod staples;
pub mod types;
pub mod workspace;

pub use generate::generate;
pub use project::Project;
