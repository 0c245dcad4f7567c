//! Makes seconds since 1970 of what the battery-backed clock shows.

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
        Some(days(year, month, day) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
    }
}

/// The centuries that are believed.
const CENTURIES: core::ops::Range<u64> = 20..30;
/// The century of a clock that nobody has set.
const UNSET: u64 = 19;

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years that start in March put the leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between the first of March of the year 0 and 1970.
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn both_notations_give_the_same_second() {
        let digits =
            Reading { fields: [0x56, 0x34, 0x12, 0x29, 0x02, 0x24], mode: HOURS_24, century: None };
        assert_eq!(digits.seconds(), Some(1_709_210_096));
        let binary =
            Reading { fields: [56, 34, 12, 29, 2, 24], mode: HOURS_24 | BINARY, century: None };
        assert_eq!(binary.seconds(), digits.seconds());
    }

    #[test]
    fn a_clock_of_12_hours_has_noon_and_midnight() {
        let at = |hours| {
            Reading { fields: [0, 0, hours, 1, 1, 0], mode: BINARY, century: None }.seconds()
        };
        let midnight = 946_684_800;
        assert_eq!(at(12), Some(midnight));
        assert_eq!(at(12 | AFTERNOON), Some(midnight + 12 * 3600));
        assert_eq!(at(1 | AFTERNOON), Some(midnight + 13 * 3600));
    }

    #[test]
    fn a_century_counts_where_it_is_one() {
        let at = |century, mode| {
            Reading { fields: [0, 0, 0, 1, 3, 5], mode: mode | HOURS_24, century }.seconds()
        };
        let in_2005 = Some(1_109_635_200);
        // 36,524 days of the 21st century behind the first of March 2005: 2100 has no leap day.
        let in_2105 = Some(1_109_635_200 + 36_524 * 86_400);
        assert_eq!((at(Some(0x20), 0), at(Some(20), BINARY)), (in_2005, in_2005));
        assert_eq!((at(Some(0x21), 0), at(Some(21), BINARY)), (in_2105, in_2105));
        assert_eq!(at(Some(0x19), 0), None, "a clock without a battery begins in another century");
        for nonsense in [None, Some(0), Some(0xff), Some(0x1f)] {
            assert_eq!(at(nonsense, 0), in_2005, "{nonsense:?}");
        }
    }

    #[test]
    fn an_update_is_waited_for_and_one_that_never_ends_is_no_clock() {
        let left = Cell::new(3);
        let register = |number| match number {
            10 if left.get() > 0 => {
                left.set(left.get() - 1);
                UPDATING
            }
            10 => 0,
            11 => HOURS_24 | BINARY,
            50 => 20,
            number => number,
        };
        let expected =
            Reading { fields: [0, 2, 4, 7, 8, 9], mode: HOURS_24 | BINARY, century: Some(20) };
        assert_eq!(read(Some(50), register), Some(expected));
        assert_eq!(left.get(), 0);
        assert_eq!(read(None, |_| 0xff), None);
    }

    #[test]
    fn a_reading_counts_when_two_agree() {
        let reading = |seconds| {
            Some(Reading { fields: [seconds, 0, 0, 1, 1, 26], mode: HOURS_24, century: None })
        };
        // 12:59:59 that becomes 13:00:00 between two registers.
        let torn = Cell::new(0);
        let found = steady(|| {
            torn.set(torn.get() + 1);
            reading(if torn.get() == 1 { 0x59 } else { 0 })
        });
        assert_eq!((found, torn.get()), (reading(0), 3));
        // A clock that never stands still is none.
        let wild = Cell::new(0);
        let found = steady(|| {
            wild.set(wild.get() + 1);
            reading(wild.get())
        });
        assert_eq!((found, usize::from(wild.get())), (None, READINGS));
        assert_eq!(steady(|| None), None);
    }

    #[test]
    fn what_is_no_date_is_none() {
        for fields in [[0; 6], [255; 6], [60, 0, 0, 1, 1, 1], [0, 0, 24, 1, 1, 1]] {
            assert_eq!(Reading { fields, mode: HOURS_24 | BINARY, century: None }.seconds(), None);
        }
        let last =
            Reading { fields: [59, 59, 23, 31, 12, 99], mode: HOURS_24 | BINARY, century: None };
        assert_eq!(last.seconds(), Some(4_102_444_799));
    }
}
