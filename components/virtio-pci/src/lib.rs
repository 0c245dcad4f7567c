//! Virtio devices on the PCI bus (virtio 1.2 section 4.1).
//!
//! At start-up it takes every virtio function, modern or transitional in modern mode, and finds
//! its structures through its capabilities: of each type the first that lies inside registers
//! which exist. Drivers then reach their device through `VirtioPort`. A core's interrupts come
//! through the vector with the core's number, so a device with a vector for each core wakes just
//! the core whose queue has news.
//!
//! Every wait is bounded: a device that does not reset, or whose configuration never stands
//! still, costs a moment and is refused.
//!
//! It does not: drive legacy devices, use interrupt lines, or pass data with a doorbell.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod wire;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use device::{Device, Structures};
use waitless::device::{Doorbell, Platform, Registers};
use waitless::{Component, Context, CounterSet, InitError, Inspect, debug, warn};
use waitless::{PciFunction, PciPort, QueueMemory, Vectors, VirtioDevice, VirtioPort};
use wire::{NO_VECTOR, Structure};

/// The most devices that are looked after.
pub const DEVICES_MAX: usize = 64;

/// There is nothing to configure.
#[derive(Clone, Copy, Debug)]
pub struct Config {}

/// The virtio devices of the PCI bus.
pub struct VirtioPci {
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
        /// Devices without the structures of modern ones: legacy, or broken.
        counter unusable: devices,
        /// Resets that a device did not confirm in time.
        counter stuck_resets: resets,
        /// Queues that a device did not let be set up.
        counter refused_queues: queues,
        /// Queues that cannot interrupt, and are polled.
        counter silent_queues: queues,
    }
}

struct Slot {
    /// The type of device: 1 is a network card.
    kind: u16,
    taken: bool,
    device: Device<Registers>,
    vectors: Option<Vectors>,
    /// The vector of the first queue that was enabled, which tells of changes, too.
    config_vector: u16,
    interrupts: bool,
}

impl VirtioPci {
    /// The transport, before it knows any device.
    pub fn new(_: &'static Config, cx: &mut Context) -> Self {
        let counters = Counters::leak();
        Self { platform: cx.platform(), devices: Vec::new(), counters }
    }

    /// The vector that interrupts `core`, routed there; `NO_VECTOR` when there is none.
    fn vector(&self, slot: &Slot, core: usize) -> u16 {
        let route = || {
            let vector = u16::try_from(core).ok()?;
            let message = self.platform.message_interrupt(core)?;
            slot.vectors.as_ref()?.route(vector, message).then_some(vector)
        };
        route().unwrap_or(NO_VECTOR)
    }

    fn slot(&mut self, device: VirtioDevice) -> Option<&mut Slot> {
        self.devices.get_mut(device.0)
    }
}

impl<P: PciPort> Component<P> for VirtioPci {
    fn init(&mut self, below: &mut P, cx: &mut Context) -> Result<(), InitError> {
        for _ in 0..DEVICES_MAX {
            let mut kind = 0;
            let taken = below.take(&mut |identity| {
                kind = wire::kind(identity).unwrap_or(0);
                kind != 0
            });
            let Some(function) = taken else { break };
            let structures = match structures(below, function) {
                Ok(structures) => structures,
                Err(reason) => {
                    self.counters.unusable.add(1);
                    warn!(cx, "a device of type {kind} {reason}");
                    continue;
                }
            };
            self.devices.push(Slot {
                kind,
                taken: false,
                device: Device::new(structures),
                vectors: below.vectors(function),
                config_vector: NO_VECTOR,
                interrupts: true,
            });
        }
        self.counters.found.set(self.devices.len() as u64);
        debug!(cx, "devices found: {}", self.devices.len());
        Ok(())
    }

    fn receive(&mut self, _: &mut P, _: &mut Context) {}
}

/// Why a device cannot be used.
const LEGACY: &str = "has no modern interface (QEMU: disable-modern=off)";
const UNMAPPED: &str = "has registers that could not be mapped";

/// Finds the structures of a modern device; why it cannot be used when there are none.
fn structures<P: PciPort>(
    pci: &mut P,
    function: PciFunction,
) -> Result<Structures<Registers>, &'static str> {
    let mut reason = LEGACY;
    let (mut common, mut notify, mut isr, mut device) = (None, None, None, None);
    let capabilities: Vec<_> = wire::capabilities(pci, function).collect();
    for capability in capabilities {
        let mut registers = |least: usize, alignment: u32| {
            let length = capability.length as usize;
            let sound = length >= least && capability.offset.is_multiple_of(alignment);
            let Some(whole) = pci.bar(function, capability.bar) else {
                reason = UNMAPPED;
                return None;
            };
            whole.part(capability.offset as usize, length).filter(|_| sound)
        };
        match capability.structure {
            // Sections 4.1.4.3.1, 4.1.4.4.1, 4.1.4.5.1, 4.1.4.6.1.
            Structure::Common if common.is_none() => common = registers(wire::common::LENGTH, 4),
            Structure::Notify { multiplier } if notify.is_none() => {
                notify = registers(2, 2).map(|registers| (registers, multiplier));
            }
            Structure::Isr if isr.is_none() => isr = registers(1, 1),
            Structure::Device if device.is_none() => device = registers(1, 4),
            _ => {}
        }
    }
    let (Some(common), Some((notify, multiplier))) = (common, notify) else { return Err(reason) };
    Ok(Structures { common, notify, multiplier, isr, device })
}

// What a device is asked while it is brought up is asked from several places: better once than
// in each of them.
impl VirtioPort for VirtioPci {
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
        let Some(slot) = self.devices.get(device.0) else { return false };
        let vector = self.vector(slot, memory.core);
        let counters = self.counters;
        let Some(slot) = self.slot(device) else { return false };
        let Some(interrupts) = slot.device.enable_queue(queue, memory, vector) else {
            counters.refused_queues.add(1);
            return false;
        };
        if !interrupts {
            counters.silent_queues.add(1);
            slot.interrupts = false;
        } else if slot.config_vector == NO_VECTOR {
            slot.config_vector = vector;
        }
        true
    }

    #[inline(never)]
    fn start(&mut self, device: VirtioDevice) -> bool {
        self.slot(device).is_some_and(|slot| slot.device.start(slot.config_vector))
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
        self.devices.get(device.0)?.device.doorbell(queue)
    }

    #[inline(never)]
    fn config_changed(&mut self, device: VirtioDevice) -> bool {
        self.slot(device).is_some_and(|slot| slot.device.config_changed())
    }
}

impl Inspect for VirtioPci {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
