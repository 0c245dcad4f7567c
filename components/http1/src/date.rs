//! Dates as HTTP writes them (RFC 9110, section 5.6.7).

/// A second, as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) type Date = [u8; 29];

/// The date of the second `unix` after 1970-01-01 00:00 UTC; right until the year 9999.
pub(crate) fn format(unix: u64) -> Date {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let mut date = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    let weekday = DAYS.get((days % 7) as usize * 3..).and_then(|rest| rest.first_chunk::<3>());
    let month = MONTHS.get(month as usize * 3..).and_then(|rest| rest.first_chunk::<3>());
    let numbers = [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, second / 3600),
        (20, second / 60 % 60),
        (23, second % 60),
    ];
    for (at, number) in numbers {
        let digits = [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        date[at..at + 2].copy_from_slice(&digits);
    }
    date[..3].copy_from_slice(weekday.unwrap_or(b"Thu"));
    date[8..11].copy_from_slice(month.unwrap_or(b"Jan"));
    date
}

/// Year, month (0 to 11) and day (1 to 31) of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Eras of 400 years that begin on a 1st of March, so that leap days come last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let after_december = u64::from(month >= 10);
    (era * 400 + year + after_december, (month + 2) % 12, day_of_month)
}

/// The first of January 1970 was a Thursday.
const DAYS: &[u8] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(core::str::from_utf8(&format(unix)).unwrap(), expected);
        }
    }
}
