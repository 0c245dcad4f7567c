//! A few packets between a handler and the component that carries them for it.

use crate::Packet;
use core::cell::Cell;

/// A queue of a few packets behind a shared reference.
pub(crate) struct Ring {
    places: [Cell<Option<Packet>>; RING],
    first: Cell<u8>,
    length: Cell<u8>,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self {
            places: [const { Cell::new(None) }; RING],
            first: Cell::new(0),
            length: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.length.get() == 0
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.length.get()) == RING
    }

    #[inline]
    pub(crate) fn push(&self, packet: Packet) -> Result<(), Packet> {
        if self.is_full() {
            return Err(packet);
        }
        self.place(self.length.get()).set(Some(packet));
        self.length.set(self.length.get() + 1);
        Ok(())
    }

    /// Puts a packet back that was just popped.
    #[inline]
    pub(crate) fn unpop(&self, packet: Packet) {
        self.first.set(self.first.get().wrapping_sub(1));
        self.length.set(self.length.get() + 1);
        self.place(0).set(Some(packet));
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Packet> {
        if self.is_empty() {
            return None;
        }
        let packet = self.place(0).take();
        self.first.set(self.first.get().wrapping_add(1));
        self.length.set(self.length.get() - 1);
        packet
    }

    #[inline]
    pub(crate) fn clear(&self) {
        while self.pop().is_some() {}
    }

    #[inline]
    fn place(&self, at: u8) -> &Cell<Option<Packet>> {
        &self.places[usize::from(self.first.get().wrapping_add(at)) % RING]
    }
}

/// Packets between a handler and the server, each way. Divides 256, so that `first` may wrap.
const RING: usize = 8;
const _: () = assert!(256 % RING == 0);
