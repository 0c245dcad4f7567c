//! What virtio lays out at a fixed address (virtio 1.2 section 4.2.2).

/// What the first register of every device holds: "virt".
pub(crate) const MAGIC: u32 = 0x7472_6976;
/// The version that is spoken here; 1 is the legacy interface.
pub(crate) const VERSION: u32 = 2;

/// Offsets of the registers, which have 32 bits each.
pub(crate) mod register {
    pub(crate) const MAGIC: usize = 0x000;
    pub(crate) const VERSION: usize = 0x004;
    pub(crate) const DEVICE: usize = 0x008;
    pub(crate) const DEVICE_FEATURES: usize = 0x010;
    pub(crate) const DEVICE_FEATURES_SELECT: usize = 0x014;
    pub(crate) const DRIVER_FEATURES: usize = 0x020;
    pub(crate) const DRIVER_FEATURES_SELECT: usize = 0x024;
    pub(crate) const QUEUE_SELECT: usize = 0x030;
    pub(crate) const QUEUE_SIZE_MAX: usize = 0x034;
    pub(crate) const QUEUE_SIZE: usize = 0x038;
    pub(crate) const QUEUE_READY: usize = 0x044;
    pub(crate) const QUEUE_NOTIFY: usize = 0x050;
    pub(crate) const INTERRUPT_STATUS: usize = 0x060;
    pub(crate) const INTERRUPT_ACKNOWLEDGE: usize = 0x064;
    pub(crate) const STATUS: usize = 0x070;
    pub(crate) const QUEUE_DESCRIPTORS: usize = 0x080;
    pub(crate) const QUEUE_AVAILABLE: usize = 0x090;
    pub(crate) const QUEUE_USED: usize = 0x0a0;
    pub(crate) const GENERATION: usize = 0x0fc;
    /// The configuration of the type of device starts here, and ends with the region.
    pub(crate) const CONFIG: usize = 0x100;
}

/// Bits of the device's status (section 2.1).
pub(crate) mod status {
    pub(crate) const ACKNOWLEDGE: u32 = 1;
    pub(crate) const DRIVER: u32 = 2;
    pub(crate) const DRIVER_OK: u32 = 4;
    pub(crate) const FEATURES_OK: u32 = 8;
    pub(crate) const NEEDS_RESET: u32 = 0x40;
    pub(crate) const FAILED: u32 = 0x80;
}

/// In the interrupt status: the configuration changed.
pub(crate) const CONFIG_CHANGED: u32 = 2;
