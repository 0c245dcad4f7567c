//! What drivers reach hardware through: the platform's services, device registers, DMA memory.
//!
//! A driver above this file needs no `unsafe`: register and memory accesses are checked against
//! the region they belong to, and are volatile.

#![allow(unsafe_code, reason = "registers and DMA memory are shared with devices")]

use crate::boot::Said;
use crate::{Instant, Protocol};
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering, fence};

/// What the lowest components may ask of the hardware or host below them, at start-up.
/// A platform without the thing in question answers `None`.
pub trait Platform: Sync {
    /// Its name: `qemu`, `native`, …
    fn name(&self) -> &'static str;

    /// What number `index`, from 0 without gaps, of those who can say something at boot said, who
    /// counts most last; `None` behind the last. [`boot`](crate::boot) understands it.
    fn said_at_boot(&self, index: usize) -> Option<Said<'_>> {
        let _ = index;
        None
    }

    /// Seconds since 1970-01-01 00:00 UTC at the instant `now`, where it has a wall clock.
    fn wall_clock(&self, now: Instant) -> Option<u64> {
        let _ = now;
        None
    }

    /// Reads a 32-bit register of a PCI function's configuration space; `None` where there is
    /// no PCI. `offset` is a multiple of 4 below 4096 (256 without extended configuration).
    fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        let _ = (function, offset);
        None
    }

    /// Writes a 32-bit register of a PCI function's configuration space.
    fn pci_write(&self, function: PciAddress, offset: u16, value: u32) {
        let _ = (function, offset, value);
    }

    /// Physical addresses that PCI functions' registers may be given: the first and how many.
    /// Only where no firmware gave them theirs.
    fn pci_window(&self) -> Option<(u64, u64)> {
        None
    }

    /// Maps `length` bytes of device registers at the physical address `address`, uncached.
    fn map(&self, address: u64, length: usize) -> Option<Registers> {
        let _ = (address, length);
        None
    }

    /// Zeroed memory of `length` bytes, contiguous for a device, aligned to 4096 bytes, never
    /// given back.
    fn dma(&self, length: usize) -> Option<Dma> {
        let _ = length;
        None
    }

    /// What a device must write where to interrupt `core`; the handler only wakes the core.
    fn message_interrupt(&self, core: usize) -> Option<MessageInterrupt> {
        let _ = core;
        None
    }

    /// Interrupts the sleep of `core`, or its next one if it does not sleep yet.
    fn wake(&self, core: usize) {
        let _ = core;
    }

    /// Place number `index`, from 0 without gaps, at which the registers of a virtio device may
    /// be, as the firmware or the loader says; `None` behind the last. Nothing need be there.
    fn mmio_device(&self, index: usize) -> Option<MmioDevice> {
        let _ = index;
        None
    }

    /// Lets `line` interrupt `core` whenever it rises; the handler only wakes the core. A device
    /// that holds its line up until it is told that it was heard must be told so before the core
    /// sleeps again. That makes a line which others share unusable. `false` where the line or the
    /// core cannot be reached.
    fn route_line(&self, line: u32, core: usize) -> bool {
        let _ = (line, core);
        false
    }

    /// The port of the host that stands for the image's own `port` of the transport `protocol`,
    /// where the host's network serves the image. A platform that maps ports also remembers what
    /// was asked for, so that it can tell the user where to find it; elsewhere they are equal.
    fn host_port(&self, protocol: Protocol, port: u16) -> u16 {
        let _ = protocol;
        port
    }

    /// Wakes the core's sleep when the file descriptor becomes readable. Native platforms only;
    /// `false` where there are none or no more fit.
    fn wake_on(&self, descriptor: i32) -> bool {
        let _ = descriptor;
        false
    }
}

/// A PCI function: segment 0, bus, device (0 to 31) and function (0 to 7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct PciAddress {
    /// The bus, 0 to 255.
    pub bus: u8,
    /// The device on the bus, 0 to 31.
    pub device: u8,
    /// The function of the device, 0 to 7.
    pub function: u8,
}

