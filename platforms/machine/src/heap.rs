//! The global allocator, over all memory that nothing else needs.
//!
//! Components allocate at start-up only, so speed does not matter here, and one lock will do
//! for all cores.

use crate::memory::Range;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicU64, Ordering};
use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: Heap = Heap(TalcLock::new(Manual));

/// The allocator with its lock, which would otherwise be inlined wherever something allocates.
struct Heap(TalcLock<RawSpinlock, Manual>);

// SAFETY: everything is passed on unchanged to an allocator that keeps the contract.
unsafe impl GlobalAlloc for Heap {
    #[cold]
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { self.0.alloc(layout) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, which is the same.
        unsafe { self.0.dealloc(at, layout) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`, which is the same.
        unsafe { self.0.realloc(at, layout, size) }
    }
}

static SIZE: AtomicU64 = AtomicU64::new(0);

/// Gives `range` to the allocator. Too small a range is left unused. Touches its first and last
/// bytes only.
///
/// # Safety
/// The range is mapped for reading and writing, and nothing else uses it, ever.
pub unsafe fn claim(range: Range) {
    let base = core::ptr::with_exposed_provenance_mut(range.start() as usize);
    // SAFETY: the caller gives the range away.
    let claimed = unsafe { HEAP.0.lock().claim(base, range.length() as usize) };
    if claimed.is_some() {
        SIZE.fetch_add(range.length(), Ordering::Relaxed);
    }
}

/// Bytes that the allocator was given.
pub fn size() -> u64 {
    SIZE.load(Ordering::Relaxed)
}
