use super::*;
use waitless::Duration;

fn address(number: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | number)
}

fn text(name: &str) -> String<NAME_MAX> {
    String::try_from(name).unwrap()
}

#[test]
fn what_ends_is_forgotten_and_zero_ends_at_once() {
    let (mut names, start) = (Names::new(), Instant::ZERO + Duration::from_secs(1));
    names.server(address(1), 10, start);
    names.server(address(2), u32::MAX, start);
    names.domain(text("a.example"), 20, start);
    names.domain(text("b.example"), 30, start);
    assert!(names.servers().eq([address(1), address(2)]));
    assert_eq!(names.search(), "a.example b.example");
    let end = start + Duration::from_secs(10);
    assert_eq!(names.deadline(), end);
    assert!(!names.expire(start) && names.expire(end));
    assert!(names.servers().eq([address(2)]));
    names.domain(text("a.example"), 0, end);
    assert_eq!(names.search(), "b.example");
    names.server(address(2), 0, end);
    assert_eq!((names.servers().count(), names.deadline()), (0, start + Duration::from_secs(30)));
}

#[test]
fn of_too_many_those_that_last_longest_are_kept() {
    let mut names = Names::new();
    for number in 1..=SERVERS as u32 {
        names.server(address(number.into()), 100 + number, Instant::ZERO);
    }
    names.server(address(50), 90, Instant::ZERO);
    assert!(names.servers().all(|server| server != address(50)));
    names.server(address(51), 200, Instant::ZERO);
    assert!(names.servers().eq([2, 3, 4, 51].map(address)));
}

#[test]
fn domains_that_do_not_fit_together_are_left_out() {
    let mut names = Names::new();
    let long = "x".repeat(50);
    for part in ["a", "b", "c"] {
        let domain = [part, &long, ".", &long].concat();
        names.domain(text(&domain), 9, Instant::ZERO);
    }
    names.domain(text("short"), 9, Instant::ZERO);
    let found = names.search();
    assert_eq!(found.split(' ').count(), 3, "{found}");
    assert!(found.ends_with(" short"));
}