/// The memory write with which a device interrupts (MSI-X).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageInterrupt {
    /// Where to write.
    pub address: u64,
    /// What to write.
    pub data: u32,
}

/// A device at a fixed place, not on a bus that can be asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmioDevice {
    /// Where its registers start: a physical address.
    pub address: u64,
    /// Bytes of registers.
    pub length: usize,
    /// The wire by which it interrupts, where that is known and the device's alone: a number, as
    /// the platform counts (a global system interrupt, or the id of a shared peripheral's).
    pub line: Option<u32>,
}

/// A mapped region of device registers. Accesses outside it, or not aligned to their size, read
/// all ones and write nothing, as a bus without a device would.
#[derive(Debug)]
pub struct Registers {
    base: NonNull<u8>,
    length: usize,
    /// Whether only this thread may reach them.
    local: bool,
    /// What answers instead of memory, and where in it this region starts.
    #[cfg(not(target_os = "none"))]
    model: Option<(&'static dyn Model, usize)>,
}

/// A device in software whose registers do something when they are accessed: what a driver is
/// tested against in one process. There is none in images.
#[cfg(not(target_os = "none"))]
pub trait Model: core::fmt::Debug {
    /// The register of `size` bytes (1, 2, 4 or 8) at `offset`, a multiple of `size`.
    fn read(&self, offset: usize, size: usize) -> u64;
    /// Writes that register.
    fn write(&self, offset: usize, size: usize, value: u64);
}

/// What a register holds.
trait Word: Copy {
    #[cfg(not(target_os = "none"))]
    fn of(bits: u64) -> Self;
    #[cfg(not(target_os = "none"))]
    fn bits(self) -> u64;

    /// Reads a register.
    ///
    /// # Safety
    /// `at` is aligned, and valid for volatile reads.
    unsafe fn load(at: NonNull<Self>) -> Self;

    /// Writes a register.
    ///
    /// # Safety
    /// `at` is aligned, and valid for volatile writes.
    unsafe fn store(at: NonNull<Self>, value: Self);
}

/// On AArch64 in images, registers are read and written by the one form of an instruction that
/// every hypervisor can emulate: a single register, and no change of the address.
macro_rules! words {
    ($($word:ty, $load:literal, $store:literal);+) => {
        $(impl Word for $word {
            #[cfg(not(target_os = "none"))]
            fn of(bits: u64) -> Self {
                bits as Self
            }
            #[cfg(not(target_os = "none"))]
            fn bits(self) -> u64 {
                self.into()
            }
            #[inline]
            unsafe fn load(at: NonNull<Self>) -> Self {
                #[cfg(all(target_os = "none", target_arch = "aarch64"))]
                {
                    let value: Self;
                    // SAFETY: the caller vouches for the address.
                    unsafe {
                        core::arch::asm!($load, out(reg) value, in(reg) at.as_ptr(),
                            options(nostack, preserves_flags));
                    }
                    value
                }
                #[cfg(not(all(target_os = "none", target_arch = "aarch64")))]
                // SAFETY: the caller vouches for the address.
                unsafe {
                    at.read_volatile()
                }
            }
            #[inline]
            unsafe fn store(at: NonNull<Self>, value: Self) {
                #[cfg(all(target_os = "none", target_arch = "aarch64"))]
                // SAFETY: the caller vouches for the address.
                unsafe {
                    core::arch::asm!($store, in(reg) value, in(reg) at.as_ptr(),
                        options(nostack, preserves_flags));
                }
                #[cfg(not(all(target_os = "none", target_arch = "aarch64")))]
                // SAFETY: the caller vouches for the address.
                unsafe {
                    at.write_volatile(value);
                }
            }
        })+
    };
}

words!(
    u8, "ldrb {0:w}, [{1}]", "strb {0:w}, [{1}]";
    u16, "ldrh {0:w}, [{1}]", "strh {0:w}, [{1}]";
    u32, "ldr {0:w}, [{1}]", "str {0:w}, [{1}]";
    u64, "ldr {0:x}, [{1}]", "str {0:x}, [{1}]"
);

impl Registers {
    /// The registers at `base`.
    ///
    /// # Safety
    /// For as long as the image runs, `base` is valid for volatile reads and writes of `length`
    /// bytes, is aligned to 8 bytes, and is no memory that Rust objects live in.
    pub const unsafe fn new(base: NonNull<u8>, length: usize) -> Self {
        Self {
            base,
            length,
            local: false,
            #[cfg(not(target_os = "none"))]
            model: None,
        }
    }

