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

/// Bytes in memory. What they take is given back to their budget when they are dropped. Small where
/// there are none, as in most connections.
#[derive(Default, Debug)]
pub struct Memory {
    stored: Option<Box<Stored>>,
}

#[derive(Debug)]
struct Stored {
    bytes: Vec<u8>,
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
        let stored = Stored { bytes: Vec::new(), budget: Some(budget) };
        let mut copy = Self { stored: Some(Box::new(stored)) };
        copy.extend(bytes)?;
        Ok(copy)
    }

    /// Adds `more`.
    ///
    /// # Errors
    /// When that is more than the budget has left, or than there is. Nothing has changed then.
    pub fn extend(&mut self, more: &[u8]) -> Result<(), NoMemory> {
        let Stored { bytes, budget } = &mut **self.stored.get_or_insert_with(Stored::free);
        if let Some(budget) = budget {
            budget.take(more.len())?;
        }
        if bytes.try_reserve_exact(more.len()).is_err() {
            budget.iter().for_each(|budget| budget.give_back(more.len()));
            return Err(NoMemory);
        }
        bytes.extend_from_slice(more);
        Ok(())
    }

    /// Drops the first `length` bytes.
    pub(super) fn trim_front(&mut self, length: usize) {
        let Some(stored) = &mut self.stored else { return };
        let length = length.min(stored.bytes.len());
        drop(stored.bytes.drain(..length));
        stored.bytes.shrink_to_fit();
        stored.budget.iter().for_each(|budget| budget.give_back(length));
    }
}

impl Stored {
    fn free() -> Box<Self> {
        Box::new(Self { bytes: Vec::new(), budget: None })
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if let Some(budget) = self.budget {
            budget.give_back(OVERHEAD + self.bytes.len());
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.stored.as_ref().map_or(&[], |stored| &stored.bytes)
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.stored.as_mut().map_or(&mut [], |stored| &mut stored.bytes)
    }
}

/// Bytes that count nowhere.
impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self { stored: Some(Box::new(Stored { bytes, budget: None })) }
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
pub const OVERHEAD: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: usize) -> &'static Budget {
        Box::leak(Box::new(Budget::new(bytes)))
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = budget(332);
        let mut one = Memory::copy(b"GET ", budget).unwrap();
        assert_eq!(budget.left(), 332 - OVERHEAD - 4);
        one.extend(&[b'x'; 100]).unwrap();
        assert_eq!((&one[..5], one.len(), budget.left()), (&b"GET x"[..], 104, 132));
        // Too much: nothing has changed.
        assert_eq!(one.extend(&[0; 133]), Err(NoMemory));
        assert!(Memory::copy(&[0; 69], budget).is_err());
        assert_eq!((one.len(), budget.left()), (104, 132));
        one.trim_front(4);
        assert_eq!((one[0], one.len(), budget.left()), (b'x', 100, 136));
        drop(one);
        assert_eq!(budget.left(), 332);
    }
}
