//! The critical section of crates that work something out once, when it is first wanted.
//!
//! Where there is no operating system they ask for it by the crate `critical-section`: one section
//! for the whole image, which a core may enter again. Interrupts need not be off in it, because a
//! handler of ours only ends a sleep, and never enters. Tables of a curve's points are made in it,
//! for a millisecond; nothing that happens twice belongs there.

use core::hint;
use core::sync::atomic::{AtomicUsize, Ordering};

/// No core is in it.
const NOBODY: usize = usize::MAX;

/// Lets one core in at a time.
#[derive(Debug)]
pub struct Section {
    /// The number of the core that is in it.
    owner: AtomicUsize,
}

impl Section {
    /// A section that nobody is in.
    pub const fn new() -> Self {
        Self { owner: AtomicUsize::new(NOBODY) }
    }

    /// Enters as core `number` when no other core is in it, and gives whether `number` was in it
    /// already.
    pub fn enter(&self, number: usize) -> bool {
        if self.owner.load(Ordering::Relaxed) == number {
            return true;
        }
        while self
            .owner
            .compare_exchange_weak(NOBODY, number, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            hint::spin_loop();
        }
        false
    }

    /// Leaves, where `again` is what `enter` gave.
    pub fn leave(&self, again: bool) {
        if !again {
            self.owner.store(NOBODY, Ordering::Release);
        }
    }
}

impl Default for Section {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_os = "none")]
mod image {
    use super::Section;
    use crate::Arch;
    use core::marker::PhantomData;
    use critical_section::{Impl, RawRestoreState};

    static SECTION: Section = Section::new();

    /// The image's section, by the architecture's number of this core. Each architecture names it
    /// to `critical_section::set_impl`.
    #[derive(Debug)]
    pub struct ImageSection<A>(PhantomData<A>);

    // SAFETY: one core is in the section at a time, and sees what the one before it wrote there:
    // `enter` acquires what `leave` releases. What interrupts a core never enters.
    unsafe impl<A: Arch> Impl for ImageSection<A> {
        unsafe fn acquire() -> RawRestoreState {
            SECTION.enter(A::number())
        }

        unsafe fn release(again: RawRestoreState) {
            SECTION.leave(again);
        }
    }
}

#[cfg(target_os = "none")]
pub use image::ImageSection;

#[cfg(test)]
mod tests;
