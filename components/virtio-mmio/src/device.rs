//! One device behind its registers: reset, negotiation, queues, doorbells, configuration.

use crate::wire::{CONFIG_CHANGED, MAGIC, VERSION, register, status};
use waitless::QueueMemory;
use waitless::device::{Doorbell, Registers};

/// How often a reset is waited for. One read leaves the guest and takes 0.1 µs at the least.
const RESET_READS_MAX: u32 = 1_000_000;

/// How often a device is asked in a row why it interrupted.
const REASONS_MAX: u32 = 4;

/// How often a value of the configuration is read until it stands still.
const CONFIG_READS_MAX: u32 = 16;

/// The most queues that are looked after. A network card with a pair for each of 64 cores has 129.
const QUEUES_MAX: u16 = 256;

/// Words of features. To QEMU, each number of a word above 0 means word 1, so a third would
/// overwrite the second, and with it that the driver knows virtio 1.
const WORDS: u32 = 2;

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A device of this type that can be used.
    Device(u16),
    /// A place for a device, and none in it.
    Empty,
    /// A device that speaks another version of the interface.
    Version(u32),
    /// Something else, or nothing: its first register holds this.
    Stranger(u32),
}

/// A device and what was set up of it.
pub(crate) struct Device {
    registers: Registers,
    /// The configuration's generation when it was last looked at.
    generation: u32,
    /// Whether an interrupt said that the configuration changed, and nobody asked since.
    changed: bool,
}

impl Device {
    pub(crate) fn new(registers: Registers) -> Self {
        Self { registers, generation: 0, changed: false }
    }

    /// What is there (section 4.2.2.2): the magic comes first, then the version, then the type.
    pub(crate) fn found(&self) -> Found {
        let magic = self.read(register::MAGIC);
        let version = self.read(register::VERSION);
        match (magic, version, self.read(register::DEVICE)) {
            (MAGIC, _, 0) => Found::Empty,
            (MAGIC, VERSION, kind) => u16::try_from(kind).map_or(Found::Empty, Found::Device),
            (MAGIC, version, _) => Found::Version(version),
            (other, ..) => Found::Stranger(other),
        }
    }

    /// Resets the device and waits for it to say so. `false` when it does not, in time.
    pub(crate) fn reset(&mut self) -> bool {
        self.write(register::STATUS, 0);
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
        self.write(register::STATUS, status::ACKNOWLEDGE);
        self.write(register::STATUS, status::ACKNOWLEDGE | status::DRIVER);
    }

    /// Bits 0 to 63: more words are not asked for.
    pub(crate) fn features(&mut self) -> u128 {
        (0..WORDS).fold(0, |features, word| {
            self.write(register::DEVICE_FEATURES_SELECT, word);
            features | u128::from(self.read(register::DEVICE_FEATURES)) << (32 * word)
        })
    }

    pub(crate) fn accept(&mut self, features: u128) -> bool {
        for word in 0..WORDS {
            self.write(register::DRIVER_FEATURES_SELECT, word);
            self.write(register::DRIVER_FEATURES, (features >> (32 * word)) as u32);
        }
        self.write(register::STATUS, self.status() | status::FEATURES_OK);
        self.status() & (status::FEATURES_OK | status::FAILED) == status::FEATURES_OK
    }

    /// The device does not say how many queues it has: they are those that have a size.
    pub(crate) fn queues(&mut self) -> u16 {
        (0..QUEUES_MAX).find(|queue| self.queue_size(*queue) == 0).unwrap_or(QUEUES_MAX)
    }

    pub(crate) fn queue_size(&mut self, queue: u16) -> u16 {
        if queue >= QUEUES_MAX {
            return 0;
        }
        self.write(register::QUEUE_SELECT, queue.into());
        let size = self.read(register::QUEUE_SIZE_MAX);
        // The standard allows 32768 entries; whoever says more is gone, or broken.
        if size <= 0x8000 { size as u16 } else { 0 }
    }

