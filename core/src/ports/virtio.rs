use crate::device::Doorbell;

/// Virtio devices behind any transport (virtio 1.2 section 4), for their drivers.
///
/// The transport finds the device, resets it and carries the registers; the driver negotiates,
/// owns the queues and says when the device may start. All but [`notify`](Self::notify) are
/// for start-up and for rare events.
pub trait VirtioPort {
    /// Takes the first device of the type `kind` (1 is a network card, 4 an entropy source) that
    /// nobody took, resets it and sets ACKNOWLEDGE and DRIVER. `None` when there is none.
    fn take(&mut self, kind: u16) -> Option<VirtioDevice>;

    /// What the device offers: bits 0 to 127 of section 2.2.
    fn features(&mut self, device: VirtioDevice) -> u128;

    /// Accepts `features`, a subset of what is offered, and sets FEATURES_OK. `false` when the
    /// device does not agree.
    fn accept(&mut self, device: VirtioDevice, features: u128) -> bool;

    /// How many queues the device has at most.
    fn queues(&mut self, device: VirtioDevice) -> u16;

    /// The most entries that queue `queue` takes; 0 when there is no such queue.
    fn queue_size(&mut self, device: VirtioDevice, queue: u16) -> u16;

    /// Sets queue `queue` up and enables it, with its interrupt to `core`. `false` when the
    /// device refuses.
    fn enable_queue(&mut self, device: VirtioDevice, queue: u16, memory: QueueMemory) -> bool;

    /// Sets DRIVER_OK: the device is live. Whether changes of its configuration interrupt; if
    /// not, [`config_changed`](Self::config_changed) must be asked from time to time.
    fn start(&mut self, device: VirtioDevice) -> bool;

    /// Resets the device for good and sets FAILED. `true` when it confirmed the reset, so that
    /// it leaves memory alone from now on; otherwise what it was given must never be reused.
    fn fail(&mut self, device: VirtioDevice) -> bool;

    /// Whether every queue that was enabled can interrupt its core. If not, it must be polled.
    fn interrupts(&self, device: VirtioDevice) -> bool;

    /// Whether the device says that it needs a reset (DEVICE_NEEDS_RESET), or has vanished.
    fn needs_reset(&mut self, device: VirtioDevice) -> bool;

    /// Reads 8 bits of the device's own configuration.
    fn config8(&mut self, device: VirtioDevice, offset: usize) -> u8;

    /// Reads 16 bits of the device's own configuration, unchanged while it was read.
    fn config16(&mut self, device: VirtioDevice, offset: usize) -> u16;

    /// Reads 32 bits of the device's own configuration, unchanged while it was read.
    fn config32(&mut self, device: VirtioDevice, offset: usize) -> u32;

    /// Tells the device that queue `queue` has something new for it: the doorbell. Costs an
    /// exit to the hypervisor.
    fn notify(&mut self, device: VirtioDevice, queue: u16);

    /// What [`notify`](Self::notify) does for a queue that was enabled, for a driver that lets
    /// another core do it. `None` when the transport has no such thing.
    fn doorbell(&mut self, device: VirtioDevice, queue: u16) -> Option<Doorbell> {
        let _ = (device, queue);
        None
    }

    /// Whether the device's configuration may have changed since this was last asked.
    fn config_changed(&mut self, device: VirtioDevice) -> bool;
}

/// A device that was taken, as its [`VirtioPort`] knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VirtioDevice(pub usize);

/// Where a split virtqueue lies (virtio 1.2 section 2.7), as device addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueMemory {
    /// Entries, a power of two.
    pub size: u16,
    /// The descriptor table, aligned to 16 bytes.
    pub descriptors: u64,
    /// The available ring, aligned to 2 bytes.
    pub available: u64,
    /// The used ring, aligned to 4 bytes.
    pub used: u64,
    /// The core that the queue interrupts.
    pub core: usize,
}

/// More transports than anything stands on.
const TRANSPORTS: usize = 4;

/// Several transports are one: a driver that stands on all of them finds its device on whichever
/// has it. Where a device is on more than one, the first transport's comes first.
///
/// The lowest part of a [`VirtioDevice`] says which transport it belongs to, so that a doorbell
/// costs one comparison.
macro_rules! transports {
    ($($type:ident $index:tt),+) => {
        impl<$($type: VirtioPort),+> VirtioPort for ($(&mut $type,)+) {
            fn take(&mut self, kind: u16) -> Option<VirtioDevice> {
                $(if let Some(VirtioDevice(number)) = self.$index.take(kind) {
                    return Some(VirtioDevice(number * TRANSPORTS + $index));
                })+
                None
            }
            fn features(&mut self, device: VirtioDevice) -> u128 {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.features(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => 0,
                }
            }
            fn accept(&mut self, device: VirtioDevice, features: u128) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.accept(VirtioDevice(device.0 / TRANSPORTS), features),)+
                    _ => false,
                }
            }
            fn queues(&mut self, device: VirtioDevice) -> u16 {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.queues(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => 0,
                }
            }
            fn queue_size(&mut self, device: VirtioDevice, queue: u16) -> u16 {
                match device.0 % TRANSPORTS {
                    $($index => {
                        self.$index.queue_size(VirtioDevice(device.0 / TRANSPORTS), queue)
                    })+
                    _ => 0,
                }
            }
            fn enable_queue(
                &mut self,
                device: VirtioDevice,
                queue: u16,
                memory: QueueMemory,
            ) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => {
                        let device = VirtioDevice(device.0 / TRANSPORTS);
                        self.$index.enable_queue(device, queue, memory)
                    })+
                    _ => false,
                }
            }
            fn start(&mut self, device: VirtioDevice) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.start(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => false,
                }
            }
            fn fail(&mut self, device: VirtioDevice) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.fail(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => false,
                }
            }
            fn interrupts(&self, device: VirtioDevice) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.interrupts(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => false,
                }
            }
            fn needs_reset(&mut self, device: VirtioDevice) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.needs_reset(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => true,
                }
            }
            fn config8(&mut self, device: VirtioDevice, offset: usize) -> u8 {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.config8(VirtioDevice(device.0 / TRANSPORTS), offset),)+
                    _ => 0,
                }
            }
            fn config16(&mut self, device: VirtioDevice, offset: usize) -> u16 {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.config16(VirtioDevice(device.0 / TRANSPORTS), offset),)+
                    _ => 0,
                }
            }
            fn config32(&mut self, device: VirtioDevice, offset: usize) -> u32 {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.config32(VirtioDevice(device.0 / TRANSPORTS), offset),)+
                    _ => 0,
                }
            }
            #[inline]
            fn notify(&mut self, device: VirtioDevice, queue: u16) {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.notify(VirtioDevice(device.0 / TRANSPORTS), queue),)+
                    _ => (),
                }
            }
            fn doorbell(&mut self, device: VirtioDevice, queue: u16) -> Option<Doorbell> {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.doorbell(VirtioDevice(device.0 / TRANSPORTS), queue),)+
                    _ => None,
                }
            }
            fn config_changed(&mut self, device: VirtioDevice) -> bool {
                match device.0 % TRANSPORTS {
                    $($index => self.$index.config_changed(VirtioDevice(device.0 / TRANSPORTS)),)+
                    _ => false,
                }
            }
        }
    };
}

transports!(A 0);
transports!(A 0, B 1);

#[cfg(test)]
mod tests;
