//! A place for what is found out once while booting.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Empty, then, for ever, a reference that every core reads.
#[derive(Debug)]
pub struct Slot<T>(AtomicPtr<T>);

impl<T> Slot<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Sync> Slot<T> {
    /// Puts `value` there, for all cores.
    pub fn set(&self, value: &'static T) {
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// What is there.
    pub fn get(&self) -> Option<&'static T> {
        // SAFETY: null, or what `set` was given: a shared reference for ever, to what may be
        // shared between cores.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_empty_until_it_is_set() {
        static SLOT: Slot<u32> = Slot::new();
        assert_eq!(SLOT.get(), None);
        SLOT.set(&7);
        assert_eq!(SLOT.get(), Some(&7));
    }
}
