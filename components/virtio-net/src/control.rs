//! The control queue: one command at a time, and its answer (virtio 1.2 section 5.1.6.5).

use crate::queue::Places;
use waitless::device::{Dma, full_barrier};
use waitless::{Context, QueueMemory, VirtioDevice, VirtioPort};

/// Entries: one for a command, one for its answer.
const ENTRIES: u16 = 2;
/// The longest command.
pub(crate) const COMMAND_MAX: usize = 512;

/// Descriptor flags, in the upper half of a word.
const NEXT: u64 = 1 << 32;
const WRITE: u64 = 2 << 32;

/// What no device answers.
const NO_ANSWER: u32 = 0xff;
/// The answer: done.
const YES: u32 = 0;

/// How often an answer is looked for. Each look leaves the guest, and takes 0.1 µs at the least.
const LOOKS_MAX: u32 = 1_000_000;

/// A control queue that a device was given.
pub(crate) struct Control {
    memory: Dma,
    places: Places,
    number: u16,
    /// Commands so far.
    asked: u16,
}

impl Control {
    /// Makes queue `number` the control queue.
    pub(crate) fn enable(
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        number: u16,
        cx: &Context,
    ) -> Result<Self, &'static str> {
        if below.queue_size(device, number) < ENTRIES {
            return Err("the device lacks its control queue");
        }
        let places = Places::new(ENTRIES);
        let length = Self::command(&places) + COMMAND_MAX + 4;
        let memory = cx.platform().dma(length).ok_or("no memory for its control queue")?;
        let address = memory.address();
        let place = QueueMemory {
            size: ENTRIES,
            descriptors: address,
            available: address + places.available_flags as u64,
            used: address + places.used_flags as u64,
            core: 0,
        };
        if !below.enable_queue(device, number, place) {
            return Err("the device refuses its control queue");
        }
        Ok(Self { memory, places, number, asked: 0 })
    }

    /// Where the command lies; the answer follows.
    fn command(places: &Places) -> usize {
        places.end.next_multiple_of(64)
    }

    /// Gives the device, which is live, a command of at most [`COMMAND_MAX`] bytes. Whether it said
    /// yes.
    pub(crate) fn asks(
        &mut self,
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        command: &[u8],
    ) -> bool {
        let Some(_) = COMMAND_MAX.checked_sub(command.len()) else { return false };
        let (at, memory) = (Self::command(&self.places), &self.memory);
        for (index, bytes) in command.chunks(4).enumerate() {
            let mut word = [0; 4];
            word.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            memory.write32(at + 4 * index, u32::from_le_bytes(word));
        }
        let answer = at + COMMAND_MAX;
        memory.write32(answer, NO_ANSWER);
        let address = |offset: usize| memory.address() + offset as u64;
        memory.write64(0, address(at));
        memory.write64(8, command.len() as u64 | NEXT | 1 << 48);
        memory.write64(16, address(answer));
        memory.write64(24, 1 | WRITE);
        // Both places of the ring name the first entry.
        memory.write32(self.places.available_ring, 0);
        self.asked = self.asked.wrapping_add(1);
        memory.publish16(self.places.available_index, self.asked);
        full_barrier();
        for _ in 0..LOOKS_MAX {
            // Always, and again: that leaves the guest, and so gives an emulator time.
            below.notify(device, self.number);
            if memory.acquire16(self.places.used_index) == self.asked {
                return memory.read32(answer) & 0xff == YES;
            }
            if below.needs_reset(device) {
                return false;
            }
        }
        false
    }
}
