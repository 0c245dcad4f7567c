//! Runs an aarch64 image in a virtual machine of Apple's Hypervisor framework.
//!
//! Everything but the calls of the framework is plain logic that knows nothing of macOS, and is
//! tested wherever this is built: the devices ([`virtio`], [`devices`]), the network that needs no
//! rights ([`network`]), the device tree, the loader, PSCI and the decoding of exits.
//!
//! The guest is not trusted. What it does wrong stops a device or ends the run with a message;
//! it does not make this program panic, or reach memory that is not the guest's.

pub mod devices;
pub mod devicetree;
pub mod image;
pub mod layout;
pub mod machine;
pub mod memory;
pub mod network;
pub mod options;
pub mod power;
pub mod traps;
pub mod virtio;

#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
pub mod hypervisor;
