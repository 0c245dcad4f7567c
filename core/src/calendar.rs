//! The Gregorian calendar, in days since 1970-01-01.

/// Days from the first of March of the year 0 to 1970-01-01. Eras of 400 years that begin in March
/// have their leap days last.
const BEFORE: u64 = 719_468;

/// Year, month (1 to 12) and day (1 to 31) of the day `days` after 1970-01-01.
pub fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + BEFORE;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let after_december = u64::from(month >= 10);
    (era * 400 + year + after_december, (month + 2) % 12 + 1, day_of_month)
}

/// Days from 1970-01-01 to a date from then on, of month 1 to 12 and day 1 to 31.
pub fn day_of(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - BEFORE
}

/// Days of a month (1 to 12).
pub fn month_length(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = (1970, 1, 1);
        for days in 0..800 * 366 {
            assert_eq!(date_of(days), expected);
            let (year, month, day) = expected;
            assert_eq!(day_of(year, month, day), days);
            expected = match (day < month_length(year, month), month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
        }
    }
}
