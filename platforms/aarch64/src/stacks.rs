//! The stacks, each with a page below it that faults.

use core::cell::UnsafeCell;
use platform_machine::memory::{PAGE, Range};

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
/// For exceptions while one is reported.
pub(crate) static SECOND_FAULT: Stack<FAULT_SIZE> = Stack::new();

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

/// All guard pages.
pub(crate) fn guards() -> [Range; 3] {
    [MAIN.guard(), FAULT.guard(), SECOND_FAULT.guard()]
}

/// The stack that `address` is in.
pub(crate) fn around(address: u64) -> Option<Range> {
    let rooms = [MAIN.room(), FAULT.room(), SECOND_FAULT.room()];
    rooms.into_iter().find(|room| room.contains(address))
}
