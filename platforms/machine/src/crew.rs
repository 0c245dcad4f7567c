//! The cores beside the first: they wait until the image has something for them to do.
//!
//! The architecture starts them, each sets up what is its own, and joins. Once the first core has
//! built its graph, it gives all of them the same work.

use crate::{Arch, Slot};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicUsize, Ordering};

/// What every core beside the first is to do.
type Work = Box<dyn Fn() + Send + Sync>;

static WORK: Slot<Work> = Slot::new();
static JOINED: AtomicUsize = AtomicUsize::new(0);

/// Makes a core one of the crew, once [`Arch::core`] is its own. Its number is the next.
pub fn join<A: Arch>() -> ! {
    JOINED.fetch_max(A::number(), Ordering::AcqRel);
    loop {
        if let Some(work) = WORK.get() {
            work();
            // There was none for a core that was left out.
            A::stop();
        }
        core::hint::spin_loop();
    }
}

/// The number of the last core that has joined; 0 before one has.
pub fn joined() -> usize {
    JOINED.load(Ordering::Acquire)
}

/// Gives the crew its work. A core that comes back from it stops for good.
pub(crate) fn work(work: impl Fn() + Send + Sync + 'static) {
    let work: Work = Box::new(work);
    WORK.set(Box::leak(Box::new(work)));
}
