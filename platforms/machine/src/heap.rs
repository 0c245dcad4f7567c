//! The global allocator, over all memory that nothing else needs.
//!
//! Components allocate at start-up only, so speed does not matter here, and one lock will do
//! for all cores.

use crate::memory::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static HEAP: TalcLock<RawSpinlock, Manual> = TalcLock::new(Manual);

static SIZE: AtomicU64 = AtomicU64::new(0);

/// Gives `range` to the allocator. Too small a range is left unused. Touches its first and last
/// bytes only.
///
/// # Safety
/// The range is mapped for reading and writing, and nothing else uses it, ever.
pub unsafe fn claim(range: Range) {
    let base = core::ptr::with_exposed_provenance_mut(range.start() as usize);
    // SAFETY: the caller gives the range away.
    let claimed = unsafe { HEAP.lock().claim(base, range.length() as usize) };
    if claimed.is_some() {
        SIZE.fetch_add(range.length(), Ordering::Relaxed);
    }
}

/// Bytes that the allocator was given.
pub fn size() -> u64 {
    SIZE.load(Ordering::Relaxed)
}
