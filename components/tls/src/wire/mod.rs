//! The wire format: what is on it, and what it means.

pub mod codes;
pub mod hello;
mod reader;
pub mod record;
pub mod server;
mod writer;

pub use reader::{List, Reader};
pub use writer::Writer;
