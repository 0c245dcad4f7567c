//! One device behind its registers: reset, negotiation, queues, doorbells, configuration.

use crate::wire::{ISR_CONFIG, NO_VECTOR, common, status};
use alloc::vec::Vec;
use waitless::QueueMemory;
use waitless::device::{Doorbell, Registers};

/// How often a reset is waited for. One read leaves the guest and takes 0.1 µs at the least.
const RESET_READS_MAX: u32 = 1_000_000;

/// How often a value of the configuration is read until it stands still.
const CONFIG_READS_MAX: u32 = 16;

/// The most queues that are looked after. A network card with a pair for each of 64 cores has 129.
const QUEUES_MAX: u16 = 256;

/// Registers, or a model of them.
pub(crate) trait Access {
    fn length(&self) -> usize;
    fn read8(&self, offset: usize) -> u8;
    fn read16(&self, offset: usize) -> u16;
    fn read32(&self, offset: usize) -> u32;
    fn write8(&self, offset: usize, value: u8);
    fn write16(&self, offset: usize, value: u16);
    fn write32(&self, offset: usize, value: u32);
    /// The two bytes at `offset`, to be written elsewhere; `None` for what is not memory.
    fn register(&self, offset: usize) -> Option<Registers>;
}

/// A device's structures, found and large enough.
pub(crate) struct Structures<R> {
    pub(crate) common: R,
    pub(crate) notify: R,
    /// Bytes between doorbells.
    pub(crate) multiplier: u32,
    pub(crate) isr: Option<R>,
    pub(crate) device: Option<R>,
}

/// A device and what was set up of it.
pub(crate) struct Device<R> {
    at: Structures<R>,
    /// Where in the notify structure each queue's doorbell is; `None` before it is enabled.
    doorbells: Vec<Option<usize>>,
    /// The configuration's generation when it was last looked at.
    generation: u8,
}

impl<R: Access> Device<R> {
    pub(crate) fn new(at: Structures<R>) -> Self {
        Self { at, doorbells: Vec::new(), generation: 0 }
    }