    /// `length` bytes of registers that `model` answers for.
    #[cfg(not(target_os = "none"))]
    pub const fn modelled(model: &'static dyn Model, length: usize) -> Self {
        Self { base: NonNull::dangling(), length, local: true, model: Some((model, 0)) }
    }

    /// Plain memory that stands in for registers, for a device model. Nobody else reaches it
    /// but through cells, and neither they nor the registers leave this thread.
    pub const fn over(memory: &'static [Cell<u64>]) -> Self {
        // SAFETY: the cells are valid, aligned to 8 bytes, live as long as the image, allow
        // writes through a shared reference, and any bytes make a valid u64. They are not for
        // other threads, and `hand_over` lets nobody take them there.
        let all = unsafe { Self::new(NonNull::from_ref(memory).cast(), size_of_val(memory)) };
        Self { local: true, ..all }
    }

    /// Zeroed memory of `length` bytes on the heap that stands in for registers, never given back.
    pub fn leak(length: usize) -> Self {
        let words = alloc::vec![0u64; length.div_ceil(8)];
        // SAFETY: the memory is valid for as long as the image runs, aligned to 8 bytes, and
        // nobody has another reference to it.
        unsafe { Self::new(NonNull::from_mut(alloc::vec::Vec::leak(words)).cast(), length) }
    }

    /// Lets another core have them. `None` for memory that belongs to a thread.
    pub fn hand_over(self) -> Option<HandedOver<Self>> {
        (!self.local).then_some(HandedOver(self))
    }

    /// How many bytes there are.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The part of `length` bytes at `offset`; `None` when it is not inside this region or not
    /// aligned to 2 bytes.
    pub fn part(&self, offset: usize, length: usize) -> Option<Self> {
        let end = offset.checked_add(length)?;
        if end > self.length || !offset.is_multiple_of(2) {
            return None;
        }
        #[cfg(not(target_os = "none"))]
        if let Some((model, start)) = self.model {
            let model = Some((model, start + offset));
            return Some(Self { base: self.base, length, local: self.local, model });
        }
        // SAFETY: `offset <= self.length`, so the pointer stays within or one past the region,
        // whose properties hold for its part, but for the alignment, which each access checks.
        let part = unsafe { Self::new(self.base.add(offset), length) };
        Some(Self { local: self.local, ..part })
    }

    /// Reads 8 bits.
    pub fn read8(&self, offset: usize) -> u8 {
        self.read(offset).unwrap_or(u8::MAX)
    }

    /// Reads 16 bits.
    pub fn read16(&self, offset: usize) -> u16 {
        self.read(offset).unwrap_or(u16::MAX)
    }

    /// Reads 32 bits.
    pub fn read32(&self, offset: usize) -> u32 {
        self.read(offset).unwrap_or(u32::MAX)
    }

    /// Reads 64 bits at once, of a device that may not be read in halves.
    pub fn read64(&self, offset: usize) -> u64 {
        self.read(offset).unwrap_or(u64::MAX)
    }

    /// Writes 8 bits.
    pub fn write8(&self, offset: usize, value: u8) {
        self.write(offset, value);
    }

    /// Writes 16 bits.
    #[inline]
    pub fn write16(&self, offset: usize, value: u16) {
        self.write(offset, value);
    }

    /// Writes 32 bits.
    #[inline]
    pub fn write32(&self, offset: usize, value: u32) {
        self.write(offset, value);
    }

