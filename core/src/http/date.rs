//! Dates as HTTP writes them (RFC 9110, section 5.6.7).

use super::{FieldValue, Fields};
use crate::calendar::{date_of, day_of, month_length};
use crate::packet::NoRoom;

/// A second of the calendar, from 1970-01-01 00:00 UTC on; right until the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date {
    unix: u64,
}

impl Date {
    /// The second `unix` after 1970-01-01 00:00 UTC.
    pub const fn from_unix(unix: u64) -> Self {
        Self { unix }
    }

    /// Seconds since 1970-01-01 00:00 UTC.
    pub const fn unix(self) -> u64 {
        self.unix
    }

    /// The date that `text` says in one of the three forms: `Sun, 06 Nov 1994 08:49:37 GMT`,
    /// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. `None` for anything else.
    /// Two digits of a year are read as one that is at most 50 years behind `now`. Years before
    /// 1970 are its first second.
    pub fn parse(text: &[u8], now: Self) -> Option<Self> {
        //= RFC 9110 5.6.7: a year of two digits is at most 50 years ahead
        let (day_name, rest) = match text.iter().position(|&byte| byte == b',') {
            Some(comma) => text.split_at(comma),
            None => return Self::parse_asctime(text),
        };
        let rest = rest.strip_prefix(b", ")?;
        if day_name.len() == 3 {
            place(DAYS, day_name)?;
            let [d, e, b' ', a, b, c, b' ', y, e1, a1, r, b' ', time @ ..] = rest else {
                return None;
            };
            let year = number(&[*y, *e1, *a1, *r])?;
            return Self::of(year, &[*a, *b, *c], number(&[*d, *e])?, time.strip_suffix(b" GMT")?);
        }
        LONG_DAYS.contains(&day_name).then_some(())?;
        let [d, e, b'-', a, b, c, b'-', y, z, b' ', time @ ..] = rest else { return None };
        let this_year = date_of(now.unix / 86_400).0;
        let mut year = this_year / 100 * 100 + number(&[*y, *z])?;
        if year > this_year + 50 {
            year -= 100;
        }
        Self::of(year, &[*a, *b, *c], number(&[*d, *e])?, time.strip_suffix(b" GMT")?)
    }

    /// `Sun Nov  6 08:49:37 1994`
    fn parse_asctime(text: &[u8]) -> Option<Self> {
        let (day_name, rest) = text.split_first_chunk::<3>()?;
        place(DAYS, day_name)?;
        let [b' ', a, b, c, b' ', d, e, b' ', rest @ ..] = rest else { return None };
        let (time, year) = rest.split_at_checked(8)?;
        let day = if *d == b' ' { number(&[*e])? } else { number(&[*d, *e])? };
        let year = year.strip_prefix(b" ").filter(|year| year.len() == 4)?;
        Self::of(number(year)?, &[*a, *b, *c], day, time)
    }

    /// `time` is `08:49:37`.
    fn of(year: u64, month: &[u8], day: u64, time: &[u8]) -> Option<Self> {
        let [h, i, b':', m, n, b':', s, t] = time else { return None };
        let (hour, minute, second) = (number(&[*h, *i])?, number(&[*m, *n])?, number(&[*s, *t])?);
        let month = place(MONTHS, month)? + 1;
        // 60 is a leap second.
        if hour > 23 || minute > 59 || second > 60 || day == 0 || day > month_length(year, month) {
            return None;
        }
        if year < 1970 {
            return Some(Self { unix: 0 });
        }
        let days = day_of(year, month, day);
        Some(Self { unix: days * 86_400 + hour * 3600 + minute * 60 + second })
    }

    /// The form that HTTP prefers: `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[inline(never)] // often enough in an image, and once a second at most
    pub fn bytes(self) -> [u8; 29] {
        let (days, second) = (self.unix / 86_400, self.unix % 86_400);
        let (year, month, day) = date_of(days);
        let mut date = *b"Thu, 00 Jan 0000 00:00:00 GMT";
        let weekday = DAYS.get((days % 7) as usize * 3..).and_then(|rest| rest.first_chunk::<3>());
        let month = MONTHS.get((month - 1) as usize * 3..).and_then(|rest| rest.first_chunk::<3>());
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
}

impl FieldValue for Date {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.note(self);
        fields.append(&self.bytes())
    }
}

/// The place of a three-letter name in a list of such.
fn place(names: &[u8], name: &[u8]) -> Option<u64> {
    names.chunks(3).position(|other| other == name).map(|place| place as u64)
}

/// Digits, and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let add =
        |sum: u64, &digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

/// The first of January 1970 was a Thursday.
const DAYS: &[u8] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const LONG_DAYS: [&[u8]; 7] =
    [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];

#[cfg(test)]
mod tests;
