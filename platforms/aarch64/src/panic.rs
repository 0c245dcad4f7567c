//! What an image says when it dies.

use crate::machine::Aarch64;
use core::fmt::Arguments;
use core::panic::PanicInfo;
use platform_machine::panic;

/// Writes a line to the console, whatever state the image is in.
macro_rules! report {
    ($($text:tt)+) => {
        platform_machine::panic::report::<$crate::machine::Aarch64>(format_args!($($text)+))
    };
}
pub(crate) use report;

/// Ends an image that cannot start, saying why.
pub(crate) fn refuse(reason: Arguments<'_>) -> ! {
    panic::refuse::<Aarch64>(reason)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack)) };
    panic::die::<Aarch64>(info, frame)
}
