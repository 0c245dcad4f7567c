//! Virtio devices at fixed addresses (virtio 1.2 section 4.2), as small virtual machines have
//! them instead of a PCI bus.
//!
//! The platform knows the places: a device tree, the firmware or the command line lists them.
//! At start-up every place is looked at, and what is there is offered through `VirtioPort`.
//!
//! A device has one interrupt line for everything, and holds it until it is told that the
//! interrupt was seen. Doing that for each would cost two exits a sweep, so it is done once,
//! before the core sleeps: drivers look at their queues after this component, so whatever the
//! line told is found, and whatever comes later raises the line again.
//!
//! Every wait is bounded: a device that does not reset, or whose configuration never stands
//! still, costs a moment and is refused.
//!
//! It does not: drive legacy devices (version 1), map shared memory, or pass data with a
//! doorbell. A device wakes one core, that of the first queue that was enabled; queues of
//! other cores are polled.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod wire;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use device::{Device, Found};
use waitless::device::{Doorbell, MmioDevice, Platform};
use waitless::{Component, Context, CounterSet, InitError, Inspect, debug, warn};
use waitless::{QueueMemory, VirtioDevice, VirtioPort};

/// The most places that are looked at.
pub const DEVICES_MAX: usize = 64;

/// There is nothing to configure.
#[derive(Clone, Copy, Debug)]
pub struct Config {}

/// The virtio devices at fixed addresses.
pub struct VirtioMmio {
    platform: &'static dyn Platform,
    devices: Vec<Slot>,
    counters: &'static Counters,
}

waitless::counters! {
    /// What the transport counts.
    pub struct Counters {
        /// Devices found that a driver can use.
        gauge found: devices,
        /// Devices that a driver took.
        gauge taken: devices,
        /// Devices of another version than 2: legacy ones, mostly.
        counter unusable: devices,
        /// Resets that a device did not confirm in time.
        counter stuck_resets: resets,
        /// Queues that a device did not let be set up.
        counter refused_queues: queues,
        /// Queues that cannot interrupt their core, and are polled.
        counter silent_queues: queues,
    }
}

struct Slot {
    /// The type of device: 1 is a network card.
    kind: u16,
    taken: bool,
    device: Device,
    line: Option<u32>,
    /// The core that the line interrupts.
    core: Option<usize>,
    interrupts: bool,
}

impl VirtioMmio {
    /// The transport, before it knows any device.
    pub fn new(_: &'static Config, cx: &mut Context) -> Self {
        let counters = Counters::leak();
        Self { platform: cx.platform(), devices: Vec::new(), counters }
    }

    /// Looks at one place.
    fn look(&mut self, place: MmioDevice, cx: &Context) {
        let MmioDevice { address, length, line } = place;
        let Some(registers) = self.platform.map(address, length) else {
            warn!(cx, "the registers at {address:#x} cannot be reached");
            return;
        };
        let device = Device::new(registers);
        match device.found() {
            Found::Device(kind) => self.devices.push(Slot {
                kind,
                taken: false,
                device,
                line,
                core: None,
                interrupts: true,
            }),
            Found::Empty => {}
            Found::Version(version) => {
                self.counters.unusable.add(1);
                warn!(
                    cx,
                    "the device at {address:#x} has the interface's version {version}, not 2 \
                     (QEMU: -global virtio-mmio.force-legacy=false)"
                );
            }
            Found::Stranger(magic) => {
                debug!(cx, "no virtio device at {address:#x}: {magic:#010x}");
            }
        }
    }

    fn slot(&mut self, device: VirtioDevice) -> Option<&mut Slot> {
        self.devices.get_mut(device.0)
    }
}

impl Slot {
    /// Makes the device interrupt `core`; `false` where it cannot, or interrupts another.
    fn route(&mut self, platform: &dyn Platform, core: usize) -> bool {
        if self.core.is_none()
            && let Some(line) = self.line
            && platform.route_line(line, core)
        {
            self.core = Some(core);
        }
        self.core == Some(core)
    }
}

impl Component<()> for VirtioMmio {
    fn init(&mut self, _: &mut (), cx: &mut Context) -> Result<(), InitError> {
        for index in 0..DEVICES_MAX {
            let Some(place) = self.platform.mmio_device(index) else { break };
            self.look(place, cx);
        }
        self.counters.found.set(self.devices.len() as u64);
        debug!(cx, "devices found: {}", self.devices.len());
        Ok(())
    }

