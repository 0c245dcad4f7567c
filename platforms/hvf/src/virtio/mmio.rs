//! The memory-mapped transport, version 2 (virtio 1.2 section 4.2).

use super::queue::{Fault, Queue, SIZE_MAX};
use super::{Device, feature};
use crate::memory::Memory;

/// Bytes of a device's registers.
pub const LENGTH: u64 = 0x200;

/// Offsets of registers (section 4.2.2).
mod register {
    pub const MAGIC: u64 = 0x00;
    pub const VERSION: u64 = 0x04;
    pub const DEVICE: u64 = 0x08;
    pub const VENDOR: u64 = 0x0c;
    pub const DEVICE_FEATURES: u64 = 0x10;
    pub const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub const DRIVER_FEATURES: u64 = 0x20;
    pub const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub const QUEUE_SELECT: u64 = 0x30;
    pub const QUEUE_SIZE_MAX: u64 = 0x34;
    pub const QUEUE_SIZE: u64 = 0x38;
    pub const QUEUE_READY: u64 = 0x44;
    pub const QUEUE_NOTIFY: u64 = 0x50;
    pub const INTERRUPT_STATUS: u64 = 0x60;
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    pub const STATUS: u64 = 0x70;
    pub const DESCRIPTORS_LOW: u64 = 0x80;
    pub const DESCRIPTORS_HIGH: u64 = 0x84;
    pub const AVAILABLE_LOW: u64 = 0x90;
    pub const AVAILABLE_HIGH: u64 = 0x94;
    pub const USED_LOW: u64 = 0xa0;
    pub const USED_HIGH: u64 = 0xa4;
    pub const SHARED_LENGTH_LOW: u64 = 0xb0;
    pub const SHARED_BASE_HIGH: u64 = 0xbc;
    pub const CONFIG_GENERATION: u64 = 0xfc;
    pub const CONFIG: u64 = 0x100;
}

/// Bits of the device's status (section 2.1).
pub mod status {
    /// The driver has done its part.
    pub const DRIVER_OK: u32 = 4;
    /// The driver has accepted features, and the device agrees.
    pub const FEATURES_OK: u32 = 8;
    /// The device is stopped and needs a reset.
    pub const NEEDS_RESET: u32 = 64;
    /// The driver has given up.
    pub const FAILED: u32 = 128;
}

/// Interrupt: something was returned in a queue.
const USED_RING: u32 = 1;
/// Interrupt: the configuration or the status changed.
const CONFIG_CHANGED: u32 = 2;

/// "virt".
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "WTLS".
const VENDOR: u32 = 0x534c_5457;

/// What an access to a register asks of who runs the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// The driver has something new in a queue, or made the device live: [`Transport::serve`].
    Serve,
    /// The interrupt line may have changed: [`Transport::line`].
    Line,
}

/// A device behind its registers.
#[derive(Debug)]
pub struct Transport<D> {
    /// The device itself.
    pub device: D,
    queues: Vec<Queue>,
    status: u32,
    interrupts: u32,
    generation: u32,
    queue_select: u32,
    device_select: u32,
    driver_select: u32,
    driver_features: u64,
    /// Why it was stopped, until the driver resets it.
    fault: Option<Fault>,
}

impl<D: Device> Transport<D> {
    /// A device that no driver has found yet.
    pub fn new(device: D) -> Self {
        Self {
            device,
            queues: vec![Queue::default(); D::QUEUES],
            status: 0,
            interrupts: 0,
            generation: 0,
            queue_select: 0,
            device_select: 0,
            driver_select: 0,
            driver_features: 0,
            fault: None,
        }
    }

    /// Reads a register of `size` bytes, 1 to 8.
    pub fn read(&mut self, offset: u64, size: usize) -> u64 {
        if offset >= register::CONFIG {
            let mut bytes = [0; 8];
            let size = size.min(bytes.len());
            self.device.config((offset - register::CONFIG) as usize, &mut bytes[..size]);
            return u64::from_le_bytes(bytes);
        }
        // Registers are 32 bits wide; other accesses are not allowed (section 4.2.2.2).
        if size == 4 { self.register(offset).into() } else { 0 }
    }

