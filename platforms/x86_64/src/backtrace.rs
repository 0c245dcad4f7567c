//! Follows frame pointers. Addresses are printed raw: whoever runs the image has its symbols.

use crate::memory::Range;
use crate::panic::report;
use crate::stacks;

unsafe extern "C" {
    static text_start: u8;
    static text_end: u8;
}

/// How many frames are printed at most.
const DEPTH: usize = 64;

/// Prints where the code at `rip` was called from, starting at the frame at `frame`.
pub(crate) fn print(rip: Option<u64>, frame: u64) {
    report!("backtrace:");
    if let Some(rip) = rip {
        report!("  at {rip:#x}");
    }
    let text = Range::new(&raw const text_start as u64, &raw const text_end as u64);
    let mut frame = frame;
    for _ in 0..DEPTH {
        // A frame holds its caller's frame and its return address.
        let inside = stacks::around(frame).filter(|stack| frame + 16 <= stack.end());
        if inside.is_none() || !frame.is_multiple_of(8) {
            return;
        }
        let at = core::ptr::with_exposed_provenance::<u64>(frame as usize);
        // SAFETY: both words are inside a stack, which is mapped, and aligned.
        let (caller, address) = unsafe { (at.read_volatile(), at.add(1).read_volatile()) };
        if !text.contains(address) {
            return;
        }
        report!("  at {address:#x}");
        // Stacks grow down, so a caller's frame is above; anything else would go in circles.
        if caller <= frame {
            return;
        }
        frame = caller;
    }
    report!("  and more");
}
