//! Where the image is: as it was linked, and in memory.

use core::sync::atomic::{AtomicU64, Ordering};
use platform_machine::memory::Range;

unsafe extern "C" {
    static image_start: u8;
    static text_start: u8;
    static text_end: u8;
    static image_end: u8;
}

/// The physical address of its first byte.
static PLACE: AtomicU64 = AtomicU64::new(0);

/// Where it is linked and runs: whole pages.
pub(crate) fn all() -> Range {
    Range::new(&raw const image_start as u64, &raw const image_end as u64).outer_pages()
}

/// Its code.
pub(crate) fn text() -> Range {
    Range::new(&raw const text_start as u64, &raw const text_end as u64)
}

/// Its constants, which come first.
pub(crate) fn rodata() -> Range {
    Range::new(all().start(), text().start())
}

/// Where it was put by a loader that goes by the physical addresses in the file.
pub(crate) fn usual_place() -> u64 {
    // The top 2 GiB mean the first.
    all().start() & 0x7fff_ffff
}

/// Notes that its first byte is at the physical address `place`.
pub(crate) fn set_place(place: u64) {
    PLACE.store(place, Ordering::Relaxed);
}

/// The physical memory behind `range`, a part of it.
pub(crate) fn physical(range: Range) -> Range {
    let offset = range.start() - all().start();
    Range::sized(PLACE.load(Ordering::Relaxed) + offset, range.length())
}

/// The physical address of a static.
pub(crate) fn physical_address<T>(of: *const T) -> u64 {
    physical(Range::sized(of as u64, 0)).start()
}
