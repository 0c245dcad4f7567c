//! What answers mean, and how long they are remembered.

use super::*;

fn alias(name: &[u8], ttl: u32, target: &str) -> Vec<u8> {
    record(name, 5, ttl, &wire(target))
}

fn a_of(name: &str, number: u8, ttl: u32) -> Vec<u8> {
    record(&wire(name), 1, ttl, &[192, 0, 2, number])
}

#[test]
fn a_chain_of_aliases_is_followed_in_whatever_order() {
    let mut bench = Bench::new();
    let records = [
        a_of("c.example", 1, 60),
        alias(&wire("b.example"), 60, "c.example"),
        a_of("unasked.example", 66, 60),
        alias(ASKED, 60, "b.example"),
    ];
    assert_eq!(bench.resolve("www.example", &records), "192.0.2.1");
}

#[test]
fn an_alias_that_the_server_does_not_follow_is_asked_for() {
    let mut bench = Bench::new();
    let question = bench.ask("www.example");
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &seen.answer(0, &[alias(ASKED, 30, "far.example.net")], &[]));
    let seen = bench.sent().unwrap();
    assert_eq!((seen.short().as_str(), seen.server), ("far.example.net 1", FIRST));
    bench.reply(&seen, &seen.answer(0, &[a(9, 600)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.9");
    // The shortest lifetime of the chain counts.
    bench.pass(29_000);
    assert_eq!(bench.resolve("www.example", &[]), "192.0.2.9");
    bench.pass(2_000);
    let question = bench.ask("www.example");
    assert_eq!(bench.outcome(question), "waits");
}

#[test]
fn aliases_in_a_circle_come_to_an_end() {
    let mut bench = Bench::new();
    let circle = [alias(ASKED, 60, "b.example"), alias(&wire("b.example"), 60, "www.example")];
    let question = bench.ask("www.example");
    let mut asked = 0;
    while let Some(seen) = bench.sent() {
        asked += 1;
        bench.reply(&seen, &seen.answer(0, &circle, &[]));
    }
    assert_eq!((bench.outcome(question).as_str(), asked), ("Failed", 6));
    // One alias in each answer, for ever.
    let question = bench.ask("x.example");
    let mut asked = 0;
    while let Some(seen) = bench.sent() {
        asked += 1;
        let next = format!("x{asked}.example");
        bench.reply(&seen, &seen.answer(0, &[alias(ASKED, 60, &next)], &[]));
    }
    assert_eq!((bench.outcome(question).as_str(), asked), ("Failed", 9));
    bench.expect_rest();
}

#[test]
fn an_answer_is_remembered_for_as_long_as_it_says() {
    let mut bench = Bench::new();
    assert_eq!(bench.resolve("example.org", &[a(1, 60), a(2, 30)]), "192.0.2.1 192.0.2.2");
    bench.pass(29_000);
    assert_eq!(bench.resolve("EXAMPLE.org", &[a(9, 60)]), "192.0.2.1 192.0.2.2");
    assert_eq!(bench.dns.counters.remembered.get(), 1);
    bench.pass(2_000);
    assert_eq!(bench.resolve("example.org", &[a(9, 60)]), "192.0.2.9");
}

#[test]
fn lifetimes_have_limits_and_none_is_not_remembered() {
    let mut bench = Bench::with(Config { ttl: Duration::from_secs(100), ..CONFIG });
    assert_eq!(bench.resolve("long.example", &[a(1, 1_000_000)]), "192.0.2.1");
    // A negative number counts as zero (RFC 2181 section 8).
    for ttl in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(bench.resolve("now.example", &[a(1, ttl)]), "192.0.2.1");
        assert_eq!(bench.dns.counters.remembered.get(), 0);
    }
    bench.pass(99_000);
    assert_eq!(bench.resolve("long.example", &[a(2, 60)]), "192.0.2.1");
    bench.pass(2_000);
    assert_eq!(bench.resolve("long.example", &[a(2, 60)]), "192.0.2.2");
}

#[test]
fn that_there_is_nothing_is_remembered_too() {
    for (code, expected) in [(3, "NoSuchName"), (0, "NoneOfFamily")] {
        let mut bench = Bench::new();
        let question = bench.ask("none.example");
        let seen = bench.sent().unwrap();
        // RFC 2308 section 5: the lesser of the record's lifetime and its last number.
        bench.reply(&seen, &seen.answer(code, &[], &[soa(300, 40)]));
        assert_eq!(bench.outcome(question), expected);
        bench.pass(39_000);
        assert_eq!(bench.resolve("none.example", &[a(1, 60)]), expected);
        bench.pass(2_000);
        assert_eq!(bench.resolve("none.example", &[a(1, 60)]), "192.0.2.1");
    }
}

#[test]
fn without_an_soa_record_it_is_not() {
    let mut bench = Bench::new();
    let question = bench.ask("none.example");
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &seen.answer(3, &[], &[]));
    assert_eq!(bench.outcome(question), "NoSuchName");
    assert_eq!(bench.resolve("none.example", &[a(1, 60)]), "192.0.2.1");
}

#[test]
fn the_last_alias_may_have_no_such_address() {
    let mut bench = Bench::new();
    let question = bench.ask("www.example");
    let seen = bench.sent().unwrap();
    let records = [alias(ASKED, 20, "none.example")];
    bench.reply(&seen, &seen.answer(3, &records, &[soa(300, 300)]));
    assert_eq!(bench.outcome(question), "NoSuchName");
    bench.pass(21_000);
    assert_eq!(bench.resolve("www.example", &[a(1, 60)]), "192.0.2.1", "20 seconds, the alias'");
}

#[test]
fn addresses_that_are_too_many_are_left_out() {
    let mut bench = Bench::new();
    let records: Vec<_> = (1..=20).map(|number| a(number, 60)).collect();
    let found = bench.resolve("many.example", &records);
    assert_eq!(found.split(' ').count(), waitless::ADDRESSES_MAX);
}
