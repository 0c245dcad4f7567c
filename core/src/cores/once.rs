//! Things that cores give each other at start-up: set once and read by all, or put and taken.

#![allow(unsafe_code, reason = "a pointer changes hands between cores")]

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A value that is set once, by whichever core, and read by all.
pub struct Once<T>(AtomicPtr<T>, PhantomData<Box<T>>);

// SAFETY: the value is shared between cores by reference (`Sync`), and whoever drops the `Once`
// drops a value that another core may have made (`Send`). The pointer itself is atomic.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// Not yet set.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()), PhantomData)
    }

    /// Sets the value. `Err` gives it back when there is one already.
    pub fn set(&self, value: T) -> Result<&T, T> {
        let value = Box::into_raw(Box::new(value));
        let set =
            self.0.compare_exchange(null_mut(), value, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if set {
            // SAFETY: it came from a box a moment ago, and from now on belongs to `self`, which
            // frees it when it is dropped and not before.
            return Ok(unsafe { &*value });
        }
        // SAFETY: it came from a box, and nobody else has seen the pointer.
        Err(*unsafe { Box::from_raw(value) })
    }

    /// The value, once it is set.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: null, or a box that `set` published with release and that lives as long as
        // `self`; it is never changed again.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        drop(take(self.0.get_mut()));
    }
}

impl<T: fmt::Debug> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Once").field(&self.get()).finish()
    }
}

/// A place where one core leaves a value and another takes it.
pub struct Slot<T>(AtomicPtr<T>, PhantomData<Box<T>>);

// SAFETY: a value goes from core to core as a whole (`Send`); no two ever see it at a time, for
// the pointer to it is taken by an atomic swap.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()), PhantomData)
    }

    /// Leaves a value, in exchange for what was there.
    pub fn put(&self, value: T) -> Option<T> {
        let mut before = self.0.swap(Box::into_raw(Box::new(value)), Ordering::AcqRel);
        take(&mut before)
    }

    /// Takes what is there.
    pub fn take(&self) -> Option<T> {
        take(&mut self.0.swap(null_mut(), Ordering::AcqRel))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(take(self.0.get_mut()));
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// The value behind a pointer that this module made and the caller alone has, if any.
fn take<T>(pointer: &mut *mut T) -> Option<T> {
    let pointer = core::mem::take(pointer);
    // SAFETY: pointers here are null or come from boxes. The caller got this one by a swap or
    // through an exclusive borrow, so nobody else has it any more.
    (!pointer.is_null()).then(|| *unsafe { Box::from_raw(pointer) })
}