    /// Sets a queue up (section 4.2.3.2). `false` when the device refuses.
    pub(crate) fn enable_queue(&mut self, queue: u16, memory: QueueMemory) -> bool {
        // Selects the queue, too.
        if self.queue_size(queue) < memory.size || self.read(register::QUEUE_READY) != 0 {
            return false;
        }
        self.write(register::QUEUE_SIZE, memory.size.into());
        self.write64(register::QUEUE_DESCRIPTORS, memory.descriptors);
        self.write64(register::QUEUE_AVAILABLE, memory.available);
        self.write64(register::QUEUE_USED, memory.used);
        self.write(register::QUEUE_READY, 1);
        self.read(register::QUEUE_READY) == 1
    }

    /// Makes the device live.
    pub(crate) fn start(&mut self) {
        self.config_changed();
        self.write(register::STATUS, self.status() | status::DRIVER_OK);
    }

    /// Resets the device, and says that it was given up. `false` when it did not obey.
    pub(crate) fn fail(&mut self) -> bool {
        let quiet = self.reset();
        self.write(register::STATUS, status::ACKNOWLEDGE | status::FAILED);
        quiet
    }

    /// Whether it is not what it was: it wants a reset, was reset, or is gone (all ones).
    pub(crate) fn needs_reset(&self) -> bool {
        let alive = status::DRIVER_OK | status::NEEDS_RESET;
        self.status() & alive != status::DRIVER_OK
    }

    pub(crate) fn config8(&self, offset: usize) -> u8 {
        self.registers.read8(register::CONFIG.saturating_add(offset))
    }

    pub(crate) fn config16(&self, offset: usize) -> u16 {
        self.unchanged(|| self.registers.read16(register::CONFIG.saturating_add(offset)))
    }

    pub(crate) fn config32(&self, offset: usize) -> u32 {
        self.unchanged(|| self.registers.read32(register::CONFIG.saturating_add(offset)))
    }

    /// Lets go of the interrupt line, if the device holds it, so that the next news raises it
    /// again. What the line has told so far is in the queues and in the configuration.
    ///
    /// A reason that comes between the look and the answer holds the line still, so there is
    /// another look: whoever waits for an edge would wait in vain. `true` when it has told that the
    /// configuration changed.
    pub(crate) fn release_line(&mut self) -> bool {
        let (mut all, mut rests) = (0, false);
        for _ in 0..REASONS_MAX {
            let reasons = self.read(register::INTERRUPT_STATUS);
            // All ones: it is gone, and holds nothing.
            rests = reasons == 0 || reasons == u32::MAX;
            if rests {
                break;
            }
            all |= reasons;
            self.write(register::INTERRUPT_ACKNOWLEDGE, reasons);
        }
        let changed = all & CONFIG_CHANGED != 0;
        self.changed |= changed;
        // What a device says that does not come to rest is looked at some time, and at no other.
        changed && rests
    }

    /// Some devices tell by an interrupt alone, others by the generation, many by both.
    pub(crate) fn config_changed(&mut self) -> bool {
        self.release_line();
        let generation = self.read(register::GENERATION);
        let before = core::mem::replace(&mut self.generation, generation);
        core::mem::take(&mut self.changed) | (generation != before)
    }

    /// Rings the doorbell, which is one for all queues (section 4.2.3.3).
    #[inline]
    pub(crate) fn notify(&self, queue: u16) {
        self.write(register::QUEUE_NOTIFY, queue.into());
    }

    /// What [`notify`](Self::notify) writes, and where.
    pub(crate) fn doorbell(&self, queue: u16) -> Option<Doorbell> {
        let register = self.registers.part(register::QUEUE_NOTIFY, 4)?;
        Some(Doorbell::wide(register, queue.into()))
    }

    /// Reads until no change came between (section 2.5.1), or for so long that no value of a
    /// device so restless is better than another.
    fn unchanged<T>(&self, read: impl Fn() -> T) -> T {
        let mut before = self.read(register::GENERATION);
        for _ in 1..CONFIG_READS_MAX {
            let value = read();
            let after = self.read(register::GENERATION);
            if before == after {
                return value;
            }
            before = after;
        }
        read()
    }

    fn status(&self) -> u32 {
        self.read(register::STATUS)
    }

    fn read(&self, offset: usize) -> u32 {
        self.registers.read32(offset)
    }

    #[inline]
    fn write(&self, offset: usize, value: u32) {
        self.registers.write32(offset, value);
    }

    fn write64(&self, offset: usize, value: u64) {
        self.write(offset, value as u32);
        self.write(offset + 4, (value >> 32) as u32);
    }
}
