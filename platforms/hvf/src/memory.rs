//! The guest's memory as devices reach it: by guest addresses, checked.
//!
//! The guest is not trusted: it writes its memory whenever it likes, also while a device reads
//! it. So nothing here makes references into guest memory; bytes are copied, and the few words
//! that order accesses between guest and device are atomic.

#![allow(unsafe_code, reason = "the guest's memory is shared with the guest")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// An access that is not inside the guest's memory, or not aligned where it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outside {
    /// Where it begins.
    pub address: u64,
    /// How many bytes it spans.
    pub length: usize,
}

impl std::fmt::Display for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes at {:#x} are not in the guest's memory", self.length, self.address)
    }
}

impl std::error::Error for Outside {}

/// The guest's memory: a few regions that do not overlap.
#[derive(Debug)]
pub struct Memory {
    regions: Vec<Region>,
}

#[derive(Debug)]
struct Region {
    start: u64,
    length: usize,
    base: NonNull<u8>,
}

// SAFETY: the regions are valid for as long as the value lives, whatever thread uses it; they are
// accessed by copies and atomics only, never by references, and whatever bytes race with the
// guest's own writes are the guest's problem: any value of them is a valid one here.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// No memory yet.
    pub const fn new() -> Self {
        Self { regions: Vec::new() }
    }

    /// Adds the region of `length` bytes at the guest's address `start`, which lies at `base`
    /// here.
    ///
    /// # Safety
    /// For as long as this value lives, `base` is valid for reads and writes of `length` bytes
    /// from any thread, is aligned to 2 bytes if `start` is, and no Rust object that anybody
    /// holds a reference to lies there.
    ///
    /// # Panics
    /// When it overlaps another region or the end of the address space, or is aligned otherwise
    /// than `start`: who sets a machine up knows better.
    pub unsafe fn add(&mut self, start: u64, base: NonNull<u8>, length: usize) {
        let end = start.checked_add(length as u64).expect("a region inside of 64 bits");
        let apart = |other: &Region| end <= other.start || other.end() <= start;
        assert!(self.regions.iter().all(apart), "regions overlap");
        assert_eq!(base.as_ptr() as u64 % 8, start % 8, "aligned alike");
        self.regions.push(Region { start, length, base });
    }

    /// Copies bytes out of the guest's memory.
    ///
    /// # Errors
    /// When they do not all lie in one region.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Outside> {
        let at = self.at(address, bytes.len())?;
        // SAFETY: `at` is valid for that many bytes, which lie in no Rust object, so not in
        // `bytes` either.
        unsafe { at.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies bytes into the guest's memory.
    ///
    /// # Errors
    /// When they do not all fit into one region.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Outside> {
        let at = self.at(address, bytes.len())?;
        // SAFETY: as in `read`.
        unsafe { at.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Whether so many bytes at `address` are in the guest's memory.
    ///
    /// # Errors
    /// When they do not all lie in one region.
    pub fn check(&self, address: u64, length: usize) -> Result<(), Outside> {
        self.at(address, length).map(drop)
    }

    /// Reads a fixed number of bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn array<const N: usize>(&self, address: u64) -> Result<[u8; N], Outside> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads 16 bits that the guest publishes: what it wrote before is seen by reads after this.
    ///
    /// # Errors
    /// When they are outside of the guest's memory or not aligned.
    pub fn acquire(&self, address: u64) -> Result<u16, Outside> {
        Ok(u16::from_le(self.atomic(address)?.load(Ordering::Acquire)))
    }

    /// Writes 16 bits that publish everything written before to the guest.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn publish(&self, address: u64, value: u16) -> Result<(), Outside> {
        self.atomic(address)?.store(value.to_le(), Ordering::Release);
        Ok(())
    }

    fn atomic(&self, address: u64) -> Result<&AtomicU16, Outside> {
        let at = self.at(address, 2)?.cast::<u16>();
        if !at.is_aligned() {
            return Err(Outside { address, length: 2 });
        }
        // SAFETY: aligned, valid for as long as `self` lives, and whoever else writes there
        // writes both bytes at once, as the architecture guarantees for aligned halfwords.
        Ok(unsafe { AtomicU16::from_ptr(at.as_ptr()) })
    }

    fn at(&self, address: u64, length: usize) -> Result<NonNull<u8>, Outside> {
        for region in &self.regions {
            let Some(offset) = address.checked_sub(region.start) else { continue };
            let Ok(offset) = usize::try_from(offset) else { continue };
            if offset <= region.length && length <= region.length - offset {
                // SAFETY: inside the region, or one past its end when nothing is accessed.
                return Ok(unsafe { region.base.add(offset) });
            }
        }
        Err(Outside { address, length })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Region {
    fn end(&self) -> u64 {
        self.start + self.length as u64
    }
}

/// Plain memory that stands in for a guest's, for tests: `length` bytes at the guest's address
/// `start`, zeroed, never given back.
pub fn plain(start: u64, length: usize) -> Memory {
    let mut memory = Memory::new();
    let words = vec![0u64; length.div_ceil(8)].leak();
    // SAFETY: the words live for ever, are aligned to 8 bytes, and the only reference to them
    // ends here.
    unsafe { memory.add(start, NonNull::from(words).cast(), length) };
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_outside() {
        let memory = plain(0x1000, 64);
        memory.write(0x1010, b"abc").unwrap();
        assert_eq!(memory.array(0x1010), Ok(*b"abc"));
        assert_eq!(memory.array(0x100f), Ok(*b"\0abc\0"));
        for (address, length) in [(0xfff, 2), (0x103f, 2), (0x1040, 1), (u64::MAX, 2), (0, 64)] {
            assert_eq!(memory.check(address, length), Err(Outside { address, length }));
        }
        assert_eq!(memory.check(0x1040, 0), Ok(()), "nothing is accessed");
        assert_eq!(memory.check(0x1000, usize::MAX).map_err(|e| e.address), Err(0x1000));
    }

    #[test]
    fn indices_are_aligned_and_little_endian() {
        let memory = plain(0x1000, 16);
        memory.publish(0x1002, 0x1234).unwrap();
        assert_eq!(memory.array(0x1002), Ok([0x34, 0x12]));
        assert_eq!(memory.acquire(0x1002), Ok(0x1234));
        assert!(memory.acquire(0x1001).is_err() && memory.publish(0x1010, 0).is_err());
    }

    #[test]
    #[should_panic(expected = "regions overlap")]
    fn regions_do_not_overlap() {
        let mut memory = plain(0x1000, 64);
        let word = Box::leak(Box::new(0u64));
        // SAFETY: a word that lives for ever, and is referred to by nobody else.
        unsafe { memory.add(0x1038, NonNull::from(word).cast(), 8) };
    }
}
