//! A ring from one core to another: one sender, one receiver, bounded, and nobody waits.
//!
//! Both ends are values that only one core has, so each index has one writer. A thing is written
//! before the index that shows it is published, and read after that index was seen; that is all
//! the order there is, and no operation is an atomic read-modify-write.

#![allow(unsafe_code, reason = "a place belongs to one end at a time, by what the indices say")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A ring of `capacity` places, at least 1, rounded up to a power of two.
pub fn ring<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let ring = Arc::new(Ring {
        sent: Line(AtomicUsize::new(0)),
        taken: Line(AtomicUsize::new(0)),
        places: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let sender = Sender { ring: Arc::clone(&ring), sent: 0, taken_seen: 0 };
    (sender, Receiver { ring, taken: 0, sent_seen: 0 })
}

/// The end that things go into. Having it proves that nobody else puts any there.
pub struct Sender<T> {
    ring: Arc<Ring<T>>,
    sent: usize,
    /// How far the receiver was when last looked at.
    taken_seen: usize,
}

/// The end that things come out of. Having it proves that nobody else takes any there.
pub struct Receiver<T> {
    ring: Arc<Ring<T>>,
    taken: usize,
    /// How far the sender was when last looked at.
    sent_seen: usize,
}

/// The indices count on and on; a place is an index modulo the capacity. Each index has a cache
/// line of its own, because different cores write them.
struct Ring<T> {
    /// Places from `taken` up to, not including, `sent` hold things.
    sent: Line,
    taken: Line,
    places: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

#[repr(align(64))]
struct Line(AtomicUsize);

// SAFETY: a place is touched by the sender alone while it is free and by the receiver alone while
// it holds a thing; the indices, published with release and seen with acquire, hand it over. There
// is one of each end. What moves to another core is `T`, which may.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; the ring itself is plain memory.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Sender<T> {
    /// Puts a thing in; gives it back when there is no room.
    #[inline]
    pub fn send(&mut self, thing: T) -> Result<(), T> {
        if self.room() == 0 {
            return Err(thing);
        }
        let place = &self.ring.places[self.sent & (self.ring.places.len() - 1)];
        // SAFETY: `sent - taken` is below the capacity, so the place is free: the receiver has
        // published that it moved on, which was seen with acquire, and looks at it again only
        // once `sent` says so. There is no other sender.
        unsafe { (*place.get()).write(thing) };
        self.sent = self.sent.wrapping_add(1);
        self.ring.sent.0.store(self.sent, Ordering::Release);
        Ok(())
    }

    /// For how many things there is room now.
    #[inline]
    pub fn room(&mut self) -> usize {
        let capacity = self.ring.places.len();
        if self.sent.wrapping_sub(self.taken_seen) == capacity {
            self.taken_seen = self.ring.taken.0.load(Ordering::Acquire);
        }
        capacity - self.sent.wrapping_sub(self.taken_seen)
    }

    /// How many things there may be at most.
    pub fn capacity(&self) -> usize {
        self.ring.places.len()
    }
}

impl<T> Receiver<T> {
    /// The next thing.
    #[inline]
    pub fn recv(&mut self) -> Option<T> {
        if self.taken == self.sent_seen {
            self.sent_seen = self.ring.sent.0.load(Ordering::Acquire);
            if self.taken == self.sent_seen {
                return None;
            }
        }
        let place = &self.ring.places[self.taken & (self.ring.places.len() - 1)];
        // SAFETY: `taken < sent`, so the sender wrote the place before it published that, which
        // was seen with acquire, and writes it again only once `taken` has passed. There is no
        // other receiver, and `taken` moves on, so the thing is read once.
        let thing = unsafe { (*place.get()).assume_init_read() };
        self.taken = self.taken.wrapping_add(1);
        self.ring.taken.0.store(self.taken, Ordering::Release);
        Some(thing)
    }

    /// Whether there is nothing now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken == self.sent_seen && self.taken == self.ring.sent.0.load(Ordering::Acquire)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let (mut at, sent) = (*self.taken.0.get_mut(), *self.sent.0.get_mut());
        while at != sent {
            let mask = self.places.len() - 1;
            // SAFETY: both ends are gone, and what they published last says which places hold
            // things: each is dropped once.
            unsafe { self.places[at & mask].get_mut().assume_init_drop() };
            at = at.wrapping_add(1);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("taken", &self.taken).finish_non_exhaustive()
    }
}
