//! What is asked for, of what there is.

use super::*;
use alloc::vec::Vec;

fn wanted(value: &str, length: u64) -> Wanted<'_> {
    parse(value.as_bytes(), length)
}

fn one(first: u64, last: u64) -> Wanted<'static> {
    Wanted::One(Part { first, last })
}

#[test]
fn one_part_is_within_what_there_is() {
    for (value, expected) in [
        ("bytes=0-0", one(0, 0)),
        ("bytes=0-99", one(0, 99)),
        ("bytes=10-", one(10, 99)),
        ("bytes=10-1000", one(10, 99)),
        ("bytes=-1", one(99, 99)),
        ("bytes=-1000", one(0, 99)),
        ("BYTES=99-99999999999999999999999", one(99, 99)),
        ("bytes= ,5-6 ,", one(5, 6)),
        ("bytes=5-6,100-", one(5, 6)),
        ("bytes=100-", Wanted::Nothing),
        ("bytes=100-,-0", Wanted::Nothing),
        ("bytes=99999999999999999999999-", Wanted::Nothing),
        ("bytes=-0", Wanted::Nothing),
    ] {
        assert_eq!(wanted(value, 100), expected, "{value}");
    }
}

#[test]
fn what_is_no_range_is_not_looked_at() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "lines=0-1",
        "bytes 0-1",
        "bytes =0-1",
        "bytes=a-1",
        "bytes=0-a",
        "bytes=1",
        "bytes=-",
        "bytes=2-1",
        "bytes=0-1,2-1",
        "bytes=0 - 1",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=0x0-1",
        "bytes=0-1;2-3",
        "bytes=0-1-2",
    ] {
        assert_eq!(wanted(value, 100), Wanted::Whole, "{value}");
    }
}

#[test]
fn several_parts_keep_their_order_and_have_a_limit() {
    let Wanted::Several(parts) = wanted("bytes=90-, 0-4,200-,-3", 100) else { panic!() };
    let parts: Vec<_> = parts.iter().map(|part| (part.first, part.last)).collect();
    assert_eq!(parts, [(90, 99), (0, 4), (97, 99)]);
    assert_eq!(wanted("bytes=0-,0-", 100), Wanted::Whole);
    assert_eq!(wanted("bytes=0-50,50-99", 100), Wanted::Whole);
    let many = |count| alloc::format!("bytes={}", "0-0,".repeat(count));
    assert!(matches!(wanted(&many(16), 100), Wanted::Several(_)));
    assert_eq!(wanted(&many(17), 100), Wanted::Whole);
}

#[test]
fn nothing_has_no_parts() {
    assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    assert_eq!(wanted("bytes=-0", 0), Wanted::Nothing);
    assert_eq!(wanted("bytes=-5", 0), Wanted::Whole);
}