    /// Writes 64 bits at once, to a device that may not be written in halves.
    pub fn write64(&self, offset: usize, value: u64) {
        self.write(offset, value);
    }

    fn read<T: Word>(&self, offset: usize) -> Option<T> {
        #[cfg(not(target_os = "none"))]
        if let Some((model, start)) = self.model {
            let answer = || T::of(model.read(start + offset, size_of::<T>()));
            return self.holds::<T>(start, offset).then(answer);
        }
        let at = self.at::<T>(offset)?;
        // SAFETY: `at` is aligned and inside a region that is valid for volatile reads.
        Some(unsafe { T::load(at) })
    }

    #[inline]
    fn write<T: Word>(&self, offset: usize, value: T) {
        #[cfg(not(target_os = "none"))]
        if let Some((model, start)) = self.model {
            if self.holds::<T>(start, offset) {
                model.write(start + offset, size_of::<T>(), value.bits());
            }
            return;
        }
        if let Some(at) = self.at::<T>(offset) {
            // SAFETY: `at` is aligned and inside a region that is valid for volatile writes.
            unsafe { T::store(at, value) };
        }
    }

    /// Whether a model, of which this begins at `start`, has an aligned register of this size at
    /// `offset`.
    #[cfg(not(target_os = "none"))]
    fn holds<T>(&self, start: usize, offset: usize) -> bool {
        let end = offset.checked_add(size_of::<T>());
        end.is_some_and(|end| end <= self.length) && (start + offset).is_multiple_of(size_of::<T>())
    }

    #[inline]
    fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        // SAFETY: checked to be inside the region before the pointer is used.
        let at = (end <= self.length).then(|| unsafe { self.base.add(offset) }.cast::<T>())?;
        at.is_aligned().then_some(at)
    }
}

/// Memory that a device reads and writes on its own. Accesses are volatile and checked like
/// those of [`Registers`]; order between them is made with [`publish16`](Self::publish16),
/// [`acquire16`](Self::acquire16) and [`full_barrier`].
#[derive(Debug)]
pub struct Dma {
    memory: Registers,
    address: u64,
}

impl Dma {
    /// The memory at `base`, which devices find at `address`.
    ///
    /// # Safety
    /// As for [`Registers::new`]; and `address` is where devices find `base`.
    pub const unsafe fn new(base: NonNull<u8>, length: usize, address: u64) -> Self {
        // SAFETY: the caller vouches for the same things.
        Self { memory: unsafe { Registers::new(base, length) }, address }
    }

    /// Plain memory that a device model finds at `address`; see [`Registers::over`].
    pub const fn over(memory: &'static [Cell<u64>], address: u64) -> Self {
        Self { memory: Registers::over(memory), address }
    }

    /// Zeroed memory of `length` bytes on the heap, never given back, which a device model finds
    /// at its own address.
    pub fn leak(length: usize) -> Self {
        let memory = Registers::leak(length);
        let address = memory.base.as_ptr().expose_provenance() as u64;
        Self { memory, address }
    }

    /// Lets another core have it. `None` for memory that belongs to a thread.
    pub fn hand_over(self) -> Option<HandedOver<Self>> {
        (!self.memory.local).then_some(HandedOver(self))
    }

    /// Where devices find this memory.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes there are.
    pub fn length(&self) -> usize {
        self.memory.length
    }

    /// The part of `length` bytes at `offset`; `None` when it is not inside this memory or not
    /// aligned to 2 bytes.
    pub fn part(&self, offset: usize, length: usize) -> Option<Self> {
        let memory = self.memory.part(offset, length)?;
        Some(Self { memory, address: self.address + offset as u64 })
    }

    /// Reads 16 bits; 0 outside.
    #[inline]
    pub fn read16(&self, offset: usize) -> u16 {
        self.memory.read(offset).unwrap_or(0)
    }

    /// Reads 32 bits; 0 outside.
    #[inline]
    pub fn read32(&self, offset: usize) -> u32 {
        self.memory.read(offset).unwrap_or(0)
    }

