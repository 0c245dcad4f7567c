//! Room for futures that are made where they stay.
//!
//! A future that is handed on is copied whole, and a router's is as large as the largest of its
//! handlers'. So it is not handed on: whoever makes one is given the [`Room`] for it, writes what
//! that future begins with, which is little, and shows by a [`Filled`] that it is there.
//!
//! With `waker.rs`, this is the other file of the module with `unsafe`. What all of it rests on:
//! a `Room` stands for memory that may be written and holds nothing, and is used up by filling
//! it. The lifetime of a room and of what proves that it was filled is a name rather than a time:
//! it is invariant, and each room is lent to a function that must do with any. So nobody can show
//! the proof of another room.

#![allow(unsafe_code, reason = "safe Rust moves a value into its place, and never makes it there")]

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

/// Room for a `T` that is not there yet. It is written once, or left empty.
#[must_use = "what is not filled holds nothing"]
pub struct Room<'r, T> {
    at: NonNull<T>,
    name: PhantomData<fn(&'r ()) -> &'r ()>,
}

/// Having one proves that there is a `T` in the room of the same name.
#[must_use = "it is what shows that the room was filled"]
pub struct Filled<'r, T> {
    name: PhantomData<fn(&'r ()) -> &'r ()>,
    what: PhantomData<fn() -> T>,
}

impl<'r, T> Room<'r, T> {
    /// Room for a `T` at `at`.
    ///
    /// # Safety
    /// `at` is aligned and may be written for as long as the room is there, which nobody else
    /// does, and there is nothing in it that must be dropped. `'r` is the name of no other room.
    unsafe fn new(at: NonNull<T>) -> Self {
        Self { at, name: PhantomData }
    }

    /// Fills it with `value`.
    #[inline]
    pub fn put(self, value: T) -> Filled<'r, T> {
        // SAFETY: having a room proves that it may be written.
        unsafe { self.at.write(value) };
        Filled { name: PhantomData, what: PhantomData }
    }
}

impl<'r, A, B> Room<'r, OneOf<A, B>> {
    /// Fills it with the first of the two, which `fill` makes.
    #[inline]
    pub fn first(
        self,
        fill: impl for<'a> FnOnce(Room<'a, A>) -> Filled<'a, A>,
    ) -> Filled<'r, OneOf<A, B>> {
        // SAFETY: having a room proves that it may be written, so its parts may be: the pointers
        // stay in it, and what `fill` shows says that `A` is there. Only `fill` gets the room.
        unsafe {
            let room = Room::new(NonNull::new_unchecked((&raw mut (*self.at.as_ptr()).it).cast()));
            let _: Filled<'_, A> = fill(room);
            (&raw mut (*self.at.as_ptr()).is_first).write(true);
        }
        Filled { name: PhantomData, what: PhantomData }
    }

    /// Fills it with the second of the two, which `fill` makes.
    #[inline]
    pub fn second(
        self,
        fill: impl for<'a> FnOnce(Room<'a, B>) -> Filled<'a, B>,
    ) -> Filled<'r, OneOf<A, B>> {
        // SAFETY: as in `first`.
        unsafe {
            let room = Room::new(NonNull::new_unchecked((&raw mut (*self.at.as_ptr()).it).cast()));
            let _: Filled<'_, B> = fill(room);
            (&raw mut (*self.at.as_ptr()).is_first).write(false);
        }
        Filled { name: PhantomData, what: PhantomData }
    }
}

/// One of two futures, in the same memory. It is made in its [`Room`].
#[must_use = "nothing runs until it is polled"]
pub struct OneOf<A, B> {
    /// Which field of `it` is there, for as long as this is.
    is_first: bool,
    it: Memory<A, B>,
}

/// Fields of a union all begin where it does.
#[repr(C)]
union Memory<A, B> {
    first: ManuallyDrop<A>,
    second: ManuallyDrop<B>,
}

impl<A: Future<Output = ()>, B: Future<Output = ()>> Future for OneOf<A, B> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `is_first` was written together with the field that it names. That field is
        // pinned when all of this is: it is moved nowhere, here or elsewhere in this file, it is
        // dropped where it stands, and `OneOf` is `Unpin` only where both fields are.
        unsafe {
            let this = self.get_unchecked_mut();
            match this.is_first {
                true => Pin::new_unchecked(&mut *this.it.first).poll(cx),
                false => Pin::new_unchecked(&mut *this.it.second).poll(cx),
            }
        }
    }
}

impl<A, B> Drop for OneOf<A, B> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: as in `poll`; and nothing comes after the drop.
        unsafe {
            match self.is_first {
                true => ManuallyDrop::drop(&mut self.it.first),
                false => ManuallyDrop::drop(&mut self.it.second),
            }
        }
    }
}

/// A place for one `T` after the other, which stay where they are made.
pub(super) struct Place<T> {
    /// Whether there is one.
    is_filled: bool,
    memory: Box<MaybeUninit<T>>,
}

impl<T> Place<T> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { is_filled: false, memory: Box::new_uninit() }
    }

    /// Drops what is there, and lets `fill` make what comes next.
    #[inline]
    pub(super) fn fill(&mut self, fill: impl for<'r> FnOnce(Room<'r, T>) -> Filled<'r, T>) {
        self.clear();
        // SAFETY: the memory is ours, and empty now. Only `fill` gets the room.
        let _: Filled<'_, T> = fill(unsafe { Room::new(NonNull::from(&mut *self.memory).cast()) });
        self.is_filled = true;
    }

    /// What is there.
    #[inline]
    pub(super) fn get(&mut self) -> Option<Pin<&mut T>> {
        // SAFETY: `is_filled` was set because the room was filled. The memory stays where it is
        // when the place moves, and is not given back before what is in it was dropped.
        self.is_filled.then(|| unsafe { Pin::new_unchecked(self.memory.assume_init_mut()) })
    }

    #[inline]
    pub(super) fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// Drops what is there.
    #[inline]
    pub(super) fn clear(&mut self) {
        // Before the drop, so that one that panics is not done again.
        if core::mem::replace(&mut self.is_filled, false) {
            // SAFETY: there is one, and from now on there is none.
            unsafe { self.memory.assume_init_drop() };
        }
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<T> fmt::Debug for Room<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

impl<T> fmt::Debug for Filled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filled")
    }
}

impl<A, B> fmt::Debug for OneOf<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneOf").field("is_first", &self.is_first).finish_non_exhaustive()
    }
}
