//! Dates in each form that HTTP knows, and in none.

use super::*;

const NOW: Date = Date::from_unix(1_795_824_000); // November 2026

fn parsed(text: &str) -> Option<u64> {
    Date::parse(text.as_bytes(), NOW).map(Date::unix)
}

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
        let bytes = Date::from_unix(unix).bytes();
        assert_eq!(core::str::from_utf8(&bytes).unwrap(), expected);
        assert_eq!(parsed(expected), Some(unix));
    }
    for day in 0..60_000 {
        let date = Date::from_unix(day * 86_400 + day);
        assert_eq!(Date::parse(&date.bytes(), NOW), Some(date));
    }
}

#[test]
fn all_three_forms_are_read_and_no_other() {
    assert_eq!(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(parsed("Sun Nov  6 08:49:37 1994"), Some(784_111_777));
    assert_eq!(parsed("Sun Nov 16 08:49:37 1994"), Some(784_111_777 + 10 * 86_400));
    // Fifty years ahead are this century, more are the last.
    let century = |text| Date::from_unix(parsed(text).unwrap()).bytes()[12..16].to_vec();
    assert_eq!(century("Friday, 06-Nov-76 08:49:37 GMT"), b"2076");
    assert_eq!(century("Friday, 06-Nov-77 08:49:37 GMT"), b"1977");
    assert_eq!(parsed("Sun, 06 Nov 1904 08:49:37 GMT"), Some(0));
    assert_eq!(parsed("Sun, 31 Dec 2016 23:59:60 GMT"), parsed("Sun, 01 Jan 2017 00:00:00 GMT"));
    for bad in [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Someday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov 06 08:49:37 94",
    ] {
        assert_eq!(parsed(bad), None, "{bad}");
    }
}
