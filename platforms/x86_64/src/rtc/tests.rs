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
    let at =
        |hours| Reading { fields: [0, 0, hours, 1, 1, 0], mode: BINARY, century: None }.seconds();
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
    let last = Reading { fields: [59, 59, 23, 31, 12, 99], mode: HOURS_24 | BINARY, century: None };
    assert_eq!(last.seconds(), Some(4_102_444_799));
}
