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

/// All guard pages.
pub(crate) fn guards() -> [Range; 4] {
    [MAIN.guard(), PAGE_FAULT.guard(), DOUBLE_FAULT.guard(), NON_MASKABLE.guard()]
}

/// The stack that `address` is in.
pub(crate) fn around(address: u64) -> Option<Range> {
    let rooms = [MAIN.room(), PAGE_FAULT.room(), DOUBLE_FAULT.room(), NON_MASKABLE.room()];
    rooms.into_iter().find(|room| room.contains(address))
}
