//! Makes seconds since 1970 of what the battery-backed clock shows.

use waitless::calendar::day_of;

/// What the clock's registers hold, in the clock's own notation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Registers 0, 2, 4, 7, 8 and 9: seconds, minutes, hours, day, month, year.
    pub fields: [u8; 6],
    /// Register 11, which says how the others are written.
    pub mode: u8,
    /// The years of hundreds, where a register has them.
    pub century: Option<u8>,
}

/// Register 10: the clock is being changed.
const UPDATING: u8 = 1 << 7;
/// An update takes 2 ms at most (1,984 µs), and a read of a register a microsecond or more, so
/// that this is longer than any update.
const PATIENCE: u32 = 10_000;
/// How many readings are compared at most. An update comes once a second.
const READINGS: usize = 5;

/// Register 11: hours run to 24.
const HOURS_24: u8 = 1 << 1;
/// Register 11: numbers are binary, not decimal digits.
const BINARY: u8 = 1 << 2;
/// In the hours: afternoon, on a clock that runs to 12.
const AFTERNOON: u8 = 1 << 7;

/// Reads the clock by its registers once no update is under way; `None` where one never ends. Where
/// nothing is, all bits are ones, which looks like that.
pub fn read(century: Option<u8>, register: impl Fn(u8) -> u8) -> Option<Reading> {
    (0..PATIENCE).find(|_| register(10) & UPDATING == 0)?;
    let fields = [0, 2, 4, 7, 8, 9].map(&register);
    Some(Reading { fields, mode: register(11), century: century.map(&register) })
}

/// A reading that two in a row agree on: an update that begins between its registers makes one
/// that nothing can be said about.
pub fn steady(mut read: impl FnMut() -> Option<Reading>) -> Option<Reading> {
    let mut last = read()?;
    for _ in 1..READINGS {
        let reading = read()?;
        if reading == last {
            return Some(reading);
        }
        last = reading;
    }
    None
}

impl Reading {
    /// Seconds since 1970-01-01 00:00; `None` for no date at all, and for one before 2000, of a
    /// clock that was never set. Without a century, or with one that is none, the years are those
    /// from 2000 on.
    pub fn seconds(&self) -> Option<u64> {
        // Decimal digits that are none make no number.
        let number = |digits: u8| {
            let decimal = self.mode & BINARY == 0;
            let (tens, ones) = if decimal { (digits >> 4, digits & 15) } else { (0, digits) };
            (!decimal || (tens < 10 && ones < 10)).then(|| u64::from(tens) * 10 + u64::from(ones))
        };
        let [seconds, minutes, hours, day, month, year] = self.fields;
        let afternoon = self.mode & HOURS_24 == 0 && hours & AFTERNOON != 0;
        let hours = if self.mode & HOURS_24 == 0 {
            number(hours & !AFTERNOON)? % 12 + if afternoon { 12 } else { 0 }
        } else {
            number(hours)?
        };
        let century = self.century.and_then(number);
        if century == Some(UNSET) {
            return None;
        }
        let century = century.filter(|century| CENTURIES.contains(century));
        let (year, month, day) = (number(year)?, number(month)?, number(day)?);
        let (minutes, seconds) = (number(minutes)?, number(seconds)?);
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && year < 100;
        if !fits || hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let year = century.unwrap_or(CENTURIES.start) * 100 + year;
        Some(day_of(year, month, day) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
    }
}

/// The centuries that are believed.
const CENTURIES: core::ops::Range<u64> = 20..30;
/// The century of a clock that nobody has set.
const UNSET: u64 = 19;

#[cfg(test)]
mod tests;
