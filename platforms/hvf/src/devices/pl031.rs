//! The wall clock: an Arm PL031 without its alarm.

use super::primecell;

/// Offsets of registers.
mod register {
    pub const DATA: u64 = 0x00;
    pub const LOAD: u64 = 0x08;
    pub const CONTROL: u64 = 0x0c;
}

/// A clock that counts seconds since 1970.
pub struct Pl031 {
    now: fn() -> u32,
    /// What the guest added by setting it.
    shift: u32,
    load: u32,
}

impl Pl031 {
    /// A clock that goes as `now` goes.
    pub fn new(now: fn() -> u32) -> Self {
        Self { now, shift: 0, load: 0 }
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u64) -> u64 {
        match offset {
            register::DATA => (self.now)().wrapping_add(self.shift).into(),
            register::LOAD => self.load.into(),
            register::CONTROL => 1,
            _ => primecell(0x031, 0, offset).unwrap_or(0),
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u64, value: u64) {
        if offset == register::LOAD {
            self.load = value as u32;
            self.shift = self.load.wrapping_sub((self.now)());
        }
    }
}

/// Seconds since 1970 by this machine's clock, as far as 32 bits go.
pub fn host() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as u32)
}
