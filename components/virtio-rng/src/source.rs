//! A live device and its only queue, in which one buffer goes back and forth.

use waitless::device::{Dma, full_barrier};
use waitless::{Context, QueueMemory, VirtioDevice, VirtioPort};

/// The only queue.
const QUEUE: u16 = 0;
/// Entries of it. One would do; some devices want two.
const SIZE: u16 = 2;
/// VIRTIO_F_VERSION_1.
const VERSION_1: u128 = 1 << 32;
/// VIRTIO_F_ACCESS_PLATFORM: the device reaches memory as the platform says, which is what it is
/// given. A device that offers it may insist on it (virtio 1.2 section 6.1).
const ACCESS_PLATFORM: u128 = 1 << 33;
/// Descriptor flag: the device writes.
const WRITE: u64 = 2;

/// Where in the memory what is.
const AVAILABLE: usize = 64;
const USED: usize = 128;
const BUFFER: usize = 256;
const BUFFER_LENGTH: usize = 256;
const MEMORY: usize = BUFFER + BUFFER_LENGTH;

/// How often a device is asked for more. It may give as little as a byte at a time.
const REQUESTS_MAX: u32 = 1024;
/// How often it is looked for an answer, altogether. Each look leaves the guest, which takes a
/// microsecond or more and lets the hypervisor work.
const LOOKS_MAX: u32 = 200_000;

/// A device that gives bytes.
pub(crate) struct Source {
    device: VirtioDevice,
    memory: Dma,
    /// Buffers given to the device so far.
    given: u16,
    looks: u32,
    drawn: u64,
}

impl Source {
    /// Negotiates with a device that was just taken, and makes it live (section 3.1.1).
    pub(crate) fn start(
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        cx: &Context,
    ) -> Result<Self, &'static str> {
        let features = below.features(device) & (VERSION_1 | ACCESS_PLATFORM);
        if features & VERSION_1 == 0 {
            return Err("it offers no virtio 1.0");
        }
        if !below.accept(device, features) {
            return Err("it does not agree to virtio 1.0");
        }
        let memory = cx.platform().dma(MEMORY).ok_or("there is no memory for its queue")?;
        // Flags: no interrupts wanted.
        memory.write16(AVAILABLE, 1);
        let place = QueueMemory {
            size: SIZE,
            descriptors: memory.address(),
            available: memory.address() + AVAILABLE as u64,
            used: memory.address() + USED as u64,
            core: cx.core(),
        };
        if below.queue_size(device, QUEUE) < SIZE || !below.enable_queue(device, QUEUE, place) {
            return Err("it does not take a queue");
        }
        below.start(device);
        Ok(Self { device, memory, given: 0, looks: 0, drawn: 0 })
    }

    /// Fills `bytes`, as much at a time as the device likes to give.
    pub(crate) fn fill(
        &mut self,
        mut bytes: &mut [u8],
        below: &mut impl VirtioPort,
    ) -> Result<(), &'static str> {
        for _ in 0..REQUESTS_MAX {
            let count = self.ask(below, bytes.len().min(BUFFER_LENGTH))?;
            let (now, later) = bytes.split_at_mut(count);
            for (offset, byte) in now.iter_mut().enumerate() {
                *byte = self.byte(offset);
            }
            self.drawn += count as u64;
            if later.is_empty() {
                return Ok(());
            }
            bytes = later;
        }
        Err("it gives too little at a time")
    }

    /// Bytes that it gave so far.
    pub(crate) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Lets the device write up to `length` bytes. How many it wrote: at least one.
    fn ask(&mut self, below: &mut impl VirtioPort, length: usize) -> Result<usize, &'static str> {
        self.memory.write64(0, self.memory.address() + BUFFER as u64);
        self.memory.write64(8, length as u64 | WRITE << 32);
        self.memory.write16(AVAILABLE + 4 + 2 * usize::from(self.given % SIZE), 0);
        let place = USED + 4 + 8 * usize::from(self.given % SIZE);
        self.given = self.given.wrapping_add(1);
        self.memory.publish16(AVAILABLE + 2, self.given);
        full_barrier();
        below.notify(self.device, QUEUE);
        while self.looks < LOOKS_MAX {
            match self.memory.acquire16(USED + 2) {
                index if index == self.given => {
                    let (id, count) = (self.memory.read32(place), self.memory.read32(place + 4));
                    let count = count as usize;
                    let sound = id == 0 && (1..=length).contains(&count);
                    return if sound { Ok(count) } else { Err("it wrote what it was not given") };
                }
                index if index == self.given.wrapping_sub(1) => {}
                _ => return Err("it returned what it does not have"),
            }
            self.looks += 1;
            if below.needs_reset(self.device) {
                return Err("it says that it failed, or is gone");
            }
        }
        Err("it does not answer")
    }

    fn byte(&self, offset: usize) -> u8 {
        let pair = self.memory.read16(BUFFER + (offset & !1));
        pair.to_le_bytes()[offset & 1]
    }
}