    /// Resets the device and waits for it to say so. `false` when it does not, in time.
    pub(crate) fn reset(&mut self) -> bool {
        self.doorbells.clear();
        self.set_status(0);
        for _ in 0..RESET_READS_MAX {
            if self.status() == 0 {
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    /// Says that a driver is there.
    pub(crate) fn acknowledge(&mut self) {
        self.set_status(status::ACKNOWLEDGE);
        self.set_status(status::ACKNOWLEDGE | status::DRIVER);
    }

    pub(crate) fn features(&mut self) -> u128 {
        (0..4).fold(0, |features, word| {
            self.at.common.write32(common::DEVICE_FEATURE_SELECT, word);
            let bits = self.at.common.read32(common::DEVICE_FEATURE);
            features | u128::from(bits) << (32 * word)
        })
    }

    pub(crate) fn accept(&mut self, features: u128) -> bool {
        for word in 0..4 {
            self.at.common.write32(common::DRIVER_FEATURE_SELECT, word);
            self.at.common.write32(common::DRIVER_FEATURE, (features >> (32 * word)) as u32);
        }
        self.set_status(self.status() | status::FEATURES_OK);
        self.status() & (status::FEATURES_OK | status::FAILED) == status::FEATURES_OK
    }

    pub(crate) fn queues(&self) -> u16 {
        self.at.common.read16(common::QUEUE_COUNT).min(QUEUES_MAX)
    }

    pub(crate) fn queue_size(&mut self, queue: u16) -> u16 {
        if queue >= self.queues() {
            return 0;
        }
        self.at.common.write16(common::QUEUE_SELECT, queue);
        self.at.common.read16(common::QUEUE_SIZE)
    }

    /// Sets a queue up that interrupts with `vector`. `None` when the device refuses, otherwise
    /// whether it took the vector.
    pub(crate) fn enable_queue(
        &mut self,
        queue: u16,
        memory: QueueMemory,
        vector: u16,
    ) -> Option<bool> {
        // Selects the queue, too.
        if self.queue_size(queue) < memory.size {
            return None;
        }
        let common = &self.at.common;
        common.write16(common::QUEUE_SIZE, memory.size);
        let taken = common.read16(common::QUEUE_SIZE) == memory.size;
        let index = usize::from(common.read16(common::QUEUE_NOTIFY_OFFSET));
        let doorbell = index.checked_mul(self.at.multiplier as usize)?;
        if !taken || doorbell.checked_add(2)? > self.at.notify.length() {
            return None;
        }
        common.write16(common::QUEUE_VECTOR, vector);
        let interrupts = common.read16(common::QUEUE_VECTOR) == vector && vector != NO_VECTOR;
        write64(common, common::QUEUE_DESCRIPTORS, memory.descriptors);
        write64(common, common::QUEUE_AVAILABLE, memory.available);
        write64(common, common::QUEUE_USED, memory.used);
        common.write16(common::QUEUE_ENABLE, 1);
        if common.read16(common::QUEUE_ENABLE) != 1 {
            return None;
        }
        let slot = usize::from(queue);
        if self.doorbells.len() <= slot {
            self.doorbells.resize(slot + 1, None);
        }
        *self.doorbells.get_mut(slot)? = Some(doorbell);
        Some(interrupts)
    }

    /// Makes changes of the configuration interrupt with `vector`, and the device live. Whether
    /// it took the vector: section 4.1.5.1.2 says to look.
    pub(crate) fn start(&mut self, vector: u16) -> bool {
        let common = &self.at.common;
        common.write16(common::CONFIG_VECTOR, vector);
        let interrupts = common.read16(common::CONFIG_VECTOR) == vector && vector != NO_VECTOR;
        self.config_changed();
        self.set_status(self.status() | status::DRIVER_OK);
        interrupts
    }

    /// Resets the device, and says that it was given up. `false` when it did not obey.
    pub(crate) fn fail(&mut self) -> bool {
        let quiet = self.reset();
        self.set_status(status::ACKNOWLEDGE | status::FAILED);
        quiet
    }

    /// Whether it is not what it was: it wants a reset, was reset, or is gone (all ones).
    pub(crate) fn needs_reset(&self) -> bool {
        let alive = status::DRIVER_OK | status::NEEDS_RESET;
        self.status() & alive != status::DRIVER_OK
    }

    pub(crate) fn config8(&self, offset: usize) -> u8 {
        self.at.device.as_ref().map_or(0, |config| config.read8(offset))
    }

    pub(crate) fn config16(&self, offset: usize) -> u16 {
        let Some(config) = &self.at.device else { return 0 };
        self.unchanged(|| config.read16(offset))
    }

    pub(crate) fn config32(&self, offset: usize) -> u32 {
        let Some(config) = &self.at.device else { return 0 };
        self.unchanged(|| config.read32(offset))
    }

    /// Devices without message interrupts tell by the ISR byte alone, others by the generation
    /// alone, many by both.
    pub(crate) fn config_changed(&mut self) -> bool {
        let isr = self.at.isr.as_ref().map_or(0, |isr| isr.read8(0));
        let generation = self.generation();
        let before = core::mem::replace(&mut self.generation, generation);
        isr & ISR_CONFIG != 0 || generation != before
    }

    /// Rings the queue's doorbell. Section 4.1.5.2: the queue's index, as 16 bits.
    #[inline]
    pub(crate) fn notify(&self, queue: u16) {
        if let Some(&Some(doorbell)) = self.doorbells.get(usize::from(queue)) {
            self.at.notify.write16(doorbell, queue);
        }
    }

    /// What [`notify`](Self::notify) writes, and where.
    pub(crate) fn doorbell(&self, queue: u16) -> Option<Doorbell> {
        let doorbell = (*self.doorbells.get(usize::from(queue))?)?;
        Some(Doorbell::narrow(self.at.notify.register(doorbell)?, queue))
    }

    /// Reads until no change came between (section 2.5.1), or for so long that no value of a
    /// device so restless is better than another.
    fn unchanged<T>(&self, read: impl Fn() -> T) -> T {
        let mut before = self.generation();
        for _ in 1..CONFIG_READS_MAX {
            let value = read();
            let after = self.generation();
            if before == after {
                return value;
            }
            before = after;
        }
        read()
    }

    fn generation(&self) -> u8 {
        self.at.common.read8(common::GENERATION)
    }

    fn status(&self) -> u8 {
        self.at.common.read8(common::STATUS)
    }

    fn set_status(&self, status: u8) {
        self.at.common.write8(common::STATUS, status);
    }
}

/// Section 4.1.3.1: 64-bit registers are written as two halves.
fn write64<R: Access>(registers: &R, offset: usize, value: u64) {
    registers.write32(offset, value as u32);
    registers.write32(offset + 4, (value >> 32) as u32);
}

impl Access for Registers {
    fn length(&self) -> usize {
        self.length()
    }

    fn read8(&self, offset: usize) -> u8 {
        self.read8(offset)
    }

    fn read16(&self, offset: usize) -> u16 {
        self.read16(offset)
    }

    fn read32(&self, offset: usize) -> u32 {
        self.read32(offset)
    }

    fn write8(&self, offset: usize, value: u8) {
        self.write8(offset, value);
    }

    #[inline]
    fn write16(&self, offset: usize, value: u16) {
        self.write16(offset, value);
    }

    fn write32(&self, offset: usize, value: u32) {
        self.write32(offset, value);
    }

    fn register(&self, offset: usize) -> Option<Registers> {
        self.part(offset, 2)
    }
}
