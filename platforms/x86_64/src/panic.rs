//! What an image says when it dies.

use crate::machine::X86;
use core::fmt::Arguments;
use core::panic::PanicInfo;
use platform_machine::panic;

/// Writes a line to the console, whatever state the image is in.
macro_rules! report {
    ($($text:tt)+) => {
        platform_machine::panic::report::<$crate::machine::X86>(format_args!($($text)+))
    };
}
pub(crate) use report;

/// Ends an image that cannot start, saying why.
pub(crate) fn refuse(reason: Arguments<'_>) -> ! {
    panic::refuse::<X86>(reason)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack)) };
    panic::die::<X86>(info, frame)
}
