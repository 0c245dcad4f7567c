//! What booting and running an image has in common on every architecture.
//!
//! An architecture's crate implements `Arch` on a type of its own and calls what is here, so
//! each image has one copy of it, made for its architecture: nothing is looked up at run time.
//! State is per core, reached through a register of the core's (`Arch::core`), or written
//! once while booting and read from then on ([`Slot`]). What all cores change is behind a lock
//! and off the hot path: the heap, the address space, the console.
//!
//! Everything that only computes compiles for every host and is tested there. What touches the
//! machine exists only in images, that is, where `target_os = "none"`.
//!
//! It does not do: the first instructions, page-table formats, interrupt controllers, firmware
//! tables, which are the architectures' own.

#![no_std]

extern crate alloc;

pub mod arch;
pub mod clock;
pub mod console;
pub mod ecam;
pub mod fw_cfg;
pub mod idle;
pub mod memory;
pub mod options;
pub mod paging;
pub mod section;
pub mod seed;
mod slot;

#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod crew;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
pub mod machine;
#[cfg(target_os = "none")]
pub mod panic;
#[cfg(target_os = "none")]
pub mod percore;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
pub mod space;

pub use slot::Slot;

#[cfg(target_os = "none")]
pub use arch::Arch;
#[cfg(target_os = "none")]
pub use run::run;

pub use arch::{FAILURE, REFUSED, SUCCESS};
