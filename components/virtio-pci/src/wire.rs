//! What virtio lays out on the PCI bus (virtio 1.2 section 4.1): ids, capabilities, registers.

use waitless::{PciFunction, PciIdentity, PciPort};

/// The vendor of all virtio devices.
const VENDOR: u16 = 0x1af4;
/// Device ids from here on are 0x1040 and the type of a modern device.
const MODERN: u16 = 0x1040;
/// The last device id that virtio may use.
const LAST: u16 = 0x107f;
/// The first device id of a transitional device, whose type is its subsystem id.
const TRANSITIONAL: u16 = 0x1000;

/// The id of a vendor's capability.
const CAPABILITY: u8 = 0x09;
/// More capabilities of 16 bytes do not fit into 256 bytes behind the header.
const CAPABILITIES_MAX: usize = 12;

/// The virtio type of the device that says `identity` of itself; `None` when it is none.
pub(crate) fn kind(identity: &PciIdentity) -> Option<u16> {
    match (identity.vendor, identity.device) {
        (VENDOR, device @ MODERN..=LAST) => Some(device - MODERN),
        (VENDOR, TRANSITIONAL..MODERN) => Some(identity.subsystem),
        _ => None,
    }
}

/// What a capability points to (section 4.1.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Structure {
    /// The registers of [`common`].
    Common,
    /// The doorbells: queue *n*'s is at *n*'s notify offset times this.
    Notify {
        /// Bytes between doorbells.
        multiplier: u32,
    },
    /// One byte that tells why the device interrupted.
    Isr,
    /// The configuration of the type of device.
    Device,
}

/// A capability that says where a structure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Capability {
    pub(crate) structure: Structure,
    /// The base address register, 0 to 5.
    pub(crate) bar: u8,
    /// Bytes from there on.
    pub(crate) offset: u32,
    /// Bytes of the structure.
    pub(crate) length: u32,
}

/// All of a function's capabilities that have a meaning here, in their order.
pub(crate) fn capabilities<P: PciPort>(
    pci: &P,
    function: PciFunction,
) -> impl Iterator<Item = Capability> {
    let mut at = 0;
    let places = core::iter::from_fn(move || {
        at = pci.capability(function, CAPABILITY, at);
        (at != 0).then_some(at)
    });
    places.take(CAPABILITIES_MAX).filter_map(move |at| capability(pci, function, at.into()))
}

fn capability<P: PciPort>(pci: &P, function: PciFunction, at: u16) -> Option<Capability> {
    let [_, _, length, kind] = pci.read(function, at).to_le_bytes();
    let structure = match kind {
        1 => Structure::Common,
        2 if length >= 20 => Structure::Notify { multiplier: pci.read(function, at + 16) },
        3 => Structure::Isr,
        4 => Structure::Device,
        _ => return None,
    };
    let [bar, ..] = pci.read(function, at + 4).to_le_bytes();
    let (offset, bytes) = (pci.read(function, at + 8), pci.read(function, at + 12));
    let usable = length >= 16 && bar <= 5;
    usable.then_some(Capability { structure, bar, offset, length: bytes })
}

/// Offsets of the common configuration (section 4.1.4.3).
pub(crate) mod common {
    pub(crate) const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub(crate) const DEVICE_FEATURE: usize = 0x04;
    pub(crate) const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub(crate) const DRIVER_FEATURE: usize = 0x0c;
    pub(crate) const CONFIG_VECTOR: usize = 0x10;
    pub(crate) const QUEUE_COUNT: usize = 0x12;
    pub(crate) const STATUS: usize = 0x14;
    pub(crate) const GENERATION: usize = 0x15;
    pub(crate) const QUEUE_SELECT: usize = 0x16;
    pub(crate) const QUEUE_SIZE: usize = 0x18;
    pub(crate) const QUEUE_VECTOR: usize = 0x1a;
    pub(crate) const QUEUE_ENABLE: usize = 0x1c;
    pub(crate) const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
    pub(crate) const QUEUE_DESCRIPTORS: usize = 0x20;
    pub(crate) const QUEUE_AVAILABLE: usize = 0x28;
    pub(crate) const QUEUE_USED: usize = 0x30;
    /// Bytes of what every device has.
    pub(crate) const LENGTH: usize = 0x38;
}

/// Bits of the device's status (section 2.1).
pub(crate) mod status {
    pub(crate) const ACKNOWLEDGE: u8 = 1;
    pub(crate) const DRIVER: u8 = 2;
    pub(crate) const DRIVER_OK: u8 = 4;
    pub(crate) const FEATURES_OK: u8 = 8;
    pub(crate) const NEEDS_RESET: u8 = 0x40;
    pub(crate) const FAILED: u8 = 0x80;
}

/// No vector: as a value to write, and as the answer of a device that has none to give.
pub(crate) const NO_VECTOR: u16 = 0xffff;

/// In the ISR byte: the configuration changed.
pub(crate) const ISR_CONFIG: u8 = 2;
