//! Servers that are slow, broken, or not there.

use super::*;

/// To whom questions were sent, and when, in milliseconds.
fn asked(bench: &mut Bench, millis: u64) -> Vec<(IpAddr, u64)> {
    let start = bench.cx.now();
    let mut asked = Vec::new();
    while bench.cx.now().since(start) < Duration::from_millis(millis) {
        bench.pass(100);
        while let Some(seen) = bench.sent() {
            asked.push((seen.server, bench.cx.now().as_millis()));
        }
    }
    asked
}

#[test]
fn servers_that_do_not_answer_are_asked_in_turn_ever_more_slowly() {
    let mut bench = Bench::new();
    let question = bench.ask("example.org");
    let times = asked(&mut bench, 40_000);
    let expected = [(FIRST, 100), (SECOND, 2_000), (FIRST, 4_000), (SECOND, 8_000)];
    assert_eq!(times[..4], expected);
    assert_eq!(times[4..], [(FIRST, 12_000), (SECOND, 20_000)]);
    assert_eq!(bench.outcome(question), "TimedOut");
    assert_eq!(bench.dns.counters.timeouts.get(), 6);
    bench.expect_rest();
}

#[test]
fn a_server_that_answers_is_asked_first_from_then_on() {
    let mut bench = Bench::new();
    let question = bench.ask("a.example");
    let first = bench.sent().unwrap();
    bench.pass(2_001);
    let second = bench.sent().unwrap();
    assert_eq!((first.server, second.server), (FIRST, SECOND));
    bench.reply(&second, &second.answer(0, &[a(1, 60)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
    bench.ask("b.example");
    assert_eq!(bench.sent().unwrap().server, SECOND);
}

#[test]
fn a_server_that_cannot_say_is_passed_over_at_once() {
    let mut bench = Bench::new();
    let question = bench.ask("a.example");
    for (server, code) in [(FIRST, 2), (SECOND, 5)] {
        let seen = bench.sent().unwrap();
        assert_eq!(seen.server, server);
        bench.reply(&seen, &seen.answer(code, &[], &[]));
    }
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &seen.answer(0, &[a(1, 60)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
    assert_eq!(bench.dns.counters.failed.get(), 2);
}

#[test]
fn a_server_that_only_says_who_knows_is_passed_over() {
    let names = |zone| record(&wire(zone), 2, 300, &wire("ns.example"));
    let mut bench = Bench::new();
    let question = bench.ask("a.example");
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &seen.answer(0, &[], &[names("example"), names("example")]));
    assert_eq!(bench.outcome(question), "waits");
    let seen = bench.sent().unwrap();
    assert_eq!(seen.server, SECOND);
    bench.reply(&seen, &seen.answer(0, &[a(1, 60)], &[names("example")]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
    // That there is nothing may be said so, too, beside for how long.
    for records in [[names("example"), soa(300, 40)], [soa(300, 40), names("example")]] {
        let mut bench = Bench::new();
        let question = bench.ask("a.example");
        let seen = bench.sent().unwrap();
        bench.reply(&seen, &seen.answer(0, &[], &records));
        assert_eq!(bench.outcome(question), "NoneOfFamily");
    }
}

#[test]
fn that_all_have_failed_is_remembered_for_a_moment() {
    let mut bench = Bench::with(Config { attempts: 1, ..CONFIG });
    let question = bench.ask("a.example");
    for _ in 0..2 {
        let seen = bench.sent().unwrap();
        bench.reply(&seen, &seen.answer(2, &[], &[]));
    }
    assert_eq!(bench.outcome(question), "Failed");
    assert_eq!(bench.resolve("a.example", &[a(1, 60)]), "Failed");
    bench.pass(5_001);
    assert_eq!(bench.resolve("a.example", &[a(1, 60)]), "192.0.2.1");
}

#[test]
fn a_server_without_edns_is_asked_without_it() {
    let mut bench = Bench::new();
    let question = bench.ask("a.example");
    let seen = bench.sent().unwrap();
    // As an old server does: its header alone.
    let mut message = seen.answer(1, &[], &[]);
    message.truncate(12);
    message[5] = 0;
    bench.reply(&seen, &message);
    let seen = bench.sent().unwrap();
    assert_eq!((seen.server, seen.extended), (FIRST, false));
    bench.reply(&seen, &seen.answer(0, &[a(1, 60)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
    assert_eq!(bench.dns.counters.not_extended.get(), 1);
}

#[test]
fn the_upper_bits_of_a_code_are_in_another_record() {
    // The root, the type, the size, the upper bits, the version, flags, no data.
    let opt = |upper: u8| vec![0, 0, 41, 4, 208, upper, 0, 0, 0, 0, 0];
    let answer = |seen: &Seen, code: u8, upper: u8, records: &[Vec<u8>]| {
        let mut message = seen.answer(code, records, &[]);
        message[11] = 1;
        message.extend(opt(upper));
        message
    };
    let mut bench = Bench::new();
    let question = bench.ask("a.example");
    let seen = bench.sent().unwrap();
    // Another version of EDNS: without it, then.
    bench.reply(&seen, &answer(&seen, 0, 1, &[]));
    let seen = bench.sent().unwrap();
    assert_eq!((seen.server, seen.extended), (FIRST, false));
    bench.reply(&seen, &answer(&seen, 0, 1, &[]));
    // A cookie is missing; what looks like "no such name" but for these bits.
    let seen = bench.sent().unwrap();
    assert_eq!((seen.server, seen.extended), (SECOND, true));
    bench.reply(&seen, &answer(&seen, 7, 1, &[]));
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &answer(&seen, 3, 2, &[]));
    assert_eq!(bench.dns.counters.failed.get(), 3);
    let seen = bench.sent().unwrap();
    bench.reply(&seen, &answer(&seen, 0, 0, &[a(1, 60)]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
}

#[test]
fn a_server_that_cannot_say_does_not_have_to_repeat_the_question() {
    let mut bench = Bench::new();
    let question = bench.ask("a.example");
    let seen = bench.sent().unwrap();
    let mut message = seen.answer(5, &[], &[]);
    message.truncate(12);
    message[5] = 0;
    bench.reply(&seen, &message);
    let seen = bench.sent().unwrap();
    assert_eq!((seen.server, bench.dns.counters.failed.get()), (SECOND, 1));
    bench.reply(&seen, &seen.answer(0, &[a(1, 60)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
}

#[test]
fn without_a_server_the_answer_is_that_there_is_none() {
    let mut bench = Bench::with(Config { servers: &[], ..CONFIG });
    let question = bench.ask("a.example");
    assert_eq!(bench.outcome(question), "NoServer");
    bench.expect_rest();
}

#[test]
fn servers_and_domains_come_from_the_network_where_the_manifest_names_none() {
    let mut bench = Bench::with(Config { servers: &[], ..CONFIG });
    bench.udp.names.add_server(SECOND);
    bench.udp.names.add_domain("lan.example");
    bench.sweep();
    bench.ask("host");
    let seen = bench.sent().unwrap();
    assert_eq!((seen.server, seen.short().as_str()), (SECOND, "host.lan.example 1"));
    let mut bench = Bench::with(Config { search: &["own.example"], ..CONFIG });
    bench.udp.names.add_server(SECOND);
    bench.udp.names.add_domain("lan.example");
    bench.sweep();
    bench.ask("host");
    let seen = bench.sent().unwrap();
    assert_eq!((seen.server, seen.short().as_str()), (FIRST, "host.own.example 1"));
}

#[test]
fn a_server_that_was_asked_may_answer_when_the_network_names_others() {
    let mut bench = Bench::with(Config { servers: &[], ..CONFIG });
    bench.udp.names.add_server(FIRST);
    bench.sweep();
    let question = bench.ask("a.example");
    let seen = bench.sent().unwrap();
    bench.udp.names.servers.clear();
    bench.udp.names.add_server(SECOND);
    bench.sweep();
    bench.deliver(seen.socket, SECOND, &seen.answer(0, &[a(66, 60)], &[]));
    assert_eq!(bench.outcome(question), "waits", "it was not asked");
    bench.reply(&seen, &seen.answer(0, &[a(1, 60)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
}

#[test]
fn a_port_that_cannot_be_had_is_waited_for_and_not_for_ever() {
    let mut bench = Bench::new();
    bench.udp.refuses = true;
    let question = bench.ask("a.example");
    bench.pass(50);
    assert!(bench.sent().is_none() && bench.dns.counters.delayed.get() > 3);
    bench.udp.refuses = false;
    bench.pass(20);
    assert!(bench.sent().is_some());
    let other = bench.ask("b.example");
    bench.sent();
    assert_eq!(bench.outcome(other), "waits");
    bench.udp.refuses = true;
    bench.pass(30_000);
    assert_eq!(
        (bench.outcome(question).as_str(), bench.outcome(other).as_str()),
        ("Failed", "Failed")
    );
    bench.expect_rest();
}