    /// Reads 64 bits; 0 outside.
    #[inline]
    pub fn read64(&self, offset: usize) -> u64 {
        self.memory.read(offset).unwrap_or(0)
    }

    /// Reads 16 bits that a device publishes: what it wrote before is seen by reads after this.
    #[inline]
    pub fn acquire16(&self, offset: usize) -> u16 {
        let Some(at) = self.memory.at::<u16>(offset) else { return 0 };
        // SAFETY: `at` is aligned and valid; the device's writes to it are atomic.
        unsafe { AtomicU16::from_ptr(at.as_ptr()) }.load(Ordering::Acquire)
    }

    /// Writes 16 bits that publish everything written before to a device.
    #[inline]
    pub fn publish16(&self, offset: usize, value: u16) {
        let Some(at) = self.memory.at::<u16>(offset) else { return };
        // SAFETY: `at` is aligned and valid; the device's reads of it are atomic.
        unsafe { AtomicU16::from_ptr(at.as_ptr()) }.store(value, Ordering::Release);
    }

    /// Writes 16 bits.
    #[inline]
    pub fn write16(&self, offset: usize, value: u16) {
        self.memory.write(offset, value);
    }

    /// Writes 32 bits.
    #[inline]
    pub fn write32(&self, offset: usize, value: u32) {
        self.memory.write(offset, value);
    }

    /// Writes 64 bits.
    #[inline]
    pub fn write64(&self, offset: usize, value: u64) {
        self.memory.write(offset, value);
    }
}

/// Registers or memory of a device on their way to another core, which will be the one to use them.
#[derive(Debug)]
pub struct HandedOver<T>(T);

// SAFETY: what registers and DMA memory reach is the same from every core, every access to it is
// volatile or atomic, and `hand_over` has refused what is not for other threads.
unsafe impl Send for HandedOver<Registers> {}
// SAFETY: as above.
unsafe impl Send for HandedOver<Dma> {}
// SAFETY: a doorbell is a register.
unsafe impl Send for HandedOver<Doorbell> {}

impl<T> HandedOver<T> {
    /// What was handed over.
    pub fn take(self) -> T {
        self.0
    }
}

/// How a driver tells a device of news: a value that is written to one register. Whoever has it
/// may ring on any core.
#[derive(Debug)]
pub struct Doorbell {
    register: Registers,
    value: u32,
    /// Whether 32 bits are written instead of 16.
    wide: bool,
}

impl Doorbell {
    /// Rings by 16 bits at the start of `register`.
    pub fn narrow(register: Registers, value: u16) -> Self {
        Self { register, value: value.into(), wide: false }
    }

    /// Rings by 32 bits at the start of `register`.
    pub fn wide(register: Registers, value: u32) -> Self {
        Self { register, value, wide: true }
    }

    /// Tells the device. Costs an exit to the hypervisor.
    #[inline]
    pub fn ring(&self) {
        if self.wide {
            self.register.write32(0, self.value);
        } else {
            self.register.write16(0, self.value as u16);
        }
    }

    /// Lets another core have it. `None` for a register that belongs to a thread.
    pub fn hand_over(self) -> Option<HandedOver<Self>> {
        (!self.register.local).then_some(HandedOver(self))
    }
}

/// A full barrier: all accesses before it, reads and writes, happen before all after it. What a
/// driver needs between publishing an index and looking at the other side's.
#[inline]
pub fn full_barrier() {
    fence(Ordering::SeqCst);
    // QEMU before 8.1 emulates a single core without any barrier, although its devices run in
    // another thread; news got lost there within seconds of load. To read the time stamp it takes
    // a lock, and that is a full barrier of the host's.
    #[cfg(all(target_os = "none", target_arch = "x86_64"))]
    // SAFETY: every 64-bit processor has the instruction, and images forbid it nowhere.
    unsafe {
        core::arch::asm!("rdtsc", out("eax") _, out("edx") _, options(nostack, preserves_flags));
    }
    // The same, where the counter of time is what takes a lock.
    #[cfg(all(target_os = "none", target_arch = "aarch64"))]
    // SAFETY: reading the counter changes nothing, and images run where it can be read.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) _, options(nostack, preserves_flags));
    }
}