    fn register(&self, offset: u64) -> u32 {
        let queue = self.queues.get(self.queue_select as usize);
        match offset {
            register::MAGIC => MAGIC,
            register::VERSION => VERSION,
            register::DEVICE => D::KIND,
            register::VENDOR => VENDOR,
            register::DEVICE_FEATURES => half(self.offered(), self.device_select),
            register::QUEUE_SIZE_MAX => queue.map_or(0, |_| SIZE_MAX.into()),
            register::QUEUE_READY => queue.is_some_and(|queue| queue.ready).into(),
            register::INTERRUPT_STATUS => self.interrupts,
            register::STATUS => self.status,
            register::CONFIG_GENERATION => self.generation,
            // There is no shared memory (section 4.2.2).
            register::SHARED_LENGTH_LOW..=register::SHARED_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    /// Writes a register of `size` bytes.
    pub fn write(&mut self, memory: &Memory, offset: u64, size: usize, value: u64) -> Effect {
        if size != 4 {
            return Effect::None;
        }
        let value = value as u32;
        match offset {
            register::DEVICE_FEATURES_SELECT => self.device_select = value,
            register::DRIVER_FEATURES_SELECT => self.driver_select = value,
            register::DRIVER_FEATURES => self.accept(value),
            register::QUEUE_SELECT => self.queue_select = value,
            register::QUEUE_NOTIFY => {
                let live = self.is_live() && (value as usize) < D::QUEUES;
                return if live { Effect::Serve } else { Effect::None };
            }
            register::INTERRUPT_ACKNOWLEDGE => {
                self.interrupts &= !value;
                return Effect::Line;
            }
            register::STATUS => return self.set_status(value),
            _ => self.place(memory, offset, value),
        }
        Effect::None
    }

    /// Where the selected queue lies; it cannot move while it is in use.
    fn place(&mut self, memory: &Memory, offset: u64, value: u32) {
        let event_index = self.driver_features & feature::EVENT_INDEX != 0;
        let select = self.queue_select as usize;
        let Some(queue) = self.queues.get_mut(select) else { return };
        match offset {
            register::QUEUE_READY if value & 1 == 0 => queue.ready = false,
            register::QUEUE_READY => {
                queue.event_index = event_index;
                queue.ready = queue.is_sound(memory);
            }
            _ if queue.ready => {}
            register::QUEUE_SIZE => queue.size = u16::try_from(value).unwrap_or(0),
            register::DESCRIPTORS_LOW => set_half(&mut queue.descriptors, 0, value),
            register::DESCRIPTORS_HIGH => set_half(&mut queue.descriptors, 1, value),
            register::AVAILABLE_LOW => set_half(&mut queue.available, 0, value),
            register::AVAILABLE_HIGH => set_half(&mut queue.available, 1, value),
            register::USED_LOW => set_half(&mut queue.used, 0, value),
            register::USED_HIGH => set_half(&mut queue.used, 1, value),
            _ => {}
        }
    }

    fn accept(&mut self, value: u32) {
        if self.status & status::FEATURES_OK == 0 {
            set_half(&mut self.driver_features, self.driver_select, value);
        }
    }

    fn set_status(&mut self, value: u32) -> Effect {
        if value == 0 {
            self.reset();
            return Effect::Line;
        }
        let was_live = self.is_live();
        let mut value = value & 0xff | self.status & status::NEEDS_RESET;
        let agreed = self.driver_features & !self.offered() == 0
            && self.driver_features & feature::VERSION_1 != 0;
        if value & status::FEATURES_OK != 0 && !agreed {
            value &= !status::FEATURES_OK;
        }
        self.status = value;
        if !was_live && self.is_live() {
            self.device.start(self.driver_features);
            return Effect::Serve;
        }
        Effect::None
    }

    fn reset(&mut self) {
        self.device.reset();
        self.queues.fill(Queue::default());
        self.status = 0;
        self.interrupts = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        self.fault = None;
    }

    fn offered(&self) -> u64 {
        self.device.features() | feature::EVENT_INDEX | feature::VERSION_1
    }

    /// Whether the driver uses it.
    pub fn is_live(&self) -> bool {
        let needed = status::DRIVER_OK | status::FEATURES_OK;
        self.status & needed == needed && self.status & (status::NEEDS_RESET | status::FAILED) == 0
    }

    /// Serves the queues as far as is possible now. Whether there is more to do at once.
    ///
    /// # Errors
    /// Why the device had to be stopped, once.
    pub fn serve(&mut self, memory: &Memory) -> Result<bool, Fault> {
        if !self.is_live() {
            return Ok(false);
        }
        match self.device.serve(memory, &mut self.queues) {
            Ok(served) => {
                self.interrupts |= if served.interrupt { USED_RING } else { 0 };
                Ok(served.again)
            }
            Err(fault) => {
                self.stop(fault);
                Err(fault)
            }
        }
    }

    /// Stops the device until the driver resets it, and tells the driver so.
    fn stop(&mut self, fault: Fault) {
        self.fault = Some(fault);
        self.status |= status::NEEDS_RESET;
        self.interrupts |= CONFIG_CHANGED;
    }

    /// The configuration changed: the driver is told.
    pub fn config_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.is_live() {
            self.interrupts |= CONFIG_CHANGED;
        }
    }

    /// Why the device is stopped, if it is.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The level of the interrupt line.
    pub fn line(&self) -> bool {
        self.interrupts != 0
    }
}

/// The lower (0) or upper (1) half; others are zero.
fn half(value: u64, select: u32) -> u32 {
    match select {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

fn set_half(value: &mut u64, select: u32, half: u32) {
    match select {
        0 => *value = *value & !0xffff_ffff | u64::from(half),
        1 => *value = *value & 0xffff_ffff | u64::from(half) << 32,
        _ => {}
    }
}
