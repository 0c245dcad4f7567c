//! Boots an image on AArch64 and runs its graph.
//!
//! A loader that knows the Linux boot protocol puts the image at any 2 MiB and enters `entry`, at
//! EL2 or EL1, with a device tree. From there on `boot` goes through the tree, memory, page
//! tables, interrupt controller, time and randomness, once and in this order, and calls the
//! image, which calls `run`. Interrupts are never taken as exceptions: a pending one ends `wfi`
//! although it is masked, and the loop then acknowledges it like any other news.
//!
//! Code runs on the stack of `SP_EL0`, and exceptions switch to that of `SP_EL1`: so running out
//! of stack can be reported.
//!
//! What other architectures need too is in `platform-machine`. Everything here that only computes
//! (the device tree, page-table entries, the interrupt controller's numbers) compiles for every
//! host and is tested there. What touches the machine exists only in images, that is, where
//! `target_os = "none"`. The `unsafe` code is there, and nowhere above.
//!
//! It does not do: ACPI, UEFI, spin tables, pages of other sizes than 4 KiB, big-endian.

#![no_std]

#[cfg(target_os = "none")]
extern crate alloc;

pub mod board;
pub mod gic;
pub mod paging;
pub mod tree;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod button;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
mod controller;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod entropy;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod fw_cfg;
#[cfg(target_os = "none")]
mod its;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
mod secondaries;
#[cfg(target_os = "none")]
mod stacks;

#[cfg(target_os = "none")]
pub use machine::{Aarch64, Machine};
#[cfg(target_os = "none")]
pub use platform_machine::run;

/// Makes a graph the image's: called once, at the root of the binary.
///
/// ```ignore
/// platform_aarch64::start!(&IMAGE, |cx| Graph::new(cx));
/// ```
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! start {
    ($image:expr, $make:expr) => {
        // SAFETY: `boot` declares this symbol with this signature, and nothing else defines it.
        #[unsafe(export_name = "waitless_start")]
        fn waitless_start() -> ! {
            $crate::run::<$crate::Aarch64, _>($image, $make)
        }
    };
}
