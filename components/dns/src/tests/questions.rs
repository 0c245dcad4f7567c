//! What is asked, and of which names.

use super::*;

#[test]
fn a_name_is_asked_for_and_its_addresses_are_the_answer() {
    let mut bench = Bench::new();
    let question = bench.ask("Example.ORG");
    assert_eq!(bench.outcome(question), "waits");
    let seen = bench.sent().unwrap();
    assert_eq!((seen.short().as_str(), seen.server, seen.extended), ("example.org 1", FIRST, true));
    bench.reply(&seen, &seen.answer(0, &[a(1, 60), a(2, 60), a(1, 60)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1 192.0.2.2");
    assert_eq!(bench.outcome(question), "Forgotten", "an answer is given once");
    bench.expect_rest();
}

#[test]
fn questions_have_numbers_ports_and_letters_that_nobody_can_guess() {
    let mut bench = Bench::with(Config { cache: 0, ..CONFIG });
    let mut seen = Vec::new();
    for _ in 0..32 {
        bench.ask("abcdefghij.example");
        let one = bench.sent().unwrap();
        let port = bench.udp.local_port(one.socket);
        bench.reply(&one, &one.answer(0, &[a(1, 60)], &[]));
        seen.push((one.bytes[..2].to_vec(), port, one.bytes[12..].to_vec()));
        let last = Question { index: 0, generation: seen.len() as u16 - 1 };
        assert_eq!(bench.outcome(last), "192.0.2.1");
    }
    for (index, (id, port, name)) in seen.iter().enumerate() {
        for (other_id, other_port, other_name) in &seen[..index] {
            assert!(id != other_id && port != other_port && name != other_name);
        }
    }
}

#[test]
fn both_families_are_asked_for_by_their_types() {
    let mut bench = Bench::new();
    let question = bench.dns.ask("example.org", Family::V6).unwrap();
    bench.sweep();
    let seen = bench.sent().unwrap();
    assert_eq!(seen.short(), "example.org 28");
    let aaaa = record(ASKED, 28, 60, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bench.reply(&seen, &seen.answer(0, &[a(1, 60), aaaa], &[]));
    assert_eq!(bench.outcome(question), "2001:db8::1");
}

#[test]
fn addresses_stand_for_themselves_and_special_names_for_this_host_or_nobody() {
    let mut bench = Bench::new();
    for (name, v4, v6) in [
        ("192.0.2.9", "192.0.2.9", "NoneOfFamily"),
        ("2001:db8::9", "NoneOfFamily", "2001:db8::9"),
        ("localhost", "127.0.0.1", "::1"),
        ("a.LocalHost.", "127.0.0.1", "::1"),
        ("x.invalid", "NoSuchName", "NoSuchName"),
        ("printer.local", "NoSuchName", "NoSuchName"),
        ("Hidden.Onion", "NoSuchName", "NoSuchName"),
    ] {
        for (family, expected) in [(Family::V4, v4), (Family::V6, v6)] {
            let question = bench.dns.ask(name, family).unwrap();
            assert_eq!(bench.outcome(question), expected, "{name}");
        }
    }
    assert_eq!(bench.dns.ask("not a name", Family::V4), Err(AskError::BadName));
    assert_eq!(bench.dns.ask("", Family::V4), Err(AskError::BadName));
    bench.expect_rest();
}

#[test]
fn a_name_without_a_dot_is_looked_for_in_the_domains() {
    let mut bench = Bench::with(Config { search: &["a.example", "b.example"], ..CONFIG });
    let question = bench.ask("host");
    for (name, answers) in [("host.a.example 1", false), ("host.b.example 1", true)] {
        let seen = bench.sent().unwrap();
        assert_eq!(seen.short(), name);
        let records = if answers { vec![a(3, 60)] } else { Vec::new() };
        bench.reply(&seen, &seen.answer(if answers { 0 } else { 3 }, &records, &[soa(60, 60)]));
    }
    assert_eq!(bench.outcome(question), "192.0.2.3");
    // All of it is remembered, also that there is no such name in the first.
    let again = bench.ask("host");
    assert_eq!((bench.outcome(again).as_str(), bench.sent().is_none()), ("192.0.2.3", true));
    // The last resort is the name itself, which nobody has.
    let question = bench.ask("nobody");
    for name in ["nobody.a.example 1", "nobody.b.example 1", "nobody 1"] {
        let seen = bench.sent().unwrap();
        assert_eq!(seen.short(), name);
        bench.reply(&seen, &seen.answer(3, &[], &[]));
    }
    assert_eq!(bench.outcome(question), "NoSuchName");
    // With a dot there is nothing to search, not even one at the end.
    for (name, expected) in [("host.c", "host.c 1"), ("host.", "host 1")] {
        let question = bench.ask(name);
        let seen = bench.sent().unwrap();
        assert_eq!(seen.short(), expected);
        bench.reply(&seen, &seen.answer(3, &[], &[]));
        assert_eq!(bench.outcome(question), "NoSuchName");
    }
    bench.expect_rest();
}

#[test]
fn a_name_that_exists_without_such_an_address_ends_the_search() {
    let mut bench = Bench::with(Config { search: &["a.example", "b.example"], ..CONFIG });
    let question = bench.ask("host");
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &seen.answer(0, &[], &[soa(60, 60)]));
    assert_eq!(bench.outcome(question), "NoneOfFamily");
    bench.expect_rest();
}

#[test]
fn the_same_is_asked_once_at_a_time() {
    let mut bench = Bench::new();
    let [one, two] = ["example.org", "example.org."].map(|name| bench.ask(name));
    let seen = bench.sent().unwrap();
    assert!(bench.sent().is_none());
    bench.dns.forget(one);
    bench.reply(&seen, &seen.answer(0, &[a(1, 0)], &[]));
    assert_eq!(bench.outcome(two), "192.0.2.1", "also what may not be remembered");
    assert_eq!(bench.outcome(one), "Forgotten");
    bench.expect_rest();
}

#[test]
fn questions_are_limited_and_places_are_used_again() {
    let mut bench = Bench::new();
    let questions: Vec<_> =
        (0..4).map(|number| bench.ask(&format!("host{number}.example"))).collect();
    assert_eq!(bench.dns.ask("more.example", Family::V4), Err(AskError::Full));
    for question in &questions {
        bench.dns.forget(*question);
    }
    // What is being looked for is bounded as well.
    assert_eq!(bench.dns.ask("more.example", Family::V4), Err(AskError::Full));
    bench.udp.sent.clear();
    bench.pass(60_000);
    bench.udp.sent.clear();
    assert!(bench.dns.ask("more.example", Family::V4).is_ok());
    assert_eq!(bench.outcome(questions[0]), "Forgotten");
    bench.pass(60_000);
    bench.udp.sent.clear();
    bench.expect_rest();
}

#[test]
fn a_domain_that_is_no_name_is_refused_at_the_start() {
    let mut cx = testing::context(4, 1);
    let config = Box::leak(Box::new(Config { search: &["no name"], ..CONFIG }));
    let mut dns = Dns::new(config, &mut cx);
    let (mut udp, mut tcp) = (Udp::default(), Tcp::default());
    assert!(dns.init(&mut (&mut udp, &mut tcp), &mut cx).is_err());
}