/// The processor's counter of time, for measuring: cycles of the time stamp counter, on 64-bit Arm
/// ticks of the generic timer, elsewhere always 0. It may differ from core to core.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every 64-bit processor has the instruction, and nobody forbids it: images run where
    // it is allowed, and systems let their processes read it.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let count: u64;
        // SAFETY: reading the counter changes nothing, images run where it can be read, and systems
        // let their processes read it.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack));
        }
        count
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;

    fn cells(count: usize) -> &'static [Cell<u64>] {
        Box::leak((0..count).map(|_| Cell::new(0)).collect())
    }

    #[test]
    fn accesses_outside_or_unaligned_touch_nothing() {
        let memory = cells(2);
        let registers = Registers::over(memory);
        registers.write32(12, 0x1234_5678);
        registers.write32(13, 1);
        registers.write32(16, 1);
        registers.write16(usize::MAX, 1);
        assert_eq!((memory[0].get(), memory[1].get()), (0, 0x1234_5678 << 32));
        assert_eq!(registers.read16(12), 0x5678);
        assert_eq!(registers.read16(13), u16::MAX);
        assert_eq!(registers.read32(16), u32::MAX);
        assert_eq!(registers.read8(16), u8::MAX);
    }

    #[test]
    fn a_part_stays_inside_its_whole() {
        let registers = Registers::over(cells(2));
        assert_eq!(registers.part(8, 8).map(|part| part.length()), Some(8));
        assert!(registers.part(8, 9).is_none());
        assert!(registers.part(3, 2).is_none(), "not aligned to 2");
        let part = registers.part(2, 6).map(|part| (part.read16(0), part.read32(0)));
        assert_eq!(part, Some((0, u32::MAX)), "it gives what is aligned, and nothing else");
        assert!(registers.part(4, usize::MAX).is_none());
        let dma = Dma::over(cells(2), 0x1000);
        assert_eq!(dma.part(8, 8).map(|part| part.address()), Some(0x1008));
    }

    /// Answers with where it was asked.
    #[derive(Debug, Default)]
    struct Echo(Cell<(usize, usize, u64)>);

    impl Model for Echo {
        fn read(&self, offset: usize, size: usize) -> u64 {
            (offset * 16 + size) as u64
        }

        fn write(&self, offset: usize, size: usize, value: u64) {
            self.0.set((offset, size, value));
        }
    }

    #[test]
    fn a_model_answers_within_its_registers_and_nowhere_else() {
        let model: &'static Echo = Box::leak(Box::default());
        let registers = Registers::modelled(model, 0x20);
        assert_eq!((registers.read32(0x1c), registers.read8(0x1f)), (0x1c4, 0xf1));
        assert_eq!((registers.read32(0x20), registers.read16(3)), (u32::MAX, u16::MAX));
        let part = registers.part(0x10, 8).map(|part| (part.read16(4), part.read32(8)));
        assert_eq!(part, Some((0x142, u32::MAX)));
        let part = registers.part(2, 8).map(|part| (part.read32(2), part.read32(4)));
        assert_eq!(part, Some((0x44, u32::MAX)), "aligned for the model");
        registers.write16(6, 7);
        registers.write16(7, 8);
        registers.write32(0x20, 8);
        assert_eq!(model.0.get(), (6, 2, 7));
    }

    #[test]
    fn what_is_published_is_acquired() {
        let memory = cells(1);
        let (dma, same) = (Dma::over(memory, 0), Dma::over(memory, 0));
        dma.publish16(2, 7);
        full_barrier();
        assert_eq!((same.acquire16(2), same.read64(0)), (7, 7 << 16));
        dma.publish16(8, 1);
        assert_eq!(dma.acquire16(8), 0);
    }
}
