//! Reads the battery-backed clock.

use crate::rtc::Reading;
use x86_64::instructions::port::Port;

/// Register 10: the clock is being changed.
const UPDATING: u8 = 1 << 7;
/// An update takes 2 ms at most; a read takes a microsecond or more.
const PATIENCE: u32 = 10_000;

/// Seconds since 1970, now, where there is such a clock.
pub(crate) fn wall_clock() -> Option<u64> {
    // An update between two readings makes them differ.
    let mut last = read()?;
    for _ in 0..4 {
        let reading = read()?;
        if reading == last {
            return reading.seconds();
        }
        last = reading;
    }
    None
}

fn read() -> Option<Reading> {
    (0..PATIENCE).find(|_| register(10) & UPDATING == 0)?;
    let fields = [0, 2, 4, 7, 8, 9].map(register);
    Some(Reading { fields, mode: register(11) })
}

fn register(number: u8) -> u8 {
    // SAFETY: the clock's ports, or nobody's. Bit 7 keeps non-maskable interrupts as they are
    // after a reset: on. Reading these registers changes nothing.
    unsafe {
        Port::new(0x70).write(number);
        Port::new(0x71).read()
    }
}
