//! The stacks, each with a page below it that faults.

use core::cell::UnsafeCell;
use heapless::Vec;
use platform_machine::memory::{PAGE, Range};
use waitless::cores::{CORES_MAX, Once};

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
/// Bytes of a stack for exceptions.
pub(crate) const FAULT_SIZE: usize = 24 * 1024;

/// The stack that everything runs on.
pub(crate) static MAIN: Stack<MAIN_SIZE> = Stack::new();
/// For exceptions, so that running out of stack can be reported.
pub(crate) static FAULT: Stack<FAULT_SIZE> = Stack::new();
/// For exceptions while one is reported, which one core does.
pub(crate) static SECOND_FAULT: Stack<FAULT_SIZE> = Stack::new();

/// The stacks of the other cores.
static OTHERS: Once<Vec<Stacks, CORES_MAX>> = Once::new();

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
pub(crate) fn guards() -> [Range; 3] {
    [MAIN.guard(), FAULT.guard(), SECOND_FAULT.guard()]
}

/// Whether `address` is in a page that guards a stack of any core.
pub(crate) fn is_guard(address: u64) -> bool {
    let others = others().iter().flat_map(Stacks::guards);
    guards().into_iter().chain(others).any(|guard| guard.contains(address))
}

/// The stack that `address` is in, of any core.
pub(crate) fn around(address: u64) -> Option<Range> {
    let rooms = [MAIN.room(), FAULT.room(), SECOND_FAULT.room()];
    let others = others().iter().flat_map(Stacks::rooms);
    rooms.into_iter().chain(others).find(|room| room.contains(address))
}

/// Remembers the stacks of the other cores.
pub(crate) fn remember(others: Vec<Stacks, CORES_MAX>) {
    // They are laid out once.
    let _ = OTHERS.set(others);
}

/// The stacks of the other cores, from core 1 on.
pub(crate) fn others() -> &'static [Stacks] {
    OTHERS.get().map_or(&[], Vec::as_slice)
}

/// The stacks of a core beside the first: one for everything, and one for exceptions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stacks {
    base: u64,
}

impl Stacks {
    /// Bytes of both, guard pages included.
    pub(crate) const LENGTH: u64 = 2 * PAGE + (MAIN_SIZE + FAULT_SIZE) as u64;

    /// In `LENGTH` bytes at `base`, the start of a page.
    pub(crate) const fn at(base: u64) -> Self {
        Self { base }
    }

    /// The pages that fault.
    pub(crate) fn guards(&self) -> [Range; 2] {
        self.rooms().map(|room| Range::sized(room.start() - PAGE, PAGE))
    }

    /// The parts that can be used.
    pub(crate) fn rooms(&self) -> [Range; 2] {
        let main = Range::sized(self.base + PAGE, MAIN_SIZE as u64);
        [main, Range::sized(main.end() + PAGE, FAULT_SIZE as u64)]
    }
}
