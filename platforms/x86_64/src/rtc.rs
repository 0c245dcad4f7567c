//! Makes seconds since 1970 of what the battery-backed clock shows.

/// What the clock's registers hold, in the clock's own notation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Registers 0, 2, 4, 7, 8 and 9: seconds, minutes, hours, day, month, year.
    pub fields: [u8; 6],
    /// Register 11, which says how the others are written.
    pub mode: u8,
}

/// Register 11: hours run to 24.
const HOURS_24: u8 = 1 << 1;
/// Register 11: numbers are binary, not decimal digits.
const BINARY: u8 = 1 << 2;
/// In the hours: afternoon, on a clock that runs to 12.
const AFTERNOON: u8 = 1 << 7;

impl Reading {
    /// Seconds since 1970-01-01 00:00, for years 2000 to 2099; `None` for no date at all.
    pub fn seconds(&self) -> Option<u64> {
        let number = |digits: u8| {
            let tens = if self.mode & BINARY == 0 { digits >> 4 } else { 0 };
            let ones = if self.mode & BINARY == 0 { digits & 15 } else { digits };
            u64::from(tens) * 10 + u64::from(ones)
        };
        let [seconds, minutes, hours, day, month, year] = self.fields;
        let afternoon = self.mode & HOURS_24 == 0 && hours & AFTERNOON != 0;
        let hours = if self.mode & HOURS_24 == 0 {
            number(hours & !AFTERNOON) % 12 + if afternoon { 12 } else { 0 }
        } else {
            number(hours)
        };
        let (year, month, day) = (2000 + number(year), number(month), number(day));
        let (minutes, seconds) = (number(minutes), number(seconds));
        let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && year < 2100;
        if !fits || hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        Some(days(year, month, day) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
    }
}

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

    #[test]
    fn both_notations_give_the_same_second() {
        let digits = Reading { fields: [0x56, 0x34, 0x12, 0x29, 0x02, 0x24], mode: HOURS_24 };
        assert_eq!(digits.seconds(), Some(1_709_210_096));
        let binary = Reading { fields: [56, 34, 12, 29, 2, 24], mode: HOURS_24 | BINARY };
        assert_eq!(binary.seconds(), digits.seconds());
    }

    #[test]
    fn a_clock_of_12_hours_has_noon_and_midnight() {
        let at = |hours| Reading { fields: [0, 0, hours, 1, 1, 0], mode: BINARY }.seconds();
        let midnight = 946_684_800;
        assert_eq!(at(12), Some(midnight));
        assert_eq!(at(12 | AFTERNOON), Some(midnight + 12 * 3600));
        assert_eq!(at(1 | AFTERNOON), Some(midnight + 13 * 3600));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for fields in [[0; 6], [255; 6], [60, 0, 0, 1, 1, 1], [0, 0, 24, 1, 1, 1]] {
            assert_eq!(Reading { fields, mode: HOURS_24 | BINARY }.seconds(), None);
        }
        let last = Reading { fields: [59, 59, 23, 31, 12, 99], mode: HOURS_24 | BINARY };
        assert_eq!(last.seconds(), Some(4_102_444_799));
    }
}