    fn receive(&mut self, _: &mut (), _: &mut Context) {}

    /// Lets go of all lines. Drivers stand above, so they look at their queues later than this, but
    /// not at the configuration: where that changed there is another sweep.
    fn arm(&mut self) -> bool {
        let mut settled = true;
        for slot in self.devices.iter_mut().filter(|slot| slot.core.is_some()) {
            settled &= !slot.device.release_line();
        }
        settled
    }
}

// What a device is asked while it is brought up is asked from several places: better once than
// in each of them.
impl VirtioPort for VirtioMmio {
    #[inline(never)]
    fn take(&mut self, kind: u16) -> Option<VirtioDevice> {
        for (index, slot) in self.devices.iter_mut().enumerate() {
            if slot.taken || slot.kind != kind {
                continue;
            }
            slot.taken = true;
            if slot.device.reset() {
                slot.device.acknowledge();
                self.counters.taken.add(1);
                return Some(VirtioDevice(index));
            }
            self.counters.stuck_resets.add(1);
        }
        None
    }

    #[inline(never)]
    fn features(&mut self, device: VirtioDevice) -> u128 {
        self.slot(device).map_or(0, |slot| slot.device.features())
    }

    #[inline(never)]
    fn accept(&mut self, device: VirtioDevice, features: u128) -> bool {
        self.slot(device).is_some_and(|slot| slot.device.accept(features))
    }

    #[inline(never)]
    fn queues(&mut self, device: VirtioDevice) -> u16 {
        self.slot(device).map_or(0, |slot| slot.device.queues())
    }

    #[inline(never)]
    fn queue_size(&mut self, device: VirtioDevice, queue: u16) -> u16 {
        self.slot(device).map_or(0, |slot| slot.device.queue_size(queue))
    }

    #[inline(never)]
    fn enable_queue(&mut self, device: VirtioDevice, queue: u16, memory: QueueMemory) -> bool {
        let (platform, counters) = (self.platform, self.counters);
        let Some(slot) = self.slot(device) else { return false };
        if !slot.device.enable_queue(queue, memory) {
            counters.refused_queues.add(1);
            return false;
        }
        if !slot.route(platform, memory.core) {
            counters.silent_queues.add(1);
            slot.interrupts = false;
        }
        true
    }

    #[inline(never)]
    fn start(&mut self, device: VirtioDevice) -> bool {
        let Some(slot) = self.slot(device) else { return false };
        slot.device.start();
        // There is one line for everything.
        slot.interrupts
    }

    #[inline(never)]
    fn fail(&mut self, device: VirtioDevice) -> bool {
        let quiet = self.slot(device).is_some_and(|slot| slot.device.fail());
        if !quiet {
            self.counters.stuck_resets.add(1);
        }
        quiet
    }

    #[inline(never)]
    fn interrupts(&self, device: VirtioDevice) -> bool {
        self.devices.get(device.0).is_some_and(|slot| slot.interrupts)
    }

    #[inline(never)]
    fn needs_reset(&mut self, device: VirtioDevice) -> bool {
        self.slot(device).is_none_or(|slot| slot.device.needs_reset())
    }

    #[inline(never)]
    fn config8(&mut self, device: VirtioDevice, offset: usize) -> u8 {
        self.slot(device).map_or(0, |slot| slot.device.config8(offset))
    }

    #[inline(never)]
    fn config16(&mut self, device: VirtioDevice, offset: usize) -> u16 {
        self.slot(device).map_or(0, |slot| slot.device.config16(offset))
    }

    #[inline(never)]
    fn config32(&mut self, device: VirtioDevice, offset: usize) -> u32 {
        self.slot(device).map_or(0, |slot| slot.device.config32(offset))
    }

    #[inline]
    fn notify(&mut self, device: VirtioDevice, queue: u16) {
        if let Some(slot) = self.devices.get(device.0) {
            slot.device.notify(queue);
        }
    }

    #[inline(never)]
    fn doorbell(&mut self, device: VirtioDevice, queue: u16) -> Option<Doorbell> {
        self.slot(device)?.device.doorbell(queue)
    }

    #[inline(never)]
    fn config_changed(&mut self, device: VirtioDevice) -> bool {
        self.slot(device).is_some_and(|slot| slot.device.config_changed())
    }
}

impl Inspect for VirtioMmio {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
