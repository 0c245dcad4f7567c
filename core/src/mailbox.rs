//! Where a component leaves things for a neighbour to collect.

use crate::{BATCH, Packet};

/// A queue of at most `N` things, one batch by default. Who finds it full does not pull, so
/// back-pressure is free.
///
/// `N` is a power of two: places are found by a mask, without a division or a bounds check.
pub struct Mailbox<T = Packet, const N: usize = BATCH> {
    places: [Option<T>; N],
    /// The place of the first, modulo `N`.
    first: usize,
    length: usize,
}

impl<T, const N: usize> Mailbox<T, N> {
    const MASK: usize = {
        assert!(N.is_power_of_two(), "a mailbox has a power of two of places");
        N - 1
    };

    /// An empty mailbox.
    pub const fn new() -> Self {
        Self { places: [const { None }; N], first: 0, length: 0 }
    }

    /// How many things there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether there is no place left.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.length == N
    }

    /// How many things there may be.
    #[inline]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// How many more there is room for.
    #[inline]
    pub const fn room(&self) -> usize {
        N - self.length
    }

    /// Puts `thing` behind the others; gives it back when there is no place.
    #[inline]
    pub fn push_back(&mut self, thing: T) -> Result<(), T> {
        if self.is_full() {
            return Err(thing);
        }
        self.put(self.first.wrapping_add(self.length), thing);
        self.length += 1;
        Ok(())
    }

    /// Puts `thing` before the others; gives it back when there is no place.
    #[inline]
    pub fn push_front(&mut self, thing: T) -> Result<(), T> {
        if self.is_full() {
            return Err(thing);
        }
        self.first = self.first.wrapping_sub(1);
        self.put(self.first, thing);
        self.length += 1;
        Ok(())
    }

    /// Takes the first.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        if self.length == 0 {
            return None;
        }
        let thing = self.places[self.first & Self::MASK].take();
        self.first = self.first.wrapping_add(1);
        self.length -= 1;
        thing
    }

    /// The last, to change it.
    #[inline]
    pub fn back_mut(&mut self) -> Option<&mut T> {
        match self.length {
            0 => None,
            length => self.places[self.first.wrapping_add(length - 1) & Self::MASK].as_mut(),
        }
    }

    /// Drops everything.
    #[inline]
    pub fn clear(&mut self) {
        while self.pop_front().is_some() {}
    }

    #[inline]
    fn put(&mut self, at: usize, thing: T) {
        let before = self.places[at & Self::MASK].replace(thing);
        debug_assert!(before.is_none());
        // Forgotten, not dropped: there was nothing, and so no code is made for dropping it.
        core::mem::forget(before);
    }
}

impl<T, const N: usize> Default for Mailbox<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> core::fmt::Debug for Mailbox<T, N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mailbox").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use alloc::rc::Rc;

    /// Both ends, around the edge, against a queue that is known to be right.
    #[test]
    fn it_is_a_queue_of_limited_length() {
        let (mut mailbox, mut model) = (Mailbox::<u32, 4>::new(), VecDeque::new());
        let mut random = crate::Random::new([7; 32]);
        for step in 0..2_000 {
            match random.u32() % 5 {
                0 | 1 if model.len() < 4 => {
                    assert_eq!(mailbox.push_back(step), Ok(()));
                    model.push_back(step);
                }
                2 if model.len() < 4 => {
                    assert_eq!(mailbox.push_front(step), Ok(()));
                    model.push_front(step);
                }
                0..=2 => {
                    assert_eq!(
                        (mailbox.push_back(step), mailbox.push_front(step)),
                        (Err(step), Err(step))
                    );
                }
                3 => assert_eq!(mailbox.back_mut(), model.back_mut()),
                _ => assert_eq!(mailbox.pop_front(), model.pop_front()),
            }
            assert_eq!((mailbox.len(), mailbox.room()), (model.len(), 4 - model.len()));
            assert_eq!(
                (mailbox.is_empty(), mailbox.is_full()),
                (model.is_empty(), model.len() == 4)
            );
        }
    }

    #[test]
    fn what_is_in_it_is_dropped_once() {
        let thing = Rc::new(());
        let mut mailbox = Mailbox::<_, 2>::new();
        for _ in 0..2 {
            assert!(mailbox.push_back(thing.clone()).is_ok());
        }
        assert_eq!(Rc::strong_count(&thing), 3);
        drop(mailbox.pop_front());
        assert!(mailbox.push_back(thing.clone()).is_ok());
        mailbox.clear();
        assert_eq!(Rc::strong_count(&thing), 1);
        assert!(mailbox.push_front(thing.clone()).is_ok());
        drop(mailbox);
        assert_eq!(Rc::strong_count(&thing), 1);
    }
}
