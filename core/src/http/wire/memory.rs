//! Memory that those at the other end fill: heads that do not stand in one packet, with a limit for
//! all of them, as who sends the beginning of one may keep it waiting and must not keep much; and
//! bodies and messages that are gathered, which there may not be enough for.

use super::NoMemory;
use crate::Pool;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::{Deref, DerefMut};

/// What all heads of one instance that are in memory may take together.
#[derive(Debug)]
pub struct Budget {
    left: Cell<usize>,
}

/// Bytes in memory. What they take is given back to their budget when they are dropped.
#[derive(Default, Debug)]
pub struct Memory {
    bytes: Box<[u8]>,
    budget: Option<&'static Budget>,
}

impl Budget {
    /// So many bytes, with [`OVERHEAD`] for each head.
    pub const fn new(bytes: usize) -> Self {
        Self { left: Cell::new(bytes) }
    }

    /// What is right beside the packets of `pool`: a kibibyte for each, half of what they take.
    pub fn beside(pool: Pool) -> Self {
        Self::new(pool.count().saturating_mul(1024))
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.left.get()
    }

    fn take(&self, bytes: usize) -> Result<(), NoMemory> {
        self.left.set(self.left.get().checked_sub(bytes).ok_or(NoMemory)?);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_add(bytes));
    }
}

impl Memory {
    /// A copy of `bytes`, with room for just these.
    ///
    /// # Errors
    /// When that is more than `budget` has left, or than there is.
    pub fn copy(bytes: &[u8], budget: &'static Budget) -> Result<Self, NoMemory> {
        budget.take(OVERHEAD)?;
        let mut copy = Self { bytes: Box::default(), budget: Some(budget) };
        copy.extend(bytes)?;
        Ok(copy)
    }

    /// Adds `more`.
    ///
    /// # Errors
    /// When that is more than the budget has left, or than there is. Nothing has changed then.
    pub fn extend(&mut self, more: &[u8]) -> Result<(), NoMemory> {
        if let Some(budget) = self.budget {
            budget.take(more.len())?;
        }
        let mut bytes = core::mem::take(&mut self.bytes).into_vec();
        let grown = bytes.try_reserve_exact(more.len());
        match grown {
            Ok(()) => bytes.extend_from_slice(more),
            Err(_) => self.budget.into_iter().for_each(|budget| budget.give_back(more.len())),
        }
        self.bytes = bytes.into_boxed_slice();
        grown.map_err(|_| NoMemory)
    }

    /// Drops the first `length` bytes.
    pub(super) fn trim_front(&mut self, length: usize) {
        let mut bytes = core::mem::take(&mut self.bytes).into_vec();
        let length = length.min(bytes.len());
        drop(bytes.drain(..length));
        self.bytes = bytes.into_boxed_slice();
        self.budget.into_iter().for_each(|budget| budget.give_back(length));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(budget) = self.budget {
            budget.give_back(OVERHEAD + self.bytes.len());
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Bytes that count nowhere.
impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_boxed_slice(), budget: None }
    }
}

/// A copy that counts nowhere.
impl From<&[u8]> for Memory {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

/// Adds `more` to what is gathered for a handler. What is long leaves some memory to all others:
/// to gather it may fail, and most else must not.
///
/// # Errors
/// When there is not enough memory. Nothing has changed then.
pub fn try_extend(bytes: &mut Vec<u8>, more: &[u8]) -> Result<(), NoMemory> {
    if bytes.capacity() - bytes.len() < more.len() {
        bytes.try_reserve(more.len()).map_err(|_| NoMemory)?;
        if bytes.capacity() > LONG {
            Vec::<u8>::new().try_reserve_exact(SPARE).map_err(|_| NoMemory)?;
        }
    }
    bytes.extend_from_slice(more);
    Ok(())
}

/// From how many bytes on something is long.
const LONG: usize = 16 << 10;

/// What must be left then, in one piece.
const SPARE: usize = 256 << 10;

/// What a head takes beside its bytes: of the allocator, and in the lists of who keeps it.
pub const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: usize) -> &'static Budget {
        Box::leak(Box::new(Budget::new(bytes)))
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = budget(300);
        let mut one = Memory::copy(b"GET ", budget).unwrap();
        assert_eq!(budget.left(), 300 - OVERHEAD - 4);
        one.extend(&[b'x'; 100]).unwrap();
        assert_eq!((&one[..5], one.len(), budget.left()), (&b"GET x"[..], 104, 132));
        // Too much: nothing has changed.
        assert_eq!(one.extend(&[0; 133]), Err(NoMemory));
        assert!(Memory::copy(&[0; 69], budget).is_err());
        assert_eq!((one.len(), budget.left()), (104, 132));
        one.trim_front(4);
        assert_eq!((one[0], one.len(), budget.left()), (b'x', 100, 136));
        drop(one);
        assert_eq!(budget.left(), 300);
    }
}
