//! Reads the battery-backed clock.

use crate::rtc::{self, Reading};
use x86_64::instructions::port::Port;

/// The clock's registers lie below this one.
const REGISTERS: u8 = 128;

/// Seconds since 1970, now, where there is such a clock. `century` is the register that the
/// firmware says has the century.
pub(crate) fn wall_clock(century: Option<u8>) -> Option<u64> {
    let century = century.filter(|number| *number < REGISTERS);
    rtc::steady(|| rtc::read(century, register)).as_ref().and_then(Reading::seconds)
}

fn register(number: u8) -> u8 {
    // SAFETY: the clock's ports, or nobody's. Bit 7 keeps non-maskable interrupts as they are
    // after a reset: on. Reading these registers changes nothing.
    unsafe {
        Port::new(0x70).write(number);
        Port::new(0x71).read()
    }
}
