//! An allocator that counts, for tests that show that nothing is allocated.

#![allow(unsafe_code, reason = "a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Make it the `#[global_allocator]`, then use [`counted`] and [`live`].
#[derive(Debug)]
pub struct Counting;

// SAFETY: everything is passed on unchanged to the system's allocator, which keeps the contract;
// the counts are plain cells of this thread's, without destructors, whose access allocates
// nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        bump();
        grow(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        grow(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        bump();
        grow(size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`, which is the same.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn bump() {
    // While a thread ends there is no cell any more, and nothing to count.
    let _ = COUNT.try_with(|count| count.set(count.get().map(|count| count + 1)));
}

fn grow(bytes: i64) {
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

/// Bytes that this thread has allocated and not given back; what it frees for others counts
/// against them.
pub fn live() -> i64 {
    LIVE.with(Cell::get)
}

/// How often `work` allocates on this thread.
pub fn counted(work: impl FnOnce()) -> u64 {
    COUNT.with(|count| count.set(Some(0)));
    work();
    COUNT.with(|count| count.take()).unwrap_or_default()
}
