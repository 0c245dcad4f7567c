//! Boots an image on x86-64 and runs its graph.
//!
//! A loader enters `entry` by PVH, Multiboot2 or Limine's protocol. From there on `boot` goes
//! through memory, page tables, interrupts, firmware tables, time and randomness, once and in this
//! order, and calls the image, which calls `run`. Interrupts are off while components work: they
//! are let in only while the core sleeps, so a handler never finds anything half done, and has
//! nothing to do but to end the sleep.
//!
//! What other architectures need too is in `platform-machine`. Everything here that only computes
//! (what loaders leave, page-table entries, firmware tables, frequencies) compiles for every host
//! and is tested there. What touches the machine exists only in images, that is, where `target_os =
//! "none"`. The `unsafe` code is there, and nowhere above.
//!
//! It does not do: 5-level paging.

#![no_std]

#[cfg(target_os = "none")]
extern crate alloc;

pub mod acpi;
pub mod frequency;
pub mod lapic;
pub mod limine;
pub mod loader;
#[cfg(target_arch = "x86_64")]
mod memory;
pub mod mmio;
pub mod multiboot2;
pub mod paging;
pub mod paravirtual;
pub mod pvh;
pub mod rtc;
pub mod window;

#[cfg(target_os = "none")]
mod apic;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod button;
#[cfg(target_os = "none")]
mod calibrate;
#[cfg(target_os = "none")]
mod cmos;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod entropy;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod fw_cfg;
#[cfg(target_os = "none")]
mod image;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod io_apic;
#[cfg(target_os = "none")]
mod kvm;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod pci;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
mod requests;
#[cfg(target_os = "none")]
mod secondaries;
#[cfg(target_os = "none")]
mod stacks;

#[cfg(target_os = "none")]
pub use machine::{Machine, X86};
#[cfg(target_os = "none")]
pub use platform_machine::run;

/// Makes a graph the image's: called once, at the root of the binary.
///
/// ```ignore
/// platform_x86_64::start!(&IMAGE, |cx| Graph::new(cx));
/// ```
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! start {
    ($image:expr, $make:expr) => {
        // SAFETY: `boot` declares this symbol with this signature, and nothing else defines it.
        #[unsafe(export_name = "waitless_start")]
        fn waitless_start() -> ! {
            $crate::run::<$crate::X86, _>($image, $make)
        }
    };
}
