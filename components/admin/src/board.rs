//! What one core was given and all are to do.
//!
//! One certificate is replaced at a time, by the core that has claimed the board. It leaves an
//! order for each of the others and then counts up one word, which is all that a core looks at in
//! a sweep. Who has done it says so in a word of its own.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use waitless::CertificateOffer;
use waitless::cores::Slot;
use zeroize::Zeroizing;

/// The board.
#[derive(Debug)]
pub struct Board {
    claimed: AtomicBool,
    /// The number of the newest order. The first is 1.
    newest: AtomicU32,
    places: Box<[Place]>,
}

/// What concerns one core.
#[derive(Debug)]
#[repr(align(64))]
struct Place {
    /// What it has not looked at.
    order: Slot<Arc<Order>>,
    /// The number of the last order that it has looked at, twice, and one more if it was done.
    done: AtomicU64,
}

/// A certificate for all cores. What is secret of it is wiped when the last of them has it.
pub struct Order {
    pub number: u32,
    /// The core that was given it.
    pub from: usize,
    which: String,
    pem: Zeroizing<Vec<u8>>,
    other_names: bool,
    unix_secs: Option<u64>,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Cores that have looked at it.
    pub answers: usize,
    /// Those of them that did it.
    pub served: usize,
}

impl Board {
    /// One for `cores` cores.
    pub fn new(cores: usize) -> Self {
        let place = |_| Place { order: Slot::new(), done: AtomicU64::new(0) };
        Self {
            claimed: AtomicBool::new(false),
            newest: AtomicU32::new(0),
            places: (0..cores).map(place).collect(),
        }
    }

    /// Cores that there are.
    pub fn cores(&self) -> usize {
        self.places.len()
    }

    /// All of them but `core`: bit n for core n.
    pub fn others(&self, core: usize) -> u64 {
        (0..self.cores()).filter(|it| *it != core).fold(0, |all, it| all | 1 << it)
    }

    /// Takes the board for one order; `false` when another core has it.
    pub fn claim(&self) -> bool {
        self.claimed.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// Gives the board back. Only who has it does.
    pub fn release(&self) {
        self.claimed.store(false, Release);
    }

    /// The number of the newest order.
    #[inline]
    pub fn newest(&self) -> u32 {
        self.newest.load(Acquire)
    }

    /// Leaves what `order` makes for all cores but `core`, which has the board: its number. All
    /// have looked at the one before, so nothing is lost.
    pub fn publish(&self, core: usize, order: impl FnOnce(u32) -> Arc<Order>) -> u32 {
        let number = self.newest.load(Relaxed).wrapping_add(1);
        let order = order(number);
        for (_, place) in self.places.iter().enumerate().filter(|(other, _)| *other != core) {
            place.order.put(Arc::clone(&order));
        }
        self.done(core, number, true);
        self.newest.store(number, Release);
        number
    }

    /// What `core` is to do.
    pub fn take(&self, core: usize) -> Option<Arc<Order>> {
        self.places.get(core)?.order.take()
    }

    /// `core` has looked at the order `number`, and may have done it.
    pub fn done(&self, core: usize, number: u32, is_served: bool) {
        if let Some(place) = self.places.get(core) {
            place.done.store(u64::from(number) << 1 | u64::from(is_served), Release);
        }
    }

    /// How far the order `number` has come.
    pub fn taken(&self, number: u32) -> Taken {
        let mut taken = Taken { answers: 0, served: 0 };
        for place in &self.places {
            let done = place.done.load(Acquire);
            if done >> 1 == u64::from(number) {
                taken.answers += 1;
                taken.served += (done & 1) as usize;
            }
        }
        taken
    }

    /// Whether all cores have looked at the order `number`.
    pub fn has_all(&self, number: u32) -> bool {
        self.taken(number).answers == self.cores()
    }
}

impl Order {
    /// What `offer` says for `place`, as the order `number` of the core `from`.
    ///
    /// That core has taken it. The others do so for the same place, whatever names theirs is for:
    /// where cores differ, because one was late, they become alike again.
    pub fn of(offer: &CertificateOffer<'_>, place: usize, number: u32, from: usize) -> Self {
        Self {
            number,
            from,
            which: place.to_string(),
            pem: Zeroizing::new(offer.pem.to_vec()),
            other_names: true,
            unix_secs: offer.unix_secs,
        }
    }

    /// What it says.
    pub fn offer(&self) -> CertificateOffer<'_> {
        CertificateOffer {
            which: &self.which,
            pem: &self.pem,
            other_names: self.other_names,
            unix_secs: self.unix_secs,
        }
    }
}
