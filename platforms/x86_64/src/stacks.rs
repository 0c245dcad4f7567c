//! The stacks, each with a page below it that faults.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use platform_machine::memory::{PAGE, Range};
use waitless::cores::Once;

/// A stack of `N` bytes above a guard page.
#[repr(C, align(4096))]
pub(crate) struct Stack<const N: usize> {
    guard: UnsafeCell<[u8; PAGE as usize]>,
    room: UnsafeCell<[u8; N]>,
}

// SAFETY: nobody makes a reference to the bytes; the processor alone uses them.
unsafe impl<const N: usize> Sync for Stack<N> {}

/// Bytes of the stack that everything runs on.
pub(crate) const MAIN_SIZE: usize = 256 * 1024;
const FAULT_SIZE: usize = 24 * 1024;

/// The stack that everything runs on.
pub(crate) static MAIN: Stack<MAIN_SIZE> = Stack::new();
/// For page faults, so that running out of stack can be reported.
pub(crate) static PAGE_FAULT: Stack<FAULT_SIZE> = Stack::new();
/// For faults while a fault is reported.
pub(crate) static DOUBLE_FAULT: Stack<FAULT_SIZE> = Stack::new();
/// For what no flag keeps out: non-maskable interrupts and machine checks.
pub(crate) static NON_MASKABLE: Stack<FAULT_SIZE> = Stack::new();

impl<const N: usize> Stack<N> {
    const fn new() -> Self {
        Self { guard: UnsafeCell::new([0; PAGE as usize]), room: UnsafeCell::new([0; N]) }
    }

    /// The page that faults.
    pub(crate) fn guard(&self) -> Range {
        Range::sized(self.guard.get() as u64, PAGE)
    }

    /// The part that can be used.
    pub(crate) fn room(&self) -> Range {
        Range::sized(self.room.get() as u64, N as u64)
    }
}

/// The first core's guard pages.
pub(crate) fn guards() -> [Range; 4] {
    [MAIN.guard(), PAGE_FAULT.guard(), DOUBLE_FAULT.guard(), NON_MASKABLE.guard()]
}

/// Whether `address` is in a page that guards a stack of any core.
pub(crate) fn is_guard(address: u64) -> bool {
    let others = OTHERS.get().into_iter().flatten().flat_map(Stacks::guards);
    guards().into_iter().chain(others).any(|guard| guard.contains(address))
}

/// The stack that `address` is in, of any core.
pub(crate) fn around(address: u64) -> Option<Range> {
    let rooms = [MAIN.room(), PAGE_FAULT.room(), DOUBLE_FAULT.room(), NON_MASKABLE.room()];
    let others = OTHERS.get().into_iter().flatten().flat_map(Stacks::rooms);
    rooms.into_iter().chain(others).find(|room| room.contains(address))
}

/// The stacks of the other cores.
static OTHERS: Once<Vec<Stacks>> = Once::new();

/// Remembers the stacks of the other cores, for reports.
pub(crate) fn remember(others: Vec<Stacks>) {
    // They are made once.
    let _ = OTHERS.set(others);
}

/// The stacks of a core beside the first: one for everything, and three as above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stacks {
    base: u64,
}

/// Bytes of each, in order.
const SIZES: [u64; 4] = [MAIN_SIZE as u64, FAULT_SIZE as u64, FAULT_SIZE as u64, FAULT_SIZE as u64];

impl Stacks {
    /// Bytes of all, guard pages included.
    pub(crate) const LENGTH: usize = 4 * PAGE as usize + MAIN_SIZE + 3 * FAULT_SIZE;

    /// In `LENGTH` bytes at `base`, the start of a page.
    pub(crate) fn at(base: u64) -> Self {
        Self { base }
    }

    /// The pages that fault, once they are taken away.
    pub(crate) fn guards(&self) -> [Range; 4] {
        self.rooms().map(|room| Range::sized(room.start() - PAGE, PAGE))
    }

    /// The parts that can be used.
    pub(crate) fn rooms(&self) -> [Range; 4] {
        let mut at = self.base;
        SIZES.map(|size| {
            let room = Range::sized(at + PAGE, size);
            at = room.end();
            room
        })
    }
}
