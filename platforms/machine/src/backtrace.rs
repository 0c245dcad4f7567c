//! Follows frame pointers. Addresses are printed as in the image's file: whoever runs the image
//! has its symbols.

use crate::Arch;
use crate::panic::report;

/// How many frames are printed at most.
const DEPTH: usize = 64;

/// Prints where the code at `address` was called from, starting at the frame at `frame`.
pub(crate) fn print<A: Arch>(address: Option<u64>, frame: u64) {
    report::<A>(format_args!("backtrace:"));
    if let Some(address) = address {
        let address = address.wrapping_sub(A::start_of_image());
        report::<A>(format_args!("  at {address:#x}"));
    }
    let text = A::text();
    let mut frame = frame;
    for _ in 0..DEPTH {
        // A frame holds its caller's frame and its return address.
        let inside = A::stack_around(frame).filter(|stack| frame + 16 <= stack.end());
        if inside.is_none() || !frame.is_multiple_of(8) {
            return;
        }
        let at = core::ptr::with_exposed_provenance::<u64>(frame as usize);
        // SAFETY: both words are inside a stack, which is mapped, and aligned.
        let (caller, address) = unsafe { (at.read_volatile(), at.add(1).read_volatile()) };
        if !text.contains(address) {
            return;
        }
        report::<A>(format_args!("  at {:#x}", address - A::start_of_image()));
        // Stacks grow down, so a caller's frame is above; anything else would go in circles.
        if caller <= frame {
            return;
        }
        frame = caller;
    }
    report::<A>(format_args!("  and more"));
}
